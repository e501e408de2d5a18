//! An annotation, `[PLACE[OS/ARCH]:]NAME=VALUE`: what is written beside an image rather than into it.

use std::collections::BTreeMap;

use stagewright_core::platform::Platform;

use super::platform::platform;

/// An annotation, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Annotation {
    places: Vec<(Place, Option<Platform>)>,
    name: String,
    value: String,
}

/// What an annotation is of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    /// The manifest of the image for one platform.
    Manifest,
    /// What points to that manifest.
    ManifestDescriptor,
    /// The list of the images for several platforms.
    Index,
    /// What points to that list.
    IndexDescriptor,
}

impl Place {
    const ALL: [(Self, &str); 4] = [
        (Self::Manifest, "manifest"),
        (Self::ManifestDescriptor, "manifest-descriptor"),
        (Self::Index, "index"),
        (Self::IndexDescriptor, "index-descriptor"),
    ];
}

impl Annotation {
    /// Reads the flag's value; the error completes clap's own sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let (head, value) = text
            .split_once('=')
            .ok_or("an annotation is written NAME=VALUE, such as org.opencontainers.image.licenses=MIT")?;
        let (places, name) = match head.rsplit_once(':') {
            Some((places, name)) => (places.split(',').map(place).collect::<Result<_, _>>()?, name),
            None => (vec![(Place::Manifest, None)], head),
        };
        if name.is_empty() {
            return Err("the annotation has no name".into());
        }
        Ok(Self {
            places,
            name: name.to_owned(),
            value: value.to_owned(),
        })
    }

    /// Those of `all` that go there for that platform; of several of one name the last.
    pub(crate) fn of(all: &[Self], place: Place, built: &Platform) -> BTreeMap<String, String> {
        let goes = |annotation: &&Self| {
            annotation.places.iter().any(|(there, wanted)| {
                *there == place
                    && wanted
                        .as_ref()
                        .is_none_or(|wanted| wanted.normalized() == built.normalized())
            })
        };
        all.iter()
            .filter(goes)
            .map(|annotation| (annotation.name.clone(), annotation.value.clone()))
            .collect()
    }

    /// Whether it goes to what only images for several platforms have.
    pub(crate) fn wants_an_index(&self) -> bool {
        self.places
            .iter()
            .any(|(place, _)| matches!(place, Place::Index | Place::IndexDescriptor))
    }
}

fn place(text: &str) -> Result<(Place, Option<Platform>), String> {
    let (word, wanted) = match text.strip_suffix(']').and_then(|rest| rest.split_once('[')) {
        Some((word, wanted)) => (word, Some(platform(wanted)?)),
        None => (text, None),
    };
    let found = Place::ALL.iter().find(|(_, name)| *name == word);
    let Some((place, _)) = found else {
        let names: Vec<&str> = Place::ALL.iter().map(|(_, name)| *name).collect();
        return Err(format!(
            "there is no {word:?} to annotate; what stands before the colon is one of {}",
            names.join(", ")
        ));
    };
    Ok((*place, wanted))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn amd64() -> Platform {
        platform("linux/amd64").unwrap()
    }

    #[test]
    fn without_a_place_it_is_the_manifests() {
        let all = [
            Annotation::read("a=1=2").unwrap(),
            Annotation::read("manifest[linux/arm64],index:b=").unwrap(),
            Annotation::read("manifest,manifest-descriptor[linux/amd64]:c.d/e=f").unwrap(),
            Annotation::read("a=3").unwrap(),
        ];
        let of = |place| Annotation::of(&all, place, &amd64());
        let pairs = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
                .collect::<BTreeMap<_, _>>()
        };
        assert_eq!(of(Place::Manifest), pairs(&[("a", "3"), ("c.d/e", "f")]));
        assert_eq!(of(Place::ManifestDescriptor), pairs(&[("c.d/e", "f")]));
        assert_eq!(of(Place::Index), pairs(&[("b", "")]));
        assert!(all[1].wants_an_index() && !all[2].wants_an_index());
    }

    #[test]
    fn what_is_no_annotation_says_how_one_is_written() {
        for (text, said) in [
            ("a", "NAME=VALUE"),
            ("=b", "no name"),
            ("manifests:a=b", "manifest-descriptor"),
            ("manifest[lunix]:a=b", "os/architecture"),
        ] {
            let error = Annotation::read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }
}

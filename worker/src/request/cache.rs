//! Caches that several machines share, written as docker build has them in `--cache-from` and `--cache-to`.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use stagewright_core::digest::Digest;

use super::keys::{Keys, fields};
use super::obstacle::Obstacle;
use super::output::compression;
use super::watcher::{Watcher, task};
use crate::build::Builds;
use crate::export::Encoding;
use crate::sharing::{CacheExport, Place, Written};
use crate::source::image::reference::Reference;

/// What a cache is where it is no list of keys.
const CACHE: &str = "a cache is REGISTRY/NAME";

/// The name of a cache in a folder where none is given.
const TAG: &str = "latest";

/// A cache that steps may come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CacheFrom(Place);

/// A cache that is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CacheTo {
    /// In the image itself.
    Inline,
    /// In a place of its own.
    Place {
        place: Place,
        /// Whether the layers of all steps go there.
        all: bool,
        encoding: Option<Encoding>,
        /// Whether the build is good although its cache could not be written.
        ignore_error: bool,
    },
}

impl CacheFrom {
    /// Whether it is elsewhere, and no folder of this machine.
    pub(crate) fn is_far(&self) -> bool {
        matches!(self.0, Place::Registry(_))
    }

    /// Reads the flag's value; the error completes clap's own sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut keys = keys(text)?;
        let place = match keys.kind()?.as_str() {
            "registry" => keys.reference()?,
            "local" => keys.folder("src")?,
            other => return Err(unknown(other, "registry and local")),
        };
        keys.end()?;
        Ok(Self(place))
    }
}

impl CacheTo {
    /// Whether it goes elsewhere, and to no folder of this machine.
    pub(crate) fn is_far(&self) -> bool {
        match self {
            Self::Inline => true,
            Self::Place { place, .. } => matches!(place, Place::Registry(_)),
        }
    }

    /// The folder of this machine that it has to be written to.
    pub(crate) fn folder(&self) -> Option<&Path> {
        match self {
            Self::Place {
                place: Place::Folder { path, .. },
                ignore_error: false,
                ..
            } => Some(path),
            Self::Inline | Self::Place { .. } => None,
        }
    }

    /// Reads the flag's value; the error completes clap's own sentence.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut keys = keys(text)?;
        let kind = keys.kind()?;
        let place = match kind.as_str() {
            "inline" => None,
            "registry" => Some(keys.reference()?),
            "local" => Some(keys.folder("dest")?),
            other => return Err(unknown(other, "registry, local and inline")),
        };
        let Some(place) = place else {
            keys.end()?;
            return Ok(Self::Inline);
        };
        if matches!(&place, Place::Folder { digest: Some(_), .. }) {
            return Err("a digest is what a cache gets by being written: leave it out".into());
        }
        // What is written is an image's manifest in the OCI's words, and nothing else.
        keys.must_be_true("image-manifest")?;
        keys.must_be_true("oci-mediatypes")?;
        keys.flag("force-compression")?;
        let all = match keys.take("mode").as_deref() {
            None | Some("min") => false,
            Some("max") => true,
            Some(other) => return Err(format!("mode is {other:?}, and can be min or max")),
        };
        let (kind, level) = (keys.take("compression"), keys.take("compression-level"));
        let encoding = match (&kind, &level) {
            (None, None) => None,
            _ => Some(compression(kind.as_deref(), level.as_deref())?),
        };
        let ignore_error = keys.flag("ignore-error")?.unwrap_or(false);
        keys.end()?;
        Ok(Self::Place {
            place,
            all,
            encoding,
            ignore_error,
        })
    }
}

fn unknown(kind: &str, known: &str) -> String {
    format!("there are no caches of type {kind:?} here; there are {known}")
}

/// Reads the keys; what is no list of them is a name in a registry.
fn keys(text: &str) -> Result<Keys, String> {
    let fields = fields(text)?;
    if let [only] = fields.as_slice()
        && !only.contains('=')
    {
        let named = ["type=registry".to_owned(), format!("ref={only}")];
        return Keys::read(&named, CACHE);
    }
    Keys::read(&fields, CACHE)
}

impl Keys {
    fn kind(&mut self) -> Result<String, String> {
        self.take("type")
            .ok_or_else(|| "it has no type: write type=registry, local or inline".to_owned())
    }

    fn reference(&mut self) -> Result<Place, String> {
        let text = self.take("ref").filter(|text| !text.is_empty());
        let text = text.ok_or("type=registry needs a name: add ref=REGISTRY/NAME:TAG")?;
        let name: Reference = text
            .parse()
            .map_err(|error: crate::source::image::reference::InvalidReference| error.to_string())?;
        Ok(Place::Registry(name))
    }

    fn folder(&mut self, key: &str) -> Result<Place, String> {
        let path = self.take(key).filter(|path| !path.is_empty());
        let path = path.ok_or_else(|| format!("type=local needs a folder: add {key}=FOLDER"))?;
        let digest = self.take("digest").map(|digest| {
            digest
                .parse::<Digest>()
                .map_err(|_| format!("{digest:?} is no digest: write sha256:…"))
        });
        Ok(Place::Folder {
            path: PathBuf::from(path),
            tag: self.take("tag").unwrap_or_else(|| TAG.to_owned()),
            digest: digest.transpose()?,
        })
    }

    fn must_be_true(&mut self, key: &str) -> Result<(), String> {
        if self.flag(key)? == Some(false) {
            return Err(format!(
                "{key}=false cannot be done here: a cache is written as an OCI image manifest"
            ));
        }
        Ok(())
    }

    fn end(self) -> Result<(), String> {
        match self.rest() {
            None => Ok(()),
            Some(key) => Err(format!("a cache of this type has no {key:?}")),
        }
    }
}

/// The caches of a build: those that it names, and those that it writes.
pub(crate) struct Caches {
    pub(crate) from: Arc<Vec<Place>>,
    pub(crate) to: Arc<Vec<Arc<CacheExport>>>,
    pub(crate) inline: bool,
    /// For each that is written, whether the build is good without it.
    ignored: Vec<bool>,
}

impl Caches {
    pub(crate) fn of(from: &[CacheFrom], to: &[CacheTo]) -> Self {
        let mut exports = Vec::new();
        let mut ignored = Vec::new();
        for cache in to {
            if let CacheTo::Place {
                place,
                all,
                encoding,
                ignore_error,
            } = cache
            {
                exports.push(Arc::new(CacheExport::new(place.clone(), *all, *encoding)));
                ignored.push(*ignore_error);
            }
        }
        Self {
            from: Arc::new(from.iter().map(|CacheFrom(place)| place.clone()).collect()),
            to: Arc::new(exports),
            inline: to.contains(&CacheTo::Inline),
            ignored,
        }
    }

    /// Writes what the builds gathered.
    pub(crate) async fn write(&self, builds: &Builds, watcher: &mut dyn Watcher) -> Result<(), Obstacle> {
        let exports = self.to.iter().zip(&self.ignored);
        for (export, ignored) in exports.filter(|(export, _)| !export.is_left()) {
            let name = format!("exporting the {}", export.place);
            let written = task(watcher, &name, write(export, builds), String::clone).await;
            if let Err(failure) = written {
                if !ignored {
                    return Err(failure.hint(
                        "the image is built; with ignore-error=true in --cache-to the build is good without its cache",
                    ));
                }
                watcher.note(&format!(
                    "note: the {} is not written: {}\n",
                    export.place, failure.message
                ));
            }
        }
        Ok(())
    }
}

async fn write(export: &CacheExport, builds: &Builds) -> Result<String, Obstacle> {
    let failed = |error: &dyn std::fmt::Display| Obstacle::work(error.to_string());
    let content = builds.contexts().content();
    let written = export.put_together(content).map_err(|error| failed(&error))?;
    match &export.place {
        Place::Registry(name) => {
            let pushed = builds.backend().push(name, &written.push).await;
            pushed.map_err(|error| failed(&error))?;
        }
        Place::Folder { path, tag, .. } => {
            written
                .to_folder(content, path, tag)
                .map_err(|error| failed(&error))?;
        }
    }
    Ok(told(&written))
}

/// What was written: "3 steps, 2 of them with their layers".
fn told(written: &Written) -> String {
    let (steps, layers) = written.counts;
    let steps = match steps {
        1 => "1 step".to_owned(),
        steps => format!("{steps} steps"),
    };
    match layers {
        1 => format!("{steps}, 1 layer"),
        layers => format!("{steps}, {layers} layers"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(path: &str, tag: &str) -> Place {
        Place::Folder {
            path: path.into(),
            tag: tag.into(),
            digest: None,
        }
    }

    #[test]
    fn caches_are_read_as_docker_build_has_them() {
        let registry = |name: &str| Place::Registry(name.parse().unwrap());
        for (text, place) in [
            (
                "registry.example/app:cache",
                registry("registry.example/app:cache"),
            ),
            ("type=registry,ref=app", registry("app")),
            ("type=local,src=dir", folder("dir", "latest")),
            ("src=dir,type=local,tag=main", folder("dir", "main")),
        ] {
            assert_eq!(CacheFrom::read(text), Ok(CacheFrom(place)), "{text}");
        }
        let to = |place, all, encoding, ignore_error| CacheTo::Place {
            place,
            all,
            encoding,
            ignore_error,
        };
        for (text, cache) in [
            ("type=inline", CacheTo::Inline),
            ("app:cache", to(registry("app:cache"), false, None, false)),
            (
                "type=registry,ref=app,mode=max,compression=zstd,image-manifest=true,oci-mediatypes=true",
                to(
                    registry("app"),
                    true,
                    Some(Encoding::Zstd(Encoding::ZSTD_LEVEL)),
                    false,
                ),
            ),
            (
                "type=local,dest=dir,mode=min,ignore-error=true",
                to(folder("dir", "latest"), false, None, true),
            ),
        ] {
            assert_eq!(CacheTo::read(text), Ok(cache), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_cache_says_what_can() {
        for (text, said) in [
            ("type=gha", "there are registry, local and inline"),
            ("type=registry", "ref=REGISTRY/NAME:TAG"),
            ("type=local", "dest=FOLDER"),
            ("ref=a", "no type"),
            ("type=registry,ref=A B", "A B"),
            ("type=local,dest=d,mode=all", "min or max"),
            ("type=local,dest=d,digest=sha256:1", "no digest"),
            ("type=registry,ref=a,image-manifest=false", "cannot be done"),
            ("type=inline,mode=max", "\"mode\""),
            ("type=registry,ref=a,compression=lz4", "lz4"),
            ("type=local,dest=d,dest=e", "twice"),
        ] {
            let error = CacheTo::read(text).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
        assert!(
            CacheFrom::read("type=inline,ref=a")
                .unwrap_err()
                .contains("registry and local")
        );
        assert!(
            CacheFrom::read("type=local,src=d,mode=max")
                .unwrap_err()
                .contains("\"mode\"")
        );
    }
}

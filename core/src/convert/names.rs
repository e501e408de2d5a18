//! What the stages of the one Dockerfile are called, and in which order they stand.

use std::collections::{BTreeMap, BTreeSet};

use crate::analysis::{Base, EdgeSource};

use super::host;
use super::story::{Section, Source, Story, Use};

/// A stage that no Dockerfile has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extra {
    /// What ran in a container.
    Container(usize),
    /// Files under the names that they had beside the script.
    Files,
}

/// Names and places of all stages.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// By unit and stage; `None` for one that nobody names.
    units: Vec<Vec<Option<String>>>,
    containers: BTreeMap<usize, String>,
    files: BTreeMap<(usize, usize), String>,
    /// Stages that stand before a stage of a unit.
    pub(super) before: BTreeMap<(usize, usize), Vec<Extra>>,
    /// Where each stage stands in the one Dockerfile.
    places: BTreeMap<(usize, usize), usize>,
    used: BTreeSet<String>,
}

impl Names {
    pub(super) fn stage(&self, unit: usize, stage: usize) -> Option<&str> {
        self.units.get(unit)?.get(stage)?.as_deref()
    }

    pub(super) fn place(&self, unit: usize, stage: usize) -> usize {
        self.places.get(&(unit, stage)).copied().unwrap_or_default()
    }

    pub(super) fn container(&self, container: usize) -> &str {
        self.containers
            .get(&container)
            .map_or("container", String::as_str)
    }

    /// What a COPY --from or a FROM calls it.
    pub(super) fn source(&self, source: &Source) -> String {
        match source {
            Source::Stage { unit, stage } => match self.stage(*unit, *stage) {
                Some(name) => name.to_owned(),
                None => self.place(*unit, *stage).to_string(),
            },
            Source::Container(at) => self.container(*at).to_owned(),
            Source::Image(name) => name.clone(),
        }
    }

    /// The stage with files under their names beside the script, which stands before a stage that copies them.
    pub(super) fn files(&mut self, unit: usize, stage: usize) -> String {
        if let Some(name) = self.files.get(&(unit, stage)) {
            return name.clone();
        }
        let name = self.free("files");
        self.files.insert((unit, stage), name.clone());
        self.before.entry((unit, stage)).or_default().push(Extra::Files);
        name
    }

    /// The name of that stage, where there is one.
    pub(super) fn files_name(&self, unit: usize, stage: usize) -> &str {
        self.files.get(&(unit, stage)).map_or("files", String::as_str)
    }

    /// A name that nothing else has.
    fn free(&mut self, wanted: &str) -> String {
        let mut name = wanted.to_owned();
        let mut number = 2;
        while self.used.contains(&name) || matches!(name.as_str(), "scratch" | "context") {
            name = format!("{wanted}-{number}");
            number += 1;
        }
        self.used.insert(name.clone());
        name
    }

    /// Counts the stages through; all that will stand in the file have to be known by now.
    pub(super) fn count(&mut self, story: &Story<'_>) {
        let mut place = 0;
        for section in &story.sections {
            match section {
                Section::Container(at) => place += usize::from(stands_alone(story, *at)),
                Section::Unit(unit) => {
                    let stages = story.units.get(*unit).map_or(0, |unit| unit.program.stages.len());
                    for stage in 0..stages {
                        place += self.before.get(&(*unit, stage)).map_or(0, Vec::len);
                        self.places.insert((*unit, stage), place);
                        place += 1;
                    }
                }
            }
        }
    }
}

/// Whether a container's stage stands where the script runs it, not before a stage of an earlier build.
pub(super) fn stands_alone(story: &Story<'_>, container: usize) -> bool {
    is_used(story, container) && moved_to(story, container).is_none()
}

/// Whether anything takes files from a container that ran something.
pub(super) fn is_used(story: &Story<'_>, container: usize) -> bool {
    let source = Source::Container(container);
    let carried = story
        .carried
        .iter()
        .any(|carried| carried.source == source && !carried.uses.is_empty());
    let linked = story
        .units
        .iter()
        .flat_map(|unit| &unit.links)
        .any(|link| link.source == source);
    let image = story.containers.iter().any(|other| other.image == source);
    carried || linked || image
}

/// A stage of an earlier build that needs a container: the same Dockerfile was built before for another target.
fn moved_to(story: &Story<'_>, container: usize) -> Option<(usize, usize)> {
    let place = |wanted: Section| story.sections.iter().position(|section| *section == wanted);
    let own = place(Section::Container(container))?;
    let source = Source::Container(container);
    let used = story
        .carried
        .iter()
        .filter(|carried| carried.source == source)
        .flat_map(|carried| &carried.uses)
        .filter_map(|used| match used {
            Use::Step { unit, stage, .. } => Some((*unit, *stage)),
            Use::Container(_) => None,
        });
    let linked = story.units.iter().enumerate().flat_map(|(unit, found)| {
        let links = found.links.iter().filter(|link| link.source == source);
        links.map(move |link| (unit, link.stage))
    });
    used.chain(linked)
        .filter(|(unit, _)| place(Section::Unit(*unit)).is_some_and(|place| place < own))
        .min()
}

/// Names all stages.
pub(super) fn names(story: &Story<'_>) -> Names {
    let mut names = Names::default();
    // An image that one Dockerfile starts from must not become a stage of another.
    let mut images: BTreeMap<String, BTreeSet<usize>> = BTreeMap::new();
    for (index, unit) in story.units.iter().enumerate() {
        let linked = |name: &str| unit.links.iter().any(|link| link.name == name);
        for image in unit.analysis.images.iter().filter(|image| !linked(&image.name)) {
            images
                .entry(image.name.to_ascii_lowercase())
                .or_default()
                .insert(index);
        }
    }
    // What containers are made of is an image to every Dockerfile.
    let made_of = story.containers.iter().map(|container| &container.image);
    for source in made_of.chain(story.carried.iter().map(|carried| &carried.source)) {
        if let Source::Image(name) = source {
            images
                .entry(name.to_ascii_lowercase())
                .or_default()
                .insert(usize::MAX);
        }
    }
    let foreign = |name: &str, unit: usize| {
        images
            .get(name)
            .is_some_and(|units| units.iter().any(|other| *other != unit))
    };
    for (index, unit) in story.units.iter().enumerate() {
        let mut own = Vec::new();
        for stage in &unit.analysis.stages {
            let name = stage.name.as_ref().map(|name| {
                if !names.used.contains(name) && !foreign(name, index) {
                    names.used.insert(name.clone());
                    return name.clone();
                }
                let file = story
                    .pattern
                    .dockerfiles
                    .get(unit.file)
                    .map_or("", |file| file.name.as_str());
                let mut tags = unit.tags.values().flatten();
                let prefix = file_word(file)
                    .or_else(|| tags.find_map(|tag| tag_word(tag).or_else(|| image_word(tag))));
                let wanted = prefix.map_or_else(|| format!("{name}-2"), |prefix| format!("{prefix}-{name}"));
                names.free(&wanted)
            });
            own.push(name);
        }
        names.units.push(own);
    }
    names.used.extend(images.into_keys());
    let wanted = referenced(story);
    for (index, unit) in story.units.iter().enumerate() {
        for stage in 0..unit.analysis.stages.len() {
            if names.stage(index, stage).is_some() || !wanted.contains(&(index, stage)) {
                continue;
            }
            let tags = unit.tags.get(&stage).into_iter().flatten();
            let file = story
                .pattern
                .dockerfiles
                .get(unit.file)
                .map_or("", |file| file.name.as_str());
            let word = tags
                .clone()
                .find_map(|tag| tag_word(tag))
                .or_else(|| file_word(file))
                .or_else(|| tags.clone().find_map(|tag| image_word(tag)))
                .unwrap_or_else(|| "builder".into());
            let name = names.free(&word);
            if let Some(place) = names.units.get_mut(index).and_then(|own| own.get_mut(stage)) {
                *place = Some(name);
            }
        }
    }
    for (index, container) in story.containers.iter().enumerate() {
        if container.steps.is_empty() || !is_used(story, index) {
            continue;
        }
        let wanted = if container.named {
            word(&container.name)
        } else {
            let image = match &container.image {
                Source::Stage { unit, stage } => names.stage(*unit, *stage).map(str::to_owned),
                Source::Container(at) => Some(names.container(*at).to_owned()),
                Source::Image(name) => image_word(name),
            };
            image.map(|image| format!("{image}-run"))
        };
        let name = names.free(&wanted.unwrap_or_else(|| "container".into()));
        names.containers.insert(index, name);
        if let Some(place) = moved_to(story, index) {
            names
                .before
                .entry(place)
                .or_default()
                .push(Extra::Container(index));
        }
    }
    names
}

/// Stages that something names: what is taken from, started from, or built by itself.
fn referenced(story: &Story<'_>) -> BTreeSet<(usize, usize)> {
    let mut sources: Vec<&Source> = Vec::new();
    sources.extend(story.carried.iter().map(|carried| &carried.source));
    sources.extend(story.containers.iter().map(|container| &container.image));
    sources.extend(
        story
            .units
            .iter()
            .flat_map(|unit| &unit.links)
            .map(|link| &link.source),
    );
    let mut wanted: BTreeSet<(usize, usize)> = sources
        .into_iter()
        .filter_map(|source| match source {
            Source::Stage { unit, stage } => Some((*unit, *stage)),
            Source::Container(_) | Source::Image(_) => None,
        })
        .collect();
    for (index, unit) in story.units.iter().enumerate() {
        wanted.extend(unit.tags.keys().map(|stage| (index, *stage)));
        // A number that is counted anew is better a name.
        for edge in &unit.analysis.edges {
            if let EdgeSource::Stage(stage) = edge.from {
                wanted.insert((index, stage));
            }
        }
        for stage in &unit.analysis.stages {
            if let Base::Stage(base) = stage.base {
                wanted.insert((index, base));
            }
        }
    }
    // What the one build makes is what stands last; it needs no name.
    if let Some(last) = &story.last
        && story.sections.last() == Some(&Section::Unit(last.unit))
        && story
            .units
            .get(last.unit)
            .is_some_and(|unit| unit.analysis.stages.len() == last.stage + 1)
    {
        wanted.remove(&(last.unit, last.stage));
    }
    wanted
}

/// A tag that says what the image is for: `build` of `app:build`, but not `latest` and no version.
fn tag_word(tag: &str) -> Option<String> {
    let (name, tag) = tag.rsplit_once(':')?;
    let digits = tag
        .trim_start_matches('v')
        .starts_with(|letter: char| letter.is_ascii_digit());
    if tag.contains('/') || name.is_empty() || tag == "latest" || digits {
        return None;
    }
    word(tag)
}

/// `build` of `Dockerfile.build` or `build.Dockerfile`, else the folder that the file stands in.
fn file_word(file: &str) -> Option<String> {
    let name = host::base(file);
    let lower = name.to_ascii_lowercase();
    let cut = |part: &str| part.trim_matches(['.', '-', '_']).to_owned();
    let rest = lower
        .strip_prefix("dockerfile")
        .or(lower.strip_suffix("dockerfile"))
        .map(cut)
        .unwrap_or_default();
    if !rest.is_empty() {
        return word(&rest);
    }
    let folder = file.rsplit_once('/').map(|(folder, _)| host::base(folder))?;
    word(folder)
}

/// `app` of `registry/team/app:1.0`.
fn image_word(tag: &str) -> Option<String> {
    let name = host::base(tag);
    word(name.split([':', '@']).next().unwrap_or(name))
}

/// Text as the name of a stage.
fn word(text: &str) -> Option<String> {
    if text.contains('$') {
        return None;
    }
    let letter = |letter: char| match letter.to_ascii_lowercase() {
        letter if letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_' | '.') => letter,
        _ => '-',
    };
    let name: String = text.chars().map(letter).collect();
    let name = name.trim_start_matches(|letter: char| !letter.is_ascii_lowercase());
    let name = name.trim_end_matches(['-', '.', '_']);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_tags_and_files() {
        assert_eq!(tag_word("a/b:build"), Some("build".into()));
        assert_eq!(
            (tag_word("a/b:1.2"), tag_word("a:latest"), tag_word("host:5000/a")),
            (None, None, None)
        );
        assert_eq!(file_word("Dockerfile.build"), Some("build".into()));
        assert_eq!(file_word("docker/Test.Dockerfile"), Some("test".into()));
        assert_eq!(file_word("web/Dockerfile"), Some("web".into()));
        assert_eq!(file_word("Dockerfile"), None);
        assert_eq!(image_word("host:5000/x/My_App:1"), Some("my_app".into()));
    }
}

//! `CopyFromMissingPath`: A path is copied from a stage that cannot have it.
//!
//! What a stage has can be told only if it starts from nothing and runs no command: then it has what was copied into
//! it, and the folders that this is in.
//!
//! ```dockerfile
//! FROM scratch AS assets
//! COPY logo.svg /assets/
//! FROM nginx
//! COPY --from=assets /images /usr/share/nginx/html
//! ```

use crate::analysis::Base;
use crate::instruction::Instruction;
use crate::lint::Rule;
use crate::lint::file::{File, Stage};
use crate::lint::finding::Found;
use crate::path::clean;

pub(super) const RULE: Rule = Rule::own(
    "CopyFromMissingPath",
    "A path is copied from a stage that cannot have it.",
    check,
);

fn check(file: &File<'_>, found: &mut Vec<Found>) {
    let mut contents: Vec<Option<Contents>> = Vec::new();
    for stage in &file.stages {
        contents.push(Contents::of(file, stage, &contents));
    }
    for step in file.steps() {
        let Some(Instruction::Copy(copy)) = step.instruction() else {
            continue;
        };
        let Some(from) = &copy.from else { continue };
        let stage = match from.text.parse::<usize>() {
            Ok(number) => Some(number),
            Err(_) => file.study.plan.resolved.by_name(&from.text),
        };
        let known = stage.and_then(|stage| contents.get(stage)?.as_ref());
        let (Some(known), Some((_, sources)), None) =
            (known, step.worked.words.split_last(), step.worked.failed)
        else {
            continue;
        };
        if copy.parents {
            continue;
        }
        for source in sources {
            if !known.may_have(source) {
                let nodes = &file.study.plan.resolved.nodes;
                let node = stage.and_then(|stage| nodes.get(stage));
                let label = node.map_or(from.text.as_str(), |node| &*node.label);
                let message = format!("Nothing puts {source} into {label}, which starts from nothing.");
                found.push(Found::done(step, message));
            }
        }
    }
}

/// A stage that has more places than that is not looked at.
const MOST: usize = 200;

/// What a stage has, whose every file comes from an instruction that says where it goes.
#[derive(Clone, Default)]
struct Contents {
    /// Where files are put, absolute and clean; anything may be below.
    places: Vec<String>,
    dir: String,
}

impl Contents {
    /// `None` where it cannot be known.
    fn of(file: &File<'_>, stage: &Stage<'_>, before: &[Option<Self>]) -> Option<Self> {
        let node = file.study.plan.resolved.nodes.get(stage.index)?;
        let mut contents = match file.study.plan.bases.get(stage.index)? {
            // A folder of the client's may stand in the place of an image, or of the whole stage.
            _ if node.replaced => return None,
            Base::Scratch if node.base_name == "scratch" => Self::default(),
            Base::Stage(base) => before.get(*base)?.clone()?,
            _ => return None,
        };
        if stage.os == "windows" || !stage.needed && stage.base.is_some() {
            // Triggers of a stage that nobody needs are not looked at.
            return None;
        }
        for step in &stage.steps {
            if step.worked.failed.is_some() {
                return None;
            }
            match step.instruction()? {
                Instruction::Run(_) => return None,
                Instruction::Workdir(_) => {
                    contents.dir = contents.absolute(step.worked.words.first()?);
                    let dir = contents.dir.clone();
                    contents.places.push(dir);
                }
                Instruction::Add(_) | Instruction::Copy(_) => {
                    let place = contents.absolute(step.worked.words.last()?);
                    contents.places.push(place);
                }
                _ => {}
            }
        }
        // Who starts from it has all of it again, and each copy is compared with all of it.
        (contents.places.len() <= MOST).then_some(contents)
    }

    fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') {
            clean(path).into()
        } else {
            clean(&[&self.dir, "/", path].concat()).into()
        }
    }

    fn may_have(&self, source: &str) -> bool {
        let path = clean(&["/", source].concat()).into_owned();
        // Behind a wildcard nothing is known.
        let wild = path.find(['*', '?', '[', '\\']);
        let certain = match wild {
            Some(wild) => {
                let before = path.get(..wild).unwrap_or_default();
                before.rsplit_once('/').map_or("", |(folder, _)| folder)
            }
            None => path.trim_end_matches('/'),
        };
        let below = |path: &str, folder: &str| {
            let rest = path.strip_prefix(folder.trim_end_matches('/'));
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
        };
        let mut places = self.places.iter().map(String::as_str);
        // The root is always there.
        certain.is_empty() || places.any(|place| below(certain, place) || below(place, certain))
    }
}

#[cfg(test)]
mod tests {
    use crate::lint::lines_of;

    fn lines(stage: &str, sources: &str) -> Vec<u32> {
        let source = format!("FROM scratch\nCOPY --from=a {sources} /out/\nFROM scratch AS a\n{stage}");
        // The stage has to stand before the one that copies from it.
        let (first, second) = source.split_once("FROM scratch AS a\n").unwrap();
        lines_of(
            "CopyFromMissingPath",
            &format!("FROM scratch AS a\n{second}{first}"),
        )
    }

    #[test]
    fn says_so() {
        assert_eq!(lines("COPY x /a/b\n", "/c"), [4]);
        assert_eq!(lines("WORKDIR /w\nCOPY x y\n", "/a/y /w/y"), [5]);
        assert_eq!(lines("", "/c"), [3]);
    }

    #[test]
    fn what_may_be_there_is_believed_to_be() {
        for (stage, sources) in [
            ("COPY x /a/b\n", "/a/b/c /a /"),
            ("COPY . /\n", "/c"),
            ("RUN make\n", "/c"),
            ("WORKDIR /w\nCOPY x .\n", "/w/x"),
            ("COPY x /a/b\n", "/a/*/c"),
            ("COPY <<E /e\nE\n", "/e"),
        ] {
            assert_eq!(lines(stage, sources), [0; 0], "{stage}");
        }
        assert_eq!(
            lines_of(
                "CopyFromMissingPath",
                "FROM alpine AS a\nFROM scratch\nCOPY --from=a /c /\n"
            ),
            [0; 0]
        );
    }
}

//! `--build-context`: what stands in the place of images, stages and folders that a Dockerfile names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stagewright_core::analysis::{NamedContext, Options};

use super::{Failure, dockerfile};

/// What a build's own context is called in its definition.
pub(super) const OWN: &str = "context";

/// A folder that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Folder {
    pub(super) path: PathBuf,
    /// The text of its `.dockerignore`; empty where it has none.
    pub(super) ignore: String,
}

/// Puts the contexts into `options`, and gives the folders among them by what the definition calls them.
pub(super) fn read(given: &[String], options: &mut Options) -> Result<BTreeMap<String, Folder>, Failure> {
    let mut folders = BTreeMap::new();
    for written in given {
        let named = written
            .split_once('=')
            .filter(|(name, value)| !name.is_empty() && !value.is_empty());
        let Some((name, value)) = named else {
            let what = if written.contains('=') {
                "is half empty"
            } else {
                "has no value"
            };
            return Err(
                Failure::new(Failure::USAGE, format!("--build-context {written:?} {what}"))
                    .hint("write --build-context NAME=PATH, or NAME=docker-image://IMAGE"),
            );
        };
        let mut context = NamedContext::read(name, value);
        if let NamedContext::Local(local) = &mut context {
            let folder = folder(name, value)?;
            if !folder.ignore.is_empty() {
                local.ignore = Some(folder.ignore.clone());
            }
            folders.insert(local.name.clone(), folder);
        }
        options.contexts.insert(name.to_owned(), context);
    }
    Ok(folders)
}

fn folder(name: &str, value: &str) -> Result<Folder, Failure> {
    if name == OWN {
        return Err(Failure::new(
            Failure::USAGE,
            format!("--build-context {name:?} cannot be a folder: the build's own context is called so"),
        )
        .hint("give it another name, here and in the Dockerfile"));
    }
    let path = Path::new(value);
    if !path.is_dir() {
        return Err(Failure::new(
            Failure::USAGE,
            format!("--build-context {name:?} is {value}, which is no folder"),
        )
        .hint("name a folder, docker-image://IMAGE, or the address of a git repository or of a file"));
    }
    let ignore = path.join(".dockerignore");
    Ok(Folder {
        path: path.to_owned(),
        ignore: if ignore.is_file() {
            dockerfile::text(&ignore)?.1
        } else {
            String::new()
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_read_with_their_ignore_files_and_the_rest_is_left_to_the_planner() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(".dockerignore"), "secret\n").unwrap();
        let mut options = Options::default();
        let given = [
            format!("assets={}", folder.path().display()),
            "alpine=docker-image://debian:12".to_owned(),
        ];
        let folders = read(&given, &mut options).unwrap();
        assert_eq!(folders["assets"].ignore, "secret\n");
        assert_eq!(folders.len(), 1);
        let NamedContext::Local(local) = &options.contexts["assets"] else {
            panic!("{:?}", options.contexts)
        };
        assert_eq!(local.ignore.as_deref(), Some("secret\n"));
        assert_eq!(
            options.contexts["alpine"],
            NamedContext::Image("debian:12".into())
        );
    }

    #[test]
    fn what_cannot_be_a_context_says_what_can() {
        for (given, said) in [
            ("x", "has no value"),
            ("=x", "half empty"),
            ("x=", "half empty"),
            ("x=/no/such/folder", "no folder"),
            ("context=.", "own context"),
        ] {
            let failure = read(&[given.to_owned()], &mut Options::default()).unwrap_err();
            assert!(failure.message.contains(said), "{failure}");
            assert!(failure.hint.is_some(), "{failure}");
        }
    }
}

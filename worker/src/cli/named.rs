//! `--build-context`: what stands in the place of images, stages and folders that a Dockerfile names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use stagewright_core::analysis::{NamedContext, Options};
use stagewright_core::digest::Digest;

use super::{Failure, dockerfile};
use crate::config::{LayoutImage, layout_place};
use crate::request::sources::{Folder, OWN};
use crate::source::image::image_in_layout;

/// What names stand for that is on this machine.
#[derive(Debug, Default)]
pub(super) struct Contexts {
    /// Folders, by what the definition calls them.
    pub(super) folders: BTreeMap<String, Folder>,
    /// The folders in the OCI image layout that images are taken from, by the images' digests.
    pub(super) layouts: BTreeMap<Digest, PathBuf>,
    /// Images in archives. Which they are is known once the archives are read.
    pub(super) archives: Vec<Archive>,
}

/// An image in an archive that a name stands for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Archive {
    pub(super) name: String,
    pub(super) path: PathBuf,
    pub(super) image: LayoutImage,
}

/// Puts the contexts into `options`, but for archives, and gives what is on this machine.
pub(super) fn read(given: &[String], options: &mut Options) -> Result<Contexts, Failure> {
    let mut contexts = Contexts::default();
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
        if let Some((path, image)) = in_a_file(value) {
            let (name, path) = (name.to_owned(), path.into());
            contexts.archives.push(Archive { name, path, image });
            continue;
        }
        let mut context = NamedContext::read(name, value);
        match &mut context {
            NamedContext::Local(local) => {
                let folder = folder(name, value)?;
                if !folder.ignore.is_empty() {
                    local.ignore = Some(folder.ignore.clone());
                }
                contexts.folders.insert(local.name.clone(), folder);
            }
            NamedContext::OciLayout(place) => {
                let (path, image) = layout(place);
                let digest = image_in_layout(Path::new(path), &image).map_err(|error| {
                    Failure::new(
                        Failure::USAGE,
                        format!("--build-context {name:?} is no image: {error}"),
                    )
                    .hint("write NAME=oci-layout://FOLDER, with :TAG or @DIGEST where it has several images")
                })?;
                contexts.layouts.insert(digest.clone(), path.into());
                *place = pinned(name, &digest);
            }
            NamedContext::Image(_) | NamedContext::Remote(_) => {}
        }
        options.contexts.insert(name.to_owned(), context);
    }
    Ok(contexts)
}

/// What the planner calls an image that is brought along under a name.
pub(super) fn pinned(name: &str, digest: &Digest) -> String {
    let store = name.split("::").next().unwrap_or(name);
    format!("{store}@{digest}")
}

/// Where a layout is, and which of its images is meant: a digest says it alone, whatever tag stands before it.
fn layout(place: &str) -> (&str, LayoutImage) {
    match layout_place(place) {
        (path, LayoutImage::Digest(digest)) => (layout_place(path).0, LayoutImage::Digest(digest)),
        found => found,
    }
}

/// The archive that is meant, where it is one: `oci-archive:FILE`, `docker-archive:FILE`, or a file where a layout is a
/// folder.
fn in_a_file(value: &str) -> Option<(&str, LayoutImage)> {
    let behind = |scheme: &str| {
        value
            .strip_prefix(scheme)
            .map(|rest| rest.trim_start_matches("//"))
    };
    if let Some(place) = behind("oci-archive:").or_else(|| behind("docker-archive:")) {
        return Some(layout(place));
    }
    let (path, image) = layout(behind("oci-layout:")?);
    Path::new(path).is_file().then_some((path, image))
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
        .hint(
            "name a folder, docker-image://IMAGE, oci-layout://FOLDER, or the address of a git repository or of a file",
        ));
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
        let folders = read(&given, &mut options).unwrap().folders;
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
    fn layouts_are_pinned_to_what_their_index_says_and_archives_are_kept_for_later() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (Digest::of(b"1"), Digest::of(b"2"));
        let entry = |digest: &Digest, tag: &str| {
            serde_json::json!({
                "mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": digest, "size": 1,
                "annotations": { "org.opencontainers.image.ref.name": tag },
            })
        };
        let index =
            serde_json::json!({ "schemaVersion": 2, "manifests": [entry(&one, "a"), entry(&two, "b")] });
        std::fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
        std::fs::write(folder.path().join("saved.tar"), "").unwrap();
        let place = folder.path().display();
        let given = [
            format!("tagged=oci-layout://{place}:b"),
            format!("pinned::linux/arm64=oci-layout://{place}:b@{one}"),
            format!("saved=oci-layout://{place}/saved.tar:b"),
            "other=docker-archive:some/where.tar".to_owned(),
        ];
        let mut options = Options::default();
        let contexts = read(&given, &mut options).unwrap();
        assert_eq!(
            options.contexts["tagged"],
            NamedContext::OciLayout(format!("tagged@{two}"))
        );
        assert_eq!(
            options.contexts["pinned::linux/arm64"],
            NamedContext::OciLayout(format!("pinned@{one}"))
        );
        assert_eq!(contexts.layouts[&two], folder.path());
        let archives: Vec<_> = contexts
            .archives
            .iter()
            .map(|archive| (archive.name.as_str(), &archive.image))
            .collect();
        assert_eq!(
            archives,
            [
                ("saved", &LayoutImage::Name("b".into())),
                ("other", &LayoutImage::Only)
            ]
        );
        let failure = read(&[format!("x=oci-layout://{place}")], &mut options).unwrap_err();
        assert!(failure.message.contains("more than one"), "{failure}");
    }

    #[test]
    fn what_cannot_be_a_context_says_what_can() {
        for (given, said) in [
            ("x", "has no value"),
            ("=x", "half empty"),
            ("x=", "half empty"),
            ("x=/no/such/folder", "no folder"),
            ("x=oci-layout:///no/such/folder", "is no image"),
            ("context=.", "own context"),
        ] {
            let failure = read(&[given.to_owned()], &mut Options::default()).unwrap_err();
            assert!(failure.message.contains(said), "{failure}");
            assert!(failure.hint.is_some(), "{failure}");
        }
    }
}

//! The files of a build's result, outside of the worker: a folder, or a tar.

use std::collections::BTreeMap;
use std::fs;
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};

use tokio_util::sync::CancellationToken;

use super::ops::StepFailure;
use super::target::{Metadata, Target};
use super::tree::{Attributes, DirectoryTree, Node, NodeKind, Tree};
use crate::backend::{FilesOutput, timestamp};
use crate::export::NewFile;
use crate::provenance::{Draft, Subject, statement};
use crate::snapshot::{DiffOptions, diff};

/// The provenance of the files under `root`, as a statement about each of them.
pub(crate) fn stated(root: &Path, draft: &Draft) -> Result<Vec<u8>, StepFailure> {
    fn walk(tree: &DirectoryTree, path: &Path, subjects: &mut Vec<Subject>) -> io::Result<()> {
        for name in tree.names(path)? {
            let path = path.join(name);
            match tree.look(&path)?.map(|node| node.kind) {
                Some(NodeKind::Directory) => walk(tree, &path, subjects)?,
                Some(NodeKind::File(_)) => {
                    let digest = tree.digest(&path)?;
                    subjects.push(Subject::file(path.to_string_lossy().into_owned(), digest));
                }
                _ => {}
            }
        }
        Ok(())
    }
    let mut subjects = Vec::new();
    DirectoryTree::open_root(root)
        .and_then(|tree| walk(&tree, Path::new(""), &mut subjects))
        .map_err(|error| {
            StepFailure::new(format!("the files cannot be read for their provenance: {error}"))
        })?;
    let predicate = draft.predicate(&timestamp(), &BTreeMap::new());
    serde_json::to_vec_pretty(&statement(&subjects, &predicate)).map_err(StepFailure::internal)
}

/// Writes the files under `root` to where they are wanted. With `epoch` all are dated so.
pub(crate) fn deliver(
    root: &Path,
    output: &FilesOutput,
    epoch: Option<i64>,
    cancel: &CancellationToken,
) -> Result<(), StepFailure> {
    match output {
        FilesOutput::Folder(place) => {
            let failed = |error: io::Error| {
                StepFailure::new(format!(
                    "the files cannot be written to {}: {error}",
                    place.display()
                ))
            };
            fs::create_dir_all(place).map_err(failed)?;
            let delivery = Delivery {
                source: DirectoryTree::open_root(root).map_err(failed)?,
                target: Target::open(place).map_err(failed)?,
                place,
                owner: (
                    rustix::process::geteuid().as_raw(),
                    rustix::process::getegid().as_raw(),
                ),
                epoch,
                cancel,
            };
            delivery.directory(Path::new(""), &mut BTreeMap::new())
        }
        FilesOutput::Tar(place) => {
            let failed = |error: io::Error| {
                StepFailure::new(format!(
                    "the files cannot be written to {}: {error}",
                    place.display()
                ))
            };
            let mut file = NewFile::create(place).map_err(failed)?;
            tar(root, epoch, file.file())?;
            file.finish().map_err(failed)
        }
        FilesOutput::Kept(place) => {
            let failed =
                |error: io::Error| StepFailure::new(format!("the files cannot be kept here: {error}"));
            let mut file = NewFile::create(place).map_err(failed)?;
            tar(root, epoch, file.file())?;
            file.finish().map_err(failed)
        }
        FilesOutput::TarToStandardOutput => tar(root, epoch, &mut io::stdout().lock()),
    }
}

fn tar(root: &Path, epoch: Option<i64>, out: &mut dyn Write) -> Result<(), StepFailure> {
    let options = DiffOptions {
        source_date_epoch: epoch,
        exactly: true,
    };
    let mut out = BufWriter::with_capacity(1 << 20, out);
    // What lies on nothing is written whole.
    diff(root, &[], &options, &mut out)?;
    out.flush()
        .map_err(|error| StepFailure::new(format!("the tar of the files cannot be written: {error}")))
}

struct Delivery<'a> {
    source: DirectoryTree,
    target: Target,
    place: &'a Path,
    /// Who runs this: the files become theirs, whoever owned them in the image.
    owner: (u32, u32),
    epoch: Option<i64>,
    cancel: &'a CancellationToken,
}

impl Delivery<'_> {
    /// Copies what is in a directory. What is there already under other names stays.
    fn directory(&self, path: &Path, links: &mut BTreeMap<(u64, u64), PathBuf>) -> Result<(), StepFailure> {
        for name in self
            .source
            .names(path)
            .map_err(|error| self.failed(path, &error))?
        {
            if self.cancel.is_cancelled() {
                return Err(StepFailure::cancelled());
            }
            let path = path.join(name);
            // Marks of removed names are no files.
            let found = self
                .source
                .look(&path)
                .map_err(|error| self.failed(&path, &error))?;
            let Some(node) = found else { continue };
            self.entry(&path, &node, links)
                .map_err(|error| self.failed(&path, &error))?;
            if node.is_directory() {
                self.directory(&path, links)?;
                // Its time and mode come last: a directory that nobody may write to can be filled until then.
                self.finish(&path, &node)
                    .map_err(|error| self.failed(&path, &error))?;
            }
        }
        Ok(())
    }

    fn entry(&self, path: &Path, node: &Node, links: &mut BTreeMap<(u64, u64), PathBuf>) -> io::Result<()> {
        let there = self.target.tree().look(path)?;
        if node.is_directory() {
            match there {
                Some(there) if there.is_directory() => return Ok(()),
                // A link to a directory is not followed: what it leads to is not ours to fill.
                Some(_) => self.target.remove(path)?,
                None => {}
            }
            return self.target.make_directory(path);
        }
        if there.is_some_and(|there| there.is_directory()) {
            return Err(io::Error::other("a directory stands where a file is to go"));
        }
        self.target.remove(path)?;
        if let Some(identity) = node.identity {
            if let Some(first) = links.get(&identity) {
                return self.target.hard_link(first, path);
            }
            links.insert(identity, path.to_owned());
        }
        if !self.target.make_leaf(path, &self.source, path, node)? {
            return Ok(());
        }
        self.finish(path, node)
    }

    fn finish(&self, path: &Path, node: &Node) -> io::Result<()> {
        let link = matches!(node.kind, NodeKind::Symlink(_));
        let plain = matches!(node.kind, NodeKind::File(_) | NodeKind::Directory);
        let metadata = Metadata {
            owner: self.owner,
            mode: (!link).then_some(node.mode),
            modified: Some(self.epoch.map_or(node.modified, |epoch| (epoch, 0))),
            attributes: if plain {
                self.source.attributes(path)?
            } else {
                Attributes::new()
            },
        };
        self.target.set(path, &metadata)
    }

    fn failed(&self, path: &Path, error: &io::Error) -> StepFailure {
        let place = self.place.join(path);
        StepFailure::new(format!("{} cannot be written: {error}", place.display()))
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _, symlink};

    use super::*;

    fn source() -> tempfile::TempDir {
        let source = tempfile::tempdir().unwrap();
        let path = |name: &str| source.path().join(name);
        fs::create_dir_all(path("bin/deep")).unwrap();
        fs::write(path("bin/app"), "program").unwrap();
        fs::set_permissions(path("bin/app"), fs::Permissions::from_mode(0o4750)).unwrap();
        fs::hard_link(path("bin/app"), path("bin/again")).unwrap();
        symlink("app", path("bin/link")).unwrap();
        fs::set_permissions(path("bin/deep"), fs::Permissions::from_mode(0o555)).unwrap();
        source
    }

    fn run(source: &Path, output: &FilesOutput, epoch: Option<i64>) -> Result<(), StepFailure> {
        deliver(source, output, epoch, &CancellationToken::new())
    }

    #[test]
    fn folder_gets_the_files_with_modes_links_and_times_and_keeps_its_own() {
        let (source, place) = (source(), tempfile::tempdir().unwrap());
        let out = place.path().join("a/out");
        fs::create_dir_all(out.join("bin")).unwrap();
        fs::write(out.join("own"), "stays").unwrap();
        fs::write(out.join("bin/app"), "is replaced").unwrap();
        run(source.path(), &FilesOutput::Folder(out.clone()), Some(7)).unwrap();
        assert_eq!(fs::read_to_string(out.join("own")).unwrap(), "stays");
        assert_eq!(fs::read_to_string(out.join("bin/link")).unwrap(), "program");
        let app = fs::metadata(out.join("bin/app")).unwrap();
        assert_eq!((app.mode() & 0o7777, app.mtime()), (0o4750, 7));
        assert_eq!(app.ino(), fs::metadata(out.join("bin/again")).unwrap().ino());
        let deep = fs::metadata(out.join("bin/deep")).unwrap();
        assert_eq!((deep.mode() & 0o7777, deep.mtime()), (0o555, 7));
        // Once more over what is there.
        run(source.path(), &FilesOutput::Folder(out.clone()), None).unwrap();
        assert_ne!(fs::metadata(out.join("bin/app")).unwrap().mtime(), 7);
    }

    #[test]
    fn link_in_the_folder_does_not_lead_the_files_elsewhere() {
        let (source, place) = (source(), tempfile::tempdir().unwrap());
        let (out, elsewhere) = (place.path().join("out"), place.path().join("elsewhere"));
        fs::create_dir_all(&out).unwrap();
        fs::create_dir_all(&elsewhere).unwrap();
        symlink(&elsewhere, out.join("bin")).unwrap();
        run(source.path(), &FilesOutput::Folder(out.clone()), None).unwrap();
        assert_eq!(fs::read_dir(&elsewhere).unwrap().count(), 0);
        assert!(out.join("bin/app").is_file());
    }

    #[test]
    fn directory_in_the_way_is_said_with_its_place() {
        let (source, place) = (source(), tempfile::tempdir().unwrap());
        fs::create_dir_all(place.path().join("bin/app/full")).unwrap();
        let output = FilesOutput::Folder(place.path().to_owned());
        let failure = run(source.path(), &output, None).unwrap_err();
        assert!(
            failure.message.contains("bin/app cannot be written"),
            "{failure:?}"
        );
    }

    #[test]
    fn tar_has_everything_dated_alike_and_appears_whole_or_not_at_all() {
        let (source, place) = (source(), tempfile::tempdir().unwrap());
        let path = place.path().join("files.tar");
        run(source.path(), &FilesOutput::Tar(path.clone()), Some(7)).unwrap();
        let mut archive = tar::Archive::new(fs::File::open(&path).unwrap());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| {
                let entry = entry.unwrap();
                assert_eq!(entry.header().mtime().unwrap(), 7);
                entry.path().unwrap().display().to_string()
            })
            .collect();
        assert_eq!(names, ["bin/", "bin/again", "bin/app", "bin/deep/", "bin/link"]);
        let lacking = place.path().join("no/such/files.tar");
        assert!(run(source.path(), &FilesOutput::Tar(lacking), None).is_err());
        assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    }
}

//! Files of a result that another backend made: out of its tar, and to where they are wanted.

use std::fs::{self, File};
use std::io::{self, Read, Seek as _};
use std::path::Path;

use tokio_util::sync::CancellationToken;

use crate::backend::FilesOutput;
use crate::provenance::Draft;

/// Unpacks the tar that `archive` gives, all of it, into `folder`; `place` is for a file that is soon gone again. Blocks.
pub(crate) fn unpack(mut archive: impl Read, place: &Path, folder: &Path) -> Result<(), String> {
    let mut unpack = || {
        let mut file = File::options()
            .read(true)
            .write(true)
            .create_new(true)
            .open(place)?;
        io::copy(&mut archive, &mut file)?;
        file.rewind()?;
        fs::create_dir_all(folder)?;
        let unpacked = super::unpack_context(&file, folder).map_err(io::Error::other)?;
        fs::remove_file(place)?;
        if unpacked {
            Ok(())
        } else {
            Err(io::Error::other("it is no tar"))
        }
    };
    unpack().map_err(|error| format!("the files of the result cannot be unpacked: {error}"))
}

/// Writes the files under `root` to where they are wanted; with `epoch` all are dated so. Blocks.
pub(crate) fn deliver(
    root: &Path,
    output: &FilesOutput,
    epoch: Option<i64>,
    cancel: &CancellationToken,
) -> Result<(), String> {
    super::deliver::deliver(root, output, epoch, cancel).map_err(|failure| failure.message)
}

/// Lays the provenance of the files under `root` beside them. Blocks.
pub(crate) fn state(root: &Path, draft: &Draft) -> Result<(), String> {
    let stated = super::deliver::stated(root, draft).map_err(|failure| failure.message)?;
    fs::write(root.join(draft.file_name()), stated)
        .map_err(|error| format!("the provenance cannot be written: {error}"))
}

//! Whether what a build is to write on this machine has a place there, found out before anything is built.

use std::io;
use std::path::Path;

use super::obstacle::Obstacle;
use super::output::{Destination, Kind, Output};
use crate::export::{NewFile, check_folder};

/// What stands in the way of the places of outputs.
pub(crate) fn check(outputs: &[Output]) -> Result<(), Obstacle> {
    for output in outputs {
        match &output.kind {
            Kind::Tar(Destination::File(place)) | Kind::Archive(_, Destination::File(place)) => file(place)?,
            Kind::Folder(place, _) | Kind::Layout(place) => folder(place)?,
            Kind::Tar(Destination::StandardOutput)
            | Kind::Archive(_, Destination::StandardOutput)
            | Kind::Kept
            | Kind::Load
            | Kind::Image(_)
            | Kind::Nothing => {}
        }
    }
    Ok(())
}

/// What stands in the way of a file. Its folder has to be there.
pub(crate) fn file(place: &Path) -> Result<(), Obstacle> {
    NewFile::check(place).map_err(|error| {
        let shown = place.display();
        match (error.kind(), place.parent()) {
            (io::ErrorKind::IsADirectory, _) => {
                Obstacle::place(format!("cannot write to {shown}: it is a folder")).hint("name a file in it")
            }
            (io::ErrorKind::NotFound, Some(folder)) if !folder.exists() => Obstacle::place(format!(
                "cannot write to {shown}: there is no folder {}",
                folder.display()
            ))
            .hint("make the folder, or name a file in one that is there"),
            _ => Obstacle::place(format!("cannot write to {shown}: {error}"))
                .hint("name a file in a folder that you may write to"),
        }
    })
}

/// What stands in the way of a folder. One that is not there is made, with those above it.
pub(crate) fn folder(place: &Path) -> Result<(), Obstacle> {
    check_folder(place).map_err(|error| {
        Obstacle::place(format!("cannot write to the folder {}: {error}", place.display()))
            .hint("name a folder that you may write to, or one that can be made")
    })
}

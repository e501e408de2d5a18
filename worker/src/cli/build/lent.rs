//! Images that a build brings along: in OCI layouts, and in archives.

use std::fs::File;

use stagewright_core::analysis::{NamedContext, Options};

use crate::cli::Failure;
use crate::cli::machine::Machine;
use crate::cli::named::{Archive, Contexts, pinned};
use crate::config::LayoutImage;
use crate::storage::load::Loaded;

/// Lets the machine take images from the layouts, and reads the archives into its store.
pub(super) fn lend(machine: &Machine, contexts: &Contexts, options: &mut Options) -> Result<(), Failure> {
    for (image, layout) in &contexts.layouts {
        machine.backend().lend(image, Some(layout));
    }
    for archive in &contexts.archives {
        let Archive { name, path, .. } = archive;
        let cannot = |error: &dyn std::fmt::Display| {
            let place = path.display();
            Failure::new(
                Failure::USAGE,
                format!("--build-context {name:?} cannot be taken from {place}: {error}"),
            )
        };
        let file = File::open(path).map_err(|error| cannot(&error))?;
        let loaded = machine
            .storage
            .load_unnamed(file)
            .map_err(|error| cannot(&error))?;
        let image = chosen(&loaded, &archive.image)
            .map_err(|reason| cannot(&reason).hint("name one of its images: FILE:NAME or FILE@DIGEST"))?;
        machine.backend().lend(&image.digest, None);
        let context = NamedContext::OciLayout(pinned(name, &image.digest));
        options.contexts.insert(name.clone(), context);
    }
    Ok(())
}

/// The image of an archive that is meant.
fn chosen<'l>(loaded: &'l [Loaded], image: &LayoutImage) -> Result<&'l Loaded, String> {
    let meant = |one: &&Loaded| match image {
        LayoutImage::Only => true,
        LayoutImage::Digest(digest) => one.digest == *digest,
        LayoutImage::Name(tag) => one.names.iter().any(|name| name.tag() == Some(tag)),
    };
    let mut found = loaded.iter().filter(meant);
    match (found.next(), found.next()) {
        (Some(only), None) => Ok(only),
        (Some(_), Some(_)) => Err("it has several images".into()),
        (None, _) => Err("it has no such image".into()),
    }
}

//! `VOLUME`: directories whose content is not the image's.

use std::borrow::Cow;

use crate::diagnostic::Problem;
use crate::instruction::volume::{Volume, empty_volume};
use crate::plan::build::Step;
use crate::plan::go;

pub(super) fn lower(step: &mut Step<'_, '_>, volume: &Volume) -> Result<(), Problem> {
    let paths = volume
        .paths
        .iter()
        .map(|path| step.expand_word(path).map(Cow::into_owned))
        .collect::<Result<Vec<_>, _>>()?;
    if let Some((path, _)) = volume.paths.iter().zip(&paths).find(|(_, path)| path.is_empty()) {
        return Err(empty_volume(path));
    }
    step.commit(format!("VOLUME {}", go::list(&paths)), false);
    step.build.image.config.volumes.extend(paths);
    Ok(())
}

//! `ONBUILD`: kept in the image's configuration for those who build on it.

use crate::instruction::onbuild::Onbuild;
use crate::plan::build::Step;

pub(super) fn lower(step: &mut Step<'_, '_>, onbuild: &Onbuild) {
    step.build.image.config.on_build.push(onbuild.expression.clone());
}

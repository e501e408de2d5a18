//! `MAINTAINER`: who made the image, in the way of long ago.

use crate::instruction::maintainer::Maintainer;
use crate::plan::build::Step;

pub(super) fn lower(step: &mut Step<'_, '_>, maintainer: &Maintainer) {
    step.build.image.author.clone_from(&maintainer.name.text);
    step.commit(format!("MAINTAINER {}", maintainer.name.text), false);
}

//! `ENTRYPOINT`: what the image always runs.

use crate::instruction::entrypoint::Entrypoint;
use crate::plan::build::Step;
use crate::plan::go;

pub(super) fn lower(step: &mut Step<'_, '_>, entrypoint: &Entrypoint) {
    let args = super::with_shell(step, &entrypoint.command);
    step.commit(format!("ENTRYPOINT {}", go::quoted_list(&args)), false);
    step.build.image.config.entrypoint = args;
    // A command of the base was meant for the entrypoint of the base.
    if !step.build.has_cmd {
        step.build.image.config.cmd.clear();
    }
}

//! `SHELL`: what reads commands in shell form.

use crate::instruction::shell::Shell;
use crate::plan::build::Step;
use crate::plan::go;

pub(super) fn lower(step: &mut Step<'_, '_>, shell: &Shell) {
    step.build.image.config.shell.clone_from(&shell.command);
    step.commit(format!("SHELL {}", go::list(&shell.command)), false);
}

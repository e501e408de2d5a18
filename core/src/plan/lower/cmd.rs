//! `CMD`: what the image runs where nobody says otherwise.

use crate::instruction::cmd::Cmd;
use crate::plan::build::Step;
use crate::plan::go;

pub(super) fn lower(step: &mut Step<'_, '_>, cmd: &Cmd) {
    let args = super::with_shell(step, &cmd.command);
    step.build.has_cmd = true;
    step.commit(format!("CMD {}", go::quoted_list(&args)), false);
    step.build.image.config.args_escaped = true;
    step.build.image.config.cmd = args;
}

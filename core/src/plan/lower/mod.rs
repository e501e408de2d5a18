//! What each instruction does to the plan. One file per instruction.

mod add;
mod arg;
mod cmd;
mod copy;
mod entrypoint;
mod env;
pub(super) mod expose;
mod files;
mod healthcheck;
mod label;
mod maintainer;
mod mounts;
mod onbuild;
mod run;
mod shell;
mod stopsignal;
mod user;
mod volume;
pub(super) mod workdir;

use crate::diagnostic::Problem;
use crate::instruction::Instruction;

use super::build::Step;

/// Does what an instruction says.
pub(super) fn lower(step: &mut Step<'_, '_>, instruction: &Instruction) -> Result<(), Problem> {
    match instruction {
        Instruction::Add(add) => add::lower(step, add),
        Instruction::Arg(arg) => arg::lower(step, arg),
        Instruction::Cmd(cmd) => {
            cmd::lower(step, cmd);
            Ok(())
        }
        Instruction::Copy(copy) => copy::lower(step, copy),
        Instruction::Entrypoint(entrypoint) => {
            entrypoint::lower(step, entrypoint);
            Ok(())
        }
        Instruction::Env(env) => env::lower(step, env),
        Instruction::Expose(expose) => expose::lower(step, expose),
        // A FROM begins a stage; it is none of its steps.
        Instruction::From(_) => Ok(()),
        Instruction::Healthcheck(healthcheck) => {
            healthcheck::lower(step, healthcheck);
            Ok(())
        }
        Instruction::Label(label) => label::lower(step, label),
        Instruction::Maintainer(maintainer) => {
            maintainer::lower(step, maintainer);
            Ok(())
        }
        Instruction::Onbuild(onbuild) => {
            onbuild::lower(step, onbuild);
            Ok(())
        }
        Instruction::Run(run) => run::lower(step, run),
        Instruction::Shell(shell) => {
            shell::lower(step, shell);
            Ok(())
        }
        Instruction::Stopsignal(stopsignal) => stopsignal::lower(step, stopsignal),
        Instruction::User(user) => user::lower(step, user),
        Instruction::Volume(volume) => volume::lower(step, volume),
        Instruction::Workdir(workdir) => workdir::lower(step, workdir),
    }
}

/// A command as it is run: in shell form, by the shell.
fn with_shell(step: &Step<'_, '_>, args: Vec<String>, shell_form: bool) -> Vec<String> {
    if !shell_form {
        return args;
    }
    let mut words = step.build.image.shell();
    words.push(match <[String; 1]>::try_from(args) {
        Ok([only]) => only,
        Err(args) => args.join(" "),
    });
    words
}

//! What each instruction does to the plan. One file per instruction.

mod files;
mod mounts;

use crate::diagnostic::Problem;
use crate::instruction::{CommandLine, Instruction};
use crate::syntax::instructions;

use super::build::Step;

macro_rules! declare {
    ($($variant:ident $module:ident $name:literal $shape:ident $changes:ident;)*) => {
        $(pub(super) mod $module;)*

        /// Does what an instruction says.
        pub(super) fn lower(step: &mut Step<'_, '_>, instruction: &Instruction) -> Result<(), Problem> {
            match instruction {
                $(Instruction::$variant(instruction) => $module::lower(step, instruction).outcome()),*
            }
        }
    };
}

instructions!(declare);

/// What became of an instruction. With some of them nothing can go wrong.
trait Outcome {
    fn outcome(self) -> Result<(), Problem>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), Problem> {
        Ok(())
    }
}

impl Outcome for Result<(), Problem> {
    fn outcome(self) -> Result<(), Problem> {
        self
    }
}

/// A command as it is run: in shell form, by the shell.
fn with_shell(step: &Step<'_, '_>, command: &CommandLine) -> Vec<String> {
    let mut words = Vec::new();
    if command.shell {
        words.extend(step.build.image.shell().into_iter().map(str::to_owned));
        words.push(command.args.join(" "));
    } else {
        words.extend_from_slice(&command.args);
    }
    words
}

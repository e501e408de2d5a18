//! The `stagewright` binary; all of it is in the library, where tests reach it.

use std::process::ExitCode;

fn main() -> ExitCode {
    stagewright::cli::run()
}

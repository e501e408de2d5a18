//! The `stagewright` binary; all of it is in the library, where tests reach it.

use std::process::ExitCode;

/// Planning is mostly small allocations, and takes half the time that it takes with glibc's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    stagewright::cli::run()
}

//! `stagewright doctor`: what this machine allows.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::log::Voice;
use super::{Failure, backend, machine, print};
use crate::backend::buildkit::{self, Route};
use crate::sandbox::{self, Report};

/// Say what this machine allows a worker to do
///
/// Tries each thing out and leaves nothing behind. Ends with 0 where builds can run here, else with 1. With a BuildKit that
/// is to build, whether that one can. A worker that is at work is not disturbed.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    backend: backend::Arguments,

    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.machine.prepare(Voice::Command)?;
    // What is tried out there has a folder of its own, which is in nobody's way.
    let (place, alone) = arguments.machine.beside()?;
    let routes = arguments.backend.routes(&arguments.machine.config()?)?;
    if !routes.is_empty() {
        return daemons(routes);
    }
    let report = sandbox::probe(&place);
    let mut text = table(&report);
    if alone.is_none() {
        _ = writeln!(text, "A worker is at work in {}.", place.display());
    }
    print(&text)?;
    Ok(if report.can_build() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Failure::WORK)
    })
}

/// How the daemons are that are to build.
fn daemons(routes: Vec<Route>) -> Result<ExitCode, Failure> {
    let failed = |error: std::io::Error| Failure::new(Failure::PLACE, error.to_string());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(failed)?;
    let found = runtime.block_on(buildkit::look(routes));
    let mut text = String::new();
    for (route, answer) in &found {
        _ = match answer {
            Ok(about) => {
                let platforms: Vec<String> = about.platforms.iter().map(ToString::to_string).collect();
                let platforms = platforms.join(", ");
                writeln!(
                    text,
                    "ok  {:<12} {}: {}, for {platforms}",
                    "buildkit", route.address, about.version
                )
            }
            Err(error) => writeln!(text, "no  {:<12} {error}", "buildkit"),
        };
    }
    let well = found.iter().any(|(_, answer)| answer.is_ok());
    text.push_str(if well {
        "Builds run there.\n"
    } else {
        "Builds do not run; planning does.\n"
    });
    print(&text)?;
    Ok(if well {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(Failure::WORK)
    })
}

fn table(report: &Report) -> String {
    let mut text = String::new();
    for capability in &report.capabilities {
        let (mark, said) = match &capability.state {
            Ok(found) => ("ok", found),
            Err(lacking) if capability.required => ("no", lacking),
            Err(lacking) => ("--", lacking),
        };
        _ = writeln!(text, "{mark}  {:<12} {said}", capability.name);
    }
    text.push_str(if report.can_build() {
        "Builds run on this machine.\n"
    } else {
        "Builds do not run on this machine; planning does.\n"
    });
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sandbox::Capability;

    #[test]
    fn what_is_needed_is_told_from_what_would_be_nice() {
        let capability = |name, required, state| Capability {
            name,
            required,
            state,
        };
        let mut report = Report {
            capabilities: vec![
                capability("overlay", true, Ok("works".into())),
                capability("limits", false, Err("No cgroups.".into())),
            ],
        };
        let text = table(&report);
        assert!(
            text.starts_with("ok  overlay      works\n--  limits       No cgroups.\n"),
            "{text}"
        );
        assert!(text.ends_with("Builds run on this machine.\n"));
        report
            .capabilities
            .push(capability("seccomp", true, Err("Not there.".into())));
        assert!(table(&report).contains("no  seccomp"));
    }
}

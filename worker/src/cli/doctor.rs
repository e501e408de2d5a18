//! `stagewright doctor`: what this machine allows.

use std::fmt::Write as _;
use std::process::ExitCode;

use super::{Failure, machine, print};
use crate::sandbox::{self, Report};

/// Say what this machine allows a worker to do
///
/// Tries each thing out and leaves nothing behind. Ends with 0 where builds can run here, else with 1.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    machine: machine::Arguments,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    arguments.machine.prepare()?;
    let state = arguments.machine.state()?;
    let report = sandbox::probe(&state.path);
    print(&table(&report))?;
    Ok(if report.can_build() {
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

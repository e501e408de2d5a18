//! The command line: one file per command.
//!
//! A command returns its exit code or a [`Failure`]; only [`run`] turns the latter into text, so every error reads
//! alike: what happened, then what to do.

use std::fmt::{Display, Formatter, Result as FmtResult};
use std::io::{IsTerminal as _, Write as _};
use std::path::Path;
use std::process::ExitCode;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{CommandFactory as _, FromArgMatches as _, Parser, Subcommand};

use crate::export::NewFile;
use crate::request::obstacle::{Kind, Obstacle};

mod backend;
mod build;
mod changes;
mod check;
mod convert;
mod diff;
mod dockerfile;
mod doctor;
mod du;
mod environment;
mod explain;
mod fmt;
mod history;
mod image;
mod link;
mod log;
mod machine;
mod mdbook;
mod measure;
mod named;
mod outline;
mod output;
mod plan;
mod progress;
mod prune;
mod report;
mod secrets;
mod serve;
mod signals;
mod state;
mod steps;
mod style;
mod switches;
mod targets;
mod terminal;
mod token;

/// Plans container builds and carries them out.
#[derive(Debug, Parser)]
#[command(
    name = "stagewright",
    version,
    about,
    max_term_width = 100,
    disable_help_subcommand = true
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Serve(serve::Arguments),
    // As many flags as `docker build` has.
    Build(Box<build::Arguments>),
    Plan(plan::Arguments),
    Check(check::Arguments),
    Explain(explain::Arguments),
    Diff(diff::Arguments),
    Outline(outline::Arguments),
    Targets(targets::Arguments),
    Convert(convert::Arguments),
    Fmt(fmt::Arguments),
    Mdbook(mdbook::Arguments),
    Image(image::Arguments),
    History(history::Arguments),
    Du(du::Arguments),
    Prune(prune::Arguments),
    Token(token::Arguments),
    Doctor(doctor::Arguments),
}

/// Why a command could not do its work.
#[derive(Debug)]
struct Failure {
    /// What happened, in one sentence.
    message: String,
    /// What to do next.
    hint: Option<String>,
    code: u8,
}

impl Failure {
    /// The work itself failed: the file has errors, the build broke.
    const WORK: u8 = 1;
    /// It was asked for wrongly: a file that is not there, an address that may not be used.
    const USAGE: u8 = 2;
    /// The machine stands in the way: the address is taken, the state folder is in use or cannot be written.
    const PLACE: u8 = 3;

    fn new(code: u8, message: impl Into<String>) -> Self {
        Self {
            message: message.into(),
            hint: None,
            code,
        }
    }

    fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}

impl From<Obstacle> for Failure {
    fn from(obstacle: Obstacle) -> Self {
        let code = match obstacle.kind {
            Kind::Work => Self::WORK,
            Kind::Usage => Self::USAGE,
            Kind::Place => Self::PLACE,
        };
        Self {
            message: obstacle.message,
            hint: obstacle.hint,
            code,
        }
    }
}

impl Display for Failure {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> FmtResult {
        // The last words of a step may be in it.
        let message = output::settled(&self.message);
        write!(formatter, "error: {}", style::plain(&message))?;
        if let Some(hint) = &self.hint {
            write!(formatter, "\n  help: {}", style::plain(hint))?;
        }
        Ok(())
    }
}

/// What the system says of a full disk, whoever passes it on.
const FULL: &str = "No space left on device";

/// Reads the process's arguments and does what they ask for.
pub fn run() -> ExitCode {
    let mut program = environment::without_empty_variables(Arguments::command());
    let given = match switches::without_values(&program, std::env::args_os()) {
        Ok(given) => given,
        Err(failure) => return told(&failure),
    };
    let read = program
        .try_get_matches_from_mut(given)
        .and_then(|matches| Arguments::from_arg_matches(&matches))
        .map_err(|error| error.format(&mut program));
    let arguments = match read {
        Ok(arguments) => arguments,
        Err(error) => return unreadable(&error),
    };
    let result = match arguments.command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Build(arguments) => build::run(&arguments),
        Command::Plan(arguments) => plan::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Explain(arguments) => explain::run(&arguments),
        Command::Diff(arguments) => diff::run(&arguments),
        Command::Outline(arguments) => outline::run(&arguments),
        Command::Targets(arguments) => targets::run(&arguments),
        Command::Convert(arguments) => convert::run(&arguments),
        Command::Fmt(arguments) => fmt::run(&arguments),
        Command::Mdbook(arguments) => mdbook::run(&arguments),
        Command::History(arguments) => history::run(&arguments),
        Command::Image(arguments) => image::run(&arguments),
        Command::Du(arguments) => du::run(&arguments),
        Command::Prune(arguments) => prune::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Doctor(arguments) => doctor::run(&arguments),
    };
    match result {
        Ok(code) => code,
        Err(mut failure) => {
            if failure.hint.is_none() && failure.message.contains(FULL) {
                failure = failure
                    .hint("the disk is full: `stagewright prune` makes room where the state folder is");
            }
            told(&failure)
        }
    }
}

/// Says why a command could not do its work. Where standard error is gone too, the exit code is all that is left to say it.
fn told(failure: &Failure) -> ExitCode {
    _ = writeln!(std::io::stderr(), "{failure}");
    ExitCode::from(failure.code)
}

/// Says what is wrong with the arguments, or helps where help was asked for.
fn unreadable(error: &clap::Error) -> ExitCode {
    let flag = match error.get(ContextKind::InvalidArg) {
        Some(ContextValue::String(flag)) if error.kind() == ErrorKind::UnknownArgument => flag,
        _ => error.exit(),
    };
    let building = std::env::args_os()
        .nth(1)
        .is_some_and(|command| command == "build");
    let Some(why) = build::refused::why(flag).filter(|_| building) else {
        error.exit()
    };
    let failure = Failure::new(
        Failure::USAGE,
        format!("docker build has a flag {flag}, and this has not"),
    );
    told(&failure.hint(why))
}

/// Writes a command's result. A reader that went away (`| head`) ends the command quietly, as it does elsewhere.
fn print(text: &str) -> Result<(), Failure> {
    if std::io::stdout().is_terminal() {
        return print_bytes(style::plain_but_styled(text).as_bytes());
    }
    print_bytes(text.as_bytes())
}

fn print_bytes(bytes: &[u8]) -> Result<(), Failure> {
    match std::io::stdout().lock().write_all(bytes) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(Failure::new(
            Failure::WORK,
            format!("cannot write to standard output: {error}"),
        )),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Writes a file beside its place and renames it, so that it is whole whatever happens; its mode stays.
fn replace_file(path: &Path, text: &str) -> Result<(), Failure> {
    let cannot = |error: std::io::Error| {
        Failure::new(
            Failure::PLACE,
            format!("cannot write {}: {error}", path.display()),
        )
        .hint("see whether you may write to the file and to its folder")
    };
    let mut file = NewFile::create(path).map_err(cannot)?;
    file.file().write_all(text.as_bytes()).map_err(cannot)?;
    file.finish().map_err(cannot)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn argument_definitions_are_consistent() {
        super::Arguments::command().debug_assert();
    }
}

//! Messages for whoever runs the program, on standard error, so that standard output is for programs to read.

use std::fmt::{self, Write as _};
use std::io;

use stagewright_core::diagnostic::Severity;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::filter::{LevelFilter, Targets};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::util::SubscriberInitExt as _;

use super::style::{Style, plain};
use super::{Failure, terminal};

/// How messages look.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Voice {
    /// A line of a log: with its time, and where in the program it was said. For those who look after a worker.
    Worker,
    /// Like everything else that a command says.
    Command,
}

/// Has messages written from here on. `verbose` is how often more was asked for.
pub(super) fn begin(verbose: u8, voice: Voice) -> Result<(), Failure> {
    let filter = filter(verbose)?;
    let style = Style::err();
    // Which messages there are to be is the filter's alone to say.
    let log = tracing_subscriber::fmt().with_max_level(LevelFilter::TRACE);
    match voice {
        Voice::Worker => log
            .with_ansi(style.has_colour())
            .with_writer(io::stderr)
            .finish()
            .with(filter)
            .init(),
        Voice::Command => log
            .event_format(Sentence(style))
            .with_writer(|| Above)
            .finish()
            .with(filter)
            .init(),
    }
    Ok(())
}

fn filter(verbose: u8) -> Result<Targets, Failure> {
    let named = std::env::var("STAGEWRIGHT_LOG")
        .ok()
        .filter(|text| !text.is_empty());
    if let Some(text) = named {
        return text.parse::<Targets>().map_err(|error| {
            Failure::new(
                Failure::USAGE,
                format!("STAGEWRIGHT_LOG={text:?} is no filter: {error}"),
            )
            .hint("write levels, such as stagewright=debug or stagewright::build=debug,warn")
        });
    }
    let (all, ours) = match verbose {
        0 => (LevelFilter::WARN, LevelFilter::WARN),
        1 => (LevelFilter::WARN, LevelFilter::INFO),
        _ => (LevelFilter::INFO, LevelFilter::DEBUG),
    };
    Ok(Targets::new().with_default(all).with_target("stagewright", ours))
}

/// Where a message goes that must not get into the view of a build.
struct Above;

impl io::Write for Above {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // A message comes whole.
        terminal::above(&String::from_utf8_lossy(bytes));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A message as a sentence: `warning: what happened (path a/b): why`.
struct Sentence(Style);

impl<S, N> FormatEvent<S, N> for Sentence
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        _: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let mut said = Said::default();
        event.record(&mut said);
        let word = match *event.metadata().level() {
            Level::ERROR => self.0.severity(Severity::Error, "error"),
            Level::WARN => self.0.severity(Severity::Warning, "warning"),
            Level::INFO => self.0.severity(Severity::Info, "note"),
            Level::DEBUG => "debug".to_owned(),
            Level::TRACE => "trace".to_owned(),
        };
        writeln!(writer, "{word}: {said}")
    }
}

/// The parts of a message.
#[derive(Debug, Default)]
struct Said {
    message: String,
    /// What it is about, each by its name.
    about: Vec<String>,
    reasons: Vec<String>,
}

impl Visit for Said {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        match field.name() {
            "message" => _ = write!(self.message, "{value:?}"),
            "error" | "failure" | "reason" => self.reasons.push(format!("{value:?}")),
            name => self.about.push(format!("{name} {value:?}")),
        }
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.record_debug(field, &format_args!("{value}"));
    }
}

impl fmt::Display for Said {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&plain(&self.message))?;
        if !self.about.is_empty() {
            write!(formatter, " ({})", plain(&self.about.join(", ")))?;
        }
        for reason in &self.reasons {
            write!(formatter, ": {}", plain(reason))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Kept(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Kept {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_command_says_what_happened_to_what_and_why_in_a_sentence() {
        let kept = Kept::default();
        let writer = kept.clone();
        let log = tracing_subscriber::fmt()
            .event_format(Sentence(Style::default()))
            .with_writer(move || writer.clone())
            .finish();
        tracing::subscriber::with_default(log, || {
            tracing::warn!(path = "a\u{1b}[2J/b", error = %"it is full", count = 2, "it was not kept");
            tracing::error!("{} broke", "it");
        });
        let said = String::from_utf8(kept.0.lock().unwrap().clone()).unwrap();
        assert_eq!(
            said,
            "warning: it was not kept (path a\u{fffd}[2J/b, count 2): it is full\nerror: it broke\n"
        );
    }
}

//! What people see of a build while it runs.

mod live;

use std::io::IsTerminal as _;

use clap::ValueEnum;
use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::protocol::SolveStatus;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use self::live::{Ending, Live};
use crate::backend::timestamp;
use crate::cli::progress::Progress;
use crate::cli::report;
use crate::cli::style::Style;
use crate::cli::terminal::{self, above, tell};
use crate::request::watcher::Watcher;

/// How to show progress.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum Manner {
    /// tty on a terminal, else plain
    #[default]
    Auto,
    /// Lines of text, each step by its number
    Plain,
    /// A view of the steps that changes in its place
    Tty,
    /// A JSON object for each change, as docker buildx prints them
    Rawjson,
    /// Nothing until the end
    Quiet,
}

impl Manner {
    /// Whether people read along who can be told something.
    pub(super) fn speaks(self) -> bool {
        match self {
            Self::Auto | Self::Plain | Self::Tty => true,
            Self::Rawjson | Self::Quiet => false,
        }
    }
}

/// Shows progress in one way or another.
pub(super) struct Display {
    view: View,
    /// What ends the build before it is done.
    stop: CancellationToken,
}

enum View {
    Plain(Progress),
    Live(Box<Live>),
    Json,
    Quiet,
}

impl Display {
    pub(super) fn new(manner: Manner, stop: &CancellationToken) -> Self {
        let live = || View::Live(Box::new(Live::new(Style::err())));
        let view = match manner {
            // What cannot move its cursor cannot show anything in its place.
            Manner::Auto if std::io::stderr().is_terminal() && !terminal::is_dumb() => live(),
            Manner::Auto | Manner::Plain => View::Plain(Progress::default()),
            Manner::Tty => live(),
            Manner::Rawjson => View::Json,
            Manner::Quiet => View::Quiet,
        };
        Self {
            view,
            stop: stop.clone(),
        }
    }

    /// The build is done: whatever is said to people afterwards stands below it.
    pub(super) fn finish(&mut self) {
        self.end(Ending::Built);
    }

    /// Leaves every step on the terminal as it ended, for those who scroll back.
    fn end(&mut self, ending: Ending) {
        if let View::Live(live) = &mut self.view {
            let (columns, _) = terminal::size();
            terminal::draw(&live.whole(ending, OffsetDateTime::now_utc(), columns));
            terminal::leave();
            **live = Live::new(Style::err());
        }
    }
}

impl Watcher for Display {
    fn status(&mut self, status: &SolveStatus) {
        match &mut self.view {
            View::Plain(plain) => tell(&plain.tell(status)),
            View::Live(live) => live.take(status),
            View::Json => match serde_json::to_string(status) {
                Ok(line) => tell(&(line + "\n")),
                Err(error) => tracing::warn!(%error, "a part of the progress cannot be written"),
            },
            View::Quiet => {}
        }
    }

    fn tick(&mut self) {
        if let View::Live(live) = &mut self.view {
            let (columns, rows) = terminal::size();
            terminal::draw(&live.frame(OffsetDateTime::now_utc(), columns, rows));
        }
    }

    fn note(&mut self, text: &str) {
        match &mut self.view {
            View::Plain(_) | View::Live(_) => above(text),
            // Programs read every line.
            View::Json | View::Quiet => {}
        }
    }

    fn findings(&mut self, name: &str, source: &str, found: &[Diagnostic], broken: bool) {
        let text = report::findings(Style::err(), name, source, found);
        // What keeps a build from being begun is said whatever the manner.
        if broken {
            above(&text);
        } else {
            self.note(&text);
        }
    }

    fn build(&self) -> String {
        timestamp()
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.end(if self.stop.is_cancelled() {
            Ending::Cancelled
        } else {
            Ending::Failed
        });
    }
}

//! What people see of a build while it runs.

mod live;
mod terminal;

use std::io::IsTerminal as _;
use std::time::Duration;

use clap::ValueEnum;
use stagewright_core::protocol::{SolveStatus, Vertex};
use time::OffsetDateTime;

use self::live::Live;
use self::terminal::Terminal;
use super::tell;
use crate::backend::{self, timestamp};
use crate::cli::progress::Progress;
use crate::cli::style::Style;

/// How often the live view is drawn again: often enough for tenths of a second.
const TICK: Duration = Duration::from_millis(100);

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
}

enum View {
    Plain(Progress),
    Live(Box<Live>, Terminal),
    Json,
    Quiet,
}

impl Display {
    pub(super) fn new(manner: Manner) -> Self {
        let live = || View::Live(Box::new(Live::new(Style::err())), Terminal::default());
        let view = match manner {
            // What cannot move its cursor cannot show anything in its place.
            Manner::Auto if std::io::stderr().is_terminal() && !Terminal::is_dumb() => live(),
            Manner::Auto | Manner::Plain => View::Plain(Progress::default()),
            Manner::Tty => live(),
            Manner::Rawjson => View::Json,
            Manner::Quiet => View::Quiet,
        };
        Self { view }
    }

    /// Something happened.
    pub(super) fn status(&mut self, status: &SolveStatus) {
        match &mut self.view {
            View::Plain(plain) => tell(&plain.tell(status)),
            View::Live(live, _) => live.take(status),
            View::Json => match serde_json::to_string(status) {
                Ok(line) => tell(&(line + "\n")),
                Err(error) => tracing::warn!(%error, "a part of the progress cannot be written"),
            },
            View::Quiet => {}
        }
    }

    /// Time went by.
    pub(super) fn tick(&mut self) {
        if let View::Live(live, terminal) = &mut self.view {
            let (columns, rows) = Terminal::size();
            terminal.draw(&live.frame(OffsetDateTime::now_utc(), columns, rows));
        }
    }

    /// What to wait for between two ticks.
    pub(super) fn ticks() -> tokio::time::Interval {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        ticks
    }

    /// Something for people that is about no step.
    pub(super) fn note(&mut self, text: &str) {
        match &mut self.view {
            View::Plain(_) => tell(text),
            View::Live(_, terminal) => terminal.above(text),
            // Programs read every line.
            View::Json | View::Quiet => {}
        }
    }

    /// Shows something that is done once the build is as a step of its own. What the work gives is said of it.
    pub(super) async fn task<E: std::fmt::Display>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<String, E>>,
    ) -> Result<(), E> {
        let mut vertex = backend::task(name, &timestamp());
        self.vertex(&vertex);
        let mut work = std::pin::pin!(work);
        let mut ticks = Self::ticks();
        let result = loop {
            tokio::select! {
                result = &mut work => break result,
                _ = ticks.tick() => self.tick(),
            }
        };
        vertex.completed = Some(timestamp());
        match &result {
            Ok(said) => vertex.reason.clone_from(said),
            Err(error) => vertex.error = error.to_string(),
        }
        self.vertex(&vertex);
        result.map(drop)
    }

    /// Leaves every step on the terminal as it ended, for those who scroll back. Whatever is said to people afterwards
    /// stands below.
    pub(super) fn finish(&mut self) {
        if let View::Live(live, terminal) = &mut self.view {
            let (columns, _) = Terminal::size();
            terminal.draw(&live.whole(OffsetDateTime::now_utc(), columns));
            terminal.leave();
            **live = Live::new(Style::err());
        }
    }

    fn vertex(&mut self, vertex: &Vertex) {
        self.status(&SolveStatus {
            vertexes: vec![vertex.clone()],
            ..SolveStatus::default()
        });
    }
}

impl Drop for Display {
    fn drop(&mut self) {
        self.finish();
    }
}

//! Tells the person at the terminal what is being done and how long it took.

use std::io::{IsTerminal as _, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use crate::problem::Outcome;

/// A numbered row of steps.
pub(crate) struct Report {
    total: usize,
    next: usize,
}

impl Report {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, next: 1 }
    }

    /// Does `work` under a heading. `work` answers what to say at the end of the line, such as "up to date".
    pub(crate) fn step(&mut self, name: &str, work: impl FnOnce(&mut Line) -> Outcome<Done>) -> Outcome<()> {
        let mut line = Line {
            heading: format!("[{}/{}] {name}", self.next, self.total),
            shown: 0,
        };
        self.next += 1;
        let begun = Instant::now();
        line.begin();
        let outcome = work(&mut line);
        line.end(&match &outcome {
            Ok(Done::UpToDate) => "up to date".to_owned(),
            Ok(Done::Made) => duration(begun.elapsed()),
            Ok(Done::MadeWith(remark)) => format!("{} ({remark})", duration(begun.elapsed())),
            Ok(Done::Left(reason)) => format!("left out: {reason}"),
            Err(_) => format!("failed after {}", duration(begun.elapsed())),
        });
        outcome.map(drop)
    }
}

/// How a step ended.
pub(crate) enum Done {
    UpToDate,
    Made,
    MadeWith(String),
    /// It is not needed for the rest, and cannot be done here for this reason.
    Left(String),
}

/// The line of a step that is under way: in a terminal, the newest line of its output stands behind the heading.
pub(crate) struct Line {
    heading: String,
    shown: usize,
}

impl Line {
    /// For commands outside any step.
    pub(crate) fn silent() -> Self {
        Self {
            heading: String::new(),
            shown: 0,
        }
    }

    fn begin(&self) {
        if std::io::stderr().is_terminal() {
            eprint!("{} …", self.heading);
        } else {
            eprintln!("{} …", self.heading);
        }
    }

    pub(crate) fn news(&mut self, text: &str) {
        if self.heading.is_empty() || !std::io::stderr().is_terminal() {
            return;
        }
        let room = terminal_width().saturating_sub(self.heading.chars().count() + 3);
        let text: String = text
            .trim()
            .chars()
            .filter(|char| !char.is_control())
            .take(room)
            .collect();
        let blank = self.shown.saturating_sub(text.chars().count());
        self.shown = text.chars().count();
        eprint!("\r{} … {text}{}", self.heading, " ".repeat(blank));
        let _ = std::io::stderr().flush();
    }

    fn end(&mut self, text: &str) {
        if std::io::stderr().is_terminal() {
            let blank = self.shown.saturating_sub(text.chars().count());
            eprintln!("\r{} … {text}{}", self.heading, " ".repeat(blank));
        } else {
            eprintln!("{} … {text}", self.heading);
        }
    }

    /// A file name for what this step prints.
    pub(crate) fn log(&self, logs: &Path) -> PathBuf {
        let words: String = self
            .heading
            .split_once("] ")
            .map_or("command", |(_, name)| name)
            .chars()
            .map(|char| if char.is_ascii_alphanumeric() { char } else { '-' })
            .collect();
        logs.join(format!("{words}.log"))
    }
}

fn terminal_width() -> usize {
    std::env::var("COLUMNS")
        .ok()
        .and_then(|columns| columns.parse().ok())
        .unwrap_or(79)
}

/// `3m41s`, `4.2s`.
pub(crate) fn duration(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds >= 60 {
        format!("{}m{:02}s", seconds / 60, seconds % 60)
    } else {
        format!("{:.1}s", time.as_secs_f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_like_a_clock() {
        assert_eq!(duration(Duration::from_millis(4240)), "4.2s");
        assert_eq!(duration(Duration::from_secs(221)), "3m41s");
    }
}

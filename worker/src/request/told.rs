//! What is told of a request beside its steps goes among the events of its build.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{SolveStatus, VertexLog, VertexWarning};

use super::watcher::Watcher;
use crate::backend::{EventSink, timestamp};

/// What BuildKit's clients take for standard error.
const STANDARD_ERROR: u32 = 2;

/// Tells a build's events. Clones tell the same.
#[derive(Clone)]
pub(crate) struct Told {
    events: EventSink,
    build: String,
    heard: Arc<Mutex<Heard>>,
}

#[derive(Default)]
struct Heard {
    /// The task under way, to which notes belong.
    task: Option<Digest>,
    /// What was found in files that cannot be built for it, and their names.
    found: Vec<(String, Diagnostic)>,
}

impl Told {
    pub(crate) fn new(events: EventSink, build: String) -> Self {
        Self {
            events,
            build,
            heard: Arc::default(),
        }
    }

    /// To nobody.
    pub(crate) fn nobody() -> Self {
        Self::new(EventSink::new(|_| ()), String::new())
    }

    /// The errors that were found, of whichever file.
    pub(crate) fn errors(&self) -> Vec<Diagnostic> {
        let heard = self.heard();
        heard.found.iter().map(|(_, found)| found.clone()).collect()
    }

    /// The first error that was found, with its place, behind `message`.
    pub(crate) fn with_error(&self, message: String) -> String {
        match self.heard().found.first() {
            Some((name, found)) => format!("{message}\n{}", line(name, found)),
            None => message,
        }
    }

    fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn log(&self, text: String) {
        let Some(vertex) = self.heard().task.clone() else {
            return;
        };
        self.events.status(SolveStatus {
            logs: vec![VertexLog {
                vertex,
                stream: STANDARD_ERROR,
                data: text.into_bytes(),
                timestamp: timestamp(),
            }],
            ..SolveStatus::default()
        });
    }
}

/// `Dockerfile:3: what is wrong`, and what to do.
fn line(name: &str, found: &Diagnostic) -> String {
    let hint = found.hint.as_deref().map(|hint| format!(" ({hint})"));
    let (line, message) = (found.lines.start, &found.message);
    format!("{name}:{line}: {message}{}", hint.unwrap_or_default())
}

impl Watcher for Told {
    fn status(&mut self, status: &SolveStatus) {
        if let Some(vertex) = status.vertexes.last() {
            self.heard().task = vertex.completed.is_none().then(|| vertex.digest.clone());
        }
        self.events.status(status.clone());
    }

    fn note(&mut self, text: &str) {
        self.log(text.to_owned());
    }

    fn findings(&mut self, name: &str, _source: &str, found: &[Diagnostic], broken: bool) {
        let task = self.heard().task.clone();
        let mut warnings = Vec::new();
        let mut text = String::new();
        for one in found {
            text.push_str(&line(name, one));
            text.push('\n');
            match (one.severity, &task) {
                (Severity::Error, _) if broken => self.heard().found.push((name.to_owned(), one.clone())),
                (Severity::Warning, Some(task)) => warnings.push(VertexWarning {
                    vertex: task.clone(),
                    level: 1,
                    short: line(name, one).into_bytes(),
                }),
                _ => {}
            }
        }
        if !warnings.is_empty() {
            self.events.status(SolveStatus {
                warnings,
                ..SolveStatus::default()
            });
        }
        if !text.is_empty() {
            self.log(text);
        }
    }

    fn build(&self) -> String {
        format!("build {}", self.build)
    }
}

//! What went wrong, as a sentence for the person at the terminal.

use std::fmt;
use std::path::Path;

/// A sentence that says what happened and what to do next.
#[derive(Debug)]
pub(crate) struct Problem(String);

pub(crate) type Outcome<T> = Result<T, Problem>;

impl Problem {
    pub(crate) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Says which file an I/O error is about.
pub(crate) trait About<T> {
    fn about(self, path: &Path) -> Outcome<T>;
}

impl<T> About<T> for std::io::Result<T> {
    fn about(self, path: &Path) -> Outcome<T> {
        self.map_err(|error| Problem::new(format!("{}: {error}", path.display())))
    }
}

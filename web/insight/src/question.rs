//! What the page asks, and what it is answered. Both cross as JSON.

use serde::{Deserialize, Serialize};
use stagewright_core::analysis::Input;
use stagewright_core::diagnostic::Diagnostic;

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum View {
    /// Everything that is wrong or had better be written otherwise.
    #[default]
    Problems,
}

/// Everything a view depends on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Question {
    /// What is to be shown.
    pub view: View,
    /// Which state of the page this is of. What is pressed in an answer carries it, so that the page can tell whether
    /// it still speaks of what is there.
    pub version: u32,
    /// The Dockerfile's path.
    pub path: String,
    /// What is planned.
    pub input: Input,
    /// What the page itself found, such as a file that is copied and is not there.
    pub own: Vec<Diagnostic>,
    /// The build context, before .dockerignore.
    pub files: Vec<ContextFile>,
    /// The .dockerignore that holds.
    pub ignore: Option<TextFile>,
}

/// A file of the build context.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ContextFile {
    /// Relative to the context's root.
    pub path: String,
    /// In bytes.
    pub size: u64,
}

/// A file with its text.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TextFile {
    /// Relative to the context's root.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// What is shown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The view. What can be pressed in it says what to do in the attribute `data-do`.
    pub html: String,
    /// What the drawing says of steps meanwhile.
    pub marks: Vec<Mark>,
}

/// What the drawing says of a step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// Index of the stage.
    pub stage: usize,
    /// Index of the step in it.
    pub step: usize,
    /// Whether it would run again.
    pub reruns: bool,
}

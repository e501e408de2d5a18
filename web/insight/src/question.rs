//! What the page asks, and what it is answered. Both cross as JSON.

use serde::{Deserialize, Serialize};
use stagewright_core::analysis::Input;
use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::digest::Digest;

/// What is to be shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum View {
    /// Everything that is wrong or had better be written otherwise.
    #[default]
    Problems,
    /// What a change would have run again.
    WhatIf,
    /// When what runs, and what everything waits for.
    Timeline,
    /// What the image holds.
    Image,
    /// Which files are sent, and what for.
    Context,
    /// Several Dockerfiles and a script, as one file.
    Pattern,
}

/// Everything a view depends on. What a view has no use for is left out.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Question {
    /// What is to be shown.
    pub view: View,
    /// Which state of the page this is of. What is pressed in an answer carries it, so that the page can tell whether
    /// it still speaks of what is there.
    pub version: u32,
    /// Whether the page has dark colours.
    pub dark: bool,
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
    /// The change that is thought of.
    pub change: Change,
    /// What was planned when a build was last started, or when a person asked to remember it.
    pub before: Option<Input>,
    /// What the page's last build took, if that was of this plan.
    pub build: Option<Built>,
    /// A log of a build elsewhere, which a person opened.
    pub log: Option<TextFile>,
    /// How long a step is taken to take where nobody measured it.
    pub durations: Durations,
    /// Dockerfiles.
    pub dockerfiles: Vec<TextFile>,
    /// The script that builds them.
    pub script: Option<TextFile>,
}

/// A change that is thought of.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Change {
    /// None.
    #[default]
    Nothing,
    /// A file of the build context.
    File(String),
    /// A build arg gets a value.
    Arg(String, String),
    /// An image, by its full reference, is another one under the same name.
    Image(String),
    /// Nothing may come from the cache.
    NoCache,
    /// What was planned before becomes what is planned now.
    SinceBefore,
}

/// How long a step is taken to take.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Durations {
    /// As it looks.
    #[default]
    Guessed,
    /// Each the same.
    Equal,
}

/// What a build on the page's own worker took and made.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Built {
    /// What the page called it.
    pub title: String,
    /// Its steps.
    pub steps: Vec<BuiltStep>,
    /// Its layers.
    pub layers: Vec<BuiltLayer>,
    /// Size of the image's compressed layers; 0 where there is none.
    pub image_size: u64,
}

/// A step of a build, with times in milliseconds by any clock.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltStep {
    /// Its op.
    pub vertex: Digest,
    /// When it began.
    pub started: Option<f64>,
    /// When it ended.
    pub completed: Option<f64>,
    /// Whether its result was there already.
    pub cached: bool,
    /// Whether it failed.
    pub failed: bool,
}

/// A layer of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuiltLayer {
    /// The op whose files it holds.
    pub vertex: Digest,
    /// Its size in bytes.
    pub size: u64,
    /// Entries that were added, changed and removed.
    pub entries: [u64; 3],
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
    /// Whether it would run.
    pub runs: bool,
    /// The word for it.
    pub text: String,
}

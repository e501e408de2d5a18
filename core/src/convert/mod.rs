//! The builder pattern, as it was before there were stages: several Dockerfiles, and a script that builds one after
//! the other and carries files between them. [`convert`] makes one multi-stage Dockerfile of it.
//!
//! ```text
//! script  -> shell    commands and words, as data: nothing is run
//!         -> story    builds, containers, and which file came from where to which COPY
//!         -> write    the Dockerfiles as stages of one, with those COPYs taking from stages
//!         -> picture  the same as it was: every build as a stage, for `layout` to draw
//! ```
//!
//! What the script does besides is not lost silently: every line has a [`Note`] that says what became of it, and what
//! cannot be kept is a finding with its place in the file at fault.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::{Analysis, ImageFacts};
use crate::diagnostic::{Diagnostic, Severity};
use crate::span::{LineRange, Span};

mod arguments;
mod builds;
mod containers;
mod engine;
mod host;
mod names;
mod picture;
mod shell;
mod story;
mod transfer;
mod words;
mod write;

/// A file by its name.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SourceFile {
    /// Its path, as seen from the folder that the script stands in.
    pub name: String,
    /// What it says.
    pub text: String,
}

/// Dockerfiles, and the script that puts them together.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Pattern {
    /// The script. It is read, never run.
    pub script: SourceFile,
    /// The Dockerfiles that it builds.
    pub dockerfiles: Vec<SourceFile>,
    /// Variables that the script takes from its environment.
    pub variables: BTreeMap<String, String>,
    /// Paths of the files that lie beside the script before it runs, folders with a `/` at the end; `None` where
    /// that is not known.
    pub files: Option<Vec<String>>,
    /// The text of the ignore file that holds for the context, where there is one.
    pub ignore: Option<String>,
    /// What is known of images, as for [`crate::analyze`].
    pub images: BTreeMap<String, ImageFacts>,
}

/// What became of a [`Pattern`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Conversion {
    /// The one Dockerfile. `None` where an error stands in its way.
    pub dockerfile: Option<String>,
    /// The one command that builds it in the place of the script.
    pub command: Option<String>,
    /// The pattern as it was, as one graph.
    pub graph: Picture,
    /// What became of each command of the script, in its order.
    pub notes: Vec<Note>,
    /// Dockerfiles that the script builds and that were not among those given, by the names that they may have.
    pub lacking: Vec<String>,
    /// All that is wrong or cannot be kept: first of the script, then of the Dockerfiles in their order.
    pub findings: Vec<Finding>,
}

impl Conversion {
    /// Whether anything kept the pattern from being converted.
    pub fn has_errors(&self) -> bool {
        self.findings
            .iter()
            .any(|finding| finding.diagnostic.severity == Severity::Error)
    }
}

/// The builds of a pattern as one graph. It is an [`Analysis`] without operations, so whatever draws plans draws it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Picture {
    /// Stages of all Dockerfiles, and containers that ran something. A file that was carried from a container to a
    /// COPY is an edge between the two. Spans are those of each stage's own file.
    pub analysis: Analysis,
    /// Where each stage was written: the name of its Dockerfile, or of the script for a container.
    pub files: Vec<String>,
    /// What was carried, in the order of the script.
    pub handovers: Vec<Handover>,
}

/// A file or folder on its way from a container over the host into a COPY.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Handover {
    /// The container, by the name that the script gave it; an image where there was none.
    pub container: String,
    /// The path in the container.
    pub from: String,
    /// The path on the host, seen from the script.
    pub host: String,
    /// The command of the script that took it out.
    pub span: Span,
    /// The same in lines.
    pub lines: LineRange,
    /// The stage it came from, by index into the picture's stages; `None` for an image from outside.
    pub from_stage: Option<usize>,
    /// Stages and steps that copied it in, by index.
    pub to: Vec<(usize, usize)>,
}

/// What became of a command of the script.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Note {
    /// Where the command stands in the script.
    pub span: Span,
    /// The same in lines.
    pub lines: LineRange,
    /// The kind of thing that it became.
    pub became: Became,
    /// In a sentence.
    pub message: String,
}

/// What a command of the script became.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Became {
    /// Stages.
    Stage,
    /// A `COPY --from`.
    Copy,
    /// A `RUN`.
    Run,
    /// Nothing: there is no need for it any more.
    Nothing,
    /// Nothing: it stays to be done beside the build.
    Beside,
    /// Nothing: it could not be followed.
    Unclear,
}

/// A finding, and the file it is about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Finding {
    /// The name of the script or the Dockerfile.
    pub file: String,
    /// What was found, with its place there.
    pub diagnostic: Diagnostic,
}

/// Reads the script, follows its files, and writes the one Dockerfile. Never fails and never panics: what cannot be
/// done is in [`Conversion::findings`].
pub fn convert(pattern: &Pattern) -> Conversion {
    let mut story = story::follow(pattern);
    let mut names = names::names(&story);
    let written = write::write(&mut story, &mut names);
    let graph = picture::picture(&story, &names);
    let mut findings = std::mem::take(&mut story.findings);
    let rank = |finding: &Finding| {
        let files = pattern.dockerfiles.iter();
        let place = files.clone().position(|file| file.name == finding.file);
        (place.map_or(0, |place| place + 1), finding.diagnostic.span.start)
    };
    findings.sort_by_key(rank);
    findings.dedup();
    let broken = findings
        .iter()
        .any(|finding| finding.diagnostic.severity == Severity::Error);
    let (dockerfile, command) = match written {
        Some((dockerfile, command)) if !broken => (Some(dockerfile), Some(command)),
        _ => (None, None),
    };
    let mut notes = std::mem::take(&mut story.notes);
    notes.sort_by_key(|note| note.span.start);
    Conversion {
        dockerfile,
        command,
        graph,
        notes,
        lacking: std::mem::take(&mut story.lacking),
        findings,
    }
}

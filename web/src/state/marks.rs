//! What the editor shows beside the text. The shapes are those that `editor/editor.js` takes as JSON.

use serde::Serialize;
use stagewright_core::analysis::{Base, EdgeSource, Options};
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::edit::TextEdit;
use stagewright_core::layout::PALETTE;

use stagewright_insight::Mark;

use super::build::{Build, StepState};
use super::human;
use super::offsets::EditorOffsets;
use super::plan::{Choices, Images, Plan, StepRef, options};
use super::workspace::Workspace;

/// Marks on lines.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Marks {
    /// The colour of each stage beside its lines.
    pub rails: Vec<Rail>,
    /// Short texts at the right end of lines.
    pub notes: Vec<Note>,
    /// The chosen step.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lit: Option<Rail>,
    /// Steps that failed.
    pub failed: Vec<Lines>,
}

/// Lines in a stage's colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Rail {
    /// First line, from 1.
    pub from: u32,
    /// Last line.
    pub to: u32,
    /// Index into the palette.
    pub colour: usize,
}

/// Lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Lines {
    /// First line, from 1.
    pub from: u32,
    /// Last line.
    pub to: u32,
}

/// A short text at the right end of a line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Note {
    /// The line, from 1.
    pub line: u32,
    /// The text.
    pub text: String,
    /// A class for its look: the state of a step, or `fact`.
    pub kind: &'static str,
}

/// The marks of a Dockerfile. `now` is the page's clock.
pub fn marks(
    plan: &Plan,
    build: Option<&Build>,
    foresight: Option<&[Mark]>,
    chosen: Option<StepRef>,
    now: f64,
) -> Marks {
    let mut marks = Marks::default();
    for stage in &plan.analysis.stages {
        let colour = stage.index % PALETTE;
        marks.rails.push(Rail {
            from: stage.lines.start,
            to: stage.lines.end,
            colour,
        });
        if let Some(text) = about_stage(plan, stage.index) {
            marks.notes.push(Note {
                line: stage.lines.start,
                text,
                kind: "fact",
            });
        }
        for (index, step) in stage.steps.iter().enumerate() {
            let state = build
                .zip(step.vertex.as_ref())
                .map(|(build, vertex)| (build.step_state(vertex), build.step_detail(vertex, now)));
            let state = match foresight {
                Some(marks) => Some(foreseen(marks, stage.index, index)),
                None => state,
            };
            let (state, mut text) = state.unwrap_or((StepState::Idle, String::new()));
            if state == StepState::Failed {
                marks.failed.push(Lines {
                    from: step.lines.start,
                    to: step.lines.end,
                });
            }
            if text.is_empty() {
                text = taken(plan, stage.index, index).unwrap_or_default();
            }
            if !text.is_empty() {
                marks.notes.push(Note {
                    line: step.lines.start,
                    text,
                    kind: state.name(),
                });
            }
        }
    }
    marks.lit = chosen.and_then(|at| lit(plan, at));
    marks
}

/// How a step would stand after a change, and the word for it.
pub fn foreseen(marks: &[Mark], stage: usize, step: usize) -> (StepState, String) {
    let mut marks = marks.iter();
    match marks.find(|mark| mark.stage == stage && mark.step == step) {
        Some(mark) if mark.runs => (StepState::Waiting, mark.text.clone()),
        Some(mark) => (StepState::Cached, mark.text.clone()),
        None => (StepState::Idle, String::new()),
    }
}

/// `golang · 287 MB`, `ships`, `not needed`.
fn about_stage(plan: &Plan, index: usize) -> Option<String> {
    let stage = plan.analysis.stages.get(index)?;
    let mut parts = Vec::new();
    if let Base::Image(image) = stage.base {
        let image = plan.analysis.images.get(image)?;
        if image.size > 0 {
            parts.push(human::size(image.size));
        }
        if image.note.is_some() {
            parts.push("stand-in".into());
        }
    }
    if stage.ships {
        parts.push("ships".into());
    } else if !stage.needed && plan.analysis.target.is_some() {
        parts.push("not needed".into());
    }
    (!parts.is_empty()).then(|| parts.join(" · "))
}

/// `← app` where a step takes files from a stage or an image.
fn taken(plan: &Plan, stage: usize, step: usize) -> Option<String> {
    let mut edges = plan.analysis.edges.iter();
    let edge = edges.find(|edge| {
        edge.to_stage == stage && edge.to_step == Some(step) && edge.from != EdgeSource::Context
    })?;
    (!edge.label.is_empty()).then(|| format!("← {}", edge.label))
}

fn lit(plan: &Plan, at: StepRef) -> Option<Rail> {
    let stage = plan.analysis.stages.get(at.stage)?;
    let lines = match at.step {
        Some(step) => stage.steps.get(step)?.lines,
        None => stagewright_core::span::LineRange {
            start: stage.lines.start,
            end: stage.lines.start,
        },
    };
    Some(Rail {
        from: lines.start,
        to: lines.end,
        colour: at.stage % PALETTE,
    })
}

/// A finding in the editor's offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding<'a> {
    /// First UTF-16 unit.
    pub from: usize,
    /// Just past the last.
    pub to: usize,
    /// `error`, `warning` or `info`.
    pub severity: &'static str,
    /// What happened.
    pub message: &'a str,
    /// What to do next.
    pub hint: Option<&'a str>,
}

/// The word for a severity, in attributes and for the editor.
pub fn severity_name(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// All findings, for the editor that holds `source`.
pub fn findings<'a>(findings: &'a [Diagnostic], source: &str) -> Vec<Finding<'a>> {
    let offsets = EditorOffsets::new(source);
    let of = |finding: &'a Diagnostic| {
        let (from, to) = offsets.of_span(finding.span);
        let severity = severity_name(finding.severity);
        Finding {
            from,
            to,
            severity,
            message: &finding.message,
            hint: finding.hint.as_deref(),
        }
    };
    findings.iter().map(of).collect()
}

/// A change, in the editor's offsets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Change<'a> {
    /// First UTF-16 unit.
    pub from: usize,
    /// Just past the last.
    pub to: usize,
    /// What stands there afterwards.
    pub insert: &'a str,
}

/// Changes, for the editor that holds `source`.
pub fn changes<'a>(edits: &'a [TextEdit], source: &str) -> Vec<Change<'a>> {
    let offsets = EditorOffsets::new(source);
    let of = |edit: &'a TextEdit| {
        let (from, to) = offsets.of_span(edit.span);
        let insert = &edit.text;
        Change { from, to, insert }
    };
    edits.iter().map(of).collect()
}

/// What the editor's services know beside the text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Words<'a> {
    /// What else decides the plan.
    pub options: Options,
    /// The files of the build context.
    pub files: Vec<&'a str>,
    /// Names of images.
    pub images: Vec<&'a str>,
}

/// What is known beside the text of the planned Dockerfile.
pub fn words<'a>(plan: &'a Plan, workspace: &'a Workspace, choices: &Choices, images: &Images) -> Words<'a> {
    Words {
        options: options(workspace, choices, images),
        files: workspace.context().map(|file| file.path.as_str()).collect(),
        images: plan
            .analysis
            .images
            .iter()
            .map(|image| image.name.as_str())
            .collect(),
    }
}

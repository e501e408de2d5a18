//! The plan of what is in the editor, and what the page itself can add to the planner's findings.

use std::collections::BTreeMap;

use stagewright_core::analysis::{Analysis, EdgeKind, EdgeSource, ImageFacts, Input, Options};
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::digest::Digest;
use stagewright_core::layout::{Direction, Drawing, LayoutOptions, layout};
use stagewright_core::platform::Platform;
use stagewright_core::span::{LineRange, Span};

use super::workspace::Workspace;

/// What the page knows of images, by their full reference.
#[derive(Debug, Clone, Default)]
pub struct Images {
    /// What a registry said.
    pub facts: BTreeMap<String, ImageFacts>,
    /// What the worker said instead.
    pub refused: BTreeMap<String, String>,
    /// Asked, not answered yet.
    pub asked: Vec<String>,
}

/// What else than the text decides the plan.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Choices {
    /// The stage to stop at.
    pub target: Option<String>,
    /// Build args that were set.
    pub build_args: BTreeMap<String, String>,
    /// The platform to build for, where it is not the usual one.
    pub platform: Option<Platform>,
}

/// A plan, drawn.
#[derive(Debug, Clone, Default)]
pub struct Plan {
    /// What the planner made of the Dockerfile.
    pub analysis: Analysis,
    /// Where everything goes.
    pub drawing: Drawing,
    /// What the page itself can add to the planner's findings.
    pub own: Vec<Diagnostic>,
    /// The planner's findings and the page's.
    pub findings: Vec<Diagnostic>,
    /// The Dockerfile it is of.
    pub path: String,
    /// How long planning took, layout included, in milliseconds.
    pub millis: f64,
}

/// A step, or a stage as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StepRef {
    /// Index of the stage.
    pub stage: usize,
    /// Index of the step; `None` for the stage's `FROM`.
    pub step: Option<usize>,
}

/// What the planner is asked.
pub fn input(workspace: &Workspace, choices: &Choices, images: &Images) -> Input {
    Input {
        source: workspace.source().to_owned(),
        options: options(workspace, choices, images),
    }
}

/// What the planner is told beside the text.
pub fn options(workspace: &Workspace, choices: &Choices, images: &Images) -> Options {
    let ignore = workspace.ignore_file();
    Options {
        target: choices.target.clone(),
        build_args: choices.build_args.clone(),
        platform: choices.platform.clone(),
        images: images.facts.clone(),
        ignore: ignore.map(|file| file.content.text().to_owned()),
        ..Options::default()
    }
}

impl Plan {
    /// Plans the workspace's Dockerfile and draws it.
    pub fn make(workspace: &Workspace, choices: &Choices, images: &Images, narrow: bool) -> Self {
        let input = input(workspace, choices, images);
        let analysis = stagewright_core::analyze(&input);
        let direction = if narrow {
            Direction::TopToBottom
        } else {
            Direction::LeftToRight
        };
        let drawing = layout(
            &analysis,
            &LayoutOptions {
                direction,
                ..LayoutOptions::default()
            },
        );
        let mut own = refused_images(&input.source, &analysis, images);
        own.extend(missing_files(&input.source, &analysis, workspace));
        let findings = analysis.diagnostics.iter().chain(&own).cloned().collect();
        Self {
            analysis,
            drawing,
            own,
            findings,
            path: workspace.dockerfile.clone(),
            millis: 0.0,
        }
    }

    /// The step that is written in a line.
    pub fn step_at_line(&self, line: u32) -> Option<StepRef> {
        let within = |lines: LineRange| lines.start <= line && line <= lines.end;
        let stage = self.analysis.stages.iter().find(|stage| within(stage.lines))?;
        let step = stage.steps.iter().position(|step| within(step.lines));
        // A blank line between two steps belongs to neither.
        let from_line =
            stage.lines.start == line || stage.steps.first().is_none_or(|first| line < first.lines.start);
        (step.is_some() || from_line).then_some(StepRef {
            stage: stage.index,
            step,
        })
    }

    /// The first line of a step or stage.
    pub fn line_of(&self, at: StepRef) -> Option<u32> {
        let stage = self.analysis.stages.get(at.stage)?;
        match at.step {
            Some(step) => Some(stage.steps.get(step)?.lines.start),
            None => Some(stage.lines.start),
        }
    }

    /// Where an op was written.
    pub fn step_of_vertex(&self, vertex: &Digest) -> Option<StepRef> {
        for stage in &self.analysis.stages {
            if let Some(step) = stage
                .steps
                .iter()
                .position(|step| step.vertex.as_ref() == Some(vertex))
            {
                return Some(StepRef {
                    stage: stage.index,
                    step: Some(step),
                });
            }
        }
        None
    }

    /// The op of a step.
    pub fn vertex_of(&self, at: StepRef) -> Option<&Digest> {
        let stage = self.analysis.stages.get(at.stage)?;
        match at.step {
            Some(step) => stage.steps.get(step)?.vertex.as_ref(),
            None => stage.base_vertex.as_ref(),
        }
    }

    /// The ops that are steps of the Dockerfile, in its order, each once.
    pub fn step_vertices(&self) -> Vec<Digest> {
        let mut vertices: Vec<Digest> = Vec::new();
        for step in self.analysis.stages.iter().flat_map(|stage| &stage.steps) {
            if let Some(vertex) = step.vertex.as_ref().filter(|vertex| !vertices.contains(vertex)) {
                vertices.push(vertex.clone());
            }
        }
        vertices
    }

    /// How many steps the Dockerfile has.
    pub fn step_count(&self) -> usize {
        self.analysis.stages.iter().map(|stage| stage.steps.len()).sum()
    }

    /// Images the target needs that nothing is known of yet.
    pub fn unknown_images(&self) -> impl Iterator<Item = &stagewright_core::analysis::ExternalImage> {
        self.analysis
            .images
            .iter()
            .filter(|image| image.needed && !image.resolved)
    }

    /// Whether a build of it takes files from the build context.
    pub fn uses_context(&self) -> bool {
        self.analysis
            .edges
            .iter()
            .any(|edge| edge.needed && edge.from == EdgeSource::Context)
    }
}

/// Lines of a span, from 1.
fn lines_of(source: &str, span: Span) -> LineRange {
    let line = |offset: usize| {
        let before = source.as_bytes().get(..offset).unwrap_or_default();
        u32::try_from(before.split(|byte| *byte == b'\n').count()).unwrap_or(u32::MAX)
    };
    LineRange {
        start: line(span.start),
        end: line(span.end.saturating_sub(1).max(span.start)),
    }
}

/// Images that the worker could not find out about.
fn refused_images(source: &str, analysis: &Analysis, images: &Images) -> Vec<Diagnostic> {
    let refused = analysis.images.iter().filter(|image| !image.resolved);
    let finding = |image: &stagewright_core::analysis::ExternalImage| {
        let message = images.refused.get(&image.reference)?;
        Some(Diagnostic {
            severity: Severity::Error,
            code: "image-not-resolved".into(),
            message: message.clone(),
            span: image.span,
            lines: lines_of(source, image.span),
            hint: Some("The plan goes on as if this image were empty. Press Build to ask again.".into()),
        })
    };
    refused.filter_map(finding).collect()
}

/// Files that a step copies and that nobody has put into the context.
fn missing_files(source: &str, analysis: &Analysis, workspace: &Workspace) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for edge in &analysis.edges {
        if edge.from != EdgeSource::Context || edge.kind != EdgeKind::Copy {
            continue;
        }
        for path in &edge.paths {
            let wild = path.contains(['*', '?', '[', '$']);
            let remote = path.contains("://") || path.starts_with("git@") || path.starts_with("<<");
            if wild || remote || workspace.has(path) {
                continue;
            }
            let path = path.trim_start_matches("./").trim_start_matches('/');
            findings.push(Diagnostic {
                severity: Severity::Warning,
                code: "file-not-in-context".into(),
                message: format!("There is no {path} in the build context, so this step would fail."),
                span: edge.span,
                lines: lines_of(source, edge.span),
                hint: Some(format!(
                    "Add {path} to the files above the editor, or copy it from the stage that makes it."
                )),
            });
        }
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::workspace::{Content, File};
    use stagewright_core::analysis::{Edge, ExternalImage};

    fn workspace(files: &[&str]) -> Workspace {
        let files = files
            .iter()
            .map(|path| File::new(*path, Content::Text("".into())))
            .collect();
        Workspace::new(files, "Dockerfile", 1)
    }

    fn copy(paths: &[&str]) -> Edge {
        Edge {
            kind: EdgeKind::Copy,
            from: EdgeSource::Context,
            to_stage: 0,
            to_step: Some(0),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
            label: String::new(),
            needed: true,
            span: Span::new(7, 17),
        }
    }

    #[test]
    fn a_file_that_is_not_there_is_named_at_its_step() {
        let analysis = Analysis {
            edges: vec![copy(&["app", "./app.go", "*.txt", "https://x/y"])],
            ..Analysis::default()
        };
        let findings = missing_files(
            "FROM a\nCOPY app .\n",
            &analysis,
            &workspace(&["Dockerfile", "app.go"]),
        );
        let shown: Vec<_> = findings
            .iter()
            .map(|finding| (finding.message.as_str(), finding.lines.start))
            .collect();
        assert_eq!(
            shown,
            [(
                "There is no app in the build context, so this step would fail.",
                2
            )]
        );
    }

    #[test]
    fn an_image_the_worker_could_not_find_is_marked_where_it_is_named() {
        let image = ExternalImage {
            name: "nosuch".into(),
            reference: "docker.io/library/nosuch:latest".into(),
            platform: Platform::default(),
            resolved: false,
            needed: true,
            size: 0,
            note: None,
            context: None,
            vertex: None,
            span: Span::new(5, 11),
        };
        let analysis = Analysis {
            images: vec![image],
            ..Analysis::default()
        };
        let mut images = Images::default();
        assert!(refused_images("FROM nosuch", &analysis, &images).is_empty());
        images.refused.insert(
            "docker.io/library/nosuch:latest".into(),
            "no such image: nosuch".into(),
        );
        let findings = refused_images("FROM nosuch", &analysis, &images);
        assert_eq!(
            findings
                .first()
                .map(|finding| (finding.message.as_str(), finding.span)),
            Some(("no such image: nosuch", Span::new(5, 11)))
        );
    }
}

//! What the insight module is asked, and what it said last.

use std::rc::Rc;

use stagewright_core::analysis::Input;
use stagewright_core::diagnostic::Diagnostic;
use stagewright_insight::{
    Answer, Built, BuiltLayer, BuiltStep, Change, ContextFile, Durations, Mark, Question, TextFile, View,
};

use super::build::{Build, Phase, StepState};
use super::plan::input;
use super::shared::Shared;
use super::workspace::{File, Role};
use super::{State, Tab};

/// Where the module is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Module {
    /// Nobody needed it yet.
    #[default]
    Away,
    /// It is being fetched.
    Coming,
    /// It answers.
    Here,
    /// It could not be fetched; why.
    Missing(String),
}

/// How the page stands with the module.
#[derive(Debug, Clone, Default)]
pub struct Insight {
    /// Where it is.
    pub module: Module,
    /// What it drew last.
    pub drawn: Option<Drawn>,
    /// What lint said of the text as it is; empty while nothing was said yet.
    pub remarks: Vec<Diagnostic>,
}

/// A view as it was drawn.
#[derive(Debug, Clone)]
pub struct Drawn {
    /// Which.
    pub view: View,
    /// Of which state of the page.
    pub version: u32,
    /// Its content.
    pub html: Rc<str>,
    /// What it says of steps in the drawing.
    pub marks: Shared<Vec<Mark>>,
}

/// What a person chose to look at.
#[derive(Debug, Clone, Default)]
pub struct Looks {
    /// The change that is thought of.
    pub change: Change,
    /// What was planned when a build was last started, or when it was asked to be remembered.
    pub before: Option<Input>,
    /// A log of a build elsewhere.
    pub log: Option<TextFile>,
    /// How long a step is taken to take.
    pub durations: Durations,
}

impl Insight {
    /// Takes in an answer.
    pub(super) fn draw(&mut self, view: View, version: u32, answer: Answer) {
        self.drawn = Some(Drawn {
            view,
            version,
            html: answer.html.into(),
            marks: Shared::new(answer.marks),
        });
    }

    /// What it drew of `view`, if that was the last.
    pub fn drawn_of(&self, view: View) -> Option<&Drawn> {
        self.drawn.as_ref().filter(|drawn| drawn.view == view)
    }
}

impl Tab {
    /// The view of the module that this tab shows.
    pub fn view(self) -> Option<View> {
        match self {
            Self::Problems => Some(View::Problems),
            Self::WhatIf => Some(View::WhatIf),
            Self::Timeline => Some(View::Timeline),
            Self::Image => Some(View::Image),
            Self::Context => Some(View::Context),
            Self::Pattern => Some(View::Pattern),
            Self::Graph | Self::Steps | Self::Llb => None,
        }
    }
}

impl State {
    /// What the module has to be asked for the view that is shown.
    pub fn question(&self) -> Option<Question> {
        let view = self.tab.view()?;
        let (workspace, looks) = (&self.workspace, &self.looks);
        let files = || {
            let files = workspace.context().map(|file| ContextFile {
                path: file.path.clone(),
                size: file.content.bytes().len() as u64,
            });
            files.collect()
        };
        let mut question = Question {
            view,
            version: self.version,
            path: self.plan.path.clone(),
            input: input(workspace, &self.choices, &self.images),
            ..Question::default()
        };
        match view {
            View::Problems => question.own.clone_from(&self.plan.own),
            View::WhatIf => {
                question.files = files();
                question.ignore = workspace.ignore_file().map(text_file);
                question.change.clone_from(&looks.change);
                question.before.clone_from(&looks.before);
            }
            View::Timeline => {
                question.build = self.build.as_deref().map(built);
                question.log.clone_from(&looks.log);
                question.durations = looks.durations;
            }
            View::Image => question.build = self.build.as_deref().map(built),
            View::Context => {
                question.files = files();
                question.ignore = workspace.ignore_file().map(text_file);
            }
            View::Pattern => {
                question.files = files();
                let of_role = |role: Role| workspace.files.iter().filter(move |file| file.role == role);
                question.dockerfiles = of_role(Role::Dockerfile).map(text_file).collect();
                question.script = of_role(Role::Script).map(text_file).next();
            }
        }
        Some(question)
    }

    /// What the drawing says of steps beside what a build says: while a change is thought of, what it would come to.
    pub fn marks(&self) -> Option<Shared<Vec<Mark>>> {
        let drawn = self.insight.drawn_of(View::WhatIf)?;
        let shown = self.tab == Tab::WhatIf && drawn.version == self.version;
        (shown && !drawn.marks.is_empty()).then(|| drawn.marks.clone())
    }

    /// Whether there is a script that builds several Dockerfiles: the builder pattern, as it was.
    pub fn has_pattern(&self) -> bool {
        let number = |role: Role| {
            self.workspace
                .files
                .iter()
                .filter(|file| file.role == role)
                .count()
        };
        number(Role::Script) > 0 && number(Role::Dockerfile) > 1
    }
}

fn text_file(file: &File) -> TextFile {
    TextFile {
        path: file.path.clone(),
        text: file.content.text().to_owned(),
    }
}

fn built(build: &Build) -> Built {
    let step = |progress: &super::build::Progress| BuiltStep {
        vertex: progress.vertex.clone(),
        started: progress.started,
        completed: progress.completed,
        cached: progress.cached,
        failed: progress.state() == StepState::Failed,
    };
    let layer = |layer: &stagewright_core::protocol::Layer| BuiltLayer {
        vertex: layer.vertex.clone(),
        size: layer.size,
        entries: [layer.added, layer.changed, layer.removed],
    };
    let image = build.image.as_ref().filter(|_| build.phase == Phase::Done);
    Built {
        title: build.title.clone(),
        steps: build.progress.iter().map(step).collect(),
        layers: build.layers.iter().map(layer).collect(),
        image_size: image.map_or(0, |image| image.size),
    }
}

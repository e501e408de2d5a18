//! What the insight module is asked, and what it said last.

use std::rc::Rc;

use stagewright_core::diagnostic::Diagnostic;
use stagewright_insight::{Answer, ContextFile, Mark, Question, TextFile, View};

use super::plan::input;
use super::workspace::{File, Role, Workspace};
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
    pub marks: Vec<Mark>,
}

impl Insight {
    /// Takes in an answer.
    pub(super) fn draw(&mut self, view: View, version: u32, answer: Answer) {
        self.drawn = Some(Drawn {
            view,
            version,
            html: answer.html.into(),
            marks: answer.marks,
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
            Self::Graph | Self::Steps | Self::Llb => None,
        }
    }
}

impl State {
    /// What the module has to be asked for the view that is shown.
    pub fn question(&self) -> Option<Question> {
        let view = self.tab.view()?;
        let workspace = &self.workspace;
        let files = workspace.context().map(|file| ContextFile {
            path: file.path.clone(),
            size: file.content.bytes().len() as u64,
        });
        Some(Question {
            view,
            version: self.version,
            path: self.plan.path.clone(),
            input: input(workspace, &self.choices, &self.images),
            own: self.plan.own.clone(),
            files: files.collect(),
            ignore: ignore_file(workspace).map(|file| TextFile {
                path: file.path.clone(),
                text: file.content.text().to_owned(),
            }),
        })
    }
}

/// The .dockerignore that holds for the planned Dockerfile: its own, else that of the context.
fn ignore_file(workspace: &Workspace) -> Option<&File> {
    let own = format!("{}.dockerignore", workspace.dockerfile);
    [own.as_str(), ".dockerignore"]
        .into_iter()
        .filter_map(|path| workspace.file(path))
        .find(|file| file.role == Role::Ignore)
}

//! What survives a reload of the page.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::base64_bytes;

use super::State;
use super::build::{Build, Phase};
use super::json;
use super::plan::{Choices, Images};
use super::shared::Shared;
use super::workspace::{Content, File, Role, Workspace};

/// Changes of this shape count up; another number is ignored.
const VERSION: u32 = 1;

/// What survives a reload of the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    example: Option<String>,
    files: Vec<SavedFile>,
    shown: String,
    dockerfile: String,
    edited: bool,
    target: Option<String>,
    build_args: BTreeMap<String, String>,
    images: BTreeMap<String, ImageFacts>,
    build: Option<SavedBuild>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SavedFile {
    path: String,
    role: Role,
    text: bool,
    #[serde(with = "base64_bytes")]
    bytes: Vec<u8>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SavedBuild {
    id: String,
    title: String,
    plan: Digest,
    steps: Vec<Digest>,
}

impl Saved {
    /// What to keep of a state.
    pub fn of(state: &State) -> Self {
        let workspace = &state.workspace;
        let file = |file: &File| SavedFile {
            path: file.path.clone(),
            role: file.role,
            text: matches!(file.content, Content::Text(_)),
            bytes: file.content.bytes().to_vec(),
        };
        let build = |build: &Shared<Build>| SavedBuild {
            id: build.id.clone(),
            title: build.title.clone(),
            plan: build.plan.clone(),
            steps: build.steps.clone(),
        };
        Self {
            version: VERSION,
            example: state.example.clone(),
            files: workspace.files.iter().map(file).collect(),
            shown: workspace.shown.clone(),
            dockerfile: workspace.dockerfile.clone(),
            edited: workspace.edited,
            target: state.choices.target.clone(),
            build_args: state.choices.build_args.clone(),
            images: state.images.facts.clone(),
            build: state
                .build
                .as_ref()
                .filter(|build| build.phase != Phase::Lost)
                .map(build),
        }
    }

    /// Reads what was kept; `None` where it is of another version, or makes no sense.
    pub fn read(text: &str) -> Option<Self> {
        let saved: Self = json::read(text.as_bytes()).ok()?;
        let has_dockerfile = saved.files.iter().any(|file| file.path == saved.dockerfile);
        (saved.version == VERSION && has_dockerfile).then_some(saved)
    }

    /// Puts it into a state.
    pub(super) fn restore(self, state: &mut State) {
        let file = |file: SavedFile| File {
            role: file.role,
            content: if file.text {
                Content::Text(String::from_utf8_lossy(&file.bytes).into())
            } else {
                Content::Binary(file.bytes.into())
            },
            path: file.path,
            revision: 0,
        };
        let files = self.files.into_iter().map(file).collect();
        let mut workspace = Workspace::new(files, &self.dockerfile, state.workspace.epoch + 1);
        workspace.show(&self.shown);
        workspace.edited = self.edited;
        state.workspace = Shared::new(workspace);
        state.example = self.example;
        state.choices = Shared::new(Choices {
            target: self.target,
            build_args: self.build_args,
        });
        state.images = Shared::new(Images {
            facts: self.images,
            ..Images::default()
        });
        state.build = self
            .build
            .map(|build| Shared::new(Build::new(build.id, build.title, build.plan, build.steps)));
    }
}

//! What survives a reload of the page.

use std::collections::BTreeMap;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::link::Link;

use super::build::{Build, Phase};
use super::json;
use super::plan::Images;
use super::share::{choices, workspace};
use super::shared::Shared;
use super::{Author, State};

/// Changes of this shape count up; another number is ignored.
const VERSION: u32 = 2;
/// So often something can be set aside before the first of it is forgotten.
const DEPTH: usize = 10;

/// What survives a reload of the page.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Saved {
    version: u32,
    example: Option<String>,
    /// The files, whole, and the choices. A share link carries the same.
    work: Link,
    edited: bool,
    foreign: bool,
    images: BTreeMap<String, ImageFacts>,
    build: Option<SavedBuild>,
    /// What was set aside.
    aside: Option<Box<Saved>>,
    /// What was edited of other examples, written out, by example.
    #[serde(default)]
    pub(super) drafts: BTreeMap<String, String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SavedBuild {
    id: String,
    title: String,
    plan: Digest,
    steps: Vec<Digest>,
}

impl Saved {
    /// What to keep of what is shown.
    pub fn of(state: &State) -> Self {
        let build = |build: &Shared<Build>| SavedBuild {
            id: build.id.clone(),
            title: build.title.clone(),
            plan: build.plan.clone(),
            steps: build.steps.clone(),
        };
        Self {
            version: VERSION,
            example: state.example.clone(),
            work: state.carried(usize::MAX, usize::MAX),
            edited: state.workspace.edited,
            foreign: state.author == Author::Stranger,
            images: state.images.facts.clone(),
            build: state
                .build
                .as_ref()
                .filter(|build| build.phase != Phase::Lost)
                .map(build),
            aside: state.aside.as_ref().map(|aside| Box::new((**aside).clone())),
            drafts: BTreeMap::new(),
        }
    }

    /// All that there is to keep.
    pub fn whole(state: &State) -> Self {
        let mut saved = Self::of(state);
        saved.drafts.clone_from(&state.drafts);
        saved
    }

    /// What is shown, written out without what nobody looks for in it when it is shown again.
    pub(super) fn draft(state: &State) -> Option<String> {
        let mut draft = Self::of(state);
        (draft.build, draft.aside) = (None, None);
        json::write(&draft).ok()
    }

    /// The same with something else set aside; what was set aside long before is forgotten.
    pub(super) fn before(mut self, aside: Option<Rc<Self>>) -> Self {
        self.aside = aside.map(|aside| Box::new(Rc::unwrap_or_clone(aside)));
        let mut oldest = &mut self.aside;
        for _ in 0..DEPTH {
            match oldest {
                Some(older) => oldest = &mut older.aside,
                None => return self,
            }
        }
        *oldest = None;
        self
    }

    /// Reads what was kept; `None` where it is of another version, or cannot be read.
    pub fn read(text: &str) -> Option<Self> {
        let saved: Self = json::read(text.as_bytes()).ok()?;
        (saved.version == VERSION).then_some(saved)
    }

    /// Puts it into a state, which stays as it is where there is no Dockerfile in it.
    pub(super) fn restore(self, state: &mut State) {
        if !self.show(state) {
            return;
        }
        state.aside = self.aside.map(|aside| Rc::new(*aside));
        state.images = Shared::new(Images {
            facts: self.images,
            ..Images::default()
        });
        state.build = self
            .build
            .map(|build| Shared::new(Build::new(build.id, build.title, build.plan, build.steps)));
    }

    /// Shows its files, if there is a Dockerfile among them.
    pub(super) fn show(&self, state: &mut State) -> bool {
        let Some(mut workspace) = workspace(&self.work, usize::MAX, state.workspace.epoch + 1) else {
            return false;
        };
        workspace.edited = self.edited;
        state.workspace = Shared::new(workspace);
        state.choices = Shared::new(choices(&self.work));
        state.example.clone_from(&self.example);
        state.author = if self.foreign {
            Author::Stranger
        } else {
            Author::Reader
        };
        true
    }
}

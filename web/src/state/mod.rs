//! Everything the page knows, and the one function that changes it.
//!
//! Nothing here touches a browser: [`State::after`] takes what happened and gives the next state. Planning is part
//! of it, because it takes far less than a frame; the plan therefore always fits the text that is shown.

pub mod build;
pub mod catalog;
pub mod connection;
pub mod deed;
pub mod insight;
pub mod json;
pub mod layers;
pub mod log;
pub mod marks;
pub mod offsets;
pub mod plan;
pub mod saved;
pub mod share;
pub mod shared;
pub mod workspace;

use std::collections::BTreeMap;
use std::rc::Rc;

use stagewright_core::analysis::{ImageFacts, Input};
use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::digest::Digest;
use stagewright_core::edit::TextEdit;
use stagewright_core::link::Link;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{BuildEvent, BuildId, BuildSummary, Welcome};
pub use stagewright_insight::human;
use stagewright_insight::{Answer, Change, Durations, TextFile, View};

use build::{Build, Phase};
use catalog::Example;
use connection::Connection;
use insight::{Insight, Looks, Module};
use plan::{Choices, Images, Plan, StepRef};
use saved::Saved;
use shared::Shared;
use workspace::{Content, File, PathError, Workspace};

/// What the right pane shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tab {
    /// The drawing.
    Graph,
    /// Steps and their layers.
    Steps,
    /// Findings.
    Problems,
    /// What a change would come to.
    WhatIf,
    /// When what runs.
    Timeline,
    /// What the image holds.
    Image,
    /// Which files are sent.
    Context,
    /// Several Dockerfiles and a script, as one file.
    Pattern,
    /// The ops of the definition.
    Llb,
}

/// What a narrow page shows; it has room for one thing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pane {
    /// The files.
    Editor,
    /// The tabs of [`Tab`].
    View,
    /// The build's panel.
    Build,
}

/// Whose files are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Author {
    /// They are an example, or the reader put a hand to them.
    Reader,
    /// They came by a link and are as they came: planned, but no registry is asked of what they name.
    Stranger,
}

/// Something the page has to say.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Tells it from others.
    pub id: u32,
    /// Whether something went wrong.
    pub is_error: bool,
    /// What happened, and what to do next.
    pub text: String,
}

/// Where a build stands before the worker knows of it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Launch {
    /// No build is being prepared.
    #[default]
    Idle,
    /// What is being done.
    Preparing(String),
    /// It came to nothing; why, and what to do next.
    Refused(String),
}

/// Everything the page knows.
#[derive(Clone)]
pub struct State {
    /// The examples; empty until they are loaded.
    pub catalog: Shared<Vec<Example>>,
    /// Which of them the files came from.
    pub example: Option<String>,
    /// The files.
    pub workspace: Shared<Workspace>,
    /// What was edited of other examples, written out, by example.
    pub drafts: Shared<BTreeMap<String, String>>,
    /// What a person wrote here before a link was opened, or before starting over.
    pub aside: Option<Rc<Saved>>,
    /// Whose files they are.
    pub author: Author,
    /// What else decides the plan.
    pub choices: Shared<Choices>,
    /// What is known of images.
    pub images: Shared<Images>,
    /// The plan of all that.
    pub plan: Shared<Plan>,
    /// Counts up with every change that a plan, or a view of it, could depend on.
    pub version: u32,
    /// All that is to be said of the Dockerfile: the plan's findings and lint's, by place.
    pub findings: Shared<Vec<Diagnostic>>,
    /// How the page stands with the insight module.
    pub insight: Shared<Insight>,
    /// What a person chose to look at in its views.
    pub looks: Shared<Looks>,
    /// How the page stands with a worker.
    pub connection: Connection,
    /// Where a build stands before the worker knows of it.
    pub launch: Launch,
    /// The build that is looked at.
    pub build: Option<Shared<Build>>,
    /// The chosen step.
    pub chosen: Option<StepRef>,
    /// The line the editor is to show; the number counts requests.
    pub reveal: Option<(u32, u32)>,
    /// Changes that the editor is to make, so that they can be undone there; the number counts requests.
    pub edits: Option<(u32, Shared<Vec<TextEdit>>)>,
    /// What the right pane shows.
    pub tab: Tab,
    /// What a narrow page shows.
    pub pane: Pane,
    /// Whether the page is too narrow for panes side by side.
    pub narrow: bool,
    /// Whether the build's panel is open.
    pub panel_open: bool,
    /// Whether the way to get a worker is being explained.
    pub explains_worker: bool,
    /// What the page has to say.
    pub notices: Shared<Vec<Notice>>,
    /// The page's clock, in milliseconds since 1970, as of the last event or tick.
    pub now: f64,
    /// Measures how long planning takes, in milliseconds. Planning itself knows no clock.
    stopwatch: fn() -> f64,
    next_notice: u32,
}

/// Something happened.
#[derive(Debug, Clone)]
pub enum Action {
    /// The list of examples arrived.
    CatalogLoaded(Vec<Example>),
    /// An example's files arrived. If it is the one that is shown, it is shown as it came.
    ExampleOpened {
        /// Which.
        id: String,
        /// In the order of its tabs.
        files: Vec<File>,
    },
    /// A share link was opened.
    LinkOpened(Box<Link>),
    /// What was set aside is to be shown again.
    BroughtBack,
    /// The page was loaded again.
    Restored(Box<Saved>),
    /// A person typed.
    Edited {
        /// In which file.
        path: String,
        /// All of its text.
        text: Rc<str>,
    },
    /// A tab of the editor was chosen.
    FileShown(String),
    /// A file was made or uploaded.
    FilePut {
        /// Its path, as typed.
        path: String,
        /// What is in it.
        content: Content,
        /// Whether it may take the place of one with the same path.
        replace: bool,
    },
    /// A file was removed.
    FileRemoved(String),
    /// A file was renamed.
    FileRenamed {
        /// From this path.
        from: String,
        /// To this, as typed.
        to: String,
    },
    /// A stage was chosen; `None` for the last one.
    TargetChosen(Option<String>),
    /// A build arg was set, or unset.
    BuildArgSet {
        /// Its name.
        name: String,
        /// Its value.
        value: Option<String>,
    },
    /// The platform to build for was chosen; `None` for the usual one.
    PlatformChosen(Option<Platform>),
    /// The worker is being asked about an image.
    ImageAsked(String),
    /// A registry answered.
    ImageResolved {
        /// The image in full.
        reference: String,
        /// What it said.
        facts: Box<ImageFacts>,
    },
    /// The worker could not find out about an image.
    ImageRefused {
        /// The image in full.
        reference: String,
        /// Why, and what to do next.
        message: String,
    },
    /// A worker trusts this page.
    Connected(Box<Welcome>),
    /// How the page stands with a worker changed otherwise.
    ConnectionChanged(Connection),
    /// The cursor is in a line of a file.
    CursorMoved {
        /// The file.
        path: String,
        /// The line, from 1.
        line: u32,
    },
    /// A step was chosen elsewhere than in the editor.
    StepChosen(StepRef),
    /// A line was chosen elsewhere than in the editor.
    LineChosen(u32),
    /// Changes of the planned Dockerfile were asked for.
    EditsAsked {
        /// The state of the page that they were made for.
        version: u32,
        /// What is to be changed.
        edits: Vec<TextEdit>,
    },
    /// A change is thought of.
    ChangeChosen(Change),
    /// What is planned now is what later changes are compared with.
    PlanRemembered,
    /// A log of a build elsewhere was opened, or closed.
    LogOpened(Option<TextFile>),
    /// How long a step is taken to take.
    DurationsChosen(Durations),
    /// The insight module is somewhere else than before.
    ModuleChanged(Module),
    /// The insight module drew a view.
    Drawn {
        /// Which.
        view: View,
        /// Of which state of the page.
        version: u32,
        /// What it drew.
        answer: Answer,
    },
    /// Lint had its say.
    Remarked {
        /// Of which state of the page.
        version: u32,
        /// What it said.
        remarks: Vec<Diagnostic>,
    },
    /// A build is being prepared.
    Preparing(String),
    /// A build came to nothing before it began.
    LaunchRefused(String),
    /// A build began.
    BuildStarted {
        /// Its name on the worker.
        id: BuildId,
        /// What the page called it.
        title: String,
        /// The plan it runs.
        plan: Digest,
        /// The ops that are steps.
        steps: Vec<Digest>,
        /// What was planned.
        input: Box<Input>,
    },
    /// A build was found again.
    BuildAttached(Box<BuildSummary>),
    /// The worker does not know the build.
    BuildLost,
    /// Events of a build.
    BuildEvents(Vec<BuildEvent>),
    /// Time goes by. It is said only while something runs.
    Tick,
    /// A tab of the right pane was chosen.
    TabShown(Tab),
    /// A pane of a narrow page was chosen.
    PaneShown(Pane),
    /// The build's panel was opened or closed.
    PanelToggled,
    /// The way to get a worker is to be explained, or was.
    WorkerExplained(bool),
    /// The page became narrow, or wide.
    NarrowChanged(bool),
    /// There is something to say.
    Noticed {
        /// Whether something went wrong.
        is_error: bool,
        /// What happened, and what to do next.
        text: String,
    },
    /// A notice was read.
    NoticeDismissed(u32),
}

impl Action {
    /// Whether a person took what is shown into their own hands.
    fn is_hands_on(&self) -> bool {
        matches!(
            self,
            Self::Edited { .. }
                | Self::FilePut { .. }
                | Self::FileRemoved(_)
                | Self::FileRenamed { .. }
                | Self::TargetChosen(_)
                | Self::BuildArgSet { .. }
                | Self::PlatformChosen(_)
                | Self::Preparing(_)
        )
    }
}

impl State {
    /// An empty page. `stopwatch` gives milliseconds from any beginning.
    pub fn new(narrow: bool, stopwatch: fn() -> f64) -> Self {
        Self {
            catalog: Shared::default(),
            example: None,
            workspace: Shared::default(),
            drafts: Shared::default(),
            aside: None,
            author: Author::Reader,
            choices: Shared::default(),
            images: Shared::default(),
            plan: Shared::default(),
            version: 0,
            findings: Shared::default(),
            insight: Shared::default(),
            looks: Shared::default(),
            connection: Connection::Connecting,
            launch: Launch::Idle,
            build: None,
            chosen: None,
            reveal: None,
            edits: None,
            tab: Tab::Graph,
            pane: Pane::View,
            narrow,
            panel_open: false,
            explains_worker: false,
            notices: Shared::default(),
            now: 0.0,
            stopwatch,
            next_notice: 1,
        }
    }

    /// Whether a build is being prepared or runs.
    pub fn is_busy(&self) -> bool {
        matches!(self.launch, Launch::Preparing(_))
            || self
                .build
                .as_ref()
                .is_some_and(|build| build.phase == Phase::Running)
    }

    /// The example the files came from.
    pub fn current_example(&self) -> Option<&Example> {
        let id = self.example.as_ref()?;
        self.catalog.iter().find(|example| &example.id == id)
    }

    /// The next state. `now` is the page's clock, in milliseconds since 1970.
    #[must_use]
    pub fn after(&self, action: Action, now: f64) -> Self {
        let mut next = self.clone();
        next.now = now;
        next.apply(action);
        next
    }

    fn apply(&mut self, action: Action) {
        if action.is_hands_on() {
            self.author = Author::Reader;
        }
        match action {
            Action::CatalogLoaded(catalog) => self.catalog = Shared::new(catalog),
            Action::ExampleOpened { id, files } => self.open_example(id, files),
            Action::LinkOpened(link) => self.open_link(&link),
            Action::BroughtBack => self.bring_back(),
            Action::Restored(mut saved) => {
                self.drafts = Shared::new(std::mem::take(&mut saved.drafts));
                saved.restore(self);
                self.panel_open = self.build.is_some();
                self.replan();
            }
            Action::Edited { path, text } => {
                self.workspace.change().edit(&path, text);
                self.replan();
            }
            Action::FileShown(path) => self.show_file(&path),
            Action::FilePut {
                path,
                content,
                replace,
            } => self.put_file(&path, content, replace),
            Action::FileRemoved(path) => {
                self.workspace.change().remove(&path);
                self.replan();
            }
            Action::FileRenamed { from, to } => match self.workspace.check_path(&to) {
                Ok(to) => {
                    self.workspace.change().rename(&from, &to);
                    self.replan();
                }
                Err(error) => self.complain(error.to_string()),
            },
            Action::TargetChosen(target) => {
                self.choices.change().target = target;
                self.replan();
            }
            Action::BuildArgSet { name, value } => {
                let choices = self.choices.change();
                match value {
                    Some(value) => choices.build_args.insert(name, value),
                    None => choices.build_args.remove(&name),
                };
                self.replan();
            }
            Action::PlatformChosen(platform) => {
                self.choices.change().platform = platform;
                self.replan();
            }
            Action::ImageAsked(reference) => {
                self.images.change().asked.push(reference);
            }
            Action::ImageResolved { reference, facts } => {
                let images = self.images.change();
                images.asked.retain(|asked| *asked != reference);
                images.refused.remove(&reference);
                images.facts.insert(reference, *facts);
                self.replan();
            }
            Action::ImageRefused { reference, message } => {
                let images = self.images.change();
                images.asked.retain(|asked| *asked != reference);
                images.refused.insert(reference, message);
                self.replan();
            }
            Action::Connected(welcome) => {
                self.connection = Connection::Online(Shared::new(*welcome));
                // What was asked on an earlier connection is not answered any more; what failed may work now.
                let images = self.images.change();
                images.asked.clear();
                images.refused.clear();
                self.replan();
            }
            Action::ConnectionChanged(connection) => {
                self.connection = connection;
                if let Launch::Preparing(_) = self.launch {
                    self.launch = Launch::Refused(
                        "The connection to the worker broke before the build began. Press Build again."
                            .into(),
                    );
                }
            }
            Action::CursorMoved { path, line } => {
                if path == self.plan.path {
                    self.chosen = self.plan.step_at_line(line);
                }
            }
            Action::StepChosen(at) => self.choose(at),
            Action::LineChosen(line) => self.reveal_line(line),
            Action::EditsAsked { version, edits } => {
                if version == self.version {
                    self.show_planned();
                    let count = self.edits.as_ref().map_or(0, |(count, _)| *count);
                    self.edits = Some((count + 1, Shared::new(edits)));
                }
            }
            Action::ChangeChosen(change) => self.look().change = change,
            Action::PlanRemembered => {
                let planned = plan::input(&self.workspace, &self.choices, &self.images);
                let looks = self.look();
                looks.before = Some(planned);
                looks.change = Change::SinceBefore;
            }
            Action::LogOpened(log) => self.look().log = log,
            Action::DurationsChosen(durations) => self.look().durations = durations,
            Action::ModuleChanged(module) => self.insight.change().module = module,
            // What was asked of an earlier state is answered too late.
            Action::Drawn {
                view,
                version,
                answer,
            } => {
                if version == self.version {
                    self.insight.change().draw(view, version, answer);
                }
            }
            Action::Remarked { version, remarks } => {
                if version == self.version {
                    self.insight.change().remarks = remarks;
                    self.gather();
                }
            }
            Action::Preparing(what) => {
                self.launch = Launch::Preparing(what);
                self.panel_open = true;
            }
            Action::LaunchRefused(why) => {
                self.launch = Launch::Refused(why);
                self.panel_open = true;
            }
            Action::BuildStarted {
                id,
                title,
                plan,
                steps,
                input,
            } => {
                self.launch = Launch::Idle;
                let looks = self.look();
                looks.before = Some(*input);
                // Another build than the log tells of is looked at from now on.
                looks.log = None;
                self.build = Some(Shared::new(Build::new(id, title, plan, steps)));
                self.panel_open = true;
            }
            Action::BuildAttached(summary) => {
                if let Some(build) = self.build.as_mut().filter(|build| build.id == summary.id) {
                    build.change().apply_state(summary.state);
                }
            }
            Action::BuildLost => {
                if let Some(build) = self.build.as_mut().filter(|build| build.phase == Phase::Running) {
                    build.change().lose();
                }
            }
            Action::BuildEvents(events) => {
                let now = self.now;
                if let Some(build) = &mut self.build {
                    let build = build.change();
                    for event in &events {
                        build.apply(event, now);
                    }
                    // Only these two show what a build says.
                    self.version += u32::from(matches!(self.tab, Tab::Timeline | Tab::Image));
                }
            }
            Action::Tick => {}
            Action::TabShown(tab) => {
                self.tab = tab;
                self.pane = Pane::View;
            }
            Action::PaneShown(pane) => {
                self.pane = pane;
                self.panel_open |= pane == Pane::Build;
            }
            Action::PanelToggled => self.panel_open = !self.panel_open,
            Action::WorkerExplained(open) => self.explains_worker = open,
            Action::NarrowChanged(narrow) => {
                self.narrow = narrow;
                self.replan();
            }
            Action::Noticed { is_error, text } => self.notice(is_error, text),
            Action::NoticeDismissed(id) => self.notices.change().retain(|notice| notice.id != id),
        }
    }

    fn open_example(&mut self, id: String, files: Vec<File>) {
        let edited = self.workspace.edited;
        let starts_over = edited && self.example.as_ref() == Some(&id);
        if self.example.is_none() || starts_over {
            // What a link brought, or a person wrote, is nowhere else any more.
            self.set_aside();
        }
        if starts_over {
            let text = format!("{id} is as it came. What you had before is kept: see the end of Examples.");
            self.notice(false, text);
        } else if edited && let (Some(left), Some(draft)) = (self.example.clone(), Saved::draft(self)) {
            self.drafts.change().insert(left, draft);
        }
        let draft = self.take_draft(&id);
        if !draft.is_some_and(|draft| draft.show(self)) {
            let epoch = self.workspace.epoch + 1;
            let example = self.catalog.iter().find(|example| example.id == id);
            let dockerfile = example.map_or("Dockerfile", |example| example.dockerfile.as_str());
            let target = example.and_then(|example| example.target.clone());
            self.workspace = Shared::new(Workspace::new(files, dockerfile, epoch));
            self.choices = Shared::new(Choices {
                target,
                ..Choices::default()
            });
            self.author = Author::Reader;
            self.example = Some(id);
        }
        self.leave();
        self.replan();
    }

    /// What was edited of an example before another one was opened.
    fn take_draft(&mut self, example: &str) -> Option<Saved> {
        Saved::read(&self.drafts.change().remove(example)?)
    }

    fn show_file(&mut self, path: &str) {
        let before = self.workspace.dockerfile.clone();
        self.workspace.change().show(path);
        if self.workspace.dockerfile != before {
            // Another Dockerfile has other stages, so a target chosen for the first means nothing here.
            if self.choices.target.is_some() {
                self.choices.change().target = None;
            }
            self.chosen = None;
            self.replan();
        }
    }

    fn put_file(&mut self, path: &str, content: Content, replace: bool) {
        let path = match self.workspace.check_path(path) {
            Ok(path) => path,
            Err(PathError::Taken(path)) if replace => path,
            Err(error) => return self.complain(error.to_string()),
        };
        self.workspace.change().put(&path, content);
        self.replan();
    }

    fn choose(&mut self, at: StepRef) {
        if let Some(line) = self.plan.line_of(at) {
            self.reveal_line(line);
        }
        self.chosen = Some(at);
    }

    /// What a person chose to look at, to be changed.
    fn look(&mut self) -> &mut Looks {
        self.version += 1;
        self.looks.change()
    }

    fn show_planned(&mut self) {
        if self.workspace.shown != self.plan.path {
            let path = self.plan.path.clone();
            self.workspace.change().show(&path);
        }
    }

    fn reveal_line(&mut self, line: u32) {
        self.show_planned();
        let count = self.reveal.map_or(0, |(count, _)| count);
        self.reveal = Some((count + 1, line));
        self.chosen = self.plan.step_at_line(line);
    }

    fn complain(&mut self, text: String) {
        self.notice(true, text);
    }

    fn notice(&mut self, is_error: bool, text: String) {
        let id = self.next_notice;
        self.next_notice += 1;
        let notices = self.notices.change();
        notices.retain(|notice| notice.text != text);
        notices.push(Notice { id, is_error, text });
    }

    fn replan(&mut self) {
        let begin = (self.stopwatch)();
        let mut plan = Plan::make(&self.workspace, &self.choices, &self.images, self.narrow);
        plan.millis = (self.stopwatch)() - begin;
        self.plan = Shared::new(plan);
        self.version += 1;
        if !self.insight.remarks.is_empty() {
            self.insight.change().remarks.clear();
        }
        self.gather();
        let there = |at: &StepRef| self.plan.line_of(*at).is_some();
        self.chosen = self.chosen.filter(there);
    }

    /// Puts together what is to be said of the Dockerfile.
    fn gather(&mut self) {
        let mut findings = self.plan.findings.clone();
        findings.extend_from_slice(&self.insight.remarks);
        findings.sort_by_key(|finding| finding.span.start);
        self.findings = Shared::new(findings);
    }
}

#[cfg(test)]
mod tests;

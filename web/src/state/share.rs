//! Share links: what of the page goes into one, and what one makes of the page.
//!
//! A link comes from anybody. It never takes away what a person wrote here, never begins a build, and has no registry
//! asked: see [`Author`].

use std::rc::Rc;

use stagewright_core::link::{LONG, Link, LinkedFile};

use super::build::Phase;
use super::human::count;
use super::plan::Choices;
use super::saved::Saved;
use super::shared::Shared;
use super::workspace::{Content, File, Role, Workspace};
use super::{Author, Launch, Pane, State, Tab};

/// A file of the context that is longer is left out of a link, which would not survive being sent.
const LARGE: usize = 16_000;
/// More files than a person looks through: no more are put into a link, nor taken out of one.
const MANY: usize = 200;
/// More names, and a longer one, than a person reads in a sentence.
const NAMED: usize = 10;
const LONG_NAME: usize = 80;

/// What links call the tabs.
const TABS: [(Tab, &str); 9] = [
    // What is called nothing, or something that is not known here, is the drawing.
    (Tab::Graph, ""),
    (Tab::Steps, "steps"),
    (Tab::Problems, "problems"),
    (Tab::WhatIf, "whatif"),
    (Tab::Timeline, "timeline"),
    (Tab::Image, "image"),
    (Tab::Context, "context"),
    (Tab::Pattern, "pattern"),
    (Tab::Llb, "llb"),
];

impl State {
    /// What a link to the page as it is carries.
    pub fn link(&self) -> Link {
        self.carried(LARGE, MANY)
    }

    /// The same with files of the context up to this length, and so many files.
    pub(super) fn carried(&self, longest: usize, most: usize) -> Link {
        let workspace = &self.workspace;
        let mut link = Link {
            dockerfile: workspace.dockerfile.clone(),
            target: self.choices.target.clone().unwrap_or_default(),
            build_args: self.choices.build_args.clone(),
            ..Link::default()
        };
        if let Some(platform) = &self.choices.platform {
            link.platform = platform.to_string();
        }
        if workspace.shown != workspace.dockerfile {
            link.shown.clone_from(&workspace.shown);
        }
        if let Some((_, name)) = TABS.iter().find(|(tab, _)| *tab == self.tab) {
            (*name).clone_into(&mut link.view);
        }
        // The planned Dockerfile comes before what else a plan may hang on, and that before the rest of the context.
        let vital = |file: &&File| file.role != Role::Context;
        let vital = workspace.files.iter().filter(vital).count().min(most);
        let (mut planned, mut others, mut context) = (1, vital.saturating_sub(1), most - vital);
        for file in &workspace.files {
            let room = match file.role {
                _ if file.path == workspace.dockerfile => &mut planned,
                Role::Context if file.content.bytes().len() > longest => &mut 0,
                Role::Context => &mut context,
                Role::Dockerfile | Role::Script | Role::Ignore | Role::About => &mut others,
            };
            if *room == 0 {
                link.left_out.push(file.path.clone());
                continue;
            }
            *room -= 1;
            let mut linked = match &file.content {
                Content::Text(text) => LinkedFile::text(&file.path, text),
                Content::Binary(bytes) => LinkedFile::binary(&file.path, bytes),
            };
            if file.role != Role::of_path(&file.path) {
                file.role.name().clone_into(&mut linked.role);
            }
            link.files.push(linked);
        }
        link
    }

    /// Shows what a link carries. What was written here is set aside.
    pub(super) fn open_link(&mut self, link: &Link) {
        let Some(workspace) = workspace(link, MANY, self.workspace.epoch + 1) else {
            self.complain(
                "There is no Dockerfile in this link that could be shown. Ask for another, or write your own."
                    .into(),
            );
            return;
        };
        if self.is_worth_keeping() {
            self.set_aside();
        }
        self.leave();
        self.workspace = Shared::new(workspace);
        self.choices = Shared::new(choices(link));
        self.example = None;
        let named = TABS.iter().find(|(_, name)| *name == link.view);
        self.tab = named.map_or(Tab::Graph, |(tab, _)| *tab);
        self.pane = Pane::View;
        self.author = Author::Stranger;
        let mut text = "Opened from a link. Nothing is built, and no registry is asked, before you change something or press Build.".to_owned();
        if self.aside.is_some() {
            text.push_str(" What you had before is kept: see the end of Examples.");
        }
        let possible = |path: &String| self.workspace.check_path(path).ok();
        let left_out: Vec<String> = link.left_out.iter().filter_map(possible).collect();
        if !left_out.is_empty() {
            text.push_str(" Not in the link, to be added before a build: ");
            text.push_str(&quoted(&left_out));
        }
        self.notice(false, text);
        self.replan();
    }

    /// Whether a person wrote or chose what is here, so that it cannot be had again as it is. What a link set is in the
    /// link still; a target is chosen again by a press.
    fn is_worth_keeping(&self) -> bool {
        let chosen = !self.choices.build_args.is_empty() || self.choices.platform.is_some();
        self.workspace.edited || (chosen && self.author == Author::Reader)
    }

    /// Keeps what is here for [`State::bring_back`].
    pub(super) fn set_aside(&mut self) {
        if !self.workspace.files.is_empty() {
            let here = Saved::of(self);
            self.aside = Some(Rc::new(here.before(self.aside.take())));
        }
    }

    /// Shows again what was set aside. What is here now takes its place, unless it can be had again as it is.
    pub(super) fn bring_back(&mut self) {
        let Some(aside) = self.aside.take() else { return };
        let worth = self.is_worth_keeping() || self.example.is_none();
        let here = Saved::of(self);
        let running = self.build.take().filter(|build| build.phase == Phase::Running);
        self.leave();
        (*aside).clone().restore(self);
        // Both are of one example, and the files of one are shown.
        let draft = self.example.clone().and_then(|example| self.take_draft(&example));
        for kept in draft.into_iter().chain(worth.then_some(here)) {
            self.aside = Some(Rc::new(kept.before(self.aside.take())));
        }
        self.build = running.or_else(|| self.build.take());
        self.panel_open = self.build.is_some();
        self.replan();
    }

    /// Forgets what belongs to the files that are shown, because others take their place. A build that runs stays in
    /// sight; one that ended belongs to what was left.
    pub(super) fn leave(&mut self) {
        self.chosen = None;
        self.reveal = None;
        self.looks = Shared::default();
        self.launch = Launch::Idle;
        if self
            .build
            .as_ref()
            .is_some_and(|build| build.phase != Phase::Running)
        {
            self.build = None;
            self.panel_open = false;
        }
    }
}

/// What was chosen beside the files.
pub(super) fn choices(link: &Link) -> Choices {
    Choices {
        target: (!link.target.is_empty()).then(|| link.target.clone()),
        build_args: link.build_args.clone(),
        platform: link.platform.parse().ok(),
    }
}

/// The files of a link, as far as they can stand in a context; `None` where there is no Dockerfile among them.
pub(super) fn workspace(link: &Link, most: usize, epoch: u32) -> Option<Workspace> {
    let mut workspace = Workspace::default();
    for linked in link.files.iter().take(most) {
        let Ok(path) = workspace.check_path(&linked.path) else {
            continue;
        };
        let content = match linked.decoded() {
            Some(bytes) => Content::Binary(bytes.into()),
            None => Content::Text(linked.text.as_str().into()),
        };
        let mut file = File::new(path, content);
        file.role = Role::named(&linked.role).unwrap_or(file.role);
        workspace.files.push(file);
    }
    let dockerfiles = workspace
        .files
        .iter()
        .filter(|file| file.role == Role::Dockerfile);
    let first = dockerfiles.clone().next()?;
    let planned = dockerfiles.clone().find(|file| file.path == link.dockerfile);
    let planned = planned.unwrap_or(first).path.clone();
    let mut workspace = Workspace::new(workspace.files, &planned, epoch);
    workspace.show(&link.shown);
    Some(workspace)
}

/// What is said of a link that was copied, `length` characters long.
pub fn copied(link: &Link, length: usize, local: bool) -> String {
    let mut text = format!("Copied: {}.", count(length, "character"));
    if length > LONG {
        text.push_str(" Many programs cut such long links off; a smaller context makes it shorter.");
    }
    if !link.left_out.is_empty() {
        text.push_str(" Too much for a link, and left out: ");
        text.push_str(&quoted(&link.left_out));
    }
    if local {
        text.push_str(" It leads to the page on this machine.");
    }
    text
}

/// The end of a sentence that names files. They may be a stranger's: each is quoted, so that none is taken for what the
/// page itself says.
fn quoted(paths: &[String]) -> String {
    let one = |path: &String| match path.char_indices().nth(LONG_NAME) {
        Some((end, _)) => format!("{:?}…", path.get(..end).unwrap_or_default()),
        None => format!("{path:?}"),
    };
    let shown: Vec<String> = paths.iter().take(NAMED).map(one).collect();
    let mut text = shown.join(", ");
    if paths.len() > NAMED {
        text = format!("{text} and {} more", paths.len() - NAMED);
    }
    text.push('.');
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::state::{Action, Author};

    fn after(state: &State, actions: impl IntoIterator<Item = Action>) -> State {
        let then = |state: State, action| state.after(action, 1_000.0);
        actions.into_iter().fold(state.clone(), then)
    }

    fn example(text: &str) -> Action {
        Action::ExampleOpened {
            id: "counter".into(),
            files: vec![File::new("Dockerfile", Content::Text(text.into()))],
        }
    }

    fn page() -> State {
        after(&State::new(false, || 0.0), [example("FROM a AS one\n")])
    }

    fn typed(text: &str) -> Action {
        Action::Edited {
            path: "Dockerfile".into(),
            text: text.into(),
        }
    }

    fn put(path: &str, content: Content) -> Action {
        Action::FilePut {
            path: path.into(),
            content,
            replace: false,
        }
    }

    fn opened(link: Link) -> Action {
        Action::LinkOpened(Box::new(link))
    }

    fn with(files: &[(&str, &str)]) -> Link {
        let files = files.iter().map(|(path, text)| LinkedFile::text(path, text));
        Link {
            files: files.collect(),
            ..Link::default()
        }
    }

    #[test]
    fn a_link_shows_the_page_that_it_was_made_on() {
        let script = LinkedFile {
            role: "script".into(),
            ..LinkedFile::text("build.sh", "docker build .\n")
        };
        let mut link = with(&[
            ("Dockerfile", "FROM a AS one\nFROM b\n"),
            ("src/app.go", "package main\n"),
        ]);
        link.files.push(script);
        link.files.push(LinkedFile::binary("logo.png", &[0, 255]));
        link.dockerfile = "Dockerfile".into();
        link.shown = "src/app.go".into();
        link.view = "timeline".into();
        link.target = "one".into();
        link.platform = "linux/arm64".into();
        link.build_args.insert("V".into(), "1".into());
        let state = after(&page(), [opened(link.clone())]);
        assert_eq!(state.link(), link);
        assert_eq!(state.plan.analysis.target, Some(0));
        assert_eq!((state.tab, state.example.as_deref()), (Tab::Timeline, None));
    }

    #[test]
    fn what_is_large_is_left_out_and_named() {
        let large = "x".repeat(LARGE + 1);
        let state = after(
            &page(),
            [
                put("large.txt", Content::Text(large.as_str().into())),
                put("photo.jpg", Content::Binary(vec![0; LARGE + 1].into())),
                put(
                    "web.Dockerfile",
                    Content::Text(format!("FROM a\n#{large}").into()),
                ),
            ],
        );
        let link = state.link();
        assert_eq!(link.left_out, ["large.txt", "photo.jpg"]);
        let kept: Vec<&str> = link.files.iter().map(|file| file.path.as_str()).collect();
        assert_eq!(
            kept,
            ["Dockerfile", "web.Dockerfile"],
            "a Dockerfile always comes along"
        );
        let said = copied(&link, LONG + 1, true);
        for part in [
            "8,001 characters",
            "cut",
            "\"large.txt\", \"photo.jpg\".",
            "this machine",
        ] {
            assert!(said.replace("8001", "8,001").contains(part), "{said}");
        }
        let opened = after(&page(), [opened(link)]);
        assert!(
            opened
                .notices
                .iter()
                .any(|notice| notice.text.contains("large.txt"))
        );
    }

    #[test]
    fn a_link_has_no_more_files_than_one_that_is_opened() {
        let add = |path: String| put(&path, Content::Text("FROM a\n".into()));
        let sources = (0..MANY + 3).map(|index| add(format!("src/{index}.go")));
        let mut state = after(&page(), sources);
        state = after(
            &state,
            [add("last.Dockerfile".into()), add(".dockerignore".into())],
        );
        let link = state.link();
        assert_eq!(link.files.len(), MANY);
        assert_eq!(link.dockerfile, "last.Dockerfile");
        for path in ["Dockerfile", "last.Dockerfile", ".dockerignore"] {
            assert!(link.files.iter().any(|file| file.path == path), "{path}");
        }
        assert_eq!(link.left_out.len(), 6);
        let there = after(&page(), [opened(link.clone())]);
        assert_eq!(there.workspace.files.len(), MANY);
        assert_eq!(there.workspace.dockerfile, "last.Dockerfile");
        let said = copied(&link, 1, false);
        assert!(said.contains("left out: \"src/197.go\", "), "{said}");

        let dockerfiles = (0..MANY + 3).map(|index| add(format!("{index}.Dockerfile")));
        let link = after(&state, dockerfiles).link();
        assert_eq!(link.files.len(), MANY);
        assert_eq!(link.dockerfile, format!("{}.Dockerfile", MANY + 2));
        assert!(link.files.iter().any(|file| file.path == link.dockerfile));
    }

    #[test]
    fn names_that_come_from_a_link_are_quoted_and_few() {
        let mut link = with(&[("Dockerfile", "FROM a\n")]);
        link.left_out = [
            "../../etc/passwd",
            "a\nb",
            "Dockerfile",
            "",
            "logo.png",
            "a\". Your session ended: open evil.example \"",
            "gnp\u{202e}.exe",
        ]
        .map(Into::into)
        .into();
        link.left_out.push(format!("{}/x", "ü".repeat(100)));
        link.left_out.extend((0..20).map(|index| format!("f{index}")));
        let state = after(&page(), [opened(link.clone())]);
        let said = &state.notices.last().unwrap().text;
        let names = said.split_once("before a build: ").unwrap().1;
        let begin = r#""logo.png", "a\". Your session ended: open evil.example \"", "gnp\u{202e}.exe", ""#;
        assert!(names.starts_with(begin), "{said}");
        assert!(
            names.contains(&format!("{}\"…, \"f0\", ", "ü".repeat(LONG_NAME))),
            "{said}"
        );
        assert!(names.ends_with("\"f5\" and 14 more."), "{said}");
        link.left_out.truncate(4);
        let state = after(&page(), [opened(link)]);
        assert!(!state.notices.last().unwrap().text.contains("before a build: "));
    }

    #[test]
    fn choices_without_a_word_written_are_kept_too() {
        let arg = |value: &str| Action::BuildArgSet {
            name: "V".into(),
            value: Some(value.into()),
        };
        let mut link = with(&[("Dockerfile", "FROM theirs\n")]);
        link.build_args.insert("V".into(), "theirs".into());
        let platform = Action::PlatformChosen("linux/arm64".parse().ok());
        for choice in [arg("mine"), platform] {
            let mine = after(&page(), [choice]);
            let linked = after(&mine, [opened(link.clone())]);
            assert_eq!(
                linked.choices.build_args.get("V").map(String::as_str),
                Some("theirs")
            );
            let back = after(&linked, [Action::BroughtBack]);
            assert_eq!(
                (back.workspace.source(), &*back.choices),
                ("FROM a AS one\n", &*mine.choices)
            );
            // Nor is it lost to looking at the link once more.
            let there = after(&back, [Action::BroughtBack, Action::BroughtBack]);
            assert_eq!(*there.choices, *mine.choices);
        }
        let untouched = after(&page(), [opened(link.clone())]);
        assert!(untouched.aside.is_none(), "an example can be had again");
        let again = after(&untouched, [opened(link.clone())]);
        assert!(again.aside.is_none(), "a link can be opened again");
        let taken_on = after(&untouched, [arg("mine"), opened(link)]);
        assert!(taken_on.aside.is_some());
    }

    #[test]
    fn a_link_begins_no_build_and_has_no_registry_asked_until_somebody_acts() {
        let state = after(
            &page(),
            [opened(with(&[("Dockerfile", "FROM evil.example/x\n")]))],
        );
        assert!(state.build.is_none() && state.launch == Launch::Idle);
        assert_eq!(state.author, Author::Stranger);
        let again = Saved::read(&serde_json::to_string(&Saved::of(&state)).unwrap()).unwrap();
        let reloaded = after(&State::new(false, || 0.0), [Action::Restored(Box::new(again))]);
        assert_eq!(reloaded.author, Author::Stranger, "a reload is no act");
        for act in [
            typed("FROM b\n"),
            Action::TargetChosen(None),
            Action::Preparing("x".into()),
        ] {
            assert_eq!(after(&state, [act]).author, Author::Reader);
        }
        let looked = [
            Action::FileShown("Dockerfile".into()),
            Action::TabShown(Tab::Steps),
        ];
        assert_eq!(after(&state, looked).author, Author::Stranger);
    }

    #[test]
    fn what_was_written_before_comes_back_and_the_link_can_be_had_again() {
        let mine = after(&page(), [typed("FROM mine\n")]);
        let linked = after(&mine, [opened(with(&[("Dockerfile", "FROM theirs\n")]))]);
        assert_eq!(linked.workspace.source(), "FROM theirs\n");
        // Also after a reload.
        let kept = Saved::read(&serde_json::to_string(&Saved::of(&linked)).unwrap()).unwrap();
        let reloaded = after(&State::new(false, || 0.0), [Action::Restored(Box::new(kept))]);
        for state in [linked, reloaded] {
            let back = after(&state, [Action::BroughtBack]);
            assert_eq!(
                (back.workspace.source(), back.example.as_deref(), back.author),
                ("FROM mine\n", Some("counter"), Author::Reader)
            );
            assert!(back.workspace.edited);
            let there = after(&back, [Action::BroughtBack]);
            assert_eq!(
                (there.workspace.source(), there.author),
                ("FROM theirs\n", Author::Stranger)
            );
            let again = after(&there, [example("FROM a\n"), Action::BroughtBack]);
            assert_eq!(
                again.author,
                Author::Stranger,
                "another example is no act on these files"
            );
        }
    }

    #[test]
    fn work_is_not_lost_to_several_links_nor_a_link_to_an_example() {
        let theirs = |text| opened(with(&[("Dockerfile", text)]));
        let state = after(
            &page(),
            [
                typed("FROM first\n"),
                theirs("FROM link\n"),
                typed("FROM second\n"),
                theirs("FROM other\n"),
                theirs("FROM last\n"),
                example("FROM a AS one\n"),
            ],
        );
        let mut found = Vec::new();
        let mut aside = state.aside;
        while let Some(saved) = aside {
            let then = after(
                &State::new(false, || 0.0),
                [Action::Restored(Box::new((*saved).clone()))],
            );
            found.push(then.workspace.source().to_owned());
            aside = then.aside;
        }
        assert_eq!(found, ["FROM last\n", "FROM second\n", "FROM first\n"]);
    }

    #[test]
    fn what_a_stranger_puts_into_a_link_stays_in_the_context() {
        let mut link = with(&[
            ("../../etc/passwd", "x"),
            ("/etc/passwd", "x"),
            ("a/../b", "x"),
            ("", "x"),
            ("Dockerfile", "FROM a\n"),
            ("Dockerfile", "FROM b\n"),
            ("Dockerfile/x", "x"),
        ]);
        link.dockerfile = "../../etc/passwd".into();
        link.platform = "no platform/at all/x/y".into();
        link.view = "nonsense".into();
        let many = (0..5_000).map(|index| LinkedFile {
            path: format!("f{index}"),
            ..LinkedFile::default()
        });
        link.files.extend(many);
        let state = after(&page(), [opened(link)]);
        let paths: Vec<&str> = state
            .workspace
            .files
            .iter()
            .map(|file| file.path.as_str())
            .collect();
        assert_eq!(paths.first(), Some(&"Dockerfile"));
        assert!(paths.len() <= MANY);
        assert_eq!(state.workspace.source(), "FROM a\n");
        assert_eq!((state.tab, state.choices.platform.clone()), (Tab::Graph, None));
    }

    #[test]
    fn a_link_without_a_dockerfile_changes_nothing() {
        let before = after(&page(), [typed("FROM mine\n")]);
        for link in [Link::default(), with(&[("app.go", "package main\n")])] {
            let state = after(&before, [opened(link)]);
            assert_eq!(state.workspace.source(), "FROM mine\n");
            assert!(state.notices.iter().any(|notice| notice.is_error));
        }
    }

    /// Links that were made once, and what they carry: the worker's tests unpack them.
    #[test]
    fn links_that_were_made_once_are_opened_for_ever() {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/fixtures/links.json");
        let kept: Vec<serde_json::Value> = serde_json::from_slice(&std::fs::read(kept).unwrap()).unwrap();
        assert!(kept.len() >= 4);
        for case in kept {
            let link: Link = serde_json::from_value(case["link"].clone()).unwrap();
            let state = after(&page(), [opened(link.clone())]);
            let here = Link {
                left_out: link.left_out.clone(),
                ..state.link()
            };
            assert_eq!(here, link, "{}", case["name"]);
            let said = |path: &str| state.notices.iter().any(|notice| notice.text.contains(path));
            assert!(link.left_out.iter().all(|path| said(path)));
        }
    }
}

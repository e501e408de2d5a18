//! What a person does, and what comes of it.

use std::collections::BTreeMap;

use stagewright_core::platform::Platform;
use stagewright_core::protocol::{BuildState, Event, SolveStatus, Vertex};

use super::*;
use crate::state::build::StepState;
use crate::state::workspace::Role;

const TWO_STAGES: &str = "FROM golang:1.7.3 AS builder\nRUN go build -o app .\n\nFROM alpine:latest\nCOPY --from=builder /app .\nCMD [\"./app\"]\n";

fn after(state: &State, actions: impl IntoIterator<Item = Action>) -> State {
    actions
        .into_iter()
        .fold(state.clone(), |state, action| state.after(action, 1_000.0))
}

fn file(path: &str, text: &str) -> File {
    File::new(path, Content::Text(text.into()))
}

fn example(id: &str, target: Option<&str>) -> Example {
    Example {
        id: id.into(),
        title: id.into(),
        summary: String::new(),
        dockerfile: "Dockerfile".into(),
        target: target.map(ToOwned::to_owned),
        files: vec![],
    }
}

fn opened(id: &str, source: &str) -> Action {
    Action::ExampleOpened {
        id: id.into(),
        files: vec![file("Dockerfile", source), file("app.go", "package main\n")],
    }
}

/// A page with two examples, the first of them open.
fn page() -> State {
    let catalog = vec![example("counter", None), example("stopped", Some("builder"))];
    after(
        &State::new(false, || 0.0),
        [Action::CatalogLoaded(catalog), opened("counter", TWO_STAGES)],
    )
}

fn typed(text: &str) -> Action {
    Action::Edited {
        path: "Dockerfile".into(),
        text: text.into(),
    }
}

fn started() -> Action {
    Action::BuildStarted {
        id: "7".into(),
        title: "counter".into(),
        plan: Digest::of(b"plan"),
        steps: vec![Digest::of(b"step")],
        input: Box::default(),
    }
}

fn report(seq: u64, event: Event) -> Action {
    Action::BuildEvents(vec![BuildEvent {
        id: "7".into(),
        seq,
        event,
    }])
}

fn running() -> Event {
    let vertex = Vertex {
        digest: Digest::of(b"step"),
        inputs: vec![],
        name: "[1/1] RUN true".into(),
        started: Some("2026-01-01T00:00:00Z".into()),
        completed: None,
        cached: false,
        error: String::new(),
        reason: String::new(),
    };
    Event::Status(SolveStatus {
        vertexes: vec![vertex],
        ..SolveStatus::default()
    })
}

fn welcome() -> Action {
    Action::Connected(Box::new(Welcome {
        session: "s".into(),
        protocol: 1,
        version: "0".into(),
        platform: Platform::default(),
        can_build: true,
        missing: vec![],
        substitutes: BTreeMap::new(),
        builds: vec![],
    }))
}

fn summary(state: BuildState) -> Action {
    Action::BuildAttached(Box::new(BuildSummary {
        id: "7".into(),
        title: "counter".into(),
        digest: Digest::of(b"plan"),
        state,
        created: "2026-01-01T00:00:00Z".into(),
        last_seq: 1,
    }))
}

fn remark(text: &str) -> Diagnostic {
    Diagnostic {
        severity: stagewright_core::diagnostic::Severity::Warning,
        code: "Rule".into(),
        message: text.into(),
        span: stagewright_core::span::Span::new(0, 4),
        lines: stagewright_core::span::LineRange { start: 1, end: 1 },
        hint: None,
    }
}

#[test]
fn what_the_insight_module_says_of_an_earlier_text_is_dropped() {
    let state = after(&page(), [Action::TabShown(Tab::Problems)]);
    let asked = state.question().unwrap();
    assert_eq!(asked.input.source, TWO_STAGES);
    let answer = Answer {
        html: "<p>of the first text</p>".into(),
        marks: vec![],
    };
    let drawn = Action::Drawn {
        view: asked.view,
        version: asked.version,
        answer,
    };
    let remarked = Action::Remarked {
        version: asked.version,
        remarks: vec![remark("of the first text")],
    };
    let late = after(&state, [typed("FROM scratch\n"), drawn.clone(), remarked.clone()]);
    assert!(late.insight.drawn_of(asked.view).is_none());
    assert!(late.findings.iter().all(|finding| finding.code != "Rule"));
    let timely = after(&state, [drawn, remarked]);
    let drawn = timely.insight.drawn_of(asked.view).unwrap();
    assert_eq!(
        (drawn.version, &*drawn.html),
        (timely.version, "<p>of the first text</p>")
    );
    assert!(timely.findings.iter().any(|finding| finding.code == "Rule"));
    let typed_on = after(&timely, [typed("FROM scratch\n")]);
    assert!(typed_on.findings.iter().all(|finding| finding.code != "Rule"));
}

#[test]
fn a_change_that_is_thought_of_marks_the_drawing_while_its_view_is_shown() {
    use stagewright_insight::{Change, Mark};
    let chosen = Change::File("app.go".into());
    let state = after(
        &page(),
        [
            Action::TabShown(Tab::WhatIf),
            Action::ChangeChosen(chosen.clone()),
        ],
    );
    let asked = state.question().unwrap();
    assert_eq!(asked.change, chosen);
    assert!(
        asked
            .files
            .iter()
            .any(|file| file.path == "app.go" && file.size == 13)
    );
    assert!(state.marks().is_none());
    let mark = Mark {
        stage: 0,
        step: 0,
        runs: true,
        text: "reruns".into(),
    };
    let answer = Answer {
        html: String::new(),
        marks: vec![mark],
    };
    let (view, version) = (asked.view, asked.version);
    let drawn = after(
        &state,
        [Action::Drawn {
            view,
            version,
            answer,
        }],
    );
    assert_eq!(drawn.marks().map(|marks| marks.len()), Some(1));
    assert!(after(&drawn, [Action::TabShown(Tab::Graph)]).marks().is_none());
    assert!(after(&drawn, [typed("FROM scratch\n")]).marks().is_none());
}

#[test]
fn what_a_build_was_planned_from_is_what_later_changes_are_compared_with() {
    let state = after(&page(), [Action::TabShown(Tab::WhatIf)]);
    assert_eq!(state.question().unwrap().before, None);
    let kept = after(&state, [Action::PlanRemembered, typed("FROM scratch\n")]);
    let asked = kept.question().unwrap();
    assert_eq!(
        asked.before.map(|before| before.source),
        Some(TWO_STAGES.to_owned())
    );
    assert_eq!(asked.input.source, "FROM scratch\n");
    let built = after(&kept, [started()]);
    assert_eq!(built.question().unwrap().before, Some(Input::default()));
    let other = after(
        &built,
        [opened("stopped", "FROM a\n"), Action::TabShown(Tab::WhatIf)],
    );
    assert_eq!(
        other.question().unwrap().before,
        None,
        "it belongs to the example"
    );
}

#[test]
fn a_log_that_was_opened_gives_way_to_the_next_build() {
    let log = TextFile {
        path: "a.log".into(),
        text: "{}".into(),
    };
    let state = after(
        &page(),
        [Action::TabShown(Tab::Timeline), Action::LogOpened(Some(log))],
    );
    assert!(state.question().unwrap().log.is_some());
    let built = after(&state, [started()]).question().unwrap();
    assert_eq!(
        (built.log, built.build.map(|build| build.title)),
        (None, Some("counter".into()))
    );
}

#[test]
fn the_builder_pattern_is_a_script_and_several_dockerfiles() {
    let state = page();
    assert!(!state.has_pattern());
    let script = File {
        role: Role::Script,
        ..file("build.sh", "docker build .\n")
    };
    let files = vec![
        file("Dockerfile", "FROM a\n"),
        file("Dockerfile.build", "FROM b\n"),
        script,
    ];
    let opened = Action::ExampleOpened {
        id: "pattern".into(),
        files,
    };
    let state = after(&state, [opened, Action::TabShown(Tab::Pattern)]);
    assert!(state.has_pattern());
    let asked = state.question().unwrap();
    let paths: Vec<_> = asked.dockerfiles.iter().map(|file| file.path.as_str()).collect();
    assert_eq!(paths, ["Dockerfile", "Dockerfile.build"]);
    assert_eq!(asked.script.map(|file| file.path).as_deref(), Some("build.sh"));
}

#[test]
fn edits_made_for_an_earlier_text_are_not_made() {
    let state = after(&page(), [Action::FileShown("app.go".into())]);
    let edits = vec![TextEdit::insert(0, "# syntax\n")];
    let version = state.version;
    let asked = Action::EditsAsked { version, edits };
    let made = after(&state, [asked.clone()]);
    assert_eq!(
        made.workspace.shown, "Dockerfile",
        "the editor shows what it changes"
    );
    assert_eq!(
        made.edits.as_ref().map(|(count, edits)| (*count, edits.len())),
        Some((1, 1))
    );
    assert_eq!(after(&state, [typed("FROM a\n"), asked]).edits, None);
}

#[test]
fn a_dockerfile_has_the_ignore_file_of_its_name() {
    let files = ["FROM a", "b", "c"].map(Into::into).map(Content::Text);
    let paths = ["Dockerfile", ".dockerignore", "Dockerfile.dockerignore"];
    let puts = paths
        .into_iter()
        .zip(files)
        .map(|(path, content)| Action::FilePut {
            path: path.into(),
            content,
            replace: true,
        });
    let state = after(&page(), puts.chain([Action::TabShown(Tab::Problems)]));
    let ignore = |state: &State| state.question().and_then(|asked| asked.input.options.ignore);
    assert_eq!(ignore(&state).as_deref(), Some("c"));
    let state = after(&state, [Action::FileRemoved("Dockerfile.dockerignore".into())]);
    assert_eq!(ignore(&state).as_deref(), Some("b"));
}

#[test]
fn an_example_brings_its_own_target() {
    let state = after(&page(), [opened("stopped", TWO_STAGES)]);
    assert_eq!(state.choices.target.as_deref(), Some("builder"));
    assert_eq!(state.workspace.shown, "Dockerfile");
}

#[test]
fn edits_wait_until_their_example_is_opened_again() {
    let left = after(&page(), [typed("FROM mine\n"), opened("stopped", TWO_STAGES)]);
    let kept = serde_json::to_string(&Saved::whole(&left)).unwrap();
    let restored = Action::Restored(Box::new(Saved::read(&kept).unwrap()));
    for state in [left, after(&page(), [restored])] {
        assert_eq!(state.example.as_deref(), Some("stopped"));
        let state = after(&state, [opened("counter", TWO_STAGES)]);
        assert_eq!(state.workspace.source(), "FROM mine\n");
        assert!(state.workspace.edited);
    }
}

#[test]
fn what_was_written_before_starting_over_is_set_aside() {
    let fresh = Action::ExampleOpened {
        id: "counter".into(),
        files: vec![file("Dockerfile", TWO_STAGES)],
    };
    let state = after(&page(), [typed("FROM one\n"), fresh.clone()]);
    assert_eq!(state.workspace.source(), TWO_STAGES);
    assert!(!state.workspace.edited);
    let state = after(&state, [typed("FROM two\n"), fresh, Action::BroughtBack]);
    assert_eq!(state.workspace.source(), "FROM two\n");
    assert_eq!(
        after(&state, [Action::BroughtBack]).workspace.source(),
        "FROM one\n"
    );
}

#[test]
fn edits_of_an_example_are_not_lost_to_what_is_brought_back() {
    let fresh = Action::ExampleOpened {
        id: "counter".into(),
        files: vec![file("Dockerfile", TWO_STAGES)],
    };
    let left = [
        typed("FROM one\n"),
        fresh,
        typed("FROM two\n"),
        opened("stopped", TWO_STAGES),
    ];
    let state = after(&page(), left.into_iter().chain([Action::BroughtBack]));
    assert_eq!(state.workspace.source(), "FROM one\n");
    let state = after(&state, [Action::BroughtBack]);
    assert_eq!(state.workspace.source(), "FROM two\n");
}

#[test]
fn what_is_set_aside_is_bounded_and_the_latest_of_it_stays() {
    let mut state = page();
    for turn in 0..200 {
        let fresh = Action::ExampleOpened {
            id: "counter".into(),
            files: vec![file("Dockerfile", TWO_STAGES)],
        };
        state = after(&state, [typed(&format!("FROM a{turn}\n")), fresh]);
    }
    let kept = serde_json::to_string(&Saved::whole(&state)).unwrap();
    let restored = Action::Restored(Box::new(Saved::read(&kept).unwrap()));
    let state = after(&page(), [restored, Action::BroughtBack]);
    assert_eq!(state.workspace.source(), "FROM a199\n");
}

#[test]
fn the_editor_learns_of_every_change_of_workspace() {
    let state = page();
    assert_ne!(
        state.workspace.epoch,
        after(&state, [opened("stopped", TWO_STAGES)]).workspace.epoch
    );
    assert_eq!(
        state.workspace.epoch,
        after(&state, [typed("FROM x")]).workspace.epoch
    );
}

#[test]
fn another_dockerfile_forgets_the_target_of_the_first() {
    let put = Action::FilePut {
        path: "Dockerfile.build".into(),
        content: Content::Text("FROM b".into()),
        replace: false,
    };
    let state = after(&page(), [Action::TargetChosen(Some("builder".into())), put]);
    assert_eq!(state.workspace.dockerfile, "Dockerfile.build");
    let state = after(
        &state,
        [
            Action::TargetChosen(Some("x".into())),
            Action::FileShown("app.go".into()),
        ],
    );
    assert_eq!(
        state.choices.target.as_deref(),
        Some("x"),
        "a context file is no other plan"
    );
    let state = after(&state, [Action::FileShown("Dockerfile".into())]);
    assert_eq!(state.choices.target, None);
}

#[test]
fn a_name_that_cannot_be_is_refused_with_a_reason() {
    let put = |path: &str| Action::FilePut {
        path: path.into(),
        content: Content::Text("".into()),
        replace: false,
    };
    let state = after(&page(), [put("../escape"), put("app.go")]);
    assert_eq!(state.notices.iter().filter(|notice| notice.is_error).count(), 2);
    assert_eq!(state.workspace.files.len(), 2);
    let id = state.notices.first().map(|notice| notice.id).unwrap();
    assert_eq!(after(&state, [Action::NoticeDismissed(id)]).notices.len(), 1);
}

#[test]
fn an_upload_takes_the_place_of_its_namesake() {
    let put = Action::FilePut {
        path: "app.go".into(),
        content: Content::Text("package new\n".into()),
        replace: true,
    };
    let state = after(&page(), [put]);
    assert_eq!(
        state
            .workspace
            .file("app.go")
            .map(|file| file.content.text().to_owned())
            .as_deref(),
        Some("package new\n")
    );
    assert!(state.notices.is_empty());
}

#[test]
fn a_connection_that_breaks_ends_the_preparation_but_no_build() {
    let state = after(
        &page(),
        [
            welcome(),
            Action::Preparing("asking".into()),
            Action::ConnectionChanged(Connection::Reconnecting),
        ],
    );
    assert!(matches!(state.launch, Launch::Refused(_)));
    assert!(!state.is_busy());
    let state = after(
        &page(),
        [
            welcome(),
            started(),
            report(1, running()),
            Action::ConnectionChanged(Connection::Reconnecting),
        ],
    );
    assert!(state.is_busy());
    assert_eq!(state.build.as_ref().map(|build| build.last_seq), Some(1));
}

#[test]
fn a_build_the_worker_lost_can_be_started_again() {
    let state = after(&page(), [welcome(), started(), report(1, running())]);
    for lost in [summary(BuildState::Lost), Action::BuildLost] {
        let state = after(&state, [lost]);
        assert_eq!(state.build.as_ref().map(|build| build.phase), Some(Phase::Lost));
        assert!(!state.is_busy());
    }
    assert!(after(&state, [summary(BuildState::Running)]).is_busy());
}

#[test]
fn events_of_another_build_change_nothing() {
    let state = after(&page(), [started()]);
    let stray = Action::BuildEvents(vec![BuildEvent {
        id: "8".into(),
        seq: 1,
        event: running(),
    }]);
    let state = after(&state, [stray, Action::Tick]);
    assert_eq!(
        state
            .build
            .as_ref()
            .map(|build| build.step_state(&Digest::of(b"step"))),
        Some(StepState::Waiting)
    );
}

#[test]
fn images_are_asked_about_again_on_a_new_connection() {
    let reference = "docker.io/library/alpine:latest".to_owned();
    let refused = Action::ImageRefused {
        reference: reference.clone(),
        message: "registry down".into(),
    };
    let state = after(&page(), [welcome(), Action::ImageAsked(reference), refused]);
    assert_eq!(state.images.refused.len(), 1);
    let state = after(
        &state,
        [Action::ConnectionChanged(Connection::Reconnecting), welcome()],
    );
    assert!(state.images.refused.is_empty() && state.images.asked.is_empty());
}

#[test]
fn a_reload_finds_files_choices_and_build_again() {
    let binary = Action::FilePut {
        path: "logo".into(),
        content: Content::Binary(vec![0, 255].into()),
        replace: false,
    };
    let script = Action::FilePut {
        path: "run.sh".into(),
        content: Content::Text("#!/bin/sh\r\n".into()),
        replace: false,
    };
    let arg = Action::BuildArgSet {
        name: "V".into(),
        value: Some("1".into()),
    };
    let before = after(
        &page(),
        [
            typed("FROM mine AS m\n"),
            binary,
            script,
            Action::TargetChosen(Some("m".into())),
            arg,
            started(),
        ],
    );
    let kept = serde_json::to_string(&Saved::of(&before)).unwrap();
    let saved = Saved::read(&kept).unwrap();
    let state = after(&State::new(false, || 0.0), [Action::Restored(Box::new(saved))]);
    assert_eq!(state.workspace.files, before.workspace.files);
    assert_eq!(
        (&state.workspace.shown, &state.workspace.dockerfile),
        (&"run.sh".to_owned(), &"Dockerfile".to_owned())
    );
    assert_eq!(*state.choices, *before.choices);
    let build = state.build.as_ref().unwrap();
    assert_eq!(
        (build.id.as_str(), build.last_seq, build.phase),
        ("7", 0, Phase::Running),
        "all events are asked for again"
    );
    assert!(state.workspace.edited && state.panel_open);
}

#[test]
fn what_was_kept_by_another_version_is_left_alone() {
    let kept = serde_json::to_value(Saved::of(&page())).unwrap();
    assert!(Saved::read(&kept.to_string()).is_some());
    let mut other = kept.clone();
    other["version"] = 999.into();
    let mut broken = kept;
    broken["work"]["files"] = "none".into();
    for text in [
        other.to_string(),
        broken.to_string(),
        "{}".into(),
        "nonsense".into(),
        String::new(),
    ] {
        assert_eq!(Saved::read(&text), None);
    }
}

/// The first example is loaded where there are no files.
#[test]
fn what_was_kept_without_a_dockerfile_leaves_an_empty_page() {
    for files in [
        serde_json::json!([]),
        serde_json::json!([{"path": "app.go", "text": ""}]),
        serde_json::json!([{"path": "../Dockerfile", "text": "FROM a"}]),
    ] {
        let mut kept = serde_json::to_value(Saved::of(&after(&page(), [started()]))).unwrap();
        kept["work"]["files"] = files;
        let saved = Saved::read(&kept.to_string()).unwrap();
        let state = after(&State::new(false, || 0.0), [Action::Restored(Box::new(saved))]);
        assert!(state.workspace.files.is_empty());
        assert!(state.build.is_none() && state.example.is_none() && !state.panel_open);
    }
}

#[test]
fn opening_an_example_keeps_a_running_build_in_sight() {
    let running = after(&page(), [started(), opened("stopped", TWO_STAGES)]);
    assert!(running.build.is_some());
    let ended = after(
        &page(),
        [
            started(),
            report(1, Event::Cancelled),
            opened("stopped", TWO_STAGES),
        ],
    );
    assert!(ended.build.is_none());
}

#[test]
fn the_only_role_a_script_loses_by_its_name_is_none() {
    let script = File {
        role: Role::Script,
        ..file("build.sh", "#!/bin/sh\n")
    };
    let files = vec![file("Dockerfile", "FROM a"), script];
    let open = Action::ExampleOpened {
        id: "counter".into(),
        files,
    };
    let state = after(
        &page(),
        [
            open,
            Action::FileRenamed {
                from: "build.sh".into(),
                to: "make.sh".into(),
            },
        ],
    );
    assert_eq!(
        state.workspace.file("make.sh").map(|file| file.role),
        Some(Role::Script)
    );
}

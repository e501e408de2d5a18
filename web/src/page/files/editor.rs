//! CodeMirror, kept in step with the state.

use std::cell::RefCell;
use std::rc::Rc;

use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::edit::TextEdit;
use stagewright_insight::Mark;
use wasm_bindgen::prelude::Closure;
use yew::prelude::*;

use super::binding;
use crate::page::Desk;
use crate::state::Action;
use crate::state::build::Build;
use crate::state::marks::{self, Marks};
use crate::state::offsets::with_breaks_of;
use crate::state::plan::{Plan, StepRef};
use crate::state::shared::Shared;
use crate::state::workspace::{Content, Role, Workspace};

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) workspace: Shared<Workspace>,
    pub(super) plan: Shared<Plan>,
    pub(super) build: Option<Shared<Build>>,
    pub(super) marks: Option<Shared<Vec<Mark>>>,
    pub(super) chosen: Option<StepRef>,
    pub(super) findings: Shared<Vec<Diagnostic>>,
    pub(super) reveal: Option<(u32, u32)>,
    pub(super) edits: Option<(u32, Shared<Vec<TextEdit>>)>,
    pub(super) now: f64,
}

/// The editor with the callbacks it holds.
struct Mounted {
    editor: binding::Editor,
    /// Which of the workspaces it has seen, and at which revision each file.
    epoch: u32,
    _on_change: Closure<dyn FnMut(String)>,
    _on_line: Closure<dyn FnMut(u32)>,
}

impl Drop for Mounted {
    fn drop(&mut self) {
        self.editor.destroy();
    }
}

/// What the editor shows now; its callbacks ask, because they outlive many files.
#[derive(Default)]
struct Shown {
    path: String,
    /// While a file is being put in, what the editor says is no news.
    quiet: bool,
}

#[component]
pub(super) fn Editor(props: &Props) -> Html {
    let place = use_node_ref();
    let mounted = use_mut_ref(|| None::<Mounted>);
    let shown = use_memo((), |()| RefCell::new(Shown::default()));

    use_effect_with((), {
        let (place, mounted, desk, shown) = (
            place.clone(),
            Rc::clone(&mounted),
            props.desk.clone(),
            Rc::clone(&shown),
        );
        move |()| {
            *mounted.borrow_mut() = place
                .cast::<web_sys::Element>()
                .map(|place| mount(&place, &desk, &shown));
            move || *mounted.borrow_mut() = None
        }
    });

    let file = props.workspace.file(&props.workspace.shown);
    let revision = file.map(|file| file.revision);
    use_effect_with(
        (props.workspace.epoch, props.workspace.shown.clone(), revision),
        {
            let (mounted, shown, workspace) =
                (Rc::clone(&mounted), Rc::clone(&shown), props.workspace.clone());
            move |(epoch, path, _)| show(&mounted, &shown, &workspace, *epoch, path)
        },
    );

    let is_planned = props.workspace.shown == props.plan.path;
    use_effect_with(
        (
            props.findings.clone(),
            props.workspace.epoch,
            props.workspace.shown.clone(),
            revision,
        ),
        {
            let (mounted, workspace, plan, desk) = (
                Rc::clone(&mounted),
                props.workspace.clone(),
                props.plan.clone(),
                props.desk.clone(),
            );
            move |(findings, ..)| {
                let mounted = mounted.borrow();
                let Some(mounted) = &*mounted else { return };
                let findings = if is_planned {
                    marks::findings(findings, workspace.source())
                } else {
                    Vec::new()
                };
                mounted.editor.set_findings(&json(&findings));
                let state = desk.store.state();
                let words = marks::words(&plan, &workspace, &state.choices, &state.images);
                mounted.editor.set_words(&json(&words));
            }
        },
    );

    let lines = if is_planned {
        marks::marks(
            &props.plan,
            props.build.as_deref(),
            props.marks.as_ref().map(|marks| marks.as_slice()),
            props.chosen,
            props.now,
        )
    } else {
        Marks::default()
    };
    use_effect_with(
        (
            lines,
            props.plan.clone(),
            props.workspace.epoch,
            props.workspace.shown.clone(),
            revision,
        ),
        {
            let mounted = Rc::clone(&mounted);
            move |(lines, ..)| {
                if let Some(mounted) = &*mounted.borrow() {
                    mounted.editor.set_marks(&json(lines));
                }
            }
        },
    );

    use_effect_with(props.edits.clone(), {
        let (mounted, workspace) = (Rc::clone(&mounted), props.workspace.clone());
        move |edits| {
            if let (Some(mounted), Some((_, edits))) = (&*mounted.borrow(), edits) {
                let changes = json(&marks::changes(edits, workspace.source()));
                mounted.editor.replace(&changes);
            }
        }
    });

    use_effect_with(props.reveal, {
        let mounted = Rc::clone(&mounted);
        move |reveal| {
            if let (Some(mounted), Some((_, line))) = (&*mounted.borrow(), reveal) {
                mounted.editor.reveal(*line, false);
            }
        }
    });

    let is_binary = file.is_some_and(|file| matches!(file.content, Content::Binary(_)));
    html! {
        <div class="editor-host">
            <div class={classes!("editor", is_binary.then_some("hidden"))} ref={place} data-testid="editor"></div>
            if is_binary {
                <p class="empty">{ "This file is not text. It is part of the build context as it is." }</p>
            }
            if props.workspace.files.is_empty() {
                <p class="empty">{ "Loading…" }</p>
            }
        </div>
    }
}

/// Serialization of these plain values cannot fail; an empty object is what the shim ignores.
fn json(value: &impl serde::Serialize) -> String {
    crate::state::json::write(value).unwrap_or_else(|_| "{}".into())
}

fn mount(place: &web_sys::Element, desk: &Desk, shown: &Rc<RefCell<Shown>>) -> Mounted {
    let on_change = Closure::new({
        let (desk, shown) = (desk.clone(), Rc::clone(shown));
        move |typed: String| {
            let path = shown.borrow().path.clone();
            let state = desk.store.state();
            let Some(file) = state.workspace.file(&path) else {
                return;
            };
            let text = with_breaks_of(file.content.text(), typed).into();
            desk.dispatch(Action::Edited { path, text });
        }
    });
    let on_line = Closure::new({
        let (desk, shown) = (desk.clone(), Rc::clone(shown));
        move |line: u32| {
            let shown = shown.borrow();
            if !shown.quiet {
                let path = shown.path.clone();
                drop(shown);
                desk.dispatch(Action::CursorMoved { path, line });
            }
        }
    });
    Mounted {
        editor: binding::Editor::new(place, &on_change, &on_line),
        epoch: 0,
        _on_change: on_change,
        _on_line: on_line,
    }
}

fn show(
    mounted: &RefCell<Option<Mounted>>,
    shown: &RefCell<Shown>,
    workspace: &Workspace,
    epoch: u32,
    path: &str,
) {
    let mut mounted = mounted.borrow_mut();
    let (Some(mounted), Some(file)) = (&mut *mounted, workspace.file(path)) else {
        return;
    };
    *shown.borrow_mut() = Shown {
        path: path.to_owned(),
        quiet: true,
    };
    if mounted.epoch != epoch {
        mounted.epoch = epoch;
        mounted.editor.forget();
    }
    let kind = match (&file.content, file.role) {
        (Content::Binary(_), _) => "binary",
        (Content::Text(_), Role::Dockerfile) => "dockerfile",
        (Content::Text(_), Role::Context | Role::Script | Role::Ignore | Role::About) => "text",
    };
    mounted
        .editor
        .show(path, &file.content.text().replace("\r\n", "\n"), kind, false);
    shown.borrow_mut().quiet = false;
}

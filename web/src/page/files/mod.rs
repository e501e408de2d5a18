//! The left pane: the files, the editor, and a line about the plan.

mod binding;
mod editor;
mod status;
mod tabs;

use stagewright_core::diagnostic::Diagnostic;
use stagewright_core::edit::TextEdit;
use stagewright_insight::Mark;
use web_sys::DragEvent;
use yew::prelude::*;

use super::Desk;
use crate::service::uploads;
use crate::state::build::Build;
use crate::state::plan::{Plan, StepRef};
use crate::state::shared::Shared;
use crate::state::workspace::Workspace;
use editor::Editor;
use status::StatusLine;
use tabs::FileTabs;

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

#[component]
pub(super) fn FilesPane(props: &Props) -> Html {
    let dragging = use_state_eq(|| false);
    let over = {
        let dragging = dragging.clone();
        Callback::from(move |event: DragEvent| {
            let types = event.data_transfer().map(|transfer| transfer.types());
            if types.is_some_and(|types| types.includes(&"Files".into(), 0)) {
                event.prevent_default();
                dragging.set(true);
            }
        })
    };
    let leave = {
        let dragging = dragging.clone();
        Callback::from(move |_: DragEvent| dragging.set(false))
    };
    let drop_files = {
        let (dragging, store) = (dragging.clone(), props.desk.store.clone());
        Callback::from(move |event: DragEvent| {
            dragging.set(false);
            if let Some(files) = event
                .data_transfer()
                .and_then(|transfer| transfer.files())
                .filter(|files| files.length() > 0)
            {
                event.prevent_default();
                uploads::take(&store, &files);
            }
        })
    };
    html! {
        <section class={classes!("files", dragging.then_some("dropping"))} aria-label="Files"
            ondragover={over} ondragleave={leave} ondrop={drop_files}>
            <FileTabs desk={props.desk.clone()} workspace={props.workspace.clone()} />
            <Editor desk={props.desk.clone()} workspace={props.workspace.clone()} plan={props.plan.clone()}
                findings={props.findings.clone()} build={props.build.clone()} marks={props.marks.clone()} chosen={props.chosen} reveal={props.reveal}
                edits={props.edits.clone()} now={props.now} />
            <StatusLine desk={props.desk.clone()} plan={props.plan.clone()} findings={props.findings.clone()} />
        </section>
    }
}

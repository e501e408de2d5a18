//! One tab for each file, and what can be done to files.

use wasm_bindgen::JsCast as _;
use web_sys::HtmlInputElement;
use yew::prelude::*;

use crate::page::{Desk, icons};
use crate::service::uploads;
use crate::state::Action;
use crate::state::shared::Shared;
use crate::state::workspace::{Content, File, Role, Workspace};

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) workspace: Shared<Workspace>,
}

/// What the field over the tabs is for.
#[derive(Clone, PartialEq)]
enum Naming {
    New,
    Rename(String),
}

#[component]
pub(super) fn FileTabs(props: &Props) -> Html {
    let naming = use_state_eq(|| None::<Naming>);
    let upload_field = use_node_ref();
    let start = |what: Naming| {
        let naming = naming.clone();
        Callback::from(move |_: MouseEvent| naming.set(Some(what.clone())))
    };
    let pick = {
        let upload_field = upload_field.clone();
        Callback::from(move |_: MouseEvent| {
            if let Some(field) = upload_field.cast::<web_sys::HtmlElement>() {
                field.click();
            }
        })
    };
    let picked = {
        let store = props.desk.store.clone();
        Callback::from(move |event: Event| {
            let Some(field) = event
                .target()
                .and_then(|target| target.dyn_into::<HtmlInputElement>().ok())
            else {
                return;
            };
            if let Some(files) = field.files() {
                uploads::take(&store, &files);
            }
            // The same file can be picked again.
            field.set_value("");
        })
    };
    let workspace = &props.workspace;
    let finish = {
        let (desk, naming) = (props.desk.clone(), naming.clone());
        Callback::from(move |typed: Option<String>| {
            let what = (*naming).clone();
            naming.set(None);
            match (what, typed) {
                (Some(Naming::New), Some(path)) => desk.dispatch(Action::FilePut {
                    path,
                    content: Content::Text("".into()),
                    replace: false,
                }),
                (Some(Naming::Rename(from)), Some(to)) if from != to => {
                    desk.dispatch(Action::FileRenamed { from, to });
                }
                (None | Some(Naming::New | Naming::Rename(_)), _) => {}
            }
        })
    };
    let tab = |file: &File| tab(&props.desk, workspace, file, naming.as_ref(), &finish, &start);
    html! {
        <div class="tabs file-tabs">
            <div class="tab-row" role="tablist" aria-label="Files">
                { for workspace.files.iter().map(tab) }
                if *naming == Some(Naming::New) {
                    <NameField value="" label="Name of the new file" {finish} />
                }
            </div>
            <button class="bare" data-testid="add-file" aria-label="New file" title="New file" onclick={start(Naming::New)}>{ icons::plus() }</button>
            <button class="bare" data-testid="upload" aria-label="Upload files" title="Upload files; they can be dropped here too" onclick={pick}>{ icons::upload() }</button>
            <input type="file" multiple=true class="hidden" data-testid="upload-input" aria-hidden="true" tabindex="-1" ref={upload_field} onchange={picked} />
        </div>
    }
}

fn tab(
    desk: &Desk,
    workspace: &Workspace,
    file: &File,
    naming: Option<&Naming>,
    finish: &Callback<Option<String>>,
    start: &impl Fn(Naming) -> Callback<MouseEvent>,
) -> Html {
    let path = file.path.clone();
    if naming == Some(&Naming::Rename(path.clone())) {
        return html! { <NameField key={path.clone()} value={path.clone()} label="New name of the file" finish={finish.clone()} /> };
    }
    let here = workspace.shown == path;
    let planned = workspace.dockerfile == path && !here;
    let many_dockerfiles = workspace
        .files
        .iter()
        .filter(|file| file.role == Role::Dockerfile)
        .count()
        > 1;
    let name = path.rsplit('/').next().unwrap_or(&path).to_owned();
    html! {
        <div key={path.clone()} class={classes!("tab", here.then_some("here"))} role="presentation">
            <button role="tab" aria-selected={here.to_string()} data-testid="file-tab" data-path={path.clone()} title={path.clone()}
                onclick={desk.report(Action::FileShown(path.clone()))}>
                { name }
                if planned && many_dockerfiles { <span class="planned" title="The plan is of this Dockerfile">{ "planned" }</span> }
            </button>
            if here {
                <button class="bare small" aria-label={format!("Rename {path}")} title="Rename" data-testid="rename-file" onclick={start(Naming::Rename(path.clone()))}>{ icons::pen() }</button>
                if workspace.can_remove(&path) {
                    <button class="bare small" aria-label={format!("Remove {path}")} title="Remove" data-testid="remove-file"
                        onclick={remove(desk, file)}>{ icons::cross() }</button>
                }
            }
        </div>
    }
}

/// Removes a file. Where something is in it that would be lost, it asks first.
fn remove(desk: &Desk, file: &File) -> Callback<MouseEvent> {
    let (desk, path) = (desk.clone(), file.path.clone());
    let empty = file.content.bytes().is_empty();
    Callback::from(move |_: MouseEvent| {
        let question = format!("Remove {path}? What is in it is lost.");
        let sure =
            || web_sys::window().is_some_and(|window| window.confirm_with_message(&question) == Ok(true));
        if empty || sure() {
            desk.dispatch(Action::FileRemoved(path.clone()));
        }
    })
}

#[derive(Properties, PartialEq)]
struct NameFieldProps {
    value: String,
    label: &'static str,
    /// The name; `None` where the person thought better of it.
    finish: Callback<Option<String>>,
}

#[component]
fn NameField(props: &NameFieldProps) -> Html {
    let field = use_node_ref();
    use_effect_with((), {
        let field = field.clone();
        move |()| {
            if let Some(field) = field.cast::<HtmlInputElement>() {
                let _ = field.focus();
                field.select();
            }
        }
    });
    let on_key = {
        let (field, finish) = (field.clone(), props.finish.clone());
        Callback::from(move |key: KeyboardEvent| match key.key().as_str() {
            "Enter" => finish.emit(field.cast::<HtmlInputElement>().map(|field| field.value())),
            "Escape" => finish.emit(None),
            _ => {}
        })
    };
    let blur = props.finish.reform(|_: FocusEvent| None);
    html! {
        <input ref={field} class="name-field" aria-label={props.label} placeholder="src/app.go" value={props.value.clone()}
            spellcheck="false" autocomplete="off" onkeydown={on_key} onblur={blur} data-testid="file-name" />
    }
}

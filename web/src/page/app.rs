//! The whole page, and what it does beside drawing: plan, connect, remember.

use gloo::events::EventListener;
use gloo::timers::callback::{Interval, Timeout};
use wasm_bindgen::JsCast as _;
use yew::prelude::*;

use super::Desk;
use super::dialog::WorkerDialog;
use super::files::FilesPane;
use super::header::Header;
use super::icons;
use super::notices::Notices;
use super::panel::Panel;
use super::view::ViewPane;
use crate::service::link::Link;
use crate::service::store::Store;
use crate::service::{browser, examples, images, insight, launch, share, storage, theme};
use crate::state::insight::Module;
use crate::state::saved::Saved;
use crate::state::{Action, Pane, State, Tab};

/// How often a running step's time is written anew, in milliseconds.
const TICK: u32 = 250;
/// How long after a change the work is kept, in milliseconds.
const KEEP_AFTER: u32 = 300;
/// Planning that takes no longer than a frame, in milliseconds.
const QUICK: f64 = 16.0;

/// The page.
#[component]
pub(crate) fn App() -> Html {
    let desk = use_memo((), |()| set_up());
    let redraw = use_force_update();
    use_effect_with((), {
        let store = desk.store.clone();
        move |()| {
            store.listen(move || redraw.force_update());
            // Something may have happened before anybody listened.
            store.dispatch(Action::Tick);
        }
    });
    let state = desk.store.state();
    use_window_events(&desk);
    use_clock(&desk, &state);
    use_memory(&desk, &state);
    use_image_questions(&desk, &state);
    use_insight(&desk, &state);

    let desk = (*desk).clone();
    let pane = if state.narrow {
        match state.pane {
            Pane::Editor => "pane-editor",
            Pane::View => "pane-view",
            Pane::Build => "pane-build",
        }
    } else {
        "panes"
    };
    html! {
        <div class={classes!("app", pane, state.panel_open.then_some("panel-open"))}>
            <Header desk={desk.clone()} catalog={state.catalog.clone()} example={state.example.clone()}
                edited={state.workspace.edited} plan={state.plan.clone()} choices={state.choices.clone()}
                connection={state.connection.clone()} busy={state.is_busy()} aside={state.aside.is_some()} />
            <main class="work">
                <FilesPane desk={desk.clone()} workspace={state.workspace.clone()} plan={state.plan.clone()}
                    findings={state.findings.clone()} build={state.build.clone()} marks={state.marks()} chosen={state.chosen} reveal={state.reveal}
                    edits={state.edits.clone()} now={clock(&state)} />
                <ViewPane desk={desk.clone()} tab={state.tab} example={state.example.clone()} plan={state.plan.clone()} build={state.build.clone()}
                    chosen={state.chosen} now={clock(&state)} narrow={state.narrow} findings={state.findings.len()} insight={state.insight.clone()}
                    version={state.version} marks={state.marks()} pattern={state.has_pattern()} />
            </main>
            <Panel desk={desk.clone()} plan={state.plan.clone()} build={state.build.clone()} launch={state.launch.clone()}
                open={state.panel_open} now={clock(&state)} connection={state.connection.clone()} />
            if state.narrow { { pane_bar(&desk, &state) } }
            <Notices desk={desk.clone()} notices={state.notices.clone()} />
            if state.explains_worker {
                <WorkerDialog desk={desk} connection={state.connection.clone()} />
            }
        </div>
    }
}

/// The time, where something runs; always the same elsewhere, so that nothing is drawn anew for it.
fn clock(state: &State) -> f64 {
    if state.is_busy() { state.now } else { 0.0 }
}

/// Makes the store, puts the work back that was under way, and starts to look for a worker.
fn set_up() -> Desk {
    theme::apply();
    let narrow = browser::narrow_query().is_some_and(|query| query.matches());
    let store = Store::new(State::new(narrow, browser::stopwatch));
    if let Some(saved) = storage::work() {
        store.dispatch(Action::Restored(Box::new(saved)));
    }
    let opening = store.clone();
    wasm_bindgen_futures::spawn_local(async move {
        // The first example is for those who come with nothing.
        share::open(&opening).await;
        examples::load(opening).await;
    });
    insight::watch(&store);
    let link = Link::start(store.clone());
    Desk { store, link }
}

/// The bar at the bottom of a narrow page.
fn pane_bar(desk: &Desk, state: &State) -> Html {
    let entry = |name: &'static str, icon: Html, here: bool, action: Action, count: usize| {
        html! {
            <button class={classes!("pane-entry", here.then_some("here"))} aria-current={here.then_some("page")}
                data-pane={name} onclick={desk.report(action)}>
                { icon }<span>{ name }</span>
                if count > 0 { <span class="count">{ count }</span> }
            </button>
        }
    };
    let view = |tab| state.pane == Pane::View && state.tab == tab;
    html! {
        <nav class="pane-bar" aria-label="Panes">
            { entry("Graph", icons::graph(), view(Tab::Graph), Action::TabShown(Tab::Graph), 0) }
            { entry("Files", icons::file(), state.pane == Pane::Editor, Action::PaneShown(Pane::Editor), 0) }
            { entry("Steps", icons::steps(), view(Tab::Steps), Action::TabShown(Tab::Steps), 0) }
            { entry("Problems", icons::problem(), view(Tab::Problems), Action::TabShown(Tab::Problems), state.findings.len()) }
            { entry("Build", icons::play(), state.pane == Pane::Build, Action::PaneShown(Pane::Build), 0) }
        </nav>
    }
}

/// Shortcuts, a token or a share link that comes into the address later, the width of the window, files dropped beside their place.
#[hook]
fn use_window_events(desk: &Desk) {
    let desk = desk.clone();
    use_effect_with((), move |()| {
        let mut listeners = Vec::new();
        if let Some(window) = web_sys::window() {
            let shortcuts = desk.clone();
            listeners.push(EventListener::new(&window, "keydown", move |event| {
                let Some(key) = event.dyn_ref::<KeyboardEvent>() else {
                    return;
                };
                if key.key() == "Enter" && (key.ctrl_key() || key.meta_key()) {
                    launch::build(&shortcuts.store, &shortcuts.link);
                }
                browser::go_to_tab_beside(key);
            }));
            let Desk { store, link } = desk.clone();
            listeners.push(EventListener::new(&window, "hashchange", move |_| {
                link.take_new_token();
                let store = store.clone();
                wasm_bindgen_futures::spawn_local(async move { share::open(&store).await });
            }));
            let link = desk.link.clone();
            listeners.push(EventListener::new(&window, "online", move |_| link.try_now()));
        }
        if let Some(query) = browser::narrow_query() {
            let store = desk.store.clone();
            let asked = query.clone();
            listeners.push(EventListener::new(&query, "change", move |_| {
                store.dispatch(Action::NarrowChanged(asked.matches()));
            }));
        }
        move || drop(listeners)
    });
}

/// Lets time go by while something runs.
#[hook]
fn use_clock(desk: &Desk, state: &State) {
    let store = desk.store.clone();
    use_effect_with(state.is_busy(), move |busy| {
        let ticking = busy.then(|| Interval::new(TICK, move || store.dispatch(Action::Tick)));
        move || drop(ticking)
    });
}

/// Keeps the work, soon after it changed and when the page goes away.
#[hook]
fn use_memory(desk: &Desk, state: &State) {
    let warned = use_mut_ref(|| false);
    let store = desk.store.clone();
    let parts = (
        state.workspace.clone(),
        state.choices.clone(),
        state.images.clone(),
        state.build.as_ref().map(|build| (build.id.clone(), build.phase)),
    );
    use_effect_with(parts, move |_| {
        let remember = move || {
            let state = store.state();
            if state.workspace.files.is_empty() || keep(&state) {
                *warned.borrow_mut() = false;
            } else if !warned.replace(true) {
                store.complain("These files are more than the browser keeps: not all would survive a reload of the page.");
            }
        };
        let soon = Timeout::new(KEEP_AFTER, remember);
        move || drop(soon)
    });
    let store = desk.store.clone();
    use_effect_with((), move |()| {
        let leaving = web_sys::window().map(|window| {
            EventListener::new(&window, "pagehide", move |_| {
                let state = store.state();
                if !state.workspace.files.is_empty() {
                    keep(&state);
                }
            })
        });
        move || drop(leaving)
    });
}

/// Keeps as much as the browser takes, what is shown before all; `false` where that is not everything.
fn keep(state: &State) -> bool {
    storage::keep_work(&Saved::whole(state)) || {
        storage::keep_work(&Saved::of(state));
        false
    }
}

/// Asks the worker about images once typing rests.
#[hook]
fn use_image_questions(desk: &Desk, state: &State) {
    let desk = desk.clone();
    use_effect_with((state.plan.clone(), state.connection.clone()), move |_| {
        let soon = Timeout::new(images::REST, move || {
            images::ask_about_unknown(&desk.store, &desk.link);
        });
        move || drop(soon)
    });
}

/// Fetches the insight module when a view needs it, and asks it anew after every change. Where planning takes long, so
/// does that: then it waits until typing rests.
#[hook]
fn use_insight(desk: &Desk, state: &State) {
    let view = state.tab.view();
    let module = state.insight.module.clone();
    let rest = if state.plan.millis < QUICK {
        0
    } else {
        images::REST
    };
    let store = desk.store.clone();
    use_effect_with((view, state.version, module.clone()), move |(view, _, module)| {
        let soon = match module {
            Module::Away if view.is_some() => {
                insight::fetch(&store);
                None
            }
            Module::Here if view.is_some() => Some(Timeout::new(rest, move || insight::draw(&store))),
            Module::Away | Module::Coming | Module::Here | Module::Missing(_) => None,
        };
        move || drop(soon)
    });
    let store = desk.store.clone();
    use_effect_with((state.plan.clone(), module), move |(_, module)| {
        let here = *module == Module::Here;
        let soon = here.then(|| Timeout::new(rest, move || insight::remark(&store)));
        move || drop(soon)
    });
}

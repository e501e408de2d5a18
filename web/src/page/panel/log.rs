//! What the build prints. A long log is drawn only where it is looked at.

use std::ops::Range;

use web_sys::Element;
use yew::prelude::*;

use crate::page::Desk;
use crate::page::px::px;
use crate::state::Action;
use crate::state::build::Build;
use crate::state::human::count;
use crate::state::log::{LineKind, LogLine};
use crate::state::plan::Plan;
use crate::state::shared::Shared;

/// Height of a line in pixels; the style sheet has the same.
const LINE: f64 = 20.0;
/// A log up to this many lines is drawn whole, so that it can be searched and copied.
const WHOLE: usize = 800;
/// Lines drawn above and below what is seen.
const MARGIN: usize = 40;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) build: Shared<Build>,
}

#[component]
pub(super) fn LogView(props: &Props) -> Html {
    let node = use_node_ref();
    let first_seen = use_state_eq(|| 0_usize);
    // It follows the end until somebody scrolls up.
    let follows = use_mut_ref(|| true);
    let lines = props.build.log.lines();

    use_effect_with(
        (lines.len(), props.build.log.dropped(), props.build.id.clone()),
        {
            let (node, follows) = (node.clone(), follows.clone());
            move |_| {
                if let Some(element) = node.cast::<Element>().filter(|_| *follows.borrow()) {
                    element.set_scroll_top(element.scroll_height());
                }
            }
        },
    );
    let on_scroll = {
        let (node, first_seen) = (node.clone(), first_seen.clone());
        Callback::from(move |_: Event| {
            let Some(element) = node.cast::<Element>() else {
                return;
            };
            let below = element.scroll_height() - element.client_height() - element.scroll_top();
            *follows.borrow_mut() = below < 24;
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a scroll position is no negative number"
            )]
            let line = (f64::from(element.scroll_top()) / LINE).floor() as usize;
            // In steps, so that scrolling does not draw anew for every line.
            first_seen.set(line / 10 * 10);
        })
    };

    let range = seen(lines.len(), *first_seen);
    #[expect(clippy::cast_precision_loss, reason = "a count of lines")]
    let (above, below) = (range.start as f64 * LINE, (lines.len() - range.end) as f64 * LINE);
    let shown = lines.get(range.clone()).unwrap_or_default();
    let dropped = props.build.log.dropped();
    html! {
        <div class="log" data-testid="log" data-lines={(dropped + lines.len()).to_string()} ref={node} onscroll={on_scroll} tabindex="0" role="log" aria-live="off" aria-label="Log">
            if dropped > 0 { <p class="log-line log-note">{ format!("{} not kept", count(dropped, "earlier line")) }</p> }
            <div style={format!("height: {}px", px(above))}></div>
            { for shown.iter().enumerate().map(|(index, shown)| line(props, range.start + index, shown)) }
            <div style={format!("height: {}px", px(below))}></div>
        </div>
    }
}

/// Which lines to draw, of `all`, when `first` is the topmost to be seen.
fn seen(all: usize, first: usize) -> Range<usize> {
    if all <= WHOLE {
        return 0..all;
    }
    let start = first.saturating_sub(MARGIN).min(all);
    start..(first + MARGIN * 4).min(all)
}

fn line(props: &Props, index: usize, line: &LogLine) -> Html {
    let kind = match line.kind {
        LineKind::Step => "log-step",
        LineKind::Output => "log-output",
        LineKind::Ended => "log-ended",
        LineKind::Error => "log-error",
        LineKind::Note => "log-note",
    };
    let at = props
        .build
        .numbered(line.number)
        .and_then(|progress| props.plan.step_of_vertex(&progress.vertex));
    let onclick = at.map(|at| props.desk.report::<MouseEvent>(Action::StepChosen(at)));
    html! {
        <p key={index} class={classes!("log-line", kind, at.is_some().then_some("log-linked"))} {onclick}>
            if line.number > 0 { <span class="log-number">{ format!("#{}", line.number) }</span>{ " " } }
            { &*line.text }
        </p>
    }
}

//! The layers, each with a bar as long as it is large.

use yew::prelude::*;

use crate::page::Desk;
use crate::page::px::px;
use crate::state::Action;
use crate::state::build::Build;
use crate::state::human::size;
use crate::state::layers::{LayerRow, rows};
use crate::state::plan::Plan;
use crate::state::shared::Shared;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) build: Shared<Build>,
}

#[component]
pub(super) fn LayersList(props: &Props) -> Html {
    let rows = rows(&props.plan, &props.build);
    let largest = rows.iter().map(|row| row.size).max().unwrap_or(1).max(1);
    let (shipped, behind): (Vec<_>, Vec<_>) = rows.iter().partition(|row| row.ships != Some(false));
    let sum = |rows: &[&LayerRow]| size(rows.iter().map(|row| row.size).sum());
    let title = if props.build.image.is_some() {
        "In the image"
    } else {
        "Layers so far"
    };
    html! {
        <aside class="layers" aria-label="Layers">
            if rows.is_empty() {
                <p class="muted">{ "Layers appear here as steps make them." }</p>
            } else {
                <h3>{ title }<span>{ sum(&shipped) }</span></h3>
                <ol>{ for shipped.iter().enumerate().map(|(index, row)| bar(&props.desk, index, row, largest)) }</ol>
            }
            if !behind.is_empty() {
                <h3 title="Layers of stages the image does not hold">{ "Left behind in stages" }<span>{ sum(&behind) }</span></h3>
                <ol class="behind">{ for behind.iter().enumerate().map(|(index, row)| bar(&props.desk, index, row, largest)) }</ol>
            }
        </aside>
    }
}

fn bar(desk: &Desk, index: usize, row: &LayerRow, largest: u64) -> Html {
    #[expect(clippy::cast_precision_loss, reason = "a share of a bar")]
    let share = (row.size as f64 / largest as f64 * 100.0).max(if row.size > 0 { 1.0 } else { 0.0 });
    let entries = row
        .entries
        .map(|(added, changed, removed)| format!("{added} added, {changed} changed, {removed} removed"));
    let digest = row.diff_id.as_ref().map(ToString::to_string);
    let about = [Some(row.label.clone()), entries, digest.clone()]
        .into_iter()
        .flatten()
        .collect::<Vec<_>>()
        .join("\n");
    let colour = row.colour.map(|colour| format!("stage-colour-{colour}"));
    html! {
        <li key={index}>
            <button class={classes!("layer", colour)} title={about} disabled={row.at.is_none()} data-testid="layer" data-size={row.size.to_string()}
                data-diff-id={digest} data-in-image={row.ships.map(|ships| ships.to_string())} onclick={row.at.map(|at| desk.report::<MouseEvent>(Action::StepChosen(at)))}>
                <span class="layer-name">{ &row.label }</span><span class="layer-size">{ size(row.size) }</span>
                <span class="layer-bar"><span style={format!("width: {}%", px(share))}></span></span>
            </button>
        </li>
    }
}

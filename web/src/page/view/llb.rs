//! The ops of the definition, as they are handed over.

use yew::prelude::*;

use crate::page::Desk;
use crate::state::Action;
use crate::state::human::{count, size};
use crate::state::plan::{Plan, StepRef};
use crate::state::shared::Shared;
use stagewright_core::analysis::PlannedOp;
use stagewright_core::digest::Digest;
use stagewright_core::layout::PALETTE;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) chosen: Option<StepRef>,
}

#[component]
pub(super) fn LlbView(props: &Props) -> Html {
    let Some(definition) = &props.plan.analysis.definition else {
        return html! { <p class="empty">{ "There are no ops to hand over while an error stands in the way of the target. Problems says which." }</p> };
    };
    let number_of = |digest: &Digest| definition.ops.iter().position(|op| &op.digest == digest);
    let op = |(index, op): (usize, &PlannedOp)| {
        let at = op.stage.map(|stage| StepRef { stage, step: op.step });
        let inputs: Vec<String> = op
            .inputs
            .iter()
            .filter_map(number_of)
            .map(|index| format!("#{}", index + 1))
            .collect();
        let colour = op.stage.map(|stage| format!("stage-colour-{}", stage % PALETTE));
        let lit = at.is_some() && at == props.chosen;
        let is_last = index + 1 == definition.ops.len();
        let name = if op.name.is_empty() && is_last {
            "the result"
        } else {
            op.name.as_str()
        };
        html! {
            <tr key={index} class={classes!(colour, lit.then_some("lit"))} data-testid="op" data-digest={op.digest.to_string()}>
                <td class="number">{ format!("#{}", index + 1) }</td>
                <td class="op-name">
                    if let Some(at) = at {
                        <button class="link" onclick={props.desk.report(Action::StepChosen(at))}>{ name }</button>
                    } else { { name } }
                </td>
                <td class="number">{ inputs.join(" ") }</td>
                <td class="number">{ size(op.bytes.len() as u64) }</td>
                <td><code title={op.digest.to_string()}>{ op.digest.short() }</code></td>
            </tr>
        }
    };
    html! {
        <div class="sheet">
            <p class="muted">
                { format!("{} in BuildKit's LLB, handed to the worker as they are. Plan ", count(definition.ops.len(), "op")) }
                <code class="whole">{ definition.digest.to_string() }</code>
            </p>
            <table>
                <thead><tr><th>{ "Op" }</th><th>{ "What" }</th><th>{ "Inputs" }</th><th>{ "Size" }</th><th>{ "Digest" }</th></tr></thead>
                <tbody>{ for definition.ops.iter().enumerate().map(op) }</tbody>
            </table>
        </div>
    }
}

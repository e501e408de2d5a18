//! All findings, in the order of the source.

use yew::prelude::*;

use crate::page::Desk;
use crate::state::Action;
use crate::state::marks::severity_name;
use crate::state::plan::Plan;
use crate::state::shared::Shared;
use stagewright_core::diagnostic::Diagnostic;

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
}

#[component]
pub(super) fn ProblemsView(props: &Props) -> Html {
    if props.plan.findings.is_empty() {
        return html! { <p class="empty">{ format!("Nothing to say about {}.", props.plan.path) }</p> };
    }
    let finding = |finding: &Diagnostic| {
        let severity = severity_name(finding.severity);
        html! {
            <li>
                <button class={classes!("problem", format!("problem-{severity}"))} data-testid="problem" data-severity={severity} data-code={finding.code.clone()}
                    onclick={props.desk.report(Action::LineChosen(finding.lines.start))}>
                    <span class="problem-mark" role="img" aria-label={severity}></span>
                    <span class="problem-text">
                        { &finding.message }
                        if let Some(hint) = &finding.hint { <span class="hint">{ hint }</span> }
                    </span>
                    <span class="problem-place">{ format!("line {}", finding.lines.start) }<code>{ &finding.code }</code></span>
                </button>
            </li>
        }
    };
    html! { <ul class="problems">{ for props.plan.findings.iter().map(finding) }</ul> }
}

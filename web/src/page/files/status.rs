//! One line about the plan.

use yew::prelude::*;

use crate::page::Desk;
use crate::state::human::{count, short_time};
use crate::state::plan::Plan;
use crate::state::shared::Shared;
use crate::state::{Action, Tab};
use stagewright_core::diagnostic::{Diagnostic, Severity};

#[derive(Properties, PartialEq)]
pub(super) struct Props {
    pub(super) desk: Desk,
    pub(super) plan: Shared<Plan>,
    pub(super) findings: Shared<Vec<Diagnostic>>,
}

#[component]
pub(super) fn StatusLine(props: &Props) -> Html {
    let plan = &props.plan;
    let findings = &props.findings;
    let worst = findings.iter().map(|finding| finding.severity).min();
    let problems = match worst {
        None => None,
        Some(Severity::Error) => Some(("status-error", count(number(findings, Severity::Error), "error"))),
        Some(Severity::Warning) => Some((
            "status-warning",
            count(number(findings, Severity::Warning), "warning"),
        )),
        Some(Severity::Info) => Some(("status-info", count(findings.len(), "suggestion"))),
    };
    html! {
        <footer class="status-line" data-testid="status">
            <span>{ format!("{} · {}", count(plan.analysis.stages.len(), "stage"), count(plan.step_count(), "step")) }</span>
            <span data-testid="plan-time">{ format!("planned in {}", short_time(plan.millis)) }</span>
            if let Some((class, text)) = problems {
                <button class={classes!("link", class)} onclick={props.desk.report(Action::TabShown(Tab::Problems))}>{ text }</button>
            }
            <span class="spring"></span>
            if let Some(definition) = &plan.analysis.definition {
                <code class="digest" data-testid="plan-digest" data-digest={definition.digest.to_string()} title={format!("The plan's identity: {}", definition.digest)}>
                    { format!("sha256:{}…", definition.digest.short()) }
                </code>
            }
        </footer>
    }
}

fn number(findings: &[Diagnostic], severity: Severity) -> usize {
    findings
        .iter()
        .filter(|finding| finding.severity == severity)
        .count()
}

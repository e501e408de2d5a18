//! Figures in Prometheus' text format, which is simple enough to be written by hand.

use std::fmt::{Display, Write as _};

use axum::extract::State;
use axum::http::{Uri, header};
use axum::response::{IntoResponse as _, Response};
use stagewright_core::protocol::BuildState;

use super::super::App;
use super::super::problem::Problem;
use super::{blocking, query};
use crate::build::totals::{BOUNDS, Totals};

const STATES: [(BuildState, &str); 6] = [
    (BuildState::Queued, "queued"),
    (BuildState::Running, "running"),
    (BuildState::Done, "done"),
    (BuildState::Failed, "failed"),
    (BuildState::Cancelled, "cancelled"),
    (BuildState::Lost, "lost"),
];

pub(super) async fn metrics(State(app): State<App>, uri: Uri) -> Result<Response, Problem> {
    let query::None {} = query::read(&uri)?;
    let text = blocking(move || Ok(text(&app))).await?;
    let kind = "text/plain; version=0.0.4; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

fn text(app: &App) -> String {
    let builds = app.builds.list();
    let mut page = Page::default();
    page.family(
        "stagewright_builds",
        "gauge",
        "Builds that are remembered, by how they stand.",
    );
    for (state, name) in STATES {
        let count = builds.iter().filter(|build| build.state == state).count();
        page.sample("stagewright_builds", &[("state", name)], count);
    }
    let queued = builds
        .iter()
        .filter(|build| build.state == BuildState::Queued)
        .count();
    page.single(
        "stagewright_queue_length",
        "gauge",
        "Builds that wait for their turn.",
        queued,
    );
    let totals = app.builds.totals();
    page.family(
        "stagewright_builds_ended_total",
        "counter",
        "Builds that ended since the worker began, by how.",
    );
    for (state, name) in &STATES[2..5] {
        page.sample(
            "stagewright_builds_ended_total",
            &[("state", name)],
            totals.ended(*state),
        );
    }
    page.family(
        "stagewright_steps_total",
        "counter",
        "Steps of builds that ended since the worker began.",
    );
    for (result, count) in [
        ("cached", totals.steps_cached),
        ("run", totals.steps_run),
        ("failed", totals.steps_failed),
    ] {
        page.sample("stagewright_steps_total", &[("result", result)], count);
    }
    page.durations(&totals);
    page.single(
        "stagewright_received_bytes_total",
        "counter",
        "Bytes of requests' bodies since the worker began.",
        app.counts.bytes_received(),
    );
    page.single(
        "stagewright_connections",
        "gauge",
        "Connections that are open.",
        app.counts.connections_open(),
    );
    page.single(
        "stagewright_streams",
        "gauge",
        "Builds that are followed over HTTP.",
        app.limits.streams.saturating_sub(app.streams.available_permits()),
    );
    page.0
}

#[derive(Default)]
struct Page(String);

impl Page {
    fn family(&mut self, name: &str, kind: &str, help: &str) {
        _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.0.push_str(name);
        if !labels.is_empty() {
            // Names and values are ours, so that nothing in them has to be escaped.
            let labels: Vec<String> = labels
                .iter()
                .map(|(label, value)| format!("{label}=\"{value}\""))
                .collect();
            _ = write!(self.0, "{{{}}}", labels.join(","));
        }
        _ = writeln!(self.0, " {value}");
    }

    fn single(&mut self, name: &str, kind: &str, help: &str, value: impl Display) {
        self.family(name, kind, help);
        self.sample(name, &[], value);
    }

    fn durations(&mut self, totals: &Totals) {
        let name = "stagewright_build_duration_seconds";
        self.family(
            name,
            "histogram",
            "How long builds took that ended since the worker began, waiting included.",
        );
        let bucket = format!("{name}_bucket");
        let mut sum = 0;
        for (bound, count) in BOUNDS.iter().zip(totals.durations) {
            sum += count;
            self.sample(&bucket, &[("le", &bound.to_string())], sum);
        }
        self.sample(&bucket, &[("le", "+Inf")], totals.count);
        self.sample(&format!("{name}_sum"), &[], totals.seconds);
        self.sample(&format!("{name}_count"), &[], totals.count);
    }
}

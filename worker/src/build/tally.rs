//! How the steps of a build went, in figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{Event, SolveStatus};

/// What is counted of a build while it runs, and kept with its record.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(from = "Figures", into = "Figures")]
pub struct Tally {
    /// Step -> how it stands; a step is reported several times, and the last report counts.
    steps: BTreeMap<Digest, Step>,
    /// Figures of a build that is over, where its steps are not kept any more.
    past: Figures,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Step {
    cached: bool,
    failed: bool,
}

/// The figures themselves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Figures {
    /// Steps there are.
    pub steps: usize,
    /// Those whose results were there already.
    pub cached: usize,
    /// Those that failed.
    pub failed: usize,
    /// When the first step began, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When the last step ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
}

impl Tally {
    /// Takes an event into account.
    pub fn count(&mut self, event: &Event) {
        if let Event::Status(status) = event {
            self.status(status);
        }
    }

    fn status(&mut self, status: &SolveStatus) {
        for vertex in &status.vertexes {
            let step = self.steps.entry(vertex.digest.clone()).or_default();
            step.cached = vertex.cached;
            step.failed = !vertex.error.is_empty();
            // Times of one form, in UTC to the nanosecond: what is written first comes first.
            if let Some(started) = &vertex.started
                && self.past.started.as_ref().is_none_or(|known| started < known)
            {
                self.past.started = Some(started.clone());
            }
            if let Some(ended) = &vertex.completed
                && self.past.ended.as_ref().is_none_or(|known| ended > known)
            {
                self.past.ended = Some(ended.clone());
            }
        }
    }

    /// The figures so far.
    pub fn figures(&self) -> Figures {
        let of = |wanted: fn(&Step) -> bool| self.steps.values().filter(|step| wanted(step)).count();
        Figures {
            steps: self.past.steps + self.steps.len(),
            cached: self.past.cached + of(|step| step.cached),
            failed: self.past.failed + of(|step| step.failed),
            ..self.past.clone()
        }
    }
}

impl From<Figures> for Tally {
    fn from(past: Figures) -> Self {
        Self {
            steps: BTreeMap::new(),
            past,
        }
    }
}

impl From<Tally> for Figures {
    fn from(tally: Tally) -> Self {
        tally.figures()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::protocol::Vertex;

    #[test]
    fn the_last_report_of_a_step_counts() {
        let report = |name: &str, cached, error: &str, completed: Option<&str>| {
            Event::Status(SolveStatus {
                vertexes: vec![Vertex {
                    digest: Digest::of(name.as_bytes()),
                    inputs: Vec::new(),
                    name: name.into(),
                    started: Some("2026-01-01T00:00:01Z".into()),
                    completed: completed.map(Into::into),
                    cached,
                    error: error.into(),
                    reason: String::new(),
                }],
                ..SolveStatus::default()
            })
        };
        let mut tally = Tally::default();
        for event in [
            report("a", false, "", None),
            report("b", false, "", None),
            report("a", true, "", Some("2026-01-01T00:00:02Z")),
            report("b", false, "no", Some("2026-01-01T00:00:03Z")),
        ] {
            tally.count(&event);
        }
        let figures = tally.figures();
        assert_eq!((figures.steps, figures.cached, figures.failed), (2, 1, 1));
        assert_eq!(figures.ended.as_deref(), Some("2026-01-01T00:00:03Z"));
        let kept: Tally = serde_json::from_str(&serde_json::to_string(&tally).unwrap()).unwrap();
        assert_eq!(kept.figures(), figures);
    }
}

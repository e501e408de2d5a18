//! A build's progress as lines of text: each step by its number, what it printed, and how it ended.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use stagewright_core::digest::Digest;
use stagewright_core::protocol::{SolveStatus, Vertex, VertexLog};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::output::{Output, printable};

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    steps: BTreeMap<Digest, Step>,
}

#[derive(Debug)]
struct Step {
    number: usize,
    started: Option<OffsetDateTime>,
    ended: bool,
    /// Each of the step's outputs, and how many seconds after its start it had something last.
    outputs: BTreeMap<u32, (Output, f64)>,
}

impl Progress {
    /// The lines that `status` adds.
    pub(super) fn tell(&mut self, status: &SolveStatus) -> String {
        let mut text = String::new();
        for log in &status.logs {
            self.log(&mut text, log);
        }
        for vertex in &status.vertexes {
            self.vertex(&mut text, vertex);
        }
        for warning in &status.warnings {
            let number = self.steps.get(&warning.vertex).map_or(0, |step| step.number);
            _ = writeln!(text, "#{number} WARNING: {}", printable(&warning.short));
        }
        text
    }

    fn vertex(&mut self, text: &mut String, vertex: &Vertex) {
        if vertex.started.is_none() && vertex.completed.is_none() && !vertex.cached && vertex.error.is_empty()
        {
            return;
        }
        let next = self.steps.len() + 1;
        let step = self.steps.entry(vertex.digest.clone()).or_insert_with(|| {
            _ = writeln!(text, "#{next} {}", printable(vertex.name.as_bytes()));
            Step {
                number: next,
                started: None,
                ended: false,
                outputs: BTreeMap::new(),
            }
        });
        step.started = step
            .started
            .or_else(|| vertex.started.as_deref().and_then(moment));
        let over = vertex.completed.is_some() || vertex.cached || !vertex.error.is_empty();
        if !over || step.ended {
            return;
        }
        step.ended = true;
        for (mut output, since) in std::mem::take(&mut step.outputs).into_values() {
            if let Some(line) = output.rest() {
                _ = writeln!(text, "#{} {since:.3} {}", step.number, line.text);
            }
        }
        let end = if !vertex.error.is_empty() {
            // Its further lines repeat what the step printed.
            let first = vertex.error.lines().next().unwrap_or_default();
            format!(
                "ERROR: {}",
                first.strip_suffix(". Its last lines:").unwrap_or(first)
            )
        } else if vertex.cached {
            "CACHED".into()
        } else {
            let taken = step.started.zip(vertex.completed.as_deref().and_then(moment));
            taken.map_or_else(
                || "DONE".into(),
                |(from, to)| format!("DONE {:.1}s", (to - from).as_seconds_f64()),
            )
        };
        // The word for it stands before it already, and why a failed step was run is not what matters.
        let reason = vertex.reason.strip_prefix("cached: ").unwrap_or(&vertex.reason);
        let reason = if reason.is_empty() || !vertex.error.is_empty() {
            String::new()
        } else {
            format!("  ({reason})")
        };
        _ = writeln!(text, "#{} {end}{reason}\n", step.number);
    }

    fn log(&mut self, text: &mut String, log: &VertexLog) {
        let Some(step) = self.steps.get_mut(&log.vertex) else {
            return;
        };
        let since = step
            .started
            .zip(moment(&log.timestamp))
            .map_or(0.0, |(from, to)| (to - from).as_seconds_f64());
        let number = step.number;
        let (output, last) = step.outputs.entry(log.stream).or_default();
        *last = since;
        output.take(&log.data, |line| {
            _ = writeln!(text, "#{number} {since:.3} {}", line.text);
        });
    }
}

pub(super) fn moment(text: &str) -> Option<OffsetDateTime> {
    OffsetDateTime::parse(text, &Rfc3339).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vertex(started: Option<&str>, completed: Option<&str>) -> Vertex {
        Vertex {
            digest: Digest::of(b"step"),
            inputs: Vec::new(),
            name: "[1/1] RUN make".into(),
            started: started.map(Into::into),
            completed: completed.map(Into::into),
            cached: false,
            error: String::new(),
            reason: String::new(),
        }
    }

    fn of(vertex: Vertex) -> SolveStatus {
        SolveStatus {
            vertexes: vec![vertex],
            ..SolveStatus::default()
        }
    }

    fn said(data: &[u8]) -> SolveStatus {
        let log = VertexLog {
            vertex: Digest::of(b"step"),
            stream: 1,
            data: data.into(),
            timestamp: "2026-01-01T00:00:01Z".into(),
        };
        SolveStatus {
            logs: vec![log],
            ..SolveStatus::default()
        }
    }

    #[test]
    fn step_is_told_from_its_start_over_its_output_to_its_end() {
        let mut progress = Progress::default();
        let start = Some("2026-01-01T00:00:00Z");
        assert_eq!(progress.tell(&of(vertex(None, None))), "");
        assert_eq!(progress.tell(&of(vertex(start, None))), "#1 [1/1] RUN make\n");
        assert_eq!(progress.tell(&said(b"one\ntw")), "#1 1.000 one\n");
        assert_eq!(progress.tell(&said(b"o\nrest")), "#1 1.000 two\n");
        let end = progress.tell(&of(vertex(start, Some("2026-01-01T00:00:02.5Z"))));
        assert_eq!(end, "#1 1.000 rest\n#1 DONE 2.5s\n\n");
        assert_eq!(
            progress.tell(&of(vertex(start, Some("2026-01-01T00:00:02.5Z")))),
            ""
        );
    }

    #[test]
    fn a_failure_is_one_line_without_the_output_that_was_shown_already() {
        let mut failed = vertex(Some("2026-01-01T00:00:00Z"), Some("2026-01-01T00:00:01Z"));
        failed.error = "the command exited with code 2. Its last lines:\ncc: no such file".into();
        let told = Progress::default().tell(&of(failed));
        assert_eq!(
            told,
            "#1 [1/1] RUN make\n#1 ERROR: the command exited with code 2\n\n"
        );
    }

    #[test]
    fn what_is_written_over_and_coloured_is_shown_plainly_as_it_comes() {
        let mut progress = Progress::default();
        progress.tell(&of(vertex(Some("2026-01-01T00:00:00Z"), None)));
        assert_eq!(progress.tell(&said(b"10%\r")), "#1 1.000 10%\n");
        assert_eq!(
            progress.tell(&said(b"10%\r\x1b[32m100%\x1b[0m\n")),
            "#1 1.000 100%\n"
        );
    }
}

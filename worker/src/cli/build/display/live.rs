//! The steps of a build as they stand right now: what a terminal shows in one place.

use std::collections::{BTreeMap, VecDeque};

use stagewright_core::digest::Digest;
use stagewright_core::protocol::{SolveStatus, Vertex, VertexLog, VertexStatus};
use time::OffsetDateTime;

use crate::cli::output::{Output, printable};
use crate::cli::progress::moment;
use crate::cli::style::{Style, cut};

/// Lines of a running step's output that are shown.
const OUTPUT: usize = 6;
/// Letters of such a line that are kept: more than any terminal is wide.
const LETTERS: usize = 1000;
/// The error of a step that did not fail itself.
const STOPPED: &str = "cancelled";
/// Columns that the time at a line's end has.
const TIME: usize = 9;

/// Everything that is known of a build under way.
#[derive(Debug)]
pub(super) struct Live {
    style: Style,
    began: Option<OffsetDateTime>,
    /// In the order in which they were spoken of.
    steps: Vec<Step>,
    places: BTreeMap<Digest, usize>,
}

#[derive(Debug, Default)]
struct Step {
    name: String,
    started: Option<OffsetDateTime>,
    completed: Option<OffsetDateTime>,
    cached: bool,
    failed: bool,
    /// Whether it was stopped because something else failed.
    stopped: bool,
    warnings: Vec<String>,
    /// Done and whole, in bytes, of each part.
    parts: BTreeMap<String, (u64, u64)>,
    output: VecDeque<String>,
    /// What it prints, piece by piece.
    printed: Output,
}

/// How a build ended, as whoever shows it knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    Built,
    /// It was asked to end.
    Cancelled,
    /// It came to nothing, perhaps for a reason that lies in none of its steps.
    Failed,
}

impl Step {
    fn is_over(&self) -> bool {
        self.completed.is_some() || self.cached || self.failed || self.stopped
    }

    /// Whether what it was to do is done.
    fn is_done(&self) -> bool {
        self.is_over() && !self.failed && !self.stopped
    }

    fn is_running(&self) -> bool {
        self.started.is_some() && !self.is_over()
    }

    fn seconds(&self, now: OffsetDateTime) -> f64 {
        let from = self.started.unwrap_or(now);
        (self.completed.unwrap_or(now) - from).as_seconds_f64().max(0.0)
    }
}

impl Live {
    pub(super) fn new(style: Style) -> Self {
        Self {
            style,
            began: None,
            steps: Vec::new(),
            places: BTreeMap::new(),
        }
    }

    /// Takes in what happened.
    pub(super) fn take(&mut self, status: &SolveStatus) {
        for vertex in &status.vertexes {
            self.vertex(vertex);
        }
        for part in &status.statuses {
            self.part(part);
        }
        for log in &status.logs {
            self.log(log);
        }
        for warning in &status.warnings {
            if let Some(step) = self.step(&warning.vertex) {
                step.warnings.push(printable(&warning.short));
            }
        }
    }

    fn step(&mut self, vertex: &Digest) -> Option<&mut Step> {
        self.places
            .get(vertex)
            .and_then(|place| self.steps.get_mut(*place))
    }

    fn vertex(&mut self, vertex: &Vertex) {
        if !self.places.contains_key(&vertex.digest) {
            self.places.insert(vertex.digest.clone(), self.steps.len());
            self.steps.push(Step::default());
        }
        let started = vertex.started.as_deref().and_then(moment);
        if let Some(started) = started {
            self.began = Some(self.began.map_or(started, |began| began.min(started)));
        }
        if let Some(step) = self.step(&vertex.digest) {
            step.name = printable(vertex.name.as_bytes());
            step.started = started;
            step.completed = vertex.completed.as_deref().and_then(moment);
            step.cached = vertex.cached;
            step.stopped = vertex.error == STOPPED;
            step.failed = !vertex.error.is_empty() && !step.stopped;
        }
    }

    fn part(&mut self, part: &VertexStatus) {
        if let Some(step) = self.step(&part.vertex) {
            step.parts
                .insert(part.id.clone(), (part.current, part.total.max(part.current)));
        }
    }

    fn log(&mut self, log: &VertexLog) {
        let Some(step) = self.step(&log.vertex) else {
            return;
        };
        let output = &mut step.output;
        step.printed.take(&log.data, |line| {
            // What a program wrote over is seen as it stands now.
            if line.replaces {
                output.pop_back();
            }
            output.push_back(cut(&line.text.replace('\t', "    "), LETTERS));
            if output.len() > OUTPUT {
                output.pop_front();
            }
        });
    }

    /// What fits into `rows`: what runs comes first, then what ended last.
    pub(super) fn frame(&self, now: OffsetDateTime, columns: usize, rows: usize) -> Vec<String> {
        // The cursor stands below.
        let room = rows.saturating_sub(2).max(1);
        let over: Vec<&Step> = self.steps.iter().filter(|step| step.is_over()).collect();
        let running: Vec<&Step> = self.steps.iter().filter(|step| step.is_running()).collect();
        // Each running step has a line; what is left of the room is output's and the past's, half and half.
        let left = room.saturating_sub(running.len());
        let wanted: usize = running.iter().map(|step| step.output.len()).sum();
        let past = over.len().min(left.saturating_sub(wanted.min(left / 2)));
        let output = left.saturating_sub(past);
        let each = if running.is_empty() {
            0
        } else {
            output / running.len()
        };
        let mut lines = vec![self.heading(None, now, columns)];
        let hidden = over.len() - past;
        let skipped = if hidden > 0 && past > 0 {
            hidden + 1
        } else {
            hidden
        };
        if skipped > 0 && past > 0 {
            let text = format!("  … {skipped} more that are done");
            lines.push(self.style.dim(&cut(&text, columns.saturating_sub(1))));
        }
        for step in over.iter().skip(skipped) {
            lines.push(self.line(step, now, columns));
        }
        for step in running {
            lines.push(self.line(step, now, columns));
            let skip = step.output.len().saturating_sub(each);
            for text in step.output.iter().skip(skip) {
                lines.push(
                    self.style
                        .dim(&format!("    {}", cut(text, columns.saturating_sub(5)))),
                );
            }
        }
        lines.truncate(room + 1);
        lines
    }

    /// Every step as it stands, for the end.
    pub(super) fn whole(&mut self, ending: Ending, now: OffsetDateTime, columns: usize) -> Vec<String> {
        if self.steps.is_empty() {
            return Vec::new();
        }
        if ending != Ending::Built {
            // Nothing more is heard of what was still at work.
            for step in self.steps.iter_mut().filter(|step| step.is_running()) {
                step.stopped = true;
            }
        }
        let mut lines = vec![self.heading(Some(ending), now, columns)];
        for step in self
            .steps
            .iter()
            .filter(|step| step.started.is_some() || step.is_over())
        {
            lines.push(self.line(step, now, columns));
            for warning in &step.warnings {
                let text = cut(&format!("warning: {warning}"), columns.saturating_sub(5));
                lines.push(format!("    {}", self.style.accent(&text)));
            }
        }
        lines
    }

    fn heading(&self, ending: Option<Ending>, now: OffsetDateTime, columns: usize) -> String {
        let done = self.steps.iter().filter(|step| step.is_done()).count();
        let any = |wanted: fn(&Step) -> bool| self.steps.iter().any(wanted);
        let word = match ending {
            Some(Ending::Built) => "Built in",
            Some(Ending::Failed) => "Failed after",
            _ if any(|step| step.failed) => "Failed after",
            Some(Ending::Cancelled) => "Cancelled after",
            None if any(|step| step.stopped) => "Cancelled after",
            None if done == self.steps.len() && done > 0 => "Built in",
            None => "Building,",
        };
        let seconds = self
            .began
            .map_or(0.0, |began| (now - began).as_seconds_f64().max(0.0));
        let text = format!(
            "{word} {}, {done} of {} steps done",
            clock(seconds),
            self.steps.len()
        );
        self.style.bold(&cut(&text, columns.saturating_sub(1)))
    }

    fn line(&self, step: &Step, now: OffsetDateTime, columns: usize) -> String {
        let style = self.style;
        let mark = if step.failed {
            style.bad("✗")
        } else if step.stopped {
            style.dim("■")
        } else if step.is_over() {
            style.good("✓")
        } else {
            style.accent("▸")
        };
        let time = if step.cached {
            "cached".to_owned()
        } else {
            clock(step.seconds(now))
        };
        let transfer = transfer(step);
        let room = columns.saturating_sub(3 + transfer.chars().count() + TIME).max(8);
        let name = cut(&step.name, room);
        let gap = room - name.chars().count();
        let name = if step.is_running() { name } else { style.dim(&name) };
        let name = if step.failed {
            style.bad(&cut(&step.name, room))
        } else {
            name
        };
        let time = format!("{time:>TIME$}");
        let time = if step.cached {
            style.good(&time)
        } else {
            style.dim(&time)
        };
        format!("{mark} {name}{:gap$}{}{time}", "", style.dim(&transfer))
    }
}

/// How far a running step's transfers are.
fn transfer(step: &Step) -> String {
    if !step.is_running() {
        return String::new();
    }
    let done: u64 = step.parts.values().map(|(done, _)| done).sum();
    let whole: u64 = step.parts.values().map(|(_, whole)| whole).sum();
    if whole == 0 || done == whole {
        return String::new();
    }
    format!(" {}/{}", megabytes(done), megabytes(whole))
}

fn megabytes(bytes: u64) -> String {
    let tenths = bytes / 100_000;
    format!("{}.{} MB", tenths / 10, tenths % 10)
}

fn clock(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1}s");
    }
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "it is positive, and no build takes so long"
    )]
    let whole = seconds as u64;
    format!("{}m {:02}s", whole / 60, whole % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp(1_700_000_000 + seconds).unwrap()
    }

    fn written(seconds: i64) -> String {
        use time::format_description::well_known::Rfc3339;
        at(seconds).format(&Rfc3339).unwrap()
    }

    fn vertex(name: &str, started: Option<i64>, completed: Option<i64>) -> Vertex {
        Vertex {
            digest: Digest::of(name.as_bytes()),
            inputs: Vec::new(),
            name: name.into(),
            started: started.map(written),
            completed: completed.map(written),
            cached: false,
            error: String::new(),
            reason: String::new(),
        }
    }

    fn of(vertexes: Vec<Vertex>) -> SolveStatus {
        SolveStatus {
            vertexes,
            ..SolveStatus::default()
        }
    }

    fn said(name: &str, text: &str) -> SolveStatus {
        SolveStatus {
            logs: vec![VertexLog {
                vertex: Digest::of(name.as_bytes()),
                stream: 1,
                data: text.into(),
                timestamp: written(0),
            }],
            ..SolveStatus::default()
        }
    }

    fn live() -> Live {
        let mut live = Live::new(Style::default());
        let mut cached = vertex("[1/4] FROM base", Some(0), Some(0));
        cached.cached = true;
        live.take(&of(vec![
            cached,
            vertex("[2/4] COPY . .", Some(0), Some(2)),
            vertex("[3/4] RUN make", Some(2), None),
            vertex("[other 1/1] RUN test", Some(2), None),
            vertex("[4/4] RUN strip", None, None),
        ]));
        live.take(&said("[3/4] RUN make", "cc one.c\ncc two.c\ncc thr"));
        live
    }

    #[test]
    fn steps_that_run_side_by_side_are_shown_with_times_marks_and_output() {
        let frame = live().frame(at(5), 40, 24);
        assert_eq!(
            frame,
            [
                "Building, 5.0s, 2 of 5 steps done",
                "✓ [1/4] FROM base                 cached",
                "✓ [2/4] COPY . .                    2.0s",
                "▸ [3/4] RUN make                    3.0s",
                "    cc one.c",
                "    cc two.c",
                "▸ [other 1/1] RUN test              3.0s",
            ]
            .map(|line| if line.starts_with(['✓', '▸']) {
                // The last column stays free.
                line.replacen("  ", " ", 1)
            } else {
                line.to_owned()
            })
        );
    }

    #[test]
    fn a_bar_that_grows_on_its_line_is_one_line_without_colours() {
        let mut live = live();
        live.take(&said(
            "[other 1/1] RUN test",
            "begin\n10%\r\u{1b}[32m50%\u{1b}[0m\r",
        ));
        let shown = |live: &Live| live.frame(at(5), 60, 24).split_off(7);
        assert_eq!(shown(&live), ["    begin", "    50%"]);
        live.take(&said("[other 1/1] RUN test", "100%\nend\n"));
        assert_eq!(shown(&live), ["    begin", "    100%", "    end"]);
    }

    #[test]
    fn frame_fits_its_terminal_whatever_happens() {
        let mut live = live();
        for number in 0..60 {
            let name = format!("[{number}] RUN a command that is much too long for a narrow terminal");
            let completed = (number % 3 != 0).then_some(4);
            live.take(&of(vec![vertex(&name, Some(1), completed)]));
            live.take(&said(&name, &"output \u{1b}[2J that is long\n".repeat(9)));
        }
        for columns in [20, 40, 80, 200] {
            for rows in [1, 2, 3, 10, 24, 50] {
                let frame = live.frame(at(100), columns, rows);
                assert!(frame.len() < rows.max(3), "{} lines in {rows}", frame.len());
                for line in &frame {
                    assert!(line.chars().count() < columns.max(24), "{columns}: {line}");
                    assert!(!line.contains('\u{1b}'), "{line}");
                }
            }
        }
        assert!(live.frame(at(100), 80, 24)[1].contains("RUN"));
    }

    #[test]
    fn end_shows_every_step_that_began_and_what_was_warned_of() {
        let mut live = live();
        let mut failed = vertex("[3/4] RUN make", Some(2), Some(65));
        failed.error = "exit code 2".into();
        let mut stopped = vertex("[other 1/1] RUN test", Some(2), Some(64));
        stopped.error = STOPPED.into();
        live.take(&of(vec![failed, stopped]));
        live.take(&SolveStatus {
            warnings: vec![stagewright_core::protocol::VertexWarning {
                vertex: Digest::of(b"[1/4] FROM base"),
                level: 1,
                short: b"a stand-in".to_vec(),
            }],
            ..SolveStatus::default()
        });
        let whole = live.whole(Ending::Failed, at(66), 60).join("\n");
        assert!(
            whole.starts_with("Failed after 1m 06s, 2 of 5 steps done"),
            "{whole}"
        );
        assert!(whole.contains("✗ [3/4] RUN make"), "{whole}");
        assert!(whole.contains("1m 03s"), "{whole}");
        assert!(whole.contains("■ [other 1/1] RUN test"), "{whole}");
        assert!(whole.contains("warning: a stand-in"), "{whole}");
        assert!(!whole.contains("strip"), "it never began: {whole}");
    }

    #[test]
    fn a_build_that_was_stopped_says_so_and_counts_no_step_that_was() {
        // Whether or not the end of its steps was heard of.
        for heard in [true, false] {
            let mut live = live();
            if heard {
                for name in ["[3/4] RUN make", "[other 1/1] RUN test"] {
                    let mut stopped = vertex(name, Some(2), Some(4));
                    stopped.error = STOPPED.into();
                    live.take(&of(vec![stopped]));
                }
            }
            assert!(!live.frame(at(4), 60, 24)[0].starts_with("Built"));
            let whole = live.whole(Ending::Cancelled, at(4), 60);
            assert_eq!(whole[0], "Cancelled after 4.0s, 2 of 5 steps done");
            assert!(whole[3].starts_with("■ [3/4] RUN make"), "{whole:?}");
        }
        let mut done = Live::new(Style::default());
        done.take(&of(vec![vertex("[1/1] COPY . .", Some(0), Some(2))]));
        let heading = |done: &mut Live, ending| done.whole(ending, at(2), 60).swap_remove(0);
        assert_eq!(
            heading(&mut done, Ending::Built),
            "Built in 2.0s, 1 of 1 steps done"
        );
        // It was stopped between two steps, or is lacking something that none of them makes.
        assert!(heading(&mut done, Ending::Cancelled).starts_with("Cancelled after 2.0s"));
        assert!(heading(&mut done, Ending::Failed).starts_with("Failed after 2.0s"));
    }

    #[test]
    fn transfers_say_how_far_they_are_until_they_are_there() {
        let mut live = Live::new(Style::default());
        live.take(&of(vec![vertex("FROM big", Some(0), None)]));
        let part = |current| SolveStatus {
            statuses: vec![VertexStatus {
                id: "layer".into(),
                vertex: Digest::of(b"FROM big"),
                name: "downloading".into(),
                current,
                total: 40_000_000,
                timestamp: written(1),
                started: Some(written(0)),
                completed: None,
            }],
            ..SolveStatus::default()
        };
        live.take(&part(12_340_000));
        assert!(live.frame(at(1), 60, 24)[1].contains("12.3 MB/40.0 MB"));
        live.take(&part(40_000_000));
        assert!(!live.frame(at(1), 60, 24)[1].contains("MB"));
    }
}

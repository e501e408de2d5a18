//! A build, as far as its events have told.

use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    BuildEvent, BuildFailure, BuildId, BuildState, Event, ImageSummary, Layer, SolveStatus, Vertex,
    VertexLog, VertexStatus,
};

use super::human;
use super::log::{LineKind, Log, PartialLine};

/// How a step stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StepState {
    /// Nothing is known of it, because no build runs or it is no part of one.
    Idle,
    /// Its build has not come to it.
    Waiting,
    /// At work.
    Running,
    /// Its result was there already.
    Cached,
    /// Done.
    Done,
    /// It failed.
    Failed,
}

impl StepState {
    /// The word for it, in attributes and for those who listen.
    pub fn name(self) -> &'static str {
        match self {
            Self::Idle => "idle",
            Self::Waiting => "waiting",
            Self::Running => "running",
            Self::Cached => "cached",
            Self::Done => "done",
            Self::Failed => "failed",
        }
    }
}

/// How far a step is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Its op.
    pub vertex: Digest,
    /// Its number in the log, from 1 in the order in which steps begin; 0 until then.
    pub number: usize,
    /// `[builder 2/5] WORKDIR /src`.
    pub name: String,
    /// When it began, in milliseconds by the worker's clock.
    pub started: Option<f64>,
    /// When it ended.
    pub completed: Option<f64>,
    /// Whether its result was there already.
    pub cached: bool,
    /// Why it failed.
    pub error: Option<String>,
    /// Why it was run or taken from the cache.
    pub reason: String,
    /// What it is at, with how much of how much: `transferring`, 3, 5.
    pub at: Option<(String, u64, u64)>,
    /// Output without a line break yet.
    partial: PartialLine,
}

impl Progress {
    fn new(vertex: Digest) -> Self {
        Self {
            vertex,
            number: 0,
            name: String::new(),
            started: None,
            completed: None,
            cached: false,
            error: None,
            reason: String::new(),
            at: None,
            partial: PartialLine::default(),
        }
    }

    /// How it stands.
    pub fn state(&self) -> StepState {
        if self.was_stopped() {
            StepState::Waiting
        } else if self.error.is_some() {
            StepState::Failed
        } else if self.cached {
            StepState::Cached
        } else if self.completed.is_some() {
            StepState::Done
        } else if self.started.is_some() {
            StepState::Running
        } else {
            StepState::Waiting
        }
    }

    /// Whether it ended only because the build did: somebody cancelled it, or another step failed.
    fn was_stopped(&self) -> bool {
        self.error.as_deref().is_some_and(is_stop)
    }

    /// How long it took, in milliseconds.
    pub fn took(&self) -> Option<f64> {
        Some(self.completed? - self.started?)
    }
}

/// Whether a step says so of its end: our words for it, and `BuildKit`'s.
fn is_stop(error: &str) -> bool {
    error == "cancelled" || error.contains("context canceled")
}

/// How a build stands, for those who look at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// Under way.
    Running,
    /// Its image is there.
    Done,
    /// A step failed.
    Failed,
    /// Someone cancelled it.
    Cancelled,
    /// The worker does not have it any more.
    Lost,
}

impl Phase {
    /// The word for it in attributes.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Lost => "lost",
        }
    }
}

/// What is known of a build.
#[derive(Debug, Clone)]
pub struct Build {
    /// Its name on the worker.
    pub id: BuildId,
    /// What the page called it.
    pub title: String,
    /// The plan it runs.
    pub plan: Digest,
    /// The ops that are steps of the Dockerfile; progress counts these. Empty where the plan is not known any more.
    pub steps: Vec<Digest>,
    /// How it stands.
    pub phase: Phase,
    /// The last event that was taken in.
    pub last_seq: u64,
    /// Its steps, in the order in which they were heard of.
    pub progress: Vec<Progress>,
    /// How many of them have begun.
    begun: usize,
    /// Layers as they came.
    pub layers: Vec<Layer>,
    /// The image, once it is there.
    pub image: Option<ImageSummary>,
    /// Why it failed.
    pub failure: Option<BuildFailure>,
    /// What it printed.
    pub log: Log,
    /// The first and the last time its events speak of.
    times: Option<(f64, f64)>,
    /// What to add to the page's clock to get the worker's.
    clock_skew: f64,
}

/// How much of a build is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tally {
    /// Steps in all.
    pub all: usize,
    /// Steps that ended well, from the cache or not.
    pub ended: usize,
    /// Those from the cache.
    pub cached: usize,
}

impl Build {
    /// A build that has just been started, or is looked at again.
    pub fn new(id: BuildId, title: String, plan: Digest, steps: Vec<Digest>) -> Self {
        Self {
            id,
            title,
            plan,
            steps,
            phase: Phase::Running,
            last_seq: 0,
            progress: Vec::new(),
            begun: 0,
            layers: Vec::new(),
            image: None,
            failure: None,
            log: Log::default(),
            times: None,
            clock_skew: 0.0,
        }
    }

    /// Takes an event in. One that was seen before, or is of another build, changes nothing.
    pub fn apply(&mut self, event: &BuildEvent, now: f64) {
        if event.id != self.id || event.seq <= self.last_seq {
            return;
        }
        self.last_seq = event.seq;
        match &event.event {
            Event::Status(status) => self.apply_status(status, now),
            Event::Layer(layer) => {
                self.begin(&layer.vertex);
                let number = self.number_of(&layer.vertex);
                let text = format!("layer {} {}", layer.diff_id.short(), human::size(layer.size));
                self.log.push(number, LineKind::Note, &text);
                self.layers
                    .retain(|known| known.vertex != layer.vertex || known.diff_id != layer.diff_id);
                self.layers.push(layer.clone());
            }
            Event::Done(image) => {
                self.flush();
                self.log.push(
                    0,
                    LineKind::Note,
                    &format!("image {} {}", image.digest.short(), human::size(image.size)),
                );
                self.image = Some(image.clone());
                self.phase = Phase::Done;
            }
            Event::Failed(failure) => {
                self.flush();
                for line in failure.message.lines() {
                    self.log.push(0, LineKind::Error, line);
                }
                // The step is marked even where its own report was cut short.
                if let Some(vertex) = &failure.vertex {
                    let progress = self.progress_of(vertex);
                    progress.error.get_or_insert_with(|| failure.message.clone());
                }
                self.failure = Some(failure.clone());
                // The last event of a build whose worker died says so too; that is no fault of a step.
                if self.phase != Phase::Lost {
                    self.phase = Phase::Failed;
                }
            }
            Event::Cancelled => {
                self.flush();
                self.log.push(0, LineKind::Note, "cancelled");
                self.phase = Phase::Cancelled;
            }
        }
    }

    /// Takes in what the worker says of the build as a whole.
    pub fn apply_state(&mut self, state: BuildState) {
        if state == BuildState::Lost {
            self.phase = Phase::Lost;
        }
    }

    /// The worker does not know of it any more.
    pub fn lose(&mut self) {
        self.flush();
        self.log.push(
            0,
            LineKind::Error,
            "The worker stopped in the middle of this build.",
        );
        self.phase = Phase::Lost;
    }

    fn apply_status(&mut self, status: &SolveStatus, now: f64) {
        for vertex in &status.vertexes {
            self.apply_vertex(vertex, now);
        }
        for status in &status.statuses {
            self.apply_progress(status);
        }
        for log in &status.logs {
            self.apply_log(log, now);
        }
        for warning in &status.warnings {
            let number = self.number_of(&warning.vertex);
            self.log.push(
                number,
                LineKind::Note,
                &format!("warning: {}", String::from_utf8_lossy(&warning.short)),
            );
        }
    }

    fn apply_vertex(&mut self, vertex: &Vertex, now: f64) {
        let started = vertex.started.as_deref().and_then(human::parse_rfc3339);
        let completed = vertex.completed.as_deref().and_then(human::parse_rfc3339);
        for time in [started, completed].into_iter().flatten() {
            self.saw_time(time, now);
        }
        let progress = self.progress_of(&vertex.digest);
        if !vertex.name.is_empty() {
            progress.name.clone_from(&vertex.name);
        }
        let ended_before = progress.completed.is_some();
        progress.started = started.or(progress.started);
        progress.completed = completed.or(progress.completed);
        progress.cached |= vertex.cached;
        if !vertex.error.is_empty() {
            progress.error = Some(vertex.error.clone());
        }
        if !vertex.reason.is_empty() {
            progress.reason.clone_from(&vertex.reason);
        }
        if started.is_some() || completed.is_some() {
            self.begin(&vertex.digest);
        }
        if completed.is_none() || ended_before {
            return;
        }
        let progress = self.progress_of(&vertex.digest);
        progress.at = None;
        let (number, took, cached) = (progress.number, progress.took(), progress.cached);
        let rest = progress.partial.finish();
        if let Some(rest) = rest {
            self.log.push(number, LineKind::Output, &rest);
        }
        if is_stop(&vertex.error) {
            self.log.push(number, LineKind::Note, "stopped");
        } else if let Some(line) = vertex.error.lines().next() {
            self.log.push(number, LineKind::Error, &format!("failed: {line}"));
        } else if cached {
            self.log.push(number, LineKind::Ended, "cached");
        } else {
            self.log.push(
                number,
                LineKind::Ended,
                &format!("done in {}", human::duration(took.unwrap_or_default())),
            );
        }
    }

    fn apply_progress(&mut self, status: &VertexStatus) {
        let progress = self.progress_of(&status.vertex);
        let what = if status.name.is_empty() {
            &status.id
        } else {
            &status.name
        };
        progress.at = status
            .completed
            .is_none()
            .then(|| (what.clone(), status.current, status.total));
    }

    fn apply_log(&mut self, log: &VertexLog, now: f64) {
        if let Some(time) = human::parse_rfc3339(&log.timestamp) {
            self.saw_time(time, now);
        }
        self.begin(&log.vertex);
        let progress = self.progress_of(&log.vertex);
        let number = progress.number;
        let lines = progress.partial.feed(&log.data);
        for line in lines {
            self.log.push(number, LineKind::Output, &line);
        }
    }

    /// Output without a line break at its end is shown when no more can come.
    fn flush(&mut self) {
        for progress in &mut self.progress {
            progress.at = None;
            if let Some(rest) = progress.partial.finish() {
                self.log.push(progress.number, LineKind::Output, &rest);
            }
        }
    }

    fn saw_time(&mut self, time: f64, now: f64) {
        let (first, last) = self.times.unwrap_or((time, time));
        if time >= last {
            self.clock_skew = time - now;
        }
        self.times = Some((first.min(time), last.max(time)));
    }

    /// What is known of an op, which is something from now on.
    fn progress_of(&mut self, vertex: &Digest) -> &mut Progress {
        let at = self
            .progress
            .iter()
            .position(|progress| &progress.vertex == vertex)
            .unwrap_or_else(|| {
                self.progress.push(Progress::new(vertex.clone()));
                self.progress.len() - 1
            });
        &mut self.progress[at]
    }

    /// Gives a step that begins its number, and its line in the log.
    fn begin(&mut self, vertex: &Digest) {
        let number = self.begun + 1;
        let progress = self.progress_of(vertex);
        if progress.number == 0 && !progress.name.is_empty() {
            progress.number = number;
            let name = progress.name.clone();
            self.begun = number;
            self.log.push(number, LineKind::Step, &name);
        }
    }

    /// The step that has a number in the log.
    pub fn numbered(&self, number: usize) -> Option<&Progress> {
        self.progress
            .iter()
            .find(|progress| number > 0 && progress.number == number)
    }

    fn number_of(&self, vertex: &Digest) -> usize {
        self.progress_at(vertex).map_or(0, |progress| progress.number)
    }

    /// What is known of an op.
    pub fn progress_at(&self, vertex: &Digest) -> Option<&Progress> {
        self.progress.iter().find(|progress| &progress.vertex == vertex)
    }

    /// How an op stands. An op this build has nothing to do with is idle.
    pub fn step_state(&self, vertex: &Digest) -> StepState {
        let state = match self.progress_at(vertex) {
            Some(progress) => progress.state(),
            None if self.steps.contains(vertex) => StepState::Waiting,
            None => return StepState::Idle,
        };
        // What was not finished when a build ended will not be any more.
        match state {
            StepState::Waiting | StepState::Running if self.phase != Phase::Running => StepState::Idle,
            StepState::Idle
            | StepState::Waiting
            | StepState::Running
            | StepState::Cached
            | StepState::Done
            | StepState::Failed => state,
        }
    }

    /// What to write at the right end of a step: `cached`, `4.2 s`, `38 %`.
    pub fn step_detail(&self, vertex: &Digest, now: f64) -> String {
        let Some(progress) = self.progress_at(vertex) else {
            return String::new();
        };
        match self.step_state(vertex) {
            StepState::Cached => "cached".into(),
            StepState::Done => human::duration(progress.took().unwrap_or_default()),
            StepState::Failed => "failed".into(),
            StepState::Running => match &progress.at {
                Some((_, current, total)) if *total > 0 => {
                    format!("{} %", current.saturating_mul(100) / total)
                }
                Some(_) | None => {
                    let seconds = (now + self.clock_skew - progress.started.unwrap_or_default()) / 1000.0;
                    // Tenths would flicker; below a second there is nothing to say yet.
                    if seconds < 1.0 {
                        "now".into()
                    } else {
                        human::duration(seconds.floor() * 1000.0).replace(".0", "")
                    }
                }
            },
            StepState::Idle | StepState::Waiting if progress.was_stopped() => "stopped".into(),
            StepState::Idle | StepState::Waiting => String::new(),
        }
    }

    /// How much is done.
    pub fn tally(&self) -> Tally {
        let counted: Vec<&Digest> = if self.steps.is_empty() {
            self.progress.iter().map(|progress| &progress.vertex).collect()
        } else {
            self.steps.iter().collect()
        };
        let mut tally = Tally {
            all: counted.len(),
            ..Tally::default()
        };
        for vertex in counted {
            match self.step_state(vertex) {
                StepState::Cached => {
                    tally.cached += 1;
                    tally.ended += 1;
                }
                StepState::Done => tally.ended += 1,
                StepState::Idle | StepState::Waiting | StepState::Running | StepState::Failed => {}
            }
        }
        tally
    }

    /// How long it has been going on, or took, in milliseconds.
    pub fn elapsed(&self, now: f64) -> f64 {
        let Some((first, last)) = self.times else {
            return 0.0;
        };
        if self.phase == Phase::Running {
            (now + self.clock_skew - first).max(last - first)
        } else {
            last - first
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn digest(name: &str) -> Digest {
        Digest::of(name.as_bytes())
    }

    fn build() -> Build {
        let steps = vec![digest("a"), digest("b"), digest("c")];
        Build::new("1".into(), "test".into(), digest("plan"), steps)
    }

    fn vertex(name: &str) -> Vertex {
        Vertex {
            digest: digest(name),
            inputs: vec![],
            name: format!("[{name}] RUN {name}"),
            started: None,
            completed: None,
            cached: false,
            error: String::new(),
            reason: String::new(),
        }
    }

    fn running(name: &str) -> Vertex {
        Vertex {
            started: Some("2026-01-01T00:00:00Z".into()),
            ..vertex(name)
        }
    }

    fn ended(name: &str) -> Vertex {
        Vertex {
            completed: Some("2026-01-01T00:00:04.2Z".into()),
            ..running(name)
        }
    }

    fn cached(name: &str) -> Vertex {
        Vertex {
            cached: true,
            completed: Some("2026-01-01T00:00:00Z".into()),
            ..running(name)
        }
    }

    fn status(seq: u64, vertexes: Vec<Vertex>) -> BuildEvent {
        event(
            seq,
            Event::Status(SolveStatus {
                vertexes,
                ..SolveStatus::default()
            }),
        )
    }

    fn event(seq: u64, event: Event) -> BuildEvent {
        BuildEvent {
            id: "1".into(),
            seq,
            event,
        }
    }

    #[test]
    fn steps_are_numbered_as_they_begin_not_as_they_are_announced() {
        let mut build = build();
        build.apply(&status(1, vec![vertex("a"), vertex("b"), vertex("c")]), 0.0);
        assert_eq!(lines(&build), Vec::<String>::new());
        build.apply(&status(2, vec![running("c")]), 0.0);
        build.apply(&status(3, vec![running("a")]), 0.0);
        assert_eq!(lines(&build), ["#1 [c] RUN c", "#2 [a] RUN a"]);
        assert_eq!(
            build.numbered(1).map(|progress| progress.vertex.clone()),
            Some(digest("c"))
        );
        assert_eq!(build.numbered(0), None);
    }

    fn printed(seq: u64, name: &str, text: &[u8]) -> BuildEvent {
        let log = VertexLog {
            vertex: digest(name),
            stream: 1,
            data: text.into(),
            timestamp: "2026-01-01T00:00:01Z".into(),
        };
        event(
            seq,
            Event::Status(SolveStatus {
                logs: vec![log],
                ..SolveStatus::default()
            }),
        )
    }

    fn lines(build: &Build) -> Vec<String> {
        build
            .log
            .lines()
            .iter()
            .map(|line| format!("#{} {}", line.number, line.text))
            .collect()
    }

    #[test]
    fn steps_go_through_their_states() {
        let mut build = build();
        assert_eq!(build.step_state(&digest("a")), StepState::Waiting);
        assert_eq!(build.step_state(&digest("elsewhere")), StepState::Idle);
        build.apply(&status(1, vec![cached("a"), running("b")]), 0.0);
        assert_eq!(build.step_state(&digest("a")), StepState::Cached);
        assert_eq!(build.step_state(&digest("b")), StepState::Running);
        build.apply(&status(2, vec![ended("b")]), 0.0);
        assert_eq!(build.step_detail(&digest("b"), 0.0), "4.2 s");
        assert_eq!(
            build.tally(),
            Tally {
                all: 3,
                ended: 2,
                cached: 1
            }
        );
        assert_eq!(build.step_state(&digest("c")), StepState::Waiting);
    }

    #[test]
    fn an_event_seen_twice_counts_once() {
        let mut build = build();
        build.apply(&status(1, vec![running("a")]), 0.0);
        let first = printed(2, "a", b"once\n");
        build.apply(&first, 0.0);
        build.apply(&first, 0.0);
        assert_eq!(lines(&build), ["#1 [a] RUN a", "#1 once"]);
        build.apply(
            &BuildEvent {
                id: "2".into(),
                ..printed(3, "a", b"other\n")
            },
            0.0,
        );
        assert_eq!(build.last_seq, 2);
    }

    #[test]
    fn the_log_names_each_step_once_and_says_how_it_ended() {
        let mut build = build();
        build.apply(&status(1, vec![running("a"), cached("b")]), 0.0);
        build.apply(&printed(2, "a", b"half a li"), 0.0);
        build.apply(&printed(3, "a", b"ne\nno end"), 0.0);
        build.apply(&status(4, vec![ended("a")]), 0.0);
        build.apply(&status(5, vec![ended("a")]), 0.0);
        assert_eq!(
            lines(&build),
            [
                "#1 [a] RUN a",
                "#2 [b] RUN b",
                "#2 cached",
                "#1 half a line",
                "#1 no end",
                "#1 done in 4.2 s"
            ]
        );
    }

    #[test]
    fn a_failure_marks_its_step_and_stops_the_others() {
        let mut build = build();
        build.apply(&status(1, vec![running("a"), running("b")]), 0.0);
        let failure = BuildFailure {
            message: "exit code 1".into(),
            vertex: Some(digest("b")),
            exit_code: Some(1),
        };
        build.apply(&event(2, Event::Failed(failure)), 0.0);
        assert_eq!(build.phase, Phase::Failed);
        assert_eq!(build.step_state(&digest("b")), StepState::Failed);
        assert_eq!(build.step_state(&digest("a")), StepState::Idle);
        assert_eq!(lines(&build).last().map(String::as_str), Some("#0 exit code 1"));
    }

    #[test]
    fn a_step_that_ends_because_its_build_does_has_not_failed() {
        for said in ["cancelled", "process did not complete: context canceled"] {
            let mut build = build();
            let mut vertex = ended("a");
            vertex.error = said.to_owned();
            build.apply(&status(1, vec![vertex]), 0.0);
            build.apply(&event(2, Event::Cancelled), 0.0);
            assert_eq!(build.step_state(&digest("a")), StepState::Idle);
            assert_eq!(build.step_detail(&digest("a"), 0.0), "stopped");
            assert_eq!(lines(&build), ["#1 [a] RUN a", "#1 stopped", "#0 cancelled"]);
        }
    }

    #[test]
    fn a_lost_build_keeps_what_was_finished() {
        let mut build = build();
        build.apply(&status(1, vec![ended("a"), running("b")]), 0.0);
        build.apply_state(BuildState::Running);
        assert_eq!(build.phase, Phase::Running);
        build.apply_state(BuildState::Lost);
        assert_eq!(build.phase, Phase::Lost);
        assert_eq!(build.step_state(&digest("a")), StepState::Done);
        assert_eq!(build.step_state(&digest("b")), StepState::Idle);
    }

    #[test]
    fn the_last_word_of_a_lost_build_does_not_blame_a_step() {
        let mut build = build();
        build.apply_state(BuildState::Lost);
        build.apply(&status(1, vec![running("a")]), 0.0);
        let failure = BuildFailure {
            message: "the worker stopped\nbuild it again".into(),
            vertex: None,
            exit_code: None,
        };
        build.apply(&event(2, Event::Failed(failure)), 0.0);
        assert_eq!(build.phase, Phase::Lost);
        assert_eq!(
            lines(&build),
            ["#1 [a] RUN a", "#0 the worker stopped", "#0 build it again"]
        );
    }

    #[test]
    fn the_workers_clock_counts_not_the_pages() {
        let mut build = build();
        let page_clock = 5_000.0;
        build.apply(&status(1, vec![running("a")]), page_clock);
        assert_eq!(build.step_detail(&digest("a"), page_clock + 300.0), "now");
        assert_eq!(build.step_detail(&digest("a"), page_clock + 3_400.0), "3 s");
        assert!((build.elapsed(page_clock + 2_000.0) - 2_000.0).abs() < 1.0);
    }

    #[test]
    fn progress_within_a_step_is_a_share() {
        let mut build = build();
        build.apply(&status(1, vec![running("a")]), 0.0);
        let part = VertexStatus {
            id: "blob".into(),
            vertex: digest("a"),
            name: "transferring".into(),
            current: 3,
            total: 8,
            timestamp: "2026-01-01T00:00:01Z".into(),
            started: None,
            completed: None,
        };
        build.apply(
            &event(
                2,
                Event::Status(SolveStatus {
                    statuses: vec![part],
                    ..SolveStatus::default()
                }),
            ),
            0.0,
        );
        assert_eq!(build.step_detail(&digest("a"), 0.0), "37 %");
    }
}

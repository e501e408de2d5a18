//! The record of one build: a summary, and its events, numbered from 1 without gaps.
//!
//! On disk a build is a folder named by its number, with `build.json` (the summary and the image) and `events.jsonl`
//! (one event a line). Where it was asked for by a request, that is kept in two forms, which are the asker's: `asked.json` as it may
//! be told, and `request.json` with all that it takes to begin anew, which is there until the build has ended. While a build is at
//! work its events are also kept in memory; afterwards they are read from disk when someone asks.
//!
//! Beside the folders, `next` has the number of the next build, where that does not follow from them: others name builds by
//! their numbers after those are forgotten.

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    BuildEvent, BuildFailure, BuildId, BuildState, BuildSummary, Event, ImageSummary, SolveStatus,
};
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::BuildsError;
use super::tally::{Figures, Tally};
use crate::backend::{task, timestamp};
use crate::whole_file;

pub(super) const SUMMARY_FILE: &str = "build.json";
pub(super) const EVENTS_FILE: &str = "events.jsonl";
pub(super) const KEPT_FILE: &str = "request.json";
const ASKED_FILE: &str = "asked.json";
const NEXT_FILE: &str = "next";

/// What a build was asked for.
#[derive(Clone, Copy)]
pub(super) struct KeptRequest<'a> {
    /// All that it takes to begin anew.
    pub(super) kept: &'a [u8],
    /// As it may be told.
    pub(super) told: &'a [u8],
    /// Whether the first is enough by itself.
    pub(super) resumable: bool,
}

/// What `build.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) summary: BuildSummary,
    #[serde(default)]
    pub(super) image: Option<ImageSummary>,
    /// How its steps went, once it is over.
    #[serde(default)]
    pub(super) tally: Option<Tally>,
    /// The build that was asked for in its place before it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) superseded_by: Option<BuildId>,
    /// Why it did not end well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) failure: Option<BuildFailure>,
    /// Whether something was kept of what it was asked for. Whoever does not say may have.
    #[serde(default = "yes")]
    pub(super) asked: bool,
}

fn yes() -> bool {
    true
}

/// One build, at work or past.
pub(super) struct Record {
    directory: PathBuf,
    limit: u64,
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
    /// Cancelled when someone asks for it.
    pub(super) cancel: CancellationToken,
    /// Whether it was kept what was asked for, so that the next worker goes by the record.
    is_kept: bool,
    /// Whether what is kept is enough to begin anew.
    resumable: bool,
    /// Whether it is to stay in the queue for the next worker.
    interrupted: AtomicBool,
}

struct Inner {
    stored: Stored,
    /// The events so far, while the build is at work.
    live: Option<Live>,
}

struct Live {
    events: Vec<Arc<BuildEvent>>,
    /// `None` once a write failed: from then on the events are only in memory.
    file: Option<File>,
    written: u64,
    full: bool,
    tally: Tally,
}

impl Record {
    /// A new build's record, on disk when this returns.
    pub(super) fn create(
        root: &Path,
        number: u64,
        title: String,
        digest: Digest,
        limit: u64,
        asked: Option<KeptRequest<'_>>,
    ) -> Result<Arc<Self>, BuildsError> {
        let directory = root.join(number.to_string());
        let failed = |error: std::io::Error| records_error(&directory, &error);
        let summary = BuildSummary {
            id: number.to_string(),
            title,
            digest,
            state: BuildState::Queued,
            created: timestamp(),
            last_seq: 0,
        };
        let stored = Stored {
            summary,
            image: None,
            tally: None,
            superseded_by: None,
            failure: None,
            asked: asked.is_some(),
        };
        fs::create_dir(&directory).map_err(failed)?;
        let begun = begin(root, &directory, &stored, asked);
        let file = begun.map_err(|error| {
            // Its asker is told that there is no such build, so the next worker must not find one.
            remove(root, number);
            failed(error)
        })?;
        let live = Live {
            events: Vec::new(),
            file: Some(file),
            written: 0,
            full: false,
            tally: Tally::default(),
        };
        Ok(Arc::new(Self {
            directory,
            limit,
            inner: Mutex::new(Inner {
                stored,
                live: Some(live),
            }),
            newest: watch::Sender::new(0),
            cancel: CancellationToken::new(),
            is_kept: asked.is_some(),
            resumable: asked.is_some_and(|asked| asked.resumable),
            interrupted: AtomicBool::new(false),
        }))
    }

    fn write_summary(&self, stored: &Stored) -> std::io::Result<()> {
        if self.is_kept {
            // After a power loss an empty file in its place would be the end of a build that somebody waits for.
            write_summary_through(&self.directory, stored)
        } else {
            write_summary(&self.directory, stored)
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn id(&self) -> BuildId {
        self.lock().stored.summary.id.clone()
    }

    pub(super) fn summary(&self) -> BuildSummary {
        self.lock().stored.summary.clone()
    }

    pub(super) fn image(&self) -> Option<ImageSummary> {
        self.lock().stored.image.clone()
    }

    /// How its steps went so far.
    pub(super) fn figures(&self) -> Figures {
        let inner = self.lock();
        let tally = inner
            .stored
            .tally
            .as_ref()
            .or(inner.live.as_ref().map(|live| &live.tally));
        tally.map(Tally::figures).unwrap_or_default()
    }

    /// Whether its last event has been recorded.
    pub(super) fn ended(&self) -> bool {
        has_ended(self.lock().stored.summary.state)
    }

    /// Waits for its last event.
    pub(super) async fn wait(&self) {
        let mut newest = self.newest.subscribe();
        loop {
            newest.borrow_and_update();
            if self.ended() || newest.changed().await.is_err() {
                return;
            }
        }
    }

    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    pub(super) fn superseded_by(&self) -> Option<BuildId> {
        self.lock().stored.superseded_by.clone()
    }

    pub(super) fn failure(&self) -> Option<BuildFailure> {
        self.lock().stored.failure.clone()
    }

    /// What it takes to begin anew, until it has ended.
    pub(super) fn kept(&self) -> Option<Vec<u8>> {
        fs::read(self.directory.join(KEPT_FILE)).ok()
    }

    /// What was asked for as it may be told, where that was kept.
    pub(super) fn asked(&self) -> Option<Vec<u8>> {
        fs::read(self.directory.join(ASKED_FILE)).ok()
    }

    /// It is the build's turn. Says whether it still wants it.
    pub(super) fn started(&self) -> bool {
        let mut inner = self.lock();
        if has_ended(inner.stored.summary.state) {
            return false;
        }
        inner.stored.summary.state = BuildState::Running;
        true
    }

    /// What it carries out is known.
    pub(super) fn planned(&self, digest: Digest) {
        let mut inner = self.lock();
        inner.stored.summary.digest = digest;
        if let Err(error) = self.write_summary(&inner.stored) {
            tracing::warn!(directory = %self.directory.display(), %error, "a build's plan cannot be recorded");
        }
    }

    /// Another build does all that this one was to do. One that has begun goes on.
    pub(super) fn supersede(&self, by: &str) {
        let mut inner = self.lock();
        if inner.stored.summary.state != BuildState::Queued {
            return;
        }
        inner.stored.superseded_by = Some(by.to_owned());
        let mut vertex = task("superseded", &inner.stored.summary.id);
        vertex.completed.clone_from(&vertex.started);
        vertex.reason = format!("Build {by} was asked for in its place before it began.");
        let status = SolveStatus {
            vertexes: vec![vertex],
            ..SolveStatus::default()
        };
        self.append_to(inner, Event::Status(status));
        self.append(Event::Cancelled);
        self.cancel.cancel();
    }

    /// The worker is to end: where it can begin anew it stays in the queue, else it is cancelled.
    pub(super) fn interrupt(&self) {
        // What somebody has cancelled before is not begun again.
        if !self.cancel.is_cancelled() {
            self.interrupted.store(self.resumable, Ordering::Release);
            self.cancel.cancel();
        }
    }

    /// Its work has ended before it was done.
    pub(super) fn give_up(&self) {
        if !self.interrupted.load(Ordering::Acquire) {
            self.append(Event::Cancelled);
            return;
        }
        let mut inner = self.lock();
        if has_ended(inner.stored.summary.state) {
            return;
        }
        inner.stored.summary.state = BuildState::Queued;
        let written = self
            .write_summary(&inner.stored)
            .and_then(|()| flush(&self.directory));
        if let Err(error) = written {
            tracing::warn!(directory = %self.directory.display(), %error, "a waiting build cannot be recorded");
        }
    }

    /// It cannot go on.
    pub(super) fn lose(&self, why: &str) {
        let failure = Event::Failed(lost(why));
        self.append_as(self.lock(), failure, Some(BuildState::Lost));
    }

    /// Numbers an event, records it and wakes whoever follows. What comes after the last event is dropped.
    pub(super) fn append(&self, event: Event) {
        self.append_to(self.lock(), event);
    }

    fn append_to(&self, inner: MutexGuard<'_, Inner>, event: Event) {
        let end = terminal_state(&event);
        self.append_as(inner, event, end);
    }

    /// The same; `terminal` is how the build stands after it, where it is the last.
    fn append_as(&self, mut inner: MutexGuard<'_, Inner>, event: Event, terminal: Option<BuildState>) {
        if has_ended(inner.stored.summary.state) {
            return;
        }
        let Inner { stored, live } = &mut *inner;
        let Some(current) = live else { return };
        let Some(event) = current.within_limit(event, self.limit) else {
            return;
        };
        current.tally.count(&event);
        match &event {
            Event::Done(image) => stored.image = Some(image.clone()),
            Event::Failed(failure) => stored.failure = Some(failure.clone()),
            Event::Status(_) | Event::Layer(_) | Event::Cancelled => {}
        }
        let seq = stored.summary.last_seq + 1;
        stored.summary.last_seq = seq;
        let event = BuildEvent {
            id: stored.summary.id.clone(),
            seq,
            event,
        };
        current.write(&event, &self.directory);
        current.events.push(Arc::new(event));
        let mut is_recorded = terminal.is_some();
        if let Some(state) = terminal {
            stored.summary.state = state;
            stored.tally = Some(current.tally.clone());
            match self.write_summary(stored) {
                Ok(()) if current.file.is_some() => *live = None,
                Ok(()) => {}
                Err(error) => {
                    is_recorded = false;
                    tracing::warn!(directory = %self.directory.display(), %error, "a build's end cannot be recorded");
                }
            }
        }
        drop(inner);
        self.newest.send_replace(seq);
        // Nobody has to wait for the disk: a worker that is killed loses nothing that was written.
        if is_recorded
            && let Err(error) = flush(&self.directory).and_then(|()| drop_kept(&self.directory))
            // One that was forgotten meanwhile is missed by nobody.
            && error.kind() != ErrorKind::NotFound
        {
            tracing::warn!(directory = %self.directory.display(), %error, "a build's record could not be flushed");
        }
    }

    /// Up to [`BATCH`] events after `since`.
    fn after(&self, since: u64) -> After {
        let inner = self.lock();
        let past = has_ended(inner.stored.summary.state);
        let Some(live) = &inner.live else {
            return After::OnDisk;
        };
        let start = usize::try_from(since).unwrap_or(usize::MAX);
        let events: VecDeque<_> = live.events.iter().skip(start).take(BATCH).cloned().collect();
        if !events.is_empty() {
            After::Some(events)
        } else if past {
            After::End
        } else {
            After::Later
        }
    }
}

/// How many events a follower takes at a time, so that one that lags does not hold the lock for long.
const BATCH: usize = 256;

/// How much of a past build's record is read at a time.
const BATCH_BYTES: usize = 64 << 10;

/// Who reads records at a time. Each takes a thread, whose memory is worth more than what it reads.
static READERS: Semaphore = Semaphore::const_new(4);

enum After {
    Some(VecDeque<Arc<BuildEvent>>),
    Later,
    OnDisk,
    End,
}

impl Live {
    /// Keeps a record from growing past its limit: past it, logs and progress are dropped (once with a note), while
    /// steps' states, layers and the end are always recorded.
    fn within_limit(&mut self, event: Event, limit: u64) -> Option<Event> {
        if self.written < limit {
            return Some(event);
        }
        let Event::Status(status) = event else {
            return Some(event);
        };
        if !self.full {
            self.full = true;
            tracing::warn!(limit, "a build's record is full: its logs are no longer recorded");
        }
        let kept = SolveStatus {
            vertexes: status.vertexes,
            statuses: Vec::new(),
            logs: Vec::new(),
            warnings: status.warnings,
        };
        (!kept.vertexes.is_empty() || !kept.warnings.is_empty()).then_some(Event::Status(kept))
    }

    fn write(&mut self, event: &BuildEvent, directory: &Path) {
        let Some(file) = &mut self.file else { return };
        let written = serde_json::to_vec(event)
            .map_err(std::io::Error::other)
            .and_then(|mut line| {
                line.push(b'\n');
                file.write_all(&line).map(|()| line.len() as u64)
            });
        match written {
            Ok(bytes) => self.written += bytes,
            Err(error) => {
                tracing::warn!(directory = %directory.display(), %error, "a build's events cannot be recorded");
                self.file = None;
            }
        }
    }
}

/// Whether a build in that state has had its last event.
fn has_ended(state: BuildState) -> bool {
    match state {
        BuildState::Queued | BuildState::Running => false,
        BuildState::Done | BuildState::Failed | BuildState::Cancelled | BuildState::Lost => true,
    }
}

/// The state a build is in after `event`, where that is its last.
fn terminal_state(event: &Event) -> Option<BuildState> {
    match event {
        Event::Done(_) => Some(BuildState::Done),
        Event::Failed(_) => Some(BuildState::Failed),
        Event::Cancelled => Some(BuildState::Cancelled),
        Event::Status(_) | Event::Layer(_) => None,
    }
}

pub(super) fn records_error(path: &Path, error: &std::io::Error) -> BuildsError {
    BuildsError::Records {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}

/// Written beside its place and renamed, so that a reader finds the old text or the new one.
fn write_summary(directory: &Path, stored: &Stored) -> std::io::Result<()> {
    let temporary = directory.join("build.json.new");
    fs::write(&temporary, serde_json::to_vec(stored)?)?;
    fs::rename(&temporary, directory.join(SUMMARY_FILE))
}

/// The same, and on the disk before it takes the old one's place.
fn write_summary_through(directory: &Path, stored: &Stored) -> std::io::Result<()> {
    whole_file::replace(&directory.join(SUMMARY_FILE), &serde_json::to_vec(stored)?)
}

/// Sees to it that a record is on the disk.
fn flush(directory: &Path) -> std::io::Result<()> {
    for name in [EVENTS_FILE, SUMMARY_FILE] {
        File::open(directory.join(name))?.sync_data()?;
    }
    File::open(directory)?.sync_all()
}

/// Removes a build's record from disk.
pub(super) fn remove(root: &Path, number: u64) {
    let directory = root.join(number.to_string());
    if let Err(error) = fs::remove_dir_all(&directory) {
        tracing::warn!(directory = %directory.display(), %error, "a forgotten build's record could not be removed");
    }
}

/// The number of the next build as it was noted; 1 where none was.
pub(super) fn noted(root: &Path) -> Result<u64, BuildsError> {
    let path = root.join(NEXT_FILE);
    let text = match fs::read_to_string(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(1),
        Err(error) => return Err(records_error(&path, &error)),
    };
    text.trim().parse().map_err(|error| {
        let reason = format!("{error}; remove the file to number builds after those that are left");
        BuildsError::Records { path, reason }
    })
}

/// Notes the number of the next build.
pub(super) fn note(root: &Path, next: u64) -> Result<(), BuildsError> {
    let path = root.join(NEXT_FILE);
    whole_file::replace(&path, next.to_string().as_bytes()).map_err(|error| records_error(&path, &error))
}

/// Takes up a record that begins with `summary`. A build that had not ended is closed as lost, but where it `may_wait` and it was
/// kept what was asked for: then it is queued.
pub(super) fn open(directory: &Path, summary: &[u8], limit: u64, may_wait: bool) -> std::io::Result<Record> {
    let mut stored: Stored = serde_json::from_slice(summary)?;
    let mut live = None;
    if matches!(stored.summary.state, BuildState::Queued | BuildState::Running) {
        let mended = mend(directory, &mut stored)?;
        if may_wait && stored.tally.is_none() && directory.join(KEPT_FILE).is_file() {
            stored.summary.state = BuildState::Queued;
            live = Some(mended);
        } else {
            close(directory, &mut stored, mended)?;
        }
    }
    // Not looked for in vain: most builds are not asked for by a request.
    if live.is_none() && stored.asked {
        drop_kept(directory)?;
    }
    let is_kept = live.is_some();
    let newest = watch::Sender::new(stored.summary.last_seq);
    let inner = Mutex::new(Inner { stored, live });
    Ok(Record {
        directory: directory.to_owned(),
        limit,
        inner,
        newest,
        cancel: CancellationToken::new(),
        is_kept,
        resumable: true,
        interrupted: AtomicBool::new(false),
    })
}

/// Reads the events of a build that the worker died under, and cuts a torn last line off.
fn mend(directory: &Path, stored: &mut Stored) -> std::io::Result<Live> {
    let path = directory.join(EVENTS_FILE);
    let file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .append(true)
        .open(&path)?;
    let mut whole = 0_u64;
    let mut events: Vec<Arc<BuildEvent>> = Vec::new();
    for line in BufReader::new(&file).split(b'\n') {
        let line = line?;
        let Ok(event) = serde_json::from_slice::<BuildEvent>(&line) else {
            break;
        };
        if event.seq != events.len() as u64 + 1 {
            break;
        }
        whole += line.len() as u64 + 1;
        let ended = terminal_state(&event.event).is_some();
        events.push(Arc::new(event));
        if ended {
            break;
        }
    }
    // A last line without its newline was cut before the newline: it counts as torn.
    let length = file.metadata()?.len();
    if whole > length {
        events.pop();
        whole = last_line_start(&path, whole)?;
    }
    file.set_len(whole)?;
    let mut tally = Tally::default();
    for event in &events {
        tally.count(&event.event);
    }
    stored.summary.last_seq = events.len() as u64;
    if let Some(last) = events.last()
        && let Some(state) = terminal_state(&last.event)
    {
        stored.summary.state = state;
        stored.tally = Some(tally.clone());
        match &last.event {
            Event::Done(image) => stored.image = Some(image.clone()),
            Event::Failed(failure) => stored.failure = Some(failure.clone()),
            Event::Status(_) | Event::Layer(_) | Event::Cancelled => {}
        }
    }
    Ok(Live {
        events,
        file: Some(file),
        written: whole,
        full: false,
        tally,
    })
}

/// Ends the record of a build that the worker died under: a last event is added where there is none.
fn close(directory: &Path, stored: &mut Stored, mut live: Live) -> std::io::Result<()> {
    if stored.tally.is_none() {
        let failure = lost(
            "The worker stopped while this build was running. The steps it had finished are kept: start the build again and \
             it goes on from there.",
        );
        stored.tally = Some(live.tally.clone());
        stored.summary.state = BuildState::Lost;
        stored.summary.last_seq += 1;
        stored.failure = Some(failure.clone());
        let event = BuildEvent {
            id: stored.summary.id.clone(),
            seq: stored.summary.last_seq,
            event: Event::Failed(failure),
        };
        live.write(&event, directory);
    }
    write_summary_through(directory, stored)?;
    flush(directory)
}

fn lost(why: &str) -> BuildFailure {
    BuildFailure {
        message: why.to_owned(),
        vertex: None,
        exit_code: None,
    }
}

/// Writes what a build's folder begins with. Gives the file for its events.
fn begin(
    root: &Path,
    directory: &Path,
    stored: &Stored,
    asked: Option<KeptRequest<'_>>,
) -> std::io::Result<File> {
    if let Some(asked) = asked {
        keep(&directory.join(ASKED_FILE), asked.told)?;
        keep(&directory.join(KEPT_FILE), asked.kept)?;
    }
    write_summary(directory, stored)?;
    let file = File::create_new(directory.join(EVENTS_FILE))?;
    if asked.is_some() {
        // Whoever asked is told that it is in the queue, and does not ask again.
        flush(directory)?;
        File::open(root)?.sync_all()?;
    }
    Ok(file)
}

/// Keeps what was asked for, for the owner's eyes only.
fn keep(path: &Path, kept: &[u8]) -> std::io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    file.write_all(kept)?;
    file.sync_all()
}

/// Drops what it took to begin anew, in which there are passwords of addresses and keys: the build has ended.
pub(super) fn drop_kept(directory: &Path) -> std::io::Result<()> {
    match fs::remove_file(directory.join(KEPT_FILE)) {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Where the line that ends at `end` begins.
fn last_line_start(path: &Path, end: u64) -> std::io::Result<u64> {
    let content = fs::read(path)?;
    let end = usize::try_from(end).unwrap_or(usize::MAX).min(content.len());
    let before = content.get(..end).unwrap_or_default();
    Ok(before
        .iter()
        .rposition(|byte| *byte == b'\n')
        .map_or(0, |at| at as u64 + 1))
}

/// The events of a past build, read from disk as they are wanted: who takes them slowly holds none of them meanwhile.
struct Reading(BufReader<File>);

impl Reading {
    fn open(directory: &Path) -> std::io::Result<Self> {
        File::open(directory.join(EVENTS_FILE)).map(|file| Self(BufReader::new(file)))
    }

    /// Some more of those with a number above `since`; none where there are no more. An event may be large, so that what is
    /// read at once is counted in bytes.
    fn some(&mut self, since: u64) -> VecDeque<Arc<BuildEvent>> {
        #[derive(Deserialize)]
        struct Numbered {
            seq: u64,
        }
        let mut events = VecDeque::new();
        let (mut line, mut bytes) = (Vec::new(), 0);
        while bytes < BATCH_BYTES {
            line.clear();
            if !matches!(self.0.read_until(b'\n', &mut line), Ok(1..)) {
                break;
            }
            match serde_json::from_slice::<Numbered>(&line) {
                Ok(Numbered { seq }) if seq <= since => {}
                Ok(_) => {
                    let Ok(event) = serde_json::from_slice(&line) else {
                        break;
                    };
                    bytes += line.len();
                    events.push_back(Arc::new(event));
                }
                Err(_) => break,
            }
        }
        events
    }
}

/// The events of one build: those of the past, then live ones, in order, each once. It ends after the last event.
pub struct EventStream(BoxStream<'static, Arc<BuildEvent>>);

impl EventStream {
    pub(super) fn new(record: Arc<Record>, since: u64) -> Self {
        let newest = record.newest.subscribe();
        let follower = Follower {
            record,
            cursor: since,
            ready: VecDeque::new(),
            newest,
            reading: None,
        };
        Self(Box::pin(futures_util::stream::unfold(
            follower,
            |mut follower| async move {
                let event = follower.next().await?;
                Some((event, follower))
            },
        )))
    }
}

impl Stream for EventStream {
    type Item = Arc<BuildEvent>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.as_mut().poll_next(context)
    }
}

struct Follower {
    record: Arc<Record>,
    /// Number of the last event that was given out.
    cursor: u64,
    ready: VecDeque<Arc<BuildEvent>>,
    newest: watch::Receiver<u64>,
    /// Once the build is over.
    reading: Option<Reading>,
}

impl Follower {
    async fn next(&mut self) -> Option<Arc<BuildEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.cursor = event.seq;
                return Some(event);
            }
            if let Some(mut reading) = self.reading.take() {
                let cursor = self.cursor;
                let _turn = READERS.acquire().await.ok()?;
                let read = tokio::task::spawn_blocking(move || {
                    let events = reading.some(cursor);
                    (reading, events)
                });
                let (reading, events) = read.await.ok()?;
                if events.is_empty() {
                    return None;
                }
                (self.reading, self.ready) = (Some(reading), events);
                continue;
            }
            // What is there is marked as seen before it is read, so that an event between the two wakes us again.
            self.newest.borrow_and_update();
            match self.record.after(self.cursor) {
                After::Some(events) => self.ready = events,
                After::End => return None,
                After::Later => self.newest.changed().await.ok()?,
                After::OnDisk => {
                    let directory = &self.record.directory;
                    match Reading::open(directory) {
                        Ok(reading) => self.reading = Some(reading),
                        Err(error) => {
                            tracing::warn!(directory = %directory.display(), %error, "a build's events cannot be read");
                            return None;
                        }
                    }
                }
            }
        }
    }
}

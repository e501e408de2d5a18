//! The record of one build: a summary, and its events, numbered from 1 without gaps.
//!
//! On disk a build is a folder named by its number, with `build.json` (the summary and the image) and `events.jsonl`
//! (one event a line). While a build is at work its events are also kept in memory; afterwards they are read from
//! disk when someone asks.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};

use futures_util::Stream;
use futures_util::stream::BoxStream;
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    BuildEvent, BuildFailure, BuildId, BuildState, BuildSummary, Event, ImageSummary, SolveStatus,
};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::BuildsError;
use super::tally::{Figures, Tally};
use crate::backend::timestamp;

pub(super) const SUMMARY_FILE: &str = "build.json";
pub(super) const EVENTS_FILE: &str = "events.jsonl";

/// What `build.json` holds.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Stored {
    pub(super) summary: BuildSummary,
    #[serde(default)]
    pub(super) image: Option<ImageSummary>,
    /// How its steps went, once it is over.
    #[serde(default)]
    pub(super) tally: Option<Tally>,
}

/// One build, at work or past.
pub(super) struct Record {
    directory: PathBuf,
    limit: u64,
    inner: Mutex<Inner>,
    newest: watch::Sender<u64>,
    /// Cancelled when someone asks for it.
    pub(super) cancel: CancellationToken,
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
    ) -> Result<Arc<Self>, BuildsError> {
        let directory = root.join(number.to_string());
        let failed = |error: std::io::Error| records_error(&directory, &error);
        fs::create_dir(&directory).map_err(failed)?;
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
        };
        write_summary(&directory, &stored).map_err(failed)?;
        let file = File::create_new(directory.join(EVENTS_FILE)).map_err(failed)?;
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
        }))
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

    /// It is the build's turn.
    pub(super) fn started(&self) {
        self.lock().stored.summary.state = BuildState::Running;
    }

    /// Numbers an event, records it and wakes whoever follows. What comes after the last event is dropped.
    pub(super) fn append(&self, event: Event) {
        let mut inner = self.lock();
        if has_ended(inner.stored.summary.state) {
            return;
        }
        let Inner { stored, live } = &mut *inner;
        let Some(current) = live else { return };
        let Some(event) = current.within_limit(event, self.limit) else {
            return;
        };
        let terminal = terminal_state(&event);
        current.tally.count(&event);
        if let Event::Done(image) = &event {
            stored.image = Some(image.clone());
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
        if let Some(state) = terminal {
            stored.summary.state = state;
            stored.tally = Some(current.tally.clone());
            match write_summary(&self.directory, stored) {
                Ok(()) if current.file.is_some() => *live = None,
                Ok(()) => {}
                Err(error) => {
                    tracing::warn!(directory = %self.directory.display(), %error, "a build's end cannot be recorded");
                }
            }
        }
        drop(inner);
        self.newest.send_replace(seq);
        // Nobody has to wait for the disk: a worker that is killed loses nothing that was written.
        if terminal.is_some()
            && let Err(error) = flush(&self.directory)
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

fn records_error(path: &Path, error: &std::io::Error) -> BuildsError {
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

/// Reads the records of past builds. Those that had not ended are closed as lost. Also gives the next free number.
pub(super) fn open_all(root: &Path) -> Result<(u64, BTreeMap<u64, Arc<Record>>), BuildsError> {
    let failed = |error: std::io::Error| records_error(root, &error);
    fs::create_dir_all(root).map_err(failed)?;
    let mut records = BTreeMap::new();
    let mut next = 1;
    for entry in fs::read_dir(root).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let Some(number) = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u64>().ok())
        else {
            continue;
        };
        next = next.max(number.saturating_add(1));
        match open(&entry.path()) {
            Ok(record) => {
                records.insert(number, Arc::new(record));
            }
            // One unreadable record must not keep the worker from starting.
            Err(error) => {
                tracing::warn!(directory = %entry.path().display(), %error, "a build's record is unreadable");
            }
        }
    }
    Ok((next, records))
}

fn open(directory: &Path) -> std::io::Result<Record> {
    let mut stored: Stored = serde_json::from_slice(&fs::read(directory.join(SUMMARY_FILE))?)?;
    if matches!(stored.summary.state, BuildState::Queued | BuildState::Running) {
        close_lost(directory, &mut stored)?;
    }
    let newest = watch::Sender::new(stored.summary.last_seq);
    let inner = Mutex::new(Inner { stored, live: None });
    Ok(Record {
        directory: directory.to_owned(),
        limit: 0,
        inner,
        newest,
        cancel: CancellationToken::new(),
    })
}

/// Ends the record of a build that the worker died under: a torn last line is cut off, a last event is added.
fn close_lost(directory: &Path, stored: &mut Stored) -> std::io::Result<()> {
    let path = directory.join(EVENTS_FILE);
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .append(true)
        .open(&path)?;
    let (mut whole, mut last_seq, mut end) = (0_u64, 0_u64, None);
    let mut tally = Tally::default();
    for line in BufReader::new(&file).split(b'\n') {
        let line = line?;
        let Ok(event) = serde_json::from_slice::<BuildEvent>(&line) else {
            break;
        };
        if event.seq != last_seq + 1 {
            break;
        }
        last_seq = event.seq;
        whole += line.len() as u64 + 1;
        end = terminal_state(&event.event);
        tally.count(&event.event);
        if let Event::Done(image) = event.event {
            stored.image = Some(image);
        }
        if end.is_some() {
            break;
        }
    }
    // A last line without its newline was cut before the newline: it counts as torn.
    let length = file.metadata()?.len();
    if whole > length {
        last_seq -= 1;
        end = None;
        stored.image = None;
        whole = last_line_start(&path, whole)?;
    }
    file.set_len(whole)?;
    stored.tally = Some(tally);
    stored.summary.state = end.unwrap_or(BuildState::Lost);
    if end.is_none() {
        last_seq += 1;
        let message = "The worker stopped while this build was running. The steps it had finished are kept: \
                       start the build again and it goes on from there.";
        let failure = BuildFailure {
            message: message.to_owned(),
            vertex: None,
            exit_code: None,
        };
        let event = BuildEvent {
            id: stored.summary.id.clone(),
            seq: last_seq,
            event: Event::Failed(failure),
        };
        let mut line = serde_json::to_vec(&event)?;
        line.push(b'\n');
        file.write_all(&line)?;
    }
    stored.summary.last_seq = last_seq;
    write_summary(directory, stored)?;
    flush(directory)
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

/// Events with a number above `since`, from disk.
fn read_events(directory: &Path, since: u64) -> VecDeque<Arc<BuildEvent>> {
    let file = match File::open(directory.join(EVENTS_FILE)) {
        Ok(file) => file,
        Err(error) => {
            tracing::warn!(directory = %directory.display(), %error, "a build's events cannot be read");
            return VecDeque::new();
        }
    };
    let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
    lines
        .map_while(|line| serde_json::from_slice::<BuildEvent>(&line).ok())
        .filter(|event| event.seq > since)
        .map(Arc::new)
        .collect()
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
            last_batch: false,
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
    last_batch: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Arc<BuildEvent>> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                self.cursor = event.seq;
                return Some(event);
            }
            if self.last_batch {
                return None;
            }
            // What is there is marked as seen before it is read, so that an event between the two wakes us again.
            self.newest.borrow_and_update();
            match self.record.after(self.cursor) {
                After::Some(events) => self.ready = events,
                After::End => return None,
                After::Later => self.newest.changed().await.ok()?,
                After::OnDisk => {
                    let (directory, cursor) = (self.record.directory.clone(), self.cursor);
                    let read = tokio::task::spawn_blocking(move || read_events(&directory, cursor));
                    self.ready = read.await.unwrap_or_default();
                    self.last_batch = true;
                }
            }
        }
    }
}

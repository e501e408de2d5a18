//! Past builds as their records tell of them, read from the state folder with or without a worker at work in it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use stagewright_core::protocol::{BuildEvent, BuildState, BuildSummary, Event, ImageSummary};

use super::record::{EVENTS_FILE, KEPT_FILE, SUMMARY_FILE, Stored};
use super::tally::Tally;

/// A build that was recorded.
#[derive(Debug, Clone)]
pub struct PastBuild {
    /// What was built, and how it stands.
    pub summary: BuildSummary,
    /// Its image, where it has one.
    pub image: Option<ImageSummary>,
    /// How its steps went.
    pub tally: Tally,
    /// When something was heard of it last, RFC 3339, where its end was not.
    pub heard: Option<String>,
    directory: PathBuf,
}

/// The builds recorded in the folder `state`, newest first. `at_work` says whether a worker is at work there: without
/// one, a build that has not ended never will, unless the next worker takes it up.
pub fn list(state: &Path, at_work: bool) -> io::Result<Vec<PastBuild>> {
    let entries = match fs::read_dir(state.join("builds")) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error),
    };
    let mut builds = Vec::new();
    for entry in entries {
        let entry = entry?;
        let number = entry
            .file_name()
            .to_str()
            .and_then(|name| name.parse::<u64>().ok());
        // One that cannot be read is none; the worker says so when it starts.
        if let Some(number) = number
            && let Some(build) = open(&entry.path(), at_work)
        {
            builds.push((number, build));
        }
    }
    builds.sort_by_key(|(number, _)| std::cmp::Reverse(*number));
    Ok(builds.into_iter().map(|(_, build)| build).collect())
}

/// The build called `id`.
pub fn find(state: &Path, id: &str, at_work: bool) -> Option<PastBuild> {
    // Nothing but a number becomes a path.
    let number: u64 = id.parse().ok()?;
    open(&state.join("builds").join(number.to_string()), at_work)
}

fn open(directory: &Path, at_work: bool) -> Option<PastBuild> {
    let text = fs::read(directory.join(SUMMARY_FILE)).ok()?;
    let mut stored: Stored = serde_json::from_slice(&text).ok()?;
    if !at_work && matches!(stored.summary.state, BuildState::Queued | BuildState::Running) {
        stored.summary.state = if directory.join(KEPT_FILE).is_file() {
            BuildState::Queued
        } else {
            BuildState::Lost
        };
    }
    let mut build = PastBuild {
        summary: stored.summary,
        image: stored.image,
        tally: Tally::default(),
        heard: None,
        directory: directory.to_owned(),
    };
    if let Some(tally) = stored.tally {
        build.tally = tally;
    } else {
        for event in build.events().ok()? {
            build.tally.count(&event.event);
            // Times of one form, in UTC to the nanosecond: what is written last comes last.
            build.heard = build.heard.max(latest(&event.event).map(ToOwned::to_owned));
        }
    }
    Some(build)
}

/// The latest time that an event speaks of.
fn latest(event: &Event) -> Option<&str> {
    let Event::Status(status) = event else {
        return None;
    };
    let steps = status
        .vertexes
        .iter()
        .flat_map(|vertex| [vertex.started.as_deref(), vertex.completed.as_deref()])
        .flatten();
    let parts = status.statuses.iter().map(|part| part.timestamp.as_str());
    let logs = status.logs.iter().map(|log| log.timestamp.as_str());
    steps.chain(parts).chain(logs).max()
}

impl PastBuild {
    /// Its events, in order, up to where the record is torn or still being written.
    pub fn events(&self) -> io::Result<impl Iterator<Item = BuildEvent> + use<>> {
        let file = File::open(self.directory.join(EVENTS_FILE))?;
        let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
        Ok(lines.map_while(|line| serde_json::from_slice(&line).ok()))
    }
}

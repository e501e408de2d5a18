//! Past builds as their records tell of them, read from the state folder with or without a worker at work in it.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use stagewright_core::protocol::{BuildEvent, BuildState, BuildSummary, ImageSummary};

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
        directory: directory.to_owned(),
    };
    if let Some(tally) = stored.tally {
        build.tally = tally;
    } else {
        for event in build.events().ok()? {
            build.tally.count(&event.event);
        }
    }
    Some(build)
}

impl PastBuild {
    /// Its events, in order, up to where the record is torn or still being written.
    pub fn events(&self) -> io::Result<impl Iterator<Item = BuildEvent> + use<>> {
        let file = File::open(self.directory.join(EVENTS_FILE))?;
        let lines = BufReader::new(file).split(b'\n').map_while(Result::ok);
        Ok(lines.map_while(|line| serde_json::from_slice(&line).ok()))
    }
}

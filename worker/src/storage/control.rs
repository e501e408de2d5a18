//! How other commands reach the worker that uses a state folder: a socket in the folder, for its owner only.
//!
//! One request is a line of JSON, and so is its answer. Only the worker knows what its builds hold, so that only it can
//! prune while it runs. Steps of a build see other files, and so not the socket.

use std::fs;
use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Storage;
use super::prune::{Policy, Pruned};
use super::usage::Usage;

/// How long a client may take to say what it wants.
const PATIENCE: Duration = Duration::from_secs(5);
/// Longest request.
const LONGEST_REQUEST: u64 = 1 << 16;

/// What a worker is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Request {
    /// What there is.
    Usage,
    /// Remove what goes by a policy.
    Prune(Policy),
}

/// What it answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Answer {
    /// To [`Request::Usage`].
    Usage(Usage),
    /// To [`Request::Prune`].
    Pruned(Pruned),
    /// It could not be done, for this reason.
    Failed(String),
}

/// A worker that can be reached; it cannot any more once this is dropped.
#[derive(Debug)]
pub struct Reachable {
    path: PathBuf,
}

impl Drop for Reachable {
    fn drop(&mut self) {
        // Where it is gone already, that is as well.
        _ = fs::remove_file(&self.path);
    }
}

/// Whether a worker that serves uses the folder: one that stays, other than a build, which ends.
pub fn is_served(state: &Path) -> bool {
    UnixStream::connect(place(state)).is_ok()
}

fn place(state: &Path) -> PathBuf {
    state.join("control.sock")
}

/// Answers what is asked through the folder `state`, which has to be this process's, as long as the storage lives.
pub fn listen(state: &Path, storage: &Arc<Storage>) -> io::Result<Reachable> {
    let path = place(state);
    // One that a killed worker left behind.
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&path)?;
    fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
    let storage = Arc::downgrade(storage);
    std::thread::Builder::new()
        .name("control".to_owned())
        .spawn(move || {
            for client in listener.incoming() {
                if storage.strong_count() == 0 {
                    return;
                }
                let served = client.and_then(|client| serve(&client, &storage));
                if let Err(error) = served {
                    tracing::debug!(%error, "a command could not be answered");
                }
            }
        })?;
    Ok(Reachable { path })
}

fn serve(client: &UnixStream, storage: &Weak<Storage>) -> io::Result<()> {
    client.set_read_timeout(Some(PATIENCE))?;
    client.set_write_timeout(Some(PATIENCE))?;
    let mut line = String::new();
    BufReader::new(client.take(LONGEST_REQUEST)).read_line(&mut line)?;
    let answer = match (serde_json::from_str::<Request>(&line), storage.upgrade()) {
        (Err(error), _) => Answer::Failed(format!(
            "the worker does not understand the request, and may be of another version: {error}"
        )),
        (Ok(_), None) => Answer::Failed("the worker is about to end".to_owned()),
        (Ok(request), Some(storage)) => {
            let answer = match request {
                Request::Usage => storage.usage().map(Answer::Usage),
                Request::Prune(policy) => storage.prune(&policy).map(Answer::Pruned),
            };
            answer.unwrap_or_else(|error| Answer::Failed(error.to_string()))
        }
    };
    let mut text = serde_json::to_vec(&answer)?;
    text.push(b'\n');
    let mut client = client;
    client.write_all(&text)
}

/// Asks the worker that uses the folder `state`; an error where none can be reached there.
pub fn ask(state: &Path, request: &Request) -> io::Result<Answer> {
    let mut worker = UnixStream::connect(place(state))?;
    let mut text = serde_json::to_vec(request)?;
    text.push(b'\n');
    worker.write_all(&text)?;
    let mut answer = String::new();
    // However long it takes: removing may.
    BufReader::new(worker).read_line(&mut answer)?;
    Ok(serde_json::from_str(&answer)?)
}

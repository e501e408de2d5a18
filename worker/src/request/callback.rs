//! Telling somebody elsewhere that a build has ended. Whoever does not answer is asked again, with growing waits, also by the
//! next worker.
//!
//! ```text
//! <state>/callbacks/<build>.json    who is to be told, how often it was tried, and what came of it; for the owner's eyes only
//! ```

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use serde::{Deserialize, Serialize};
use serde_json::json;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{BuildId, BuildState, base64_bytes};
use tokio_util::sync::CancellationToken;

use super::sign::SigningKey;
use crate::backend::timestamp;
use crate::build::Builds;
use crate::source::address::Network;
use crate::source::http::{Web, shown};
use crate::whole_file;

/// How long it takes until it is tried again.
const WAITS: [Duration; 7] = [
    Duration::from_secs(2),
    Duration::from_secs(10),
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(30),
    Duration::from_hours(2),
    Duration::from_hours(12),
];

/// How long an answer may take.
const ANSWER: Duration = Duration::from_secs(20);

/// Callbacks that are remembered once they are over.
const REMEMBERED: usize = 1000;

/// Who is told that a build has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Callback {
    /// The address, which gets a `POST`.
    pub url: String,
    /// What the message is signed with. It is kept with the callback, since it may take days.
    pub key: Option<SigningKey>,
    /// What was pushed that the build is for.
    pub pushed: Option<Pushed>,
}

/// What was pushed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pushed {
    /// Which hook told of it.
    pub hook: String,
    /// By which delivery.
    pub delivery: String,
    /// The branch or tag, in full.
    #[serde(rename = "ref")]
    pub reference: String,
    /// The commit, where one was named.
    #[serde(default)]
    pub commit: Option<String>,
}

/// What came of a callback so far.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CallbackReport {
    /// The address, without what proves who asks.
    pub url: String,
    /// How it stands.
    pub state: CallbackState,
    /// How often it was tried.
    pub attempts: usize,
    /// What the last attempt came to.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub said: Option<String>,
    /// When it was tried last.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub tried: Option<String>,
}

/// How a callback stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallbackState {
    /// The build has not ended, or it is going to be tried (again).
    Waiting,
    /// It was taken.
    Delivered,
    /// It was tried often enough.
    Failed,
}

/// What is kept of one.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Kept {
    build: BuildId,
    url: String,
    #[serde(default)]
    key: Option<Key>,
    /// Whether the worker's owner wrote its address.
    owner: bool,
    names: Vec<String>,
    #[serde(default)]
    pushed: Option<Pushed>,
    report: CallbackReport,
    /// What is said, once the build has ended: the same at each attempt.
    #[serde(default)]
    message: Option<String>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
struct Key(#[serde(with = "base64_bytes")] Vec<u8>);

/// The callbacks of one worker. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Callbacks {
    shared: Arc<Shared>,
}

struct Shared {
    directory: PathBuf,
    builds: Builds,
    networks: Vec<Network>,
    waits: Vec<Duration>,
    stop: CancellationToken,
    /// Newest last; by the builds' numbers.
    known: Mutex<BTreeMap<u64, Kept>>,
}

impl Callbacks {
    /// Opens those kept in `state`, and goes on with what is not over. Call it on the Tokio runtime.
    pub(crate) fn open(state: &Path, builds: &Builds, networks: &[Network]) -> std::io::Result<Self> {
        Self::open_with(state, builds, networks, WAITS.to_vec())
    }

    /// The same with other waits.
    pub(crate) fn open_with(
        state: &Path,
        builds: &Builds,
        networks: &[Network],
        waits: Vec<Duration>,
    ) -> std::io::Result<Self> {
        let directory = state.join("callbacks");
        fs::create_dir_all(&directory)?;
        let mut known = BTreeMap::new();
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            // What a killed worker had not given its name is none.
            let number = path
                .file_name()
                .and_then(|name| name.to_str()?.strip_suffix(".json")?.parse::<u64>().ok());
            let kept = fs::read(&path)
                .ok()
                .and_then(|text| serde_json::from_slice::<Kept>(&text).ok());
            if let (Some(number), Some(kept)) = (number, kept) {
                known.insert(number, kept);
            }
        }
        let waiting: Vec<u64> = known
            .iter()
            .filter(|(_, kept)| kept.report.state == CallbackState::Waiting)
            .map(|(number, _)| *number)
            .collect();
        let callbacks = Self {
            shared: Arc::new(Shared {
                directory,
                builds: builds.clone(),
                networks: networks.to_vec(),
                waits,
                stop: CancellationToken::new(),
                known: Mutex::new(known),
            }),
        };
        for number in waiting {
            callbacks.follow(number);
        }
        Ok(callbacks)
    }

    /// Sees to it that a build's end is told. `owner` is whether the worker's owner wrote the address.
    pub(crate) fn add(
        &self,
        build: &str,
        callback: &Callback,
        owner: bool,
        names: Vec<String>,
    ) -> std::io::Result<()> {
        let Ok(number) = build.parse::<u64>() else {
            return Ok(());
        };
        let kept = Kept {
            build: build.to_owned(),
            url: callback.url.clone(),
            key: callback.key.as_ref().map(|key| Key(key.reveal().to_vec())),
            owner,
            names,
            pushed: callback.pushed.clone(),
            report: CallbackReport {
                url: shown(&callback.url),
                state: CallbackState::Waiting,
                attempts: 0,
                said: None,
                tried: None,
            },
            message: None,
        };
        {
            let mut known = self.shared.known();
            if known.contains_key(&number) {
                return Ok(());
            }
            self.shared.write(number, &kept)?;
            known.insert(number, kept);
            let over = known
                .iter()
                .filter(|(_, kept)| kept.report.state != CallbackState::Waiting);
            let over: Vec<u64> = over.map(|(number, _)| *number).collect();
            for old in over.iter().take(over.len().saturating_sub(REMEMBERED)) {
                known.remove(old);
                _ = fs::remove_file(self.shared.place(*old));
            }
        }
        self.follow(number);
        Ok(())
    }

    /// What came of a build's callback, where it has one.
    pub(crate) fn report(&self, build: &str) -> Option<CallbackReport> {
        let number = build.parse::<u64>().ok()?;
        self.shared.known().get(&number).map(|kept| kept.report.clone())
    }

    /// Nothing more is told by this worker.
    pub(crate) fn stop(&self) {
        self.shared.stop.cancel();
    }

    fn follow(&self, number: u64) {
        let shared = Arc::clone(&self.shared);
        tokio::spawn(async move {
            let stop = shared.stop.clone();
            tokio::select! {
                () = stop.cancelled() => {}
                () = shared.see_to(number) => {}
            }
        });
    }
}

impl Shared {
    fn known(&self) -> std::sync::MutexGuard<'_, BTreeMap<u64, Kept>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, number: u64) -> PathBuf {
        self.directory.join(format!("{number}.json"))
    }

    fn write(&self, number: u64, kept: &Kept) -> std::io::Result<()> {
        whole_file::replace(&self.place(number), &serde_json::to_vec(kept)?)
    }

    /// Changes what is known, and keeps it.
    fn change(&self, number: u64, change: impl FnOnce(&mut Kept)) -> Option<Kept> {
        let mut known = self.known();
        let kept = known.get_mut(&number)?;
        change(kept);
        if let Err(error) = self.write(number, kept) {
            tracing::warn!(build = kept.build, %error, "what came of a callback cannot be kept");
        }
        Some(kept.clone())
    }

    /// Waits for the build's end and tells of it until that is taken, or was tried often enough.
    async fn see_to(&self, number: u64) {
        let Some(kept) = self.known().get(&number).cloned() else {
            return;
        };
        let message = if let Some(message) = kept.message.clone() {
            message
        } else {
            self.builds.ended(&kept.build).await;
            let message = self.message(&kept).to_string();
            self.change(number, |kept| kept.message = Some(message.clone()));
            message
        };
        let mut attempts = kept.report.attempts;
        loop {
            // The next worker does not begin anew.
            if let Some(wait) = attempts.checked_sub(1).and_then(|last| self.waits.get(last)) {
                tokio::time::sleep(*wait).await;
            }
            let said = self.tell(&kept, &message).await;
            attempts += 1;
            let delivered = said.is_ok();
            let over = delivered || attempts > self.waits.len();
            let said = match said {
                Ok(said) | Err(said) => said,
            };
            tracing::info!(
                build = kept.build,
                url = kept.report.url,
                said,
                "told of a build's end"
            );
            self.change(number, |kept| {
                kept.report.attempts = attempts;
                kept.report.said = Some(said);
                kept.report.tried = Some(timestamp());
                kept.report.state = match (delivered, over) {
                    (true, _) => CallbackState::Delivered,
                    (false, true) => CallbackState::Failed,
                    (false, false) => CallbackState::Waiting,
                };
            });
            if over {
                return;
            }
        }
    }

    fn message(&self, kept: &Kept) -> serde_json::Value {
        let ended = timestamp();
        // A build that is forgotten by now has ended, and nobody knows how.
        let Some(summary) = self.builds.summary(&kept.build) else {
            return json!({ "build": kept.build, "state": "forgotten", "names": kept.names, "ended": ended });
        };
        let image = self.builds.image(&kept.build).ok();
        let failure = self.builds.failure(&kept.build).ok().flatten();
        let superseded = self.builds.superseded_by(&kept.build).ok().flatten();
        let done = summary.state == BuildState::Done;
        json!({
            "build": kept.build,
            "state": summary.state,
            "image": image.map(|image| image.digest),
            "names": if done { kept.names.as_slice() } else { &[] },
            "ref": kept.pushed.as_ref().map(|pushed| &pushed.reference),
            "commit": kept.pushed.as_ref().and_then(|pushed| pushed.commit.as_ref()),
            "hook": kept.pushed.as_ref().map(|pushed| &pushed.hook),
            "delivery": kept.pushed.as_ref().map(|pushed| &pushed.delivery),
            "error": failure.map(|failure| failure.message),
            "supersededBy": superseded,
            "created": summary.created,
            "ended": ended,
        })
    }

    /// Tells once. Gives what came of it, as good or bad news.
    async fn tell(&self, kept: &Kept, message: &str) -> Result<String, String> {
        let seconds = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
        // The same at each attempt, so that whoever got it twice can tell.
        let delivery = Digest::of(format!("callback of build {} {message}", kept.build).as_bytes());
        let delivery = delivery.hex().chars().take(32).collect::<String>();
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let mut set = |name: &'static str, value: &str| {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.insert(HeaderName::from_static(name), value);
            }
        };
        set(DELIVERY_HEADER, &delivery);
        set(TIMESTAMP_HEADER, &seconds);
        if let Some(Key(key)) = &kept.key {
            let key = SigningKey::new(key.clone());
            let signature = key.sign(&signed(&seconds, &delivery, message.as_bytes()));
            set(SIGNATURE_HEADER, &signature);
        }
        let web = Web::new(0, &self.networks);
        let telling = web.tell(&kept.url, headers, message.as_bytes().to_vec(), kept.owner);
        match tokio::time::timeout(ANSWER, telling).await {
            Ok(Ok(status)) if status.is_success() => Ok(format!("the server answered {status}")),
            Ok(Ok(status)) => Err(format!("the server answered {status}")),
            Ok(Err(error)) => Err(error.to_string()),
            Err(_) => Err(format!("there was no answer within {} seconds", ANSWER.as_secs())),
        }
    }
}

/// Names a delivery; one that comes twice has the same name.
pub(crate) const DELIVERY_HEADER: &str = "stagewright-delivery";
/// When it was sent, in seconds since 1970.
pub(crate) const TIMESTAMP_HEADER: &str = "stagewright-timestamp";
/// Proves who sent it.
pub(crate) const SIGNATURE_HEADER: &str = "stagewright-signature-256";

/// What is signed: `TIMESTAMP.DELIVERY.BODY`, so that nothing of it can be exchanged.
pub(crate) fn signed<'m>(timestamp: &'m str, delivery: &'m str, body: &'m [u8]) -> [&'m [u8]; 5] {
    [timestamp.as_bytes(), b".", delivery.as_bytes(), b".", body]
}

#[cfg(test)]
mod tests {
    use std::io::{BufRead as _, BufReader, Read as _, Write as _};
    use std::net::TcpListener;
    use std::os::unix::fs::PermissionsExt as _;
    use std::sync::mpsc::{Receiver, channel};

    use super::*;
    use crate::config::Config;
    use crate::request::Asked;
    use crate::request::tests::{Worker, configured};

    /// Answers so many messages, each with its status, and hands them on: the name of the delivery, and the text.
    fn receiving(statuses: &'static [u16]) -> (String, Receiver<(String, String)>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://user:hunter2@{}/", listener.local_addr().unwrap());
        let (send, messages) = channel();
        std::thread::spawn(move || {
            for status in statuses {
                let (mut connection, _) = listener.accept().unwrap();
                let mut reader = BufReader::new(connection.try_clone().unwrap());
                let (mut length, mut delivery) = (0, String::new());
                loop {
                    let mut line = String::new();
                    reader.read_line(&mut line).unwrap();
                    match line.trim().split_once(": ") {
                        Some(("content-length", value)) => length = value.parse().unwrap(),
                        Some((DELIVERY_HEADER, value)) => value.clone_into(&mut delivery),
                        None if line.trim().is_empty() => break,
                        Some(_) | None => {}
                    }
                }
                let mut body = vec![0; length];
                reader.read_exact(&mut body).unwrap();
                send.send((delivery, String::from_utf8(body).unwrap())).unwrap();
                write!(
                    connection,
                    "HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                )
                .unwrap();
            }
        });
        (url, messages)
    }

    async fn built(worker: &Worker) -> BuildId {
        let request = serde_json::from_value(json!({ "dockerfile": "FROM scratch\nLABEL a=b\n" })).unwrap();
        worker.let_go(1);
        let build = worker.requests.start(&request, Asked::default()).unwrap();
        assert_eq!(worker.end(&build).await, BuildState::Done);
        build
    }

    fn to(url: &str) -> Callback {
        Callback {
            url: url.to_owned(),
            key: None,
            pushed: None,
        }
    }

    fn callbacks(state: &Path, worker: &Worker, waits: &[Duration]) -> Callbacks {
        Callbacks::open_with(state, worker.requests.builds(), &[], waits.to_vec()).unwrap()
    }

    async fn over(callbacks: &Callbacks, build: &str) -> CallbackReport {
        loop {
            let report = callbacks.report(build).unwrap();
            if report.state != CallbackState::Waiting {
                return report;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    const SOON: Duration = Duration::from_millis(1);

    #[tokio::test(flavor = "multi_thread")]
    async fn who_does_not_take_it_is_told_again_with_the_same_words_also_by_the_next_worker() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let build = built(&worker).await;
        let (url, messages) = receiving(&[500, 302, 204]);
        let first = callbacks(state.path(), &worker, &[SOON, Duration::from_hours(1)]);
        first
            .add(&build, &to(&url), true, vec!["r.io/a:1".into()])
            .unwrap();
        while first.report(&build).unwrap().attempts < 2 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first.stop();
        let second = callbacks(state.path(), &worker, &[SOON, SOON]);
        let report = over(&second, &build).await;
        assert_eq!((report.state, report.attempts), (CallbackState::Delivered, 3));
        let told: Vec<_> = messages.iter().collect();
        assert!(
            told.len() == 3 && told.iter().all(|one| *one == told[0]),
            "{told:?}"
        );
        let message: serde_json::Value = serde_json::from_str(&told[0].1).unwrap();
        assert_eq!(
            (&message["state"], &message["names"][0]),
            (&json!("done"), &json!("r.io/a:1"))
        );
        assert!(!report.url.contains("hunter2") && !told[0].1.contains("hunter2"));
        let kept = state.path().join("callbacks").join(format!("{build}.json"));
        assert_eq!(fs::metadata(kept).unwrap().permissions().mode() & 0o777, 0o600);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_given_up_in_the_end_and_never_leads_others_into_the_machine() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let callbacks = callbacks(state.path(), &worker, &[SOON]);
        let (first, second) = (built(&worker).await, built(&worker).await);
        let (url, messages) = receiving(&[500, 404]);
        callbacks.add(&first, &to(&url), true, Vec::new()).unwrap();
        let report = over(&callbacks, &first).await;
        assert_eq!((report.state, report.attempts), (CallbackState::Failed, 2));
        assert!(report.said.unwrap().contains("404"));
        assert_eq!(messages.iter().count(), 2);
        callbacks.add(&second, &to(&url), false, Vec::new()).unwrap();
        let report = over(&callbacks, &second).await;
        assert_eq!(report.state, CallbackState::Failed);
        assert!(report.said.unwrap().contains("private network"));
    }
}

//! Telling somebody elsewhere that a build has ended. Whoever does not answer is asked again, with growing waits, also by the
//! next worker.
//!
//! ```text
//! <state>/callbacks/<build>.json    how often it was tried, and what came of it; until it is over also who is to be told, and what;
//!                                   for the owner's eyes only
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
use stagewright_core::protocol::{BuildId, BuildState};
use tokio_util::sync::CancellationToken;

use super::life::blocking;
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

/// Who is told that a build has ended. Written out it is whole, with its key: for files that are their owner's alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Callback {
    /// The address, which gets a `POST`.
    pub url: String,
    /// What the message is signed with. It is kept until it was told, which may take days.
    #[serde(default, with = "written_key")]
    pub key: Option<SigningKey>,
    /// What was pushed that the build is for.
    #[serde(default)]
    pub pushed: Option<Pushed>,
}

/// A key as base64.
mod written_key {
    use serde::{Deserialize, Deserializer, Serialize as _, Serializer};
    use stagewright_core::protocol::base64_bytes;

    use super::SigningKey;

    #[derive(Deserialize)]
    struct Bytes(#[serde(with = "base64_bytes")] Vec<u8>);

    #[expect(clippy::ref_option, reason = "serde hands over the field as it is")]
    pub(super) fn serialize<S: Serializer>(
        key: &Option<SigningKey>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match key {
            Some(key) => base64_bytes::serialize(key.reveal(), serializer),
            None => None::<()>.serialize(serializer),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<SigningKey>, D::Error> {
        let bytes = Option::<Bytes>::deserialize(deserializer)?;
        Ok(bytes.map(|Bytes(bytes)| SigningKey::new(bytes)))
    }
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
    report: CallbackReport,
    /// What it takes to tell; nothing once it is over.
    telling: Option<Telling>,
}

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Telling {
    callback: Callback,
    /// Whether the worker's owner wrote its address.
    owner: bool,
    /// What the image is going to be called.
    names: Vec<String>,
    /// What is said, once the build has ended: the same at each attempt.
    message: Option<String>,
}

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
        // All of them first: one that is written anew would come up in between by the name that it has meanwhile.
        let entries = fs::read_dir(&directory)?.collect::<std::io::Result<Vec<_>>>()?;
        for entry in entries {
            if let Some((number, kept)) = kept_in(&entry.path()) {
                known.insert(number, kept);
            }
        }
        let waiting: Vec<u64> = known
            .iter()
            .filter(|(_, kept)| kept.telling.is_some())
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

    /// Sees to it that a build's end is told. `owner` is whether the worker's owner wrote the address. An error says that the
    /// next worker may not know of it; this one tells it all the same.
    pub(crate) fn add(
        &self,
        build: &str,
        callback: Callback,
        owner: bool,
        names: Vec<String>,
    ) -> std::io::Result<()> {
        let Ok(number) = build.parse::<u64>() else {
            return Ok(());
        };
        if self.shared.known().contains_key(&number) {
            return Ok(());
        }
        let kept = Kept {
            build: build.to_owned(),
            report: CallbackReport {
                url: shown(&callback.url),
                state: CallbackState::Waiting,
                attempts: 0,
                said: None,
                tried: None,
            },
            telling: Some(Telling {
                callback,
                owner,
                names,
                message: None,
            }),
        };
        // Others are told meanwhile: what is known is not held while the disk is waited for.
        let written = self.shared.write(number, &kept);
        for old in self.shared.learn(number, kept) {
            _ = fs::remove_file(self.shared.place(old));
        }
        self.follow(number);
        written
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

/// The callback in a file of the folder, where it is one. Of what is none no key stays behind.
fn kept_in(path: &Path) -> Option<(u64, Kept)> {
    let name = path.file_name()?.to_str()?;
    if name.ends_with(".json.new") {
        // A killed worker had not given it its name: what it was to replace counts.
        removed(path);
        return None;
    }
    let number = name.strip_suffix(".json")?.parse::<u64>().ok()?;
    let text = fs::read(path)
        .inspect_err(|error| tracing::warn!(path = %path.display(), %error, "a callback cannot be read"))
        .ok()?;
    let kept = serde_json::from_slice::<Kept>(&text)
        .ok()
        .filter(|kept| kept.telling.is_some() || kept.report.state != CallbackState::Waiting);
    let Some(kept) = kept else {
        tracing::warn!(path = %path.display(), "a callback that does not say who is to be told is removed");
        removed(path);
        return None;
    };
    // Of one that is over only what came of it is kept, also where it was written when more was.
    let rewritten = serde_json::to_vec(&kept)
        .map_err(std::io::Error::other)
        .and_then(|whole| {
            if kept.telling.is_some() || whole == text {
                return Ok(());
            }
            whole_file::replace(path, &whole)
        });
    if let Err(error) = rewritten {
        tracing::warn!(path = %path.display(), %error, "a callback that is over cannot be written anew");
    }
    Some((number, kept))
}

fn removed(path: &Path) {
    if let Err(error) = fs::remove_file(path) {
        tracing::warn!(path = %path.display(), %error, "what is left of a callback cannot be removed");
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

    /// Takes in one more. Gives those that are forgotten for it.
    fn learn(&self, number: u64, kept: Kept) -> Vec<u64> {
        let mut known = self.known();
        known.insert(number, kept);
        let over = known.iter().filter(|(_, kept)| kept.telling.is_none());
        let mut over: Vec<u64> = over.map(|(number, _)| *number).collect();
        over.truncate(over.len().saturating_sub(REMEMBERED));
        for old in &over {
            known.remove(old);
        }
        over
    }

    /// Changes what is kept of one, and then what is known. Only the one task that sees to it does.
    fn change(&self, number: u64, change: impl FnOnce(&mut Kept)) {
        blocking(|| {
            let Some(mut kept) = self.known().get(&number).cloned() else {
                return;
            };
            change(&mut kept);
            if let Err(error) = self.write(number, &kept) {
                tracing::warn!(build = kept.build, %error, "what came of a callback cannot be kept");
            }
            self.known().insert(number, kept);
        });
    }

    /// Waits for the build's end and tells of it until that is taken, or was tried often enough.
    async fn see_to(&self, number: u64) {
        let Some(Kept {
            build,
            report,
            telling: Some(telling),
        }) = self.known().get(&number).cloned()
        else {
            return;
        };
        let message = if let Some(message) = telling.message.clone() {
            message
        } else {
            self.builds.ended(&build).await;
            let message = self.message(&build, &telling).to_string();
            self.change(number, |kept| {
                if let Some(telling) = &mut kept.telling {
                    telling.message = Some(message.clone());
                }
            });
            message
        };
        let mut attempts = report.attempts;
        loop {
            // The next worker does not begin anew.
            if let Some(wait) = attempts.checked_sub(1).and_then(|last| self.waits.get(last)) {
                tokio::time::sleep(*wait).await;
            }
            let said = self.tell(&build, &telling, &message).await;
            attempts += 1;
            let delivered = said.is_ok();
            let over = delivered || attempts > self.waits.len();
            let said = match said {
                Ok(said) | Err(said) => said,
            };
            tracing::info!(build, url = report.url, said, "told of a build's end");
            self.change(number, |kept| {
                kept.report.attempts = attempts;
                kept.report.said = Some(said);
                kept.report.tried = Some(timestamp());
                kept.report.state = match (delivered, over) {
                    (true, _) => CallbackState::Delivered,
                    (false, true) => CallbackState::Failed,
                    (false, false) => CallbackState::Waiting,
                };
                if over {
                    kept.telling = None;
                }
            });
            if over {
                return;
            }
        }
    }

    fn message(&self, build: &str, telling: &Telling) -> serde_json::Value {
        let summary = self.builds.summary(build);
        let state = summary.as_ref().map(|summary| summary.state);
        let image = self.builds.image(build).ok();
        let failure = self.builds.failure(build).ok().flatten();
        let pushed = telling.callback.pushed.as_ref();
        let names = if state == Some(BuildState::Done) {
            telling.names.as_slice()
        } else {
            &[]
        };
        json!({
            "build": build,
            // One that is forgotten by now has ended, and nobody knows how.
            "state": state.map_or(json!("forgotten"), |state| json!(state)),
            "image": image.map(|image| image.digest),
            "names": names,
            "ref": pushed.map(|pushed| &pushed.reference),
            "commit": pushed.and_then(|pushed| pushed.commit.as_ref()),
            "hook": pushed.map(|pushed| &pushed.hook),
            "delivery": pushed.map(|pushed| &pushed.delivery),
            "error": failure.map(|failure| failure.message),
            "supersededBy": self.builds.superseded_by(build).ok().flatten(),
            "created": summary.map(|summary| summary.created),
            "ended": timestamp(),
        })
    }

    /// Tells once. Gives what came of it, as good or bad news.
    async fn tell(&self, build: &str, telling: &Telling, message: &str) -> Result<String, String> {
        let callback = &telling.callback;
        let seconds = time::OffsetDateTime::now_utc().unix_timestamp().to_string();
        // The same at each attempt, so that whoever got it twice can tell.
        let delivery = Digest::of(format!("callback of build {build} {message}").as_bytes());
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
        if let Some(key) = &callback.key {
            let signature = key.sign(&signed(&seconds, &delivery, message.as_bytes()));
            set(SIGNATURE_HEADER, &signature);
        }
        let web = Web::new(0, &self.networks);
        let told = web.tell(&callback.url, headers, message.as_bytes().to_vec(), telling.owner);
        match tokio::time::timeout(ANSWER, told).await {
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
            key: Some(SigningKey::new(KEY.to_vec())),
            pushed: None,
        }
    }

    /// Of a callback that is over, what came of it is all that is known: here, and on the disk.
    fn nothing_is_left_of_what_was_told(callbacks: &Callbacks, build: &str) {
        let number = build.parse().unwrap();
        assert!(callbacks.shared.known()[&number].telling.is_none());
        let text = fs::read_to_string(callbacks.shared.place(number)).unwrap();
        let kept: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(kept["telling"], json!(null));
        assert_eq!(
            kept["report"],
            json!(callbacks.report(build)),
            "what came of it is known to the next worker"
        );
        assert!(!text.contains("hunter2"), "{text}");
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

    const KEY: &[u8] = b"the key of whoever is told";
    const SOON: Duration = Duration::from_millis(1);

    #[tokio::test(flavor = "multi_thread")]
    async fn who_does_not_take_it_is_told_again_with_the_same_words_also_by_the_next_worker() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let build = built(&worker).await;
        let (url, messages) = receiving(&[500, 302, 204]);
        let first = callbacks(state.path(), &worker, &[SOON, Duration::from_hours(1)]);
        first
            .add(&build, to(&url), true, vec!["r.io/a:1".into()])
            .unwrap();
        let place = state.path().join("callbacks").join(format!("{build}.json"));
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
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
        assert_eq!(fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        nothing_is_left_of_what_was_told(&second, &build);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_given_up_in_the_end_and_never_leads_others_into_the_machine() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let callbacks = callbacks(state.path(), &worker, &[SOON]);
        let (first, second) = (built(&worker).await, built(&worker).await);
        let (url, messages) = receiving(&[500, 404]);
        callbacks.add(&first, to(&url), true, Vec::new()).unwrap();
        let report = over(&callbacks, &first).await;
        assert_eq!((report.state, report.attempts), (CallbackState::Failed, 2));
        nothing_is_left_of_what_was_told(&callbacks, &first);
        assert!(report.said.unwrap().contains("404"));
        assert_eq!(messages.iter().count(), 2);
        callbacks.add(&second, to(&url), false, Vec::new()).unwrap();
        let report = over(&callbacks, &second).await;
        assert_eq!(report.state, CallbackState::Failed);
        assert!(report.said.unwrap().contains("private network"));
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn of_a_build_that_was_forgotten_it_is_told_that_nobody_knows_how_it_ended() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let build = built(&worker).await;
        worker.builds().forget(&build).unwrap();
        let callbacks = callbacks(state.path(), &worker, &[]);
        let (url, messages) = receiving(&[204]);
        let callback = Callback {
            pushed: Some(Pushed {
                hook: "app".into(),
                delivery: "1".into(),
                reference: "refs/heads/main".into(),
                commit: None,
            }),
            ..to(&url)
        };
        callbacks
            .add(&build, callback, true, vec!["r.io/a:1".into()])
            .unwrap();
        over(&callbacks, &build).await;
        let mut message: serde_json::Value = serde_json::from_str(&messages.recv().unwrap().1).unwrap();
        assert!(message["ended"].take().is_string(), "{message}");
        let told = json!({
            "build": build, "state": "forgotten", "image": null, "names": [], "ref": "refs/heads/main", "commit": null,
            "hook": "app", "delivery": "1", "error": null, "supersededBy": null, "created": null, "ended": null,
        });
        assert_eq!(message, told);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn what_a_killed_worker_had_not_given_its_name_is_no_callback_and_one_that_waits_is_read_whole() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let build = built(&worker).await;
        let first = callbacks(state.path(), &worker, &[Duration::from_hours(1)]);
        let callback = to("http://127.0.0.1:1/");
        first.add(&build, callback.clone(), true, Vec::new()).unwrap();
        while first.report(&build).unwrap().attempts == 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        first.stop();
        let place = |name: &str| state.path().join("callbacks").join(name);
        for left in ["77.json.new", &format!("{build}.json.new")] {
            fs::copy(place(&format!("{build}.json")), place(left)).unwrap();
        }
        let second = callbacks(state.path(), &worker, &[Duration::from_hours(1)]);
        assert_eq!(second.report("77"), None);
        assert_eq!(fs::read_dir(place("")).unwrap().count(), 1);
        let known = second.shared.known()[&build.parse().unwrap()].clone();
        assert_eq!(known.telling.unwrap().callback, callback);
        second.stop();
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn nothing_is_kept_of_what_can_be_told_to_nobody_and_of_what_is_over_only_what_came_of_it() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let place = |number: u64| state.path().join(format!("callbacks/{number}.json"));
        let written = |number: u64, standing: &str| {
            let report = json!({ "url": "http://127.0.0.1:1/", "state": standing, "attempts": 1 });
            let kept = json!({ "build": number.to_string(), "url": "http://me:hunter2@127.0.0.1:1/", "report": report });
            fs::write(place(number), kept.to_string()).unwrap();
        };
        written(1, "waiting");
        written(2, "delivered");
        fs::write(place(3), "{\"url\":\"http://me:hunter2@").unwrap();
        let callbacks = callbacks(state.path(), &worker, &[SOON]);
        assert_eq!((callbacks.report("1"), callbacks.report("3")), (None, None));
        assert!(!place(1).exists() && !place(3).exists());
        assert_eq!(callbacks.report("2").unwrap().state, CallbackState::Delivered);
        nothing_is_left_of_what_was_told(&callbacks, "2");
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn who_is_to_be_told_is_told_also_where_that_could_not_be_kept_at_first() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let request = serde_json::from_value(json!({ "dockerfile": "FROM scratch\nLABEL a=b\n" })).unwrap();
        let build = worker.requests.start(&request, Asked::default()).unwrap();
        let (url, messages) = receiving(&[204]);
        let callbacks = callbacks(state.path(), &worker, &[]);
        let obstacle = state.path().join(format!("callbacks/{build}.json.new"));
        fs::create_dir(&obstacle).unwrap();
        assert!(callbacks.add(&build, to(&url), true, Vec::new()).is_err());
        fs::remove_dir(&obstacle).unwrap();
        assert_eq!(callbacks.report(&build).unwrap().state, CallbackState::Waiting);
        worker.let_go(1);
        assert_eq!(over(&callbacks, &build).await.state, CallbackState::Delivered);
        assert_eq!(messages.iter().count(), 1);
        nothing_is_left_of_what_was_told(&callbacks, &build);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn it_is_told_of_a_build_that_cannot_begin_anew_since_its_hook_is_gone() {
        let state = tempfile::tempdir().unwrap();
        let dead = configured(state.path(), &Config::default());
        let request = serde_json::from_value(json!({ "dockerfile": "FROM scratch\nLABEL a=b\n" })).unwrap();
        let (url, messages) = receiving(&[204]);
        let asked = Asked {
            hook: Some("app".into()),
            callback: Some(to(&url)),
            ..Asked::default()
        };
        let build = dead.requests.start(&request, asked).unwrap();
        // Killed before it was kept on its own who is to be told.
        fs::remove_file(state.path().join(format!("callbacks/{build}.json"))).unwrap();
        let worker = configured(state.path(), &Config::default());
        assert_eq!(worker.end(&build).await, BuildState::Lost);
        let (_, message) = messages.recv_timeout(Duration::from_secs(20)).unwrap();
        let message: serde_json::Value = serde_json::from_str(&message).unwrap();
        assert_eq!(message["state"], json!("lost"));
        assert!(
            message["error"].as_str().unwrap().contains("no hook \"app\""),
            "{message}"
        );
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn others_go_on_while_the_disk_is_waited_for() {
        let state = tempfile::tempdir().unwrap();
        let worker = configured(state.path(), &Config::default());
        let request = serde_json::from_value(json!({ "dockerfile": "FROM scratch\nLABEL a=b\n" })).unwrap();
        let build = worker.requests.start(&request, Asked::default()).unwrap();
        let (url, messages) = receiving(&[204]);
        let callbacks = callbacks(state.path(), &worker, &[]);
        callbacks.add(&build, to(&url), true, Vec::new()).unwrap();
        // A disk that is in no hurry: who opens it to write waits until somebody reads.
        let disk = state.path().join("callbacks").join(format!("{build}.json.new"));
        rustix::fs::mknodat(
            rustix::fs::CWD,
            &disk,
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::RWXU,
            0,
        )
        .unwrap();
        worker.let_go(1);
        assert_eq!(worker.end(&build).await, BuildState::Done);
        std::thread::sleep(Duration::from_millis(200));
        let (send, done) = channel();
        tokio::spawn(async move { send.send(()) });
        let went_on = done.recv_timeout(Duration::from_secs(10));
        // The message, and what came of it.
        let written = [(); 2].map(|()| fs::read_to_string(&disk).unwrap());
        assert!(went_on.is_ok(), "the one thread waits for the disk");
        assert!(written[0].contains("waiting") && written[1].contains("delivered"));
        assert_eq!(messages.iter().count(), 1);
    }
}

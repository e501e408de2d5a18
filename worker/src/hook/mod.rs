//! Builds that a push starts. Somebody who hosts repositories tells of it, signed with a key that is shared with the worker's
//! owner; what is built then, and where it goes, stands in the worker's configuration.
//!
//! ```text
//! payload      what was pushed, read from what GitHub or anybody else sends        deliveries   what came, and what became of it
//! fill         the configured request for that commit
//! ```
//!
//! **Invariants.** Nothing of a message is read before its signature was found right. The same message never builds twice. What
//! is built is the commit that the message names, of the repository that the configuration names.

mod deliveries;
mod fill;
mod payload;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use stagewright_core::digest::Digest;
use stagewright_core::glob;
use stagewright_core::protocol::{BuildId, BuildState};
use time::OffsetDateTime;

use crate::backend::timestamp;
use crate::build::StartError;
use crate::config::{Hook, HookKind};
use crate::request::callback::{DELIVERY_HEADER, SIGNATURE_HEADER, TIMESTAMP_HEADER, signed};
use crate::request::{Asked, Callback, CallbackReport, Pushed, RequestError, Requests};

pub use deliveries::{Delivery, Outcome};
pub(crate) use fill::fill;

use deliveries::Deliveries;
use payload::Said;

/// How far the clock of whoever signs a time may be from ours.
const SKEW: Duration = Duration::from_mins(5);

/// The longest name of a delivery that is remembered.
const LONGEST_NAME: usize = 200;

/// The hooks of one worker. Cheap to clone.
#[derive(Clone)]
pub struct Hooks {
    shared: Arc<Shared>,
}

struct Shared {
    requests: Requests,
    by_name: BTreeMap<String, Hook>,
    deliveries: Mutex<Deliveries>,
}

/// Why a message was not taken.
#[derive(Debug, thiserror::Error)]
pub enum HookError {
    /// The configuration names no such hook.
    #[error("there is no hook {0:?} on this worker: its owner names hooks in the configuration")]
    Unknown(String),
    /// A header is lacking that every message has.
    #[error("the message has no {0}: whoever sends it has to be given the hook's secret")]
    Unsigned(&'static str),
    /// It was signed with another key, or changed on its way.
    #[error("the signature is not that of this message under the hook's secret")]
    Forged,
    /// It was signed long ago, or will be.
    #[error("the message was signed at another time than now: it is {SIGNED_FOR} at most")]
    Stale,
    /// It does not say what was pushed.
    #[error("the message cannot be understood: {0}")]
    Payload(String),
    /// The build could not be started.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What became of it could not be kept.
    #[error("the delivery cannot be recorded: {0}")]
    Record(#[from] io::Error),
}

const SIGNED_FOR: &str = "good for 5 minutes";

/// What became of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Answer {
    /// Whether it was built, or why not.
    pub outcome: Outcome,
    /// The build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub build: Option<BuildId>,
    /// Why nothing was built for it now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub why: Option<String>,
}

/// A delivery, and how it stands by now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeliveryReport {
    /// What came.
    #[serde(flatten)]
    pub delivery: Delivery,
    /// How its build stands; nothing where there is none, or it is forgotten.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<BuildState>,
    /// The build that took its place before it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub superseded_by: Option<BuildId>,
    /// What came of telling somebody of the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub callback: Option<CallbackReport>,
}

/// The value of a message's header, by its name in small letters.
pub type Header<'h> = &'h dyn Fn(&str) -> Option<String>;

/// A message whose headers are those of one that could be taken. It was not looked at yet.
#[derive(Debug)]
pub struct Message {
    hook: String,
    signature: String,
    delivery: String,
    /// For messages of our own kind.
    timestamp: String,
    /// For GitHub's.
    event: String,
}

impl Hooks {
    /// The hooks of the configuration; what came for them before is kept in `state`.
    pub fn open(state: &Path, requests: Requests) -> io::Result<Self> {
        let hooks = requests.hooks().iter();
        Ok(Self {
            shared: Arc::new(Shared {
                by_name: hooks.map(|hook| (hook.name.clone(), hook.clone())).collect(),
                requests,
                deliveries: Mutex::new(Deliveries::open(&state.join("hooks"))?),
            }),
        })
    }

    /// Looks at what comes before a message: whether there is such a hook, and whether anybody signed.
    pub fn expect(&self, name: &str, header: Header<'_>) -> Result<Message, HookError> {
        let hook = self.find(name)?;
        let lacking = |name: &'static str| {
            header(name)
                .filter(|value| !value.is_empty())
                .ok_or(HookError::Unsigned(name))
        };
        let mut message = Message {
            hook: hook.name.clone(),
            signature: String::new(),
            delivery: String::new(),
            timestamp: String::new(),
            event: String::new(),
        };
        match hook.kind {
            HookKind::Github => {
                message.signature = lacking("x-hub-signature-256")?;
                message.delivery = lacking("x-github-delivery")?;
                message.event = lacking("x-github-event")?;
            }
            HookKind::Plain => {
                message.signature = lacking(SIGNATURE_HEADER)?;
                message.delivery = lacking(DELIVERY_HEADER)?;
                message.timestamp = lacking(TIMESTAMP_HEADER)?;
                "push".clone_into(&mut message.event);
            }
        }
        if message.delivery.len() > LONGEST_NAME || message.event.len() > LONGEST_NAME {
            return Err(HookError::Payload(format!(
                "names of deliveries and events have at most {LONGEST_NAME} letters"
            )));
        }
        Ok(message)
    }

    /// Takes a message whose body is here, and starts what is to be built for it. Reads and writes files; call it on the Tokio
    /// runtime where blocking is allowed.
    pub fn receive(&self, message: &Message, body: &[u8]) -> Result<Answer, HookError> {
        let hook = self.find(&message.hook)?;
        verify(hook, message, body, OffsetDateTime::now_utc())?;
        let digest = Digest::of(body);
        // Held until it is recorded: the same message twice at once builds once.
        let mut deliveries = self
            .shared
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        // GitHub does not sign the name of a delivery, so the same text under another name is known too. Where the name is signed
        // it is another message: without a commit, each push of a branch has the same text.
        let text = match hook.kind {
            HookKind::Github => Some(&digest),
            HookKind::Plain => None,
        };
        let same = || deliveries.same(&hook.name, &message.delivery, text);
        if let Some(known) = same().find(|known| known.outcome == Outcome::Built) {
            return Ok(Answer {
                outcome: Outcome::Known,
                build: known.build.clone(),
                why: Some(format!("it came before, at {}, as {}", known.received, known.id)),
            });
        }
        // What built nothing may be sent again once the configuration is another, and is not noted twice.
        let noted = same().next().is_some();
        let mut delivery = Delivery {
            id: message.delivery.clone(),
            received: timestamp(),
            event: message.event.clone(),
            reference: None,
            commit: None,
            outcome: Outcome::Ignored,
            build: None,
            why: None,
            body: digest,
        };
        match payload::read(hook.kind, &message.event, body).map_err(HookError::Payload)? {
            Said::Nothing(why) => delivery.why = Some(why),
            Said::Push { reference, commit } => {
                delivery.reference = Some(reference.clone());
                delivery.commit.clone_from(&commit);
                if hook.refs.iter().any(|pattern| glob::matches(pattern, &reference)) {
                    let build = self.start(hook, &message.delivery, &reference, commit.as_deref())?;
                    delivery.outcome = Outcome::Built;
                    delivery.build = Some(build);
                } else {
                    delivery.why = Some(format!("{reference} is none of the refs that this hook builds"));
                }
            }
        }
        let answer = Answer {
            outcome: delivery.outcome,
            build: delivery.build.clone(),
            why: delivery.why.clone(),
        };
        if !noted || delivery.outcome == Outcome::Built {
            deliveries.add(&hook.name, delivery)?;
        }
        Ok(answer)
    }

    fn start(
        &self,
        hook: &Hook,
        delivery: &str,
        reference: &str,
        commit: Option<&str>,
    ) -> Result<BuildId, HookError> {
        let request = fill(&hook.build, reference, commit).map_err(HookError::Payload)?;
        let callback = hook.callback.as_ref().map(|callback| Callback {
            url: callback.url.clone(),
            key: Some(callback.key.clone()),
            pushed: Some(Pushed {
                hook: hook.name.clone(),
                delivery: delivery.to_owned(),
                reference: reference.to_owned(),
                commit: commit.map(str::to_owned),
            }),
        });
        let asked = Asked {
            supersedes: Some(format!("hook {} {reference}", hook.name)),
            callback,
            hook: Some(hook.name.clone()),
            ..Asked::default()
        };
        Ok(self.shared.requests.start(&request, asked)?)
    }

    /// What came for a hook, newest first, and how it stands.
    pub fn deliveries(&self, name: &str) -> Result<Vec<DeliveryReport>, HookError> {
        let hook = self.find(name)?;
        let deliveries = self
            .shared
            .deliveries
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let known: Vec<Delivery> = deliveries.list(&hook.name).rev().cloned().collect();
        drop(deliveries);
        let requests = &self.shared.requests;
        let reports = known.into_iter().map(|delivery| {
            let build = delivery.build.as_deref();
            let builds = requests.builds();
            DeliveryReport {
                state: build
                    .and_then(|id| builds.summary(id))
                    .map(|summary| summary.state),
                superseded_by: build.and_then(|id| builds.superseded_by(id).ok().flatten()),
                callback: build.and_then(|id| requests.callback(id)),
                delivery,
            }
        });
        Ok(reports.collect())
    }

    fn find(&self, name: &str) -> Result<&Hook, HookError> {
        let hook = self.shared.by_name.get(name);
        hook.ok_or_else(|| HookError::Unknown(name.to_owned()))
    }
}

impl HookError {
    /// Whether the worker has too much to do already, so that it is worth to come again.
    pub fn is_temporary(&self) -> bool {
        matches!(
            self,
            Self::Request(RequestError::Start(
                StartError::Limit(_) | StartError::Unavailable(_)
            ))
        )
    }
}

/// Refuses what was not signed with the hook's key, now.
fn verify(hook: &Hook, message: &Message, body: &[u8], now: OffsetDateTime) -> Result<(), HookError> {
    match hook.kind {
        HookKind::Github => {
            if !hook.key.verifies(&[body], &message.signature) {
                return Err(HookError::Forged);
            }
        }
        HookKind::Plain => {
            let parts = signed(&message.timestamp, &message.delivery, body);
            if !hook.key.verifies(&parts, &message.signature) {
                return Err(HookError::Forged);
            }
            let told = message.timestamp.parse().ok();
            let told = told.and_then(|seconds| OffsetDateTime::from_unix_timestamp(seconds).ok());
            if told.is_none_or(|told| (now - told).unsigned_abs() > SKEW) {
                return Err(HookError::Stale);
            }
        }
    }
    Ok(())
}

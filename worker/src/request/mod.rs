//! Builds as they are asked for, from what is asked to what comes of it. The command line and those who ask from afar share
//! all of it but the asking.
//!
//! ```text
//! fields, understood, error    what is asked for from afar, and what of it is refused
//! output, cache, annotation, attest, steps, platform, keys    what is asked for, as docker build writes it
//! remote, ground, folder, sources    build contexts: brought here, looked at, and offered by their content
//! planning, allow, order     the plan for each platform, and what it brings along        checking    what is wrong with the file
//! finish, deliver, engine    lists of images, names, outputs
//! watcher, told              who hears of what is no step
//! life                       all of that as the work of a build          callback, sign    telling of its end
//! ```
//!
//! **Invariants.** Whoever asks from afar learns and uses nothing of this machine but what its owner allows. A request is kept
//! beside its build's record before it is answered, without its secrets: a worker that is killed loses none. What of it proves
//! who asks is kept no longer than until the build has ended, and told to nobody.

pub(crate) mod allow;
pub(crate) mod annotation;
pub(crate) mod attest;
pub(crate) mod cache;
pub(crate) mod callback;
pub(crate) mod checking;
pub(crate) mod definition;
pub(crate) mod deliver;
pub(crate) mod engine;
pub(crate) mod epoch;
mod error;
pub(crate) mod failure;
mod fields;
pub(crate) mod finish;
pub(crate) mod folder;
mod ground;
pub(crate) mod keys;
mod life;
pub(crate) mod obstacle;
pub(crate) mod order;
pub(crate) mod output;
pub(crate) mod places;
pub(crate) mod planning;
pub(crate) mod platform;
pub(crate) mod remote;
pub(crate) mod sign;
pub(crate) mod sources;
pub(crate) mod steps;
#[cfg(test)]
pub(crate) mod tests;
mod told;
pub(crate) mod understood;
pub(crate) mod wanted;
pub(crate) mod watcher;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use stagewright_core::analysis::Analysis;
use stagewright_core::digest::Digest;
use stagewright_core::lint::Finding;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::BuildId;

pub use self::callback::{Callback, CallbackReport, CallbackState, Pushed};
pub use self::error::RequestError;
pub use self::fields::BuildRequest;
pub use self::sign::SigningKey;

use self::callback::Callbacks;
use self::life::{FILES, Means, carry_out, prepare};
use self::planning::Planned as Plan;
use self::remote::Asker;
use self::told::Told;
use self::understood::{Place, Rules, Understood};
use crate::build::{Builds, Job, Queued, Work};
use crate::config::{Config, Hook};
use crate::lease::Lease;
use crate::source::address::Network;
use crate::source::secret::Secrets;
use crate::storage::names::ImageNames;

/// What comes along with a request and is no field of it.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// Secrets besides those that stand in the request. They are kept nowhere: such a build does not outlive the worker.
    pub secrets: Secrets,
    /// Whoever asks with the same key again wants the newer build only: an older one that has not begun does not.
    pub supersedes: Option<String>,
    /// Who is told of the end.
    pub callback: Option<Callback>,
    /// The hook in the worker's configuration that asks, where one does. Then it is the worker's owner who wrote the request: a
    /// repository of this machine may be its context, it and the callback may have private addresses, and what is secret in it
    /// stands in the configuration still when the next worker takes it up.
    pub hook: Option<String>,
}

/// The plan for one platform.
#[derive(Debug, Clone)]
pub struct Planned {
    /// Which.
    pub platform: Platform,
    /// What the Dockerfile is called.
    pub name: String,
    /// Its text.
    pub source: String,
    /// The plan, and all that is known of it.
    pub analysis: Analysis,
}

/// What is wrong with a Dockerfile, or had better be written otherwise.
#[derive(Debug, Clone)]
pub struct Checked {
    /// What the Dockerfile is called.
    pub name: String,
    /// Its text.
    pub source: String,
    /// Errors, and what lint finds.
    pub findings: Vec<Finding>,
}

/// The files of a build's result for one platform, in a tar.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeptFiles {
    /// The platform, as in `linux_amd64`.
    pub platform: String,
    /// The tar.
    pub path: PathBuf,
}

/// What is kept of a request beside its build's record, until that has ended.
#[derive(Serialize, Deserialize)]
struct Kept {
    request: BuildRequest,
    #[serde(default)]
    supersedes: Option<String>,
    #[serde(default)]
    hook: Option<String>,
    /// Whether it brought secrets, without which it cannot begin anew.
    #[serde(default)]
    secrets: bool,
    #[serde(default)]
    callback: Option<Callback>,
}

/// The requests of one worker. Cheap to clone.
#[derive(Clone)]
pub struct Requests {
    shared: Arc<Shared>,
}

struct Shared {
    means: Means,
    networks: Vec<Network>,
    /// Bytes of a context that comes from a web server.
    most: u64,
    callbacks: Callbacks,
    /// The hooks of the configuration.
    hooks: Vec<Hook>,
    /// The newest build for each key.
    newest: Mutex<BTreeMap<String, BuildId>>,
}

impl Requests {
    /// Opens the requests of the worker whose state is in `state`. Those that had not ended when the last one did are queued
    /// again in their order. Call it on the Tokio runtime.
    pub fn open(state: &Path, builds: Builds, config: &Config) -> Result<Self, RequestError> {
        let failed = |error: std::io::Error| RequestError::Place(format!("requests cannot be kept: {error}"));
        // What a killed worker had fetched is of no use to anybody.
        let beneath = state.join("requests");
        if beneath.exists() {
            fs::remove_dir_all(&beneath).map_err(failed)?;
        }
        fs::create_dir_all(&beneath).map_err(failed)?;
        let callbacks = Callbacks::open(state, &builds, &config.private_networks).map_err(failed)?;
        let requests = Self {
            shared: Arc::new(Shared {
                means: Means {
                    builds,
                    names: ImageNames::of(state),
                    beneath,
                },
                networks: config.private_networks.clone(),
                most: config.limits.download_size,
                callbacks,
                hooks: config.hooks.clone(),
                newest: Mutex::default(),
            }),
        };
        requests.resume();
        Ok(requests)
    }

    /// Takes a request: it is a build from here on, which waits for its turn.
    pub fn start(&self, request: &BuildRequest, asked: Asked) -> Result<BuildId, RequestError> {
        let Asked {
            secrets,
            supersedes,
            callback,
            hook,
        } = asked;
        let owner = hook.is_some();
        let brought = !owner && (request.has_secrets() || !secrets.is_empty());
        let understood = Understood::of(request, &secrets, &self.rules(owner))?;
        let names = names(&understood);
        let lease = self.hold(&understood)?;
        let kept = Kept {
            request: request.without_secrets(),
            supersedes: supersedes.clone(),
            hook,
            secrets: brought,
            callback: callback.clone(),
        };
        let failed = |error: serde_json::Error| RequestError::Place(error.to_string());
        let kept = serde_json::to_vec(&kept).map_err(failed)?;
        let told = serde_json::to_vec(&request.told()).map_err(failed)?;
        let mut newest = self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner);
        let queued = Queued {
            title: understood.order.wanted.title(),
            digest: Digest::of(&told),
            kept,
            told,
            resumable: !brought,
            replaces: supersedes.as_ref().and_then(|key| newest.get(key).cloned()),
        };
        let work = self.work(understood, owner, lease);
        let id = self.builds().queue(queued, work)?;
        if let Some(key) = supersedes {
            newest.insert(key, id.clone());
            // Of builds that have ended nothing can be superseded any more.
            newest.retain(|_, id| self.builds().is_waiting(id));
        }
        drop(newest);
        if let Some(callback) = callback {
            self.tell(&id, callback, owner, names);
        }
        Ok(id)
    }

    /// What is to be built: the plan for each platform, without building.
    pub async fn plan(&self, request: &BuildRequest) -> Result<Vec<Planned>, RequestError> {
        let (_, planned) = self.planned(request).await?;
        let told = planned.into_iter().map(|plan| {
            let Plan {
                platform,
                dockerfile,
                analysis,
                ..
            } = plan;
            Planned {
                platform,
                name: dockerfile.name,
                source: dockerfile.input.source,
                analysis,
            }
        });
        Ok(told.collect())
    }

    /// What is wrong with the Dockerfile, or had better be written otherwise; all of it, where no target is named. No image is
    /// asked for.
    pub async fn check(&self, request: &BuildRequest) -> Result<Checked, RequestError> {
        let understood = Understood::of(request, &Secrets::default(), &self.rules(false))?;
        let _lease = self.hold(&understood)?;
        let (means, asker) = (&self.shared.means, self.asker(&understood, false));
        let ground = ground::Ground::of(&understood.place, &asker, &means.builds, &means.beneath).await?;
        let dockerfile = life::blocking(|| ground.dockerfile(&understood, &means.builds))?;
        let findings = checking::findings(&dockerfile.input).into_iter();
        Ok(Checked {
            findings: findings.map(|(_, finding)| finding).collect(),
            name: dockerfile.name,
            source: dockerfile.input.source,
        })
    }

    /// Whether anything of what is asked for goes to a registry.
    pub fn pushes(&self, request: &BuildRequest) -> Result<bool, RequestError> {
        let understood = Understood::of(request, &Secrets::default(), &self.rules(false))?;
        Ok(understood.pushes())
    }

    /// The request of a build as it may be told, without its secrets. `None` where it was started in another way.
    pub fn request(&self, id: &str) -> Result<Option<BuildRequest>, RequestError> {
        let asked = self.builds().asked(id)?;
        Ok(asked.and_then(|asked| serde_json::from_slice(&asked).ok()))
    }

    /// The files that are kept with a build.
    pub fn files(&self, id: &str) -> Result<Vec<KeptFiles>, RequestError> {
        let folder = self.builds().folder(id)?.join(FILES);
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(RequestError::Place(error.to_string())),
        };
        let mut files: Vec<KeptFiles> = entries
            .filter_map(|entry| {
                let path = entry.ok()?.path();
                let platform = path.file_name()?.to_str()?.strip_suffix(".tar")?.to_owned();
                Some(KeptFiles { platform, path })
            })
            .collect();
        files.sort_by(|one, other| one.platform.cmp(&other.platform));
        Ok(files)
    }

    /// What came of telling somebody of a build's end.
    pub fn callback(&self, id: &str) -> Option<CallbackReport> {
        self.shared.callbacks.report(id)
    }

    /// The hooks of the configuration.
    pub fn hooks(&self) -> &[Hook] {
        &self.shared.hooks
    }

    /// The builds.
    pub fn builds(&self) -> &Builds {
        &self.shared.means.builds
    }

    /// Ends what is under way, since the worker ends. What can begin anew stays in the queue for the next one.
    pub async fn stop(&self) {
        self.builds().stop().await;
        self.shared.callbacks.stop();
    }

    fn rules(&self, owner: bool) -> Rules {
        Rules {
            owner,
            entitlements: self.builds().limits().entitlements.clone(),
        }
    }

    fn asker(&self, understood: &Understood, owner: bool) -> Asker {
        Asker {
            owner,
            networks: self.shared.networks.clone(),
            agent: None,
            proof: understood.proof.clone(),
            most: self.shared.most,
            // Where the owner's addresses may lead anywhere, those that a repository chooses may not.
            submodules: !owner,
        }
    }

    /// Sees to it that what is here already of what is asked for stays.
    fn hold(&self, understood: &Understood) -> Result<Lease, RequestError> {
        let contexts = self.builds().contexts();
        let lease = contexts.content().leases().begin();
        let own = match &understood.place {
            Place::Content(id) => Some(id),
            Place::Upload(blob) => {
                if !contexts.content().contains(blob) {
                    return Err(RequestError::wrong(
                        "context",
                        format!("nothing was uploaded here whose digest is {blob}"),
                        "upload it first",
                    ));
                }
                None
            }
            Place::Nowhere | Place::Far(_) => None,
        };
        let own = own.map(|id| ("context", id));
        let named = understood.contexts.values().map(|id| ("build-contexts", id));
        for (field, id) in own.into_iter().chain(named) {
            let Some(manifest) = contexts.get(id) else {
                return Err(RequestError::wrong(
                    field,
                    format!("this worker knows no context {id}"),
                    "offer it first",
                ));
            };
            let lacking = contexts.lacking(&manifest).len();
            if lacking > 0 {
                let files = if lacking == 1 {
                    "1 file has"
                } else {
                    "some files have"
                };
                return Err(RequestError::wrong(
                    field,
                    format!("{files} not arrived of the context {id}"),
                    "offer it again, and send what is lacking",
                ));
            }
        }
        Ok(lease)
    }

    fn work(&self, understood: Understood, owner: bool, lease: Lease) -> Work {
        let means = self.shared.means.clone();
        let asker = self.asker(&understood, owner);
        Box::new(move |job: Job| {
            Box::pin(async move {
                let ended = carry_out(means, understood, asker, job).await;
                drop(lease);
                ended
            })
        })
    }

    async fn planned(&self, request: &BuildRequest) -> Result<(ground::Ground, Vec<Plan>), RequestError> {
        let understood = Understood::of(request, &Secrets::default(), &self.rules(false))?;
        let _lease = self.hold(&understood)?;
        let asker = self.asker(&understood, false);
        let mut told = Told::nobody();
        let prepared = prepare(&self.shared.means, &understood, &asker, &mut told).await;
        match prepared {
            Ok((ground, _, planned)) => Ok((ground, planned)),
            Err(obstacle) => Err(match told.errors() {
                findings if findings.is_empty() => obstacle.into(),
                findings => RequestError::Dockerfile {
                    what: obstacle.to_string(),
                    findings,
                },
            }),
        }
    }

    /// Queues again what had not ended.
    fn resume(&self) {
        for unfinished in self.builds().unfinished() {
            let id = &unfinished.id;
            let taken_up = match self.again(id, &unfinished.kept) {
                Ok(()) => Ok(()),
                Err(why) => self.builds().lose(id, &why),
            };
            if let Err(error) = taken_up {
                tracing::warn!(build = id, %error, "a build that had not ended cannot be taken up");
            }
        }
    }

    fn again(&self, id: &str, kept: &[u8]) -> Result<(), String> {
        let kept: Kept = serde_json::from_slice(kept).map_err(|error| {
            format!("What was asked for cannot be read any more ({error}): ask for it again.")
        })?;
        let owner = kept.hook.is_some();
        let mut request = kept.request;
        let configured = kept
            .hook
            .as_ref()
            .and_then(|hook| self.shared.hooks.iter().find(|known| known.name == *hook));
        if let Some(configured) = configured {
            request.secrets.clone_from(&configured.build.secrets);
            request.github_token.clone_from(&configured.build.github_token);
        }
        let understood = Understood::of(&request, &Secrets::default(), &self.rules(owner));
        // Before anything is given up: whoever waits for the end is told of that one, too.
        if let Some(callback) = kept.callback {
            let names = understood.as_ref().map(names).unwrap_or_default();
            self.tell(id, callback, owner, names);
        }
        if let (Some(hook), None) = (&kept.hook, configured) {
            return Err(format!(
                "The worker stopped before this build was done, and there is no hook {hook:?} in its configuration any more."
            ));
        }
        if kept.secrets {
            return Err("The worker stopped before this build was done. It was given secrets, which are kept nowhere, so it \
                        cannot begin anew by itself: ask for it again."
                .to_owned());
        }
        let asked_again = |error: RequestError| {
            format!("The worker stopped before this build was done, and it cannot begin anew: {error}")
        };
        let understood = understood.map_err(asked_again)?;
        let lease = self.hold(&understood).map_err(asked_again)?;
        if let Some(key) = kept.supersedes {
            let mut newest = self.shared.newest.lock().unwrap_or_else(PoisonError::into_inner);
            newest.insert(key, id.to_owned());
        }
        let work = self.work(understood, owner, lease);
        self.builds().resume(id, work).map_err(|error| error.to_string())
    }

    fn tell(&self, id: &str, callback: Callback, owner: bool, names: Vec<String>) {
        if let Err(error) = self.shared.callbacks.add(id, callback, owner, names) {
            tracing::warn!(build = id, %error, "who is to be told of a build's end cannot be kept");
        }
    }
}

/// What the image is going to be called.
fn names(understood: &Understood) -> Vec<String> {
    let names = understood.order.wanted.names.iter();
    names.map(ToString::to_string).collect()
}

//! What the state folder holds, what of it is in use, and what may go.
//!
//! ```text
//! image     what an image is made of             load     images out of archives
//! names     images that were given a name; they hold what they are made of
//! usage     everything there is: its size, its age, its last use, and who needs it
//! prune     what to remove, and removing it          control   how other commands reach the worker
//! ```
//!
//! ```text
//! <state>/content/blobs/sha256/<hex>     blobs            <state>/builds/<n>/          records of builds
//! <state>/content/ingest/<hex>           their beginnings <state>/images/<hex>.json    names of images
//! <state>/snapshots/layers/<id>/         layers           <state>/cache.*              results of steps
//! <state>/contexts/<hex>.json            build contexts   <state>/layers/<how>/       which blob a layer became
//! <state>/cache-mounts/<hex>/<n>/        cache mounts     <state>/git/<hex>/           git repositories
//! <state>/{scratch,sandbox,requests}/    gone at every start <state>/scans/<hex>       how contexts looked
//! <state>/hooks/<name>.json              what came for hooks <state>/callbacks/<n>.json who is told of builds' ends
//! ```
//!
//! A thing's modification time is that of its last use ([`crate::lease`]); its time of birth is when it came.

pub mod control;
pub mod image;
pub mod load;
pub mod names;
pub mod prune;
pub mod usage;

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use crate::backend::BackendError;
use crate::backend::embedded::EmbeddedBackend;
use crate::build::Builds;
use crate::config::{Config, Limits, StorageLimits};
use crate::content::ContentStore;
use crate::lease::Leases;

use names::ImageNames;
use prune::{Policy, Pruned};
use usage::{Kind, Knowledge, Usage};

/// How long after it was last found out whether there is too much the next build finds it out again.
const PATIENCE: Duration = Duration::from_mins(1);

/// The state folder of this process's worker. Clones share everything.
#[derive(Clone)]
pub struct Storage {
    state: PathBuf,
    builds: Builds,
    backend: Arc<EmbeddedBackend>,
    limits: StorageLimits,
    image_limits: Limits,
}

/// The state folder cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum StorageError {
    /// Files of it.
    #[error("the state folder {path} cannot be read: {source}", path = path.display())]
    Read {
        /// The folder.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is remembered of steps.
    #[error(transparent)]
    Backend(#[from] BackendError),
}

impl Storage {
    /// The storage under `state`, whose parts are open already.
    pub fn new(state: &Path, builds: Builds, backend: Arc<EmbeddedBackend>, config: &Config) -> Self {
        Self {
            // The stores know their things by this path.
            state: state.canonicalize().unwrap_or_else(|_| state.to_owned()),
            builds,
            backend,
            limits: config.storage,
            image_limits: config.limits,
        }
    }

    /// Who runs the builds.
    pub fn backend(&self) -> &Arc<EmbeddedBackend> {
        &self.backend
    }

    /// Where blobs are.
    pub fn content(&self) -> &ContentStore {
        self.builds.contexts().content()
    }

    /// Everything there is.
    pub fn usage(&self) -> Result<Usage, StorageError> {
        let knowledge = Knowledge {
            records: self.backend.step_records()?,
            leases: self.leases().clone(),
        };
        Usage::survey(&self.state, &knowledge).map_err(|source| self.unreadable(source))
    }

    /// The images that have names.
    pub fn names(&self) -> ImageNames {
        ImageNames::of(&self.state)
    }

    /// Removes the longest unused where there is more than the configuration wants; cheap where there is not. For after
    /// a build. Blocks.
    pub fn tidy(&self) -> Option<Pruned> {
        match self.try_tidy() {
            Ok(pruned) => pruned,
            Err(error) => {
                tracing::warn!(%error, "what is longest unused could not be removed");
                None
            }
        }
    }

    fn try_tidy(&self) -> Result<Option<Pruned>, StorageError> {
        let free = self.backend.snapshots().free_space();
        let lacking = free.map_or(0, |free| self.limits.min_free_space.saturating_sub(free));
        if lacking == 0 && !self.is_due() {
            return Ok(None);
        }
        let used = usage::total(&self.state).map_err(|source| self.unreadable(source))?;
        // A disk that is full of other things is not helped by a worker that keeps nothing.
        let lacking = if lacking > used { 0 } else { lacking };
        let keep = used
            .saturating_sub(lacking)
            .min(match self.limits.max_used_space {
                0 => u64::MAX,
                most => most,
            });
        if used <= keep {
            return Ok(None);
        }
        let mut policy = Policy::cache();
        policy.kinds.insert(Kind::CacheMount);
        policy.keep = Some(keep);
        let pruned = self.prune(&policy)?;
        tracing::info!(
            things = pruned.removed.len(),
            bytes = pruned.freed,
            "removed what was longest unused"
        );
        for reason in &pruned.failed {
            tracing::warn!(reason, "something could not be removed");
        }
        Ok(Some(pruned))
    }

    /// Whether it is time to look again; from then on it is not.
    fn is_due(&self) -> bool {
        let mark = self.state.join("tidied");
        let age = fs::metadata(&mark)
            .and_then(|metadata| metadata.modified())
            .ok()
            .and_then(|time| time.elapsed().ok());
        if age.is_some_and(|age| age < PATIENCE) {
            return false;
        }
        let marked = File::create(&mark).and_then(|file| file.set_modified(SystemTime::now()));
        if let Err(error) = marked {
            tracing::debug!(%error, "when storage was looked at cannot be noted");
        }
        true
    }

    fn leases(&self) -> &Leases {
        self.builds.contexts().content().leases()
    }

    fn unreadable(&self, source: io::Error) -> StorageError {
        StorageError::Read {
            path: self.state.clone(),
            source,
        }
    }
}

//! The worker's configuration file.
//!
//! TOML; every key has a default, so an empty file and no file are the same. [`SAMPLE`] shows and explains every
//! key. A key that is not known is refused, with its place and the key that was probably meant: a setting that is
//! silently ignored is worse than a worker that does not start.

mod entitlement;
mod hook;
mod parse;
pub(crate) mod size;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::time::Duration;

use stagewright_core::digest::Digest;

use crate::backend::buildkit::Route;
use crate::request::{BuildRequest, SigningKey};
use crate::server::{HostName, TlsFiles};
use crate::source::address::Network;
use crate::source::image::reference::Reference;

pub use entitlement::Entitlement;

/// A configuration file with every key in it, each explained and set to its default or to an example.
pub const SAMPLE: &str = include_str!("config/sample.toml");

/// What the worker's owner decided.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Config {
    /// How to reach registries that need more than their name, by `host[:port]`; Docker Hub is `docker.io`.
    pub registries: BTreeMap<String, RegistryConfig>,
    /// The registries that images may come from, by `host[:port]`; `None` where any may be used. Mirrors and
    /// substitutes are the owner's own choice and need not be listed.
    pub allowed_registries: Option<Vec<String>>,
    /// Private networks that builds of others than the owner may get files from all the same.
    pub private_networks: Vec<Network>,
    /// What every build may ask for beyond its steps' sandbox.
    pub entitlements: BTreeSet<Entitlement>,
    /// Caches of other machines that every build takes steps from.
    pub caches: Vec<Reference>,
    /// Images that come from elsewhere than their name says.
    pub substitutes: Vec<Substitute>,
    /// What pushes build.
    pub hooks: Vec<Hook>,
    /// Daemons that carry builds out in the place of this machine; empty where it does that itself.
    pub buildkit: Vec<Route>,
    /// What builds may use up.
    pub limits: Limits,
    /// What is kept between builds.
    pub storage: StorageLimits,
    /// How the worker is reached.
    pub serve: ServeConfig,
}

/// How a worker is reached that serves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// The certificate that it shows.
    pub tls: Option<TlsFiles>,
    /// By which names clients know it.
    pub hosts: Vec<HostName>,
    /// How often one client may ask.
    pub requests_per_second: u32,
}

impl Default for ServeConfig {
    fn default() -> Self {
        Self {
            tls: None,
            hosts: Vec::new(),
            requests_per_second: 50,
        }
    }
}

/// What a push builds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hook {
    /// Names it in its address.
    pub name: String,
    /// How pushes are told of.
    pub kind: HookKind,
    /// What messages are signed with.
    pub key: SigningKey,
    /// Patterns of branches and tags, in full.
    pub refs: Vec<String>,
    /// What is built, but for the commit.
    pub build: BuildRequest,
    /// Who is told of the end.
    pub callback: Option<HookCallback>,
}

/// How pushes are told of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HookKind {
    /// As GitHub does it, and those who do as it does.
    Github,
    /// A plain message that anybody can send who has the secret.
    Plain,
}

/// Who is told that a hook's build has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCallback {
    /// The address.
    pub url: String,
    /// What messages to it are signed with.
    pub key: SigningKey,
}

/// How to reach one registry.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RegistryConfig {
    /// Registries that hold the same images; tried in order before the registry itself.
    pub mirrors: Vec<Mirror>,
    /// Whether it speaks HTTP without TLS. `None` leaves it to the address: loopback addresses do, others do not.
    pub plain_http: Option<bool>,
    /// Who to say we are; anonymous where there is none.
    pub credentials: Option<Credentials>,
}

/// Another address of a registry's images.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mirror {
    /// Whether it is reached without TLS.
    pub plain_http: bool,
    /// `host[:port]`. Credentials and the like are looked up under this name.
    pub host: String,
    /// What goes before the repository's name, without slashes around it; usually empty.
    pub prefix: String,
}

/// A user name and password, or a token in the place of a password.
#[derive(Clone, PartialEq, Eq)]
pub struct Credentials {
    /// The user's name.
    pub username: String,
    /// What proves it. Never printed.
    pub password: String,
}

impl fmt::Debug for Credentials {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// An image that comes from elsewhere than its name says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Substitute {
    /// The image as Dockerfiles name it, in full.
    pub image: Reference,
    /// Where it comes from in truth.
    pub from: SubstituteSource,
    /// What people are told wherever the image is named.
    pub note: Option<String>,
}

/// Where a [`Substitute`] comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SubstituteSource {
    /// A directory in the OCI image layout.
    Layout {
        /// The directory.
        path: PathBuf,
        /// Which of its images; may be left out where there is only one.
        image: LayoutImage,
    },
    /// Another image in a registry. It is not substituted again.
    Image(Reference),
}

/// Which of the images in an OCI layout is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutImage {
    /// The only one.
    Only,
    /// The one whose annotation `org.opencontainers.image.ref.name` is this.
    Name(String),
    /// The one with this digest.
    Digest(Digest),
}

/// Splits `path[:tag|@digest]`, as images in OCI layouts are named. A colon before the last slash belongs to the path.
pub(crate) fn layout_place(text: &str) -> (&str, LayoutImage) {
    parse::split_layout(text)
}

impl Config {
    /// The references that are served from elsewhere and what to tell people, as a worker's welcome lists them.
    pub fn substitute_notes(&self) -> BTreeMap<String, String> {
        let told = |substitute: &Substitute| {
            substitute
                .note
                .clone()
                .unwrap_or_else(|| format!("comes from {}", substitute.from))
        };
        self.substitutes
            .iter()
            .map(|entry| (entry.image.to_string(), told(entry)))
            .collect()
    }

    /// Whether images may come from `registry`.
    pub fn allows_registry(&self, registry: &str) -> bool {
        self.allowed_registries
            .as_ref()
            .is_none_or(|allowed| allowed.iter().any(|name| name == registry))
    }

    /// Reads the file at `path`. Relative paths in it start at its directory.
    pub fn load(path: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(path).map_err(|source| ConfigError::Read {
            path: path.to_owned(),
            source,
        })?;
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        parse::parse(&text, path, directory.unwrap_or(Path::new(".")))
    }

    /// Reads `text`. Relative paths in it start at `directory`; errors name it `<configuration>`.
    pub fn parse(text: &str, directory: &Path) -> Result<Self, ConfigError> {
        parse::parse(text, Path::new("<configuration>"), directory)
    }
}

impl fmt::Display for SubstituteSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Layout { path, image } => {
                write!(formatter, "oci-layout://{}", path.display())?;
                match image {
                    LayoutImage::Only => Ok(()),
                    LayoutImage::Name(name) => write!(formatter, ":{name}"),
                    LayoutImage::Digest(digest) => write!(formatter, "@{digest}"),
                }
            }
            Self::Image(reference) => write!(formatter, "docker-image://{reference}"),
        }
    }
}

/// What builds may use up. Sizes are in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Builds at work at a time; others wait in the queue.
    pub parallel_builds: usize,
    /// Steps at work at a time, over all builds.
    pub parallel_steps: usize,
    /// Blobs being downloaded at a time, over all builds.
    pub parallel_downloads: usize,
    /// How long one step may run.
    pub step_time: Duration,
    /// Memory of one step's processes together.
    pub step_memory: u64,
    /// Processes and threads of one step.
    pub step_processes: u64,
    /// Processor time of one step, in thousandths of a processor; `None` is all there is.
    pub step_processors: Option<u64>,
    /// What of one step's output is kept; what comes after is dropped, and the log says so.
    pub step_log: u64,
    /// Files of one build context together.
    pub context_size: u64,
    /// One file from a web server.
    pub download_size: u64,
    /// Compressed layers of one base image together.
    pub image_size: u64,
    /// Layers of one base image, unpacked, together.
    pub image_unpacked_size: u64,
}

const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;

impl Default for Limits {
    fn default() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, NonZeroUsize::get);
        Self {
            parallel_builds: 2,
            parallel_steps: processors,
            parallel_downloads: 4,
            step_time: Duration::from_hours(1),
            step_memory: 8 * GIB,
            step_processes: 4096,
            step_processors: None,
            step_log: 16 * MIB,
            context_size: 4 * GIB,
            download_size: 16 * GIB,
            image_size: 16 * GIB,
            image_unpacked_size: 64 * GIB,
        }
    }
}

/// How much is kept between builds. Sizes are in bytes; 0 is no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StorageLimits {
    /// Layers, blobs, contexts and cache mounts together; after a build the longest unused is removed beyond that.
    pub max_used_space: u64,
    /// What is to stay free on the file system, where removing things helps.
    pub min_free_space: u64,
}

impl Default for StorageLimits {
    fn default() -> Self {
        Self {
            max_used_space: 20 * GIB,
            min_free_space: GIB,
        }
    }
}

/// The configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read the configuration {path}: {source}", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Something in it is wrong.
    #[error("{path}:{line}:{column}: {message}", path = path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// Column in characters, from 1.
        column: usize,
        /// What is wrong, and what to write instead where that is known.
        message: String,
    },
}

#[cfg(test)]
mod tests;

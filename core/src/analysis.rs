//! One call from text to plan: [`analyze`].
//!
//! What comes back is plain data. It is what the page draws, what the worker is asked to run, and what the command
//! line prints; nothing in it refers back into the planner.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::diagnostic::{Diagnostic, Severity};
use crate::digest::Digest;
pub use crate::image::ImageConfig;
use crate::llb::{Attr, MetaParts, NetMode};
use crate::platform::Platform;
use crate::span::{LineRange, Span};
use crate::study::study;

mod assemble;
mod platforms;

pub use platforms::{IndexEntry, MultiPlan, PlatformPlan, SharedOp, analyze_platforms};

/// Everything a plan depends on.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Input {
    /// The Dockerfile.
    pub source: String,
    /// What `docker build`'s flags and the outside world add to it.
    pub options: Options,
}

/// What the outside world adds to the text of a Dockerfile.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Options {
    /// The stage to build; the last one where none is named. Names only, in any case, as BuildKit has it.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// The platform to build for; `linux/amd64` where none is given.
    pub platform: Option<Platform>,
    /// The platform builds run on; `linux/amd64` where none is given.
    pub build_platform: Option<Platform>,
    /// What is known of images, by the reference in its full form (`docker.io/library/alpine:latest`).
    /// An image that is not in here is planned for as if it had only a default `PATH`, and listed as unresolved.
    pub images: BTreeMap<String, ImageFacts>,
    /// What names the local build context in the definition.
    pub local: LocalIdentity,
    /// The text of the ignore file that counts ([`crate::ignore::ignore_file`] says which), where there is one. Its
    /// patterns are part of the definition; what they mean is asked of [`crate::ignore::Ignore`].
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
    /// `--build-context`: what stands in the place of images and stages, by name. A name may end in a platform, as in
    /// `alpine::linux/arm64`; it counts for that platform only, and before one that does not.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub contexts: BTreeMap<String, NamedContext>,
    /// `--no-cache`, where it is an empty list; `--no-cache-filter`, where it names stages, in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub no_cache: Option<Vec<String>>,
    /// Whether steps are named with the platform that they run on, as in a build for several.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub name_platforms: bool,
    /// What every command gets beside what its `RUN` says. Only a command line has flags for it, so it is no part of what
    /// is sent or stored.
    #[serde(skip)]
    pub run: RunOptions,
}

/// `--network`, `--add-host`, `--ulimit`, `--shm-size` and `--cgroup-parent`.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct RunOptions {
    /// The network of a command whose `RUN` names none.
    pub network: NetMode,
    /// Lines for `/etc/hosts`, limits, and where in the tree of control groups it runs.
    pub meta: MetaParts,
    /// Bytes of `/dev/shm`; 0 for the usual.
    pub shm_size: i64,
}

/// A context beside the one that a build has anyway.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum NamedContext {
    /// An image by its name; `scratch` is nothing at all.
    Image(String),
    /// A folder of the client's.
    Local(LocalContext),
    /// The address of a git repository, or of a file that is fetched by http.
    Remote(String),
    /// An image in a layout of the client's: `store@sha256:…`.
    OciLayout(String),
}

/// A folder of the client's.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LocalContext {
    /// What the client calls it when asked for its files.
    pub name: String,
    /// What the client says of which folder it is, so that a later build finds the files that were sent already.
    pub shared_key: String,
    /// The text of the `.dockerignore` in it, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ignore: Option<String>,
}

impl NamedContext {
    /// Reads what stands behind `NAME=` in `--build-context`. What is no address is a folder, which goes by `name`.
    pub fn read(name: &str, text: &str) -> Self {
        let behind = |scheme: &str| {
            text.strip_prefix(scheme)
                .map(|rest| rest.trim_start_matches("//").to_owned())
        };
        if let Some(image) = behind("docker-image:") {
            return Self::Image(image);
        }
        if let Some(layout) = behind("oci-layout:") {
            return Self::OciLayout(layout);
        }
        let remote = ["http://", "https://", "git://", "git@"];
        if remote.iter().any(|scheme| text.starts_with(scheme)) {
            return Self::Remote(text.to_owned());
        }
        Self::Local(LocalContext {
            name: name.to_owned(),
            ..LocalContext::default()
        })
    }
}

/// What a registry says of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageFacts {
    /// Digest of the manifest (or index) that the reference points to.
    pub digest: Digest,
    /// The image's configuration file, as JSON (OCI image specification, "Image Configuration").
    pub config: serde_json::Value,
    /// Sum of its compressed layers in bytes, for people; 0 where unknown.
    #[serde(default)]
    pub size: u64,
    /// Something a person should know of where it came from, such as that it is a stand-in for the real image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// How a definition names its local sources. It is part of their digests, hence of all that follows from them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LocalIdentity {
    /// The attribute `local.unique`: a value fixed by whoever plans, so that digests compare between builds.
    Unique(String),
    /// The attribute `local.session`: the id of a client's session, as a BuildKit frontend sends it.
    Session(String),
}

impl LocalIdentity {
    /// The attribute of a local source.
    pub(crate) fn attr(&self) -> Attr {
        match self {
            Self::Unique(id) => Attr::new("local.unique", id),
            Self::Session(id) => Attr::new("local.session", id),
        }
    }
}

impl Default for LocalIdentity {
    fn default() -> Self {
        Self::Unique("stagewright".into())
    }
}

/// What the planner made of an [`Input`]. It is always a value: a broken instruction costs its own step, not the plan.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Analysis {
    /// All findings, in the order of the source.
    pub diagnostics: Vec<Diagnostic>,
    /// The stages, in the order of the source.
    pub stages: Vec<Stage>,
    /// Images that stages start from or copy from, in the order of their first use; each once.
    pub images: Vec<ExternalImage>,
    /// What flows from where to where: bases, copies and mounts, in the order of the source.
    pub edges: Vec<Edge>,
    /// Index of the stage that ships; `None` where there is no stage or the target is unknown.
    pub target: Option<usize>,
    /// Global and per-stage `ARG`s that a build may set, each name once.
    pub args: Vec<ArgDeclaration>,
    /// The build itself. `None` where an error stands in the way of the target.
    pub definition: Option<Definition>,
    /// The configuration of the resulting image. `None` where `definition` is.
    pub image_config: Option<ImageConfig>,
}

impl Analysis {
    /// Whether anything keeps the target from being built.
    pub fn has_errors(&self) -> bool {
        self.diagnostics
            .iter()
            .any(|finding| finding.severity == Severity::Error)
    }
}

/// One `FROM` and what follows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Stage {
    /// Place in the file, from 0.
    pub index: usize,
    /// The name given by `AS`, lower-cased.
    pub name: Option<String>,
    /// What to call it: its name, else `stage-<index>`.
    pub label: String,
    /// What it starts from.
    pub base: Base,
    /// From `FROM` to the end of its last instruction.
    pub span: Span,
    /// The same in lines.
    pub lines: LineRange,
    /// Its instructions, `FROM` not included.
    pub steps: Vec<Step>,
    /// Whether the target needs it.
    pub needed: bool,
    /// Whether it is the target.
    pub ships: bool,
    /// Whether a named context stands in its place, so that none of its steps is done; [`Self::base`] is that context.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replaced: bool,
    /// Why it is, or is not, built: one sentence, such as "final copies /app from it".
    pub reason: String,
    /// Digest of the op its base starts from (an image source), where it starts from an image and is needed.
    pub base_vertex: Option<Digest>,
}

/// What a stage starts from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Base {
    /// Nothing.
    Scratch,
    /// An earlier stage, by index.
    Stage(usize),
    /// An image, by index into [`Analysis::images`].
    Image(usize),
    /// The reference could not be read; a diagnostic says why.
    Unknown,
}

/// One instruction of a stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Step {
    /// The instruction's keyword in upper case.
    pub keyword: Cow<'static, str>,
    /// The instruction on one line, as written, heredocs left out.
    pub text: String,
    /// All of its source.
    pub span: Span,
    /// The same in lines.
    pub lines: LineRange,
    /// The op it became. `None` for what only changes the image's configuration (`CMD`, `ENV`, …), for steps that
    /// the target does not need, and for those with errors.
    pub vertex: Option<Digest>,
    /// Whether it changes files (`RUN`, `COPY`, `ADD`, `WORKDIR`), and so may become a layer.
    pub changes_files: bool,
}

/// An image from outside the Dockerfile, or a named context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ExternalImage {
    /// As people write it: `alpine:latest`.
    pub name: String,
    /// In full: `docker.io/library/alpine:latest`. It is the key of [`Options::images`].
    pub reference: String,
    /// The named context that it is, where it is one. Its reference is then the image that stands behind it, or, where
    /// none does, what it is fetched from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<String>,
    /// The platform it is used for.
    pub platform: Platform,
    /// Whether [`Options::images`] knew it.
    pub resolved: bool,
    /// Whether the target needs it.
    pub needed: bool,
    /// Its size in bytes; 0 where unknown.
    pub size: u64,
    /// Something a person should know of where it came from.
    pub note: Option<String>,
    /// Digest of the source op, where the target needs it.
    pub vertex: Option<Digest>,
    /// The place of its first use.
    pub span: Span,
}

/// Files going from one place to another.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Edge {
    /// What kind of use it is.
    pub kind: EdgeKind,
    /// Where the files come from.
    pub from: EdgeSource,
    /// The stage they go to.
    pub to_stage: usize,
    /// The step they go to; `None` for a base, which is there before the first step.
    pub to_step: Option<usize>,
    /// What is copied or mounted, as written after expansion; empty for a base.
    pub paths: Vec<String>,
    /// What to write on it, short: `app` for `/go/src/…/app`, `3 paths` for many.
    pub label: String,
    /// Whether the target needs it.
    pub needed: bool,
    /// The words that name the source (`--from=builder`, the image after `FROM`), else the whole instruction.
    pub span: Span,
}

/// What kind of use an [`Edge`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EdgeKind {
    /// `FROM`.
    Base,
    /// `COPY` or `ADD`.
    Copy,
    /// `RUN --mount`.
    Mount,
}

/// Where the files of an [`Edge`] come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum EdgeSource {
    /// The build context.
    Context,
    /// The end of a stage, by index.
    Stage(usize),
    /// An image, by index into [`Analysis::images`].
    Image(usize),
}

/// An `ARG` that a build may set.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ArgDeclaration {
    /// Its name.
    pub name: String,
    /// The default written in the file, expanded.
    pub default: Option<String>,
    /// The place of its first declaration.
    pub span: Span,
}

/// The build as BuildKit takes it (`pb.Definition`), and what each op is for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    /// The ops in the reference's own order: an op stands after all of its inputs; the last is the terminal op.
    pub ops: Vec<PlannedOp>,
    /// Digest of the op whose files the image is made of; equals the terminal op's input. `None` for an empty image.
    pub head: Option<Digest>,
    /// The plan's identity: sha256 over the op digests joined by newlines. Shown before a run; only that plan runs.
    pub digest: Digest,
}

/// One op of a [`Definition`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedOp {
    /// sha256 of `bytes`: the op's identity, never a cache key.
    pub digest: Digest,
    /// The marshalled `pb.Op`, in base64 where this is JSON.
    #[serde(with = "crate::protocol::base64_bytes")]
    pub bytes: Vec<u8>,
    /// The name progress shows: `[builder 2/5] WORKDIR /src`. Empty for the terminal op.
    pub name: String,
    /// Digests of its inputs, in order.
    pub inputs: Vec<Digest>,
    /// The stage it was written in, where there is one.
    pub stage: Option<usize>,
    /// The step it was written as, where there is one.
    pub step: Option<usize>,
    /// Whether the user asked that it never come from the cache.
    #[serde(default)]
    pub ignore_cache: bool,
}

/// Plans `input`. Never fails and never panics: whatever is wrong is in [`Analysis::diagnostics`], and whatever can
/// be planned is planned.
pub fn analyze(input: &Input) -> Analysis {
    let mut study = study(input);
    // Where several stand at one place, the order in which they were found says most.
    let diagnostics = in_order(std::mem::take(&mut study.diagnostics));
    assemble::assemble(
        study.program,
        study.plan,
        &input.options,
        diagnostics,
        study.broken,
    )
}

/// Findings by place. Places are sorted rather than findings, which keeps the sorting code small.
fn in_order(diagnostics: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let places = diagnostics
        .iter()
        .enumerate()
        .map(|(index, finding)| (finding.span.start, index));
    let mut places: Vec<(usize, usize)> = places.collect();
    places.sort_unstable();
    let mut found: Vec<Option<Diagnostic>> = diagnostics.into_iter().map(Some).collect();
    places
        .into_iter()
        .filter_map(|(_, index)| found.get_mut(index)?.take())
        .collect()
}

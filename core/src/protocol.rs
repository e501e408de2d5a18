//! What crosses the wire between a page (or any client) and a worker.
//!
//! Text frames are JSON-RPC 2.0. A client calls the methods in [`method`]; the worker notifies with
//! [`method::BUILD_EVENT`]. Binary frames carry file content ([`ContentFrame`]).
//!
//! The progress events have the shape of `docker buildx build --progress=rawjson`, so that tools which read one
//! read the other.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::analysis::ImageFacts;
use crate::digest::Digest;
use crate::platform::Platform;

/// Version of this protocol; a worker that speaks another says so in its [`Welcome`].
pub const VERSION: u32 = 1;

/// Names of the JSON-RPC methods.
pub mod method {
    /// [`super::Hello`] -> [`super::Welcome`]; has to be the first call on a connection.
    pub const HELLO: &str = "hello";
    /// [`super::ResolveImage`] -> [`crate::analysis::ImageFacts`].
    pub const IMAGE_RESOLVE: &str = "image.resolve";
    /// [`super::OfferContext`] -> [`super::ContextAnswer`].
    pub const CONTEXT_OFFER: &str = "context.offer";
    /// Notification [`super::ContentReceived`], once for each blob that arrived whole.
    pub const CONTENT_RECEIVED: &str = "content.received";
    /// Notification [`super::ContentRefused`], once for each blob of which a piece was not taken; the pieces behind
    /// it are dropped until the context is offered again.
    pub const CONTENT_REFUSED: &str = "content.refused";
    /// [`super::StartBuild`] -> [`super::BuildStarted`]. It does not attach.
    pub const BUILD_START: &str = "build.start";
    /// [`super::AttachBuild`] -> [`super::BuildSummary`]; then every event after `since`, in order, then live ones.
    pub const BUILD_ATTACH: &str = "build.attach";
    /// [`super::BuildRef`] -> `null`.
    pub const BUILD_CANCEL: &str = "build.cancel";
    /// `null` -> `Vec<BuildSummary>`, newest first.
    pub const BUILD_LIST: &str = "build.list";
    /// [`super::RequestOutput`] -> [`super::OutputReady`].
    pub const BUILD_OUTPUT: &str = "build.output";
    /// Notification [`super::BuildEvent`].
    pub const BUILD_EVENT: &str = "build.event";
}

/// A JSON-RPC request, or a notification where `id` is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Always `"2.0"`.
    pub jsonrpc: String,
    /// Echoed in the response.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub id: Option<u64>,
    /// One of [`method`].
    pub method: String,
    /// The method's parameter object.
    #[serde(default)]
    pub params: serde_json::Value,
}

/// A JSON-RPC response; exactly one of `result` and `error` is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Response {
    /// Always `"2.0"`.
    pub jsonrpc: String,
    /// The request's id; `None` where the request could not be read.
    pub id: Option<u64>,
    /// What the method gives.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub result: Option<serde_json::Value>,
    /// Why there is no result.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error: Option<RpcError>,
}

/// A JSON-RPC error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RpcError {
    /// One of [`error_code`].
    pub code: i32,
    /// What happened and what to do next, for people.
    pub message: String,
}

/// Codes of [`RpcError`]: those of JSON-RPC 2.0, and our own from -32000 down.
pub mod error_code {
    /// The frame is not JSON.
    pub const PARSE: i32 = -32700;
    /// The frame is JSON but no request.
    pub const INVALID_REQUEST: i32 = -32600;
    /// There is no such method.
    pub const METHOD_NOT_FOUND: i32 = -32601;
    /// The parameters do not fit the method.
    pub const INVALID_PARAMS: i32 = -32602;
    /// The worker failed.
    pub const INTERNAL: i32 = -32603;
    /// No token, a wrong one, or one that was used already.
    pub const UNAUTHORIZED: i32 = -32000;
    /// No build, context or image of that name.
    pub const NOT_FOUND: i32 = -32001;
    /// This machine cannot do that; the message names what is missing.
    pub const UNAVAILABLE: i32 = -32002;
    /// A registry or another outside service refused or did not answer.
    pub const UPSTREAM: i32 = -32003;
    /// Too many or too large.
    pub const LIMIT: i32 = -32004;
}

/// The first call on a connection. One of the two is needed; with both, the token is used up only where the session
/// is not good any more. A refusal ends the connection.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Hello {
    /// The one-time token that the worker printed.
    pub token: Option<String>,
    /// A session that an earlier [`Welcome`] gave.
    pub session: Option<String>,
}

/// What a worker says of itself once it trusts a client.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Welcome {
    /// Proves who this is on later connections; lives as long as the worker's state directory.
    pub session: String,
    /// [`VERSION`].
    pub protocol: u32,
    /// The worker's own version.
    pub version: String,
    /// What it builds for without emulation.
    pub platform: Platform,
    /// Whether it can run builds at all.
    pub can_build: bool,
    /// What the machine does not allow, a sentence each; empty where all is well.
    pub missing: Vec<String>,
    /// Reference -> note, for images that are served from somewhere else than their name says.
    pub substitutes: BTreeMap<String, String>,
    /// Builds it knows of, newest first.
    pub builds: Vec<BuildSummary>,
}

/// Asks what a registry says of an image.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ResolveImage {
    /// In full: `docker.io/library/alpine:latest`.
    pub reference: String,
    /// Which of its platforms.
    pub platform: Platform,
}

/// The answer to [`ResolveImage`].
pub type ImageResolved = ImageFacts;

/// What is in a build context: everything that travels is known by content.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OfferContext {
    /// The local source's name in the definition: `context`.
    pub name: String,
    /// Its entries, parents before children.
    pub entries: Vec<ContextEntry>,
}

/// One entry of a build context.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContextEntry {
    /// Relative to the context's root, `/` between parts, no `.` or `..` parts.
    pub path: String,
    /// Permission bits, `0o644`.
    pub mode: u32,
    /// What it is.
    pub kind: ContextEntryKind,
}

/// What a [`ContextEntry`] is.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum ContextEntryKind {
    /// A directory.
    Directory,
    /// A regular file of `size` bytes with this digest.
    File {
        /// sha256 of its content.
        digest: Digest,
        /// Its length in bytes.
        size: u64,
    },
    /// A symbolic link.
    Symlink {
        /// What it points to, as written.
        target: String,
    },
}

/// The answer to [`OfferContext`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContextAnswer {
    /// Name of this exact content: the same offer gives the same id.
    pub id: Digest,
    /// The content the worker does not have yet. A build that uses this context may start once none is lacking.
    pub lacks: Vec<LackingContent>,
}

/// Content that a worker does not have, or has the beginning of.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LackingContent {
    /// Its digest.
    pub digest: Digest,
    /// How many bytes of it arrived before; send from there.
    pub have: u64,
}

/// A piece of a file, in a binary frame: 32 raw bytes of sha256, 8 bytes of offset (big endian), then data.
/// Pieces of one blob are sent in order; several blobs may interleave. A piece is at most 1 MiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContentFrame<'a> {
    /// Digest of the whole blob.
    pub digest: Digest,
    /// Where in the blob `data` begins.
    pub offset: u64,
    /// The bytes.
    pub data: &'a [u8],
}

impl<'a> ContentFrame<'a> {
    /// The largest piece a frame may carry.
    pub const MAX_DATA: usize = 1 << 20;
    const HEADER: usize = 40;

    /// Reads a binary frame; `None` where it is too short or too long to be one.
    pub fn decode(frame: &'a [u8]) -> Option<Self> {
        let (header, data) = frame.split_at_checked(Self::HEADER)?;
        let (raw, offset) = header.split_at_checked(32)?;
        let offset = u64::from_be_bytes(offset.try_into().ok()?);
        (data.len() <= Self::MAX_DATA).then(|| Self {
            digest: Digest::from_raw(raw),
            offset,
            data,
        })
    }

    /// The binary frame.
    pub fn encode(&self) -> Vec<u8> {
        let hex = self.digest.hex().as_bytes();
        let nibble = |byte: u8| {
            if byte.is_ascii_digit() {
                byte - b'0'
            } else {
                byte - b'a' + 10
            }
        };
        let mut frame = Vec::with_capacity(Self::HEADER + self.data.len());
        frame.extend(
            hex.chunks_exact(2)
                .map(|pair| nibble(pair[0]) << 4 | nibble(pair[1])),
        );
        frame.extend_from_slice(&self.offset.to_be_bytes());
        frame.extend_from_slice(self.data);
        frame
    }
}

/// A blob arrived whole and its digest was right.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentReceived {
    /// Its digest.
    pub digest: Digest,
}

/// A piece of a blob was not taken: its upload is over. Offering the context again tells where to begin anew.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContentRefused {
    /// The blob's digest.
    pub digest: Digest,
    /// Why it was refused, and what to do next.
    pub error: RpcError,
}

/// Asks for a build of exactly this plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartBuild {
    /// The marshalled ops in order, the terminal op last, each in base64.
    pub ops: Vec<WireOp>,
    /// The plan's identity as the client showed it ([`crate::analysis::Definition::digest`]); the worker computes it
    /// again and refuses where it differs.
    pub digest: Digest,
    /// The image's configuration as the plan made it: `rootfs.diff_ids` and history still speak of the base only.
    pub image_config: serde_json::Value,
    /// Local source name -> id from [`ContextAnswer`].
    #[serde(default)]
    pub contexts: BTreeMap<String, Digest>,
    /// What to call the build and its image, such as `href-counter`.
    #[serde(default)]
    pub title: String,
    /// Run everything again.
    #[serde(default)]
    pub no_cache: bool,
}

/// One op of a [`StartBuild`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WireOp {
    /// The marshalled `pb.Op`.
    #[serde(with = "base64_bytes")]
    pub bytes: Vec<u8>,
    /// The name progress shows.
    pub name: String,
}

/// The answer to [`StartBuild`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildStarted {
    /// Names the build from now on.
    pub id: BuildId,
}

/// Names a build.
pub type BuildId = String;

/// A method's parameter where a build is all it needs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildRef {
    /// The build.
    pub id: BuildId,
}

/// Asks for a build's events.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AttachBuild {
    /// The build.
    pub id: BuildId,
    /// The last sequence number already seen; 0 for all of them (numbers start at 1).
    #[serde(default)]
    pub since: u64,
}

/// A build in one line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildSummary {
    /// Names it.
    pub id: BuildId,
    /// What the client called it.
    pub title: String,
    /// The plan it runs.
    pub digest: Digest,
    /// How it stands.
    pub state: BuildState,
    /// When it was asked for, RFC 3339.
    pub created: String,
    /// Sequence number of its newest event.
    pub last_seq: u64,
}

/// How a build stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum BuildState {
    /// Waiting for its turn.
    Queued,
    /// At work.
    Running,
    /// Its image is there.
    Done,
    /// A step failed.
    Failed,
    /// Someone cancelled it.
    Cancelled,
    /// The worker died under it.
    Lost,
}

/// Something happened in a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildEvent {
    /// The build.
    pub id: BuildId,
    /// Counts the build's events from 1, without gaps.
    pub seq: u64,
    /// What happened.
    pub event: Event,
}

/// What happened in a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Event {
    /// Progress, in the shape of rawjson.
    Status(SolveStatus),
    /// A step's files became a layer.
    Layer(Layer),
    /// The build ended well.
    Done(ImageSummary),
    /// The build ended badly.
    Failed(BuildFailure),
    /// The build was cancelled.
    Cancelled,
}

/// Progress: one line of `--progress=rawjson` (BuildKit `client.SolveStatus`). Times are RFC 3339.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SolveStatus {
    /// Steps that changed. A step may be reported often; the last report counts.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub vertexes: Vec<Vertex>,
    /// Progress within steps.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub statuses: Vec<VertexStatus>,
    /// What steps printed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub logs: Vec<VertexLog>,
    /// What a person should know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<VertexWarning>,
}

/// A step's state.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Vertex {
    /// Digest of its op.
    pub digest: Digest,
    /// Digests of its inputs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub inputs: Vec<Digest>,
    /// `[builder 2/5] WORKDIR /src`.
    #[serde(default)]
    pub name: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
    /// Whether its result was there already.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub cached: bool,
    /// Why it failed; empty where it did not.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub error: String,
    /// Why it was run or taken from the cache, in one sentence. Our addition.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// Progress within a step, such as the download of one layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexStatus {
    /// Names it within the step.
    pub id: String,
    /// The step.
    pub vertex: Digest,
    /// What goes on: `extracting`, `transferring`.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// How much is done.
    #[serde(default)]
    pub current: u64,
    /// How much there is; 0 where unknown.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub total: u64,
    /// When this was so.
    pub timestamp: String,
    /// When it began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<String>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completed: Option<String>,
}

#[allow(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde passes a reference; not found where pointers have 32 bits"
)]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// Something a step printed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexLog {
    /// The step.
    pub vertex: Digest,
    /// 1 for standard output, 2 for standard error.
    pub stream: u32,
    /// The bytes, in base64; they need not be UTF-8.
    #[serde(with = "base64_bytes")]
    pub data: Vec<u8>,
    /// When.
    pub timestamp: String,
}

/// Something a person should know of a step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct VertexWarning {
    /// The step.
    pub vertex: Digest,
    /// 1 is the most important.
    #[serde(default)]
    pub level: u32,
    /// One line, in base64.
    #[serde(with = "base64_bytes")]
    pub short: Vec<u8>,
}

/// A step's files as a layer.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Layer {
    /// The step's op.
    pub vertex: Digest,
    /// sha256 of the uncompressed tar.
    pub diff_id: Digest,
    /// sha256 of the blob as it stands in the image; `None` as long as nothing needed it compressed.
    pub digest: Option<Digest>,
    /// Media type of the blob.
    pub media_type: String,
    /// Size of the blob where `digest` is there, else of the uncompressed tar, in bytes.
    pub size: u64,
    /// Size of the uncompressed tar in bytes.
    pub unpacked_size: u64,
    /// Entries that are new.
    pub added: u64,
    /// Entries that were there before and changed.
    pub changed: u64,
    /// Entries that were removed.
    pub removed: u64,
}

/// The image at the end of a build.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageSummary {
    /// Digest of its manifest.
    pub digest: Digest,
    /// Digest of its configuration.
    pub config: Digest,
    /// Its layers, lowest first.
    pub layers: Vec<ImageLayer>,
    /// Sum of the layers' blobs in bytes.
    pub size: u64,
}

/// A layer of an [`ImageSummary`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ImageLayer {
    /// sha256 of the blob.
    pub digest: Digest,
    /// sha256 of the uncompressed tar.
    pub diff_id: Digest,
    /// Size of the blob in bytes.
    pub size: u64,
    /// The step that made it; the image source's for layers of a base image.
    pub vertex: Option<Digest>,
}

/// Why a build failed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BuildFailure {
    /// What happened and what to do next.
    pub message: String,
    /// The step that failed.
    pub vertex: Option<Digest>,
    /// Its exit code, where it was a process that exited.
    pub exit_code: Option<i32>,
}

/// Asks for a build's image as a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RequestOutput {
    /// The build.
    pub id: BuildId,
    /// As what.
    pub format: OutputFormat,
}

/// What an image can be downloaded as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputFormat {
    /// A tar of an OCI image layout.
    Oci,
    /// What `docker load` reads.
    Docker,
}

/// The answer to [`RequestOutput`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OutputReady {
    /// Path on this worker, good for one download within a minute: the address itself is the permission.
    pub path: String,
    /// What to call the file.
    pub file_name: String,
}

/// Bytes as base64 text, for serde.
pub mod base64_bytes {
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use serde::{Deserialize as _, Deserializer, Serializer};

    /// Writes `bytes` as base64.
    pub fn serialize<S: Serializer>(bytes: &[u8], serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&STANDARD.encode(bytes))
    }

    /// Reads base64.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        STANDARD.decode(text).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_frame_survives_its_own_encoding() {
        let frame = ContentFrame {
            digest: Digest::of(b"whole"),
            offset: 7,
            data: b"ole",
        };
        assert_eq!(ContentFrame::decode(&frame.encode()), Some(frame));
    }

    #[test]
    fn short_and_oversized_frames_are_refused() {
        assert_eq!(ContentFrame::decode(&[0; 39]), None);
        assert_eq!(ContentFrame::decode(&vec![0; 41 + ContentFrame::MAX_DATA]), None);
    }
}

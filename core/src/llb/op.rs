//! An op, and the kinds of op that are small enough to stand beside it.

use crate::digest::Digest;

use super::{ExecOp, FileOp, SourceOp};

/// A vertex of the graph (`pb.Op`).
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Op {
    /// What it works on, in the order its mounts, actions or layers count them.
    pub inputs: Vec<Input>,
    /// What it does. `None` in a definition's terminal op, which only points to the result.
    pub kind: Option<OpKind>,
    /// The platform it is for. Only exec ops and image sources carry one.
    pub platform: Option<Platform>,
    /// Which workers may run it. BuildKit's client always writes it, empty, except on the terminal op.
    pub constraints: Option<WorkerConstraints>,
}

/// An output of another op (`pb.Input`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Input {
    /// The op.
    pub digest: Digest,
    /// Which of its outputs, from 0.
    pub index: u32,
}

/// What an op does (`pb.Op.op`).
#[derive(Clone, PartialEq, prost::Oneof)]
#[allow(
    clippy::large_enum_variant,
    reason = "nearly all ops are the large kinds; not found where pointers have 32 bits"
)]
pub enum OpKind {
    /// Runs a process.
    #[prost(message, tag = "2")]
    Exec(ExecOp),
    /// Brings in files from outside.
    #[prost(message, tag = "3")]
    Source(SourceOp),
    /// Copies, makes and removes files.
    #[prost(message, tag = "4")]
    File(FileOp),
    /// A nested build, left as the bytes it is: Dockerfiles never make one.
    #[prost(bytes = "vec", tag = "5")]
    Build(Vec<u8>),
    /// Lays several inputs over each other.
    #[prost(message, tag = "6")]
    Merge(MergeOp),
    /// What changed from one input to another.
    #[prost(message, tag = "7")]
    Diff(DiffOp),
    /// Hands inputs through, left as the bytes it is: Dockerfiles never make one.
    #[prost(bytes = "vec", tag = "8")]
    Passthrough(Vec<u8>),
}

impl OpKind {
    /// A word for messages: `exec`, `source`, …
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Exec(_) => "exec",
            Self::Source(_) => "source",
            Self::File(_) => "file",
            Self::Build(_) => "build",
            Self::Merge(_) => "merge",
            Self::Diff(_) => "diff",
            Self::Passthrough(_) => "passthrough",
        }
    }
}

/// `pb.Platform`; the OCI image specification's platform.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct Platform {
    /// `amd64`, `arm64`, …
    #[prost(string, tag = "1")]
    pub architecture: String,
    /// `linux`, `windows`, …
    #[prost(string, tag = "2")]
    pub os: String,
    /// `v7` in `linux/arm/v7`.
    #[prost(string, tag = "3")]
    pub variant: String,
    /// Version of Windows.
    #[prost(string, tag = "4")]
    pub os_version: String,
    /// Unused by BuildKit, kept so that what was decoded can be encoded again.
    #[prost(string, repeated, tag = "5")]
    pub os_features: Vec<String>,
}

/// `pb.WorkerConstraints`.
#[derive(Clone, PartialEq, Eq, Hash, prost::Message)]
pub struct WorkerConstraints {
    /// Filters in containerd's notation.
    #[prost(string, repeated, tag = "1")]
    pub filter: Vec<String>,
}

/// Lays its inputs over each other, the first at the bottom (`pb.MergeOp`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct MergeOp {
    /// The layers, from the bottom up.
    #[prost(message, repeated, tag = "1")]
    pub inputs: Vec<MergeInput>,
}

/// `pb.MergeInput`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct MergeInput {
    /// Index into [`Op::inputs`]; -1 is nothing.
    #[prost(int64, tag = "1")]
    pub input: i64,
}

/// What has to be laid over `lower` to get `upper` (`pb.DiffOp`).
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct DiffOp {
    /// Where the difference starts.
    #[prost(message, optional, tag = "1")]
    pub lower: Option<LowerDiffInput>,
    /// Where it ends.
    #[prost(message, optional, tag = "2")]
    pub upper: Option<UpperDiffInput>,
}

/// `pb.LowerDiffInput`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct LowerDiffInput {
    /// Index into [`Op::inputs`]; -1 is nothing.
    #[prost(int64, tag = "1")]
    pub input: i64,
}

/// `pb.UpperDiffInput`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct UpperDiffInput {
    /// Index into [`Op::inputs`]; -1 is nothing.
    #[prost(int64, tag = "1")]
    pub input: i64,
}

//! LLB, the graph of operations that BuildKit executes: its types, its bytes, and how to read them back.
//!
//! The types have the field numbers of BuildKit's `solver/pb/ops.proto`. They are written out here because an op is
//! known by the digest of its bytes, so the encoding has to be BuildKit's byte for byte, and no derived encoder of
//! the whole message writes it: what stands in a `oneof` goes last whatever its number ([`marshal()`]), and map
//! entries are sorted and carry their empty values ([`Attr`]).
//!
//! Nothing here knows of Dockerfiles.

mod caps;
pub mod definition;
mod exec;
mod file;
mod json;
mod marshal;
mod op;
mod print;
mod source;
mod validate;
mod vertices;

pub use definition::Definition;
pub(crate) use exec::Process;
pub use exec::{
    CacheOpt, CacheSharing, CdiDevice, ExecOp, HostIp, Meta, MetaParts, Mount, MountContentCache, MountType,
    NetMode, ProxyEnv, SecretEnv, SecretOpt, SecurityMode, SshOpt, TmpfsOpt, Ulimit,
};
pub use file::{
    Action, ChownOpt, FileAction, FileActionCopy, FileActionMkDir, FileActionMkFile, FileActionRm,
    FileActionSymlink, FileOp, NamedUserOpt, User, UserOpt,
};
pub use json::to_json;
pub(crate) use marshal::marshal_process;
pub use marshal::{DecodeError, decode, marshal};
pub use op::{
    DiffOp, Input, LowerDiffInput, MergeInput, MergeOp, Op, OpKind, Platform, UpperDiffInput,
    WorkerConstraints,
};
pub use print::print;
pub use source::{Attr, SourceOp};
pub use vertices::{Edge, Vertex, Vertices};

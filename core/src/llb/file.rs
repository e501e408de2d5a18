//! Copying, making and removing files.

/// Actions on files, one after the other (`pb.FileOp`).
///
/// An action's inputs count first the op's inputs, then the results of earlier actions.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileOp {
    /// The actions.
    #[prost(message, repeated, tag = "2")]
    pub actions: Vec<FileAction>,
}

/// One action (`pb.FileAction`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileAction {
    /// The files it changes: an input, or an earlier action's result; -1 is an empty file system.
    #[prost(int64, tag = "1")]
    pub input: i64,
    /// The files it reads, counted the same way; -1 is none.
    #[prost(int64, tag = "2")]
    pub secondary_input: i64,
    /// Which output of the op its result is; -1 is none.
    #[prost(int64, tag = "3")]
    pub output: i64,
    /// What it does.
    #[prost(oneof = "Action", tags = "4, 5, 6, 7, 8")]
    pub action: Option<Action>,
}

/// What a file action does.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Action {
    /// Copies from the secondary input.
    #[prost(message, tag = "4")]
    Copy(FileActionCopy),
    /// Makes a file.
    #[prost(message, tag = "5")]
    MkFile(FileActionMkFile),
    /// Makes a directory.
    #[prost(message, tag = "6")]
    MkDir(FileActionMkDir),
    /// Removes a file or directory.
    #[prost(message, tag = "7")]
    Rm(FileActionRm),
    /// Makes a symbolic link.
    #[prost(message, tag = "8")]
    Symlink(FileActionSymlink),
}

/// `pb.FileActionCopy`.
#[derive(Clone, PartialEq, prost::Message)]
#[expect(clippy::struct_excessive_bools, reason = "the message has them")]
pub struct FileActionCopy {
    /// Path in the secondary input.
    #[prost(string, tag = "1")]
    pub src: String,
    /// Path in the input.
    #[prost(string, tag = "2")]
    pub dest: String,
    /// New owner; `None` keeps the source's.
    #[prost(message, optional, tag = "3")]
    pub owner: Option<ChownOpt>,
    /// New permission bits; -1 keeps the source's.
    #[prost(int32, tag = "4")]
    pub mode: i32,
    /// Whether a symbolic link at `src` is followed.
    #[prost(bool, tag = "5")]
    pub follow_symlink: bool,
    /// Whether a directory stands for what is in it.
    #[prost(bool, tag = "6")]
    pub dir_copy_contents: bool,
    /// Whether archives are unpacked.
    #[prost(bool, tag = "7")]
    pub attempt_unpack_docker_compatibility: bool,
    /// Whether directories on the way to `dest` are made.
    #[prost(bool, tag = "8")]
    pub create_dest_path: bool,
    /// Whether `src` is a pattern.
    #[prost(bool, tag = "9")]
    pub allow_wildcard: bool,
    /// Whether a pattern may match nothing.
    #[prost(bool, tag = "10")]
    pub allow_empty_wildcard: bool,
    /// Nanoseconds since 1970 that the copies are dated; -1 keeps the source's.
    #[prost(int64, tag = "11")]
    pub timestamp: i64,
    /// Only what matches one of these is copied.
    #[prost(string, repeated, tag = "12")]
    pub include_patterns: Vec<String>,
    /// What matches one of these is not copied.
    #[prost(string, repeated, tag = "13")]
    pub exclude_patterns: Vec<String>,
    /// Whether something of another type at the destination is replaced.
    #[prost(bool, tag = "14")]
    pub always_replace_existing_dest_paths: bool,
    /// Permission bits in `chmod`'s symbolic notation; used instead of `mode` where not empty.
    #[prost(string, tag = "15")]
    pub mode_str: String,
    /// What has to be there where `include_patterns` are used.
    #[prost(string, repeated, tag = "16")]
    pub required_paths: Vec<String>,
}

/// `pb.FileActionMkFile`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileActionMkFile {
    /// Path of the file.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Permission bits.
    #[prost(int32, tag = "2")]
    pub mode: i32,
    /// Its content.
    #[prost(bytes = "vec", tag = "3")]
    pub data: Vec<u8>,
    /// Its owner; `None` is root.
    #[prost(message, optional, tag = "4")]
    pub owner: Option<ChownOpt>,
    /// Nanoseconds since 1970; -1 is now.
    #[prost(int64, tag = "5")]
    pub timestamp: i64,
}

/// `pb.FileActionSymlink`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileActionSymlink {
    /// What the link points to.
    #[prost(string, tag = "1")]
    pub oldpath: String,
    /// Path of the link.
    #[prost(string, tag = "2")]
    pub newpath: String,
    /// Its owner; `None` is root.
    #[prost(message, optional, tag = "3")]
    pub owner: Option<ChownOpt>,
    /// Nanoseconds since 1970; -1 is now.
    #[prost(int64, tag = "4")]
    pub timestamp: i64,
}

/// `pb.FileActionMkDir`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct FileActionMkDir {
    /// Path of the directory.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Permission bits.
    #[prost(int32, tag = "2")]
    pub mode: i32,
    /// Whether parents are made, and its being there already is no error.
    #[prost(bool, tag = "3")]
    pub make_parents: bool,
    /// Its owner; `None` is root.
    #[prost(message, optional, tag = "4")]
    pub owner: Option<ChownOpt>,
    /// Nanoseconds since 1970; -1 is now.
    #[prost(int64, tag = "5")]
    pub timestamp: i64,
}

/// `pb.FileActionRm`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct FileActionRm {
    /// What to remove.
    #[prost(string, tag = "1")]
    pub path: String,
    /// Whether its being absent is no error.
    #[prost(bool, tag = "2")]
    pub allow_not_found: bool,
    /// Whether `path` is a pattern.
    #[prost(bool, tag = "3")]
    pub allow_wildcard: bool,
}

/// A new owner (`pb.ChownOpt`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ChownOpt {
    /// The user; `None` is root.
    #[prost(message, optional, tag = "1")]
    pub user: Option<UserOpt>,
    /// The group; `None` is the user's own.
    #[prost(message, optional, tag = "2")]
    pub group: Option<UserOpt>,
}

/// A user or group (`pb.UserOpt`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct UserOpt {
    /// By name or by number.
    #[prost(oneof = "User", tags = "1, 2")]
    pub user: Option<User>,
}

/// A user or group, by name or by number.
#[derive(Clone, PartialEq, Eq, prost::Oneof)]
pub enum User {
    /// Looked up in the `/etc/passwd` or `/etc/group` of an input.
    #[prost(message, tag = "1")]
    ByName(NamedUserOpt),
    /// As it is.
    #[prost(uint32, tag = "2")]
    ById(u32),
}

/// `pb.NamedUserOpt`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct NamedUserOpt {
    /// The name.
    #[prost(string, tag = "1")]
    pub name: String,
    /// Where to look it up, counted like [`FileAction::input`].
    #[prost(int64, tag = "2")]
    pub input: i64,
}

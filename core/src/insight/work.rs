//! What an op does, apart from what its inputs are called, and how it uses them.
//!
//! This is what the worker makes its cache keys of: the op without the names of its inputs, and in their place what the
//! inputs are. Files that are only copied from count by those that are read; a root file system counts as a whole.

use crate::analysis::PlannedOp;
use crate::digest::Digest;
use crate::llb::{self, Action, ChownOpt, MountType, Op, OpKind, SourceOp, User, UserOpt};

use super::selection::Selection;

/// An op, read.
#[derive(Debug)]
pub(super) struct Work {
    pub(super) op: Op,
    /// Digest of what it does, inputs apart.
    pub(super) own: Digest,
    pub(super) uses: Vec<Use>,
}

/// How an op uses one of its inputs, by index into its inputs.
#[derive(Debug)]
pub(super) enum Use {
    /// All of its files, as a root to work on.
    Whole(usize),
    /// Only what is selected; `source` is how that is written.
    Part {
        input: usize,
        selection: Selection,
        source: String,
        /// Whether an archive would be unpacked, so that what comes out says little of what goes in.
        unpacks: bool,
    },
}

impl Use {
    pub(super) fn input(&self) -> usize {
        match self {
            Self::Whole(input) | Self::Part { input, .. } => *input,
        }
    }
}

/// Options of local sources that only say who sends them, or which part of them is needed.
const PASSING: [&str; 5] = [
    "local.session",
    "local.unique",
    "local.followpaths",
    "local.sharedkeyhint",
    "local.differ",
];

impl Work {
    /// Reads an op of a plan.
    pub(super) fn of(planned: &PlannedOp) -> Self {
        // What was planned here can be read here; anything else does nothing.
        let op = llb::decode(&planned.bytes).unwrap_or_default();
        let uses = uses(&op);
        let own = Digest::of(&llb::marshal(&without_names(&op)));
        Self { op, own, uses }
    }

    /// The option `key` of a local source, a JSON list.
    pub(super) fn local_patterns(&self, key: &str) -> Vec<String> {
        match &self.op.kind {
            Some(OpKind::Source(source)) => source
                .attr(key)
                .and_then(|text| serde_json::from_str(text).ok())
                .unwrap_or_default(),
            _ => Vec::new(),
        }
    }

    /// The name of the local directory that it brings in.
    pub(super) fn local(&self) -> Option<&str> {
        match &self.op.kind {
            Some(OpKind::Source(source)) => source.identifier.strip_prefix("local://"),
            _ => None,
        }
    }

    /// The image that it brings in, as referred to.
    pub(super) fn image(&self) -> Option<&str> {
        match &self.op.kind {
            Some(OpKind::Source(source)) => source.identifier.strip_prefix("docker-image://"),
            _ => None,
        }
    }

    /// Whether its result is kept for later: steps are, sources and merges are not.
    pub(super) fn is_kept(&self) -> bool {
        matches!(self.op.kind, Some(OpKind::Exec(_) | OpKind::File(_)))
    }

    /// Whether it makes files out of nothing but itself, as an inline document does.
    pub(super) fn is_document(&self) -> bool {
        matches!(&self.op.kind, Some(OpKind::File(file)) if file.actions.iter().all(|action| {
            action.input < 0 && matches!(action.action, Some(Action::MkFile(_)))
        }))
    }
}

fn without_names(op: &Op) -> Op {
    let mut op = Op {
        inputs: Vec::new(),
        constraints: None,
        ..op.clone()
    };
    match &mut op.kind {
        Some(OpKind::Exec(exec)) => {
            if let Some(meta) = &mut exec.meta {
                meta.proxy_env = None;
            }
        }
        Some(OpKind::Source(source)) => {
            let attrs = source.attrs.iter();
            let attrs = attrs.filter(|attr| !PASSING.contains(&attr.key.as_str()));
            *source = SourceOp::new(source.identifier.clone(), attrs.cloned().collect());
        }
        _ => {}
    }
    op
}

fn uses(op: &Op) -> Vec<Use> {
    let input = |index: i64| {
        usize::try_from(index)
            .ok()
            .filter(|index| *index < op.inputs.len())
    };
    let mut uses = Vec::new();
    match &op.kind {
        Some(OpKind::File(file)) => {
            let mut whole = Vec::new();
            for action in &file.actions {
                for index in std::iter::once(action.input).chain(owners(action.action.as_ref())) {
                    if let Some(index) = input(index).filter(|index| !whole.contains(index)) {
                        whole.push(index);
                        uses.push(Use::Whole(index));
                    }
                }
                if let (Some(Action::Copy(copy)), Some(index)) =
                    (&action.action, input(action.secondary_input))
                {
                    uses.push(Use::Part {
                        input: index,
                        selection: Selection::of(copy),
                        source: copy.src.clone(),
                        unpacks: copy.attempt_unpack_docker_compatibility,
                    });
                }
            }
        }
        Some(OpKind::Exec(exec)) => {
            for mount in &exec.mounts {
                let Some(index) = input(mount.input) else { continue };
                if mount.dest != "/" && mount.mount_type == MountType::Bind as i32 {
                    uses.push(Use::Part {
                        input: index,
                        selection: Selection::under(&mount.selector),
                        source: mount.selector.clone(),
                        unpacks: false,
                    });
                } else {
                    uses.push(Use::Whole(index));
                }
            }
        }
        _ => uses.extend((0..op.inputs.len()).map(Use::Whole)),
    }
    uses
}

/// The inputs in which owners are looked up by name.
fn owners(action: Option<&Action>) -> Vec<i64> {
    let owner = match action {
        Some(Action::Copy(copy)) => &copy.owner,
        Some(Action::MkFile(file)) => &file.owner,
        Some(Action::MkDir(folder)) => &folder.owner,
        Some(Action::Symlink(link)) => &link.owner,
        Some(Action::Rm(_)) | None => return Vec::new(),
    };
    let Some(ChownOpt { user, group }) = owner else {
        return Vec::new();
    };
    let by_name = |user: &UserOpt| match &user.user {
        Some(User::ByName(named)) => Some(named.input),
        _ => None,
    };
    [user, group].into_iter().flatten().filter_map(by_name).collect()
}

/// In what two ops differ that are one step before and after, in words.
pub(super) fn difference(before: &Op, after: &Op) -> String {
    match (&before.kind, &after.kind) {
        (Some(OpKind::Exec(old)), Some(OpKind::Exec(new))) => {
            let (Some(old_meta), Some(new_meta)) = (&old.meta, &new.meta) else {
                return "it is another instruction".into();
            };
            if old_meta.args != new_meta.args {
                return "its command is another".into();
            }
            let changed = changed_variables(&old_meta.env, &new_meta.env);
            if !changed.is_empty() {
                return changed;
            }
            if old_meta.cwd != new_meta.cwd {
                return format!("it runs in {} instead of {}", new_meta.cwd, old_meta.cwd);
            }
            if old_meta.user != new_meta.user {
                return "it runs as another user".into();
            }
            if old.mounts != new.mounts {
                return "its mounts are others".into();
            }
            if before.platform != after.platform {
                return "it runs on another platform".into();
            }
            "its options are others".into()
        }
        (Some(OpKind::Source(old)), Some(OpKind::Source(new))) => {
            if old.identifier == new.identifier {
                "its options are others".into()
            } else if new.identifier.starts_with("docker-image://") {
                "it is another image".into()
            } else {
                "it comes from elsewhere".into()
            }
        }
        _ => "its instruction is another".into(),
    }
}

/// `VERSION changed from 1 to 2`, for the first variable that differs.
fn changed_variables(before: &[String], after: &[String]) -> String {
    let split = |variable: &String| -> (String, String) {
        let (name, value) = variable.split_once('=').unwrap_or((variable, ""));
        (name.to_owned(), value.to_owned())
    };
    let mut old: std::collections::BTreeMap<String, String> = before.iter().map(split).collect();
    for (name, value) in after.iter().map(split) {
        match old.remove(&name) {
            None => return format!("{name} is set now"),
            Some(was) if was != value => return format!("{name} is another"),
            Some(_) => {}
        }
    }
    match old.into_keys().next() {
        Some(name) => format!("{name} is not set any more"),
        None if before != after => "its variables stand in another order".into(),
        None => String::new(),
    }
}

//! Cache keys: what a step does, and on which content.
//!
//! A key holds the op without the names of its inputs, and in their place what the inputs *are*: the layers of a
//! root file system by their digests, files that are only copied from by a checksum over just those files. So a step
//! is found again when the same is done to the same content, however that content came to be, and a file that no
//! step reads changes nothing.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;
use stagewright_core::llb::{Action, MountType, Op, OpKind, SourceOp, marshal};

use super::ops::file::owner_inputs;
use super::select::{Selection, field};

/// Changes when keys are made differently, so that old ones are not found.
const VERSION: &[u8] = b"stagewright cache key 1";

/// How an op uses one of its inputs.
#[derive(Debug, Clone)]
pub(crate) enum Use {
    /// All of its files, as a root to work on.
    Whole(usize),
    /// Only some of its files are read.
    Part(usize, Selection),
}

/// What one use of an input stood for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct InputFact {
    /// The name of the step that gave the input.
    pub(crate) from: String,
    /// The digest of all its files, or the checksum of those that are read.
    pub(crate) content: Digest,
    /// What is read of it; `None` where it is all.
    pub(crate) part: Option<String>,
    /// The build context that it is, where it is one.
    pub(crate) context: Option<Digest>,
}

/// A step's key and what it was made of.
#[derive(Debug, Clone)]
pub(crate) struct Key {
    /// The key itself.
    pub(crate) digest: Digest,
    /// What the step does, inputs apart.
    pub(crate) own: Digest,
    /// What it works on.
    pub(crate) inputs: Vec<InputFact>,
}

/// What `op` does, inputs apart and without what has no bearing on its result.
pub(crate) fn own(op: &Op) -> Digest {
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
        Some(OpKind::Source(source)) => *source = without_session(source),
        Some(
            OpKind::File(_) | OpKind::Build(_) | OpKind::Merge(_) | OpKind::Diff(_) | OpKind::Passthrough(_),
        )
        | None => {}
    }
    Digest::of(&marshal(&op))
}

/// A source without what only says who sends it, or which of it is needed.
fn without_session(source: &SourceOp) -> SourceOp {
    let passing = [
        "local.session",
        "local.unique",
        "local.followpaths",
        "local.sharedkeyhint",
    ];
    let attrs = source
        .attrs
        .iter()
        .filter(|attr| !passing.contains(&attr.key.as_str()))
        .cloned()
        .collect();
    SourceOp::new(source.identifier.clone(), attrs)
}

/// How `op` uses its inputs, in the order in which it does.
pub(crate) fn uses(op: &Op) -> Vec<Use> {
    let input = |index: i64| {
        usize::try_from(index)
            .ok()
            .filter(|index| *index < op.inputs.len())
    };
    let mut uses = Vec::new();
    match &op.kind {
        Some(OpKind::File(file)) => {
            let mut whole = BTreeSet::new();
            for action in &file.actions {
                let owners = action.action.iter().flat_map(owner_inputs);
                for index in std::iter::once(action.input).chain(owners).filter_map(input) {
                    if whole.insert(index) {
                        uses.push(Use::Whole(index));
                    }
                }
                if let (Some(Action::Copy(copy)), Some(index)) =
                    (&action.action, input(action.secondary_input))
                {
                    uses.push(Use::Part(index, Selection::from(copy)));
                }
            }
        }
        Some(OpKind::Exec(exec)) => {
            for mount in &exec.mounts {
                let Some(index) = input(mount.input) else { continue };
                // A cache begins with such files, and a view shows them; neither has anything to do with the others.
                let part = [MountType::Bind as i32, MountType::Cache as i32].contains(&mount.mount_type);
                if mount.dest != "/" && part {
                    uses.push(Use::Part(index, Selection::all_under(&mount.selector)));
                } else {
                    uses.push(Use::Whole(index));
                }
            }
        }
        Some(
            OpKind::Source(_)
            | OpKind::Build(_)
            | OpKind::Merge(_)
            | OpKind::Diff(_)
            | OpKind::Passthrough(_),
        )
        | None => uses.extend((0..op.inputs.len()).map(Use::Whole)),
    }
    uses
}

impl Key {
    /// The key of a step that does `own` on `inputs`.
    pub(crate) fn new(own: Digest, inputs: Vec<InputFact>) -> Self {
        let mut hasher = Sha256::new();
        field(&mut hasher, VERSION);
        field(&mut hasher, own.as_str().as_bytes());
        for input in &inputs {
            field(&mut hasher, input.part.as_deref().unwrap_or_default().as_bytes());
            field(&mut hasher, input.content.as_str().as_bytes());
        }
        Self {
            digest: Digest::from_raw(hasher.finalize().as_slice()),
            own,
            inputs,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stagewright_core::llb::{
        Attr, ExecOp, FileAction, FileActionCopy, FileOp, Input, Meta, Mount, ProxyEnv,
    };

    fn copy_op(inputs: &[&[u8]]) -> Op {
        let copy = FileActionCopy {
            src: "/app".into(),
            dest: "/".into(),
            mode: -1,
            ..FileActionCopy::default()
        };
        let action = FileAction {
            input: 0,
            secondary_input: 1,
            output: 0,
            action: Some(Action::Copy(copy)),
        };
        Op {
            inputs: inputs
                .iter()
                .map(|name| Input {
                    digest: Digest::of(name),
                    index: 0,
                })
                .collect(),
            kind: Some(OpKind::File(FileOp {
                actions: vec![action],
            })),
            ..Op::default()
        }
    }

    #[test]
    fn the_names_of_inputs_are_no_part_of_what_a_step_does() {
        assert_eq!(own(&copy_op(&[b"a", b"b"])), own(&copy_op(&[b"c", b"d"])));
    }

    #[test]
    fn sessions_and_followed_paths_do_not_change_a_local_source() {
        let local = |attrs: &[(&str, &str)]| {
            let attrs = attrs.iter().map(|(key, value)| Attr::new(*key, *value)).collect();
            let source = SourceOp::new("local://context".into(), attrs);
            own(&Op {
                kind: Some(OpKind::Source(source)),
                ..Op::default()
            })
        };
        assert_eq!(
            local(&[("local.session", "s1"), ("local.followpaths", "[\"a\"]")]),
            local(&[("local.unique", "x")])
        );
        assert_ne!(local(&[("local.excludepatterns", "[\"a\"]")]), local(&[]));
    }

    #[test]
    fn proxies_do_not_change_a_command() {
        let exec = |proxy: Option<ProxyEnv>| {
            let meta = Meta {
                args: vec!["true".into()],
                proxy_env: proxy,
                ..Meta::default()
            };
            let mounts = vec![Mount {
                dest: "/".into(),
                ..Mount::default()
            }];
            let exec = ExecOp {
                meta: Some(meta),
                mounts,
                ..ExecOp::default()
            };
            own(&Op {
                kind: Some(OpKind::Exec(exec)),
                ..Op::default()
            })
        };
        let proxy = ProxyEnv {
            http_proxy: "http://proxy".into(),
            ..ProxyEnv::default()
        };
        assert_eq!(exec(Some(proxy)), exec(None));
    }

    #[test]
    fn a_copy_uses_all_of_its_base_and_a_part_of_its_source() {
        let uses = uses(&copy_op(&[b"base", b"source"]));
        assert!(matches!(uses.as_slice(), [Use::Whole(0), Use::Part(1, part)] if part.source == "/app"));
    }

    #[test]
    fn the_key_follows_content_and_not_where_it_comes_from() {
        let fact = |from: &str, content: &[u8]| InputFact {
            from: from.into(),
            content: Digest::of(content),
            part: None,
            context: None,
        };
        let key = |fact| Key::new(Digest::of(b"own"), vec![fact]).digest;
        assert_eq!(key(fact("one", b"x")), key(fact("other", b"x")));
        assert_ne!(key(fact("one", b"x")), key(fact("one", b"y")));
    }
}

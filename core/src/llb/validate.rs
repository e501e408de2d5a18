//! Whether an op that came from outside holds together.
//!
//! This is about shape only: indices that point to something, paths that are there. What an op may do on a machine is
//! for the worker to decide.

use super::{Action, ExecOp, FileOp, MergeOp, MountType, Op, OpKind, User};

/// What is wrong with an op.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// A mount, action or layer refers to an input that is not there.
    #[error("{what} refers to input {index}, and there are {count}")]
    Input {
        /// What refers to it.
        what: &'static str,
        /// The input.
        index: i64,
        /// How many there are.
        count: usize,
    },
    /// Two things claim one output, or an output is left out.
    #[error("{what} has output {index}, which is claimed twice or leaves a gap")]
    Output {
        /// What claims it.
        what: &'static str,
        /// The output.
        index: i64,
    },
    /// There is nothing to run.
    #[error("an exec op needs a process with at least one argument")]
    NoProcess,
    /// No mount is the root.
    #[error("an exec op needs exactly one mount at /")]
    NoRoot,
    /// A path that has to be absolute is not.
    #[error("{what} \"{path}\" is not an absolute path")]
    Relative {
        /// Whose path it is.
        what: &'static str,
        /// The path.
        path: String,
    },
    /// There is nothing to do.
    #[error("{0} has nothing to do")]
    Empty(&'static str),
    /// A number stands for nothing.
    #[error("{what} {value} is not known")]
    Unknown {
        /// What it should be.
        what: &'static str,
        /// The number.
        value: i32,
    },
    /// Text holds a byte that no path, argument or variable can hold.
    #[error("{0} holds a zero byte")]
    ZeroByte(&'static str),
    /// Inputs of something that takes none.
    #[error("a source op takes no inputs")]
    SourceInputs,
}

/// Checks `op`.
pub(super) fn op(op: &Op) -> Result<(), Fault> {
    let inputs = op.inputs.len();
    match &op.kind {
        Some(OpKind::Exec(exec)) => check_exec(exec, inputs),
        Some(OpKind::Source(source)) if source.identifier.is_empty() => Err(Fault::Empty("a source op")),
        Some(OpKind::Source(_)) if inputs > 0 => Err(Fault::SourceInputs),
        None | Some(OpKind::Source(_) | OpKind::Build(_) | OpKind::Passthrough(_)) => Ok(()),
        Some(OpKind::File(file)) => check_file(file, inputs),
        Some(OpKind::Merge(merge)) => check_merge(merge, inputs),
        Some(OpKind::Diff(diff)) => {
            input(
                "a diff's lower side",
                diff.lower.map_or(-1, |lower| lower.input),
                inputs,
            )?;
            input(
                "a diff's upper side",
                diff.upper.map_or(-1, |upper| upper.input),
                inputs,
            )
        }
    }
}

/// -1 is nothing, everything else has to be there.
fn input(what: &'static str, index: i64, count: usize) -> Result<(), Fault> {
    let there = index == -1 || usize::try_from(index).is_ok_and(|index| index < count);
    if there {
        Ok(())
    } else {
        Err(Fault::Input { what, index, count })
    }
}

fn text(what: &'static str, text: &str) -> Result<(), Fault> {
    if text.contains('\0') {
        Err(Fault::ZeroByte(what))
    } else {
        Ok(())
    }
}

/// Outputs count from 0 without gaps or repetition; -1 is none.
#[derive(Default)]
struct Outputs(Vec<i64>);

impl Outputs {
    fn claim(&mut self, index: i64) {
        if index != -1 {
            self.0.push(index);
        }
    }

    fn check(mut self, what: &'static str) -> Result<(), Fault> {
        self.0.sort_unstable();
        for (expected, index) in (0..).zip(self.0) {
            if index != expected {
                return Err(Fault::Output { what, index });
            }
        }
        Ok(())
    }
}

fn check_exec(exec: &ExecOp, inputs: usize) -> Result<(), Fault> {
    let Some(meta) = exec.meta.as_ref().filter(|meta| !meta.args.is_empty()) else {
        return Err(Fault::NoProcess);
    };
    if !meta.cwd.starts_with('/') {
        return Err(Fault::Relative {
            what: "the working directory",
            path: meta.cwd.clone(),
        });
    }
    meta.args.iter().try_for_each(|arg| text("an argument", arg))?;
    meta.env
        .iter()
        .try_for_each(|variable| text("a variable", variable))?;
    text("the working directory", &meta.cwd)?;
    text("the user", &meta.user)?;
    if super::NetMode::try_from(exec.network).is_err() {
        return Err(Fault::Unknown {
            what: "network mode",
            value: exec.network,
        });
    }
    if super::SecurityMode::try_from(exec.security).is_err() {
        return Err(Fault::Unknown {
            what: "security mode",
            value: exec.security,
        });
    }
    let mut outputs = Outputs::default();
    for mount in &exec.mounts {
        input("a mount", mount.input, inputs)?;
        // Secrets and sockets are no files to go on with, and yet BuildKit's client writes output 0 for them.
        if mount.mount_type() == MountType::Bind {
            outputs.claim(mount.output);
        }
        if MountType::try_from(mount.mount_type).is_err() {
            return Err(Fault::Unknown {
                what: "mount type",
                value: mount.mount_type,
            });
        }
        text("a mount's destination", &mount.dest)?;
        text("a mount's selector", &mount.selector)?;
    }
    outputs.check("a mount")?;
    if exec.mounts.iter().filter(|mount| mount.dest == "/").count() == 1 {
        Ok(())
    } else {
        Err(Fault::NoRoot)
    }
}

fn check_file(file: &FileOp, inputs: usize) -> Result<(), Fault> {
    if file.actions.is_empty() {
        return Err(Fault::Empty("a file op"));
    }
    let mut outputs = Outputs::default();
    for (index, action) in file.actions.iter().enumerate() {
        // An action may use the op's inputs and the results of the actions before it.
        let reach = inputs + index;
        input("an action", action.input, reach)?;
        input("an action", action.secondary_input, reach)?;
        outputs.claim(action.output);
        let (path, owner) = match &action.action {
            None => return Err(Fault::Empty("a file action")),
            Some(Action::Copy(copy)) => {
                text("a source path", &copy.src)?;
                (&copy.dest, copy.owner.as_ref())
            }
            Some(Action::MkFile(file)) => (&file.path, file.owner.as_ref()),
            Some(Action::MkDir(dir)) => (&dir.path, dir.owner.as_ref()),
            Some(Action::Rm(rm)) => (&rm.path, None),
            Some(Action::Symlink(link)) => (&link.newpath, link.owner.as_ref()),
        };
        text("a path", path)?;
        for user in owner
            .iter()
            .flat_map(|owner| [&owner.user, &owner.group])
            .flatten()
        {
            if let Some(User::ByName(named)) = &user.user {
                input("an owner", named.input, reach)?;
                text("an owner", &named.name)?;
            }
        }
    }
    outputs.check("an action")
}

fn check_merge(merge: &MergeOp, inputs: usize) -> Result<(), Fault> {
    if merge.inputs.is_empty() {
        return Err(Fault::Empty("a merge op"));
    }
    merge
        .inputs
        .iter()
        .try_for_each(|layer| input("a merged layer", layer.input, inputs))
}

//! `RUN`: a command that changes the files of a stage.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::rc::Rc;

use crate::diagnostic::Problem;
use crate::instruction::run::{Device, Run};
use crate::llb::{CdiDevice, ExecOp, Mount, MountType, NetMode, Process, ProxyEnv, TmpfsOpt};
use crate::order;
use crate::plan::build::Step;
use crate::plan::env::Masked;
use crate::plan::graph::{ExecPlan, MountPlan, Work};
use crate::shell::{Lexer, Variables as _};
use crate::syntax::Marker;

use super::files::make_file;
use super::mounts::Mounts;

pub(super) fn lower(step: &mut Step<'_, '_>, run: &Run) -> Result<(), Problem> {
    // A command may read any file.
    step.takes(step.build.local, "/");
    let code = &step.command.statement.code;
    let Command { args, shown, script } = command(step, run, code);
    let mounts = Mounts::read(step, run)?;
    let missing = !run.command.shell && args.is_empty();
    if !step.shared.counts {
        return if missing { Err(no_command()) } else { Ok(()) };
    }
    let printed = {
        let variables = Masked {
            mask: &mounts.masked,
            below: &step.build.env,
        };
        let lexer = Lexer {
            raw_quotes: true,
            keep_unset: true,
            ..step.shared.lexer
        };
        lexer
            .worked_out(&shown, &variables)
            .unwrap_or(Cow::Borrowed(&shown))
    };
    let name = step.next_name(&printed);
    let (mut files, secretenv, extra, socket) = mounts.into_extra();
    let given = &step.shared.options.run;
    if given.shm_size > 0 {
        files.push(shared_memory(given.shm_size));
    }
    let socket = socket.filter(|_| step.build.env.get("SSH_AUTH_SOCK").is_none());
    let socket = socket.map(|socket| format!("SSH_AUTH_SOCK={socket}"));
    let joined;
    let mut words = Vec::new();
    if run.command.shell {
        words = step.build.image.shell();
        words.push(match &*args {
            [only] => only,
            many => {
                joined = many.join(" ");
                &joined
            }
        });
    } else {
        words.extend(args.iter().map(String::as_str));
    }
    let done = history(step, &words);
    let process = Process {
        args: &words,
        env: step.build.env.lines(),
        socket: socket.as_deref(),
        cwd: &step.build.dir,
        user: &step.build.user,
        proxy: proxies(step),
        hostname: &asked(step, "BUILDKIT_SANDBOX_HOSTNAME"),
        parts: &given.meta,
    }
    .encode();
    let root = Mount {
        dest: "/".into(),
        ..Mount::default()
    };
    let root = MountPlan {
        source: step.build.output,
        mount: root,
    };
    let mounted = std::iter::once(root).chain(script).chain(files).collect();
    let mounted = order::by_text(mounted, |mount: &MountPlan| &mount.mount.dest);
    let device = |device: &Device| CdiDevice {
        name: device.name.clone(),
        optional: !device.required,
    };
    let op = ExecOp {
        network: match run.network {
            NetMode::Unset => given.network,
            said => said,
        }
        .into(),
        security: run.security.into(),
        secretenv,
        cdi_devices: run.devices.iter().map(device).collect(),
        ..ExecOp::default()
    };
    // A command's platform is in the usual spelling, however its stage writes it.
    let platform = step.build.exec_platform.as_ref();
    let platform = Rc::clone(platform.unwrap_or(&step.shared.exec_platform));
    let output = step.add_main(
        Work::Exec(Box::new(ExecPlan {
            process,
            op,
            platform,
            mounts: mounted,
            extra,
        })),
        name,
    );
    step.build.output = Some(output);
    step.commit(done, true);
    // All else is looked at first, as BuildKit does: it misses the command only when it writes the op.
    if missing { Err(no_command()) } else { Ok(()) }
}

/// A `/dev/shm` of that size.
fn shared_memory(size: i64) -> MountPlan {
    let mut mount = Mount {
        dest: "/dev/shm".into(),
        tmpfs_opt: Some(TmpfsOpt { size }),
        ..Mount::default()
    };
    mount.set_mount_type(MountType::Tmpfs);
    MountPlan { source: None, mount }
}

fn no_command() -> Problem {
    Problem::new("empty-command", "RUN [] has no command to run.")
        .hint("Name a program: RUN [\"/bin/true\"].")
}

/// A build argument that asks for something of BuildKit rather than being a variable.
pub(super) fn asked(step: &Step<'_, '_>, name: &str) -> String {
    let value = step.shared.options.build_args.get(name);
    value.cloned().unwrap_or_default()
}

/// What a RUN runs.
struct Command<'c> {
    args: Cow<'c, [String]>,
    /// The instruction as progress shows it.
    shown: Cow<'c, str>,
    /// A heredoc that names its own interpreter is a file, and this mounts it.
    script: Option<MountPlan>,
}

fn command<'c>(step: &mut Step<'_, '_>, run: &'c Run, code: &'c str) -> Command<'c> {
    const PIPES: &str = "/dev/pipes/";
    let plain = Command {
        args: Cow::Borrowed(&run.command.args),
        shown: Cow::Borrowed(code),
        script: None,
    };
    let (Some(first), [text]) = (run.command.heredocs.first(), run.command.args.as_slice()) else {
        return plain;
    };
    if !matches!(Marker::read(text), Ok(Some(_))) {
        // More than a heredoc alone: the shell gets the text with all of its heredocs.
        let mut whole = text.clone();
        for heredoc in &run.command.heredocs {
            whole.push('\n');
            whole.push_str(&heredoc.content);
            whole.push_str(&heredoc.marker.name);
        }
        return Command {
            args: Cow::Owned(vec![whole]),
            ..plain
        };
    }
    let shown = Cow::Owned(format!("{code} ({})", summary(&first.content)));
    let data = first.chomped();
    if step.build.image.os == "windows" || !data.starts_with("#!") {
        return Command {
            args: Cow::Owned(vec![data]),
            shown,
            script: None,
        };
    }
    let name = &first.marker.name;
    let file = make_file(step, name, 0o755, data.into_bytes());
    let mount = Mount {
        dest: PIPES.into(),
        selector: "/".into(),
        readonly: true,
        ..Mount::default()
    };
    let args = Cow::Owned(vec![crate::plan::path::join(&[PIPES, name])]);
    Command {
        args,
        shown,
        script: Some(MountPlan {
            source: Some(file),
            mount,
        }),
    }
}

/// The first line of a heredoc.
fn summary(content: &str) -> String {
    let content = content.trim();
    match content.split_once('\n') {
        Some((first, _)) => format!("{}...", first.strip_suffix('\r').unwrap_or(first)),
        None => content.to_owned(),
    }
}

/// Proxies among the build arguments. They are part of the op, though not of its cache key.
fn proxies(step: &Step<'_, '_>) -> Option<ProxyEnv> {
    let mut proxies = ProxyEnv::default();
    let mut found = false;
    for (name, value) in step.shared.build_args {
        let place = match name.to_ascii_lowercase().as_str() {
            "http_proxy" => &mut proxies.http_proxy,
            "https_proxy" => &mut proxies.https_proxy,
            "ftp_proxy" => &mut proxies.ftp_proxy,
            "no_proxy" => &mut proxies.no_proxy,
            "all_proxy" => &mut proxies.all_proxy,
            _ => continue,
        };
        place.clone_from(value);
        found = true;
    }
    found.then_some(proxies)
}

/// The command with the arguments of the stage before it: `RUN |1 VERSION=1 /bin/sh -c …`.
fn history(step: &Step<'_, '_>, args: &[&str]) -> String {
    let lengths = args.iter().map(|arg| arg.len() + 1).sum::<usize>();
    let mut done = String::with_capacity(lengths + step.build.args.len() * 32 + 32);
    done.push_str("RUN");
    if !step.build.args.is_empty() {
        // Writing into a String cannot fail.
        let _ = write!(done, " |{}", step.build.args.len());
    }
    for (name, value) in &step.build.args {
        let value = step.build.env.get(name).or(value.as_deref()).unwrap_or_default();
        for part in [" ", name, "=", value] {
            done.push_str(part);
        }
    }
    for arg in args {
        done.push(' ');
        done.push_str(arg);
    }
    done.push_str(" # buildkit");
    done
}

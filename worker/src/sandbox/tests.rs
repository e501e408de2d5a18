//! Steps on a real kernel, with a root file system of nothing but busybox.

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::time::Duration;

use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::rootless::Ids;
use crate::snapshot::{Active, DiffOptions, DiffStats, SnapshotError, SnapshotId, SnapshotStore, diff};

/// A worker with one image.
struct Machine {
    store: SnapshotStore,
    sandbox: Sandbox,
    base: Vec<SnapshotId>,
    // Removed last.
    dir: TempDir,
}

struct Ran {
    status: Result<ExitStatus, SandboxError>,
    stdout: String,
    stderr: String,
}

fn id(name: &str) -> SnapshotId {
    name.parse().unwrap()
}

impl Machine {
    /// `None`, with the reason printed, where steps cannot be run.
    fn new() -> Option<Self> {
        Self::with(SnapshotStore::open)
    }

    fn with(open: fn(&Path) -> Result<SnapshotStore, SnapshotError>) -> Option<Self> {
        let dir = tempfile::tempdir().unwrap();
        let report = probe(dir.path());
        if !report.can_build() {
            println!("skipped: {}", report.problems().collect::<Vec<_>>().join(" "));
            return None;
        }
        if !Path::new("/bin/busybox").exists() {
            println!("skipped: /bin/busybox is missing (Debian's package busybox-static)");
            return None;
        }
        let store = open(&dir.path().join("snapshots")).unwrap();
        let sandbox = Sandbox::new(&SandboxConfig {
            state_dir: dir.path().join("sandbox"),
        })
        .unwrap();
        let active = store.begin(&[]).unwrap();
        let root = active.upper();
        fs::create_dir(root.join("bin")).unwrap();
        fs::copy("/bin/busybox", root.join("bin/busybox")).unwrap();
        for applet in [
            "sh", "true", "cat", "id", "ls", "sleep", "mount", "unshare", "nc", "hostname", "ps", "mknod",
            "dd",
        ] {
            symlink("busybox", root.join("bin").join(applet)).unwrap();
        }
        fs::create_dir_all(root.join("etc")).unwrap();
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0::/root:/bin/sh\napp:x:1000:1001::/home/app:/bin/sh\n",
        )
        .unwrap();
        fs::write(
            root.join("etc/group"),
            "root:x:0:\napp:x:1001:\nextra:x:2000:app\n",
        )
        .unwrap();
        fs::create_dir(root.join("tmp")).unwrap();
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777)).unwrap();
        active.commit(&id("base")).unwrap();
        Some(Self {
            store,
            sandbox,
            base: vec![id("base")],
            dir,
        })
    }

    fn spec(active: &Active, args: &[&str]) -> ProcessSpec {
        let mut spec = ProcessSpec::new(
            active.root().unwrap(),
            args.iter().map(ToString::to_string).collect(),
        );
        spec.env = vec!["PATH=/bin".to_owned()];
        spec.limits.wall_time = Some(Duration::from_mins(1));
        spec
    }

    fn run(&self, active: &Active, args: &[&str], change: impl FnOnce(&mut ProcessSpec)) -> Ran {
        let mut spec = Self::spec(active, args);
        change(&mut spec);
        runtime().block_on(self.run_spec(spec, CancellationToken::new()))
    }

    async fn run_spec(&self, spec: ProcessSpec, cancel: CancellationToken) -> Ran {
        let (sender, mut receiver) = mpsc::channel::<Output>(16);
        let collect = async {
            let mut text = [Vec::new(), Vec::new()];
            while let Some(output) = receiver.recv().await {
                text[usize::from(output.stream == Stream::Stderr)].extend(output.data);
            }
            text.map(|text| String::from_utf8_lossy(&text).into_owned())
        };
        let (status, [stdout, stderr]) = tokio::join!(self.sandbox.run(spec, sender, cancel), collect);
        Ran {
            status,
            stdout,
            stderr,
        }
    }

    /// Runs a shell script in a fresh layer.
    fn sh(&self, script: &str) -> Ran {
        let active = self.store.begin(&self.base).unwrap();
        self.run(&active, &["/bin/sh", "-c", script], |_| {})
    }

    /// What a step leaves in its layer.
    fn layer_of(&self, args: &[&str], change: impl FnOnce(&mut ProcessSpec)) -> (DiffStats, Vec<u8>) {
        let active = self.store.begin(&self.base).unwrap();
        let ran = self.run(&active, args, change);
        assert_eq!(
            ran.status.unwrap(),
            ExitStatus::Exited(0),
            "{}{}",
            ran.stdout,
            ran.stderr
        );
        let lowers = self.store.layer_paths(&self.base).unwrap();
        let mut bytes = Vec::new();
        let stats = diff(
            &active.seal().unwrap(),
            &lowers,
            &DiffOptions::default(),
            &mut bytes,
        )
        .unwrap();
        (stats, bytes)
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
}

fn ok(ran: Ran) -> String {
    assert_eq!(
        ran.status.unwrap(),
        ExitStatus::Exited(0),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    ran.stdout
}

/// Whether a process with this text in its command line is there.
fn is_running(mark: &str) -> bool {
    fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        entry.file_name().to_string_lossy().parse::<u32>().is_ok()
            && fs::read(entry.path().join("cmdline"))
                .is_ok_and(|line| String::from_utf8_lossy(&line).contains(mark))
    })
}

fn eventually(what: &str, mut condition: impl FnMut() -> bool) {
    for _ in 0..500 {
        if condition() {
            return;
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    panic!("it never came about that {what}");
}

#[test]
fn a_step_that_changes_nothing_leaves_an_empty_layer() {
    let Some(machine) = Machine::new() else { return };
    let (stats, bytes) = machine.layer_of(&["true"], |spec| {
        spec.extra_hosts = vec![("10.0.0.9".parse().unwrap(), "db".to_owned())];
        spec.mounts = vec![
            MountSpec {
                target: "/some/deep/tmpfs".into(),
                source: MountSource::Tmpfs { size: None },
                readonly: false,
            },
            MountSpec {
                target: "/etc/single".into(),
                source: MountSource::Bind {
                    root: "/etc/passwd".into(),
                    path: "".into(),
                },
                readonly: true,
            },
        ];
    });
    assert!(stats.is_empty(), "{:?}", String::from_utf8_lossy(&bytes));
    assert_eq!(stats.size, 1024);
}

#[test]
fn mount_points_do_not_disturb_what_a_step_changes() {
    let Some(machine) = Machine::new() else { return };
    let (stats, _) = machine.layer_of(&["sh", "-c", "echo x > /etc/new; mkdir /new; rm /bin/nc"], |_| {});
    // etc and bin are changed directories, etc/new and new are new.
    assert_eq!((stats.added, stats.changed, stats.removed), (2, 2, 1));
}

#[test]
fn mount_points_that_an_image_hides_are_made_and_taken_away() {
    let Some(mut machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let mounted = active.mount().unwrap();
    // A removed name and a dangling link hide the floor's mount points.
    fs::write(mounted.path().join("etc/hosts"), "").unwrap();
    symlink("../run/resolv.conf", mounted.path().join("etc/resolv.conf")).unwrap();
    drop(mounted);
    active.commit(&id("second")).unwrap();
    machine.base.push(id("second"));
    let active = machine.store.begin(&machine.base).unwrap();
    let mounted = active.mount().unwrap();
    fs::remove_file(mounted.path().join("etc/hosts")).unwrap();
    drop(mounted);
    active.commit(&id("third")).unwrap();
    machine.base.push(id("third"));
    let (stats, bytes) = machine.layer_of(
        &[
            "sh",
            "-c",
            "cat /etc/hosts | dd of=/dev/null && cat /etc/resolv.conf >/dev/null",
        ],
        |_| {},
    );
    assert!(stats.is_empty(), "{:?}", String::from_utf8_lossy(&bytes));
}

#[test]
fn exit_codes_and_signals_are_told() {
    let Some(machine) = Machine::new() else { return };
    assert_eq!(machine.sh("exit 42").status.unwrap(), ExitStatus::Exited(42));
    // The first process of a namespace ignores its own signals; the kernel's is not one of them.
    assert_eq!(
        machine.sh("sleep 100 & kill -9 $!; wait $!").status.unwrap(),
        ExitStatus::Exited(137)
    );
}

#[test]
fn both_streams_arrive_whole() {
    let Some(machine) = Machine::new() else { return };
    let ran = machine.sh("echo out; echo err >&2; dd if=/dev/zero bs=1000 count=1000 2>/dev/null");
    assert_eq!(ran.status.unwrap(), ExitStatus::Exited(0));
    assert_eq!(ran.stderr, "err\n");
    assert_eq!(ran.stdout.len(), 4 + 1_000_000);
}

#[test]
fn output_beyond_the_limit_is_clipped_and_the_step_goes_on() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let script = "dd if=/dev/zero bs=1000 count=1000 2>/dev/null; echo done > /done";
    let ran = machine.run(&active, &["sh", "-c", script], |spec| {
        spec.limits.log_bytes = Some(5000);
    });
    assert_eq!(ran.status.unwrap(), ExitStatus::Exited(0));
    assert!(
        ran.stdout
            .ends_with("[output clipped, log limit of 5000 bytes reached]\n")
    );
    assert!(ran.stdout.len() < 5100);
    assert!(active.upper().join("done").exists());
}

#[test]
fn a_step_sees_only_the_environment_it_is_given() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let ran = machine.run(&active, &["busybox", "env"], |spec| {
        spec.env.push("GREETING=a b\nc".to_owned());
    });
    assert_eq!(ok(ran), "PATH=/bin\nGREETING=a b\nc\nHOME=/root\n");
}

#[test]
fn user_group_and_home_come_from_the_image() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let run = |user: &str| {
        let script = "id -u; id -g; id -G; echo $HOME; umask";
        ok(machine.run(&active, &["sh", "-c", script], |spec| spec.user = user.to_owned()))
    };
    assert_eq!(run("app"), "1000\n1001\n1001 2000\n/home/app\n0022\n");
    assert_eq!(run(""), "0\n0\n0\n/root\n0022\n");
    assert_eq!(run("7:8"), "7\n8\n8\n/\n0022\n");
    let error = machine
        .run(&active, &["true"], |spec| spec.user = "ghost".to_owned())
        .status
        .unwrap_err();
    assert!(
        error.is_users_fault() && error.to_string().contains("ghost"),
        "{error}"
    );
}

#[test]
fn a_missing_working_directory_is_made_for_the_user() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let ran = machine.run(
        &active,
        &["sh", "-c", "pwd; touch mine 2>/dev/null || echo > mine"],
        |spec| {
            spec.cwd = "/srv/app".to_owned();
            spec.user = "app".to_owned();
        },
    );
    assert_eq!(ok(ran), "/srv/app\n");
    assert!(active.upper().join("srv/app/mine").exists());
}

#[test]
fn a_program_that_cannot_start_is_explained() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let mounted = active.mount().unwrap();
    let script = |name: &str, text: &str, mode: u32| {
        let path = mounted.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
    };
    script("lost", "#!/usr/bin/python\n", 0o755);
    script("plain", "echo hello\n", 0o755);
    script("locked", "#!/bin/sh\n", 0o644);
    drop(mounted);
    let error = |program: &str| {
        let error = machine.run(&active, &[program], |_| {}).status.unwrap_err();
        assert!(error.is_users_fault());
        error.to_string()
    };
    assert_eq!(
        error("/bin/foo"),
        "the program /bin/foo does not exist in the image"
    );
    assert_eq!(
        error("foo"),
        "the program foo does not exist in the image (PATH is /bin)"
    );
    assert!(error("/lost").contains("the interpreter of its #! line"));
    assert!(error("/plain").contains("without a #! line"));
    assert!(error("/locked").contains("may not be executed"));
    let active = machine.store.begin(&[]).unwrap();
    let error = machine
        .run(&active, &["/bin/sh", "-c", "true"], |_| {})
        .status
        .unwrap_err();
    assert!(error.to_string().contains("it has no shell"), "{error}");
}

#[test]
fn cancelling_kills_the_whole_tree() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    // Daemons leave their parent and their session; they stay in the namespace.
    let script = "(busybox setsid sh -c 'sleep 61234.5' &) ; (sleep 61234.5 &) ; echo ready; sleep 61234.5";
    let spec = Machine::spec(&active, &["sh", "-c", script]);
    let cancel = CancellationToken::new();
    let status = runtime().block_on(async {
        let (sender, mut receiver) = mpsc::channel::<Output>(16);
        let stop = async {
            assert_eq!(receiver.recv().await.unwrap().data, b"ready\n");
            eventually("the step is seen", || is_running("61234.5"));
            cancel.cancel();
        };
        tokio::join!(machine.sandbox.run(spec, sender, cancel.clone()), stop).0
    });
    assert_eq!(status.unwrap(), ExitStatus::Cancelled);
    assert!(!is_running("61234.5"));
}

#[test]
fn dropping_the_future_kills_the_step() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let spec = Machine::spec(&active, &["sh", "-c", "echo ready; sleep 61235.5"]);
    runtime().block_on(async {
        let (sender, mut receiver) = mpsc::channel::<Output>(16);
        let mut run = std::pin::pin!(machine.sandbox.run(spec, sender, CancellationToken::new()));
        tokio::select! {
            _ = &mut run => panic!("it ended"),
            _ = receiver.recv() => {}
        }
        // The future is still there, only not polled.
        eventually("the step is seen", || is_running("61235.5"));
    });
    eventually("the step is gone", || !is_running("61235.5"));
}

#[test]
fn a_step_that_takes_too_long_is_ended() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let ran = machine.run(&active, &["sleep", "100"], |spec| {
        spec.limits.wall_time = Some(Duration::from_millis(100));
    });
    assert_eq!(ran.status.unwrap(), ExitStatus::TimedOut);
}

#[test]
fn processes_are_limited() {
    let Some(machine) = Machine::new() else { return };
    if probe(machine.dir.path())
        .problems()
        .any(|problem| problem.contains("pids"))
    {
        return println!("skipped: processes cannot be limited here");
    }
    let active = machine.store.begin(&machine.base).unwrap();
    let script = "for i in 1 2 3 4 5 6 7 8 9 10 11 12; do sleep 5 & done; echo survived";
    let ran = machine.run(&active, &["sh", "-c", script], |spec| spec.limits.pids = Some(6));
    assert!(ran.stderr.contains("can't fork"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn memory_is_limited_and_the_reason_told() {
    let Some(machine) = Machine::new() else { return };
    if probe(machine.dir.path())
        .problems()
        .any(|problem| problem.contains("memory"))
    {
        return println!("skipped: memory cannot be limited here");
    }
    let active = machine.store.begin(&machine.base).unwrap();
    let script = "dd if=/dev/zero of=/dev/null bs=100M count=1";
    let ran = machine.run(&active, &["sh", "-c", script], |spec| {
        spec.limits.memory = Some(16 << 20);
    });
    assert_eq!(ran.status.unwrap(), ExitStatus::OutOfMemory, "{}", ran.stderr);
    let ran = machine.run(&active, &["sh", "-c", script], |spec| {
        spec.limits.memory = Some(512 << 20);
    });
    assert_eq!(ran.status.unwrap(), ExitStatus::Exited(0), "{}", ran.stderr);
}

#[test]
fn only_its_own_processes_are_seen() {
    let Some(machine) = Machine::new() else { return };
    let pids =
        ok(machine
            .sh("echo $$; ls /proc | while read name; do case $name in [0-9]*) echo $name; esac; done"));
    let numbers: Vec<u32> = pids.lines().map(|line| line.parse().unwrap()).collect();
    assert_eq!(numbers[0], 1);
    assert!(
        numbers.len() <= 4 && numbers.iter().all(|pid| *pid < 10),
        "{pids}"
    );
}

#[test]
fn the_workers_loopback_cannot_be_reached() {
    let Some(machine) = Machine::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    for network in [Network::None, Network::Default] {
        let active = machine.store.begin(&machine.base).unwrap();
        let script = format!("nc -w 2 127.0.0.1 {port} </dev/null && echo reached");
        let ran = machine.run(&active, &["sh", "-c", &script], |spec| spec.network = network);
        assert!(!ran.stdout.contains("reached"), "{network:?}");
        assert!(listener.accept().is_err(), "{network:?}");
    }
    // The same script does reach it when the owner has allowed that, so the test can fail.
    let active = machine.store.begin(&machine.base).unwrap();
    let script = format!("nc -w 2 127.0.0.1 {port} </dev/null && echo reached");
    listener.set_nonblocking(false).unwrap();
    let server = std::thread::spawn(move || listener.accept().map(drop));
    let ran = machine.run(&active, &["sh", "-c", &script], |spec| {
        spec.network = Network::Host;
    });
    server.join().unwrap().unwrap();
    assert!(ran.stdout.contains("reached"), "{}{}", ran.stdout, ran.stderr);
}

#[test]
fn the_way_out_does_not_lead_into_the_machine() {
    let Some(machine) = Machine::new() else { return };
    if let Some(problem) = probe(machine.dir.path())
        .problems()
        .find(|problem| problem.contains("way out"))
    {
        return println!("skipped: {problem}");
    }
    // Reachable from the machine's own network at whatever address: that is what a worker told to listen to all is.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let script = "busybox ip -o -4 addr show dev eth0; busybox ip route; busybox ip -6 addr show dev eth0; cat /proc/net/if_inet6";
    let seen = ok(machine.sh(script));
    assert!(
        seen.contains("inet ") && seen.contains("default via ") && !seen.contains("inet6"),
        "{seen}"
    );
    let gateway = seen
        .split("default via ")
        .nth(1)
        .unwrap()
        .split(' ')
        .next()
        .unwrap();
    let mut addresses = vec![gateway.to_owned()];
    // The address by which the machine would reach others; no packet is sent for that.
    let socket = std::net::UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_ok() {
        addresses.push(socket.local_addr().unwrap().ip().to_string());
    }
    if !Ids::here().are_the_machines() {
        // It is an address in the worker's own network, which is not the machine's.
        addresses.remove(0);
    }
    for address in addresses {
        assert!(
            std::net::TcpStream::connect((address.as_str(), port)).is_ok(),
            "the machine itself reaches {address}"
        );
        let _ = listener.accept();
        let ran = machine.sh(&format!("nc -w 1 {address} {port} </dev/null && echo reached"));
        assert!(!ran.stdout.contains("reached"), "{address}");
        assert!(listener.accept().is_err(), "{address}");
    }
}

#[test]
fn networks_are_used_again_but_not_at_once() {
    let Some(machine) = Machine::new() else { return };
    let address = |ran: Ran| ok(ran);
    let script = "busybox ip -o -4 addr show dev eth0 2>&1 || true";
    let one = address(machine.sh(script));
    if !one.contains("inet") {
        return println!("skipped: there is no way out here");
    }
    assert_eq!(address(machine.sh(script)), one);
    let actives = [0, 1].map(|_| machine.store.begin(&machine.base).unwrap());
    let script = format!("{script}; sleep 1");
    let (first, second) = runtime().block_on(async {
        let run = |active| {
            machine.run_spec(
                Machine::spec(active, &["sh", "-c", &script]),
                CancellationToken::new(),
            )
        };
        tokio::join!(run(&actives[0]), run(&actives[1]))
    });
    assert_ne!(ok(first), ok(second));
}

#[test]
fn abstract_sockets_of_the_machine_cannot_be_reached() {
    let Some(machine) = Machine::new() else { return };
    let seen = ok(machine.sh("cat /proc/net/unix | busybox wc -l"));
    assert_eq!(seen.trim(), "1", "only the heading");
}

#[test]
fn its_own_loopback_works() {
    let Some(machine) = Machine::new() else { return };
    let script = "(echo hello | nc -l -p 8080) & for i in 1 2 3 4 5 6 7 8 9; do \
                  nc 127.0.0.1 8080 </dev/null && break; busybox usleep 100000; done";
    assert_eq!(ok(machine.sh(script)), "hello\n");
}

#[test]
fn the_kernels_files_are_masked() {
    let Some(machine) = Machine::new() else { return };
    // What may be written to is only opened: where the guard is gone, nothing happens to the machine.
    let script = "cat /proc/kcore /proc/keys /proc/timer_list 2>/dev/null | busybox head -c 100; \
                  for folder in /sys/firmware /proc/acpi /proc/scsi; do [ -d $folder ] && busybox ls $folder; done; \
                  (: > /proc/sys/kernel/domainname) && echo opened; (: > /proc/sysrq-trigger) && echo opened; \
                  busybox mkdir /sys/x && echo made; echo end";
    assert_eq!(ok(machine.sh(script)), "end\n");
}

#[test]
fn capabilities_are_dockers() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let caps = |user: &str| {
        let script = "busybox grep -E '^(Cap|Seccomp:)' /proc/self/status";
        ok(machine.run(&active, &["sh", "-c", script], |spec| spec.user = user.to_owned())).replace('\t', " ")
    };
    let (none, some) = ("0000000000000000", "00000000a80425fb");
    assert_eq!(
        caps(""),
        format!(
            "CapInh: {none}\nCapPrm: {some}\nCapEff: {some}\nCapBnd: {some}\nCapAmb: {none}\nSeccomp: 2\n"
        )
    );
    assert_eq!(
        caps("app"),
        format!(
            "CapInh: {none}\nCapPrm: {none}\nCapEff: {none}\nCapBnd: {some}\nCapAmb: {none}\nSeccomp: 2\n"
        )
    );
}

#[test]
fn dangerous_calls_are_refused() {
    let Some(machine) = Machine::new() else { return };
    for script in [
        "mount -t tmpfs none /tmp",
        "mount -o remount,rw /sys",
        "mount -o remount,rw /proc/sys",
        "busybox umount /proc/kcore",
        "unshare -U true",
        "unshare -n true",
        "hostname other",
        "busybox chroot / mount -t proc proc /tmp",
        "busybox swapoff -a /dev/null",
        "busybox dmesg",
        "busybox insmod /bin/busybox",
        "busybox setarch linux64 -R true",
    ] {
        let ran = machine.sh(&format!("{script} && echo done"));
        assert!(!ran.stdout.contains("done"), "{script}");
    }
}

#[test]
fn devices_that_a_step_makes_cannot_be_opened() {
    let Some(machine) = Machine::new() else { return };
    if !Ids::here().are_the_machines() {
        return println!("ordinary users make no devices at all");
    }
    // The capability is Docker's default, and some packages need it; what is made must not be of use.
    for place in ["/node", "/tmp/node", "/dev/node", "/dev/shm/node"] {
        let ran = machine.sh(&format!(
            "mknod {place} c 1 5 && dd if={place} of=/dev/null bs=1 count=1 2>&1 && echo opened"
        ));
        assert!(!ran.stdout.contains("opened"), "{place} {}", ran.stdout);
        assert!(
            ran.stdout.contains("Permission denied"),
            "{place} {}{}",
            ran.stdout,
            ran.stderr
        );
    }
    ok(machine.sh(
        "echo x > /dev/null && dd if=/dev/urandom of=/dev/zero bs=1 count=1 2>/dev/null && ls /dev/pts/ptmx",
    ));
}

#[test]
fn the_machines_files_and_descriptors_are_out_of_sight() {
    let Some(machine) = Machine::new() else { return };
    assert_eq!(ok(machine.sh("ls /")), "bin\ndev\netc\nproc\nsys\ntmp\n");
    assert_eq!(
        ok(machine.sh("ls /proc/1/fd"))
            .lines()
            .filter(|fd| fd.parse::<u32>().unwrap() > 3)
            .count(),
        0
    );
    let mounts = ok(machine.sh("cat /proc/self/mountinfo"));
    assert!(
        !mounts.contains("/etc/passwd")
            && !mounts
                .lines()
                .any(|line| line.contains("ext4") && !line.contains("/etc/")),
        "{mounts}"
    );
}

#[test]
fn steps_on_copied_layers_leave_what_they_leave_on_mounted_ones() {
    let mut layers = Vec::new();
    for open in [SnapshotStore::open, SnapshotStore::open_copying] {
        let Some(machine) = Machine::with(open) else {
            return;
        };
        let cache = machine.dir.path().join("cache");
        fs::create_dir(&cache).unwrap();
        // The mount points are made and gone again, the times of what is around them stay as the step left them.
        let script = "cat /etc/hosts >/dev/null; ls /proc/self >/dev/null; echo x > /mnt/cache/kept; \
                      busybox rm /etc/group; echo y > /var/file; busybox touch -d @1000000000 /var/file /var /etc";
        let change = |spec: &mut ProcessSpec| {
            spec.mounts = vec![MountSpec {
                target: "/mnt/cache".to_owned(),
                source: MountSource::Bind {
                    root: cache.clone(),
                    path: "".into(),
                },
                readonly: false,
            }];
            spec.cwd = "/var".to_owned();
        };
        let (stats, bytes) = machine.layer_of(&["sh", "-c", script], change);
        assert_eq!((stats.added, stats.changed, stats.removed), (2, 1, 1));
        layers.push(bytes);
        let (stats, _) = machine.layer_of(&["sh", "-c", "cat /etc/group"], |spec| {
            spec.readonly_root = true;
        });
        assert!(stats.is_empty(), "{stats:?}");
        let ran = machine.sh("mknod /zero c 1 5 && cat /zero");
        let refused = if Ids::here().are_the_machines() {
            "cat: can't open '/zero': Permission denied"
        } else {
            "mknod: /zero: Operation not permitted"
        };
        assert!(ran.stderr.contains(refused), "{}", ran.stderr);
        let left = fs::read_dir(machine.dir.path().join("snapshots/active")).unwrap();
        assert_eq!(left.count(), 0);
    }
    assert_eq!(layers[0], layers[1]);
}

#[test]
fn hosts_and_hostname_are_the_steps_own() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let ran = machine.run(
        &active,
        &["sh", "-c", "hostname; cat /etc/hosts; echo x >> /etc/hosts"],
        |spec| {
            spec.hostname = "builder".to_owned();
            spec.extra_hosts = vec![("10.1.2.3".parse().unwrap(), "db.local".to_owned())];
        },
    );
    assert!(
        ran.stdout.starts_with("builder\n127.0.0.1\tlocalhost builder\n"),
        "{}",
        ran.stdout
    );
    assert!(ran.stdout.ends_with("10.1.2.3\tdb.local\n"), "{}", ran.stdout);
    assert!(ran.stderr.contains("Read-only file system"), "{}", ran.stderr);
    assert!(!active.upper().join("etc").exists());
}

#[test]
fn limits_of_the_steps_own_are_set_and_cannot_be_raised() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let script = "ulimit -n; ulimit -Hn; ulimit -c; ulimit -n 201 || echo no; ulimit -n 150 && ulimit -Sn";
    let ran = machine.run(&active, &["sh", "-c", script], |spec| {
        spec.ulimits = vec![
            Ulimit::named("nofile", 100, 200).unwrap(),
            Ulimit::named("core", -1, -1).unwrap(),
        ];
    });
    assert_eq!(ran.stdout, "100\n200\nunlimited\nno\n150\n", "{}", ran.stderr);
    assert!(Ulimit::named("files", 1, 1).is_none());
}

#[test]
fn mounts_show_what_they_should_and_nothing_else() {
    let Some(machine) = Machine::new() else { return };
    let outside = machine.dir.path().join("outside");
    fs::create_dir_all(outside.join("inner")).unwrap();
    fs::write(outside.join("inner/file"), "content").unwrap();
    fs::write(machine.dir.path().join("secret"), "secret").unwrap();
    symlink("../../secret", outside.join("inner/escape")).unwrap();
    let active = machine.store.begin(&machine.base).unwrap();
    let bind = |target: &str, path: &str, readonly| MountSpec {
        target: target.to_owned(),
        source: MountSource::Bind {
            root: outside.clone(),
            path: path.into(),
        },
        readonly,
    };
    let script = "cat /ro/file; echo new > /rw/made; echo x > /ro/no; cat /one";
    let ran = machine.run(&active, &["sh", "-c", script], |spec| {
        spec.mounts = vec![
            bind("/ro", "/inner", true),
            bind("/rw", "", false),
            bind("/one", "inner/file", true),
        ];
    });
    assert_eq!(ok(ran), "contentcontent");
    assert_eq!(fs::read_to_string(outside.join("made")).unwrap(), "new\n");
    assert!(!outside.join("inner/no").exists());
    for path in ["inner/escape", "../secret", "/../secret"] {
        let error = machine
            .run(&active, &["true"], |spec| {
                spec.mounts = vec![bind("/x", path, true)];
            })
            .status
            .unwrap_err();
        assert!(error.to_string().contains("cannot be found"), "{path}: {error}");
    }
    assert!(!active.upper().join("ro").exists() && !active.upper().join("one").exists());
}

#[test]
fn a_mount_point_cannot_lead_out_of_the_root() {
    let Some(machine) = Machine::new() else { return };
    let victim = machine.dir.path().join("victim");
    fs::create_dir(&victim).unwrap();
    let active = machine.store.begin(&machine.base).unwrap();
    let mounted = active.mount().unwrap();
    symlink(&victim, mounted.path().join("link")).unwrap();
    symlink("/proc/self/root", mounted.path().join("magic")).unwrap();
    drop(mounted);
    for target in [
        "/link".to_owned(),
        format!("/../../..{}", victim.display()),
        "/magic".to_owned(),
    ] {
        let _ = machine.run(&active, &["sh", "-c", "ls -d /* >/dev/null"], |spec| {
            spec.mounts = vec![MountSpec {
                target: target.clone(),
                source: MountSource::Tmpfs { size: None },
                readonly: false,
            }];
        });
        assert_eq!(fs::read_dir(&victim).unwrap().count(), 0);
    }
}

#[test]
fn a_read_only_root_cannot_be_written() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let ran = machine.run(&active, &["sh", "-c", "echo x > /file || echo refused"], |spec| {
        spec.readonly_root = true;
    });
    assert_eq!(ran.stdout, "refused\n");
}

#[test]
fn set_user_id_programs_work_as_in_docker() {
    let Some(machine) = Machine::new() else { return };
    let active = machine.store.begin(&machine.base).unwrap();
    let mounted = active.mount().unwrap();
    let program = mounted.path().join("bin/su");
    fs::copy("/bin/busybox", &program).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o4755)).unwrap();
    drop(mounted);
    // busybox gives the rights up at once, except in the applet for which they are kept.
    let script = "/bin/su -c 'id -u' root </dev/null; busybox grep NoNewPrivs /proc/self/status";
    let ran = machine.run(&active, &["sh", "-c", script], |spec| {
        spec.user = "app".to_owned();
    });
    assert!(
        ran.stdout.contains("NoNewPrivs:\t0"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
    assert!(
        !ran.stderr.contains("must be suid"),
        "{}{}",
        ran.stdout,
        ran.stderr
    );
}

#[test]
fn many_steps_run_at_once() {
    let Some(machine) = Machine::new() else { return };
    let actives: Vec<_> = (0..16)
        .map(|_| machine.store.begin(&machine.base).unwrap())
        .collect();
    runtime().block_on(async {
        let runs = actives.iter().enumerate().map(|(number, active)| {
            let script = format!("echo {number} > /own; cat /own");
            let spec = Machine::spec(active, &["sh", "-c", &script]);
            machine.run_spec(spec, CancellationToken::new())
        });
        for (number, ran) in futures_util::future::join_all(runs).await.into_iter().enumerate() {
            assert_eq!(ok(ran), format!("{number}\n"));
        }
    });
}

/// Not a test of its own: [`a_killed_worker_leaves_no_process`] runs it in another process, which it kills.
#[test]
fn worker_to_be_killed() {
    if std::env::var_os("STAGEWRIGHT_TEST_VICTIM").is_none() {
        return;
    }
    isolate_mounts().unwrap();
    let machine = Machine::new().unwrap();
    let active = machine.store.begin(&machine.base).unwrap();
    // The directory cannot be removed by a process that is killed, so its name is told.
    println!("DIR {}", machine.dir.path().display());
    std::io::stdout().flush().unwrap();
    let script = "(busybox setsid sleep 61236.5 &); sleep 61236.5";
    machine.run(&active, &["sh", "-c", script], |spec| {
        spec.user = "app".to_owned();
        spec.limits.pids = Some(50);
    });
}

#[test]
fn a_killed_worker_leaves_no_process_and_no_mount() {
    use std::io::BufRead as _;
    let Some(_machine) = Machine::new() else { return };
    let mut victim = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "sandbox::tests::worker_to_be_killed", "--nocapture"])
        .env("STAGEWRIGHT_TEST_VICTIM", "1")
        .stdout(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufReader::new(victim.stdout.take().unwrap()).lines();
    let dir = lines
        .map_while(Result::ok)
        .find_map(|line| line.split_once("DIR ").map(|(_, dir)| dir.to_owned()))
        .unwrap();
    eventually("the step runs", || is_running("61236.5"));
    victim.kill().unwrap();
    victim.wait().unwrap();
    eventually("the step is gone", || !is_running("61236.5"));
    assert!(!fs::read_to_string("/proc/self/mounts").unwrap().contains(&dir));
    // The next worker clears away what is left.
    SnapshotStore::open(&Path::new(&dir).join("snapshots")).unwrap();
    assert_eq!(
        fs::read_dir(Path::new(&dir).join("snapshots/active"))
            .unwrap()
            .count(),
        0
    );
    drop(
        Sandbox::new(&SandboxConfig {
            state_dir: Path::new(&dir).join("sandbox"),
        })
        .unwrap(),
    );
    fs::remove_dir_all(&dir).unwrap();
}

/// How the tests know that they are run by [`all_of_this_holds_for_an_ordinary_user`].
const ORDINARY: &str = "STAGEWRIGHT_TEST_ORDINARY";

#[test]
fn all_of_this_holds_for_an_ordinary_user() {
    if std::env::var_os(ORDINARY).is_some() {
        return;
    }
    let own = std::env::current_exe().unwrap();
    let user = match ordinary::Ordinary::new(&[&own]) {
        Ok(user) => user,
        Err(reason) => return println!("skipped: {reason}"),
    };
    // This process has threads, so another makes the namespace for it.
    let mut tests = user.command(ordinary::Machine::Whole, Path::new("/usr/bin/unshare"));
    let output = tests
        .args([
            "--map-users=auto",
            "--map-groups=auto",
            "--map-root-user",
            "--mount",
        ])
        .arg(own)
        .args(["sandbox::", "--show-output"])
        .env(ORDINARY, "1")
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        output.status.success(),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    // One that every machine with steps can do tells whether anything was tried.
    let heading = "---- sandbox::tests::capabilities_are_dockers stdout ----";
    let told = said.split_once(heading).map_or("", |(_, told)| told);
    if let Some(reason) = told.lines().find(|line| line.starts_with("skipped: ")) {
        println!("{reason}");
    }
}

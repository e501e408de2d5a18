//! The worker of an ordinary user, on a machine where nobody made anything ready but its ids.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use crate::image::tree;
use crate::user::{FIRST_SUBORDINATE, ID, Machine, Ordinary, give};

const PROGRAM: &str = env!("CARGO_BIN_EXE_stagewright");

/// The configuration with images, and a user who can read them; `None` with the reason printed.
fn ready() -> Option<(PathBuf, Ordinary)> {
    let Some(config) = std::env::var_os("STAGEWRIGHT_TEST_CONFIG").map(PathBuf::from) else {
        println!("skipped: STAGEWRIGHT_TEST_CONFIG names no configuration with images");
        return None;
    };
    match Ordinary::new(&[Path::new(PROGRAM), config.parent().unwrap()]) {
        Ok(user) => Some((config, user)),
        Err(reason) => {
            println!("skipped: {reason}");
            None
        }
    }
}

/// Builds what is in `context` into an OCI archive beside it.
fn build(mut command: Command, config: &Path, context: &Path, state: &Path) -> Output {
    let output = format!("type=oci,dest={}", context.join("../image.tar").display());
    command
        .args([
            "build",
            "--progress",
            "plain",
            "--secret",
            "id=word,env=WORD",
            "--state",
        ])
        .arg(state)
        .arg("--config")
        .arg(config)
        .args(["--output", &output])
        .arg(context)
        .env("WORD", "sesame")
        .output()
        .unwrap()
}

fn context(folder: &Path, dockerfile: &str) -> PathBuf {
    let context = folder.join("context");
    fs::create_dir_all(&context).unwrap();
    fs::write(context.join("Dockerfile"), dockerfile).unwrap();
    context
}

/// Whether it went well; else what was said about it.
fn well(output: &Output) -> Result<(), String> {
    if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    }
}

/// Whether this machine lets an ordinary user's worker build; says why not.
fn can_build(user: &Ordinary) -> bool {
    let said = doctor(user, Machine::Whole);
    let can = said.ends_with("Builds run on this machine.\n");
    if !can {
        println!(
            "skipped: ordinary users cannot build here: {}",
            said.replace('\n', " ")
        );
    }
    can
}

fn doctor(user: &Ordinary, machine: Machine) -> String {
    let mut command = user.command(machine, Path::new(PROGRAM));
    let state = user.home().join(format!("doctor-{machine:?}"));
    let output = command.arg("doctor").arg("--state").arg(state).output().unwrap();
    String::from_utf8(output.stdout).unwrap() + &String::from_utf8_lossy(&output.stderr)
}

/// Everything about owners, modes, removed names and mounts that an ordinary user could get wrong.
const OWNERS: &str = r"FROM alpine AS made
RUN mkdir -p /a/b /gone/deep /kept && echo 1 > /a/b/one && chown -R 12:34 /a && chmod 2750 /a \
 && ln /a/b/one /a/two && ln -s b/one /a/link && echo x > /kept/old && mkfifo /a/pipe && touch /gone/deep/file
RUN rm -rf /gone /kept && mkdir /kept && touch /kept/new && mkdir /gone && rm /etc/shells && chmod 4755 /a/b/one \
 && chown nobody:daemon /a/link -h && chmod 600 /etc/shadow && chown 65534:65534 /a/b
USER 1000:1001
WORKDIR /work
RUN --mount=type=cache,target=/cache,uid=1000 --mount=type=secret,id=word,uid=1000 \
 echo $(id -u):$(id -g) > /work/who && cp /work/who /cache && wc -c < /run/secrets/word > /work/length && ls -ln /cache > /work/cache
FROM alpine
COPY --from=made /a /copied/
COPY --from=made --chown=7:8 --chmod=640 /work/who /copied/who
COPY --from=made /work /kept /all/
ADD --chown=nobody Dockerfile /named
RUN --mount=type=bind,from=made,target=/mnt,rw touch /mnt/written && ls -ln /mnt/a > /seen && id -G > /groups
";

#[test]
fn an_ordinary_user_builds_what_root_builds() {
    let Some((config, user)) = ready() else { return };
    if !can_build(&user) {
        return;
    }
    let roots = tempfile::tempdir().unwrap();
    let by_root = context(roots.path(), OWNERS);
    well(&build(
        Command::new(PROGRAM),
        &config,
        &by_root,
        &roots.path().join("state"),
    ))
    .unwrap();
    let by_user = context(&user.home(), OWNERS);
    give(&user.home());
    let state = user.home().join("state");
    let command = user.command(Machine::Whole, Path::new(PROGRAM));
    well(&build(command, &config, &by_user, &state)).unwrap();
    let [root, other] = [roots.path(), &user.home()].map(|folder| {
        let mut tree = tree(&fs::read(folder.join("image.tar")).unwrap());
        // It has the times of its files.
        for listing in ["seen", "all/cache"] {
            let entry = tree.get_mut(listing).unwrap();
            let text = String::from_utf8(entry.content.clone()).unwrap();
            let words = |line: &str| {
                line.split_whitespace()
                    .take(4)
                    .map(str::to_owned)
                    .collect::<Vec<_>>()
                    .join(" ")
            };
            // How much room they take is the file system's affair.
            let lines = text.lines().filter(|line| !line.starts_with("total "));
            entry.content = lines.map(words).collect::<Vec<_>>().join("\n").into_bytes();
        }
        tree
    });
    for (path, entry) in &root {
        assert_eq!(Some(entry), other.get(path), "{path}");
    }
    assert_eq!(root.len(), other.len());
    assert_eq!(
        (root["copied/b/one"].mode, root["copied/b/one"].owner),
        (0o4755, (12, 34))
    );
    assert_eq!(root["all/who"].content, b"1000:1001\n");
    // The image is the user's, whoever its files belong to, and so is the state.
    assert_eq!(fs::metadata(user.home().join("image.tar")).unwrap().uid(), ID);
    let theirs = |path: &Path| fs::metadata(path).unwrap().uid();
    assert_eq!(theirs(&state), ID);
    let layers = fs::read_dir(state.join("snapshots/layers")).unwrap();
    let given = layers
        .map(|layer| layer.unwrap().path().join("fs/a"))
        .filter(|path| path.exists())
        .map(|path| theirs(&path))
        .next();
    assert_eq!(given, Some(FIRST_SUBORDINATE + 11));
    // What belongs to others can be removed again, and root's worker, to whom they are others still, leaves it alone.
    let refused = Command::new(PROGRAM)
        .args(["prune", "--all", "--state"])
        .arg(&state)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("other user and group ids"), "{said}");
    let mut prune = user.command(Machine::Whole, Path::new(PROGRAM));
    well(
        &prune
            .args(["prune", "--all", "--state"])
            .arg(&state)
            .output()
            .unwrap(),
    )
    .unwrap();
    assert_eq!(fs::read_dir(state.join("snapshots/layers")).unwrap().count(), 0);
}

#[test]
fn steps_of_an_ordinary_user_do_not_reach_the_machine() {
    let Some((config, user)) = ready() else { return };
    if !can_build(&user) {
        return;
    }
    if let Some(problem) = doctor(&user, Machine::Whole)
        .lines()
        .find(|line| line.starts_with("--  network"))
    {
        return println!("skipped: {problem}");
    }
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    listener.set_nonblocking(true).unwrap();
    let mut places = vec!["127.0.0.1".to_owned()];
    // The address by which the machine would reach others; no packet is sent for that.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_ok() {
        places.push(socket.local_addr().unwrap().ip().to_string());
    }
    // And by which it is reached itself: the first stop on the way out.
    let routes = fs::read_to_string("/proc/net/route").unwrap();
    let mut gateways = routes.lines().filter_map(|line| {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let gateway = u32::from_str_radix(fields.get(2)?, 16).ok()?.swap_bytes();
        (fields[1] == "00000000").then(|| std::net::Ipv4Addr::from_bits(gateway).to_string())
    });
    places.extend(gateways.next());
    for place in &places {
        let script = format!("RUN nc -w 1 {place} {port} </dev/null && echo reached || echo closed");
        let context = context(&user.home(), &format!("FROM alpine\n{script}\n"));
        give(&user.home());
        let command = user.command(Machine::Whole, Path::new(PROGRAM));
        let output = build(command, &config, &context, &user.home().join("state"));
        well(&output).unwrap();
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            said.lines().any(|line| line.ends_with(" closed")),
            "{place}: {said}"
        );
        assert!(listener.accept().is_err(), "{place}");
    }
}

#[test]
fn what_an_ordinary_user_lacks_is_said_in_a_line() {
    let Some((config, user)) = ready() else { return };
    if !can_build(&user) {
        return;
    }
    let whole = doctor(&user, Machine::Whole);
    assert!(whole.contains("ok  owners       65537 users"), "{whole}");
    for (machine, line, advice) in [
        (
            Machine::NoIds,
            "--  owners",
            "add the line ordinary:100000:65536 to /etc/subuid",
        ),
        (
            Machine::Without("newuidmap"),
            "--  owners",
            "newuidmap is missing: install it",
        ),
        (
            Machine::Without("newgidmap"),
            "--  owners",
            "newgidmap is missing: install it",
        ),
        (
            Machine::Without("pasta"),
            "--  network",
            "pasta is missing: install it",
        ),
        (
            Machine::NoTun,
            "--  network",
            "/dev/net/tun, which cannot be opened",
        ),
    ] {
        let said = doctor(&user, machine);
        let found = said.lines().find(|found| found.starts_with(line));
        assert!(
            found.is_some_and(|found| found.contains(advice)),
            "{machine:?}: {said}"
        );
        assert!(
            said.ends_with("Builds run on this machine.\n"),
            "{machine:?}: {said}"
        );
    }
    let said = doctor(&user, Machine::CoveredProc);
    assert!(
        said.contains("no  namespaces   /proc/version is covered"),
        "{said}"
    );
    assert!(
        said.ends_with("Builds do not run on this machine; planning does.\n"),
        "{said}"
    );
    // With one id for everything, what needs no other works, and what does says so.
    let alone = |dockerfile: &str, state: &str| {
        let context = context(&user.home(), dockerfile);
        give(&context);
        let command = user.command(Machine::NoIds, Path::new(PROGRAM));
        build(command, &config, &context, &user.home().join(state))
    };
    well(&alone(
        "FROM alpine\nRUN echo works > /file && rm /etc/shells\n",
        "alone",
    ))
    .unwrap();
    for wanting in ["USER nobody\nRUN true", "COPY --chown=33 Dockerfile /"] {
        let output = alone(&format!("FROM alpine\n{wanting}\n"), "alone");
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            !output.status.success() && said.contains("no ids but its own"),
            "{said}"
        );
    }
    // The same state means others to a worker with more ids.
    well(&alone("FROM alpine\nRUN true\n", "alone")).unwrap();
    let mut look = user.command(Machine::Whole, Path::new(PROGRAM));
    let output = look
        .args(["prune", "--state"])
        .arg(user.home().join("alone"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(said.contains("other user and group ids"), "{said}");
}

#[test]
fn a_machine_without_user_namespaces_says_so() {
    let Some((_, user)) = ready() else { return };
    if !can_build(&user) {
        return;
    }
    // The setting is a namespace's own, so that of the machine stays as it is.
    let script = "echo 0 > /proc/sys/user/max_user_namespaces && exec setpriv --reuid=5 --clear-groups \
                  --inh-caps=-all --bounding-set=-all \"$@\"";
    let mut command = user.command(Machine::Whole, Path::new("unshare"));
    let output = command
        .args([
            "--map-users=auto",
            "--map-groups=auto",
            "--map-root-user",
            "sh",
            "-ec",
            script,
            "sh",
            PROGRAM,
        ])
        .args(["doctor", "--state", "/tmp/stagewright-no-namespaces"])
        .output()
        .unwrap();
    _ = fs::remove_dir_all("/tmp/stagewright-no-namespaces");
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let line = "no  privileges   User namespaces are switched off on this machine";
    assert!(
        said.contains(line),
        "{said}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    assert!(said.contains("user.max_user_namespaces"), "{said}");
    assert!(
        said.ends_with("Builds do not run on this machine; planning does.\n"),
        "{said}"
    );
}

#[test]
fn a_worker_of_an_ordinary_user_serves_where_the_user_is() {
    let Some((config, user)) = ready() else { return };
    if !can_build(&user) {
        return;
    }
    let mut worker = user
        .command(Machine::Whole, Path::new(PROGRAM))
        .args(["serve", "--listen", "127.0.0.1:0", "--config"])
        .arg(&config)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(worker.stdout.take().unwrap()).lines();
    let url = lines.find_map(|line| {
        line.unwrap()
            .strip_prefix("playground: http://")
            .map(str::to_owned)
    });
    let address = url.unwrap().split('/').next().unwrap().to_owned();
    let answered = std::net::TcpStream::connect(&address);
    worker.kill().unwrap();
    worker.wait().unwrap();
    answered.unwrap();
    // The state is where such users have it.
    assert!(user.home().join(".local/state/stagewright/snapshots").is_dir());
}

#[test]
fn a_killed_worker_of_an_ordinary_user_leaves_nothing_running() {
    let Some((config, user)) = ready() else { return };
    if !can_build(&user) {
        return;
    }
    let context = context(
        &user.home(),
        "FROM alpine\nRUN (setsid sleep 4711 &) ; sleep 4711\n",
    );
    give(&user.home());
    let state = user.home().join("state");
    let mut worker = user
        .command(Machine::Whole, Path::new(PROGRAM))
        .arg("build")
        .arg("--state")
        .arg(&state)
        .arg("--config")
        .arg(&config)
        .arg(&context)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // Tests beside this one run programs of the same user; the state folder tells which are of this worker's.
    let home = user.home().to_str().unwrap().to_owned();
    let running = |what: &str| {
        let processes = fs::read_dir("/proc").unwrap().filter_map(Result::ok);
        let lines = processes.filter_map(|process| fs::read(process.path().join("cmdline")).ok());
        lines
            .filter(|line| String::from_utf8_lossy(line).replace('\0', " ").contains(what))
            .count()
    };
    eventually("the step runs", || running("sleep 4711") >= 2);
    worker.kill().unwrap();
    worker.wait().unwrap();
    eventually("the step is gone", || running("sleep 4711") == 0);
    eventually("pasta is gone", || running(&home) == 0);
    let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains(&home), "{mounts}");
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let begun = Instant::now();
    while !condition() {
        assert!(begun.elapsed() < Duration::from_mins(1), "{what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

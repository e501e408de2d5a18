//! Reaching the worker, and the machine that it is on, from a step.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::stage::{Stage, printed};

/// A worker that serves on this machine's loopback.
struct Served {
    process: Child,
    port: u16,
}

impl Served {
    fn start(state: &std::path::Path) -> Self {
        let process = Command::new(env!("CARGO_BIN_EXE_stagewright"))
            .args(["serve", "--listen", "127.0.0.1:0", "--state"])
            .arg(state)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // It ends with this, whatever fails from here on.
        let mut served = Self { process, port: 0 };
        let mut lines = BufReader::new(served.process.stdout.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap);
        let found = line.into_iter().find_map(|line| {
            line.strip_prefix("playground: http://127.0.0.1:")
                .map(str::to_owned)
        });
        served.port = found.unwrap().split_once('/').unwrap().0.parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        served
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// The addresses by which this machine can be reached from itself.
fn own_addresses() -> Vec<String> {
    let mut addresses = vec![
        "127.0.0.1".to_owned(),
        "localhost".into(),
        "0.0.0.0".into(),
        "127.1.2.3".into(),
    ];
    // No packet is sent for that.
    let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
    if socket.connect("192.0.2.1:9").is_ok() {
        addresses.push(socket.local_addr().unwrap().ip().to_string());
    }
    addresses
}

/// Lines that ask a port of hosts, as `ask HOST PORT`, and say whether somebody answered; and one that shows that they do
/// ask, by a server of the step's own, also where the step has no way out. That takes one question at a time, and not each of them is
/// answered on a busy machine.
const ASK: &str = "\
    gateway=$(ip route 2>/dev/null | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')\n\
    ask() { printf 'GET /v1/version HTTP/1.1\\r\\nHost: 127.0.0.1:%s\\r\\n\\r\\n' $2 | nc -w 2 $1 $2 2>/dev/null | \
    head -c 8 | grep HTTP >/dev/null && echo REACHED $1; }\n\
    while sleep 0.1; do printf 'HTTP/1.1 200 OK\\r\\n\\r\\n' | nc -l -p 8099; done >/dev/null 2>&1 &\n\
    for attempt in $(seq 50); do ask 127.0.0.1 8099 | grep REACHED && break; sleep 0.2; done\n";

#[test]
fn the_worker_cannot_be_asked_from_a_step_under_any_of_its_addresses() {
    let Some(stage) = Stage::new() else { return };
    let served = Served::start(&stage.outside().join("serving"));
    let port = served.port;
    let ask = format!("GET /v1/version HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    let answers = || {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(ask.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    };
    answers();
    let own = own_addresses().join(" ");
    let said = stage.script(&format!(
        "{ASK}echo now\nfor host in {own} $gateway ::1; do ask $host {port}; done\necho asked\n"
    ));
    // The step's own server is all that the step reaches.
    assert!(said.contains("REACHED 127.0.0.1\nnow\nasked\n"), "{said}");
    // It still answers the machine itself.
    answers();
}

#[test]
fn what_listens_on_this_machine_hears_nothing_from_a_step() {
    let Some(stage) = Stage::new() else { return };
    // On every address that there is, which a worker never does: the network alone has to keep steps away.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (tell, heard) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut first = [0; 64];
            let length = stream.read(&mut first).unwrap_or(0);
            _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\n");
            if tell.send(first[..length].to_vec()).is_err() {
                return;
            }
        }
    });
    // The machine itself reaches it by each of the addresses.
    for address in own_addresses() {
        let mut stream = TcpStream::connect((address.as_str(), port)).unwrap();
        stream.write_all(address.as_bytes()).unwrap();
        drop(stream);
        let first = heard.recv_timeout(Duration::from_secs(10)).unwrap();
        assert_eq!(String::from_utf8_lossy(&first), address);
    }
    let own = own_addresses().join(" ");
    let said = stage.script(&format!(
        "{ASK}echo now\nfor host in {own} $gateway; do ask $host {port}; done\necho asked\n"
    ));
    assert!(said.contains("REACHED 127.0.0.1\nnow\nasked\n"), "{said}");
    // Whoever came is heard in turn, so the next to be heard is this one where nobody came before.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"the last").unwrap();
    drop(stream);
    let next = heard.recv_timeout(Duration::from_secs(10)).unwrap();
    assert_eq!(String::from_utf8_lossy(&next), "the last", "{said}");
}

#[test]
fn sockets_of_the_worker_and_of_the_machine_are_not_among_a_steps_files() {
    let Some(stage) = Stage::new() else { return };
    let socket = stage.outside().join("engine.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let abstracts = fs::read_to_string("/proc/net/unix").unwrap();
    assert!(abstracts.contains("engine.sock"), "{abstracts}");
    let said = stage.script(&format!(
        "echo \"$(find / -xdev -name busybox -type f | wc -l) programs\"\n\
         find / -xdev -type s; ls {} {} /var/run/docker.sock /run/docker.sock 2>/dev/null\n\
         for kind in unix tcp packet; do head -n 1 /proc/net/$kind | wc -l; tail -n +2 /proc/net/$kind; done; echo end\n",
        socket.display(),
        stage.ground.state.join("control.sock").display(),
    ));
    // The lists are there, with their headings and with nothing in them.
    assert_eq!(
        said.trim(),
        "1 programs\n1\n1\n1\nend\nthe script has ended",
        "{said}"
    );
}

#[test]
fn a_step_without_a_network_reaches_nobody() {
    let Some(stage) = Stage::new() else { return };
    let run = "RUN --network=none ip -o addr | grep -q ' lo ' && echo LISTED; ip -o addr | grep -v ' lo ' | grep inet && echo ADDRESS; \
               nc -w 1 192.0.2.1 9 </dev/null 2>&1; ip link add x type dummy 2>&1 && echo MADE; true";
    let (ended, _) = stage.build(run, &[]);
    let said = printed(&ended.well().err);
    assert!(!said.contains("ADDRESS") && !said.contains("MADE"), "{said}");
    for proof in ["LISTED", "unreachable", "Operation not permitted"] {
        assert!(said.contains(proof), "{proof}: {said}");
    }
}

#[test]
fn a_frontend_that_a_dockerfile_names_is_neither_fetched_nor_run() {
    let Some(stage) = Stage::new() else { return };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    for first in [
        format!("# syntax=127.0.0.1:{port}/evil/frontend:1"),
        format!("#syntax=127.0.0.1:{port}/evil/frontend:1\n# escape=`"),
        format!("// syntax=127.0.0.1:{port}/evil/frontend:1"),
    ] {
        let dockerfile = format!("{first}\nFROM scratch\nCOPY sums /\n");
        fs::write(stage.ground.context.join("Dockerfile"), dockerfile).unwrap();
        let frontend = format!("BUILDKIT_SYNTAX=127.0.0.1:{port}/evil/frontend:1");
        let ended = stage.ground.run(&["build", "--build-arg", &frontend, "."]);
        // The last is no comment, and so no Dockerfile for anybody but a frontend.
        let code = i32::from(first.starts_with("//"));
        assert_eq!(ended.code, Some(code), "{first}: {}", ended.err);
        assert!(listener.accept().is_err(), "{first}: somebody was asked");
    }
    // Whoever asked would have been seen.
    let _asks = TcpStream::connect(("127.0.0.1", port)).unwrap();
    listener.set_nonblocking(false).unwrap();
    assert!(listener.accept().is_ok());
}

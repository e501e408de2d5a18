//! Reaching the worker, and the machine that it is on, from a step.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixListener;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::stage::Stage;

/// A worker that serves on this machine's loopback.
struct Served {
    process: Child,
    port: u16,
}

impl Served {
    fn start(state: &std::path::Path) -> Self {
        let mut process = Command::new(env!("CARGO_BIN_EXE_stagewright"))
            .args(["serve", "--listen", "127.0.0.1:0", "--state"])
            .arg(state)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let line = lines.by_ref().map(Result::unwrap);
        let found = line.into_iter().find_map(|line| {
            line.strip_prefix("playground: http://127.0.0.1:")
                .map(str::to_owned)
        });
        let port = found.unwrap().split_once('/').unwrap().0.parse().unwrap();
        std::thread::spawn(move || lines.for_each(drop));
        Self { process, port }
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

#[test]
fn the_worker_cannot_be_asked_from_a_step_under_any_of_its_addresses() {
    let Some(stage) = Stage::new() else { return };
    let served = Served::start(&stage.outside().join("serving"));
    let port = served.port;
    let ask = format!("GET /api/version HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nConnection: close\r\n\r\n");
    // It answers the machine itself.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(ask.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 "), "{answer}");
    let own = own_addresses().join(" ");
    let script = format!(
        "gateway=$(ip route 2>/dev/null | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')\n\
         for host in {own} $gateway ::1; do printf 'GET /api/version HTTP/1.1\\r\\nHost: 127.0.0.1:{port}\\r\\n\\r\\n' | \
         nc -w 2 $host {port} 2>/dev/null | head -c 8 | grep HTTP && echo REACHED $host; done\ntrue\n"
    );
    let said = stage.script(&script);
    assert!(!said.contains("REACHED") && !said.contains("HTTP"), "{said}");
}

#[test]
fn what_listens_on_this_machine_hears_nothing_from_a_step() {
    let Some(stage) = Stage::new() else { return };
    // On every address that there is, which a worker never does: the network alone has to keep steps away.
    let listener = TcpListener::bind("0.0.0.0:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heard = Arc::new(AtomicUsize::new(0));
    let counting = Arc::clone(&heard);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            drop(stream);
            counting.fetch_add(1, Ordering::SeqCst);
        }
    });
    let own = own_addresses().join(" ");
    let said = stage.script(&format!(
        "gateway=$(ip route 2>/dev/null | sed -n 's/^default via \\([^ ]*\\).*/\\1/p')\n\
         for host in {own} $gateway; do nc -w 2 $host {port} </dev/null; done; echo asked\n"
    ));
    assert!(said.contains("asked"), "{said}");
    assert_eq!(heard.load(Ordering::SeqCst), 0, "{said}");
    // The count works.
    drop(TcpStream::connect(("127.0.0.1", port)).unwrap());
    while heard.load(Ordering::SeqCst) == 0 {
        std::thread::yield_now();
    }
}

#[test]
fn sockets_of_the_worker_and_of_the_machine_are_not_among_a_steps_files() {
    let Some(stage) = Stage::new() else { return };
    let socket = stage.outside().join("engine.sock");
    let _listener = UnixListener::bind(&socket).unwrap();
    let said = stage.script(&format!(
        "find / -xdev -type s 2>/dev/null; ls {} {} /var/run/docker.sock /run/docker.sock 2>/dev/null; \
         tail -n +2 /proc/net/unix; tail -n +2 /proc/net/tcp; tail -n +2 /proc/net/packet; echo end\n",
        socket.display(),
        stage.ground.state.join("control.sock").display(),
    ));
    assert_eq!(said.trim(), "end\nthe script has ended", "{said}");
}

#[test]
fn a_step_without_a_network_reaches_nobody() {
    let Some(stage) = Stage::new() else { return };
    let run = "RUN --network=none ip -o addr 2>/dev/null | grep -v ' lo ' | grep inet && echo ADDRESS; \
               nc -w 1 192.0.2.1 9 </dev/null 2>&1; ip link add x type dummy && echo MADE; true";
    let (ended, _) = stage.build(run, &[]);
    let said = crate::stage::printed(&ended.well().err);
    assert!(!said.contains("ADDRESS") && !said.contains("MADE"), "{said}");
    assert!(said.contains("unreachable"), "{said}");
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
        std::fs::write(stage.ground.context.join("Dockerfile"), dockerfile).unwrap();
        let frontend = format!("BUILDKIT_SYNTAX=127.0.0.1:{port}/evil/frontend:1");
        let ended = stage.ground.run(&["build", "--build-arg", &frontend, "."]);
        assert!(matches!(ended.code, Some(0 | 1)), "{first}: {}", ended.err);
        assert!(listener.accept().is_err(), "{first}: somebody was asked");
    }
}

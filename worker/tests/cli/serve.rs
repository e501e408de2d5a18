//! `serve`: it ends in order, keeps others out of its folder, and refuses in a sentence.

use std::io::{BufRead as _, BufReader, Read as _};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

use crate::line::Port;
use crate::{run, stagewright};

/// A worker as a process, and what it prints.
pub(crate) struct Served {
    process: Child,
    output: BufReader<ChildStdout>,
    pub(crate) port: u16,
}

pub(crate) fn serve(state: &Path) -> Served {
    serve_as(state, &[])
}

/// A worker that answers to these names besides its own.
pub(crate) fn serve_as(state: &Path, hosts: &[&str]) -> Served {
    let own = hosts.first().map(|_| Port::free().given_up());
    let mut process = stagewright()
        .args([
            "serve",
            "--listen",
            &format!("127.0.0.1:{}", own.unwrap_or(0)),
            "--state",
        ])
        .arg(state)
        .args(hosts.iter().flat_map(|host| ["--host", host]))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let port = loop {
        let mut line = String::new();
        assert_ne!(
            output.read_line(&mut line).unwrap(),
            0,
            "it ended before it printed its address"
        );
        if let Some(rest) = line.strip_prefix("playground: http://127.0.0.1:") {
            let (port, token) = rest.trim_end().split_once("/#token=").unwrap();
            assert_eq!(token.len(), 43);
            break own.unwrap_or_else(|| port.parse().unwrap());
        }
    };
    Served {
        process,
        output,
        port,
    }
}

impl Served {
    pub(crate) fn signal(&self, signal: rustix::process::Signal) {
        let id = rustix::process::Pid::from_child(&self.process);
        rustix::process::kill_process(id, signal).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // A test that failed leaves no worker behind; one that passed has ended it already.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

#[test]
fn serve_ends_in_order_when_told_to() {
    let folder = tempfile::tempdir().unwrap();
    for signal in [rustix::process::Signal::TERM, rustix::process::Signal::INT] {
        let mut served = serve(folder.path());
        // A client that says nothing does not hold it up.
        let _idle = TcpStream::connect(("127.0.0.1", served.port)).unwrap();
        served.signal(signal);
        assert!(served.process.wait().unwrap().success());
        let mut rest = String::new();
        served.output.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "");
    }
}

#[test]
fn a_log_that_goes_to_a_file_has_times_and_no_colours() {
    let folder = tempfile::tempdir().unwrap();
    let mut process = stagewright()
        .args(["serve", "-v", "--listen", "127.0.0.1:0", "--state"])
        .arg(folder.path())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut output = BufReader::new(process.stdout.take().unwrap());
    let mut errors = process.stderr.take().unwrap();
    let served = Served {
        process,
        port: 0,
        output: {
            let mut line = String::new();
            while !line.contains("playground: ") {
                assert_ne!(output.read_line(&mut line).unwrap(), 0);
            }
            output
        },
    };
    served.signal(rustix::process::Signal::TERM);
    let mut log = String::new();
    errors.read_to_string(&mut log).unwrap();
    let line = log.lines().find(|line| line.ends_with("stopping")).unwrap();
    assert!(line.starts_with("20") && line.contains(" INFO "), "{line}");
    assert!(!log.contains('\u{1b}'), "{log}");
}

#[test]
fn one_state_folder_serves_one_worker() {
    let folder = tempfile::tempdir().unwrap();
    let first = serve(folder.path());
    let state = folder.path().to_str().unwrap();
    let (code, output, error) = run(&["serve", "--listen", "127.0.0.1:0", "--state", state]);
    assert_eq!((code, output.as_str()), (3, ""));
    assert!(error.contains("another worker uses"), "{error}");
    // A worker that was killed leaves its folder free.
    first.signal(rustix::process::Signal::KILL);
    drop(first);
    serve(folder.path());
}

#[test]
fn doctor_tells_what_the_machine_allows_beside_a_worker_too() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let (alone, said, _) = run(&["doctor", "--state", state]);
    let lock = std::fs::File::open(folder.path().join("worker.lock")).unwrap();
    lock.lock().unwrap();
    let (beside, output, error) = run(&["doctor", "--state", state]);
    assert_eq!(beside, alone, "{error}");
    let note = output.lines().last().unwrap();
    assert!(note.starts_with("A worker is at work in "), "{output}");
    assert_eq!(output.lines().count(), said.lines().count() + 1, "{output}");
}

#[test]
fn beyond_this_machine_serve_asks_for_a_certificate_a_token_and_a_name() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let tls = ["--tls-cert", "/nowhere/x.pem", "--tls-key", "/nowhere/y.pem"];
    let serve = |arguments: &[&str]| {
        let all = [&["serve", "--state", state, "--listen", "0.0.0.0:0"], arguments].concat();
        let (code, output, error) = run(&all);
        assert_eq!((code, output.as_str()), (2, ""), "{error}");
        error
    };
    assert!(serve(&[]).contains("--tls-cert"));
    assert!(serve(&tls).contains("stagewright token create"));
    let (code, _, _) = run(&["token", "create", "--state", state]);
    assert_eq!(code, 0);
    assert!(serve(&tls).contains("--host"));
    let error = serve(&[&tls[..], &["--host", "builder.example.org"]].concat());
    assert!(
        error.contains("/nowhere/x.pem") && error.contains("PEM"),
        "{error}"
    );
}

#[test]
fn serve_refuses_in_a_sentence_what_it_cannot_do() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().to_string();
    let bad_config = folder.path().join("bad.toml");
    std::fs::write(&bad_config, "[limitz]\n").unwrap();
    for (arguments, code, said) in [
        (["--listen", "0.0.0.0:7070"], 2, "TLS"),
        (["--listen", "[2001:db8::1]:7070"], 2, "--tls-cert"),
        (["--tls-cert", "/nowhere/x.pem"], 2, "--tls-key"),
        (["--host", "https://x"], 2, "not a host"),
        (["--listen", "somewhere"], 2, "127.0.0.1:7070"),
        (["--listen", &taken], 3, "another port"),
        (["--page", state], 2, "index.html"),
        (["--config", "/nowhere/x.toml"], 2, "/nowhere/x.toml"),
        (["--config", bad_config.to_str().unwrap()], 2, "limitz"),
        (
            ["--allow-origin", "https://docs.example.org/path"],
            2,
            "scheme, host and port",
        ),
    ] {
        let mut all = vec!["serve", "--state", state];
        all.extend(arguments);
        if !arguments.contains(&"--listen") {
            all.extend(["--listen", "127.0.0.1:0"]);
        }
        let (was, output, error) = run(&all);
        assert_eq!((was, output.as_str()), (code, ""), "{arguments:?}: {error}");
        assert!(error.contains(said), "{arguments:?}: {error}");
        assert!(!error.contains("panicked"), "{error}");
    }
}

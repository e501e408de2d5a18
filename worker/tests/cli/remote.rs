//! `build --remote`: the same command, carried out by a worker elsewhere.

use std::path::Path;
use std::process::Output;

use crate::line::{Drops, Port};
use crate::serve::{Served, serve_as};
use crate::{Folder, run, stagewright};

/// A worker to build on, and a token for it.
struct Elsewhere {
    _served: Served,
    port: u16,
    token: String,
}

/// `None`, and says so, where this machine cannot build.
fn elsewhere(folder: &Folder, scopes: &str, hosts: &[&str]) -> Option<Elsewhere> {
    let state = folder.path("there");
    let served = serve_as(&state, hosts);
    let (code, token, said) = run(&[
        "token",
        "create",
        "--state",
        state.to_str().unwrap(),
        "--scope",
        scopes,
    ]);
    assert_eq!(code, 0, "{said}");
    let worker = Elsewhere {
        port: served.port,
        _served: served,
        token: token.trim().to_owned(),
    };
    let tried = worker.build(
        worker.port,
        folder,
        &["--progress=plain", "--output=type=cacheonly"],
        "FROM scratch\n",
    );
    if text(&tried.stderr).contains("cannot run builds") {
        println!("skipped: {}", text(&tried.stderr));
        return None;
    }
    assert!(tried.status.success(), "{}", text(&tried.stderr));
    Some(worker)
}

impl Elsewhere {
    /// Builds the folder `context` with this Dockerfile, by way of a port.
    fn build(&self, port: u16, folder: &Folder, flags: &[&str], dockerfile: &str) -> Output {
        let context = folder.path("context");
        std::fs::create_dir_all(&context).unwrap();
        std::fs::write(context.join("Dockerfile"), dockerfile).unwrap();
        stagewright()
            .args(["build", "--remote", &format!("http://127.0.0.1:{port}")])
            .args(flags)
            .arg(&context)
            // Where a build here would leave something, so that it is seen to leave nothing.
            .env("STAGEWRIGHT_STATE", folder.path("here"))
            .env("STAGEWRIGHT_TOKEN", &self.token)
            .output()
            .unwrap()
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// What is in a tar, by name.
fn tar_of(path: &Path) -> Vec<String> {
    let output = std::process::Command::new("tar")
        .arg("tf")
        .arg(path)
        .output()
        .unwrap();
    text(&output.stdout).lines().map(str::to_owned).collect()
}

const COPIES: &str = "FROM scratch\nCOPY a /\nCOPY sub/ /sub/\n";

fn context() -> Folder {
    Folder::with(&[
        ("context/a", "one\n"),
        ("context/sub/b", "two\n"),
        ("context/sub/left", "out\n"),
        ("context/unread", "never sent\n"),
        ("context/.dockerignore", "sub/left\n"),
    ])
}

#[test]
fn files_and_images_come_back_and_nothing_is_left_here() {
    let folder = context();
    let Some(worker) = elsewhere(&folder, "build", &[]) else {
        return;
    };
    let out = folder.name("out");
    let built = worker.build(worker.port, &folder, &["-o", &out], COPIES);
    assert!(built.status.success(), "{}", text(&built.stderr));
    assert_eq!(folder.text("out/a"), "one\n");
    assert_eq!(folder.text("out/sub/b"), "two\n");
    assert!(
        !folder.path("out/sub/left").exists(),
        "what is ignored is not sent"
    );
    assert!(!folder.path("out/unread").exists());

    let (image, id, metadata) = (
        folder.name("image.tar"),
        folder.name("id"),
        folder.name("metadata"),
    );
    let flags = [
        "-t",
        "example/app",
        "-o",
        &format!("type=oci,dest={image}"),
        "--iidfile",
        &id,
        "--metadata-file",
        &metadata,
        "--label",
        "a=b",
    ];
    let built = worker.build(worker.port, &folder, &flags, COPIES);
    assert!(built.status.success(), "{}", text(&built.stderr));
    let digest = text(&built.stdout);
    assert!(digest.starts_with("sha256:"), "{digest}");
    assert!(tar_of(Path::new(&image)).contains(&format!("blobs/sha256/{}", &digest.trim()[7..])));
    assert!(folder.text("id").starts_with("sha256:"));
    let told: serde_json::Value = serde_json::from_str(&folder.text("metadata")).unwrap();
    assert_eq!(told["containerimage.digest"], digest.trim());
    assert_eq!(told["image.name"], "docker.io/example/app:latest");
    assert!(!folder.path("here").exists(), "a state folder was made here");
}

#[test]
fn what_a_build_here_gives_a_build_elsewhere_gives_too() {
    let folder = context();
    let Some(worker) = elsewhere(&folder, "build", &[]) else {
        return;
    };
    let flags = ["--build-arg", "SOURCE_DATE_EPOCH=1", "-t", "same", "--quiet"];
    let there = worker.build(worker.port, &folder, &flags, COPIES);
    assert!(there.status.success(), "{}", text(&there.stderr));
    let Some((code, here, said)) = folder.build("here", &flags) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    assert_eq!(text(&there.stdout), here);
}

#[test]
fn an_upload_goes_on_where_the_line_dropped() {
    let folder = context();
    let (dropping, lasting) = (Port::free(), Port::free());
    let hosts = [dropping.host(), lasting.host()];
    let Some(worker) = elsewhere(&folder, "build", &hosts.each_ref().map(String::as_str)) else {
        return;
    };
    // What no packing makes smaller, so that it is really there that is sent.
    let large: String = (0..4_800_000_u32)
        .filter_map(|number| char::from_digit(number.wrapping_mul(2_654_435_761) >> 28, 16))
        .collect();
    std::fs::write(folder.path("context/large"), &large).unwrap();
    let size = large.len() as u64;
    let drops = Drops {
        asked: 2 << 20,
        ..Drops::NEVER
    };
    let line = dropping.lead(worker.port, drops, 1);
    let out = folder.name("out");
    let built = worker.build(line.port, &folder, &["-o", &out], "FROM scratch\nCOPY large /\n");
    assert!(built.status.success(), "{}", text(&built.stderr));
    assert_eq!(line.dropped(), 1);
    assert!(folder.text("out/large") == large, "it arrived as it was");
    assert!(
        line.asked() < size + (1 << 20),
        "{} bytes were sent of {size}",
        line.asked()
    );
    // Known by its content, it is not sent again.
    let line = lasting.lead(worker.port, Drops::NEVER, 0);
    let built = worker.build(line.port, &folder, &["-o", &out], "FROM scratch\nCOPY large /b\n");
    assert!(built.status.success(), "{}", text(&built.stderr));
    assert!(line.asked() < 64 << 10, "{} bytes were sent", line.asked());
}

#[test]
fn who_may_not_is_told_what_to_do() {
    let folder = context();
    let Some(worker) = elsewhere(&folder, "build", &[]) else {
        return;
    };
    let refused = |token: Option<&str>, flags: &[&str], code: i32, said: &str| {
        let mut command = stagewright();
        command
            .args(["build", "--remote", &format!("http://127.0.0.1:{}", worker.port)])
            .args(flags)
            .arg(folder.path("context"))
            .env_remove("STAGEWRIGHT_TOKEN");
        if let Some(token) = token {
            command.env("STAGEWRIGHT_TOKEN", token);
        }
        let ended = command.output().unwrap();
        let error = text(&ended.stderr);
        assert_eq!(
            (ended.status.code(), text(&ended.stdout).as_str()),
            (Some(code), ""),
            "{error}"
        );
        assert!(error.contains(said), "{said}: {error}");
        assert!(!error.contains(&worker.token), "{error}");
    };
    let token = Some(worker.token.as_str());
    refused(None, &[], 2, "STAGEWRIGHT_TOKEN");
    refused(Some("sw_wrong"), &[], 1, "stagewright token create");
    refused(token, &["--push", "-t", "127.0.0.1:1/a"], 1, "push");
    refused(
        token,
        &["--memory", "1g"],
        2,
        "cannot be had from a worker elsewhere",
    );
    refused(token, &["-o", "type=oci,tar=false,dest=x"], 2, "tar=false");
    refused(token, &["--backend", "buildkit=unix:///nowhere"], 2, "--backend");
    refused(token, &["--allow", "network.host"], 1, "network.host");
    std::fs::write(folder.path("context/Dockerfile"), "FROM scratch\nCOPY\n").unwrap();
    refused(token, &[], 1, "Dockerfile:2");
}

#[test]
fn nobody_there_is_said_and_not_waited_for() {
    let folder = context();
    let free = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    std::fs::write(folder.path("context/Dockerfile"), "FROM scratch\n").unwrap();
    for (remote, code, said) in [
        (format!("http://{free}"), 3, "cannot be reached"),
        ("http://builds.example".to_owned(), 2, "https://"),
        ("nonsense".to_owned(), 2, "https://HOST"),
    ] {
        let ended = stagewright()
            .args(["build", "--remote", &remote])
            .arg(folder.path("context"))
            .env("STAGEWRIGHT_TOKEN", "sw_any")
            .output()
            .unwrap();
        let error = text(&ended.stderr);
        assert_eq!(ended.status.code(), Some(code), "{error}");
        assert!(error.contains(said), "{error}");
    }
}

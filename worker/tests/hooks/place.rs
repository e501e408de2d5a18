//! A bare repository, a worker that knows a hook for it, and somebody who tells of pushes.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use stagewright::request::SigningKey;

pub(crate) const SECRET: &str = "the secret that is shared with github";

/// A folder with a repository and a worker's state in it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
}

impl Place {
    /// `None`, with the reason printed, where no builds can run.
    pub(crate) fn new() -> Option<Self> {
        let place = Self {
            folder: tempfile::tempdir().unwrap(),
        };
        if !Path::new("/bin/busybox").exists() {
            println!("skipped: there is no /bin/busybox to build with");
            return None;
        }
        let there = Command::new("git")
            .arg("--version")
            .stdout(Stdio::null())
            .status();
        if !there.is_ok_and(|status| status.success()) {
            println!("skipped: there is no git");
            return None;
        }
        let doctor = place.stagewright(&["doctor"]).output().unwrap();
        if !doctor.status.success() {
            println!(
                "skipped: this machine cannot run builds: {}",
                String::from_utf8_lossy(&doctor.stdout)
            );
            return None;
        }
        fs::create_dir(place.path("work")).unwrap();
        place.git("work", &["init", "--quiet", "--initial-branch=main", "."]);
        let bare = place.path("app.git");
        place.git(
            "work",
            &[
                "init",
                "--quiet",
                "--bare",
                "--initial-branch=main",
                bare.to_str().unwrap(),
            ],
        );
        fs::copy("/bin/busybox", place.path("work/busybox")).unwrap();
        Some(place)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn git(&self, folder: &str, arguments: &[&str]) -> String {
        let output = Command::new("git")
            .args([
                "-c",
                "user.name=somebody",
                "-c",
                "user.email=somebody@example.org",
            ])
            .args(["-c", "commit.gpgsign=false"])
            .args(arguments)
            .current_dir(self.path(folder))
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{arguments:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// Commits this Dockerfile and pushes it to a branch. Gives the commit.
    pub(crate) fn push(&self, branch: &str, dockerfile: &str) -> String {
        fs::write(self.path("work/Dockerfile"), dockerfile).unwrap();
        self.git("work", &["add", "--all"]);
        self.git("work", &["commit", "--quiet", "--allow-empty", "-m", branch]);
        let bare = self.path("app.git");
        let to = format!("HEAD:refs/heads/{branch}");
        self.git(
            "work",
            &["push", "--quiet", "--force", bare.to_str().unwrap(), &to],
        );
        self.git("work", &["rev-parse", "HEAD"])
    }

    fn stagewright(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_stagewright"));
        command
            .args(arguments)
            .env("STAGEWRIGHT_STATE", self.path("state"))
            .env_remove("STAGEWRIGHT_CONFIG")
            .env_remove("STAGEWRIGHT_LOG");
        command
    }

    /// A worker that knows the hook `app` for the repository.
    pub(crate) fn serve(&self, tags: &[&str], callback: Option<&str>) -> Served {
        let callback = callback.map(|url| {
            let secret = super::callback::SECRET;
            format!("[hook.callback]\nurl = {url:?}\nsecret = {secret:?}\n")
        });
        let repository = self.path("app.git").to_str().unwrap().to_owned();
        let push = !tags.is_empty();
        let config = format!(
            "[limits]\nparallel-builds = 1\n[[hook]]\nname = \"app\"\nkind = \"github\"\nsecret = {SECRET:?}\n\
             refs = [\"main\", \"feature/*\"]\n[hook.build]\ncontext = {repository:?}\ntags = {tags:?}\npush = {push}\n{}\
             [[hook]]\nname = \"own\"\nkind = \"plain\"\nsecret = {SECRET:?}\nrefs = [\"main\"]\n\
             build = {{ context = {repository:?} }}\n",
            callback.unwrap_or_default()
        );
        fs::write(self.path("worker.toml"), config).unwrap();
        let config = self.path("worker.toml");
        let mut process = self
            .stagewright(&[
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--config",
                config.to_str().unwrap(),
            ])
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
        let address = lines.by_ref().find_map(|line| {
            let line = line.unwrap();
            let rest = line.strip_prefix("playground: http://")?;
            Some(rest.split_once("/#token=")?.0.to_owned())
        });
        // What it prints later has to go somewhere.
        std::thread::spawn(move || lines.for_each(drop));
        Served {
            process,
            address: address.expect("the worker ended before it printed its address"),
        }
    }

    /// A token for programs.
    pub(crate) fn token(&self) -> String {
        let made = self
            .stagewright(&["token", "create", "--scope", "build"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        let text = String::from_utf8(made.stdout).unwrap();
        let token = text.split_whitespace().find(|word| word.starts_with("sw_"));
        token.expect("it prints a token").to_owned()
    }

    /// The events of a build, as they are on the disk.
    pub(crate) fn events(&self, build: &str) -> Vec<Value> {
        let path = self.path("state/builds").join(build).join("events.jsonl");
        let text = fs::read_to_string(path).unwrap_or_default();
        let whole = text.lines().filter_map(|line| serde_json::from_str(line).ok());
        whole.collect()
    }

    /// How many builds were ever asked for.
    pub(crate) fn builds(&self) -> usize {
        fs::read_dir(self.path("state/builds")).unwrap().count()
    }
}

/// Waits until something is so.
pub(crate) fn until(what: &str, is: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is() {
        assert!(begin.elapsed() < Duration::from_mins(1), "{what} does not come");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// A worker as a process.
pub(crate) struct Served {
    process: Child,
    address: String,
}

impl Served {
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn connect(&self) -> TcpStream {
        TcpStream::connect(&self.address).unwrap()
    }

    /// The head of a request.
    pub(crate) fn head(&self, method: &str, path: &str, headers: &[(&str, &str)]) -> String {
        let mut head = format!(
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n",
            self.address
        );
        for (name, value) in headers {
            head.extend([name, ": ", value, "\r\n"]);
        }
        head + "\r\n"
    }

    /// Status and text of the answer.
    pub(crate) fn ask(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> (u16, String) {
        let mut connection = self.connect();
        let length = body.len().to_string();
        let headers = [headers, &[("Content-Length", length.as_str())]].concat();
        connection
            .write_all(self.head(method, path, &headers).as_bytes())
            .unwrap();
        // A worker that refuses before it has read everything is right to.
        _ = connection.write_all(body);
        answer(connection)
    }

    /// Tells of a push as GitHub does.
    pub(crate) fn github(&self, delivery: &str, event: &str, body: &Value) -> (u16, Value) {
        let body = body.to_string();
        let signature = SigningKey::new(SECRET.as_bytes().to_vec()).sign(&[body.as_bytes()]);
        let headers = [
            ("Content-Type", "application/json"),
            ("X-GitHub-Event", event),
            ("X-GitHub-Delivery", delivery),
            ("X-Hub-Signature-256", &signature),
        ];
        let (status, text) = self.ask("POST", "/v1/hooks/app", &headers, body.as_bytes());
        (status, serde_json::from_str(&text).unwrap_or(Value::String(text)))
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may be gone already.
        _ = self.process.kill();
        _ = self.process.wait();
    }
}

/// What a push is told with.
pub(crate) fn push_event(reference: &str, commit: &str) -> Value {
    json!({
        "ref": reference, "before": "0".repeat(40), "after": commit, "created": true, "deleted": false, "forced": false,
        "head_commit": { "id": commit, "message": "x" }, "commits": [], "pusher": { "name": "somebody" },
        "repository": { "full_name": "somebody/app" },
    })
}

/// Status and text.
pub(crate) fn answer(mut connection: TcpStream) -> (u16, String) {
    let mut bytes = Vec::new();
    // Whoever refuses may end the connection under what is still on its way.
    _ = connection.read_to_end(&mut bytes);
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let status = text
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok())
        .unwrap_or(0);
    let body = text.split_once("\r\n\r\n").map(|(_, body)| body.to_owned());
    (status, body.unwrap_or_default())
}

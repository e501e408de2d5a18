//! What is left of a secret afterwards: nothing, anywhere.
//!
//! Each secret is a mark that occurs nowhere else. After the builds every byte that a worker kept or gave out is searched
//! for all of them, also in what is compressed, and in the forms in which they travel.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use serde_json::json;
use stagewright_core::digest::Digest;

use crate::ground::{Ended, ended};
use crate::site::Site;
use crate::stage::{Stage, files, says};

/// A text that nobody else writes.
fn mark(name: &str) -> String {
    let seed = format!("{name} {:?} {}", std::time::SystemTime::now(), std::process::id());
    format!("{name}-{}", &Digest::of(seed.as_bytes()).hex()[..24])
}

/// The forms in which a mark must be found nowhere.
fn forms(mark: &str, user: &str) -> Vec<Vec<u8>> {
    let encode = |text: String| {
        base64::engine::general_purpose::STANDARD
            .encode(text)
            .into_bytes()
    };
    vec![
        mark.as_bytes().to_vec(),
        encode(mark.to_owned()).into_iter().take(24).collect(),
        encode(format!("{user}:{mark}")),
        encode(format!("x-access-token:{mark}")),
    ]
}

/// Every place where one of the forms is.
fn found(folders: &[&Path], texts: &[(String, String)], needles: &[Vec<u8>]) -> Vec<String> {
    let mut places = Vec::new();
    let mut look = |place: &str, content: &[u8]| {
        for needle in needles.iter().filter(|needle| says(content, needle)) {
            places.push(format!("{place}: {}", String::from_utf8_lossy(needle)));
        }
    };
    for path in folders.iter().flat_map(|folder| files(folder)) {
        look("a name", path.to_string_lossy().as_bytes());
        let content = fs::read(&path).unwrap_or_default();
        look(&path.display().to_string(), &content);
    }
    for (name, text) in texts {
        look(name, text.as_bytes());
    }
    places
}

/// What a build printed, and all that the worker tells of builds afterwards.
fn told(stage: &Stage, builds: &[Ended]) -> Vec<(String, String)> {
    let mut texts: Vec<(String, String)> = builds
        .iter()
        .enumerate()
        .flat_map(|(number, ended)| {
            [
                (format!("output of {number}"), ended.out.clone()),
                (format!("progress of {number}"), ended.err.clone()),
            ]
        })
        .collect();
    for arguments in [
        &["history", "ls"][..],
        &["history", "ls", "--format", "json"],
        &["du"],
        &["du", "--format", "json"],
        &["image", "ls"],
    ] {
        let ended = stage.ground.run(arguments);
        texts.push((format!("{arguments:?}"), ended.out + &ended.err));
    }
    for number in 1..=builds.len() {
        for what in ["logs", "trace"] {
            let ended = stage.ground.run(&["history", what, &number.to_string()]);
            texts.push((format!("{what} of {number}"), ended.out + &ended.err));
        }
    }
    texts
}

const FROM: &str = "FROM scratch AS base\nCOPY busybox /bin/busybox\nRUN [\"/bin/busybox\", \"--install\", \"-s\", \"/bin\"]\nFROM base\n";

impl Stage {
    /// Builds a Dockerfile into an archive and a folder, and as an image with a name.
    fn everything(&self, dockerfile: &str, flags: &[&str], environment: &[(&str, &str)]) -> Ended {
        fs::write(self.ground.context.join("Dockerfile"), dockerfile).unwrap();
        let outputs = self.outside().join("outputs");
        fs::create_dir_all(&outputs).unwrap();
        let number = fs::read_dir(&outputs).unwrap().count();
        let to = |kind: &str| {
            format!(
                "type={kind},dest={}",
                outputs.join(format!("{number}-{kind}")).display()
            )
        };
        let (oci, docker, local) = (to("oci"), to("docker"), to("local"));
        let metadata = outputs.join(format!("{number}-metadata"));
        let fixed = [
            "build",
            "--progress",
            "plain",
            "-t",
            "app:1",
            "-o",
            &oci,
            "-o",
            &docker,
            "-o",
            &local,
            "--metadata-file",
            metadata.to_str().unwrap(),
        ];
        let mut command = self.ground.command(&[&fixed, flags, &["."]].concat());
        for (name, value) in environment {
            command.env(name, value);
        }
        ended(&command.output().unwrap())
    }
}

#[test]
fn a_secret_of_a_step_is_in_no_layer_image_log_record_cache_or_output() {
    let Some(stage) = Stage::new() else { return };
    let (file, variable) = (mark("file"), mark("variable"));
    let secret = stage.outside().join("given");
    fs::write(&secret, format!("{file}\nand a second line {file}\n")).unwrap();
    let agent_folder = stage.outside().join(mark("agent"));
    fs::create_dir(&agent_folder).unwrap();
    let _agent = std::os::unix::net::UnixListener::bind(agent_folder.join("socket")).unwrap();
    let from_file = format!("id=file,src={}", secret.display());
    let agent = format!("default={}", agent_folder.join("socket").display());
    let flags = [
        "--secret",
        &from_file,
        "--secret",
        "id=variable,env=GIVEN",
        "--ssh",
        &agent,
    ];
    let mounts = "--mount=type=secret,id=file --mount=type=secret,id=file,target=/deep/er/key,mode=0444 \
                  --mount=type=secret,id=variable,env=TOKEN --mount=type=ssh";
    let mut builds = Vec::new();
    for run in [
        // Printed whole, in pieces, by another user, to both streams, and as the last words of a step that fails.
        "cat /run/secrets/file; echo $TOKEN; env",
        "cat /run/secrets/file >&2; for c in $(echo $TOKEN | sed 's/./& /g'); do printf %s $c; done; echo",
        "set -x; echo $TOKEN; cat /proc/self/environ; cat /deep/er/key; cat /proc/1/environ /proc/mounts",
        "cp /run/secrets/file /tmp/x; rm /tmp/x; test -S $SSH_AUTH_SOCK; ls -l $SSH_AUTH_SOCK",
        "echo $TOKEN >&2; cat /run/secrets/file; exit 7",
    ] {
        let dockerfile =
            format!("{FROM}RUN mkdir /tmp\nRUN {mounts} {run}\nRUN ls -R /deep /run 2>&1 || true\n");
        let ended = stage.everything(&dockerfile, &flags, &[("GIVEN", &variable)]);
        assert_eq!(
            ended.code == Some(0),
            !run.contains("exit"),
            "{run}: {}",
            ended.err
        );
        builds.push(ended);
    }
    let needles = [forms(&file, "x"), forms(&variable, "x")].concat();
    let agent_mark = agent_folder
        .file_name()
        .unwrap()
        .to_str()
        .unwrap()
        .as_bytes()
        .to_vec();
    let needles = [needles, vec![agent_mark]].concat();
    let outputs = stage.outside().join("outputs");
    let places = found(&[&stage.ground.state, &outputs], &told(&stage, &builds), &needles);
    assert_eq!(places, Vec::<String>::new());
    assert!(builds[0].err.contains("***"), "{}", builds[0].err);
    // The search finds what is there: a step that gives its secret away, in each output and in what is kept.
    let careless = format!("{FROM}RUN --mount=type=secret,id=file cp /run/secrets/file /given-away\n");
    let number = fs::read_dir(&outputs).unwrap().count();
    stage
        .everything(&careless, &flags, &[("GIVEN", &variable)])
        .well();
    for kind in ["oci", "docker", "local"] {
        let output = outputs.join(format!("{number}-{kind}"));
        let folder = stage.outside().join(format!("given-away-{kind}"));
        fs::create_dir(&folder).unwrap();
        fs::rename(&output, folder.join("output")).unwrap();
        assert!(!found(&[&folder], &[], &forms(&file, "x")).is_empty(), "{kind}");
    }
    assert!(!found(&[&stage.ground.state], &[], &forms(&file, "x")).is_empty());
}

/// A repository in a folder that any web server can give out.
fn repository(folder: &Path) -> PathBuf {
    let work = folder.join("work");
    fs::create_dir_all(&work).unwrap();
    fs::write(work.join("a.txt"), "of the repository").unwrap();
    let git = |at: &Path, arguments: &[&str]| {
        let said = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(arguments)
            .current_dir(at)
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .output()
            .unwrap();
        assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    };
    git(&work, &["init", "--quiet", "-b", "main"]);
    git(&work, &["add", "."]);
    git(&work, &["commit", "--quiet", "-m", "a commit"]);
    let site = folder.join("site");
    fs::create_dir_all(&site).unwrap();
    git(folder, &["clone", "--quiet", "--bare", "work", "site/repo.git"]);
    git(&site.join("repo.git"), &["update-server-info"]);
    site
}

#[test]
fn a_password_of_a_repository_or_web_server_is_in_no_argument_file_log_or_history() {
    let Some(stage) = Stage::new() else { return };
    if Command::new("git").arg("--version").output().is_err() {
        return println!("skipped: there is no git");
    }
    let site_folder = repository(&stage.outside());
    fs::write(site_folder.join("file.txt"), "of the server").unwrap();
    let (word, token, web) = (mark("word"), mark("token"), mark("web"));
    let encoded = |text: String| base64::engine::general_purpose::STANDARD.encode(text);
    let good = [
        format!("basic {}", encoded(format!("me:{word}"))),
        format!("basic {}", encoded(format!("x-access-token:{token}"))),
        format!("bearer {web}"),
    ];
    let site = Site::start(&site_folder, move |proof| {
        good.iter().any(|good| {
            let (scheme, value) = proof.split_once(' ').unwrap_or_default();
            good.split_once(' ').unwrap() == (&scheme.to_ascii_lowercase(), value)
        })
    });
    let port = site.port;
    // A git that writes down how it was called.
    let tools = stage.outside().join("tools");
    let calls = stage.outside().join("calls");
    fs::create_dir_all(&tools).unwrap();
    let real = String::from_utf8(
        Command::new("sh")
            .args(["-c", "command -v git"])
            .output()
            .unwrap()
            .stdout,
    )
    .unwrap();
    let wrapper = format!(
        "#!/bin/sh\necho \"$0 $*\" >> {}\nexec {} \"$@\"\n",
        calls.display(),
        real.trim()
    );
    fs::write(tools.join("git"), wrapper).unwrap();
    fs::set_permissions(tools.join("git"), fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!("{}:{}", tools.display(), std::env::var("PATH").unwrap());
    let environment = [("PATH", path.as_str()), ("TOKEN", &token), ("WEB", &web)];
    let host = format!("127.0.0.1:{port}");
    let given = [
        "--secret".to_owned(),
        format!("id=GIT_AUTH_TOKEN.{host},env=TOKEN"),
        "--secret".to_owned(),
        "id=HTTP_AUTH_TOKEN_127.0.0.1,env=WEB".to_owned(),
    ];
    let given: Vec<&str> = given.iter().map(String::as_str).collect();
    let mut builds = Vec::new();
    for (what, flags) in [
        (format!("ADD http://me:{word}@{host}/repo.git#main /in/"), &[][..]),
        (
            format!("ADD --keep-git-dir=true http://me:{word}@{host}/repo.git#main /in/"),
            &[],
        ),
        (format!("ADD http://{host}/repo.git#main /in/"), &given),
        (format!("ADD http://{host}/file.txt /in/"), &given),
        // Refused, not there, not a name: each says so in words of its own.
        (format!("ADD http://me:{word}@{host}/none.git#main /in/"), &[]),
        (format!("ADD http://me:{word}@{host}/repo.git#nothing /in/"), &[]),
        (format!("ADD http://you:{word}@{host}/repo.git#main /in/"), &[]),
        (format!("ADD http://you:{word}@{host}/file.txt /in/"), &[]),
        (format!("ADD http://you:{word}@127.0.0.1:1/file.txt /in/"), &[]),
    ] {
        let ended = stage.everything(&format!("{FROM}{what}\n"), flags, &environment);
        let fails = what.contains("none.git") || what.contains("nothing") || what.contains("you:");
        assert_eq!(ended.code == Some(0), !fails, "{what}: {}", ended.err);
        builds.push(ended);
    }
    // The context itself, too.
    let context = format!("http://me:{word}@{host}/repo.git#main");
    let mut command = stage
        .ground
        .command(&["build", "--progress", "plain", "-f", "-", &context]);
    command.env("PATH", &path);
    let output = command.output().unwrap();
    builds.push(ended(&output));
    let needles = [
        forms(&word, "me"),
        forms(&word, "you"),
        forms(&token, "x"),
        forms(&web, "x"),
    ]
    .concat();
    let called = fs::read_to_string(&calls).unwrap();
    assert!(
        called.contains("ls-remote") && called.contains("fetch"),
        "{called}"
    );
    let mut texts = told(&stage, &builds);
    texts.push(("arguments of git".to_owned(), called));
    let outputs = stage.outside().join("outputs");
    let places = found(&[&stage.ground.state, &outputs], &texts, &needles);
    assert_eq!(places, Vec::<String>::new());
    // They were used.
    let proofs = site.proofs.lock().unwrap().concat();
    assert!(
        proofs.contains(&encoded(format!("me:{word}"))) && proofs.contains(&web),
        "{proofs}"
    );
}

#[test]
fn a_registrys_password_is_kept_nowhere_and_told_to_nobody_else() {
    let word = mark("registry");
    let folder = tempfile::tempdir().unwrap();
    let site_folder = folder.path().join("site");
    let image = site_folder.join("v2/private/base");
    fs::create_dir_all(image.join("blobs")).unwrap();
    fs::create_dir_all(image.join("manifests")).unwrap();
    let blob = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        fs::write(image.join("blobs").join(digest.as_str()), bytes).unwrap();
        digest
    };
    let mut layer = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(2);
    header.set_mode(0o644);
    layer
        .append_data(&mut header, "private", b"p\n".as_slice())
        .unwrap();
    let layer = layer.into_inner().unwrap();
    let layer_digest = blob(&layer);
    let config = json!({ "os": "linux", "architecture": "amd64", "config": {},
                         "rootfs": { "type": "layers", "diff_ids": [layer_digest] } });
    let config = config.to_string();
    let config_digest = blob(config.as_bytes());
    let manifest = json!({
        "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": { "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config_digest, "size": config.len() },
        "layers": [{ "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": layer_digest, "size": layer.len() }],
    });
    let manifest = manifest.to_string();
    fs::write(image.join("manifests/1"), &manifest).unwrap();
    fs::write(
        image
            .join("manifests")
            .join(Digest::of(manifest.as_bytes()).as_str()),
        &manifest,
    )
    .unwrap();
    let pair = base64::engine::general_purpose::STANDARD.encode(format!("me:{word}"));
    let good = pair.clone();
    let site = Site::start(&site_folder, move |proof| {
        proof.split_once(' ').is_some_and(|(_, value)| value == good)
    });
    let host = format!("127.0.0.1:{}", site.port);
    let config =
        format!("[registry.\"{host}\"]\nplain-http = true\nusername = \"me\"\npassword = \"{word}\"\n");
    let Some(stage) = Stage::with_config(&config) else {
        return;
    };
    let mut builds = Vec::new();
    for (what, well) in [
        (format!("COPY --from={host}/private/base:1 /private /in/"), true),
        (format!("COPY --from={host}/private/base:2 /private /in/"), false),
    ] {
        let ended = stage.everything(&format!("{FROM}{what}\n"), &[], &[]);
        assert_eq!(ended.code == Some(0), well, "{what}: {}", ended.err);
        builds.push(ended);
    }
    let outputs = stage.outside().join("outputs");
    let places = found(
        &[&stage.ground.state, &outputs],
        &told(&stage, &builds),
        &forms(&word, "me"),
    );
    assert_eq!(places, Vec::<String>::new());
    assert!(
        site.proofs
            .lock()
            .unwrap()
            .iter()
            .any(|proof| proof.ends_with(&pair))
    );
}

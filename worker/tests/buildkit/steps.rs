//! What steps are given by a `BuildKit`, and what becomes of them: contexts, secrets, files, ends.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use crate::command::Place;
use crate::engine::Engine;
use crate::notation::Kind;

struct Ground {
    engine: Arc<Engine>,
    place: Place,
    context: tempfile::TempDir,
}

impl Ground {
    fn new(dockerfile: &str) -> Option<Self> {
        let engine = Engine::shared()?;
        let context = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        fs::write(context.path().join("Dockerfile"), dockerfile).unwrap();
        Some(Self {
            place: Place::of(&engine, &engine.backend()),
            engine,
            context,
        })
    }

    fn write(&self, path: &str, content: &str) {
        let path = self.context.path().join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn path(&self) -> &Path {
        self.context.path()
    }
}

/// The text of a file in the image.
fn text(image: &crate::image::Built, path: &str) -> String {
    match &image.tree.list()[path].kind {
        Kind::File(content) => String::from_utf8(content.clone()).unwrap(),
        other => panic!("{path} is {other:?}"),
    }
}

#[test]
fn context_comes_with_modes_and_links_and_without_what_is_ignored() {
    let Some(ground) = Ground::new("FROM alpine:latest\nCOPY . /all/\n") else {
        return;
    };
    ground.write("a/one", "1\n");
    ground.write("a/secret.key", "no\n");
    ground.write("a-b", "2\n");
    ground.write("größe", "3\n");
    ground.write(".dockerignore", "**/*.key\n");
    fs::set_permissions(ground.path().join("a/one"), fs::Permissions::from_mode(0o750)).unwrap();
    std::os::unix::fs::symlink("a/one", ground.path().join("link")).unwrap();
    let image = ground.place.build(ground.path(), &[]).image();
    let list = image.tree.list();
    assert_eq!(text(&image, "all/größe"), "3\n");
    assert_eq!(list["all/a/one"].mode, 0o750);
    assert_eq!(list["all/link"].kind, Kind::Symlink("a/one".into()));
    assert!(list.contains_key("all/a-b") && !list.contains_key("all/a/secret.key"));
    assert_eq!(
        list["all/a-b"].modified, 946_684_800,
        "files of a context have one time"
    );
    // Another content of the same size and time is another content.
    ground.write("a/one", "9\n");
    let image = ground.place.build(ground.path(), &[]).image();
    assert_eq!(text(&image, "all/a/one"), "9\n");
}

#[test]
fn builds_of_one_file_at_once_get_each_its_own_context() {
    let dockerfile = "FROM alpine:latest\nCOPY who /who\nRUN sleep 2; cp /who /me\n";
    let Some(one) = Ground::new(dockerfile) else {
        return;
    };
    let two = Ground::new(dockerfile).unwrap();
    for (ground, who) in [(&one, "one"), (&two, "two")] {
        ground.write("who", who);
    }
    let images = std::thread::scope(|threads| {
        let builds =
            [&one, &two].map(|ground| threads.spawn(|| ground.place.build(ground.path(), &[]).image()));
        builds.map(|build| build.join().unwrap())
    });
    assert_eq!([text(&images[0], "me"), text(&images[1], "me")], ["one", "two"]);
}

#[test]
fn secret_reaches_the_step_that_asks_and_nothing_else() {
    let Some(ground) = Ground::new(
        "FROM alpine:latest\nRUN --mount=type=secret,id=token,required=true wc -c < /run/secrets/token > /length\n",
    ) else {
        return;
    };
    let secret = ground.place.path("token");
    fs::write(&secret, "hunter2").unwrap();
    let flag = format!("id=token,src={}", secret.display());
    let run = ground.place.build(ground.path(), &["--secret", &flag]);
    assert_eq!(text(&run.image(), "length").trim(), "7");
    assert!(!run.said.contains("hunter2"));
    let without = ground.place.build(ground.path(), &["--no-cache"]);
    assert!(
        !without.success && without.said.contains("token"),
        "{}",
        without.said
    );
}

#[test]
fn files_of_the_result_come_to_a_folder_and_to_a_tar() {
    let dockerfile = "FROM alpine:latest AS made\nRUN mkdir /out && echo made > /out/file && chmod 751 /out/file\n\
                      FROM scratch\nCOPY --from=made /out /\n";
    let Some(ground) = Ground::new(dockerfile) else {
        return;
    };
    let (folder, tar) = (ground.place.path("files"), ground.place.path("files.tar"));
    let outputs = [
        format!("type=local,dest={}", folder.display()),
        format!("type=tar,dest={}", tar.display()),
    ];
    let run = ground
        .place
        .build(ground.path(), &["--output", &outputs[0], "--output", &outputs[1]]);
    assert_eq!(text(&run.image(), "file"), "made\n");
    assert_eq!(fs::read_to_string(folder.join("file")).unwrap(), "made\n");
    assert_eq!(
        fs::metadata(folder.join("file")).unwrap().permissions().mode() & 0o7777,
        0o751
    );
    let mut archive = tar::Archive::new(fs::File::open(tar).unwrap());
    let names = archive
        .entries()
        .unwrap()
        .map(|entry| entry.unwrap().path().unwrap().display().to_string());
    assert_eq!(names.collect::<Vec<_>>(), ["file"]);
}

#[test]
fn failing_step_is_named_with_what_it_printed() {
    let Some(ground) = Ground::new("FROM alpine:latest\nRUN echo why; exit 7\n") else {
        return;
    };
    let run = ground.place.build(ground.path(), &[]);
    assert!(!run.success);
    assert!(run.logs.contains("why"), "{}", run.said);
    assert!(run.said.contains("exit code: 7"), "{}", run.said);
    let failed: Vec<_> = run
        .steps
        .values()
        .filter(|step| step["error"].is_string())
        .collect();
    assert_eq!(failed.len(), 1, "{}", run.said);
    assert!(failed[0]["name"].as_str().unwrap().contains("RUN echo why"));
}

#[test]
fn interrupted_build_ends_and_leaves_no_image() {
    let Some(ground) = Ground::new("FROM alpine:latest\nRUN echo begun; sleep 1000\n") else {
        return;
    };
    let mut build = ground
        .place
        .command(ground.path(), &[])
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = std::io::BufReader::new(build.stderr.take().unwrap());
    let mut line = String::new();
    loop {
        line.clear();
        assert!(
            std::io::BufRead::read_line(&mut said, &mut line).unwrap() > 0,
            "it ended by itself"
        );
        // `begun` and a line feed, as logs have it.
        if line.contains("YmVndW4K") {
            break;
        }
    }
    let id = rustix::process::Pid::from_child(&build);
    rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
    let ended = build.wait().unwrap();
    assert_eq!(ended.code(), Some(130));
    assert!(!ground.place.archive().exists());
    let _ = &ground.engine;
}

#[test]
fn step_that_the_daemon_does_not_know_is_refused_with_a_sentence() {
    let Some(ground) = Ground::new("FROM alpine:latest\nCOPY --link a /a\n") else {
        return;
    };
    ground.write("a", "1\n");
    let run = ground.place.build(ground.path(), &[]);
    // An engine of a later version builds it.
    assert!(run.success || run.said.contains("too old"), "{}", run.said);
}

//! `build`: docker build's flags, on images that are made of nothing.

use serde_json::Value;

use crate::registry::Registry;
use crate::{Folder, run};

/// Runs a build with a state folder of its own; `None`, and says so, where this machine cannot build.
fn build(folder: &Folder, arguments: &[&str]) -> Option<(i32, String, String)> {
    folder.build("state", arguments)
}

/// A file of a tar, as JSON.
fn json(tar: &std::path::Path, file: &str) -> Value {
    let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let entry = entries.find(|entry| entry.path().unwrap() == std::path::Path::new(file));
    serde_json::from_reader(entry.unwrap_or_else(|| panic!("no {file} in {}", tar.display()))).unwrap()
}

#[test]
fn named_contexts_names_labels_and_annotations_reach_the_image() {
    let folder = Folder::with(&[
        (
            "context/Dockerfile",
            "FROM scratch\nLABEL a=file b=file\nCOPY own /\nCOPY --from=extra / /extra/\n",
        ),
        ("context/own", "own"),
        ("extra/.dockerignore", "left-out\n"),
        ("extra/taken", "taken"),
        ("extra/left-out", "left out"),
    ]);
    let archive = format!("type=docker,dest={}", folder.name("image.tar"));
    let extra = format!("extra={}", folder.name("extra"));
    let (id, metadata) = (folder.name("id"), folder.name("metadata.json"));
    let flags = [
        "-t",
        "app:1",
        "-t",
        "example.com/team/app",
        "--build-context",
        &extra,
        "--label",
        "b=flag",
        "--annotation",
        "org.example=here",
        "--iidfile",
        &id,
        "--metadata-file",
        &metadata,
        "--pull",
        "-o",
        &archive,
    ];
    let Some((code, output, error)) = build(&folder, &flags) else {
        return;
    };
    assert_eq!(code, 0, "{error}");
    let listing = json(&folder.path("image.tar"), "manifest.json");
    assert_eq!(
        listing[0]["RepoTags"],
        serde_json::json!(["docker.io/library/app:1", "example.com/team/app:latest"])
    );
    let config_name = listing[0]["Config"].as_str().unwrap().to_owned();
    let config = json(&folder.path("image.tar"), &config_name);
    assert_eq!(
        config["config"]["Labels"],
        serde_json::json!({ "a": "file", "b": "flag" })
    );
    let config_digest = format!("sha256:{}", config_name.strip_suffix(".json").unwrap());
    assert_eq!(folder.text("id"), config_digest);
    let metadata: Value = serde_json::from_str(&folder.text("metadata.json")).unwrap();
    assert_eq!(metadata["containerimage.config.digest"], config_digest);
    assert_eq!(metadata["containerimage.digest"], output.trim());
    assert!(metadata["image.name"].as_str().unwrap().ends_with("app:latest"));
    let state = folder.path("state/content");
    let store = stagewright::content::ContentStore::open(&state).unwrap();
    let manifest = store.read(&output.trim().parse().unwrap(), 1 << 20).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!(manifest["annotations"]["org.example"], "here");
    assert_eq!(
        metadata["containerimage.descriptor"]["size"].as_u64(),
        store.size(&output.trim().parse().unwrap())
    );
    // What the ignore file of the named context keeps out never got here.
    let left_out = stagewright_core::digest::Digest::of(b"left out");
    assert!(!store.contains(&left_out));
    assert!(store.contains(&stagewright_core::digest::Digest::of(b"taken")));
}

#[test]
fn stage_of_the_filter_runs_again_and_the_others_do_not() {
    let folder = Folder::with(&[
        (
            "context/Dockerfile",
            "FROM scratch AS a\nCOPY one /\nFROM scratch AS b\nCOPY two /\nFROM scratch\nCOPY --from=a / /\nCOPY --from=b / /\n",
        ),
        ("context/one", "1"),
        ("context/two", "2"),
    ]);
    let Some((code, first, error)) = build(&folder, &[]) else {
        return;
    };
    assert_eq!(code, 0, "{error}");
    let (code, second, error) = build(&folder, &["--no-cache-filter", "a"]).unwrap();
    assert_eq!(code, 0, "{error}");
    let ended = |step: &str| {
        let number = error
            .lines()
            .find(|line| line.contains(step))
            .and_then(|line| line.split(' ').next())
            .unwrap_or_else(|| panic!("{step} in {error}"));
        let mut lines = error
            .lines()
            .filter(|line| line.starts_with(&format!("{number} ")));
        lines.next_back().unwrap().to_owned()
    };
    assert!(ended("COPY one").contains("DONE"), "{error}");
    assert!(ended("COPY one").contains("this step"), "{error}");
    assert!(ended("COPY two").contains("CACHED"), "{error}");
    // The files are the same, so what copies them is cached all the same.
    assert!(ended("COPY --from=a").contains("CACHED"), "{error}");
    assert_eq!(first, second);
}

#[test]
fn quiet_build_says_the_id_and_nothing_else() {
    let folder = Folder::with(&[("context/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let id = folder.name("id");
    let Some((code, output, error)) = build(&folder, &["-q", "--iidfile", &id]) else {
        return;
    };
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(output.trim_end(), folder.text("id"));
}

#[test]
fn failed_build_leaves_no_file_of_an_earlier_one() {
    let folder = Folder::with(&[
        ("context/Dockerfile", "FROM scratch\nCOPY lacking /\n"),
        ("id", "sha256:old"),
    ]);
    let id = folder.name("id");
    let Some((code, _, error)) = build(&folder, &["--iidfile", &id]) else {
        return;
    };
    assert_eq!(code, 1, "{error}");
    assert!(!folder.path("id").exists());
}

#[test]
fn places_that_cannot_be_written_are_said_before_anything_is_built() {
    let folder = Folder::with(&[
        ("context/Dockerfile", "FROM scratch\nCOPY Dockerfile /\n"),
        ("id", "sha256:old"),
    ]);
    let (context, state) = (folder.name("context"), folder.name("state"));
    let (id, lacking, file) = (folder.name("id"), folder.name("no/x"), folder.name("id/x"));
    let dest = |kind: &str, place: &str| format!("type={kind},dest={place}");
    let no_folder = format!(
        "cannot write to {lacking}: there is no folder {}",
        folder.name("no")
    );
    let is_folder = format!("cannot write to {context}: it is a folder");
    for (flag, value, said) in [
        ("-o", dest("oci", &lacking), &no_folder),
        ("-o", dest("docker", &context), &is_folder),
        ("-o", dest("tar", &lacking), &no_folder),
        (
            "-o",
            dest("local", &file),
            &format!("cannot write to the folder {file}: "),
        ),
        (
            "-o",
            dest("oci,tar=false", &id),
            &format!("cannot write to the folder {id}: "),
        ),
        (
            "--cache-to",
            dest("local", &file),
            &format!("cannot write to the folder {file}: "),
        ),
        ("--iidfile", lacking.clone(), &no_folder),
        ("--metadata-file", context.clone(), &is_folder),
    ] {
        // One that could be written is left as it was.
        let good: &[&str] = if flag == "--iidfile" {
            &[]
        } else {
            &["--iidfile", &id]
        };
        let flags = [&["build", "--state", &state], good, &[flag, &value, &context]].concat();
        let (code, _, error) = run(&flags);
        assert_eq!(code, 3, "{value}: {error}");
        assert!(error.contains(said.as_str()), "{value}: {error}");
        assert!(!error.contains(".part"), "{value}: {error}");
        assert!(!folder.path("state").exists(), "{value}");
        assert_eq!(folder.text("id"), "sha256:old", "{value}");
    }
}

#[test]
fn questions_are_answered_without_a_build() {
    let folder = Folder::with(&[(
        "context/Dockerfile",
        "ARG a=1\nFROM scratch AS x\nfrom x as y\nCOPY . /\n",
    )]);
    let context = folder.name("context");
    let (code, output, _) = run(&["build", "--check", &context]);
    assert_eq!(code, 1, "a warning is enough: {output}");
    assert!(output.contains("warning["), "{output}");
    let (code, output, _) = run(&["build", "--call=targets,format=json", &context]);
    let targets: Value = serde_json::from_str(&output).unwrap();
    assert_eq!((code, targets["targets"].as_array().unwrap().len()), (0, 2));
    let (code, output, _) = run(&["build", "--call", "outline", "--target", "x", &context]);
    assert_eq!(code, 0);
    assert!(output.starts_with('x'), "{output}");
}

#[test]
fn what_there_is_not_is_refused_with_what_there_is() {
    let folder = Folder::with(&[("context/Dockerfile", "FROM scratch\n")]);
    let context = folder.name("context");
    for (flags, said) in [
        (&["--call", "describe"][..], "outline"),
        (&["-t", "UPPER"], "UPPER"),
        (
            &[
                "-t",
                "a@sha256:0000000000000000000000000000000000000000000000000000000000000000",
            ],
            "NAME:TAG",
        ),
        (&["-o", "type=nothing"], "local, tar, oci"),
        (
            &["-o", "type=oci,dest=a", "-o", "type=oci,dest=b,compression=zstd"],
            "two: compression",
        ),
        (&["-o", "-", "-o", "type=oci"], "two outputs"),
        (&["--push"], "-t REGISTRY"),
        (
            &["-o", "type=oci,dest=a,rewrite-timestamp=true"],
            "SOURCE_DATE_EPOCH",
        ),
        (&["--progress", "loud"], "rawjson"),
        (&["--annotation", "nothing"], "NAME=VALUE"),
        (&["--annotation", "index:a=b"], "manifest:NAME=VALUE"),
        (&["--build-context", "x=/no/such"], "no folder"),
        (&["--cgroup-parent", "x"], "--cgroup-parent"),
        (&["--no-cache", "--no-cache-filter", "x"], "--no-cache-filter"),
    ] {
        let (code, _, error) = run(&[&["build"], flags, &[&context]].concat());
        assert_eq!(code, 2, "{flags:?}: {error}");
        assert!(error.contains(said), "{flags:?}: {error}");
    }
}

const FILES: &[(&str, &str)] = &[
    (
        "context/Dockerfile",
        "FROM scratch AS base\nCOPY data /etc/data\nFROM base\nCOPY app /bin/app\n",
    ),
    ("context/data", "data"),
    ("context/app", "app"),
];

#[test]
fn files_go_to_a_folder_a_tar_or_standard_output_and_no_image_is_made() {
    let folder = Folder::with(FILES);
    let (out, tar) = (
        folder.name("out"),
        format!("type=tar,dest={}", folder.name("files.tar")),
    );
    let (metadata, id) = (folder.name("metadata"), folder.name("id"));
    let flags = [
        "-o",
        &out,
        "-o",
        &tar,
        "--metadata-file",
        &metadata,
        "--iidfile",
        &id,
    ];
    let Some((code, output, error)) = build(&folder, &flags) else {
        return;
    };
    assert_eq!((code, output.as_str()), (0, ""), "{error}");
    assert_eq!(folder.text("out/etc/data"), "data");
    assert_eq!(folder.text("out/bin/app"), "app");
    assert_eq!(folder.text("metadata").trim(), "{}");
    assert_eq!(folder.text("id"), "");
    assert!(error.contains("exporting files to"), "{error}");
    let names = |bytes: &[u8]| -> Vec<String> {
        let mut archive = tar::Archive::new(bytes);
        let entries = archive.entries().unwrap();
        entries
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect()
    };
    let all = ["bin/", "bin/app", "etc/", "etc/data"];
    assert_eq!(names(&std::fs::read(folder.path("files.tar")).unwrap()), all);
    // Only documents are in the store: nobody wanted the layers compressed.
    let store = stagewright::content::ContentStore::open(folder.path("state/content")).unwrap();
    let gzip = |(digest, _): &(stagewright_core::digest::Digest, u64)| {
        store.read(digest, 1 << 20).unwrap().starts_with(&[0x1f, 0x8b])
    };
    assert!(!store.blobs().unwrap().iter().any(gzip));
    let raw = crate::stagewright()
        .args([
            "build",
            "-q",
            "--state",
            &folder.name("state"),
            "-o",
            "-",
            &folder.name("context"),
        ])
        .output()
        .unwrap();
    assert!(raw.status.success() && raw.stderr.is_empty());
    assert_eq!(names(&raw.stdout), all);
}

/// The layers' media types and the manifest of the image in a layout.
fn manifest(layout: &std::path::Path) -> (Vec<String>, Value) {
    let text = |path: std::path::PathBuf| -> Value {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    };
    let index = text(layout.join("index.json"));
    let digest = index["manifests"][0]["digest"].as_str().unwrap().to_owned();
    let blob = digest.strip_prefix("sha256:").unwrap();
    let manifest = text(layout.join("blobs/sha256").join(blob));
    let types = manifest["layers"].as_array().unwrap().iter();
    let types = types.map(|layer| layer["mediaType"].as_str().unwrap().to_owned());
    (types.collect(), index)
}

#[test]
fn image_is_compressed_annotated_and_laid_out_as_was_asked() {
    let folder = Folder::with(FILES);
    let layout = |keys: &str, name: &str| format!("type=oci,tar=false,dest={},{keys}", folder.name(name));
    for (keys, name, ending) in [
        ("compression=zstd", "zstd", "tar+zstd"),
        ("compression=uncompressed", "plain", ".tar"),
        ("compression=gzip,compression-level=1", "gzip", "tar+gzip"),
    ] {
        let keys = format!("{keys},annotation-manifest-descriptor.a=b");
        let Some((code, output, error)) = build(&folder, &["-t", "app:2", "-o", &layout(&keys, name)]) else {
            return;
        };
        assert_eq!(code, 0, "{error}");
        let (types, index) = manifest(&folder.path(name));
        assert!(
            types.len() == 2 && types.iter().all(|kind| kind.ends_with(ending)),
            "{types:?}"
        );
        assert_eq!(index["manifests"][0]["digest"], output.trim());
        assert_eq!(index["manifests"][0]["annotations"]["a"], "b");
        assert_eq!(
            index["manifests"][0]["annotations"]["org.opencontainers.image.ref.name"],
            "2"
        );
    }
}

#[test]
fn two_cold_builds_with_one_time_give_one_image() {
    let build = || {
        let folder = Folder::with(FILES);
        let plain = "-o=type=image,rewrite-timestamp=true,compression=uncompressed";
        build(&folder, &["--build-arg", "SOURCE_DATE_EPOCH=1700000000", plain])
    };
    let Some((code, first, error)) = build() else {
        return;
    };
    assert_eq!(code, 0, "{error}");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let (_, second, _) = build().unwrap();
    assert_eq!(first, second);
}

#[test]
fn several_platforms_are_one_image_and_each_has_a_folder() {
    let folder = Folder::with(FILES);
    let oci = format!("type=oci,dest={}", folder.name("image.tar"));
    let Some((code, output, error)) = build(
        &folder,
        &[
            "--platform",
            "linux/amd64,linux/arm64/v8",
            "--annotation",
            "index:a=b",
            "-o",
            &oci,
            "-o",
            &folder.name("out"),
        ],
    ) else {
        return;
    };
    assert_eq!(code, 0, "{error}");
    assert_eq!(folder.text("out/linux_amd64/bin/app"), "app");
    assert_eq!(folder.text("out/linux_arm64/bin/app"), "app");
    let index = json(&folder.path("image.tar"), "index.json");
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    assert_eq!(digest, output.trim());
    let list = json(
        &folder.path("image.tar"),
        &format!("blobs/sha256/{}", digest.strip_prefix("sha256:").unwrap()),
    );
    let architectures: Vec<&str> = list["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["platform"]["architecture"].as_str().unwrap())
        .collect();
    assert_eq!(architectures, ["amd64", "arm64"]);
    assert_eq!(list["annotations"]["a"], "b");
    let docker = format!("type=docker,dest={}", folder.name("x"));
    let (code, _, error) = build(
        &folder,
        &[
            "--platform",
            "linux/amd64",
            "--platform",
            "linux/arm64",
            "-o",
            &docker,
        ],
    )
    .unwrap();
    assert!(code == 2 && error.contains("one platform"), "{error}");
}

#[test]
fn image_is_loaded_into_the_engine_that_is_there() {
    use std::os::unix::fs::PermissionsExt as _;
    let folder = Folder::with(FILES);
    std::fs::create_dir(folder.path("bin")).unwrap();
    let engine = |script: &str| {
        std::fs::write(folder.path("bin/docker"), script).unwrap();
        std::fs::set_permissions(folder.path("bin/docker"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = format!("{}:{}", folder.name("bin"), std::env::var("PATH").unwrap());
        let ended = crate::stagewright()
            .env("PATH", path)
            .args(["build", "--load", "-t", "app:1", "--state", &folder.name("state")])
            .arg(folder.path("context"))
            .output()
            .unwrap();
        crate::ended(&ended)
    };
    let taken = folder.name("taken");
    let (code, _, error) = engine(&format!("#!/bin/sh\n[ $1 = load ] && cat > {taken}\n"));
    if error.contains("cannot run builds") {
        println!("skipped: {error}");
        return;
    }
    assert_eq!(code, 0, "{error}");
    let listing = json(&folder.path("taken"), "manifest.json");
    assert_eq!(listing[0]["RepoTags"][0], "docker.io/library/app:1");
    let (code, _, error) = engine("#!/bin/sh\necho the daemon is asleep >&2\nexit 1\n");
    assert_eq!(code, 1);
    assert!(error.contains("the daemon is asleep"), "{error}");
}

#[test]
fn raw_progress_is_laid_over_the_plan_step_by_step() {
    let folder = Folder::with(FILES);
    let out = folder.name("out");
    let Some((code, _, log)) = build(&folder, &["--progress=rawjson", "-o", &out, "-o", "type=image"]) else {
        return;
    };
    assert_eq!(code, 0, "{log}");
    let source = folder.text("context/Dockerfile");
    let analysis = stagewright_core::analyze(&stagewright_core::Input {
        source,
        ..stagewright_core::Input::default()
    });
    let trace = stagewright_core::insight::trace(&analysis, &log);
    let totals = &trace.totals;
    assert_eq!((totals.ops, totals.found, totals.ran), (3, 3, 3), "{totals:?}");
    assert_eq!(totals.skipped_lines, 0, "every line is a status: {log}");
    assert!(
        trace.missing.is_empty() && trace.strangers.is_empty(),
        "{trace:?}"
    );
    let exports = trace.internal.iter().map(|run| run.run.name.as_str());
    assert!(
        exports.clone().any(|name| name.starts_with("exporting files")),
        "{log}"
    );
    assert!(
        exports.clone().any(|name| name.starts_with("exporting layers")),
        "{log}"
    );
    let (_, _, log) = build(&folder, &["--progress=rawjson"]).unwrap();
    let again = stagewright_core::insight::trace(&analysis, &log);
    assert_eq!(again.totals.cached, 2, "{:?}", again.totals);
    assert!(
        again
            .ops
            .iter()
            .all(|op| op.matched == Some(stagewright_core::insight::MatchedBy::Digest))
    );
}

#[test]
fn live_view_ends_with_every_step_and_the_failure_below() {
    let folder = Folder::with(FILES);
    let Some((code, output, error)) = build(&folder, &["--progress", "tty"]) else {
        return;
    };
    assert_eq!(code, 0, "{error}");
    assert!(output.starts_with("sha256:"), "{output}");
    // What stands after the last time that the view was drawn anew.
    let last = |text: &str| text.rsplit("\u{1b}[J").next().unwrap().to_owned();
    let view = last(&error);
    for step in ["COPY data", "COPY app", "exporting layers"] {
        let line = view.lines().find(|line| line.contains(step));
        assert!(line.is_some_and(|line| line.starts_with('✓')), "{step}: {view}");
    }
    std::fs::write(
        folder.path("context/Dockerfile"),
        "FROM scratch\nCOPY app /\nCOPY lacking /\n",
    )
    .unwrap();
    let (code, output, error) = build(&folder, &["--progress", "tty"]).unwrap();
    assert_eq!((code, output.as_str()), (1, ""));
    let view = last(&error);
    assert!(view.contains("✗ "), "{view}");
    let (_, below) = view.split_once("error: ").unwrap();
    assert!(below.contains("   3 | >>> COPY lacking /"), "{below}");
    assert!(below.contains("   2 |     COPY app /"), "{below}");
}

#[test]
fn a_message_is_a_sentence_above_the_view_of_the_build() {
    let folder = Folder::with(&[("context/Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let fifo = rustix::fs::FileType::Fifo;
    let mode = rustix::fs::Mode::from_raw_mode(0o600);
    rustix::fs::mknodat(rustix::fs::CWD, folder.path("context/pipe"), fifo, mode, 0).unwrap();
    let Some((code, _, error)) = build(&folder, &["--progress", "plain"]) else {
        return;
    };
    assert_eq!(code, 0, "{error}");
    let said = |line: &&str| line.starts_with("warning: ") && line.contains("context/pipe is left out");
    assert_eq!(error.lines().filter(said).count(), 1, "{error}");
    assert!(!error.contains('\u{1b}'), "{error}");
    let (_, _, error) = build(&folder, &["--progress", "tty", "--no-cache"]).unwrap();
    // Drawn anew, the view begins below it.
    let (before, after) = error.split_once("warning: ").unwrap();
    assert!(before.is_empty() || before.ends_with(['\n', 'J']), "{before:?}");
    let (sentence, view) = after.split_once('\n').unwrap();
    assert!(sentence.ends_with("a folder nor a link"), "{sentence:?}");
    assert!(view.starts_with("\u{1b}[?7l"), "{view:?}");
}

#[test]
fn dockerfile_alone_comes_from_standard_input() {
    let folder = Folder::with(&[("extra/file", "text")]);
    let (state, extra) = (folder.name("state"), format!("extra={}", folder.name("extra")));
    let flags = ["build", "--state", &state, "-q", "--build-context", &extra, "-"];
    let (code, output, error) = crate::run_with(&flags, "FROM scratch\nCOPY --from=extra file /\n");
    if error.contains("cannot run builds") {
        println!("skipped: {error}");
        return;
    }
    assert_eq!(code, 0, "{error}");
    assert!(output.starts_with("sha256:"), "{output}");
    let (code, _, error) = crate::run_with(&flags, "FROM scratch\nCOPY file /\n");
    assert_eq!(code, 2, "{error}");
    assert!(
        error.contains("standard input alone has none") && error.contains("-f -"),
        "{error}"
    );
}

#[test]
fn image_is_pushed_under_each_name_and_pulled_again() {
    let folder = Folder::with(FILES);
    let Some(registry) = Registry::start(folder.0.path()) else {
        return;
    };
    let names = [
        format!("{}/team/app:1", registry.host),
        format!("{}/other/app:2", registry.host),
    ];
    let built = build(&folder, &["--push", "-t", &names[0], "-t", &names[1]]);
    if let Some((code, output, error)) = built {
        assert_eq!(code, 0, "{error}");
        assert!(error.contains("3 blobs sent"), "{error}");
        // The second repository takes from the first what was just sent there.
        assert!(error.contains("3 taken over"), "{error}");
        // Another machine starts from what was pushed, by tag.
        let from = format!("FROM {}\nCOPY app /again\n", names[1]);
        std::fs::write(folder.path("context/Dockerfile"), from).unwrap();
        let (fresh, out) = (folder.name("fresh"), folder.name("out"));
        let flags = ["build", "--state", &fresh, "-o", &out, "--progress=plain"];
        let (code, _, error) = run(&[&flags[..], &[&folder.name("context")]].concat());
        assert_eq!(code, 0, "{error}");
        assert!(error.contains(output.trim()), "{error}");
        assert_eq!(folder.text("out/bin/app"), "app");
        assert_eq!(folder.text("out/again"), "app");
    }
}

#[test]
fn repository_is_the_context_by_its_address() {
    use std::process::{Command, Stdio};
    let folder = Folder::with(&[
        ("served/app/sub/Dockerfile", "FROM scratch\nCOPY file /\n"),
        ("served/app/sub/file", "from the repository"),
    ]);
    let exec = Command::new("git").arg("--exec-path").output();
    let daemon = exec.map(|said| String::from_utf8(said.stdout).unwrap().trim().to_owned() + "/git-daemon");
    let Some(daemon) = daemon.ok().filter(|path| std::path::Path::new(path).exists()) else {
        println!("skipped: there is no git daemon to serve a repository with");
        return;
    };
    for command in [
        "init -q -b main",
        "add .",
        "-c user.name=a -c user.email=a@b.c commit -q -m first",
    ] {
        let git = Command::new("git")
            .current_dir(folder.path("served/app"))
            .args(command.split(' '))
            .status();
        assert!(git.unwrap().success());
    }
    let port = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let served = Command::new(daemon)
        .args(["--export-all", "--listen=127.0.0.1", "--reuseaddr"])
        .arg(format!("--port={port}"))
        .arg(format!("--base-path={}", folder.name("served")))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let _served = Served(served);
    while std::net::TcpStream::connect(("127.0.0.1", port)).is_err() {
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    let (state, out) = (folder.name("state"), folder.name("out"));
    let address = |fragment: &str| format!("git://127.0.0.1:{port}/app{fragment}");
    let build = |fragment: &str| run(&["build", "--state", &state, "-o", &out, &address(fragment)]);
    let (code, _, error) = build("#main:sub");
    if !error.contains("cannot run builds") {
        assert_eq!(code, 0, "{error}");
        assert_eq!(folder.text("out/file"), "from the repository");
    }
    let (code, _, error) = build("#main");
    assert!(
        code == 2 && error.contains("has no Dockerfile") && error.contains("#NAME:FOLDER"),
        "{error}"
    );
    let (code, _, error) = build("#nothing");
    assert!(code == 1 && error.contains("nothing"), "{error}");
}

/// A server that ends with the test, also where the test fails.
struct Served(std::process::Child);

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended already.
        _ = self.0.kill();
        _ = self.0.wait();
    }
}

#[test]
fn a_step_that_asks_for_more_than_it_may_is_refused_with_its_line_before_anything_runs() {
    let folder = Folder::with(&[(
        "context/Dockerfile",
        "FROM scratch AS one\nCOPY Dockerfile /\nFROM one\nRUN --network=host [\"/a\"]\nRUN --security=insecure [\"/b\"]\n",
    )]);
    let Some((code, out, err)) = build(&folder, &["--allow", "security.insecure"]) else {
        return;
    };
    assert_eq!((code, out.as_str()), (1, ""), "{err}");
    assert!(err.contains("Dockerfile:4:1"), "{err}");
    assert!(!err.contains("Dockerfile:5:1"), "{err}");
    assert!(err.contains("--allow network.host"), "{err}");
    assert!(!err.contains("COPY"), "{err}");
    // What is allowed is tried, and fails for another reason.
    let both = "network.host,security.insecure";
    let (code, _, err) = build(&folder, &["--allow", both]).unwrap();
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("/a"), "{err}");
    assert!(!err.contains("--allow"), "{err}");
    // Who gives every step the machine's network allows it.
    let (_, _, err) = build(&folder, &["--network", "host"]).unwrap();
    assert!(err.contains("--allow security.insecure"), "{err}");
    assert!(!err.contains("network.host"), "{err}");
    // A worker whose owner allows both needs no flag.
    std::fs::write(
        folder.path("worker.toml"),
        "insecure-entitlements = [\"network.host\", \"security.insecure\"]\n",
    )
    .unwrap();
    let (_, _, err) = build(&folder, &["--config", &folder.name("worker.toml")]).unwrap();
    assert!(!err.contains("--allow"), "{err}");
}

#[test]
fn flags_about_steps_that_make_no_sense_say_how_they_are_written() {
    let folder = Folder::with(&[("context/Dockerfile", "FROM scratch\n")]);
    for (flag, value, said) in [
        ("--network", "bridge", "default, none, host"),
        ("--add-host", "db", "NAME:ADDRESS"),
        ("--ulimit", "files=1", "nofile"),
        ("--shm-size", "much", "128m"),
        ("--allow", "everything", "security.insecure"),
    ] {
        let (code, _, err) = run(&["build", flag, value, &folder.name("context")]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains(said), "{flag} {value}: {err}");
    }
}

#[test]
fn a_context_whose_content_is_gone_is_read_again_though_it_did_not_change() {
    let folder = Folder::with(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let state = folder.path("state");
    // Files that are at rest, as those that were written just now are not.
    let context = concat!(env!("CARGO_MANIFEST_DIR"), "/src/cli");
    let arguments = [
        "build",
        "--state",
        &folder.name("state"),
        "-f",
        &folder.name("Dockerfile"),
        context,
    ];
    let first = run(&arguments);
    if first.2.contains("cannot run builds") {
        println!("skipped: {}", first.2);
        return;
    }
    assert_eq!(first.0, 0, "{}", first.2);
    let remembered = |state: &std::path::Path| {
        let scans = std::fs::read_dir(state.join("scans")).unwrap();
        scans
            .map(|scan| scan.unwrap().metadata().unwrap().len())
            .sum::<u64>()
    };
    assert!(remembered(&state) > 1000, "{}", remembered(&state));
    for part in std::fs::read_dir(&state).unwrap().map(Result::unwrap) {
        match part.file_type().unwrap().is_dir() {
            _ if part.file_name() == "scans" => {}
            true => std::fs::remove_dir_all(part.path()).unwrap(),
            false => std::fs::remove_file(part.path()).unwrap(),
        }
    }
    let second = run(&arguments);
    assert_eq!(second.0, 0, "{}", second.2);
    assert!(state.join("snapshots/layers").read_dir().unwrap().count() > 0);
}

#[test]
fn flags_say_what_a_step_may_use_up() {
    let folder = Folder::with(&[(
        "context/Dockerfile",
        "FROM scratch\nCOPY bin /bin/\nARG DO\nRUN [ -z \"$DO\" ] || eval \"$DO\"\n",
    )]);
    std::fs::create_dir(folder.path("context/bin")).unwrap();
    if std::fs::copy("/bin/busybox", folder.path("context/bin/sh")).is_err() {
        println!("skipped: there is no /bin/busybox to run");
        return;
    }
    let mut cases = vec![("--step-timeout", "1", "sleep 100", "longer than the 1 seconds")];
    let state = folder.name("state");
    let doctor = run(&["doctor", "--state", &state]).1;
    if doctor.contains("ok  limits") {
        cases.push((
            "--memory",
            "20m",
            "x=x; while true; do x=$x$x; done",
            "more than the 20 MiB",
        ));
        cases.push((
            "--pids-limit",
            "3",
            "sh -c 'sleep 1 & sleep 1 & sleep 1 & wait'",
            "fork",
        ));
    } else {
        println!("skipped: memory and processes cannot be limited here: {doctor}");
    }
    for (flag, value, work, said) in cases {
        let work = format!("DO={work}");
        let arguments = [flag, value, "--progress", "plain", "--build-arg", &work];
        let Some((code, _, err)) = build(&folder, &arguments) else {
            return;
        };
        assert_eq!(code, 1, "{flag}: {err}");
        assert!(err.contains(said), "{flag}: {err}");
    }
    let (code, _, err) = build(&folder, &["--cpus", "0.5"]).unwrap();
    assert_eq!(code, 0, "{err}");
    // Limits are no part of what a step is.
    let (code, _, err) = build(&folder, &["--cpus", "1", "--memory", "1g"]).unwrap();
    assert!(code == 0 && err.contains("CACHED"), "{err}");
}

/// The names that the index of a layout folder lists.
fn listed(layout: &std::path::Path) -> Vec<String> {
    let index = std::fs::read(layout.join("index.json")).unwrap();
    let index: Value = serde_json::from_slice(&index).unwrap();
    let entries = index["manifests"].as_array().unwrap();
    let name = |entry: &Value| {
        entry["annotations"]["io.containerd.image.name"]
            .as_str()
            .map(str::to_owned)
    };
    entries.iter().filter_map(name).collect()
}

#[test]
fn the_names_of_one_output_are_not_those_of_another() {
    let folder = Folder::with(&[("context/Dockerfile", "FROM scratch\nLABEL a=b\n")]);
    let output = |place: &str| format!("type=oci,tar=false,dest={},name={place}:1", folder.name(place));
    let (one, two) = (output("one"), output("two"));
    let Some((code, _, err)) = build(&folder, &["-o", &one, "-o", &two]) else {
        return;
    };
    assert_eq!(code, 0, "{err}");
    assert_eq!(listed(&folder.path("one")), ["docker.io/library/one:1"]);
    assert_eq!(listed(&folder.path("two")), ["docker.io/library/two:1"]);
    // The flag's names are all outputs'.
    let (code, _, err) = build(&folder, &["-o", &one, "-o", &two, "-t", "app"]).unwrap();
    assert_eq!(code, 0, "{err}");
    for place in ["one", "two"] {
        assert_eq!(listed(&folder.path(place)), ["docker.io/library/app:latest"]);
    }
    // What has no name of its own is not pushed under that of another.
    let (code, _, err) = build(&folder, &["-o", &one, "-o", "type=registry"]).unwrap();
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("without a name"), "{err}");
}

#[test]
fn a_context_is_an_image_in_a_layout_or_in_an_archive() {
    let folder = Folder::with(&[
        (
            "context/Dockerfile",
            "FROM scratch\nCOPY file /inside\nENV MADE=here\n",
        ),
        ("context/file", "content"),
        ("next/Dockerfile", "FROM base\nCOPY --from=base /inside /again\n"),
    ]);
    let layout = format!("type=oci,tar=false,dest={},name=base:2", folder.name("layout"));
    let docker = format!("type=docker,dest={},name=base:2", folder.name("docker.tar"));
    let oci = format!("type=oci,dest={},name=base:2", folder.name("oci.tar"));
    let Some((code, _, err)) = build(&folder, &["-o", &layout, "-o", &docker, "-o", &oci]) else {
        return;
    };
    assert_eq!(code, 0, "{err}");
    let mut made = Vec::new();
    for (number, place) in [
        format!("oci-layout://{}", folder.name("layout")),
        format!("oci-layout://{}:2", folder.name("layout")),
        format!("oci-layout://{}:2", folder.name("oci.tar")),
        format!("oci-archive:{}", folder.name("oci.tar")),
        format!("docker-archive:{}", folder.name("docker.tar")),
    ]
    .iter()
    .enumerate()
    {
        // Each with a store that has never seen the image.
        let (context, state) = (format!("base={place}"), folder.name(&format!("state-{number}")));
        let flags = ["build", "--state", &state, "--build-context", &context, "-o"];
        let (out, next) = (folder.name(&format!("out-{number}")), folder.name("next"));
        let (code, _, err) = run(&[&flags[..], &[&out, &next]].concat());
        assert_eq!(code, 0, "{place}: {err}");
        let again = std::fs::read_to_string(folder.path(&format!("out-{number}/again"))).unwrap();
        made.push(again);
    }
    assert_eq!(made, ["content"; 5]);
    for (place, said) in [
        ("oci-layout:///no/such/place".to_owned(), "is no image"),
        (
            format!("oci-layout://{}:3", folder.name("layout")),
            "no image of that name",
        ),
        (
            format!("oci-archive:{}:3", folder.name("oci.tar")),
            "no such image",
        ),
        ("docker-archive:/no/such.tar".to_owned(), "cannot be taken"),
    ] {
        let context = format!("base={place}");
        let state = folder.name("state");
        let flags = ["build", "--state", &state, "--build-context", &context];
        let (code, _, err) = run(&[&flags[..], &[&folder.name("next")]].concat());
        assert_eq!(code, 2, "{place}: {err}");
        assert!(err.contains(said), "{place}: {err}");
    }
}

/// A tar of these files.
fn archive(files: &[(&str, &str)]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o640);
        header.set_uid(1234);
        archive.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    archive.into_inner().unwrap()
}

/// Runs a build that reads `input` as its context; `None`, and says so, where this machine cannot build.
fn build_from(folder: &Folder, flags: &[&str], input: &[u8]) -> Option<(i32, String, String)> {
    let (state, out) = (folder.name("state"), folder.name("out"));
    let mut process = crate::stagewright()
        .args(["build", "--state", &state, "-o", &out])
        .args(flags)
        .arg("-")
        .stdin(std::process::Stdio::piped())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    // A build that does not read it ends all the same.
    _ = std::io::Write::write_all(&mut process.stdin.take().unwrap(), input);
    let ended = crate::ended(&process.wait_with_output().unwrap());
    if ended.2.contains("cannot run builds") {
        println!("skipped: {}", ended.2);
        return None;
    }
    Some(ended)
}

#[test]
fn standard_input_is_a_context_where_it_is_an_archive_and_a_dockerfile_else() {
    let folder = Folder::with(&[]);
    let files = [
        ("Dockerfile", "FROM scratch\nCOPY . /all/\n"),
        ("other.Dockerfile", "FROM scratch\nCOPY deep /deep\n"),
        (".dockerignore", "secret\n"),
        ("secret", "s"),
        ("deep/file", "content"),
    ];
    let plain = archive(&files);
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    std::io::Write::write_all(&mut packed, &plain).unwrap();
    for input in [plain.clone(), packed.finish().unwrap()] {
        let Some((code, _, err)) = build_from(&folder, &[], &input) else {
            return;
        };
        assert_eq!(code, 0, "{err}");
        assert_eq!(folder.text("out/all/deep/file"), "content");
        assert!(!folder.path("out/all/secret").exists());
        std::fs::remove_dir_all(folder.path("out")).unwrap();
    }
    let (code, _, err) = build_from(&folder, &["-f", "other.Dockerfile"], &plain).unwrap();
    assert_eq!(code, 0, "{err}");
    assert_eq!(folder.text("out/deep/file"), "content");
    let (code, _, err) = build_from(&folder, &["-f", "/etc/passwd"], &plain).unwrap();
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("leads out"), "{err}");
    let (code, _, err) = build_from(&folder, &[], &plain[..plain.len() / 2 + 100]).unwrap();
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("<stdin>"), "{err}");
    let lower = archive(&[
        ("dockerfile", "FROM scratch\nCOPY deep /lower\n"),
        ("deep/file", "content"),
    ]);
    let (code, _, err) = build_from(&folder, &[], &lower).unwrap();
    assert_eq!(code, 0, "{err}");
    assert_eq!(folder.text("out/lower/file"), "content");
    // Nobody is going to look at those folders again.
    let remembered = std::fs::read_dir(folder.path("state/scans")).unwrap();
    assert_eq!(remembered.count(), 0);
    // A Dockerfile alone has nothing to copy.
    let (code, _, err) = build_from(&folder, &[], b"FROM scratch\nCOPY a /\n").unwrap();
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("has none"), "{err}");
    let (code, _, err) = build_from(&folder, &[], b"FROM scratch\nLABEL a=b\n").unwrap();
    assert_eq!(code, 0, "{err}");
}

#[test]
fn an_address_is_a_context_where_an_archive_is_there_and_a_dockerfile_else() {
    let folder = Folder::with(&[]);
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        let files = [
            ("Dockerfile", "FROM scratch\nCOPY file /file\n"),
            ("file", "content"),
        ];
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut request = [0; 4096];
            let count = std::io::Read::read(&mut connection, &mut request).unwrap();
            let body = if request[..count].starts_with(b"GET /context.tar ") {
                archive(&files)
            } else {
                b"FROM scratch\nLABEL a=b\n".to_vec()
            };
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
                body.len()
            );
            _ = std::io::Write::write_all(&mut connection, &[head.as_bytes(), &body].concat());
        }
    });
    let built = |path: &str| {
        let (state, out) = (folder.name("state"), folder.name("out"));
        run(&[
            "build",
            "--state",
            &state,
            "-o",
            &out,
            &format!("http://{host}/{path}"),
        ])
    };
    let (code, _, err) = built("context.tar");
    if err.contains("cannot run builds") {
        println!("skipped: {err}");
        return;
    }
    assert_eq!(code, 0, "{err}");
    assert_eq!(folder.text("out/file"), "content");
    let (code, _, err) = built("Dockerfile");
    assert_eq!(code, 0, "{err}");
    std::fs::write(folder.path("small.toml"), "[limits]\ndownload-size = \"10\"\n").unwrap();
    let config = folder.name("small.toml");
    let (code, _, err) = run(&[
        "build",
        "--state",
        &folder.name("state"),
        "--config",
        &config,
        &format!("http://{host}/Dockerfile"),
    ]);
    assert_eq!(code, 1, "{err}");
    assert!(err.contains("larger than the 10 bytes"), "{err}");
}

#[test]
fn a_build_that_is_interrupted_while_its_context_comes_leaves_nothing_of_it() {
    use std::io::{BufRead as _, BufReader, Read as _};
    use std::process::Stdio;

    let folder = Folder::with(&[("tmp/.keep", "")]);
    // Servers that never answer, and somebody who never writes.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap();
    let places = [
        format!("git://{host}/app"),
        format!("http://{host}/context.tar"),
        "-".to_owned(),
    ];
    // Sets of signals as the system tells them of a process, a bit for each.
    let signals = |process: &str, set: &str| {
        let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap();
        let mask = status.lines().find_map(|line| line.strip_prefix(set)).unwrap();
        u64::from_str_radix(mask.trim(), 16).unwrap()
    };
    let mut ends = vec![rustix::process::Signal::TERM];
    if signals("self", "SigIgn:") & 1 == 0 {
        ends.push(rustix::process::Signal::HUP);
    } else {
        println!("a closed terminal is not tried: whoever runs this has its signal ignored");
    }
    for (place, signal) in places
        .iter()
        .flat_map(|place| ends.iter().map(move |signal| (place, *signal)))
    {
        let mut process = crate::stagewright()
            .args(["build", "-vv", "--state", &folder.name("state"), place])
            .env("TMPDIR", folder.path("tmp"))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let id = rustix::process::Pid::from_child(&process);
        let mut errors = BufReader::new(process.stderr.take().unwrap());
        // Waiting for the process would close it.
        let _unwritten = process.stdin.take();
        let mut process = Served(process);
        if place == "-" {
            // Nothing is said of it. Its signals are caught once they stand so in what the system says of it.
            let caught = || {
                let caught = signals(&process.0.id().to_string(), "SigCgt:");
                caught & (1 << (signal.as_raw() - 1)) != 0
            };
            while !caught() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
        } else {
            let mut line = String::new();
            while !line.starts_with("fetching ") {
                line.clear();
                assert_ne!(errors.read_line(&mut line).unwrap(), 0);
            }
        }
        let _unanswered = (place != "-").then(|| listener.accept().unwrap());
        rustix::process::kill_process(id, signal).unwrap();
        let code = process.0.wait().unwrap().code();
        let mut said = String::new();
        errors.read_to_string(&mut said).unwrap();
        assert_eq!(code, Some(130), "{place}, {signal:?}: {said}");
        let left: Vec<_> = std::fs::read_dir(folder.path("tmp"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name())
            .filter(|name| name != ".keep")
            .collect();
        assert!(left.is_empty(), "{place}, {signal:?}: {left:?}");
    }
}

#[test]
fn switches_have_values_and_empty_variables_none() {
    let folder = Folder::with(&[("Dockerfile", "FROM scratch\n")]);
    let ran = |flags: &[&str]| {
        let mut process = crate::stagewright();
        for name in [
            "BUILDKIT_PROGRESS",
            "STAGEWRIGHT_BACKEND",
            "STAGEWRIGHT_BACKEND_CERTS",
            "STAGEWRIGHT_CONFIG",
            "STAGEWRIGHT_REMOTE",
            "STAGEWRIGHT_REMOTE_CA",
            "STAGEWRIGHT_STATE",
        ] {
            process.env(name, "");
        }
        process.arg("build").args(flags).arg(folder.path(""));
        crate::ended(&process.output().unwrap())
    };
    let (code, output, error) = ran(&["--check=TRUE", "--push=0", "--no-cache=f", "--no-cache-filter=x"]);
    assert_eq!((code, error.as_str()), (0, ""), "{output}");
    let (code, _, error) = ran(&["--check=maybe"]);
    assert_eq!(code, 2, "{error}");
    assert!(error.contains("--check=false"), "{error}");
}

#[test]
fn flags_that_only_docker_build_has_are_refused_with_what_to_do_instead() {
    for (flags, said) in [
        (&["--squash"][..], "a stage of its own"),
        (&["--cpu-quota=5"], "--cpus"),
        (&["--builder", "x"], "--state"),
        (&["--rm"], "leave it out"),
    ] {
        let (code, _, err) = run(&[&["build"], flags, &["."]].concat());
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("docker build has a flag"), "{err}");
        assert!(err.contains(said), "{err}");
    }
    // One that nobody has is answered with the one that was meant.
    let (code, _, err) = run(&["build", "--shm-sizes", "1m", "."]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("'--shm-size'"), "{err}");
    let (code, _, err) = run(&["build", "no-such-folder"]);
    assert_eq!(code, 2, "{err}");
    assert!(err.contains("there is no folder no-such-folder"), "{err}");
}

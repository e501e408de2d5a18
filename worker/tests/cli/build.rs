//! `build`: docker build's flags, on images that are made of nothing.

use serde_json::Value;

use crate::{Folder, run};

/// Runs a build with a state folder of its own; `None`, and says so, where this machine cannot build.
fn build(folder: &Folder, arguments: &[&str]) -> Option<(i32, String, String)> {
    let state = folder.name("state");
    let context = folder.name("context");
    let all = [&["build", "--state", &state], arguments, &[&context]].concat();
    let ended = run(&all);
    if ended.2.contains("cannot run builds") {
        println!("skipped: {}", ended.2);
        return None;
    }
    Some(ended)
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
    let archive = folder.name("image.tar");
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
        "--format",
        "docker",
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

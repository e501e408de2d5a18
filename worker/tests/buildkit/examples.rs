//! The examples, built by a `BuildKit` and by our own backend.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::command::{Place, Run};
use crate::engine::Engine;
use crate::notation::{Entry, Kind};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../static/examples")
}

/// Every entry, without its time: that of a step is when it ran. Go's compiler notes in its own cache when that was, too.
fn files(run: &Run) -> Vec<(String, Entry)> {
    let image = run.image();
    let entry = |(path, entry): (&str, Entry)| {
        let dated = path.starts_with("root/.cache/go-build/");
        let kind = match entry.kind {
            Kind::File(_) if dated => Kind::File(Vec::new()),
            kind => kind,
        };
        let entry = Entry {
            modified: 0,
            kind,
            ..entry
        };
        (path.to_owned(), entry)
    };
    image.tree.list().into_iter().map(entry).collect()
}

#[test]
fn examples_have_the_same_files_and_the_plan_s_digests_whoever_builds_them() {
    let Some(engine) = Engine::shared() else {
        return;
    };
    let buildkit = Place::of(&engine, &engine.backend());
    let own = Place::of(&engine, "embedded");
    let index: Vec<Value> = serde_json::from_slice(&fs::read(folder().join("index.json")).unwrap()).unwrap();
    assert!(!index.is_empty());
    for example in index {
        let id = example["id"].as_str().unwrap();
        let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for entry in fs::read_dir(folder().join(id)).unwrap() {
            let entry = entry.unwrap();
            fs::copy(entry.path(), work.path().join(entry.file_name())).unwrap();
        }
        let dockerfile = work.path().join(example["dockerfile"].as_str().unwrap());
        let dockerfile = dockerfile.to_str().unwrap();
        let mut flags = vec!["--file", dockerfile];
        if let Some(target) = example["target"].as_str() {
            flags.extend(["--target", target]);
        }
        println!("{id}");
        let theirs = buildkit.build(work.path(), &flags);
        let ours = own.build(work.path(), &flags);
        let (one, other) = (files(&theirs), files(&ours));
        for (theirs, ours) in one.iter().zip(&other) {
            assert_eq!(theirs, ours, "{id}");
        }
        assert_eq!(one.len(), other.len(), "{id}");
        assert_eq!(theirs.digests(), ours.digests(), "{id}");
        assert!(!theirs.digests().is_empty(), "{id}: {}", theirs.said);
        for (digest, step) in &theirs.steps {
            assert!(step["completed"].is_string(), "{id}: {digest} {step}");
        }
        // What is built is cached there.
        let again = buildkit.build(work.path(), &flags);
        assert_eq!(again.image().diff_ids, theirs.image().diff_ids, "{id}");
        let ran = again
            .steps
            .values()
            .filter(|step| step["name"].as_str().unwrap().contains("RUN") && step["cached"] != true);
        assert_eq!(ran.count(), 0, "{id}: {}", again.said);
    }
}

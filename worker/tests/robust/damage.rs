//! Files that somebody, or the disk, changed behind the worker's back.

use std::fs;
use std::path::Path;

use crate::ground::Ground;
use crate::verify::{entries, whole};

type Damage = fn(&Path);

fn shorter(path: &Path) {
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_len(file.metadata().unwrap().len() / 2).unwrap();
}

fn other(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    if let Some(last) = bytes.last_mut() {
        *last ^= 1;
    }
    fs::write(path, bytes).unwrap();
}

fn gone(path: &Path) {
    fs::remove_file(path).unwrap();
}

#[test]
fn damaged_blobs_never_leave_the_machine_and_are_made_again() {
    let Some(ground) = Ground::new() else { return };
    ground.build("0").well();
    let archive = ground.context.parent().unwrap().join("out.tar");
    let output = format!("type=oci,dest={}", archive.display());
    for (name, damage) in [("shorter", shorter as Damage), ("other", other), ("gone", gone)] {
        let blobs = entries(&ground.state.join("content/blobs/sha256"));
        assert!(blobs.len() > 5);
        for path in &blobs {
            damage(path);
        }
        _ = fs::remove_file(&archive);
        // Each failure says what is wrong, and takes it away.
        let mut attempts = 0;
        loop {
            let ended = ground.run(&["build", "-t", "app", "--build-arg", "ROUND=0", "-o", &output, "."]);
            if ended.code == Some(0) {
                break;
            }
            assert!(ended.err.contains("damaged on the disk"), "{name}: {}", ended.err);
            assert!(!archive.exists(), "{name}: half an archive is left");
            attempts += 1;
            assert!(attempts <= blobs.len(), "{name}: {}", ended.err);
        }
        println!("{name}: {attempts} builds failed before one went well");
        let loaded = ground.run(&[
            "image",
            "load",
            "-i",
            archive.to_str().unwrap(),
            "--state",
            ground.context.parent().unwrap().join(name).to_str().unwrap(),
        ]);
        loaded.well();
        // What nobody has read since may still be damaged; it is seen when it is read.
        ground.run(&["prune", "--kind", "blob"]).well();
        whole(&ground.state);
    }
}

#[test]
fn torn_records_are_passed_over_and_everything_else_goes_on() {
    let Some(ground) = Ground::new() else { return };
    ground.build("0").well();
    for path in [
        ground.state.join("builds/1/build.json"),
        ground.state.join("builds/1/events.jsonl"),
        ground.state.join("cache.journal"),
        entries(&ground.state.join("layers/gzip")).swap_remove(0),
        entries(&ground.state.join("contexts")).swap_remove(0),
    ] {
        shorter(&path);
        ground.build("0").well();
        ground.run(&["history", "ls"]).well();
        ground.run(&["du"]).well();
        whole(&ground.state);
    }
}

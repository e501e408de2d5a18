//! A disk that is full.

use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};

use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};

use crate::ground::{DOCKERFILE, Ended, Ground};
use crate::verify::whole;

/// A small file system in memory; gone when this is dropped.
struct Disk(PathBuf);

impl Disk {
    /// `None`, with the reason printed, where none may be mounted.
    fn at(path: &Path, options: &std::ffi::CStr) -> Option<Self> {
        fs::create_dir_all(path).unwrap();
        match mount("tmpfs", path, "tmpfs", MountFlags::empty(), options) {
            Ok(()) => Some(Self(path.to_owned())),
            Err(error) => {
                println!("skipped: a small disk cannot be mounted here: {error}");
                None
            }
        }
    }

    /// Takes all the room that there is.
    fn fill(&self) -> PathBuf {
        let path = self.0.join("filler");
        let mut file = File::create(&path).unwrap();
        for piece in [1 << 20, 1 << 12, 1] {
            while file.write_all(&vec![0; piece]).is_ok() {}
        }
        path
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

#[track_caller]
fn says_that_the_disk_is_full(ended: &Ended) {
    assert!(matches!(ended.code, Some(1 | 3)), "{}\n{}", ended.out, ended.err);
    assert!(
        ended.err.contains("No space left on device") || ended.err.contains("disk"),
        "{}",
        ended.err
    );
    assert!(!ended.err.contains("panicked"), "{}", ended.err);
}

#[test]
fn a_full_disk_ends_a_build_with_a_clear_error_and_the_next_one_goes_well() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Disk::at(&folder.path().join("state"), c"size=40m,mode=700") else {
        return;
    };
    let Some(ground) = Ground::at(folder.path()) else {
        return;
    };
    ground.build("0").well();

    // A step that writes more than there is.
    let big = format!("{DOCKERFILE}RUN head -c 100000000 /dev/zero > /big\n");
    fs::write(ground.context.join("Dockerfile.big"), big).unwrap();
    let ended = ground.run(&["build", "-f", "Dockerfile.big", "--build-arg", "ROUND=0", "."]);
    says_that_the_disk_is_full(&ended);
    assert!(ended.steps("CACHED").len() > 5, "{}", ended.err);
    whole(&ground.state);
    ground.build("1").well();

    // A file of the context that is larger than what there is.
    let file = File::create(ground.context.join("large")).unwrap();
    file.set_len(100_000_000).unwrap();
    fs::write(
        ground.context.join("Dockerfile.copy"),
        "FROM scratch\nCOPY large /\n",
    )
    .unwrap();
    let ended = ground.run(&["build", "-f", "Dockerfile.copy", "."]);
    says_that_the_disk_is_full(&ended);
    fs::remove_file(ground.context.join("large")).unwrap();
    whole(&ground.state);
    ground.build("2").well();

    // No room at all, from the beginning. What can be pruned can be pruned all the same.
    let filler = disk.fill();
    says_that_the_disk_is_full(&ground.build("3"));
    ground.run(&["du"]).well();
    let before = usage(&ground);
    let pruned = ground.run(&["prune", "--all"]);
    assert!(usage(&ground) < before, "{}\n{}", pruned.out, pruned.err);
    whole(&ground.state);
    fs::remove_file(filler).unwrap();
    ground.build("3").well();
    whole(&ground.state);
    assert!(ground.build("3").steps("CACHED").len() > 5);
}

fn usage(ground: &Ground) -> u64 {
    let usage = ground.run(&["du", "--format", "json"]);
    let usage: serde_json::Value = serde_json::from_str(&usage.well().out).unwrap();
    usage["total"].as_u64().unwrap()
}

//! What `build` writes, of steps that really ran.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use crate::bench::Bench;

fn names_in(tar: &Path) -> BTreeSet<String> {
    let mut archive = tar::Archive::new(std::fs::File::open(tar).unwrap());
    let entries = archive.entries().unwrap();
    entries
        .map(|entry| entry.unwrap().path().unwrap().display().to_string())
        .collect()
}

#[test]
fn what_steps_removed_is_in_no_folder_and_no_tar() {
    let bench = Bench::new(
        "FROM alpine:latest\nRUN mkdir -p /a/b && echo 1 > /a/b/gone && echo 2 > /a/stays && chown 7:8 /a/stays\n\
         RUN rm -r /a/b && chmod 700 /a\n",
    );
    let Some((code, _, said)) = bench.build("state", &["-o", "out", "-o", "type=tar,dest=files.tar"]) else {
        return;
    };
    assert_eq!(code, 0, "{said}");
    assert_eq!(std::fs::read_to_string(bench.path("out/a/stays")).unwrap(), "2\n");
    assert!(!bench.path("out/a/b").exists());
    assert!(bench.path("out/bin/sh").symlink_metadata().is_ok());
    let names = names_in(&bench.path("files.tar"));
    assert!(names.contains("a/stays") && names.contains("a/"), "{names:?}");
    assert!(
        !names
            .iter()
            .any(|name| name.contains(".wh.") || name.starts_with("a/b"))
    );
    let mut archive = tar::Archive::new(std::fs::File::open(bench.path("files.tar")).unwrap());
    let mut entries = archive.entries().unwrap().map(Result::unwrap);
    let stays = entries.find(|entry| entry.path().unwrap() == Path::new("a/stays"));
    let header = stays.unwrap().header().clone();
    assert_eq!((header.uid().unwrap(), header.gid().unwrap()), (7, 8));
}

#[test]
fn one_time_gives_one_image_on_two_workers_and_without_rewriting_it_does_not() {
    let bench = Bench::new("FROM alpine:latest\nRUN echo a > /made && mkdir /d\nRUN touch /d/later\n");
    let digest = |state: &str, keys: &str| {
        let flags = ["-q", "--build-arg", "SOURCE_DATE_EPOCH=1700000000", "-o", keys];
        let (code, printed, said) = bench.build(state, &flags)?;
        assert_eq!(code, 0, "{said}");
        Some(printed)
    };
    let keys = "type=image,rewrite-timestamp=true,compression=zstd,force-compression=true";
    let Some(first) = digest("one", keys) else { return };
    let plain = digest("one", "type=image").unwrap();
    // A file's time is in whole seconds.
    std::thread::sleep(std::time::Duration::from_millis(1100));
    assert_eq!(digest("two", keys).unwrap(), first);
    assert_ne!(digest("two", "type=image").unwrap(), plain);
    // What was rewritten once is found again.
    assert_eq!(digest("one", keys).unwrap(), first);
}

#[test]
fn layers_of_the_base_are_compressed_anew_only_where_that_is_asked_for() {
    let bench = Bench::new("FROM alpine:latest\nRUN echo a > /made\n");
    let types = |name: &str, keys: &str| {
        let output = format!("type=oci,tar=false,dest={name},compression=zstd{keys}");
        let (code, printed, said) = bench.build("state", &["-o", &output])?;
        assert_eq!(code, 0, "{said}");
        let blob = printed.trim().strip_prefix("sha256:").unwrap().to_owned();
        let manifest = std::fs::read(bench.path(name).join("blobs/sha256").join(blob)).unwrap();
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        let layers = manifest["layers"].as_array().unwrap();
        let zstd = |layer: &&serde_json::Value| layer["mediaType"].as_str().unwrap().ends_with("+zstd");
        Some((layers.iter().filter(zstd).count(), layers.len()))
    };
    let Some((some, all)) = types("own", "") else {
        return;
    };
    assert_eq!((some, all > 1), (1, true));
    assert_eq!(types("all", ",force-compression=true").unwrap(), (all, all));
}

#[test]
fn interrupted_build_leaves_no_output() {
    let bench = Bench::new("FROM alpine:latest\nRUN echo started; sleep 1000\n");
    let Some(config) = std::env::var_os("STAGEWRIGHT_TEST_CONFIG") else {
        println!("skipped: STAGEWRIGHT_TEST_CONFIG names no configuration with images");
        return;
    };
    let mut child = Command::new(env!("CARGO_BIN_EXE_stagewright"))
        .current_dir(bench.path(""))
        .args([
            "build",
            "--state",
            "state",
            "--progress=plain",
            "-o",
            "type=oci,dest=image.tar",
        ])
        .arg("--config")
        .arg(config)
        .arg("context")
        .stderr(std::process::Stdio::piped())
        .spawn()
        .unwrap();
    let lines = std::io::BufRead::lines(std::io::BufReader::new(child.stderr.take().unwrap()));
    let mut began = false;
    for line in lines {
        let line = line.unwrap();
        if line.contains("cannot run builds") {
            println!("skipped: {line}");
        }
        if !began && line.contains(" started") {
            began = true;
            let id = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(id, rustix::process::Signal::INT).unwrap();
        }
    }
    let code = child.wait().unwrap().code();
    if began {
        assert_eq!(code, Some(130));
        let left: Vec<_> = std::fs::read_dir(bench.path("")).unwrap().flatten().collect();
        assert_eq!(left.len(), 2, "context and state: {left:?}");
    }
}

//! `prune`: what goes, what stays, and that a worker that serves is asked to do it.

use crate::{fits, run, serve::serve};

#[test]
fn prune_removes_what_nobody_needs_and_says_what() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().to_str().unwrap();
    let blobs = folder.path().join("content/blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    let blob = blobs.join("a".repeat(64));
    std::fs::write(&blob, vec![0; 5000]).unwrap();
    let (code, output, error) = run(&["prune", "--dry-run", "--state", state]);
    assert_eq!(code, 0, "{error}");
    fits(&output);
    assert!(output.ends_with("would go: 1 blob; 4.88 KiB\n"), "{output}");
    let (code, output, _) = run(&["prune", "--filter", "until=24h", "--state", state]);
    assert_eq!((code, output.as_str()), (0, "nothing to remove\n"));
    let (code, output, _) = run(&["prune", "--keep-storage", "1MB", "--state", state]);
    assert_eq!((code, output.as_str()), (0, "nothing to remove\n"));
    let (code, output, _) = run(&["prune", "--kind", "layer", "--state", state]);
    assert_eq!((code, output.as_str()), (0, "nothing to remove\n"));
    assert!(blob.exists());
    let (code, output, _) = run(&["prune", "--state", state]);
    assert_eq!((code, output.as_str()), (0, "removed: 1 blob; 4.88 KiB\n"));
    assert!(!blob.exists());
    let (code, _, error) = run(&["prune", "--filter", "label=x", "--state", state]);
    assert_eq!(code, 2);
    assert!(error.contains("until=TIME"), "{error}");
}

#[test]
fn a_worker_that_serves_is_asked_to_prune() {
    let folder = tempfile::tempdir().unwrap();
    let served = serve(folder.path());
    let state = folder.path().to_str().unwrap();
    let blob = folder.path().join("content/blobs/sha256").join("a".repeat(64));
    std::fs::write(&blob, vec![0; 5000]).unwrap();
    let (code, output, error) = run(&["du", "--state", state]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(output.contains("4.88 KiB"), "{output}");
    let (code, output, error) = run(&["prune", "--dry-run", "--state", state]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(output.ends_with("would go: 1 blob; 4.88 KiB\n"), "{output}");
    assert!(blob.exists());
    let (code, output, error) = run(&["prune", "--state", state]);
    assert_eq!(
        (code, output.as_str(), error.as_str()),
        (0, "removed: 1 blob; 4.88 KiB\n", "")
    );
    assert!(!blob.exists());
    // A worker that was killed leaves its socket behind; the next one is reached all the same.
    served.signal(rustix::process::Signal::KILL);
    drop(served);
    let (code, output, _) = run(&["prune", "--state", state]);
    assert_eq!((code, output.as_str()), (0, "nothing to remove\n"));
    let _served = serve(folder.path());
    let (code, output, error) = run(&["prune", "--state", state]);
    assert_eq!((code, output.as_str()), (0, "nothing to remove\n"), "{error}");
}

#[test]
fn beside_a_worker_that_cannot_be_asked_prune_is_refused_and_du_says_what_it_cannot_know() {
    let folder = tempfile::tempdir().unwrap();
    let _served = serve(folder.path());
    std::fs::remove_file(folder.path().join("control.sock")).unwrap();
    let state = folder.path().to_str().unwrap();
    let (code, output, error) = run(&["prune", "--state", state]);
    assert_eq!((code, output.as_str()), (3, ""));
    assert!(
        error.contains("another worker uses") && error.contains("when it has ended"),
        "{error}"
    );
    let (code, output, error) = run(&["du", "--state", state]);
    assert_eq!(code, 0);
    assert!(output.contains("total"), "{output}");
    assert!(error.contains("a worker is at work here"), "{error}");
}

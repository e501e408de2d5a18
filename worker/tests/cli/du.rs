//! `du`: it reads what is there, alone or beside a worker, and changes nothing.

use crate::{fits, run};

#[test]
fn du_tells_what_takes_room_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let state = folder.path().join("state");
    let (code, output, error) = run(&["du", "--state", state.to_str().unwrap()]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert!(output.contains("total"), "{output}");
    assert!(!state.exists(), "looking makes nothing");

    let blobs = state.join("content/blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    std::fs::write(blobs.join("a".repeat(64)), vec![0; 5000]).unwrap();
    let (code, output, _) = run(&["du", "--all", "--state", state.to_str().unwrap()]);
    assert_eq!(code, 0);
    fits(&output);
    assert!(
        output.contains("blob        aaaaaaaaaaaa 4.88 KiB  just now"),
        "{output}"
    );
    let (code, output, _) = run(&["du", "--format", "json", "--state", state.to_str().unwrap()]);
    assert_eq!(code, 0);
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(json["items"][0]["kind"], "blob");
    assert_eq!(json["items"][0]["inUse"], serde_json::Value::Null);
    assert_eq!(
        (&json["total"], &json["reclaimable"]),
        (&5000.into(), &5000.into())
    );
}

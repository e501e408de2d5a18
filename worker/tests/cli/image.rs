//! `image`: names of images, and archives of them.

use crate::{Folder, fits, run};

/// An image layout of one image with one empty layer, and the digest of its manifest.
fn layout(folder: &Folder) -> String {
    use stagewright_core::digest::Digest;
    let put = |bytes: &[u8]| {
        let digest = Digest::of(bytes);
        std::fs::write(folder.path("layout/blobs/sha256").join(digest.hex()), bytes).unwrap();
        digest
    };
    std::fs::create_dir_all(folder.path("layout/blobs/sha256")).unwrap();
    let layer = put(&[0; 1024]);
    let config = serde_json::json!({
        "os": "linux", "architecture": "amd64", "created": "2026-01-01T00:00:00Z",
        "rootfs": { "type": "layers", "diff_ids": [layer] },
    });
    let config = put(config.to_string().as_bytes());
    let manifest = serde_json::json!({
        "schemaVersion": 2,
        "config": { "digest": config, "size": 1, "mediaType": "application/vnd.oci.image.config.v1+json" },
        "layers": [{ "digest": layer, "size": 1024, "mediaType": "application/vnd.oci.image.layer.v1.tar" }],
    });
    let manifest = put(manifest.to_string().as_bytes());
    let index = serde_json::json!({ "schemaVersion": 2, "manifests": [{ "digest": manifest, "size": 1 }] });
    std::fs::write(folder.path("layout/index.json"), index.to_string()).unwrap();
    std::fs::write(
        folder.path("layout/oci-layout"),
        "{\"imageLayoutVersion\":\"1.0.0\"}",
    )
    .unwrap();
    manifest.to_string()
}

#[test]
fn an_image_is_loaded_listed_inspected_and_loses_its_name() {
    let folder = Folder::with(&[]);
    let digest = layout(&folder);
    let state = folder.name("state");
    let image = |arguments: &[&str]| {
        let mut all = vec!["image"];
        all.extend(arguments);
        all.extend(["--state", &state]);
        run(&all)
    };
    let (code, output, error) = image(&["ls"]);
    assert_eq!((code, error.as_str()), (0, ""));
    assert_eq!(output.lines().count(), 1, "{output}");
    let layout = folder.name("layout");
    let (code, output, error) = image(&["load", "-i", &layout, "-t", "app:1"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(output, format!("loaded app:1 {digest}\n"));
    let (_, output, _) = image(&["ls"]);
    fits(&output);
    assert!(output.contains("app:1") && output.contains("1.5"), "{output}");
    let (_, output, _) = image(&["ls", "-q"]);
    assert_eq!(output, format!("{digest}\n"));
    let (_, output, _) = image(&["ls", "--format", "json"]);
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(json[0]["name"], "docker.io/library/app:1");
    assert_eq!(json[0]["created"], "2026-01-01T00:00:00Z");
    let (_, output, _) = image(&["inspect", "app:1"]);
    let json: serde_json::Value = serde_json::from_str(&output).unwrap();
    assert_eq!(json[0]["images"][0]["layers"][0]["size"], 1024);
    let (code, _, _) = run(&["prune", "--all", "--state", &state]);
    assert_eq!(code, 0);
    assert_eq!(image(&["inspect", "app:1"]).0, 0, "it has a name, so it stays");

    let (code, _, error) = image(&["rm", "app:1", "app:2"]);
    assert_eq!(code, 1);
    assert!(error.contains("no image app:2 here"), "{error}");
    let (code, output, _) = image(&["rm", "app:1"]);
    assert_eq!((code, output.as_str()), (0, "removed the name app:1\n"));
    assert_eq!(image(&["inspect", "app:1"]).0, 1);
    let (code, output, _) = run(&["prune", "--state", &state]);
    assert_eq!(code, 0);
    assert!(output.starts_with("removed: 3 blobs"), "{output}");
}

#[test]
fn what_is_no_archive_is_refused_in_a_sentence() {
    let folder = Folder::with(&[("no.tar", "no archive")]);
    let (state, file) = (folder.name("state"), folder.name("no.tar"));
    let (code, output, error) = run(&["image", "load", "-i", &file, "--state", &state]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(error.contains("the archive cannot be"), "{error}");
    let (code, _, error) = run(&["image", "load", "-i", "/nowhere.tar", "--state", &state]);
    assert_eq!(code, 2);
    assert!(error.contains("/nowhere.tar"), "{error}");
}

//! Registries that mean harm.

use serde_json::json;
use stagewright_core::digest::Digest;
use tokio_util::sync::CancellationToken;

use super::fixture::{Bench, Content, OCI_INDEX, platform, silent};
use super::one_image;
use crate::source::image::ImageError;

#[tokio::test(flavor = "multi_thread")]
async fn other_content_than_was_asked_for_is_not_kept() {
    let (content, image) = one_image();
    let manifest: serde_json::Value = serde_json::from_slice(&content.blobs[image.as_str()]).unwrap();
    for victim in [
        image.to_string(),
        manifest["config"]["digest"].as_str().unwrap().to_owned(),
        manifest["layers"][0]["digest"].as_str().unwrap().to_owned(),
    ] {
        let mut forged = content.clone();
        forged.blobs.get_mut(&victim).unwrap()[0] ^= 1;
        let server = forged.serve().await;
        let bench = Bench::new("");
        let name = format!("{}/a@{image}", server.host);
        let cancel = CancellationToken::new();
        let error = bench
            .source
            .pull(&name, &platform("amd64"), silent(), &cancel)
            .await
            .unwrap_err();
        assert!(matches!(error, ImageError::WrongDigest { .. }), "{error}");
        assert!(error.to_string().contains(&victim), "{error}");
        let victim: Digest = victim.parse().unwrap();
        assert!(!bench.store.contains(&victim) && bench.store.partial_size(&victim) == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mirror_that_forges_is_made_good_by_the_next() {
    let (content, image) = one_image();
    let manifest: serde_json::Value = serde_json::from_slice(&content.blobs[image.as_str()]).unwrap();
    let mut forged = content.clone();
    forged
        .blobs
        .get_mut(manifest["layers"][0]["digest"].as_str().unwrap())
        .unwrap()[20] ^= 1;
    let (honest, other) = (content.serve().await, forged.serve().await);
    let bench = Bench::new(&format!(
        "[registry.\"{}\"]\nmirrors = [\"http://{}\"]",
        honest.host, other.host
    ));
    let name = format!("{}/a:1", honest.host);
    let cancel = CancellationToken::new();
    assert!(
        bench
            .source
            .pull(&name, &platform("amd64"), silent(), &cancel)
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn malicious_images_are_refused_before_they_cost_anything() {
    let mut content = Content::default();
    let config = content.add(r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}}"#);
    let config = content.descriptor("", &config);
    let huge = json!({ "digest": Digest::of(b"x"), "size": 1_u64 << 60 });
    let large_config = json!({ "digest": Digest::of(b"x"), "size": 9 << 20 });
    let mut nested = content.index(&[]);
    for _ in 0..10 {
        let entry = content.descriptor(OCI_INDEX, &nested);
        nested = content.index(&[entry]);
    }
    let wide: Vec<_> = (0..100)
        .map(|number| json!({ "digest": Digest::of(&[number]), "size": 1 }))
        .collect();
    let layered = content.add(
        r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#,
    );
    let layered = content.descriptor("", &layered);
    let cases = [
        ("endless", " ".repeat(5 << 20), "sent more than the 4194304 bytes"),
        (
            "huge",
            json!({ "config": layered, "layers": [huge] }).to_string(),
            "image-size in the worker's",
        ),
        (
            "config",
            json!({ "config": large_config, "layers": [] }).to_string(),
            "its configuration has 9437184 bytes",
        ),
        (
            "count",
            json!({ "config": config, "layers": [huge] }).to_string(),
            "1 layers, but its configuration speaks of 0",
        ),
        (
            "nested",
            String::from_utf8(content.blobs[nested.as_str()].clone()).unwrap(),
            "nest too deep",
        ),
        (
            "wide",
            json!({ "manifests": wide }).to_string(),
            "says there is no such image",
        ),
        (
            "path",
            r#"{"manifests":[{"digest":"sha256:../../etc/passwd","size":1}]}"#.to_owned(),
            "malformed",
        ),
        ("html", "<html>".to_owned(), "its manifest is malformed"),
    ];
    let mut library = content.clone();
    for (tag, body, _) in &cases {
        let digest = library.add(body.as_bytes());
        library.tag(tag, &digest);
    }
    let server = library.serve().await;
    for (tag, _, expected) in cases {
        let bench = Bench::new("");
        let name = format!("{}/a:{tag}", server.host);
        let cancel = CancellationToken::new();
        let error = bench
            .source
            .pull(&name, &platform("amd64"), silent(), &cancel)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{tag}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_longer_than_announced_is_cut_off() {
    let (mut content, _) = one_image();
    let layer = content.add(vec![7; 100_000]);
    let config =
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [Digest::of(b"x")] } });
    let config = content.add(config.to_string());
    let manifest = json!({
        "config": content.descriptor("", &config), "layers": [{ "digest": layer, "size": 1000 }]
    });
    let manifest = content.add(manifest.to_string());
    content.tag("long", &manifest);
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:long", server.host);
    let cancel = CancellationToken::new();
    let error = bench
        .source
        .pull(&name, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("should have 1000 bytes"), "{error}");
    assert_eq!(bench.store.partial_size(&layer), 0);
}

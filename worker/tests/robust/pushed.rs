//! What a registry holds after pushes.

use std::fs;

use stagewright_core::digest::Digest;

use crate::registry::Registry;
use crate::verify::entries;

/// The digest that the tag `latest` of `repository` points to, with everything below it there and whole.
pub(crate) fn latest(registry: &Registry, repository: &str) -> String {
    let root = registry.storage.join("docker/registry/v2");
    let link = root.join(format!(
        "repositories/{repository}/_manifests/tags/latest/current/link"
    ));
    let digest = fs::read_to_string(link).unwrap();
    let blob = |digest: &str| {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let bytes = fs::read(root.join(format!("blobs/sha256/{}/{hex}/data", &hex[..2]))).unwrap();
        assert_eq!(Digest::of(&bytes).hex(), hex, "a torn blob in the registry");
        bytes
    };
    let manifest: serde_json::Value = serde_json::from_slice(&blob(&digest)).unwrap();
    let layers = manifest["layers"].as_array().unwrap();
    assert!(layers.len() > 3, "{manifest:#}");
    for part in layers.iter().chain([&manifest["config"]]) {
        blob(part["digest"].as_str().unwrap());
    }
    digest
}

/// Uploads that were begun and not ended.
pub(crate) fn torn_uploads(registry: &Registry, repository: &str) -> usize {
    let uploads = format!("docker/registry/v2/repositories/{repository}/_uploads");
    entries(&registry.storage.join(uploads)).len()
}

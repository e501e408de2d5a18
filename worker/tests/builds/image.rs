//! Images as OCI layouts: read from what an engine wrote, and made for those cases that bring their own.

use std::collections::BTreeMap;
use std::fs;
use std::io::Read as _;
use std::path::Path;

use serde_json::{Value, json};
use stagewright_core::digest::Digest;

use crate::archive;
use crate::case::Image;
use crate::tree::Tree;

/// An image as it was built.
pub(crate) struct Built {
    /// The manifest's digest.
    pub(crate) digest: String,
    pub(crate) config: Value,
    pub(crate) diff_ids: Vec<String>,
    pub(crate) tree: Tree,
}

impl Built {
    /// Reads the only image of an archive of a layout.
    pub(crate) fn from_archive(path: &Path) -> Self {
        let mut blobs = BTreeMap::new();
        let mut index = Value::Null;
        for entry in tar::Archive::new(fs::File::open(path).unwrap())
            .entries()
            .unwrap()
        {
            let mut entry = entry.unwrap();
            let name = entry.path().unwrap().to_string_lossy().into_owned();
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            if let Some(hex) = name.strip_prefix("blobs/sha256/").filter(|hex| !hex.is_empty()) {
                assert_eq!(Digest::of(&content).hex(), hex, "a blob is what its name says");
                blobs.insert(format!("sha256:{hex}"), content);
            } else if name == "index.json" {
                index = serde_json::from_slice(&content).unwrap();
            }
        }
        let digest = index["manifests"][0]["digest"].as_str().unwrap();
        Self::of(digest, |digest| blobs[digest].clone())
    }

    /// Reads an image of a layout in a folder.
    pub(crate) fn from_layout(folder: &Path, tag: &str) -> Self {
        Self::of(&digest_of(folder, tag), |digest| {
            fs::read(
                folder
                    .join("blobs/sha256")
                    .join(digest.trim_start_matches("sha256:")),
            )
            .unwrap()
        })
    }

    fn of(digest: &str, blob: impl Fn(&str) -> Vec<u8>) -> Self {
        let parse =
            |digest: &Value| -> Value { serde_json::from_slice(&blob(digest.as_str().unwrap())).unwrap() };
        let digest = digest.to_owned();
        let manifest = parse(&json!(digest));
        let config = parse(&manifest["config"]["digest"]);
        // An image without layers says so by an empty list, or by none.
        let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
        let ids = list(&config["rootfs"]["diff_ids"]);
        let diff_ids: Vec<String> = ids.iter().map(|id| id.as_str().unwrap().to_owned()).collect();
        let mut tree = Tree::default();
        let layers = list(&manifest["layers"]);
        assert_eq!(
            layers.len(),
            diff_ids.len(),
            "each layer is named in the configuration"
        );
        for (layer, id) in layers.iter().zip(&diff_ids) {
            let text = |key: &str| layer[key].as_str().unwrap();
            let plain = archive::plain(&blob(text("digest")), text("mediaType"));
            assert_eq!(
                Digest::of(&plain).as_str(),
                id,
                "a layer is what the configuration says"
            );
            tree.lay(&plain);
        }
        Self {
            digest,
            config,
            diff_ids,
            tree,
        }
    }
}

/// The digest of a layout's image of that tag.
pub(crate) fn digest_of(layout: &Path, tag: &str) -> String {
    let index: Value = serde_json::from_slice(&fs::read(layout.join("index.json")).unwrap()).unwrap();
    let manifests = index["manifests"].as_array().unwrap();
    let named = |manifest: &&Value| manifest["annotations"]["org.opencontainers.image.ref.name"] == tag;
    let manifest = manifests.iter().find(named).unwrap();
    manifest["digest"].as_str().unwrap().to_owned()
}

/// Writes `image` as a layout of its own, under the tag `latest`.
pub(crate) fn write(image: &Image, layout: &Path) {
    let blobs = layout.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    let put = |bytes: &[u8], media_type: &str| {
        let digest = Digest::of(bytes);
        fs::write(blobs.join(digest.hex()), bytes).unwrap();
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    };
    let put_json = |value: Value, kind: &str| {
        let media_type = format!("application/vnd.oci.image.{kind}.v1+json");
        put(value.to_string().as_bytes(), &media_type)
    };
    let layer_type = "application/vnd.oci.image.layer.v1.tar";
    let layers: Vec<Value> = image.layers.iter().map(|layer| put(layer, layer_type)).collect();
    let diff_ids: Vec<&Value> = layers.iter().map(|layer| &layer["digest"]).collect();
    let history =
        vec![json!({ "created": "2020-09-13T12:26:40Z", "created_by": "made for this case" }); layers.len()];
    let config = json!({
        "architecture": "amd64",
        "os": "linux",
        "created": "2020-09-13T12:26:40Z",
        "config": image.config,
        "rootfs": { "type": "layers", "diff_ids": diff_ids },
        "history": history,
    });
    let config = put_json(config, "config");
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": config,
        "layers": layers,
    });
    let mut manifest = put_json(manifest, "manifest");
    manifest["platform"] = json!({ "architecture": "amd64", "os": "linux" });
    manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": "latest" });
    let index = json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [manifest],
    });
    fs::write(layout.join("index.json"), index.to_string()).unwrap();
    let version = json!({ "imageLayoutVersion": "1.0.0" });
    fs::write(layout.join("oci-layout"), version.to_string()).unwrap();
}

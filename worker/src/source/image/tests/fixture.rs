//! Small images, and registries and layouts that hold them.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use super::server::{Reply, Request, Server};
use crate::config::Config;
use crate::content::ContentStore;
use crate::source::image::registry::Patience;
use crate::source::image::{ImageSource, PullProgress, Report};

pub(super) const OCI_INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const OCI_MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

pub(super) fn platform(architecture: &str) -> Platform {
    Platform {
        architecture: architecture.into(),
        ..Platform::default()
    }
}

/// Documents and blobs by digest, as a registry's or a layout's storage.
#[derive(Default, Clone)]
pub(super) struct Content {
    pub(super) blobs: BTreeMap<String, Vec<u8>>,
    pub(super) tags: BTreeMap<String, String>,
}

impl Content {
    pub(super) fn add(&mut self, bytes: impl Into<Vec<u8>>) -> Digest {
        let bytes = bytes.into();
        let digest = Digest::of(&bytes);
        self.blobs.insert(digest.to_string(), bytes);
        digest
    }

    pub(super) fn descriptor(&self, media_type: &str, digest: &Digest) -> Value {
        json!({ "mediaType": media_type, "digest": digest, "size": self.blobs[digest.as_str()].len() })
    }

    /// An image of gzip layers with the given contents; returns its manifest's digest.
    pub(super) fn image(&mut self, architecture: &str, layers: &[&[u8]]) -> Digest {
        let mut diff_ids = Vec::new();
        let mut descriptors = Vec::new();
        for layer in layers {
            diff_ids.push(Digest::of(layer));
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none());
            encoder.write_all(layer).unwrap();
            let digest = self.add(encoder.finish().unwrap());
            descriptors.push(self.descriptor("application/vnd.oci.image.layer.v1.tar+gzip", &digest));
        }
        let config = json!({
            "architecture": architecture, "os": "linux", "config": { "Env": ["PATH=/bin"] },
            "rootfs": { "type": "layers", "diff_ids": diff_ids }
        });
        let config = self.add(config.to_string());
        let manifest = json!({
            "schemaVersion": 2, "mediaType": OCI_MANIFEST,
            "config": self.descriptor("application/vnd.oci.image.config.v1+json", &config),
            "layers": descriptors
        });
        self.add(manifest.to_string())
    }

    pub(super) fn index(&mut self, entries: &[Value]) -> Digest {
        let index = json!({ "schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": entries });
        self.add(index.to_string())
    }

    pub(super) fn entry(&self, architecture: &str, digest: &Digest) -> Value {
        let mut entry = self.descriptor(OCI_MANIFEST, digest);
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entry
    }

    pub(super) fn tag(&mut self, name: &str, digest: &Digest) {
        self.tags.insert(name.into(), digest.to_string());
    }

    /// What an honest registry answers.
    pub(super) fn answer(&self, request: &Request) -> Reply {
        let Some((_, name)) = request.path.rsplit_once('/') else {
            return Reply::status(404);
        };
        let digest = self.tags.get(name).map_or(name, String::as_str);
        match self.blobs.get(digest) {
            Some(blob) if request.range_start() > 0 => {
                let start = request.range_start();
                let range = format!("bytes {start}-{}/{}", blob.len() - 1, blob.len());
                Reply {
                    status: 206,
                    ..Reply::ok(&blob[start..]).with("Content-Range", range)
                }
            }
            Some(blob) => Reply::ok(blob.as_slice()),
            None => Reply::status(404),
        }
    }

    pub(super) async fn serve(self) -> Server {
        Server::start(move |request| self.answer(request)).await
    }

    /// Writes an OCI layout whose index names the tags.
    pub(super) fn write_layout(&self, path: &Path) {
        let blobs = path.join("blobs/sha256");
        fs::create_dir_all(&blobs).unwrap();
        for (digest, bytes) in &self.blobs {
            fs::write(blobs.join(digest.trim_start_matches("sha256:")), bytes).unwrap();
        }
        let entries: Vec<Value> = self
            .tags
            .iter()
            .map(|(name, digest)| {
                let mut entry = self.descriptor(OCI_INDEX, &digest.parse().unwrap());
                entry["annotations"] = json!({ "org.opencontainers.image.ref.name": name });
                entry
            })
            .collect();
        let index = json!({ "schemaVersion": 2, "manifests": entries });
        fs::write(path.join("index.json"), index.to_string()).unwrap();
        fs::write(path.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    }
}

/// A source with a store of its own.
pub(super) struct Bench {
    pub(super) directory: tempfile::TempDir,
    pub(super) store: ContentStore,
    pub(super) source: ImageSource,
}

impl Bench {
    pub(super) fn new(config: &str) -> Self {
        // Longer than any pause of a busy machine: who waits for this waits for a failure.
        Self::with_patience(config, Duration::from_secs(20))
    }

    /// `read` is how long to wait for the next bytes.
    pub(super) fn with_patience(config: &str, read: Duration) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::parse(config, directory.path()).unwrap();
        let store = ContentStore::open(directory.path().join("content")).unwrap();
        let patience = Patience {
            connect: Duration::from_secs(5),
            read,
            document: Duration::from_secs(30),
            pause: Duration::from_millis(5),
            later: Duration::from_secs(2),
            halt: read,
        };
        let source = ImageSource::with_patience(config, store.clone(), patience);
        Self {
            directory,
            store,
            source,
        }
    }
}

pub(super) fn silent() -> Report {
    Arc::new(|_: PullProgress| {})
}

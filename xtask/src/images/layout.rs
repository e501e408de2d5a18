//! Writes an OCI image layout (OCI image specification, "Image Layout") whose bytes depend on the files' names,
//! modes and contents only, so that digests are stable from machine to machine.

use std::fs::{self, File};
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::rootfs::Rootfs;
use crate::problem::{About as _, Outcome, Problem};
use crate::process;
use crate::stamp::hex;

/// When everything in the images was last changed: fixed, since times are part of a layer's digest.
/// 2024-01-01T00:00:00Z.
const TIME: &str = "1704067200";
const CREATED: &str = "2024-01-01T00:00:00Z";

const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";

pub(crate) struct Layout {
    folder: PathBuf,
    scratch: PathBuf,
    tags: Vec<Value>,
}

/// Whose the files of a layer are.
#[derive(Clone, Copy)]
pub(crate) enum Owners {
    Root,
    AsTheyAre,
}

/// A layer in the layout.
#[derive(Clone)]
pub(crate) struct Layer {
    digest: String,
    diff_id: String,
    size: u64,
}

/// A manifest in the layout.
pub(crate) struct Manifest(Value);

/// What an image says of itself.
pub(crate) struct Image<'a> {
    pub(crate) architecture: &'a str,
    pub(crate) layers: &'a [Layer],
    /// The OCI `config` object: `Env`, `WorkingDir`, `Cmd`, …
    pub(crate) config: Value,
    /// How it came to be, for the image's history.
    pub(crate) history: &'a str,
}

impl Layout {
    pub(crate) fn create(folder: &Path, scratch: &Path) -> Outcome<Self> {
        let blobs = folder.join("blobs/sha256");
        fs::create_dir_all(&blobs).about(&blobs)?;
        Ok(Self {
            folder: folder.to_path_buf(),
            scratch: scratch.to_path_buf(),
            tags: Vec::new(),
        })
    }

    /// Adds a folder's files as a layer; they are root's.
    pub(crate) fn layer(&mut self, rootfs: &Rootfs) -> Outcome<Layer> {
        self.layer_with(rootfs, Owners::Root)
    }

    pub(crate) fn layer_with(&mut self, rootfs: &Rootfs, owners: Owners) -> Outcome<Layer> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&rootfs.folder).about(&rootfs.folder)? {
            names.push(entry.about(&rootfs.folder)?.file_name());
        }
        names.sort();
        let tar = self.scratch.join("layer.tar");
        let mut command = Command::new("tar");
        command
            .args(["--create", "--format=gnu", "--sort=name", "--numeric-owner"])
            .args(match owners {
                Owners::Root => &["--owner=0", "--group=0"][..],
                Owners::AsTheyAre => &[],
            })
            .arg(format!("--mtime=@{TIME}"))
            .arg("--file")
            .arg(&tar)
            .arg("--directory")
            .arg(&rootfs.folder)
            .args(names)
            .env("LC_ALL", "C");
        process::output(&mut command)?;
        let packed = self.scratch.join("layer.tar.gz");
        gzip(&tar, &packed)?;
        let (diff_id, _) = digest_of(&tar)?;
        let (digest, size) = digest_of(&packed)?;
        let blob = self.blob(&digest);
        fs::rename(&packed, &blob).about(&blob)?;
        fs::remove_file(&tar).about(&tar)?;
        Ok(Layer {
            digest,
            diff_id,
            size,
        })
    }

    /// Adds an image's configuration and manifest.
    pub(crate) fn image(&mut self, image: &Image<'_>) -> Outcome<Manifest> {
        let diff_ids: Vec<String> = image
            .layers
            .iter()
            .map(|layer| format!("sha256:{}", layer.diff_id))
            .collect();
        let history: Vec<Value> = image
            .layers
            .iter()
            .map(|_| json!({ "created": CREATED, "created_by": image.history }))
            .collect();
        let config = self.json(&json!({
            "created": CREATED,
            "architecture": image.architecture,
            "os": "linux",
            "config": image.config,
            "rootfs": { "type": "layers", "diff_ids": diff_ids },
            "history": history,
        }))?;
        let layers: Vec<Value> = image
            .layers
            .iter()
            .map(|layer| descriptor(LAYER_TYPE, &layer.digest, layer.size))
            .collect();
        let (digest, size) = self.json(&json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": descriptor(CONFIG_TYPE, &config.0, config.1),
            "layers": layers,
        }))?;
        let mut descriptor = descriptor(MANIFEST_TYPE, &digest, size);
        descriptor["platform"] = json!({ "architecture": image.architecture, "os": "linux" });
        Ok(Manifest(descriptor))
    }

    /// Names a manifest in the index.
    pub(crate) fn tag(&mut self, tag: &str, manifest: &Manifest) {
        let mut descriptor = manifest.0.clone();
        descriptor["annotations"] = json!({ "org.opencontainers.image.ref.name": tag });
        self.tags.push(descriptor);
    }

    /// Writes what makes the folder a layout.
    pub(crate) fn finish(self) -> Outcome<()> {
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": self.tags });
        for (name, value) in [
            ("index.json", index),
            ("oci-layout", json!({ "imageLayoutVersion": "1.0.0" })),
        ] {
            let path = self.folder.join(name);
            fs::write(&path, value.to_string()).about(&path)?;
        }
        Ok(())
    }

    fn json(&self, value: &Value) -> Outcome<(String, u64)> {
        let bytes = value.to_string().into_bytes();
        let digest = hex(&Sha256::digest(&bytes));
        let blob = self.blob(&digest);
        fs::write(&blob, &bytes).about(&blob)?;
        Ok((digest, bytes.len() as u64))
    }

    fn blob(&self, digest: &str) -> PathBuf {
        self.folder.join("blobs/sha256").join(digest)
    }
}

fn descriptor(media_type: &str, digest: &str, size: u64) -> Value {
    json!({ "mediaType": media_type, "digest": format!("sha256:{digest}"), "size": size })
}

/// gzip without name and time in its header.
fn gzip(from: &Path, to: &Path) -> Outcome<()> {
    let output = File::create(to).about(to)?;
    let status = Command::new("gzip")
        .args(["--no-name", "--stdout"])
        .arg(from)
        .stdout(Stdio::from(output))
        .status()
        .map_err(|error| Problem::new(format!("gzip cannot be started: {error}")))?;
    if status.success() {
        Ok(())
    } else {
        Err(Problem::new(format!("gzip failed on {}", from.display())))
    }
}

fn digest_of(path: &Path) -> Outcome<(String, u64)> {
    let mut file = io::BufReader::with_capacity(1 << 20, File::open(path).about(path)?);
    let mut hasher = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    let mut size = 0;
    loop {
        let count = file.read(&mut buffer).about(path)?;
        let Some(read) = buffer.get(..count).filter(|read| !read.is_empty()) else {
            break;
        };
        hasher.update(read);
        size += count as u64;
    }
    Ok((hex(&hasher.finalize()), size))
}

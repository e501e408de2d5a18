//! What a finished build tells those who asked for it: identifiers on standard output and in files.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};
use stagewright_core::digest::Digest;

use crate::cli::{Failure, replace_file};
use crate::request::finish::Built;
use crate::request::places;

impl Built {
    /// What `docker build` calls the image's id: the configuration's digest where there is one configuration.
    pub(super) fn id(&self) -> &Digest {
        self.config.as_ref().unwrap_or(&self.digest)
    }

    /// The same keys as `docker buildx build --metadata-file` writes.
    fn metadata(&self) -> Value {
        let mut metadata = Map::new();
        if let Some(config) = &self.config {
            metadata.insert("containerimage.config.digest".into(), json!(config));
        }
        let mut descriptor = Map::new();
        descriptor.insert("mediaType".into(), json!(self.media_type));
        descriptor.insert("digest".into(), json!(self.digest));
        // What is on another machine has its size there.
        if let Some(size) = self.size {
            descriptor.insert("size".into(), json!(size));
        }
        metadata.insert("containerimage.descriptor".into(), Value::Object(descriptor));
        metadata.insert("containerimage.digest".into(), json!(self.digest));
        if !self.names.is_empty() {
            let names: Vec<String> = self.names.iter().map(ToString::to_string).collect();
            metadata.insert("image.name".into(), json!(names.join(",")));
        }
        Value::Object(metadata)
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Files {
    /// Write the image's id, the digest of its configuration, to this file
    #[arg(long, value_name = "FILE")]
    iidfile: Option<PathBuf>,

    /// Write what the build gave to this file, as JSON: digests, descriptor, names
    #[arg(long, value_name = "FILE")]
    metadata_file: Option<PathBuf>,
}

impl Files {
    /// Removes what an earlier build wrote: a build that fails leaves no file that speaks of another image. Nothing is removed
    /// where one of them cannot be written, for then there is no build.
    pub(super) fn clear(&self) -> Result<(), Failure> {
        let paths = || [&self.iidfile, &self.metadata_file].into_iter().flatten();
        for path in paths() {
            places::file(path)?;
        }
        for path in paths() {
            // A device or a pipe speaks of nothing, and is not ours to remove.
            if std::fs::metadata(path).is_ok_and(|known| !known.is_file()) {
                continue;
            }
            match std::fs::remove_file(path) {
                Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                    return Err(Failure::new(
                        Failure::PLACE,
                        format!("cannot replace {}: {error}", path.display()),
                    )
                    .hint("name a file in a folder that you may write to"));
                }
                Ok(()) | Err(_) => {}
            }
        }
        Ok(())
    }

    /// Where no image was wanted, the metadata is empty and so is the id, as docker build has it.
    pub(super) fn write(&self, built: Option<&Built>) -> Result<(), Failure> {
        if let Some(path) = &self.iidfile {
            replace_file(path, built.map_or("", |built| built.id().as_str()))?;
        }
        if let Some(path) = &self.metadata_file {
            write_json(path, &built.map_or_else(|| json!({}), Built::metadata))?;
        }
        Ok(())
    }
}

fn write_json(path: &Path, value: &Value) -> Result<(), Failure> {
    replace_file(path, &crate::cli::report::json(value)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn built(config: Option<Digest>, names: &[&str]) -> Built {
        Built {
            digest: Digest::of(b"manifest"),
            media_type: "application/vnd.oci.image.manifest.v1+json",
            size: Some(7),
            config,
            names: names.iter().map(|name| name.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn files_have_id_and_metadata_of_this_build_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| Some(folder.path().join(name));
        let files = Files {
            iidfile: path("id"),
            metadata_file: path("metadata"),
        };
        files.clear().unwrap();
        let config = Digest::of(b"config");
        files
            .write(Some(&built(Some(config.clone()), &["a", "b.c/d:1"])))
            .unwrap();
        let text = |name: &str| std::fs::read_to_string(folder.path().join(name)).unwrap();
        assert_eq!(text("id"), config.to_string());
        let metadata: Value = serde_json::from_str(&text("metadata")).unwrap();
        assert_eq!(metadata["containerimage.config.digest"], config.as_str());
        assert_eq!(
            metadata["containerimage.digest"],
            Digest::of(b"manifest").as_str()
        );
        assert_eq!(metadata["containerimage.descriptor"]["size"], 7);
        assert_eq!(metadata["image.name"], "docker.io/library/a:latest,b.c/d:1");
        files.write(None).unwrap();
        assert_eq!((text("id"), text("metadata").trim()), (String::new(), "{}"));
        files.clear().unwrap();
        assert!(!folder.path().join("id").exists());
        assert!(!folder.path().join("metadata").exists());
    }

    #[test]
    fn image_for_several_platforms_goes_by_the_digest_of_its_index() {
        let built = built(None, &[]);
        assert_eq!(built.id(), &built.digest);
        let metadata = built.metadata();
        assert_eq!(metadata.get("containerimage.config.digest"), None);
        assert_eq!(metadata.get("image.name"), None);
    }
}

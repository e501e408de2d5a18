//! A registry of the distribution project's on this machine, to push to.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use stagewright_core::digest::Digest;

use crate::verify::entries;

pub(crate) struct Registry {
    child: Child,
    /// Address and port.
    pub(crate) host: String,
    storage: PathBuf,
}

impl Drop for Registry {
    fn drop(&mut self) {
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Registry {
    /// Starts it with its files in `folder`. `None`, and says so, where the machine has none.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        // The port may be taken between this and the start; then another is tried.
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let host = listener.local_addr().unwrap().to_string();
            drop(listener);
            let (config, storage) = (folder.join("registry.yml"), folder.join("registry"));
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: {host}}}\n",
                storage.display()
            );
            fs::write(&config, text).unwrap();
            let started = Command::new("docker-registry")
                .arg("serve")
                .arg(&config)
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn();
            let Ok(child) = started else {
                println!("no pushes are killed: this machine has no docker-registry");
                return None;
            };
            let mut registry = Self { child, host, storage };
            for _ in 0..100 {
                if TcpStream::connect(&registry.host).is_ok() {
                    return Some(registry);
                }
                if registry.child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
        panic!("docker-registry is there but does not start");
    }

    /// The digest that the tag `latest` of `repository` points to, with everything below it there and whole.
    pub(crate) fn latest(&self, repository: &str) -> String {
        let root = self.storage.join("docker/registry/v2");
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
    pub(crate) fn torn_uploads(&self, repository: &str) -> usize {
        let uploads = format!("docker/registry/v2/repositories/{repository}/_uploads");
        entries(&self.storage.join(uploads)).len()
    }
}

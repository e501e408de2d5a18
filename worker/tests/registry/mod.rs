//! The distribution project's registry on this machine, for tests of several kinds.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A registry that runs, and ends with this.
pub(crate) struct Registry {
    child: Child,
    /// Address and port.
    pub(crate) host: String,
    /// The folder with what it holds.
    pub(crate) storage: PathBuf,
}

impl Drop for Registry {
    fn drop(&mut self) {
        // It may be gone already.
        _ = self.child.kill();
        _ = self.child.wait();
    }
}

impl Registry {
    /// Starts it with its files in `folder`. `None`, and says so, where the machine has none.
    pub(crate) fn start(folder: &Path) -> Option<Self> {
        Self::start_with(folder, "", "")
    }

    /// The same, with `http` added to the settings of that name, and with further `settings`.
    pub(crate) fn start_with(folder: &Path, http: &str, settings: &str) -> Option<Self> {
        // The port may be taken between this and the start; then another is tried.
        for _ in 0..5 {
            let listener = TcpListener::bind("127.0.0.1:0").unwrap();
            let host = listener.local_addr().unwrap().to_string();
            drop(listener);
            let (config, storage) = (folder.join("registry.yml"), folder.join("registry"));
            let text = format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"{host}\"{http}}}\n{settings}\n",
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
                println!("skipped: this machine has no docker-registry");
                return None;
            };
            let mut registry = Self { child, host, storage };
            for _ in 0..200 {
                if TcpStream::connect(&registry.host).is_ok() {
                    return Some(registry);
                }
                if registry.child.try_wait().unwrap().is_some() {
                    break;
                }
                std::thread::sleep(Duration::from_millis(25));
            }
        }
        panic!("docker-registry is there but does not start");
    }
}

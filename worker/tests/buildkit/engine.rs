//! Docker's engine, in namespaces of its own: of processes, so that nothing is left of it when it ends; of mounts; and of
//! networks, in which there is nothing but a registry with the images.

use std::fs;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, Weak};
use std::time::{Duration, Instant};

use stagewright::config::{Config, LayoutImage, SubstituteSource};

use crate::registry::Registry;

/// How long it may take to start.
const PATIENCE: Duration = Duration::from_mins(2);

/// An engine that runs, and ends with this.
pub(crate) struct Engine {
    child: Child,
    folder: tempfile::TempDir,
    /// The configuration of a worker that knows the same images.
    pub(crate) config: PathBuf,
}

impl Engine {
    /// The engine that all tests of this process share. `None`, having said why, where there is none.
    pub(crate) fn shared() -> Option<Arc<Self>> {
        static SHARED: Mutex<Option<Result<Weak<Engine>, String>>> = Mutex::new(None);
        let mut shared = SHARED.lock().unwrap();
        let reason = match &*shared {
            Some(Ok(running)) => match running.upgrade() {
                Some(running) => return Some(running),
                None => None,
            },
            Some(Err(reason)) => Some(reason.clone()),
            None => None,
        };
        let started = reason.map_or_else(Self::start, Err);
        match started {
            Ok(engine) => {
                let engine = Arc::new(engine);
                *shared = Some(Ok(Arc::downgrade(&engine)));
                Some(engine)
            }
            Err(reason) => {
                println!("skipped: {reason}");
                *shared = Some(Err(reason));
                None
            }
        }
    }

    /// What a worker is told for it.
    pub(crate) fn backend(&self) -> String {
        format!("buildkit=docker://{}", self.socket().display())
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("engine.sock")
    }

    fn start() -> Result<Self, String> {
        let Some(config) = std::env::var_os("STAGEWRIGHT_TEST_CONFIG").map(PathBuf::from) else {
            return Err("STAGEWRIGHT_TEST_CONFIG names no configuration with images".to_owned());
        };
        if !rustix::process::geteuid().is_root() {
            return Err("only root can start Docker's engine".to_owned());
        }
        if !there("dockerd") {
            return Err("this machine has no dockerd".to_owned());
        }
        // Paths of sockets may not be long, and the engine makes some of its own.
        let folder = tempfile::Builder::new().prefix("sw-").tempdir_in("/tmp").unwrap();
        let place = folder.path();
        {
            let registry = Registry::start(place).ok_or("this machine has no docker-registry")?;
            fill(&registry, &config)?;
        }
        fs::write(
            place.join("mirror.yml"),
            format!(
                "version: 0.1\nlog: {{level: error}}\nstorage: {{filesystem: {{rootdirectory: {}}}}}\nhttp: {{addr: \"127.0.0.1:5000\"}}\n",
                place.join("registry").display()
            ),
        )
        .unwrap();
        // A machine's own settings are not for this engine.
        fs::write(place.join("engine.json"), "{}").unwrap();
        let script = "busybox ip link set lo up && docker-registry serve mirror.yml & \
                      exec dockerd --host unix://$PWD/engine.sock --data-root $PWD/data --exec-root $PWD/run \
                      --pidfile $PWD/engine.pid --config-file $PWD/engine.json --registry-mirror http://127.0.0.1:5000 \
                      --iptables=false --ip6tables=false --ip-forward=false --ip-masq=false";
        let log = fs::File::create(place.join("log")).unwrap();
        let child = Command::new("unshare")
            .args([
                "--mount",
                "--net",
                "--pid",
                "--fork",
                "--kill-child",
                "--mount-proc",
            ])
            .args(["sh", "-c", script])
            .current_dir(place)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log)
            .spawn()
            .map_err(|error| format!("unshare cannot be started: {error}"))?;
        let mut engine = Self {
            child,
            folder,
            config,
        };
        let since = Instant::now();
        while UnixStream::connect(engine.socket()).is_err() {
            let ended = engine.child.try_wait().unwrap();
            if ended.is_some() || since.elapsed() > PATIENCE {
                let log = fs::read_to_string(engine.folder.path().join("log")).unwrap_or_default();
                let end: Vec<&str> = log.lines().rev().take(3).collect();
                return Err(format!("dockerd does not start here: {}", end.join(" | ")));
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        Ok(engine)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        // With its first process all others of its namespace end, and with them their mounts.
        _ = self.child.kill();
        _ = self.child.wait();
        // The kernel takes a moment to let go of the last of them.
        for _ in 0..100 {
            if fs::remove_dir_all(self.folder.path()).is_ok() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Brings the images that the configuration has in layouts to a registry, under their names.
fn fill(registry: &Registry, config: &Path) -> Result<(), String> {
    if !there("skopeo") {
        return Err("this machine has no skopeo".to_owned());
    }
    for substitute in Config::load(config).unwrap().substitutes {
        let SubstituteSource::Layout {
            path,
            image: LayoutImage::Name(tag),
        } = substitute.from
        else {
            continue;
        };
        let name = substitute.image.to_string();
        let name = name.strip_prefix("docker.io/").unwrap();
        let copied = Command::new("skopeo")
            .args(["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:{tag}", path.display()))
            .arg(format!("docker://{}/{name}", registry.host))
            .output()
            .unwrap();
        assert!(
            copied.status.success(),
            "{}",
            String::from_utf8_lossy(&copied.stderr)
        );
    }
    Ok(())
}

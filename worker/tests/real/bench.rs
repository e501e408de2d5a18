//! A place to build at from the command line, on the images that stand in for real ones.

use std::path::PathBuf;
use std::process::Command;

/// A folder to build in, with a Dockerfile.
pub(crate) struct Bench(tempfile::TempDir);

impl Bench {
    pub(crate) fn new(dockerfile: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("context")).unwrap();
        std::fs::write(folder.path().join("context/Dockerfile"), dockerfile).unwrap();
        Self(folder)
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Builds with a state folder of that name. Gives what was printed and said; `None`, and says so, where nothing
    /// is built here.
    pub(crate) fn build(&self, state: &str, flags: &[&str]) -> Option<(i32, String, String)> {
        let Some(config) = std::env::var_os("STAGEWRIGHT_TEST_CONFIG") else {
            println!("skipped: STAGEWRIGHT_TEST_CONFIG names no configuration with images");
            return None;
        };
        let ended = Command::new(env!("CARGO_BIN_EXE_stagewright"))
            .current_dir(self.0.path())
            .args(["build", "--state"])
            .arg(self.path(state))
            .arg("--config")
            .arg(config)
            .args(flags)
            .arg("context")
            .output()
            .unwrap();
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        let said = text(ended.stderr);
        if said.contains("cannot run builds") {
            println!("skipped: {said}");
            return None;
        }
        Some((ended.status.code().unwrap(), text(ended.stdout), said))
    }
}

//! `stagewright build`, as people run it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::engine::Engine;
use crate::image::Built;

const PROGRAM: &str = env!("CARGO_BIN_EXE_stagewright");

/// A worker's place: its state, and who builds for it.
pub(crate) struct Place {
    folder: tempfile::TempDir,
    config: PathBuf,
    backend: String,
}

/// A build as it went.
pub(crate) struct Run {
    pub(crate) success: bool,
    /// Vertices by digest, as they were told last.
    pub(crate) steps: BTreeMap<String, Value>,
    pub(crate) logs: String,
    pub(crate) said: String,
    archive: PathBuf,
}

impl Place {
    pub(crate) fn of(engine: &Engine, backend: &str) -> Self {
        Self {
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            config: engine.config.clone(),
            backend: backend.to_owned(),
        }
    }

    /// The command, which writes an archive where [`Place::read`] finds it.
    pub(crate) fn command(&self, context: &Path, flags: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command
            .args([
                "build",
                "--progress",
                "rawjson",
                "--backend",
                &self.backend,
                "--config",
            ])
            .arg(&self.config)
            .arg("--state")
            .arg(self.folder.path().join("state"))
            .arg("--output")
            .arg(format!("type=oci,dest={}", self.archive().display()))
            .args(flags)
            .arg(context)
            .env_remove("SOURCE_DATE_EPOCH")
            .env_remove("STAGEWRIGHT_BACKEND")
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn archive(&self) -> PathBuf {
        self.folder.path().join("image.tar")
    }

    /// A path that no other test uses.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn build(&self, context: &Path, flags: &[&str]) -> Run {
        _ = std::fs::remove_file(self.archive());
        let ended = self.command(context, flags).output().unwrap();
        let said = String::from_utf8_lossy(&ended.stderr).into_owned();
        let (mut steps, mut logs) = (BTreeMap::new(), String::new());
        for line in said.lines() {
            let Ok(status) = serde_json::from_str::<Value>(line) else {
                continue;
            };
            for vertex in status["vertexes"].as_array().into_iter().flatten() {
                steps.insert(vertex["digest"].as_str().unwrap().to_owned(), vertex.clone());
            }
            for log in status["logs"].as_array().into_iter().flatten() {
                use base64::Engine as _;
                let data = base64::engine::general_purpose::STANDARD
                    .decode(log["data"].as_str().unwrap())
                    .unwrap();
                logs.push_str(&String::from_utf8_lossy(&data));
            }
        }
        Run {
            success: ended.status.success(),
            steps,
            logs,
            said,
            archive: self.archive(),
        }
    }
}

impl Run {
    pub(crate) fn image(&self) -> Built {
        assert!(self.success, "{}", self.said);
        Built::from_archive(&self.archive)
    }

    /// The digests that were told of steps of the plan: those of names that a plan gives.
    pub(crate) fn digests(&self) -> BTreeSet<&String> {
        let of_plan = |name: &str| !name.starts_with("exporting") && !name.starts_with("building in");
        let steps = self
            .steps
            .iter()
            .filter(|(_, step)| of_plan(step["name"].as_str().unwrap()));
        steps.map(|(digest, _)| digest).collect()
    }
}

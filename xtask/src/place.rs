//! Where things are: the workspace, its target folder, and what is installed under it.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use crate::problem::{Outcome, Problem};

/// The folders everything is made in.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    /// The workspace.
    pub(crate) root: PathBuf,
    /// Cargo's target folder; `CARGO_TARGET_DIR` where it is set.
    pub(crate) target: PathBuf,
}

impl Place {
    pub(crate) fn find() -> Outcome<Self> {
        let here = Path::new(env!("CARGO_MANIFEST_DIR"));
        let root = here
            .parent()
            .filter(|root| root.join("Cargo.toml").exists())
            .ok_or_else(|| {
                Problem::new(format!(
                    "{} has moved: run `cargo xtask` again from the clone",
                    here.display()
                ))
            })?;
        let target = match env::var_os("CARGO_TARGET_DIR").filter(|set| !set.is_empty()) {
            Some(set) => env::current_dir()
                .map(|here| here.join(set))
                .map_err(|error| Problem::new(error.to_string()))?,
            None => root.join("target"),
        };
        Ok(Self {
            root: root.to_path_buf(),
            target,
        })
    }

    /// Programs that were installed for this workspace alone.
    pub(crate) fn tools(&self) -> PathBuf {
        self.target.join("tools")
    }

    /// Stand-in images and the worker's configuration that names them.
    pub(crate) fn images(&self) -> PathBuf {
        self.target.join("images")
    }

    /// The image with a whole Debian root file system, and the worker's configuration that names it.
    pub(crate) fn debian(&self) -> PathBuf {
        self.target.join("debian")
    }

    /// What long commands printed.
    pub(crate) fn logs(&self) -> PathBuf {
        self.target.join("logs")
    }

    /// The same with the folder of one more program before it.
    pub(crate) fn path_with(&self, program: &Path) -> OsString {
        let path = self.path();
        let folder = program.parent().map(Path::to_path_buf);
        env::join_paths(folder.into_iter().chain(env::split_paths(&path))).unwrap_or(path)
    }

    /// `PATH` with the tools of this workspace first.
    pub(crate) fn path(&self) -> OsString {
        let inherited = env::var_os("PATH").unwrap_or_default();
        let ours = [
            self.tools().join("bin"),
            self.tools().join("npm/node_modules/.bin"),
        ];
        env::join_paths(ours.into_iter().chain(env::split_paths(&inherited))).unwrap_or(inherited)
    }
}

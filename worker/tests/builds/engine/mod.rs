//! Who builds: our worker, or the reference where it is asked for.

mod buildctl;
mod own;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Condvar, Mutex};

use libtest_mimic::Failed;

use crate::case::Case;
use crate::image::{self, Built};
use crate::user::{Machine, Ordinary};

/// What is known before the first build.
pub(crate) struct Engine {
    program: Program,
    /// The layout with the stand-ins.
    layout: PathBuf,
    base: Built,
}

enum Program {
    Own,
    Buildctl,
}

/// The tag that `cargo xtask images` gives the stand-in for `alpine:latest`.
const BASE: &str = "alpine-latest";

impl Engine {
    /// Who is to build; else why nobody can.
    pub(crate) fn found() -> Result<Self, String> {
        let Some(config) = std::env::var_os("STAGEWRIGHT_TEST_CONFIG") else {
            return Err("STAGEWRIGHT_TEST_CONFIG names no configuration with images".to_owned());
        };
        let layout = Path::new(&config).parent().unwrap().join("layout");
        if !layout.is_dir() {
            return Err(format!("there are no images in {}", layout.display()));
        }
        let program = match std::env::var("STAGEWRIGHT_BUILDS_BY").as_deref() {
            Err(_) => {
                let state = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
                own::can_build(
                    Command::new(own::PROGRAM)
                        .arg("doctor")
                        .arg("--state")
                        .arg(state.path()),
                )?;
                Program::Own
            }
            Ok("buildctl") => Program::Buildctl,
            Ok(other) => panic!("STAGEWRIGHT_BUILDS_BY={other} is not known; buildctl is"),
        };
        let layout = layout.canonicalize().unwrap();
        let base = Built::from_layout(&layout, BASE);
        Ok(Self {
            program,
            layout,
            base,
        })
    }

    pub(crate) fn is_reference(&self) -> bool {
        matches!(self.program, Program::Buildctl)
    }

    /// Whether the reference runs the steps, though it is our program that has them run.
    pub(crate) fn is_backed() -> bool {
        std::env::var_os("STAGEWRIGHT_BACKEND").is_some()
    }

    /// `alpine:latest`.
    pub(crate) fn base(&self) -> &Built {
        &self.base
    }
}

/// As many places to build at as builds run at a time, since a state folder is one worker's.
pub(crate) struct Lanes {
    engine: Arc<Engine>,
    free: Mutex<Vec<tempfile::TempDir>>,
    returned: Condvar,
    /// Who builds, where it is not whoever runs the tests.
    user: Option<Ordinary>,
}

/// How to build.
#[derive(Clone, Copy)]
pub(crate) enum Way {
    AsUsual,
    /// Anew, and so that nothing in the image depends on when that was.
    Reproducibly,
}

/// How a build ended.
pub(crate) enum Outcome {
    Image(Built),
    /// With what was said about it.
    Failed(String),
}

/// A place to build at, one case after the other.
pub(crate) struct Lane<'l> {
    lanes: &'l Lanes,
    state: Option<tempfile::TempDir>,
}

impl Lanes {
    pub(crate) fn new(engine: &Arc<Engine>, count: usize) -> Self {
        Self::of(engine, count, None)
    }

    /// Lanes of an ordinary user; else why there are none.
    pub(crate) fn of_user(engine: &Arc<Engine>, count: usize) -> Result<Self, String> {
        let places = [own::PROGRAM, env!("CARGO_TARGET_TMPDIR")].map(Path::new);
        let user = Ordinary::new(&[places[0], places[1], &engine.layout])?;
        own::can_build(user.command(Machine::Whole, places[0]).arg("doctor"))?;
        Ok(Self::of(engine, count, Some(user)))
    }

    fn of(engine: &Arc<Engine>, count: usize, user: Option<Ordinary>) -> Self {
        let folder = || tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        Self {
            engine: Arc::clone(engine),
            free: Mutex::new((0..count).map(|_| folder()).collect()),
            returned: Condvar::new(),
            user,
        }
    }

    pub(crate) fn take(&self) -> Lane<'_> {
        let mut free = self.free.lock().unwrap();
        loop {
            if let Some(state) = free.pop() {
                return Lane {
                    lanes: self,
                    state: Some(state),
                };
            }
            free = self.returned.wait(free).unwrap();
        }
    }
}

impl Lane<'_> {
    pub(crate) fn engine(&self) -> &Engine {
        &self.lanes.engine
    }

    /// Builds. What went wrong outside the build itself is an error.
    pub(crate) fn build(&self, case: &Case, way: Way) -> Result<Outcome, Failed> {
        let work = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        case.write(work.path());
        let output = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let mut images = vec![Base {
            name: "alpine".to_owned(),
            layout: self.engine().layout.clone(),
            tag: BASE.to_owned(),
        }];
        for (number, (name, made)) in case.images.iter().enumerate() {
            let layout = output.path().join(format!("image-{number}"));
            image::write(made, &layout);
            images.push(Base {
                name: name.clone(),
                layout,
                tag: "latest".to_owned(),
            });
        }
        let job = Job {
            folder: work.path(),
            case,
            images: &images,
            scratch: output.path(),
            output: &output.path().join("image.tar"),
            way,
        };
        let failure = match self.engine().program {
            Program::Own => {
                let state = self.state.as_ref().unwrap().path();
                own::build(&job, state, self.lanes.user.as_ref())?
            }
            Program::Buildctl => buildctl::build(&job)?,
        };
        Ok(match failure {
            None => Outcome::Image(Built::from_archive(job.output)),
            Some(said) => Outcome::Failed(said),
        })
    }
}

impl Drop for Lane<'_> {
    fn drop(&mut self) {
        self.lanes.free.lock().unwrap().extend(self.state.take());
        self.lanes.returned.notify_one();
    }
}

/// An image that a Dockerfile can name.
struct Base {
    name: String,
    layout: PathBuf,
    tag: String,
}

/// One build.
struct Job<'j> {
    /// Holds the Dockerfile and the folder `context`; flags name files by their paths from here.
    folder: &'j Path,
    case: &'j Case,
    images: &'j [Base],
    /// For what else is needed.
    scratch: &'j Path,
    /// Where the image goes, as an archive of an OCI layout.
    output: &'j Path,
    way: Way,
}

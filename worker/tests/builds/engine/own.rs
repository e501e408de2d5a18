//! Builds by our own program, a process for each.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use libtest_mimic::Failed;

use rustix::fs::{Gid, Uid};

use super::{Job, Way};
use crate::user::{ID, Machine, Ordinary, give};

/// The exit code of a build that failed, or of a Dockerfile with errors.
const FAILED: i32 = 1;

pub(super) const PROGRAM: &str = env!("CARGO_BIN_EXE_stagewright");

/// Why builds do not run here, where they do not.
pub(super) fn can_build(doctor: &mut Command) -> Result<(), String> {
    let said = doctor.output().unwrap();
    if said.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&said.stdout).replace('\n', " ");
    Err(format!("this machine cannot run builds: {said}"))
}

/// Builds; gives what was said where that fails.
pub(super) fn build(job: &Job<'_>, state: &Path, user: Option<&Ordinary>) -> Result<Option<String>, Failed> {
    let mut config = String::new();
    for image in job.images {
        writeln!(
            config,
            "[[substitute]]\nimage = \"docker.io/library/{}:latest\"\nfrom = \"oci-layout://{}:{}\"\n",
            image.name,
            image.layout.display(),
            image.tag
        )
        .unwrap();
    }
    lend(job)?;
    let config_file = job.scratch.join("stagewright.toml");
    std::fs::write(&config_file, config).unwrap();
    let mut command = match user {
        None => Command::new(PROGRAM),
        Some(user) => {
            give(job.folder);
            give(job.scratch);
            rustix::fs::chown(state, Some(Uid::from_raw(ID)), Some(Gid::from_raw(ID))).unwrap();
            user.command(Machine::Whole, Path::new(PROGRAM))
        }
    };
    command
        .current_dir(job.folder)
        .args(["build", "--file", "Dockerfile"])
        .arg("--state")
        .arg(state)
        .arg("--config")
        .arg(config_file)
        // The machine's own would be taken for the case's.
        .env_remove("SOURCE_DATE_EPOCH");
    let mut output = format!("type=oci,dest={}", job.output.display());
    if let Way::Reproducibly = job.way {
        output.push_str(",rewrite-timestamp=true");
        command.args(["--no-cache", "--build-arg", "SOURCE_DATE_EPOCH=1700000000"]);
    }
    command.arg("--output").arg(output);
    for flag in &job.case.flags {
        command.arg(&flag.name).args(&flag.value);
    }
    let ended = command.arg("context").output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    match ended.status.code() {
        Some(0) => Ok(None),
        Some(FAILED) => Ok(Some(said)),
        code => Err(format!("ended with {code:?}:\n{said}").into()),
    }
}

/// Where another builds for our program (`STAGEWRIGHT_BACKEND`), brings the images to the registry that it takes for a mirror.
fn lend(job: &Job<'_>) -> Result<(), Failed> {
    let Ok(mirror) = std::env::var("STAGEWRIGHT_TEST_MIRROR") else {
        return Ok(());
    };
    for image in job.images {
        let copied = Command::new("skopeo")
            .args(["copy", "--quiet", "--preserve-digests", "--dest-tls-verify=false"])
            .arg(format!("oci:{}:{}", image.layout.display(), image.tag))
            .arg(format!("docker://{mirror}/library/{}:latest", image.name))
            .output()?;
        if !copied.status.success() {
            return Err(String::from_utf8_lossy(&copied.stderr).into_owned().into());
        }
    }
    Ok(())
}

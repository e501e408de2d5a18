//! Builds by `BuildKit`, through whatever `buildctl` is on the `PATH`.

use std::process::Command;

use libtest_mimic::Failed;

use super::Job;
use crate::case::Flag;
use crate::image;

/// Builds; gives what was said where that fails.
pub(super) fn build(job: &Job<'_>) -> Result<Option<String>, Failed> {
    let mut command = Command::new("buildctl");
    command
        .current_dir(job.folder)
        .args(["build", "--progress", "plain", "--frontend", "dockerfile.v0"])
        .args(["--local", "context=context", "--local", "dockerfile=."])
        .args(["--opt", "filename=Dockerfile"])
        // Else files come with the times of an earlier run.
        .arg("--no-cache")
        .args(["--allow", "network.host", "--allow", "security.insecure"])
        .arg("--output")
        .arg(format!("type=oci,dest={}", job.output.display()));
    for image in job.images {
        let digest = image::digest_of(&image.layout, &image.tag);
        command
            .arg("--oci-layout")
            .arg(format!("{}={}", image.name, image.layout.display()))
            .arg("--opt")
            .arg(format!("context:{0}=oci-layout://{0}@{digest}", image.name));
    }
    for flag in &job.case.flags {
        command.args(translated(flag));
    }
    let ended = command
        .output()
        .map_err(|error| format!("buildctl cannot be started: {error}"))?;
    if ended.status.success() {
        return Ok(None);
    }
    let said = String::from_utf8_lossy(&ended.stderr).into_owned();
    // Else a daemon that is not there would be taken for builds that fail.
    if said.contains("failed to solve") {
        return Ok(Some(said));
    }
    Err(format!("buildctl ended with {:?}:\n{said}", ended.status.code()).into())
}

/// A flag of `docker build` in buildctl's words.
fn translated(flag: &Flag) -> Vec<String> {
    let option = |option: String| vec!["--opt".to_owned(), option];
    let value = flag.value.as_deref().unwrap_or_default();
    match flag.name.as_str() {
        "--target" => option(format!("target={value}")),
        "--platform" => option(format!("platform={value}")),
        "--build-arg" => option(format!("build-arg:{value}")),
        "--label" => option(format!("label:{value}")),
        "--add-host" => option(format!("add-hosts={}", value.replacen(':', "=", 1))),
        "--network" => option(format!("force-network-mode={value}")),
        "--shm-size" => option(format!("shm-size={value}")),
        "--ulimit" => option(format!("ulimit={value}")),
        "--no-cache-filter" => option(format!("no-cache={value}")),
        // Is given above already.
        "--no-cache" | "--allow" => Vec::new(),
        "--secret" | "--ssh" => vec![flag.name.clone(), value.to_owned()],
        "--build-context" => {
            let (name, place) = value.split_once('=').unwrap();
            if place.contains("://") {
                return option(format!("context:{name}={place}"));
            }
            let mut words = option(format!("context:{name}=local:{name}"));
            words.extend(["--local".to_owned(), format!("{name}={place}")]);
            words
        }
        other => panic!("what buildctl calls {other} is not known here"),
    }
}

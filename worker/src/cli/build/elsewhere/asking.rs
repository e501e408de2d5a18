//! What the flags say, as the fields of a request.

use stagewright_core::analysis::Options;
use stagewright_core::llb::Ulimit;

use super::super::Arguments;
use super::super::written::texts;
use crate::cli::{Failure, named, steps};
use crate::request::BuildRequest;
use crate::request::output::{Kind, elsewhere};
use crate::source::secret::SecretError;

/// Refuses what only a build on this machine can have.
pub(super) fn refuse(arguments: &Arguments) -> Result<(), Failure> {
    let refusals = [
        (
            !arguments.secrets.agents()?.is_empty(),
            "--ssh",
            "an SSH agent stays on this machine",
            "give a key as --secret, or build here",
        ),
        (
            arguments.limits.any(),
            "--memory, --cpus, --pids-limit and --step-timeout",
            "what a step may use up is its owner's to say there",
            "leave them out",
        ),
        (
            arguments.backend.names_one(),
            "--backend",
            "who carries builds out there is its owner's to say",
            "leave one of --remote and --backend out",
        ),
        (
            arguments.local_images,
            "--local-images",
            "images that have a name here are not there",
            "push them to a registry, or build here",
        ),
        (
            arguments
                .output
                .iter()
                .any(|output| matches!(output.kind, Kind::Layout(_))),
            "--output type=oci,tar=false",
            "the image comes from there as one file",
            "leave tar=false out",
        ),
    ];
    match refusals.into_iter().find(|(asked, ..)| *asked) {
        Some((_, flag, why, next)) => Err(Failure::new(
            Failure::USAGE,
            format!("{flag} cannot be had from a worker elsewhere: {why}"),
        )
        .hint(next)),
        None => Ok(()),
    }
}

/// Refuses images that a build would bring along in files.
pub(super) fn refuse_lent(contexts: &named::Contexts) -> Result<(), Failure> {
    if contexts.layouts.is_empty() && contexts.archives.is_empty() {
        return Ok(());
    }
    Err(Failure::new(
        Failure::USAGE,
        "images in files of this machine cannot be given to a worker elsewhere",
    )
    .hint("push them to a registry, and write --build-context NAME=docker-image://IMAGE"))
}

/// All that is asked for but its contexts and its Dockerfile.
pub(super) fn request(arguments: &Arguments, options: &Options) -> Result<BuildRequest, Failure> {
    let texts_of = |values: &[_]| values.iter().map(ToString::to_string).collect();
    let pairs = |(name, value): (&String, &String)| format!("{name}={value}");
    Ok(BuildRequest {
        target: options.target.clone(),
        tags: texts_of(&arguments.tag),
        build_args: options.build_args.iter().map(pairs).collect(),
        labels: arguments.label.clone(),
        annotations: texts(&arguments.annotation),
        platforms: arguments
            .dockerfile
            .platforms()
            .iter()
            .map(ToString::to_string)
            .collect(),
        outputs: arguments
            .output
            .iter()
            .filter_map(|output| elsewhere(&output.text, &output.kind))
            .collect(),
        push: arguments.push.then_some(true),
        no_cache: arguments.no_cache.then_some(true),
        no_cache_filters: arguments.no_cache_filter.clone(),
        cache_from: texts(&arguments.cache_from),
        cache_to: texts(&arguments.cache_to),
        secrets: secrets(arguments)?,
        network: match arguments.steps.network {
            steps::Network::Default => None,
            steps::Network::None => Some("none".to_owned()),
            steps::Network::Host => Some("host".to_owned()),
        },
        add_hosts: arguments
            .steps
            .add_host
            .iter()
            .map(|host| format!("{}={}", host.host, host.ip))
            .collect(),
        ulimit: arguments.steps.ulimit.iter().map(ulimit).collect(),
        shm_size: (options.run.shm_size > 0).then(|| options.run.shm_size.to_string()),
        allow: arguments.allow.iter().map(ToString::to_string).collect(),
        provenance: arguments.attest.asked().map(|asked| {
            let mode = if asked.full { "max" } else { "min" };
            let builder = asked.builder.map(|builder| format!(",builder-id={builder}"));
            let reproducible = if asked.reproducible {
                ",reproducible=true"
            } else {
                ""
            };
            format!("mode={mode}{}{reproducible}", builder.unwrap_or_default())
        }),
        ..BuildRequest::default()
    })
}

fn ulimit(limit: &Ulimit) -> String {
    format!("{}={}:{}", limit.name, limit.soft, limit.hard)
}

/// The secrets with their values, which travel with the request and are kept nowhere.
fn secrets(arguments: &Arguments) -> Result<Vec<String>, Failure> {
    let secrets = arguments.secrets.secrets()?;
    let broken = |error: SecretError| Failure::new(Failure::USAGE, error.to_string());
    let mut given = Vec::new();
    for id in secrets.ids() {
        let Some(value) = secrets.get(id).map_err(broken)? else {
            continue;
        };
        let Ok(text) = std::str::from_utf8(value.reveal()) else {
            return Err(Failure::new(
                Failure::USAGE,
                format!("the secret {id:?} is no text, and a worker elsewhere takes texts"),
            )
            .hint("encode it, such as in base64, and decode it in the step"));
        };
        given.push(format!("{id}={text}"));
    }
    Ok(given)
}

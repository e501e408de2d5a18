//! Why a build failed, from what the daemon says of it.

use bollard_buildkit_proto::google::rpc;
use prost::Message as _;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::BuildFailure;
use tonic::{Code, Status};

use super::address::Address;
use super::connection;
use super::status::Translation;
use crate::backend::graph::Graph;

/// What a step's end is told with.
const EXIT_CODE: &str = "exit code: ";

/// The failure that the daemon's answer stands for.
pub(super) fn of(status: &Status, told: &Translation, graph: &Graph, address: &Address) -> BuildFailure {
    let vertex = at_fault(status, told);
    // What the daemon answers has nothing behind it; what became of the connection has.
    let broken = std::error::Error::source(status).is_some();
    let gone = broken || (vertex.is_none() && matches!(status.code(), Code::Unavailable | Code::Cancelled));
    if gone {
        return BuildFailure {
            message: format!(
                "the BuildKit at {address} is gone: {}. See whether it runs, and build again: it keeps the steps that \
                 were finished",
                connection::told(status)
            ),
            vertex: None,
            exit_code: None,
        };
    }
    let message = status.message().to_owned();
    let name = graph
        .vertices
        .iter()
        .find(|step| Some(&step.digest) == vertex.as_ref())
        .map(|step| step.name.as_str());
    let exit_code = vertex.as_ref().and_then(|_| exit_code(&message));
    let message = match name {
        Some(name) => format!("{name}: {}", explained(&message)),
        None => explained(&message),
    };
    BuildFailure {
        message,
        vertex,
        exit_code,
    }
}

/// The step at fault: the one that the answer names, else the first that was told to have failed.
fn at_fault(status: &Status, told: &Translation) -> Option<Digest> {
    let details = rpc::Status::decode(status.details())
        .map(|status| status.details)
        .unwrap_or_default();
    let named = details.iter().find_map(|detail| {
        if !detail.type_url.ends_with("errdefs.Vertex+json") {
            return None;
        }
        let vertex: serde_json::Value = serde_json::from_slice(&detail.value).ok()?;
        let digest = vertex["digest"].as_str().or_else(|| vertex["Digest"].as_str())?;
        told.step(digest).cloned()
    });
    named.or_else(|| told.failed().map(|(step, _)| step.clone()))
}

fn exit_code(message: &str) -> Option<i32> {
    let (_, behind) = message.rsplit_once(EXIT_CODE)?;
    let digits = behind
        .split(|character: char| !character.is_ascii_digit())
        .next()?;
    digits.parse().ok()
}

/// The daemon's words, with what to do where they do not say.
fn explained(message: &str) -> String {
    let hint = if message.contains("unknown API capability") || message.contains("unknown cap") {
        "this BuildKit is too old for what the plan asks of it: use a newer one, or leave that out"
    } else if message.contains("exporter") && message.contains("could not be found") {
        "this BuildKit cannot hand its result over: if it is the one in Docker's engine, name it as docker://"
    } else if message.contains("is not allowed") && message.contains("entitlement")
        || message.contains("not enabled") && message.contains("entitlement")
    {
        "the daemon's owner has to allow it: start buildkitd with --allow-insecure-entitlement"
    } else {
        return message.to_owned();
    };
    format!("{message} ({hint})")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_codes_are_read_from_the_end() {
        let message =
            "process \"/bin/sh -c echo exit code: 3; exit 7\" did not complete successfully: exit code: 7";
        assert_eq!(exit_code(message), Some(7));
        assert_eq!(exit_code("exit code: x"), None);
        assert_eq!(exit_code("killed"), None);
    }
}

//! What a build may ask for. Definitions come from clients and are trusted in nothing.

use std::collections::{BTreeMap, BTreeSet};

use stagewright_core::digest::Digest;
use stagewright_core::llb::{ExecOp, NetMode, OpKind, SecurityMode};
use stagewright_core::protocol::StartBuild;

use super::{BuildLimits, StartError};
use crate::backend::graph::Graph;
use crate::config::Entitlement;
use crate::source::local::Contexts;

/// Reads a request's definition and checks that everything it asks for is allowed and there.
pub(super) fn graph(
    request: &mut StartBuild,
    contexts: &Contexts,
    limits: &BuildLimits,
    given: &BTreeSet<Entitlement>,
) -> Result<Graph, StartError> {
    if request.ops.len() > limits.ops {
        let (count, limit) = (request.ops.len(), limits.ops);
        return Err(StartError::Limit(format!(
            "the plan has {count} operations; this worker takes {limit}"
        )));
    }
    let bytes: usize = request.ops.iter().map(|op| op.bytes.len() + op.name.len()).sum();
    if bytes > limits.definition_bytes {
        let limit = limits.definition_bytes;
        return Err(StartError::Limit(format!(
            "the plan has {bytes} bytes; this worker takes {limit}"
        )));
    }
    if request.title.chars().count() > 200 || request.title.chars().any(char::is_control) {
        return Err(StartError::Invalid(
            "the build's title has to be one line of at most 200 characters".into(),
        ));
    }
    if !(request.image_config.is_object() || request.image_config.is_null()) {
        return Err(StartError::Invalid(
            "the image's configuration has to be a JSON object".into(),
        ));
    }
    let ops = std::mem::take(&mut request.ops);
    let graph = Graph::read(ops, &request.digest).map_err(|error| StartError::Invalid(error.to_string()))?;
    let allowed: BTreeSet<Entitlement> = limits.entitlements.union(given).copied().collect();
    for vertex in &graph.vertices {
        match &vertex.op.kind {
            Some(OpKind::Exec(exec)) => entitlements(exec, &vertex.name, &allowed)?,
            Some(OpKind::Source(source)) => {
                if let Some(name) = source.identifier.strip_prefix("local://") {
                    context(name, &request.contexts, contexts)?;
                }
            }
            Some(
                OpKind::File(_)
                | OpKind::Build(_)
                | OpKind::Merge(_)
                | OpKind::Diff(_)
                | OpKind::Passthrough(_),
            )
            | None => {}
        }
    }
    Ok(graph)
}

/// What a step asks for that nobody has unless it is allowed.
pub fn asks_for(exec: &ExecOp) -> Vec<Entitlement> {
    let mut asked = Vec::new();
    if exec.network == NetMode::Host as i32 {
        asked.push(Entitlement::NetworkHost);
    }
    if exec.security == SecurityMode::Insecure as i32 {
        asked.push(Entitlement::SecurityInsecure);
    }
    asked
}

/// A step that wants more of the machine than a sandbox gives is refused where nobody has allowed it.
fn entitlements(exec: &ExecOp, name: &str, allowed: &BTreeSet<Entitlement>) -> Result<(), StartError> {
    let refuse = |what: &str| {
        Err(StartError::NotAllowed(format!(
            "{name}: {what}, which this worker does not allow to builds"
        )))
    };
    if let Some(lacking) = asks_for(exec).into_iter().find(|asked| !allowed.contains(asked)) {
        let what = match lacking {
            Entitlement::NetworkHost => "the step asks for the machine's own network",
            Entitlement::SecurityInsecure => "the step asks to run without confinement (--security=insecure)",
        };
        return Err(StartError::NotAllowed(format!(
            "{name}: {what}, which needs {lacking}: the worker's owner allows it with insecure-entitlements = \
             [\"{lacking}\"] in its configuration",
        )));
    }
    if exec.cdi_devices.iter().any(|device| !device.optional) {
        return refuse("the step asks for a device of the machine");
    }
    if exec
        .meta
        .as_ref()
        .is_some_and(|meta| !meta.cgroup_parent.is_empty())
    {
        return refuse("the step asks for a control group of its choice");
    }
    Ok(())
}

/// Whether the context behind a local source is known and all of its content is here.
fn context(name: &str, given: &BTreeMap<String, Digest>, contexts: &Contexts) -> Result<(), StartError> {
    let Some(id) = given.get(name) else {
        return Err(StartError::Context(format!(
            "the plan reads the local source {name:?}, and the request names no context for it: offer one first"
        )));
    };
    let Some(manifest) = contexts.get(id) else {
        return Err(StartError::Context(format!(
            "this worker knows no context {id}: offer it again"
        )));
    };
    match contexts.lacking(&manifest).len() {
        0 => Ok(()),
        1 => Err(StartError::Context(format!(
            "one file of the context {name:?} has not arrived yet"
        ))),
        count => Err(StartError::Context(format!(
            "{count} files of the context {name:?} have not arrived yet"
        ))),
    }
}

//! The predicate (SLSA v1 provenance), with the fields that `BuildKit` fills.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};
use stagewright_core::llb::{self, ExecOp, MountType, NetMode, OpKind};

use super::draft::Draft;
use super::materials::commit_digest;
use crate::source::http::told;

/// Names the shape of the parameters: `BuildKit`'s.
const BUILD_TYPE: &str = "https://github.com/moby/buildkit/blob/master/docs/attestations/slsa-definitions.md";
/// Who built where nobody says so.
const BUILDER: &str = "urn:stagewright:worker";

pub(super) fn predicate(draft: &Draft, finished: &str, layers: &BTreeMap<usize, Vec<Value>>) -> Value {
    let listed = draft.materials.list(&draft.written.vertices);
    let full = draft.asked.full;
    let private = |name: &str| name.starts_with("build-arg:") || name.starts_with("label:");
    let arguments: BTreeMap<&String, String> = draft
        .request
        .arguments
        .iter()
        .filter(|(name, _)| full || !private(name))
        .map(|(name, value)| (name, told(value)))
        .collect();
    let (secrets, agents) = named(draft);
    let hidden = !full
        && (arguments.len() < draft.request.arguments.len() || !secrets.is_empty() || !agents.is_empty());
    let mut request = Map::new();
    request.insert("frontend".into(), json!("dockerfile.v0"));
    if !arguments.is_empty() {
        request.insert("args".into(), json!(arguments));
    }
    if full && !secrets.is_empty() {
        request.insert("secrets".into(), secrets.into());
    }
    if full && !agents.is_empty() {
        request.insert("ssh".into(), agents.into());
    }
    if !listed.locals.is_empty() {
        let locals = listed.locals.iter().map(|name| json!({ "name": name }));
        request.insert("locals".into(), locals.collect());
    }
    let mut source = Map::new();
    if let Some((url, commit)) = &draft.origin.repository {
        source.insert("uri".into(), json!(url));
        source.insert("digest".into(), commit_digest(commit));
    }
    source.insert("path".into(), json!(draft.origin.path));
    let mut internal = Map::new();
    internal.insert("builderPlatform".into(), json!(draft.request.machine.to_string()));
    let mut own = Map::new();
    if full {
        let steps = Steps::of(draft);
        internal.insert("buildConfig".into(), steps.config());
        own.insert("source".into(), steps.source(draft));
        if !layers.is_empty() {
            let layers = layers
                .iter()
                .map(|(step, chain)| (format!("step{step}:0"), json!([chain])));
            own.insert("layers".into(), Value::Object(layers.collect()));
        }
    }
    let mut metadata = Map::new();
    if let Some(moment) = &draft.moment {
        metadata.insert("invocationId".into(), json!(moment.invocation));
        metadata.insert("startedOn".into(), json!(moment.started));
        metadata.insert("finishedOn".into(), json!(finished));
    }
    metadata.insert("buildkit_metadata".into(), Value::Object(own));
    if listed.complete
        && !draft
            .written
            .vertices
            .ops
            .iter()
            .any(|vertex| reaches_out(&vertex.op))
    {
        metadata.insert("buildkit_hermetic".into(), json!(true));
    }
    metadata.insert(
        "buildkit_completeness".into(),
        json!({ "request": !hidden, "resolvedDependencies": listed.complete }),
    );
    if draft.asked.reproducible {
        metadata.insert("buildkit_reproducible".into(), json!(true));
    }
    json!({
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": { "configSource": source, "request": request },
            "internalParameters": internal,
            "resolvedDependencies": listed.dependencies,
        },
        "runDetails": {
            "builder": {
                "id": draft.asked.builder.as_deref().unwrap_or(BUILDER),
                "version": { "stagewright": env!("CARGO_PKG_VERSION") },
            },
            "metadata": metadata,
        },
    })
}

/// The secrets and agents that steps may ask for, by their names.
fn named(draft: &Draft) -> (Vec<Value>, Vec<Value>) {
    fn note(list: &mut Vec<Value>, id: &str, optional: bool) {
        let mut entry = json!({ "id": id });
        if optional {
            entry["optional"] = true.into();
        }
        if !list.contains(&entry) {
            list.push(entry);
        }
    }
    let (mut secrets, mut agents) = (Vec::new(), Vec::new());
    for exec in execs(draft) {
        for mount in &exec.mounts {
            if let Some(secret) = &mount.secret_opt
                && mount.mount_type == MountType::Secret as i32
            {
                note(&mut secrets, &secret.id, secret.optional);
            }
            if let Some(agent) = &mount.ssh_opt
                && mount.mount_type == MountType::Ssh as i32
            {
                let id = if agent.id.is_empty() { "default" } else { &agent.id };
                note(&mut agents, id, agent.optional);
            }
        }
        for secret in &exec.secretenv {
            note(&mut secrets, &secret.id, secret.optional);
        }
    }
    (secrets, agents)
}

fn execs(draft: &Draft) -> impl Iterator<Item = &ExecOp> {
    let ops = draft.written.vertices.ops.iter();
    ops.filter_map(|vertex| match &vertex.op.kind {
        Some(OpKind::Exec(exec)) => Some(exec),
        _ => None,
    })
}

/// Whether a step may use the network.
fn reaches_out(op: &llb::Op) -> bool {
    match &op.kind {
        Some(OpKind::Exec(exec)) => exec.network != NetMode::None as i32,
        _ => false,
    }
}

/// The definition, each op by its number.
struct Steps(Vec<Value>);

impl Steps {
    fn of(draft: &Draft) -> Self {
        match llb::to_json(&draft.written.definition, &draft.written.vertices) {
            Value::Array(ops) => Self(ops),
            _ => Self(Vec::new()),
        }
    }

    fn config(&self) -> Value {
        let mut digests = Map::new();
        let step = |(index, op): (usize, &Value)| {
            if let Some(digest) = op["digest"].as_str() {
                digests.insert(digest.to_owned(), json!(format!("step{index}")));
            }
            let mut own = Map::new();
            own.insert("Op".into(), json!({}));
            if let Some(kind) = op["kind"].as_str().filter(|kind| *kind != "return") {
                let mut work = op["op"].clone();
                without_passwords(&mut work);
                // They name a session, and so would make each statement another.
                if let Some(attrs) = work.get_mut("attrs").and_then(Value::as_object_mut) {
                    attrs.remove("local.session");
                    attrs.remove("local.unique");
                }
                own.insert("Op".into(), json!({ kind: work }));
                own.insert("constraints".into(), json!({}));
            }
            if let Some(platform) = op.get("platform") {
                own.insert("platform".into(), platform.clone());
            }
            let inputs = op["inputs"].as_array().into_iter().flatten();
            let inputs: Vec<String> = inputs
                .filter_map(Value::as_str)
                .map(|input| format!("step{input}"))
                .collect();
            let mut step = json!({ "id": format!("step{index}"), "op": own });
            if !inputs.is_empty() {
                step["inputs"] = json!(inputs);
            }
            step
        };
        let definition: Vec<Value> = self.0.iter().enumerate().map(step).collect();
        json!({ "llbDefinition": definition, "digestMapping": digests })
    }

    /// The Dockerfile, and which of its lines each op is of.
    fn source(&self, draft: &Draft) -> Value {
        let mut locations = Map::new();
        for (index, op) in self.0.iter().enumerate() {
            let places = draft
                .written
                .definition
                .places_of(op["digest"].as_str().unwrap_or_default());
            let places: Vec<Value> = places
                .map(|place| {
                    let ranges = place.ranges.iter().map(|range| {
                        let (start, end) = (range.start.unwrap_or_default(), range.end.unwrap_or_default());
                        json!({ "start": { "line": start.line }, "end": { "line": end.line } })
                    });
                    json!({ "ranges": ranges.collect::<Vec<_>>() })
                })
                .collect();
            if !places.is_empty() {
                locations.insert(format!("step{index}"), json!({ "locations": places }));
            }
        }
        json!({
            "locations": locations,
            "infos": [{
                "filename": draft.origin.path,
                "language": "Dockerfile",
                "data": STANDARD.encode(told(&draft.written.text)),
            }],
        })
    }
}

/// Takes users and passwords out of the addresses in an op. A statement is there for everyone to read.
fn without_passwords(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("://") => *text = told(text),
        Value::Array(values) => values.iter_mut().for_each(without_passwords),
        Value::Object(values) => {
            // The content of a file that the Dockerfile itself holds.
            if let Some(Value::String(data)) = values.get_mut("data")
                && let Ok(bytes) = STANDARD.decode(&data)
                && let Ok(text) = str::from_utf8(&bytes)
            {
                *data = STANDARD.encode(told(text));
            }
            values.values_mut().for_each(without_passwords);
        }
        Value::String(_) | Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

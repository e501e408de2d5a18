//! Recorded builds of the reference, laid over our plans of the same Dockerfiles.
//!
//! A folder holds a `Dockerfile`, `options.json` (what it was built with), and one or two recordings: `trace.jsonl` (the
//! rawjson log) with `llb.json` (the definition that was solved), and `trace.first.jsonl` with `llb.first.json`.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::{Value, json};
use stagewright_core::analysis::{ImageFacts, Input, LocalIdentity, NamedContext};
use stagewright_core::digest::Digest;
use stagewright_core::insight::{RunState, Trace, trace};
use stagewright_core::{analyze, calls};

/// One recording, with what is needed to plan and compare it.
pub struct Recording {
    /// `chain/trace.jsonl`, for people.
    pub title: String,
    /// The Dockerfile and what it was built with; the local context has an identity that no builder knows.
    pub input: Input,
    /// `options.json`.
    pub options: Value,
    /// The log.
    pub log: String,
    /// The definition that was solved.
    pub definition: Value,
}

/// All recordings under `folder`, by name.
pub fn recordings(folder: &Path) -> Result<Vec<Recording>, String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .map_err(|error| format!("{} cannot be read: {error}", folder.display()))?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.is_dir())
        .collect();
    names.sort();
    let mut found = Vec::new();
    for folder in names {
        for infix in ["", ".first"] {
            let log = folder.join(format!("trace{infix}.jsonl"));
            if log.is_file() {
                found.push(recording(&folder, infix)?);
            }
        }
    }
    if found.is_empty() {
        return Err(format!("there are no recordings in {}", folder.display()));
    }
    Ok(found)
}

fn recording(folder: &Path, infix: &str) -> Result<Recording, String> {
    let read = |name: &str| {
        let path = folder.join(name);
        std::fs::read(&path)
            .map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
            .map_err(|error| format!("{} cannot be read: {error}", path.display()))
    };
    let json = |name: &str| -> Result<Value, String> {
        serde_json::from_str(&read(name)?).map_err(|error| format!("{name} of {}: {error}", folder.display()))
    };
    let options = json("options.json")?;
    let log_name = format!("trace{infix}.jsonl");
    let mut input = Input {
        source: read("Dockerfile")?,
        ..Input::default()
    };
    input.options.target = options["target"].as_str().map(str::to_owned);
    for (name, value) in options["args"].as_object().into_iter().flatten() {
        let value = value.as_str().unwrap_or_default().to_owned();
        input.options.build_args.insert(name.clone(), value);
    }
    input.options.platform = options["platform"].as_str().and_then(|name| name.parse().ok());
    input.options.local = LocalIdentity::Unique("nobody".into());
    for image in options["images"].as_array().into_iter().flatten() {
        let name = image["ref"].as_str().unwrap_or_default();
        let digest = image["digest"].as_str().unwrap_or_default();
        let facts = ImageFacts {
            digest: digest.parse().map_err(|_| format!("{name} has no digest"))?,
            config: image["config"].clone(),
            size: 0,
            note: None,
        };
        input.options.images.insert(name.to_owned(), facts);
    }
    input.options.ignore = read("context/.dockerignore").ok();
    let definition = json(&format!("llb{infix}.json"))?;
    for (name, text) in options["namedContexts"].as_object().into_iter().flatten() {
        let mut context = NamedContext::read(name, text.as_str().unwrap_or_default());
        if let NamedContext::Local(local) = &mut context {
            local.shared_key = shared_key(&definition, name);
        }
        input.options.contexts.insert(name.clone(), context);
    }
    // The first of two builds fills the cache that the second does without.
    if options["noCache"] == true && infix.is_empty() {
        input.options.no_cache = Some(Vec::new());
    }
    Ok(Recording {
        title: format!("{}/{log_name}", folder.file_name().unwrap_or_default().display()),
        log: read(&log_name)?,
        definition,
        options,
        input,
    })
}

/// What the client said of which folder a named context is: nothing but the recording knows.
fn shared_key(definition: &Value, name: &str) -> String {
    let lead = format!("context:{name}-");
    let mut ops = definition["ops"].as_array().into_iter().flatten();
    ops.find_map(|op| {
        op.pointer("/Op/Op/source/attrs/local.sharedkeyhint")?
            .as_str()?
            .strip_prefix(&lead)
    })
    .unwrap_or_default()
    .to_owned()
}

/// Plans as the very client of the recording, and compares the definition with the one that was solved: the digests of
/// all ops, and all that is said of each. `Err` says what differs.
pub fn compare_definition(recording: &Recording) -> Result<(), String> {
    let mut input = recording.input.clone();
    let session = recording.definition["localSession"].as_str().unwrap_or_default();
    input.options.local = LocalIdentity::Session(session.to_owned());
    let ours =
        calls::llb(&input, "Dockerfile").map_err(|errors| format!("ours cannot be planned: {errors:?}"))?;
    let theirs = recording.definition["ops"]
        .as_array()
        .map(Vec::as_slice)
        .unwrap_or_default();
    if ours.ops.len() != theirs.len() {
        return Err(format!(
            "ours has {} ops, the reference {}",
            ours.ops.len(),
            theirs.len()
        ));
    }
    for (bytes, op) in ours.ops.iter().zip(theirs) {
        let digest = Digest::of(bytes);
        if op["Digest"] != digest.as_str() {
            return Err(format!("{digest} is {op} in the reference"));
        }
        let said = ours.metadata_of(digest.as_str()).cloned().unwrap_or_default();
        let mut metadata = json!({ "caps": said.caps });
        if said.ignore_cache {
            metadata["ignore_cache"] = true.into();
        }
        if !said.description.is_empty() {
            metadata["description"] = json!(said.description);
        }
        if op["OpMetadata"] != metadata {
            return Err(format!("{metadata}\n      reference {}", op["OpMetadata"]));
        }
    }
    Ok(())
}

/// Lays a recording over the plan and compares every op with what the log says of it. `Err` says what differs.
///
/// The plan is made twice: with the images looked up, and with nothing known of them, so that neither the digests of
/// local sources nor those of images help.
pub fn compare(recording: &Recording) -> Result<(), String> {
    laid(recording, &recording.input)?;
    let mut unknown = recording.input.clone();
    unknown.options.images = BTreeMap::new();
    laid(recording, &unknown).map_err(|error| format!("with no image looked up: {error}"))
}

fn laid(recording: &Recording, input: &Input) -> Result<(), String> {
    let found = trace(&analyze(input), &recording.log);
    // The definition that was solved stands in the same order as ours; the log says what became of each op.
    let digests: Vec<&str> = recording.definition["digests"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .filter(|digest| Some(*digest) != recording.definition["lastOp"].as_str())
        .collect();
    if found.ops.len() != digests.len() {
        return Err(format!(
            "ours has {} ops, the reference {}",
            found.ops.len(),
            digests.len()
        ));
    }
    if !found.strangers.is_empty() {
        let names: Vec<&str> = found.strangers.iter().map(|run| run.name.as_str()).collect();
        return Err(format!("no op of ours: {names:?}"));
    }
    let last = last_reports(&recording.log);
    for (op, digest) in found.ops.iter().zip(digests) {
        let report = last
            .get(digest)
            .ok_or_else(|| format!("the log has no {digest}"))?;
        let run = op
            .run
            .as_ref()
            .ok_or_else(|| format!("{} was not found", report["name"]))?;
        let same = run.digest == digest
            && run.started.as_deref() == report["started"].as_str()
            && run.completed.as_deref() == report["completed"].as_str()
            && run.cached == report["cached"].as_bool().unwrap_or(false)
            && run.error == report["error"].as_str().unwrap_or_default();
        if !same {
            return Err(format!("reference {report}\n      ours      {run:?}"));
        }
        if run.duration != duration(report) {
            return Err(format!("{}: {:?} is not its duration", run.name, run.duration));
        }
    }
    failures(recording, &found)
}

/// A build that failed has one step that did, with the exit code that its message names.
fn failures(recording: &Recording, found: &Trace) -> Result<(), String> {
    let message = recording.options["message"].to_string();
    let failed: Vec<_> = found
        .ops
        .iter()
        .filter_map(|op| op.run.as_ref())
        .filter(|run| run.state == RunState::Failed)
        .collect();
    let expected = usize::from(recording.options["exit"] != 0);
    if failed.len() != expected {
        return Err(format!("{} steps failed, but {expected} did", failed.len()));
    }
    match failed.first() {
        Some(run) if !message.contains(&format!("exit code: {}", run.exit_code.unwrap_or_default())) => {
            Err(format!("{:?} is not the exit code of {message}", run.exit_code))
        }
        _ => Ok(()),
    }
}

/// Read in another way than core does: the last report of each vertex as it stands.
fn last_reports(log: &str) -> BTreeMap<String, Value> {
    let mut last = BTreeMap::new();
    for status in log
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).ok())
    {
        for vertex in status["vertexes"].as_array().into_iter().flatten() {
            let digest = vertex["digest"].as_str().unwrap_or_default().to_owned();
            last.insert(digest, vertex.clone());
        }
    }
    last
}

/// Within one minute the seconds say all; recordings are of small builds.
fn duration(report: &Value) -> Option<u64> {
    let nanoseconds = |key: &str| -> Option<u64> {
        let (_, time) = report[key].as_str()?.trim_end_matches('Z').split_once('T')?;
        let mut parts = time.split(':');
        let (hours, minutes): (u64, u64) = (parts.next()?.parse().ok()?, parts.next()?.parse().ok()?);
        let (seconds, fraction) = parts.next()?.split_once('.')?;
        let fraction: u64 = format!("{fraction:0<9}").parse().ok()?;
        Some(((hours * 60 + minutes) * 60 + seconds.parse::<u64>().ok()?) * 1_000_000_000 + fraction)
    };
    nanoseconds("completed")?.checked_sub(nanoseconds("started")?)
}

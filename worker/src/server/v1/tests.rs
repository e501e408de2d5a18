//! The document says what the code does: every address, every field.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::{Map, Value, json};
use stagewright_core::diagnostic::{Diagnostic, Severity};
use stagewright_core::digest::Digest;
use stagewright_core::edit::TextEdit;
use stagewright_core::lint::{Finding, Fix, Origin};
use stagewright_core::protocol::{
    BuildEvent, BuildFailure, BuildStarted, BuildState, BuildSummary, ContextAnswer, ContextEntry,
    ContextEntryKind, Event, ImageLayer, ImageSummary, LackingContent, Layer, SolveStatus, Vertex, VertexLog,
    VertexStatus, VertexWarning,
};
use stagewright_core::span::{LineRange, Span};

use super::super::access::Need;
use super::*;
use crate::build::tally::Figures;
use crate::hook::{Answer, Delivery, DeliveryReport, Outcome};
use crate::request::{BuildRequest, CallbackReport, CallbackState};

fn document() -> Value {
    serde_json::from_str(document::TEXT).unwrap()
}

/// What is asked of callers, as the document has it.
fn security(need: Need) -> Value {
    match need {
        Need::Nothing => json!([]),
        Need::Acquaintance => json!([{ "token": [] }]),
        Need::Scope(scope) => json!([{ "token": [scope.name()] }]),
        Need::Upload => json!([{ "token": ["build"] }]),
    }
}

#[test]
fn every_address_is_described_with_what_it_asks_and_nothing_else_is() {
    let document = document();
    let mut described: BTreeMap<(String, String), Value> = BTreeMap::new();
    for (path, methods) in document["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["operationId"].is_string(), "{method} {path}");
            described.insert((method.clone(), path.clone()), operation["security"].clone());
        }
    }
    let mut there: BTreeMap<(String, String), Value> = operations()
        .into_iter()
        .map(|operation| {
            (
                (operation.method.to_owned(), operation.path.to_owned()),
                security(operation.need),
            )
        })
        .collect();
    // What was there for the page before.
    for path in ["/v1/version", "/v1/ws", "/v1/downloads/{ticket}"] {
        there.insert(("get".to_owned(), path.to_owned()), json!([]));
    }
    assert_eq!(described, there);
}

#[test]
fn every_reference_leads_somewhere_and_everything_is_used() {
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                if let Some(Value::String(reference)) = members.get("$ref") {
                    found.insert(reference.clone());
                }
                members.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|value| references(value, found)),
            _ => {}
        }
    }
    let document = document();
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for kind in ["schemas", "responses"] {
        for name in document["components"][kind].as_object().unwrap().keys() {
            let reference = format!("#/components/{kind}/{name}");
            // It stands in a text, where no schema can.
            let told = name == "LogLine";
            assert!(told || found.contains(&reference), "{reference} is not used");
        }
    }
}

/// Compares values with schemas, and notes which members of which schema it has seen.
struct Comparison {
    document: Value,
    seen: BTreeSet<(String, String)>,
}

impl Comparison {
    fn new() -> Self {
        Self {
            document: document(),
            seen: BTreeSet::new(),
        }
    }

    #[track_caller]
    fn fits(&mut self, name: &str, value: impl Serialize) {
        let value = serde_json::to_value(value).unwrap();
        let schema = json!({ "$ref": format!("#/components/schemas/{name}") });
        if let Err(why) = self.compare(&schema, &value, "") {
            panic!("{name}: {why}\n{value:#}");
        }
    }

    fn compare(&mut self, schema: &Value, value: &Value, of: &str) -> Result<(), String> {
        if let Some(reference) = schema["$ref"].as_str() {
            let target = self.document.pointer(&reference[1..]).unwrap().clone();
            return self.compare(&target, value, reference.rsplit('/').next().unwrap());
        }
        if let Some(choices) = schema["oneOf"].as_array() {
            let fitting = choices
                .clone()
                .iter()
                .filter(|choice| self.compare(choice, value, of).is_ok())
                .count();
            return (fitting == 1)
                .then_some(())
                .ok_or_else(|| format!("{fitting} choices fit {value}"));
        }
        if let Some(constant) = schema.get("const") {
            return (constant == value)
                .then_some(())
                .ok_or_else(|| format!("{value} is not {constant}"));
        }
        if let Some(choices) = schema["enum"].as_array() {
            return choices
                .contains(value)
                .then_some(())
                .ok_or_else(|| format!("{value} is none of {choices:?}"));
        }
        let kind = match value {
            Value::Null => "null",
            Value::Bool(_) => "boolean",
            Value::Number(_) => "integer",
            Value::String(_) => "string",
            Value::Array(_) => "array",
            Value::Object(_) => "object",
        };
        let fits = match &schema["type"] {
            Value::String(wanted) => wanted == kind,
            Value::Array(wanted) => wanted.contains(&json!(kind)),
            other => return Err(format!("a schema without a type: {other}")),
        };
        if !fits {
            return Err(format!("{value} is no {}", schema["type"]));
        }
        match value {
            Value::Array(items) => items
                .iter()
                .try_for_each(|item| self.compare(&schema["items"], item, of)),
            Value::Object(members) => self.members(schema, members, of),
            _ => Ok(()),
        }
    }

    fn members(&mut self, schema: &Value, members: &Map<String, Value>, of: &str) -> Result<(), String> {
        let Some(properties) = schema["properties"].as_object() else {
            return Ok(());
        };
        for required in schema["required"].as_array().into_iter().flatten() {
            if !members.contains_key(required.as_str().unwrap()) {
                return Err(format!("{required} is not always there"));
            }
        }
        for (name, value) in members {
            let property = properties
                .get(name)
                .ok_or_else(|| format!("{name} is not described"))?;
            self.seen.insert((of.to_owned(), name.clone()));
            self.compare(property, value, &format!("{of}.{name}"))?;
        }
        Ok(())
    }

    /// The members of schemas that no value had.
    fn unseen(&self) -> Vec<String> {
        let schemas = self.document["components"]["schemas"].as_object().unwrap();
        let all = schemas.iter().flat_map(|(name, schema)| {
            let properties = schema["properties"].as_object();
            properties
                .into_iter()
                .flat_map(Map::keys)
                .map(move |property| (name.clone(), property.clone()))
        });
        all.filter(|member| !self.seen.contains(member))
            .map(|(schema, member)| format!("{schema}.{member}"))
            .collect()
    }
}

fn digest() -> Digest {
    Digest::of(b"x")
}

#[expect(clippy::unnecessary_wraps, reason = "fields take it so")]
fn text() -> Option<String> {
    Some("x".to_owned())
}

fn list() -> Vec<String> {
    vec!["x".to_owned()]
}

/// Every field is there, so that one that is new has to be added here too.
fn request() -> BuildRequest {
    BuildRequest {
        context: text(),
        dockerfile: text(),
        dockerignore: text(),
        file: text(),
        target: text(),
        tags: list(),
        build_args: list(),
        build_contexts: list(),
        labels: list(),
        annotations: list(),
        platforms: list(),
        outputs: list(),
        push: Some(true),
        load: Some(true),
        no_cache: Some(true),
        no_cache_filters: list(),
        pull: Some(true),
        cache_from: list(),
        cache_to: list(),
        secrets: list(),
        secret_files: list(),
        secret_envs: list(),
        ssh: list(),
        github_token: text(),
        network: text(),
        add_hosts: list(),
        shm_size: text(),
        ulimit: list(),
        allow: list(),
        attests: list(),
        provenance: text(),
        sbom: text(),
        call: text(),
        builder: text(),
        cgroup_parent: text(),
    }
}

fn image() -> ImageSummary {
    ImageSummary {
        digest: digest(),
        config: digest(),
        layers: vec![ImageLayer {
            digest: digest(),
            diff_id: digest(),
            size: 1,
            vertex: Some(digest()),
        }],
        size: 1,
    }
}

fn failure() -> BuildFailure {
    BuildFailure {
        message: "x".into(),
        vertex: Some(digest()),
        exit_code: Some(1),
    }
}

fn status() -> SolveStatus {
    SolveStatus {
        vertexes: vec![Vertex {
            digest: digest(),
            inputs: vec![digest()],
            name: "x".into(),
            started: text(),
            completed: text(),
            cached: true,
            error: "x".into(),
            reason: "x".into(),
        }],
        statuses: vec![VertexStatus {
            id: "x".into(),
            vertex: digest(),
            name: "x".into(),
            current: 1,
            total: 1,
            timestamp: "x".into(),
            started: text(),
            completed: text(),
        }],
        logs: vec![VertexLog {
            vertex: digest(),
            stream: 1,
            data: vec![1],
            timestamp: "x".into(),
        }],
        warnings: vec![VertexWarning {
            vertex: digest(),
            level: 1,
            short: vec![1],
        }],
    }
}

fn diagnostic() -> Diagnostic {
    Diagnostic {
        severity: Severity::Error,
        code: "x".into(),
        message: "x".into(),
        span: Span::new(0, 1),
        lines: LineRange { start: 1, end: 1 },
        hint: text(),
    }
}

#[test]
fn every_field_of_what_is_answered_and_taken_is_described() {
    let mut comparison = Comparison::new();
    comparison.fits("Push", json!({ "ref": "x" }));
    comparison.fits(
        "HookAnswer",
        Answer {
            outcome: Outcome::Built,
            build: text(),
            why: text(),
        },
    );
    comparison.fits(
        "Delivery",
        DeliveryReport {
            delivery: Delivery {
                id: "x".into(),
                received: "x".into(),
                event: "x".into(),
                reference: text(),
                commit: text(),
                outcome: Outcome::Known,
                build: text(),
                why: text(),
                body: digest(),
            },
            state: Some(BuildState::Done),
            superseded_by: text(),
            callback: Some(CallbackReport {
                url: "x".into(),
                state: CallbackState::Waiting,
                attempts: 1,
                said: text(),
                tried: text(),
            }),
        },
    );
    let summary = BuildSummary {
        id: "1".into(),
        title: "x".into(),
        digest: digest(),
        state: BuildState::Done,
        created: "x".into(),
        last_seq: 1,
    };
    comparison.fits(
        "BuildPage",
        builds::Page {
            builds: vec![summary.clone()],
            next: Some(1),
        },
    );
    let build = builds::Build {
        summary: summary.clone(),
        image: Some(image()),
        steps: Figures {
            steps: 1,
            cached: 1,
            failed: 1,
            started: text(),
            ended: text(),
        },
        failure: Some(failure()),
        request: Some(request()),
        files: list(),
        superseded_by: text(),
        callback: Some(CallbackReport {
            url: "x".into(),
            state: CallbackState::Waiting,
            attempts: 1,
            said: text(),
            tried: text(),
        }),
    };
    comparison.fits("Build", build);
    let bare = builds::Build {
        summary,
        image: None,
        steps: Figures::default(),
        failure: None,
        request: Some(BuildRequest::default()),
        files: Vec::new(),
        superseded_by: None,
        callback: None,
    };
    comparison.fits("Build", bare);
    comparison.fits("BuildStarted", BuildStarted { id: "1".into() });
    let layer = Layer {
        vertex: digest(),
        diff_id: digest(),
        digest: None,
        media_type: "x".into(),
        size: 1,
        unpacked_size: 1,
        added: 1,
        changed: 1,
        removed: 1,
    };
    comparison.fits(
        "Layers",
        layers::Layers {
            layers: vec![layer.clone()],
        },
    );
    for event in [
        Event::Status(status()),
        Event::Status(SolveStatus::default()),
        Event::Layer(layer),
        Event::Done(image()),
        Event::Failed(failure()),
        Event::Cancelled,
    ] {
        comparison.fits(
            "BuildEvent",
            BuildEvent {
                id: "1".into(),
                seq: 1,
                event,
            },
        );
    }
    for state in [
        BuildState::Queued,
        BuildState::Running,
        BuildState::Done,
        BuildState::Failed,
        BuildState::Cancelled,
        BuildState::Lost,
    ] {
        comparison.fits("BuildState", state);
    }
    let told = json!({ "id": "1", "data": "{}", "event": "message", "retry": 1000 });
    comparison.fits("ServerSentEvent", told);
    comparison.fits(
        "LogLine",
        logs::Line {
            seq: 1,
            vertex: &digest(),
            name: "x",
            stream: 1,
            timestamp: "x",
            text: "x",
        },
    );
    comparison.fits(
        "ContextAnswer",
        ContextAnswer {
            id: digest(),
            lacks: vec![LackingContent {
                digest: digest(),
                have: 1,
            }],
        },
    );
    comparison.fits(
        "BlobStanding",
        blobs::Standing {
            digest: digest(),
            have: 1,
            complete: true,
        },
    );
    let finding = Finding {
        rule: "x".into(),
        origin: Origin::Own,
        severity: Severity::Info,
        message: "x".into(),
        url: "x".into(),
        span: Span::new(0, 1),
        lines: LineRange { start: 1, end: 1 },
        beyond_error: true,
        fixes: vec![Fix {
            title: "x".into(),
            edits: vec![TextEdit::remove(Span::new(0, 1))],
            safe: true,
        }],
    };
    comparison.fits(
        "Check",
        plan::Check {
            name: "x".into(),
            findings: vec![finding],
        },
    );
    for source in ["FROM scratch\nCOPY a b\n", "nonsense"] {
        let analysis = stagewright_core::analyze(&stagewright_core::Input {
            source: source.into(),
            ..Default::default()
        });
        comparison.fits(
            "Plans",
            plan::Plans {
                plans: vec![plan::Plan {
                    platform: "x".into(),
                    name: "x".into(),
                    analysis,
                    svg: text(),
                }],
            },
        );
    }
    comparison.fits("Health", health::Health { status: "ok" });
    comparison.fits(
        "Version",
        json!({ "name": "stagewright", "protocol": stagewright_core::protocol::VERSION }),
    );
    for kind in [
        ContextEntryKind::Directory,
        ContextEntryKind::File {
            digest: digest(),
            size: 1,
        },
        ContextEntryKind::Symlink { target: "x".into() },
    ] {
        let entry = ContextEntry {
            path: "x".into(),
            mode: 0o644,
            kind,
        };
        comparison.fits("ContextEntry", &entry);
        let offer = json!({ "entries": [entry] });
        comparison.fits("ContextOffer", &offer);
        super::super::body::parse::<contexts::Offer>(offer.to_string().as_bytes()).unwrap();
    }
    comparison.fits("Diagnostic", diagnostic());
    comparison.fits("BuildRequest", request());
    comparison.fits(
        "Problem",
        json!({ "title": "x", "status": 422, "detail": "x", "field": "x", "findings": [diagnostic()] }),
    );
    assert_eq!(comparison.unseen(), Vec::<String>::new());
}

#[test]
fn what_the_document_shows_of_requests_can_be_read() {
    let mut comparison = Comparison::new();
    let archive = json!({ "archive": { "digest": digest(), "size": 1 } });
    comparison.fits("ContextOffer", &archive);
    super::super::body::parse::<contexts::Offer>(archive.to_string().as_bytes()).unwrap();
    let document = document();
    let examples = |name: &str| document["components"]["schemas"][name]["examples"].clone();
    for example in examples("ContextOffer").as_array().unwrap() {
        super::super::body::parse::<contexts::Offer>(example.to_string().as_bytes()).unwrap();
    }
    for example in examples("BuildRequest").as_array().unwrap() {
        let request: BuildRequest = serde_json::from_value(example.clone()).unwrap();
        comparison.fits("BuildRequest", request);
    }
    // A field that is not there is refused, as the document says.
    for name in ["BuildRequest", "ContextOffer"] {
        assert!(
            document["components"]["schemas"][name]
                .to_string()
                .contains("\"additionalProperties\":false")
        );
    }
}

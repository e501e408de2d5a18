//! What is handed to JavaScript has its shape written down for TypeScript; here it is seen that nothing is missing there.

use serde::Serialize;
use serde_json::Value;

use crate::analysis::{Definition, ImageFacts, Input, Options, PlannedOp};
use crate::convert::{Pattern, SourceFile, convert};
use crate::diagnostic::{Diagnostic, Severity};
use crate::digest::Digest;
use crate::layout::tests::sketch::sketch;
use crate::lint::{Scope, lint};
use crate::span::{LineRange, Span};
use crate::{analyze, editing, insight};

/// What the planner shows to TypeScript.
const PLANNER: &str = include_str!("types.d.ts");
/// What the insight module shows to it.
const INSIGHT: &str = include_str!("insight.d.ts");

/// Every key of every object in `value`; those of a map with names of its own are left out.
fn keys(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            for (key, value) in fields {
                // A name that a person chose, such as a build arg's, is no field.
                if key.chars().all(|letter| letter.is_ascii_alphanumeric()) {
                    found.push(key.clone());
                }
                // The configuration of an image is OCI's, and `unknown` here.
                if key != "imageConfig" && key != "config" {
                    keys(value, found);
                }
            }
        }
        Value::Array(values) => values.iter().for_each(|value| keys(value, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn keys_of(values: &[&dyn erased::Json]) -> Vec<String> {
    let mut found = Vec::new();
    for value in values {
        keys(&value.json(), &mut found);
    }
    found
}

/// Values of many types in one list.
mod erased {
    pub(super) trait Json {
        fn json(&self) -> serde_json::Value;
    }

    impl<T: super::Serialize> Json for T {
        fn json(&self) -> serde_json::Value {
            serde_json::to_value(self).unwrap()
        }
    }
}

fn assert_known(keys: Vec<String>, shapes: &[&str]) {
    let known = |key: &String| {
        let written = [format!("{key}: "), format!("{key}?: ")];
        shapes
            .iter()
            .any(|types| written.iter().any(|written| types.contains(written)))
    };
    let mut missing: Vec<String> = keys.into_iter().filter(|key| !known(key)).collect();
    missing.sort();
    missing.dedup();
    assert_eq!(missing, [""; 0]);
}

#[test]
fn typescript_knows_every_field_of_a_plan() {
    let mut analysis =
        sketch("FROM a AS b\nCOPY x y\nFROM scratch\nCOPY --from=b /c /d\nCOPY --from=e /f /g");
    let digest = Digest::of(b"");
    let (span, lines) = (Span::new(0, 0), LineRange { start: 1, end: 1 });
    analysis.diagnostics.push(Diagnostic {
        severity: Severity::Error,
        code: String::new(),
        message: String::new(),
        span,
        lines,
        hint: None,
    });
    let op = PlannedOp {
        digest: digest.clone(),
        bytes: Vec::new(),
        name: String::new(),
        inputs: Vec::new(),
        stage: None,
        step: None,
        ignore_cache: false,
    };
    analysis.definition = Some(Definition {
        ops: vec![op],
        head: None,
        digest: digest.clone(),
    });
    let facts = ImageFacts {
        digest,
        config: Value::Null,
        size: 1,
        note: Some(String::new()),
    };
    let found = keys_of(&[&analysis, &facts, &Options::default()]);
    assert!(found.len() > 60);
    assert_known(found, &[PLANNER]);
}

#[test]
fn typescript_knows_every_field_of_what_is_beyond_a_plan() {
    let source = "from golang AS Builder\nARG V=1\nCOPY app.go /src/\nRUN go build $V\nFROM alpine\n\
                  COPY --from=builder /src/app /\nUSER me\nLABEL a.b=c\nHEALTHCHECK CMD x\nCMD app\nRUN <<EOF\nx\nEOF\n";
    let input = Input {
        source: source.into(),
        ..Input::default()
    };
    let analysis = analyze(&input);
    let definition = analysis.definition.as_ref().unwrap();
    let log = format!(
        r#"{{"vertexes":[{{"digest":"{}","name":"x","started":"2026-01-01T00:00:00Z","error":"y"}}],"statuses":[{{"id":"a","vertex":"{0}","current":1,"timestamp":"2026-01-01T00:00:00Z"}}],"warnings":[{{"vertex":"{0}","short":"YQ=="}}]}}"#,
        definition.ops.first().unwrap().digest
    );
    let trace = insight::trace(&analysis, &log);
    let change = insight::Change {
        context: vec!["app.go".into()],
        source: Some(source.replace("LABEL a.b=c\n", "")),
        ..insight::Change::default()
    };
    let pattern = Pattern {
        script: SourceFile {
            name: "build.sh".into(),
            text: "docker build -t a -f A .\ndocker create --name x a\ndocker cp x:/app .\ndocker build -t b -f B .\nfoo\n"
                .into(),
        },
        dockerfiles: [("A", "FROM scratch\nCOPY app.go /app\n"), ("B", "FROM scratch\nCOPY app /\n")]
            .map(|(name, text)| SourceFile {
                name: name.into(),
                text: text.into(),
            })
            .into(),
        ..Pattern::default()
    };
    let files = [insight::ContextFile {
        path: "app.go".into(),
        ..insight::ContextFile::default()
    }];
    let found = keys_of(&[
        &lint(&input, Scope::All),
        &change,
        &insight::what_if(&input, &change),
        &insight::schedule(&analysis, insight::Durations::Guessed, Some(2)),
        &trace,
        &insight::reasons(&input),
        &insight::image(&input),
        &files,
        &insight::context(&input, &files),
        &insight::diff(&analysis, &analyze(&change.apply(&input))),
        &pattern,
        &convert(&pattern),
        &editing::highlight(source),
        &editing::folding(source),
        &editing::symbols(source),
        &editing::complete(&input, 0, &editing::Surroundings::default()),
        &editing::Surroundings::default(),
        &editing::hover(&input, 0),
    ]);
    assert!(found.len() > 500, "{}", found.len());
    assert_known(found, &[PLANNER, INSIGHT]);
}

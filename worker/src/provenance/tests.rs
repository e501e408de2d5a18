//! Predicates of plans.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use stagewright_core::Input;
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::{calls, llb};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::*;

const DOCKERFILE: &str = "\
FROM alpine:3.20
ARG TOKEN
RUN --mount=type=secret,id=word,required=true --mount=type=secret,id=key,env=KEY --mount=type=ssh true
ADD https://github.com/moby/buildkit.git#v0.1.0 /src
ADD https://me:password@example.com/file /file
";

fn draft(dockerfile: &str, full: bool, moment: Option<Moment>) -> Draft {
    let mut input = Input {
        source: dockerfile.into(),
        ..Input::default()
    };
    let facts = ImageFacts {
        digest: Digest::of(b"alpine"),
        // An image without layers would be none at all.
        config: json!({
            "os": "linux", "architecture": "amd64",
            "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"layer")] },
        }),
        size: 1,
        note: None,
    };
    let image = "docker.io/library/alpine:3.20".to_owned();
    input.options.images.insert(image, facts);
    let definition = calls::llb(&input, "Dockerfile").unwrap();
    let (definition, vertices) = llb::Definition::decode(&definition.to_bytes()).unwrap();
    let asked = ProvenanceOptions {
        full,
        builder: None,
        reproducible: false,
        file_name: "provenance.json".into(),
    };
    let origin = Origin {
        repository: Some(("https://example.com/app.git#main".into(), "1".repeat(40))),
        path: "Dockerfile".into(),
    };
    let request = Request {
        arguments: BTreeMap::from([
            ("build-arg:TOKEN".into(), "value".into()),
            ("target".into(), "stage".into()),
        ]),
        ..Request::default()
    };
    let written = Written {
        text: dockerfile.into(),
        definition,
        vertices,
    };
    Draft::new(asked, origin, request, written, moment)
}

fn predicate(draft: &Draft) -> Value {
    draft.predicate("2026-01-01T00:00:02Z", &BTreeMap::new())
}

/// The digest of the op whose source begins so.
fn source(draft: &Draft, begins: &str) -> Digest {
    let ops = draft.written.vertices.ops.iter();
    let mut found = ops.filter(|vertex| match &vertex.op.kind {
        Some(llb::OpKind::Source(source)) => source.identifier.starts_with(begins),
        _ => false,
    });
    found.next().unwrap().digest.clone()
}

#[test]
fn materials_are_what_was_resolved_and_names_of_secrets_are_told_only_where_all_is() {
    let full = draft(DOCKERFILE, true, None);
    full.note(
        &source(&full, "git://"),
        Found::Commit {
            url: "https://github.com/moby/buildkit.git".into(),
            commit: "2".repeat(40),
        },
    );
    full.note(&source(&full, "https://"), Found::File(Some(Digest::of(b"file"))));
    let told = predicate(&full);
    let made = &told["buildDefinition"];
    assert_eq!(
        made["resolvedDependencies"],
        json!([
            {
                "uri": "pkg:docker/alpine@3.20?platform=linux%2Famd64",
                "digest": { "sha256": Digest::of(b"alpine").hex() },
            },
            { "uri": "https://github.com/moby/buildkit.git", "digest": { "sha1": "2".repeat(40) } },
            { "uri": "https://example.com/file", "digest": { "sha256": Digest::of(b"file").hex() } },
        ])
    );
    assert_eq!(
        made["externalParameters"]["configSource"]["digest"],
        json!({ "sha1": "1".repeat(40) })
    );
    let request = &made["externalParameters"]["request"];
    assert_eq!(
        request["args"],
        json!({ "build-arg:TOKEN": "value", "target": "stage" })
    );
    assert_eq!(
        request["secrets"],
        json!([{ "id": "word" }, { "id": "key", "optional": true }])
    );
    assert_eq!(request["ssh"], json!([{ "id": "default", "optional": true }]));
    let completeness = &told["runDetails"]["metadata"]["buildkit_completeness"];
    assert_eq!(
        *completeness,
        json!({ "request": true, "resolvedDependencies": true })
    );
    assert_eq!(told["runDetails"]["metadata"]["buildkit_hermetic"], Value::Null);

    let least = draft(DOCKERFILE, false, None);
    let told = predicate(&least);
    let request = &told["buildDefinition"]["externalParameters"]["request"];
    assert_eq!(
        *request,
        json!({ "frontend": "dockerfile.v0", "args": { "target": "stage" } })
    );
    for hidden in ["value", "word", "mount"] {
        assert!(!told.to_string().contains(hidden), "{hidden}: {told:#}");
    }
    // What the build did not find out is not made up.
    let completeness = &told["runDetails"]["metadata"]["buildkit_completeness"];
    assert_eq!(
        *completeness,
        json!({ "request": false, "resolvedDependencies": false })
    );
}

/// Adds to each text what it is in another form.
fn open(value: &mut Value) {
    match value {
        Value::Object(values) => values.values_mut().for_each(open),
        Value::Array(values) => values.iter_mut().for_each(open),
        Value::String(text) => {
            let opened = STANDARD.decode(&text).ok();
            if let Some(opened) = opened.and_then(|bytes| String::from_utf8(bytes).ok()) {
                text.push_str(&opened);
            }
        }
        _ => {}
    }
}

#[test]
fn users_and_passwords_in_addresses_are_told_nobody() {
    let dockerfile = "\
FROM alpine:3.20
ADD https://me:password@example.com/file /file
ADD https://me:password@example.com/app.git#main /app
RUN wget http://me:password@example.com/tool
COPY <<EOF /settings
index = https://me:password@example.com/simple
EOF
";
    let mut told = predicate(&draft(dockerfile, true, None));
    let data = &mut told["runDetails"]["metadata"]["buildkit_metadata"]["source"]["infos"][0]["data"];
    let text = STANDARD.decode(data.as_str().unwrap()).unwrap();
    let text = String::from_utf8(text).unwrap();
    assert_eq!(text, dockerfile.replace("me:password@", ""));
    *data = text.into();
    open(&mut told);
    let told = told.to_string();
    for shown in [
        "https://example.com/file",
        "example.com/app.git",
        "http://example.com/tool",
    ] {
        assert!(told.contains(shown), "{shown}: {told}");
    }
    for hidden in ["me:password", "password"] {
        assert!(!told.contains(hidden), "{hidden}: {told}");
    }
}

#[test]
fn clock_is_seen_only_where_there_is_a_moment() {
    let moment = Moment {
        started: "2026-01-01T00:00:00Z".into(),
        invocation: "one".into(),
    };
    let told = predicate(&draft("FROM scratch\nCOPY a /\n", true, Some(moment)));
    let metadata = &told["runDetails"]["metadata"];
    assert_eq!(
        [
            &metadata["invocationId"],
            &metadata["startedOn"],
            &metadata["finishedOn"]
        ],
        [
            &json!("one"),
            &json!("2026-01-01T00:00:00Z"),
            &json!("2026-01-01T00:00:02Z")
        ]
    );
    let told = predicate(&draft("FROM scratch\nCOPY a /\n", true, None));
    assert!(!told.to_string().contains("2026-01-01"), "{told:#}");
    let steps = &told["buildDefinition"]["internalParameters"]["buildConfig"];
    let digests = steps["digestMapping"].as_object().unwrap();
    assert_eq!(digests.len(), steps["llbDefinition"].as_array().unwrap().len());
}

#[test]
fn steps_without_a_network_and_files_of_nobody_else_are_hermetic() {
    let hermetic = |dockerfile: &str| {
        let told = predicate(&draft(dockerfile, true, None));
        told["runDetails"]["metadata"]["buildkit_hermetic"] == true
    };
    assert!(hermetic("FROM alpine:3.20\nRUN --network=none true\n"));
    assert!(!hermetic("FROM alpine:3.20\nRUN true\n"));
    assert!(!hermetic("FROM alpine:3.20\nCOPY a /\n"));
}

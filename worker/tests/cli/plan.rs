//! `plan`: in each of its forms.

use crate::{Folder, fits, run, run_with};

#[test]
fn plan_reads_standard_input_and_names_the_stages() {
    let (code, output, error) = run_with(
        &["plan", "--format", "json", "--target", "Build", "-f", "-"],
        "FROM scratch AS build\nFROM scratch\nCOPY --from=build / /\n",
    );
    assert_eq!(code, 0, "{error}");
    let plan: stagewright_core::Analysis = serde_json::from_str(&output).unwrap();
    assert_eq!((plan.stages.len(), plan.target), (2, Some(0)));
}

const TWO: &str = "FROM golang:1.21 AS build\n\
    RUN go build -ldflags '-s -w -X main.version=0.0.0' -trimpath -o /out/app ./cmd/app && strip /out/app\n\
    FROM alpine\n\
    COPY --from=build /out/app /app\n\
    FROM scratch AS spare\n\
    FROM alpine\n\
    COPY --from=build /out/app /app\n";

#[test]
fn table_fits_a_terminal_and_names_what_flows() {
    let folder = Folder::with(&[("Dockerfile", TWO)]);
    let (code, output, error) = run(&["plan", &folder.name("")]);
    assert_eq!((code, error.as_str()), (0, ""));
    fits(&output);
    assert!(output.contains("build from golang:1.21: needed"), "{output}");
    assert!(output.contains("↳ copies from stage build"), "{output}");
    assert!(output.contains("spare from scratch: skipped"), "{output}");
    assert!(
        output.contains("RUN go build") && output.contains('…'),
        "{output}"
    );
}

#[test]
fn each_form_is_what_its_readers_take() {
    let folder = Folder::with(&[("Dockerfile", TWO)]);
    let form = |form: &str| {
        let (code, output, error) = run(&["plan", "--format", form, &folder.name("")]);
        assert_eq!((code, error.as_str()), (0, ""), "{form}");
        output
    };
    assert!(form("svg").starts_with("<svg "));
    assert!(form("dot").starts_with("digraph "));
    assert!(form("mermaid").starts_with("flowchart "));
    serde_json::from_str::<stagewright_core::Analysis>(&form("json")).unwrap();
}

#[test]
fn definition_is_written_as_bytes_json_and_text() {
    let folder = Folder::with(&[("Dockerfile", TWO)]);
    let bytes = crate::stagewright()
        .args(["plan", "--format", "llb", &folder.name("")])
        .output()
        .unwrap();
    assert!(bytes.status.success());
    let (definition, vertices) = stagewright_core::llb::Definition::decode(&bytes.stdout).unwrap();
    assert_eq!(definition.ops.len(), vertices.ops.len() + 1);
    let (code, json, _) = run(&["plan", "--format", "llb-json", &folder.name("")]);
    assert_eq!(code, 0);
    serde_json::from_str::<serde_json::Value>(&json).unwrap();
    let (code, text, _) = run(&["plan", "--format", "llb-text", &folder.name("")]);
    assert!(code == 0 && text.starts_with("op 0 "), "{text}");
    let (code, output, _) = run_with(&["plan", "--format", "llb", "-f", "-"], "FROM scratch\nRNU\n");
    assert_eq!((code, output.as_str()), (1, ""));
}

#[test]
fn cache_and_contexts_enter_the_plan() {
    let plan = |arguments: &[&str]| {
        let all = [&["plan", "--format", "json", "-f", "-"], arguments].concat();
        let (code, output, error) = run_with(&all, "FROM alpine AS a\nRUN x\nFROM a\nRUN y\n");
        assert_eq!(code, 0, "{error}");
        serde_json::from_str::<stagewright_core::Analysis>(&output).unwrap()
    };
    let uncached = |analysis: &stagewright_core::Analysis| {
        let ops = &analysis.definition.as_ref().unwrap().ops;
        ops.iter().filter(|op| op.ignore_cache).count()
    };
    assert_eq!(uncached(&plan(&[])), 0);
    assert_eq!(uncached(&plan(&["--no-cache-filter", "a"])), 1);
    assert!(uncached(&plan(&["--no-cache"])) >= 2);
    let replaced = plan(&["--build-context", "alpine=docker-image://debian:12"]);
    assert!(
        replaced
            .images
            .iter()
            .any(|image| image.reference.contains("debian:12")),
        "{:?}",
        replaced.images
    );
    assert_eq!(
        run_with(&["plan", "--build-context", "x", "-f", "-"], "FROM scratch\n").0,
        2
    );
}

#[test]
fn flags_about_steps_enter_the_plan() {
    let folder = Folder::with(&[("Dockerfile", "FROM alpine\nRUN a\n")]);
    let flags = [
        "--network=none",
        "--add-host=db:10.0.0.5",
        "--ulimit=nofile=5",
        "--shm-size=1m",
    ];
    let context = folder.name(".");
    let plan = |flags: &[&str]| run(&[&["plan", "--format", "llb-json"], flags, &[&context]].concat());
    let (code, out, err) = plan(&flags);
    assert_eq!(code, 0, "{err}");
    let ops: serde_json::Value = serde_json::from_str(&out).unwrap();
    let exec = ops
        .as_array()
        .unwrap()
        .iter()
        .find(|op| op["kind"] == "exec")
        .unwrap();
    let text = exec.to_string();
    for part in ["\"network\":2", "10.0.0.5", "nofile", "/dev/shm", "1048576"] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_ne!(out, plan(&[]).1);
}

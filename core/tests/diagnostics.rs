//! Every kind of mistake: what is said, where the carets stand, and what to do next.
//!
//! The snapshot shows each file with its findings as a terminal would show them.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::Path;

use stagewright_core::analysis::{ImageFacts, NamedContext};
use stagewright_core::diagnostic::{Diagnostic, render};
use stagewright_core::digest::Digest;
use stagewright_core::ignore::Ignore;
use stagewright_core::{Analysis, Input, analyze};

fn analysis(source: &str, target: Option<&str>) -> Analysis {
    let mut input = Input {
        source: source.into(),
        ..Input::default()
    };
    input.options.target = target.map(str::to_owned);
    analyze(&input)
}

/// Name, file, target.
const MISTAKES: &[(&str, &str, Option<&str>)] = &[
    ("empty file", "", None),
    ("comments only", "# nothing\n\n", None),
    ("unknown instruction", "FROM alpine\nRUNN make\n", None),
    (
        "instruction before the first stage",
        "RUN make\nFROM alpine\n",
        None,
    ),
    ("FROM without AS", "FROM alpine builder\n", None),
    ("bad stage name", "FROM alpine AS 1st\n", None),
    ("bad image name", "FROM Alpine:latest\n", None),
    (
        "image with another kind of digest",
        "FROM alpine@sha384:012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789abcdef\n",
        None,
    ),
    ("blank base", "ARG VERSION\nFROM $VERSOIN\n", None),
    ("bad platform", "FROM --platform=lin%x/amd64 alpine\n", None),
    ("blank platform", "FROM --platform=$BULIDPLATFORM alpine\n", None),
    ("unknown flag", "FROM alpine\nCOPY --form=builder a b\n", None),
    (
        "repeated flag",
        "FROM alpine\nCOPY --chown=a --chown=b a b\n",
        None,
    ),
    ("flag without a value", "FROM alpine\nCOPY --chown a b\n", None),
    (
        "switch with another value",
        "FROM alpine\nCOPY --link=yes a b\n",
        None,
    ),
    ("copy without a destination", "FROM alpine\nCOPY a\n", None),
    (
        "heredoc as a destination",
        "FROM alpine\nCOPY a <<EOF\nx\nEOF\n",
        None,
    ),
    ("heredoc without an end", "FROM alpine\nRUN <<EOF\nmake\n", None),
    (
        "unknown stage by number",
        "FROM alpine\nCOPY --from=7 /a /b\n",
        None,
    ),
    (
        "unknown stage by name",
        "FROM alpine AS builder\nFROM bulider AS final\nCOPY --from=bilder /a /b\n",
        None,
    ),
    (
        "stage from a variable",
        "FROM alpine AS a\nFROM alpine\nCOPY --from=$A /a /b\n",
        None,
    ),
    (
        "stage that comes later",
        "FROM alpine AS a\nCOPY --from=b /x /y\nFROM alpine AS b\n",
        Some("a"),
    ),
    (
        "cycle",
        "FROM alpine AS a\nCOPY --from=b /x /y\nFROM alpine AS b\nCOPY --from=a /x /y\n",
        None,
    ),
    (
        "cycle of one, named by its last line",
        "FROM alpine AS a\nCOPY --from=a /x /y\nCOPY --from=a /z /y\n",
        None,
    ),
    (
        "mount that says nothing",
        "FROM alpine\nRUN --mount= make\n",
        None,
    ),
    ("device without a name", "FROM alpine\nRUN --device= make\n", None),
    (
        "unknown target",
        "FROM alpine AS builder\nRUN make\n",
        Some("buidler"),
    ),
    (
        "COPY from the web",
        "FROM alpine\nCOPY https://example.com/a /a\n",
        None,
    ),
    ("bad mode", "FROM alpine\nCOPY --chmod=64a a b\n", None),
    (
        "checksum of a local file",
        "FROM alpine\nADD --checksum=sha256:0 a b\n",
        None,
    ),
    (
        "bad git address",
        "FROM alpine\nADD https://example.com/a.git?tagg=1 /a\n",
        None,
    ),
    ("open quote", "FROM alpine\nENV A='b\nWORKDIR \"/x\n", None),
    ("bad substitution", "FROM alpine\nWORKDIR /${}\n", None),
    (
        "variable that has to be set",
        "FROM alpine\nARG V\nWORKDIR /${V:?say which}\n",
        None,
    ),
    ("ENV without a value", "FROM alpine\nENV A\n", None),
    ("ENV with a word too many", "FROM alpine\nENV A=b c\n", None),
    ("ARG without a name", "FROM alpine\nARG =1\n", None),
    ("array of other things", "FROM alpine\nCMD [\"a\", 1]\n", None),
    ("SHELL in shell form", "FROM alpine\nSHELL bash -c\n", None),
    (
        "bad mount",
        "FROM alpine\nRUN --mount=typ=cache,target=/x make\n",
        None,
    ),
    (
        "unknown mount type",
        "FROM alpine\nRUN --mount=type=cach,target=/x make\n",
        None,
    ),
    (
        "mount over the root",
        "FROM alpine\nRUN --mount=type=cache,target=/ make\n",
        None,
    ),
    (
        "mount from a variable",
        "FROM alpine\nRUN --mount=from=$A,target=/x make\n",
        None,
    ),
    ("unknown network", "FROM alpine\nRUN --network=hots make\n", None),
    ("RUN without a command", "FROM alpine\nRUN []\n", None),
    ("bad port", "FROM alpine\nEXPOSE 80/http\n", None),
    ("bad signal", "FROM alpine\nSTOPSIGNAL SIGTREM\n", None),
    (
        "bad healthcheck",
        "FROM alpine\nHEALTHCHECK --interval=30 CMD x\n",
        None,
    ),
    (
        "healthcheck of no kind",
        "FROM alpine\nHEALTHCHECK curl x\n",
        None,
    ),
    (
        "trigger that cannot be one",
        "FROM alpine\nONBUILD FROM x\n",
        None,
    ),
    ("escape that cannot be one", "# escape=x\nFROM alpine\n", None),
    (
        "repeated directive",
        "# escape=`\n# escape=`\nFROM alpine\n",
        None,
    ),
    ("empty continuation line", "FROM alpine\nRUN a \\\n\n  b\n", None),
    ("USER that says nothing", "FROM alpine\nUSER\n", None),
    ("VOLUME without a name", "FROM alpine\nVOLUME [\"\"]\n", None),
    (
        "retries that are no number",
        "FROM alpine\nHEALTHCHECK --retries=few CMD x\n",
        None,
    ),
    (
        "drive that no image has",
        "FROM --platform=windows/amd64 a\nWORKDIR D:\\app\n",
        None,
    ),
    (
        "time that is no number",
        "ARG SOURCE_DATE_EPOCH=today\nFROM alpine\n",
        None,
    ),
    ("zero byte", "FROM alpine\nRUN a\0b\n", None),
    ("bad check", "# check=skip\nFROM alpine\n", None),
    (
        "variable that grows without end",
        concat!(
            "FROM alpine\nENV A=0123456789abcdef\n",
            "ENV A=$A$A$A$A$A$A$A$A\nENV A=$A$A$A$A$A$A$A$A\nENV A=$A$A$A$A$A$A$A$A\n",
            "ENV A=$A$A$A$A$A$A$A$A\nENV A=$A$A$A$A$A$A$A$A\n"
        ),
        None,
    ),
    (
        "several at once, through continuations",
        "FROM alpine AS a\nRUNN x\nCOPY \\\n  # a note\n  --form=b x y\nFROM b:B:c\nCMD [1]\n",
        None,
    ),
];

#[test]
fn every_mistake_is_explained() {
    let mut text = String::new();
    for (name, source, target) in MISTAKES {
        let analysis = analysis(source, *target);
        assert!(!analysis.diagnostics.is_empty(), "{name} is no mistake");
        writeln!(text, "=== {name}").unwrap();
        for diagnostic in &analysis.diagnostics {
            assert!(
                diagnostic.hint.is_some(),
                "{name}: nothing is said of what to do next"
            );
            writeln!(text, "{}", render(diagnostic, source, "Dockerfile")).unwrap();
        }
    }
    // The snapshot stays text.
    insta::assert_snapshot!("mistakes", text.replace('\0', "\u{2400}"));
}

/// What is wrong outside of the Dockerfile is explained just as well.
#[test]
fn mistakes_of_the_surroundings_are_explained() {
    let mut text = String::new();
    let mut show = |name: &str, file: &str, source: &str, diagnostics: &[Diagnostic]| {
        assert!(!diagnostics.is_empty(), "{name} is no mistake");
        writeln!(text, "=== {name}").unwrap();
        for diagnostic in diagnostics {
            assert!(
                diagnostic.hint.is_some(),
                "{name}: nothing is said of what to do next"
            );
            writeln!(text, "{}", render(diagnostic, source, file)).unwrap();
        }
    };
    let ignored = "*.log\n!\n[a\n";
    show(
        "patterns that cannot be read",
        ".dockerignore",
        ignored,
        &Ignore::parse(ignored).1,
    );
    let mut input = Input {
        source: "FROM alpine\nCOPY --from=extra a b\n".into(),
        ..Input::default()
    };
    let facts = ImageFacts {
        digest: Digest::of(b"alpine"),
        config: serde_json::json!({ "config": "none" }),
        size: 0,
        note: None,
    };
    input
        .options
        .images
        .insert("docker.io/library/alpine:latest".into(), facts);
    let extra = NamedContext::Image("No Image".into());
    input.options.contexts.insert("extra".into(), extra);
    show(
        "image and context that cannot be read",
        "Dockerfile",
        &input.source,
        &analyze(&input).diagnostics,
    );
    insta::assert_snapshot!("surroundings", text);
}

/// Every code that the sources give to a problem, wherever they are.
fn codes(folder: &Path, found: &mut BTreeSet<String>) -> std::io::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            codes(&path, found)?;
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(path)?;
            let product = text.split("#[cfg(test)]").next().unwrap_or_default();
            for call in product.split("Problem::new(").skip(1) {
                if let Some((code, _)) = call
                    .trim_start()
                    .strip_prefix('"')
                    .and_then(|rest| rest.split_once('"'))
                {
                    found.insert(code.to_owned());
                }
            }
        }
    }
    Ok(())
}

#[test]
fn every_kind_of_mistake_is_among_them() {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = BTreeSet::new();
    for floor in ["ignore", "instruction", "plan", "stage", "syntax"] {
        codes(&source.join(floor), &mut found).unwrap();
    }
    let shown = concat!(
        include_str!("snapshots/diagnostics__mistakes.snap"),
        include_str!("snapshots/diagnostics__surroundings.snap")
    );
    // No text is known that leads there: a word that begins a heredoc could be read once before, as part of its line.
    found.remove("bad-heredoc");
    found.retain(|code| !shown.contains(&format!("[{code}]")));
    assert!(found.is_empty(), "these have no example here: {found:?}");
}

#[test]
fn a_broken_instruction_costs_its_own_step_only() {
    let source = "FROM alpine AS a\nRUNN x\nRUN y\nFROM alpine AS b\nCOPY --from=a /y /y\n";
    let analysis = analysis(source, None);
    let labels: Vec<_> = analysis
        .stages
        .iter()
        .map(|stage| (stage.label.as_str(), stage.steps.len()))
        .collect();
    assert_eq!(labels, [("a", 2), ("b", 1)]);
    assert_eq!(analysis.edges.len(), 3, "the copy is drawn all the same");
    assert!(analysis.definition.is_none(), "the target needs the broken stage");
}

#[test]
fn what_the_target_does_not_need_does_not_stand_in_its_way() {
    let source = "FROM alpine AS broken\nRUNN x\nWORKDIR /${A:?}\nFROM alpine AS sound\nRUN y\n";
    let analysis = analysis(source, None);
    assert!(analysis.has_errors());
    assert!(analysis.definition.is_some());
    assert!(analysis.stages[1].steps[0].vertex.is_some());
    assert!(analysis.stages[0].steps.iter().all(|step| step.vertex.is_none()));
}

#[test]
fn the_base_of_a_stage_that_a_context_replaces_has_to_be_an_images_name_all_the_same() {
    let with = |source: &str| {
        let mut input = Input {
            source: source.into(),
            ..Input::default()
        };
        let alpine = NamedContext::Image("alpine".into());
        input.options.contexts.insert("x".into(), alpine);
        let analysis = analyze(&input);
        let codes: Vec<_> = analysis
            .diagnostics
            .iter()
            .map(|found| found.code.clone())
            .collect();
        codes
    };
    // What BuildKit answers: it reads the name though nobody asks for the image, and does not know that it is a stage's.
    for bad in ["Bad", "a:b:c", "a_"] {
        assert_eq!(
            with(&format!("FROM {bad} AS x\nRUN y\n")),
            ["bad-image-name"],
            "{bad}"
        );
        assert_eq!(
            with(&format!("FROM {bad} AS x\nFROM x\n")),
            ["bad-image-name"],
            "{bad}"
        );
    }
    for good in [
        "scratch",
        "busybox",
        "nowhere.example/a@sha256:0123456789012345678901234567890123456789012345678901234567890123",
        "a@sha384:012345678901234567890123456789012345678901234567890123456789012345678901234567890123456789abcdef",
    ] {
        assert!(with(&format!("FROM {good} AS x\nRUN y\n")).is_empty(), "{good}");
    }
}

#[test]
fn a_name_is_taken_for_an_earlier_stage_though_a_later_one_is_nearer() {
    let found = analysis(
        "FROM scratch AS build\nFROM buildxy\nFROM scratch AS buildxyz\n",
        None,
    );
    let hints: Vec<_> = found
        .diagnostics
        .iter()
        .map(|finding| finding.hint.as_deref())
        .collect();
    assert_eq!(hints, [Some("Did you mean build?")]);
}

#[test]
fn stages_say_why_they_are_built_or_not() {
    let source = "FROM alpine AS a\nFROM a AS b\nRUN x\nFROM alpine AS c\nRUN y\nFROM scratch\nCOPY --from=b /x/app /\n";
    let analysis = analysis(source, None);
    let reasons: Vec<_> = analysis
        .stages
        .iter()
        .map(|stage| stage.reason.as_str())
        .collect();
    assert_eq!(
        reasons,
        [
            "b starts from it.",
            "stage-3 copies /x/app from it.",
            "Nothing that stage-3 needs uses it.",
            "It is the last stage, so it is what ships.",
        ]
    );
}

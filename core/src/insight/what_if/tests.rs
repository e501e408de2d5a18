use std::fmt::Write as _;

use proptest::prelude::*;
use serde_json::json;

use super::*;

mod model;

const APP: &str = "\
FROM golang AS build
WORKDIR /src
COPY go.mod .
RUN go mod download
COPY . .
RUN go build -o /app
FROM alpine
ARG LABEL=none
RUN echo $LABEL
COPY --from=build /app /app
CMD [\"/app\"]
";

fn input(source: &str) -> Input {
    Input {
        source: source.into(),
        ..Input::default()
    }
}

fn touched(paths: &[&str]) -> Change {
    Change {
        context: paths.iter().map(|path| (*path).to_owned()).collect(),
        ..Change::default()
    }
}

/// Steps with their outcomes, those apart that only change the configuration.
fn outcomes(answer: &WhatIf) -> Vec<(String, Outcome)> {
    answer
        .steps
        .iter()
        .filter(|step| step.step.is_some() && step.outcome != Outcome::Config)
        .map(|step| (step.text.clone(), step.outcome))
        .collect()
}

fn of(answer: &WhatIf, text: &str) -> Outcome {
    let step = answer.steps.iter().find(|step| step.text.contains(text));
    step.unwrap_or_else(|| panic!("no step {text}")).outcome
}

fn story(answer: &WhatIf, text: &str) -> Vec<String> {
    let step = answer.steps.iter().find(|step| step.text.contains(text)).unwrap();
    let chain = answer.chain(step.decides.unwrap());
    chain.into_iter().map(|cause| cause.text.clone()).collect()
}

#[test]
fn a_changed_file_reruns_what_reads_it_and_what_follows() {
    let answer = what_if(&input(APP), &touched(&["app.go"]));
    let expected = [
        ("WORKDIR /src", Outcome::Cached),
        ("COPY go.mod .", Outcome::Cached),
        ("RUN go mod download", Outcome::Cached),
        ("COPY . .", Outcome::Reruns),
        ("RUN go build -o /app", Outcome::Reruns),
        ("RUN echo $LABEL", Outcome::Cached),
        ("COPY --from=build /app /app", Outcome::MayRerun),
    ];
    let expected: Vec<(String, Outcome)> = expected.map(|(text, outcome)| (text.to_owned(), outcome)).into();
    assert_eq!(outcomes(&answer), expected);
    assert_eq!(
        story(&answer, "--from=build"),
        [
            "COPY . . reads app.go, which changed.",
            "RUN go build -o /app follows COPY . ., whose files are others.",
            "COPY --from=build /app /app reads /app of RUN go build -o /app, which may be another.",
        ]
    );
    assert_eq!(
        (
            answer.totals.reruns,
            answer.totals.may_rerun,
            answer.totals.cached
        ),
        (2, 1, 4)
    );
}

#[test]
fn a_file_that_no_step_reads_changes_nothing() {
    let source =
        "FROM a\nCOPY src/*.c /s/\nCOPY --exclude=*.md docs /d/\nRUN --mount=source=conf,target=/c make\n";
    for path in ["README", "src/sub/x.c", "docs/a.md", "srcs/a.c"] {
        let answer = what_if(&input(source), &touched(&[path]));
        assert_eq!(answer.totals.cached, 3, "{path} {:?}", outcomes(&answer));
    }
    for (path, first) in [("src/x.c", "src/*.c"), ("docs/a.txt", "docs"), ("conf/x", "make")] {
        let answer = what_if(&input(source), &touched(&[path]));
        assert_eq!(of(&answer, first), Outcome::Reruns, "{path}");
    }
    let answer = what_if(&input(source), &touched(&["src/"]));
    assert_eq!(of(&answer, "src/*.c"), Outcome::MayRerun);
}

#[test]
fn what_the_ignore_file_keeps_out_changes_nothing() {
    let mut ignoring = input("FROM a\nCOPY . /\n");
    ignoring.options.ignore = Some("*.md\ndocs\n!docs/keep\n".into());
    for (path, expected) in [
        ("README.md", Outcome::Cached),
        ("docs/x", Outcome::Cached),
        ("./docs/keep", Outcome::Reruns),
        ("docs/", Outcome::MayRerun),
        ("src/x.md", Outcome::Reruns),
    ] {
        assert_eq!(
            of(&what_if(&ignoring, &touched(&[path])), "COPY"),
            expected,
            "{path}"
        );
    }
    let change = Change {
        ignore: Some("*.md\n".into()),
        ..Change::default()
    };
    assert_eq!(of(&what_if(&ignoring, &change), "COPY"), Outcome::MayRerun);
}

#[test]
fn a_build_argument_reruns_the_commands_that_get_it() {
    let change = Change {
        build_args: BTreeMap::from([("LABEL".to_owned(), Some("x".to_owned()))]),
        ..Change::default()
    };
    let answer = what_if(&input(APP), &change);
    assert_eq!(of(&answer, "echo"), Outcome::Reruns);
    assert_eq!(story(&answer, "echo"), ["RUN echo $LABEL: LABEL is another."]);
    // What the command leaves behind may be the same as before.
    assert_eq!(of(&answer, "--from=build"), Outcome::MayRerun);
    assert_eq!(of(&answer, "go build"), Outcome::Cached);
}

fn facts(layers: &[&str]) -> ImageFacts {
    use crate::digest::Digest;
    let layers: Vec<Digest> = layers.iter().map(|layer| Digest::of(layer.as_bytes())).collect();
    ImageFacts {
        digest: Digest::of(format!("{layers:?}").as_bytes()),
        config: json!({ "architecture": "amd64", "os": "linux", "rootfs": { "type": "layers", "diff_ids": layers } }),
        size: 0,
        note: None,
    }
}

#[test]
fn another_base_image_reruns_all_that_stands_on_it() {
    let change = Change {
        images: BTreeMap::from([("alpine".to_owned(), None)]),
        ..Change::default()
    };
    let answer = what_if(&input(APP), &change);
    assert_eq!(of(&answer, "echo"), Outcome::Reruns);
    assert_eq!(of(&answer, "--from=build"), Outcome::Reruns);
    assert_eq!(of(&answer, "go build"), Outcome::Cached);
    assert_eq!(
        story(&answer, "echo"),
        [
            "FROM docker.io/library/alpine:latest has other files now.",
            "RUN echo $LABEL follows FROM docker.io/library/alpine:latest, whose files are others."
        ]
    );
}

#[test]
fn an_image_with_another_digest_and_the_same_layers_changes_nothing() {
    let mut before = input("FROM alpine\nRUN x\n");
    before
        .options
        .images
        .insert("docker.io/library/alpine:latest".into(), facts(&["a"]));
    let mut again = facts(&["a"]);
    again.digest = crate::digest::Digest::of(b"another manifest");
    for (now, expected) in [(again, Outcome::Cached), (facts(&["b"]), Outcome::Reruns)] {
        let change = Change {
            images: BTreeMap::from([("alpine".to_owned(), Some(now))]),
            ..Change::default()
        };
        assert_eq!(of(&what_if(&before, &change), "RUN x"), expected);
    }
}

#[test]
fn an_edited_file_keeps_what_stands_before_the_edit() {
    let edited = APP.replace("RUN go mod download", "RUN go mod verify\nRUN go mod download");
    let change = Change {
        source: Some(edited),
        ..Change::default()
    };
    let answer = what_if(&input(APP), &change);
    assert_eq!(of(&answer, "COPY go.mod"), Outcome::Cached);
    assert_eq!(of(&answer, "verify"), Outcome::New);
    // A layer more is below it now, whatever is in that.
    assert_eq!(of(&answer, "download"), Outcome::Reruns);
    assert_eq!(of(&answer, "echo"), Outcome::Cached);
    assert_eq!(answer.gone, []);

    let removed = Change {
        source: Some(APP.replace("RUN go mod download\n", "")),
        ..Change::default()
    };
    let answer = what_if(&input(APP), &removed);
    assert_eq!(of(&answer, "COPY . ."), Outcome::Reruns);
    assert_eq!(answer.gone.len(), 1);
    assert_eq!(
        (answer.gone[0].text.as_str(), answer.gone[0].lines.start),
        ("RUN go mod download", 4)
    );

    let reworded = Change {
        source: Some(APP.replace("RUN go mod download", "RUN go mod vendor")),
        ..Change::default()
    };
    let answer = what_if(&input(APP), &reworded);
    assert_eq!(of(&answer, "vendor"), Outcome::Reruns);
    // Were both commands to change no files, the rest would stay cached.
    assert_eq!(of(&answer, "COPY . ."), Outcome::MayRerun);
}

#[test]
fn comments_blanks_and_stage_names_rerun_nothing() {
    let edited = format!(
        "# a comment\n{}",
        APP.replace("build", "compiler")
            .replace("go compiler", "go build")
    );
    let change = Change {
        source: Some(edited),
        ..Change::default()
    };
    let answer = what_if(&input(APP), &change);
    assert_eq!(answer.totals.cached, 7, "{:?}", outcomes(&answer));
}

#[test]
fn an_inline_document_reruns_with_its_text() {
    let source = "FROM a\nCOPY <<EOF /x\none\nEOF\nRUN cat /x\n";
    let change = Change {
        source: Some(source.replace("one", "two")),
        ..Change::default()
    };
    let answer = what_if(&input(source), &change);
    assert_eq!(of(&answer, "COPY"), Outcome::Reruns);
    assert_eq!(of(&answer, "RUN"), Outcome::Reruns);
    assert_eq!(story(&answer, "COPY"), ["COPY <<EOF /x: its text is another."]);
}

#[test]
fn a_linked_copy_stays_when_what_is_below_it_changes() {
    let change = Change {
        images: BTreeMap::from([("a".to_owned(), None)]),
        ..Change::default()
    };
    let answer = what_if(&input("FROM a\nCOPY --link x /x\nRUN y\n"), &change);
    assert_eq!(of(&answer, "COPY"), Outcome::Cached);
    assert_eq!(of(&answer, "RUN"), Outcome::Reruns);
}

#[test]
fn no_cache_reruns_all_or_the_stages_that_were_named() {
    let all = Change {
        no_cache: true,
        ..Change::default()
    };
    assert_eq!(what_if(&input(APP), &all).totals.reruns, 7);
    let some = Change {
        no_cache_stages: vec!["Build".into()],
        ..Change::default()
    };
    let answer = what_if(&input(APP), &some);
    assert_eq!(
        (
            answer.totals.reruns,
            answer.totals.may_rerun,
            answer.totals.cached
        ),
        (5, 1, 1)
    );
}

#[test]
fn another_target_skips_what_it_does_not_need() {
    let change = Change {
        target: Some("build".into()),
        ..Change::default()
    };
    let answer = what_if(&input(APP), &change);
    assert_eq!((answer.totals.cached, answer.totals.skipped), (5, 4));
}

#[test]
fn a_file_that_cannot_be_built_is_said_to_be_one() {
    let change = Change {
        source: Some("FROM a\nNONSENSE\n".into()),
        ..Change::default()
    };
    let answer = what_if(&input(APP), &change);
    assert!(!answer.planned);
    assert_eq!(of(&answer, "NONSENSE"), Outcome::Unknown);
    // And the way back: everything is new.
    let change = Change {
        source: Some(APP.into()),
        ..Change::default()
    };
    let answer = what_if(&input("FROM a\nNONSENSE\n"), &change);
    assert_eq!(answer.totals.new, 7);
}

#[test]
fn answers_and_changes_survive_json() {
    let answer = what_if(&input(APP), &touched(&["app.go"]));
    let text = serde_json::to_string(&answer).unwrap();
    assert_eq!(serde_json::from_str::<WhatIf>(&text).unwrap(), answer);
    let change: Change = serde_json::from_str(r#"{"context":["a"],"buildArgs":{"X":null}}"#).unwrap();
    assert_eq!(change.build_args, BTreeMap::from([("X".to_owned(), None)]));
}

#[test]
fn ten_thousand_lines_cost_little() {
    let mut source = String::from("FROM a AS s0\n");
    for number in 0..2500 {
        let _ = write!(
            source,
            "RUN make {number}\nCOPY file{number} /\nRUN make\nENV A={number}\n"
        );
    }
    let before = input(&source);
    let change = Change {
        source: Some(source.replace("make 7\n", "make seven\n")),
        context: vec!["file1200".into()],
        ..Change::default()
    };
    let answer = what_if(&before, &change);
    assert_eq!(answer.totals.cached, 3 * 7);
    // The debug build needs about a second; what is quadratic needs minutes.
    assert!(answer.chain(answer.ops.len() - 1).len() > 3000);
}

// ---- Against a builder that keeps its results by content ----------------------------------------------------

/// An instruction of a generated stage.
fn instruction() -> impl Strategy<Value = String> {
    prop_oneof![
        (0..5u32).prop_map(|number| format!("RUN command {number}")),
        (0..3u32).prop_map(|number| format!("RUN [\"exec\", \"{number}\"]")),
        prop_oneof![
            Just("a.txt"),
            Just("b.txt"),
            Just("src"),
            Just("src/x.go"),
            Just("*.txt"),
            Just("."),
            Just("a.txt b.txt")
        ]
        .prop_flat_map(|sources| (Just(sources), 0..3u32))
        .prop_map(|(sources, place)| format!("COPY {sources} /d{place}/")),
        Just("COPY --exclude=*.txt . /e/".to_owned()),
        Just("COPY --parents src/x.go /p/".to_owned()),
        Just("COPY --link src /l/".to_owned()),
        Just("ADD b.txt /add/".to_owned()),
        (0..2u32).prop_map(|number| format!("COPY <<EOF /inline\n{number}\nEOF")),
        (0..3u32, prop_oneof![Just("/out"), Just("/d1"), Just("/")])
            .prop_map(|(stage, path)| format!("COPY --from=s{stage} {path} /f/")),
        (0..3u32).prop_map(|stage| format!("COPY --link --from=s{stage} /out /k/")),
        (0..3u32).prop_map(|stage| format!("RUN --mount=from=s{stage},source=/d0,target=/m command m")),
        Just("RUN --mount=source=src,target=/m command c".to_owned()),
        (0..2u32).prop_map(|number| format!("WORKDIR /w{number}")),
        Just("ARG V=1".to_owned()),
        (0..2u32).prop_map(|number| format!("ENV E={number}$V")),
        Just("USER nobody".to_owned()),
    ]
}

fn stage() -> impl Strategy<Value = (u32, Vec<String>)> {
    (0..4u32, prop::collection::vec(instruction(), 1..5))
}

/// A file of three stages and one that ships.
fn dockerfile(stages: &[(u32, Vec<String>)]) -> String {
    let mut text = String::new();
    for (index, (base, instructions)) in stages.iter().enumerate() {
        let base = match *base {
            0 => "one".to_owned(),
            1 => "two".to_owned(),
            2 => "scratch".to_owned(),
            _ if index > 0 => format!("s{}", index - 1),
            _ => "one".to_owned(),
        };
        let _ = writeln!(text, "FROM {base} AS s{index}");
        for instruction in instructions {
            // A stage copies from those before it.
            let later = (index..3).any(|stage| instruction.contains(&format!("from=s{stage}")));
            if !later {
                let _ = writeln!(text, "{instruction}");
            }
        }
    }
    text
}

/// A line more, less, others, or two in another order.
fn edit(source: &str, place: usize, how: u32, line: &str) -> String {
    let mut lines: Vec<&str> = source.lines().collect();
    let places: Vec<usize> = (0..lines.len())
        .filter(|place| {
            !lines[*place].starts_with("FROM") && !lines[*place].contains("from=") && !line.contains("from=")
        })
        .filter(|place| !lines[*place].contains("EOF") && lines[*place].parse::<u32>().is_err())
        .collect();
    let Some(&place) = places.get(place % places.len().max(1)) else {
        return source.to_owned();
    };
    match how {
        0 => lines.insert(place, line),
        1 => drop(lines.remove(place)),
        2 => lines[place] = line,
        _ => {
            let other = places[(places.iter().position(|found| *found == place).unwrap() + 1) % places.len()];
            lines.swap(place, other);
        }
    }
    lines.join("\n") + "\n"
}

proptest! {
    #[test]
    fn the_forecast_holds_for_every_behaviour_of_commands(
        stages in prop::collection::vec(stage(), 4),
        paths in prop::collection::vec(prop_oneof![Just("a.txt"), Just("b.txt"), Just("src/x.go"), Just("src/y.md"), Just("other")], 0..3),
        argument in prop::option::of(0..3u32),
        image in 0..8u32,
        editing in prop::option::of((0..20usize, 0..4u32, instruction())),
        known in any::<bool>(),
    ) {
        let mut before = input(&dockerfile(&stages));
        if known {
            for name in ["one", "two"] {
                before.options.images.insert(full(name), facts(&[name]));
            }
        }
        let mut change = touched(&paths);
        if let Some(value) = argument {
            change.build_args.insert("V".into(), Some(value.to_string()));
        }
        match image {
            0 => drop(change.images.insert("one".into(), None)),
            1 if known => drop(change.images.insert("one".into(), Some(facts(&["newer"])))),
            2 if known => {
                let mut same = facts(&["one"]);
                same.digest = crate::digest::Digest::of(b"other manifest");
                change.images.insert("one".into(), Some(same));
            }
            _ => {}
        }
        if let Some((place, how, line)) = &editing {
            change.source = Some(edit(&before.source, *place, *how, line));
        }
        let after = change.apply(&before);
        let (old_plan, new_plan) = (analyze(&before), analyze(&after));
        prop_assume!(old_plan.definition.is_some() && new_plan.definition.is_some());
        let answer = what_if(&before, &change);
        for behaviour in 0..12 {
            let mut builder = model::Builder::new(behaviour, known);
            builder.build(&old_plan);
            let missed = builder.rebuild(&new_plan, &change);
            for forecast in &answer.ops {
                let Some(missed) = missed[forecast.op] else { continue };
                let name = &new_plan.definition.as_ref().unwrap().ops[forecast.op].name;
                match forecast.outcome {
                    Outcome::Cached => prop_assert!(!missed, "{name} was said to be cached\n{}\n{change:?}", before.source),
                    Outcome::Reruns | Outcome::New => {
                        prop_assert!(missed, "{name} was said to rerun\n{}\n{change:?}\n{:?}", before.source, forecast.causes);
                    }
                    Outcome::MayRerun => {}
                    other => prop_assert!(false, "{name}: {other:?}"),
                }
            }
        }
    }

    /// Where only files change, the graph alone tells: what can be reached from a step that reads one of them, and
    /// whether it stands on it or only copies from it.
    #[test]
    fn only_what_the_graph_leads_to_is_touched(
        stages in prop::collection::vec(stage(), 4),
        path in prop_oneof![Just("a.txt"), Just("b.txt"), Just("src/x.go")],
    ) {
        let before = input(&dockerfile(&stages));
        let plan = analyze(&before);
        let answer = what_if(&before, &touched(&[path]));
        for (forecast, expected) in answer.ops.iter().zip(model::reached(&plan, path)) {
            let Some(expected) = expected else { continue };
            prop_assert_eq!(forecast.outcome, expected, "{:?}\n{}", forecast, before.source);
        }
    }
}

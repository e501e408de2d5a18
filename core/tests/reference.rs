//! Small files whose plans are known: what BuildKit makes of them is recorded in `reference.jsonl`, one case a line.
//!
//! They hold what a Dockerfile alone does not show: named contexts, `--no-cache`, ignore files, base images that carry
//! triggers, platforms in many spellings, several platforms at once, flags about commands. Every image is taken to have the sha256 of its
//! reference for a digest, and, where a case says nothing else, a `PATH` and nothing more.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "these are tests")]

use std::collections::BTreeMap;

use proptest::prelude::*;
use serde::Deserialize;
use serde_json::{Value, json};
use stagewright_core::analysis::{
    ImageConfig, ImageFacts, LocalContext, LocalIdentity, NamedContext, Options, RunOptions,
};
use stagewright_core::diagnostic::Severity;
use stagewright_core::digest::Digest;
use stagewright_core::llb::{Definition, HostIp, MetaParts, NetMode, Ulimit, print, to_json};
use stagewright_core::{Analysis, Input, analyze, calls};

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Case {
    dockerfile: String,
    platform: String,
    #[serde(default)]
    target: Option<String>,
    #[serde(default)]
    args: BTreeMap<String, String>,
    #[serde(default)]
    contexts: BTreeMap<String, String>,
    /// The ignore files of folders that are contexts.
    #[serde(default)]
    context_ignore: BTreeMap<String, String>,
    #[serde(default)]
    no_cache: Option<String>,
    #[serde(default)]
    ignore: Option<String>,
    #[serde(default)]
    images: BTreeMap<String, Value>,
    #[serde(default)]
    session: Option<String>,
    #[serde(default)]
    multi_platform: bool,
    #[serde(default)]
    run: Run,
    /// sha256 over the digests of the ops.
    #[serde(default)]
    definition: Option<String>,
    /// Left out where the reference counts the step of a FROM twice, which ours does not.
    #[serde(default)]
    names: Option<Vec<String>>,
    /// The ops that are not to come from the cache.
    #[serde(default)]
    uncached: Vec<usize>,
    #[serde(default)]
    image: Option<Value>,
    /// Where the build cannot be planned: the lines that are at fault.
    #[serde(default)]
    error_lines: Option<Vec<String>>,
}

/// What flags of a build give to every command.
#[derive(Deserialize, Default)]
#[serde(rename_all = "camelCase", deny_unknown_fields, default)]
struct Run {
    network: Option<String>,
    hosts: Vec<(String, String)>,
    ulimits: Vec<(String, i64, i64)>,
    shm_size: i64,
    cgroup_parent: String,
}

impl Run {
    fn options(&self) -> RunOptions {
        let hosts = self.hosts.iter().cloned();
        let ulimits = self.ulimits.iter().cloned();
        RunOptions {
            network: match self.network.as_deref() {
                Some("host") => NetMode::Host,
                Some("none") => NetMode::None,
                _ => NetMode::Unset,
            },
            meta: MetaParts::new(
                hosts.map(|(host, ip)| HostIp { host, ip }).collect(),
                ulimits
                    .map(|(name, soft, hard)| Ulimit { name, soft, hard })
                    .collect(),
                self.cgroup_parent.clone(),
            ),
            shm_size: self.shm_size,
        }
    }
}

fn cases() -> Vec<Case> {
    include_str!("reference.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect(line))
        .collect()
}

fn input(case: &Case) -> Input {
    let context = |text: &String| match text.strip_prefix("local:") {
        Some(name) => NamedContext::Local(LocalContext {
            name: name.to_owned(),
            ignore: case.context_ignore.get(name).cloned(),
            ..LocalContext::default()
        }),
        None => NamedContext::read("", text),
    };
    let contexts = case.contexts.iter();
    let mut input = Input {
        source: case.dockerfile.clone(),
        options: Options {
            target: case.target.clone(),
            build_args: case.args.clone(),
            platform: Some(case.platform.parse().unwrap()),
            contexts: contexts
                .map(|(name, text)| (name.clone(), context(text)))
                .collect(),
            no_cache: case.no_cache.as_ref().map(|stages| {
                let named = stages.split(',').filter(|stage| !stage.is_empty());
                named.map(str::to_owned).collect()
            }),
            ignore: case.ignore.clone(),
            name_platforms: case.multi_platform,
            run: case.run.options(),
            local: match &case.session {
                Some(session) => LocalIdentity::Session(session.clone()),
                None => LocalIdentity::Unique("refdump".into()),
            },
            ..Options::default()
        },
    };
    // Triggers of a base may name images of their own.
    while look_up(case, &mut input) {}
    input
}

fn look_up(case: &Case, input: &mut Input) -> bool {
    let usual = json!({
        "architecture": "amd64",
        "os": "linux",
        "config": { "Env": ["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"] },
        "rootfs": { "type": "layers", "diff_ids": [Digest::of(b"")] },
    });
    let images = analyze(input).images;
    let mut found = false;
    for image in images.into_iter().filter(|image| !image.resolved) {
        found = true;
        let digest = match image.reference.split_once('@') {
            Some((_, digest)) => digest.parse().unwrap(),
            None => Digest::of(image.reference.as_bytes()),
        };
        let facts = ImageFacts {
            digest,
            config: case.images.get(&image.reference).unwrap_or(&usual).clone(),
            size: 0,
            note: None,
        };
        input.options.images.insert(image.reference, facts);
    }
    found
}

#[test]
fn plans_are_those_of_the_reference() {
    for case in cases() {
        let input = input(&case);
        let analysis = analyze(&input);
        let said = format!("{}\n{:?}", case.dockerfile, analysis.diagnostics);
        let Some(expected) = &case.definition else {
            assert_eq!(analysis.definition, None, "{said}");
            assert!(analysis.has_errors(), "{said}");
            lines_are_said(&case, &analysis);
            continue;
        };
        let definition = analysis.definition.as_ref().expect(&said);
        let names: Vec<&str> = definition.ops.iter().map(|op| op.name.as_str()).collect();
        if let Some(expected) = &case.names {
            assert_eq!(names, *expected, "{said}");
        }
        assert_eq!(definition.digest.as_str(), expected, "{said}");
        let ops = definition.ops.iter().enumerate();
        let uncached: Vec<usize> = ops
            .filter(|(_, op)| op.ignore_cache)
            .map(|(index, _)| index)
            .collect();
        assert_eq!(uncached, case.uncached, "{said}");
        let image = analysis.image_config.as_ref().map(ImageConfig::to_value);
        assert_eq!(image, case.image, "{said}");
    }
}

fn lines_are_said(case: &Case, analysis: &Analysis) {
    for lines in case.error_lines.iter().flatten() {
        let line: u32 = lines.split(':').next().unwrap().parse().unwrap();
        let mut errors = analysis
            .diagnostics
            .iter()
            .filter(|finding| finding.severity == Severity::Error);
        assert!(
            errors.any(|finding| finding.lines.start == line),
            "{}",
            case.dockerfile
        );
    }
}

#[test]
fn whole_definitions_are_written_and_read_again() {
    for case in cases().iter().filter(|case| case.definition.is_some()) {
        let input = input(case);
        let written = calls::llb(&input, "Dockerfile").unwrap();
        let (read, vertices) = Definition::decode(&written.to_bytes()).unwrap();
        assert_eq!(read, written);
        let json = to_json(&read, &vertices);
        let names: Vec<&str> = json
            .as_array()
            .unwrap()
            .iter()
            .map(|op| op["name"].as_str().unwrap_or_default())
            .collect();
        if let Some(expected) = &case.names {
            assert_eq!(names, *expected, "{}", case.dockerfile);
        }
        let printed = print(&read, &vertices);
        let paragraphs = printed.split("\n\n").filter(|text| text.starts_with("op "));
        assert_eq!(paragraphs.count(), vertices.ops.len(), "{printed}");
    }
}

#[test]
fn source_maps_lead_back_to_the_lines() {
    let input = Input {
        source: "FROM alpine AS a\nRUN one \\\n  two\nFROM alpine\nCOPY --from=a /x /y\n".into(),
        ..Input::default()
    };
    let definition = calls::llb(&input, "web.Dockerfile").unwrap();
    let (read, vertices) = Definition::decode(&definition.to_bytes()).unwrap();
    let ops = to_json(&read, &vertices);
    let lines: Vec<String> = ops
        .as_array()
        .unwrap()
        .iter()
        .map(|op| op["lines"].to_string())
        .collect();
    assert_eq!(
        lines,
        [
            // Both stages start from one op; each place is told.
            r#"["4:0-4:0","1:0-1:0"]"#,
            r#"["2:0-2:0,3:0-3:0"]"#,
            r#"["5:0-5:0"]"#,
            "null"
        ]
    );
    let source = read.source.unwrap();
    assert_eq!(source.infos[0].filename, "web.Dockerfile");
    assert_eq!(source.infos[0].data, input.source.as_bytes());
}

/// A definition that has every kind of thing in it.
fn definition() -> Vec<u8> {
    let source = "FROM alpine AS a\nRUN --mount=type=cache,target=/c --mount=type=secret,id=s,env=S --mount=type=ssh x\n\
                  FROM alpine\nCOPY --link --from=a /x /y\nADD https://x/y.git#v1 /z\nCOPY --chown=u:3 <<E /e\nhi\nE\n";
    let input = Input {
        source: source.into(),
        ..Input::default()
    };
    calls::llb(&input, "Dockerfile").unwrap().to_bytes()
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        if let Ok((read, vertices)) = Definition::decode(&bytes) {
            prop_assert!(print(&read, &vertices).ends_with('\n'));
            prop_assert!(to_json(&read, &vertices).is_array());
        }
    }

    #[test]
    fn spoilt_definitions_are_read_or_refused(spoilt in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6)) {
        let mut bytes = definition();
        for (place, byte) in spoilt {
            let place = place.index(bytes.len());
            bytes[place] = byte;
        }
        if let Ok((read, vertices)) = Definition::decode(&bytes) {
            prop_assert!(print(&read, &vertices).ends_with('\n'));
            prop_assert!(to_json(&read, &vertices).is_array());
        }
    }
}

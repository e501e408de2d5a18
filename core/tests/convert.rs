//! The builder pattern: what scripts and Dockerfiles become, and what is said where they cannot become it.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "these are tests"
)]

use std::fmt::Write as _;

use proptest::prelude::*;
use stagewright_core::analysis::{EdgeKind, EdgeSource};
use stagewright_core::convert::{Conversion, Pattern, SourceFile, convert};
use stagewright_core::diagnostic::{Severity, render};
use stagewright_core::layout::{self, LayoutOptions};
use stagewright_core::{Input, analyze};

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile {
        name: name.into(),
        text: text.into(),
    }
}

fn pattern(script: &str, files: &[(&str, &str)]) -> Pattern {
    Pattern {
        script: file("build.sh", script),
        dockerfiles: files.iter().map(|(name, text)| file(name, text)).collect(),
        ..Pattern::default()
    }
}

/// The Dockerfile, where there has to be one.
#[track_caller]
fn converted(script: &str, files: &[(&str, &str)]) -> String {
    let conversion = convert(&pattern(script, files));
    let Some(dockerfile) = conversion.dockerfile else {
        panic!("{:#?}", conversion.findings)
    };
    sound(&dockerfile);
    dockerfile
}

/// What is written has no errors in it.
#[track_caller]
fn sound(dockerfile: &str) {
    let analysis = analyze(&Input {
        source: dockerfile.into(),
        ..Input::default()
    });
    assert!(
        !analysis.has_errors(),
        "{dockerfile}\n{:#?}",
        analysis.diagnostics
    );
}

const GO: &str = "FROM golang:1.7.3\nWORKDIR /src\nCOPY app.go .\nRUN go build -o app .\n";
const FINAL: &str = "FROM alpine:latest\nWORKDIR /root/\nCOPY app .\nCMD [\"./app\"]\n";
const TAKE: &str = "docker build -t app:build -f Dockerfile.build .\n\
    docker create --name extract app:build\n\
    docker cp extract:/src/app ./app\n\
    docker rm -f extract\n\
    docker build -t app .\n\
    rm ./app\n";

/// Name, script, Dockerfiles.
type Fixture<'f> = (&'f str, &'f str, &'f [(&'f str, &'f str)]);

const CONVERTED: &[Fixture<'_>] = &[
    (
        "the seed",
        include_str!("../../static/examples/builder-pattern/build.sh"),
        &[
            (
                "Dockerfile.build",
                include_str!("../../static/examples/builder-pattern/Dockerfile.build"),
            ),
            (
                "Dockerfile",
                include_str!("../../static/examples/builder-pattern/Dockerfile"),
            ),
        ],
    ),
    (
        "comments, a directive and arguments stay in their order",
        "VERSION=1.2\ndocker build --build-arg GO=1.21 --build-arg VERSION=$VERSION -t app:build -f Dockerfile.build . &&\n\
         id=$(docker create app:build)\ndocker cp \"$id\":/src/app app\ndocker rm -v $id\n\
         docker build --build-arg VERSION=\"$VERSION\" -t app:$VERSION .\n",
        &[
            (
                "Dockerfile.build",
                "# syntax=docker/dockerfile:1\n# What it is built with.\nARG GO=1.20\n\n# The compiler.\nFROM golang:${GO}\nARG VERSION\nRUN go build -ldflags $VERSION -o /src/app\n",
            ),
            (
                "Dockerfile",
                "# syntax=docker/dockerfile:1\n# What ships.\nFROM alpine\nARG VERSION\nLABEL version=$VERSION\n# The program.\nCOPY app /usr/bin/app\n",
            ),
        ],
    ),
    (
        "one argument with two meanings",
        "docker build --build-arg V=1 -t b -f b.Dockerfile .\ndocker create --name x b\ndocker cp x:/out/f .\ndocker build -t c .\n",
        &[
            ("b.Dockerfile", "ARG V=0\nFROM golang:$V\nARG V\nRUN make V=$V\n"),
            ("Dockerfile", "ARG V=3\nFROM alpine:$V\nARG V\nCOPY f /f\n"),
        ],
    ),
    (
        "a folder goes into a folder that is there, and into one that is not",
        "docker build -t b:assets -f assets.Dockerfile .\ndocker create --name x b:assets\nmkdir dist\n\
         docker cp x:/out/js dist\ndocker cp x:/out/css styles\ndocker cp x:/out/img/. dist/\ndocker build -t web .\nrm -rf dist styles\n",
        &[
            (
                "assets.Dockerfile",
                "FROM node:20\nCOPY . /src\nRUN make -C /src OUT=/out\n",
            ),
            (
                "Dockerfile",
                "FROM nginx\nCOPY dist /usr/share/nginx/html\nCOPY styles/main.css conf/* /etc/app/\n",
            ),
        ],
    ),
    (
        "a file with another name, whose place hangs on that",
        "docker build -t b:build -f b.Dockerfile .\ndocker create --name x b:build\ndocker cp x:/src/main server\ndocker cp x:/etc/app.conf settings\ndocker build -t c .\nrm server\n",
        &[
            ("b.Dockerfile", "FROM golang\nRUN go build -o /src/main\n"),
            (
                "Dockerfile",
                "FROM alpine\nCOPY server /bin/\nCOPY settings /etc/\nCOPY settings /etc/settings\n",
            ),
        ],
    ),
    (
        "one Dockerfile with two targets",
        "docker build --target builder -t app:builder .\ndocker container create --name e app:builder\ndocker container cp e:/src/app build/app\ndocker build -t app .\n",
        &[(
            "Dockerfile",
            "FROM golang AS builder\nWORKDIR /src\nCOPY main.go .\nRUN go build -o app\n\nFROM alpine\nCOPY build/app /app\nCOPY --from=0 /src/main.go /main.go\n",
        )],
    ),
    (
        "an image that another one starts from, and one that it copies from",
        "docker build -t base -f base/Dockerfile base\ndocker build -t tools -f tools.Dockerfile .\ndocker build -t app .\n",
        &[
            (
                "base/Dockerfile",
                "FROM debian\nCOPY sources.list .\nRUN apt-get update\n",
            ),
            (
                "tools.Dockerfile",
                "FROM base:latest AS builder\nRUN make tools\n",
            ),
            (
                "Dockerfile",
                "FROM alpine AS builder\nRUN true\nFROM base\nCOPY --from=tools /tools /tools\nRUN --mount=from=tools,target=/t ls /t\nCOPY --from=builder /x /x\n",
            ),
        ],
    ),
    (
        "a container that makes the file",
        "docker build -t sdk -f sdk.Dockerfile .\ndocker run --name work -e MODE=release -w /src sdk sh -c 'make && strip app'\n\
         docker cp work:/src/app app\ndocker build -t app .\n",
        &[
            ("sdk.Dockerfile", "FROM gcc\nCOPY . /src\n"),
            ("Dockerfile", FINAL),
        ],
    ),
    (
        "a container that makes the file in a folder of the host",
        "docker run --rm -v \"$PWD\":/src -v gocache:/root/.cache -w /src golang:1.21 go build -o app .\ndocker build -t app .\n",
        &[("Dockerfile", FINAL)],
    ),
    (
        "archives: a whole file system, and one that is unpacked on the way",
        "docker build -t rootfs -f rootfs.Dockerfile .\ndocker create --name r rootfs\ndocker export r > rootfs.tar\nmkdir -p out\ndocker cp r:/etc/app - | tar -x -C out\ndocker build -t final .\n",
        &[
            ("rootfs.Dockerfile", "FROM debian\nRUN debootstrap\n"),
            (
                "Dockerfile",
                "FROM scratch\nADD rootfs.tar /\nCOPY out/app/ /etc/app/\n",
            ),
        ],
    ),
    (
        "files from a foreign image, printed and made executable",
        "set -eux\ncd \"$(dirname \"$0\")\"\ndocker run --rm busybox:1.36 cat /bin/busybox > busybox\nchmod +x busybox\n\
         docker create --name n nginx:1.25 && docker cp n:/etc/nginx/mime.types . || exit 1\ndocker build -t t . | tee log\n",
        &[(
            "Dockerfile",
            "FROM scratch\nCOPY --chown=1:1 busybox mime.types /\n",
        )],
    ),
    (
        "line ends, heredocs and the context of a folder further down",
        "docker build -t x:gen gen\ndocker create --name g x:gen\ndocker cp g:/data.json app/data.json\ndocker build -t x -f app/Dockerfile app\n",
        &[
            (
                "gen/Dockerfile",
                "FROM python\r\nCOPY gen.py /\r\nRUN <<EOF\r\npython gen.py\r\nEOF\r\n",
            ),
            (
                "app/Dockerfile",
                "FROM scratch\nCOPY data.json index.html /www/\nCOPY . /all/\nCOPY <<A /a\nx\nA\n",
            ),
        ],
    ),
    (
        "files of another owner",
        "docker build -t b:build -f b.Dockerfile .\ndocker create --name x b:build\ndocker cp x:/home/node/dist dist\ndocker build -t c .\n",
        &[
            ("b.Dockerfile", "FROM node\nUSER node\nRUN npm run build"),
            (
                "Dockerfile",
                "FROM nginx\nCOPY dist /www\nCOPY --chown=2:2 dist /own",
            ),
        ],
    ),
    (
        "podman and buildah",
        "DOCKER='sudo podman'\n$DOCKER build -t b:build -f b.Dockerfile ${CONTEXT:-.}\nc=$(buildah from b:build)\nbuildah run $c -- make\npodman cp $c:/o/bin .\nbuildah bud -t d .\n",
        &[
            ("b.Dockerfile", "FROM gcc\n"),
            ("Dockerfile", "FROM scratch\nCOPY bin /bin\n"),
        ],
    ),
];

const REFUSED: &[Fixture<'_>] = &[
    ("no build", "#!/bin/sh\necho hello\n", &[]),
    (
        "a Dockerfile that is not there",
        "docker build -t a -f Dockerfile.biuld .\n",
        &[("Dockerfile.build", GO)],
    ),
    (
        "a container that is not there",
        "docker build -t a:build -f Dockerfile.build .\ndocker create --name extract a:build\ndocker cp extrcat:/src/app .\ndocker build -t a .\n",
        &[("Dockerfile.build", GO), ("Dockerfile", FINAL)],
    ),
    (
        "a loop over builds, and a condition that may be left out",
        "if [ -d out ]; then rm -r out; fi\nfor arch in amd64 arm64; do\n  docker build --platform linux/$arch -t a:$arch .\ndone\n",
        &[("Dockerfile", "FROM alpine\n")],
    ),
    (
        "values that the script does not say",
        "docker build -t a:build -f $FILE .\ndocker create --name x alpine\ndocker cp x:/$(uname -m)/app app\n",
        &[("Dockerfile", FINAL)],
    ),
    (
        "escape characters that differ",
        TAKE,
        &[
            ("Dockerfile.build", "# escape=`\nFROM golang\nRUN a `\n b\n"),
            ("Dockerfile", FINAL),
        ],
    ),
    (
        "mistakes in both Dockerfiles",
        TAKE,
        &[
            ("Dockerfile.build", "FROM golang\nRUNN make\n"),
            ("Dockerfile", "FROM alpine\nCOPY --form=x app .\nCOPY app\n"),
        ],
    ),
    (
        "a target that is not there, and a flag that is not known",
        "docker build --target buidler -t a .\ndocker build --frobnicate 3 -t b .\n",
        &[("Dockerfile", "FROM alpine AS builder\nFROM alpine\n")],
    ),
    (
        "archives that stay archives",
        "docker build -t a:build -f Dockerfile.build .\ndocker create --name x a:build\ndocker cp x:/src - > src.tar\ndocker cp x:/dist.tar.gz .\ndocker build -t a .\n",
        &[
            ("Dockerfile.build", GO),
            ("Dockerfile", "FROM alpine\nCOPY src.tar /\nADD dist.tar.gz /\n"),
        ],
    ),
    (
        "contexts that have no folder in common",
        "docker build -t a:build -f Dockerfile.build ../lib\ndocker build -t b https://example.com/b.git\ndocker build -t a .\n",
        &[("Dockerfile.build", GO), ("Dockerfile", FINAL)],
    ),
    (
        "files that are made beside the builds",
        "date > stamp\ndocker build -t a:build -f Dockerfile.build .\ndocker create --name x a:build\ndocker cp x:/src/app app\nupx app\ndocker build -t a .\ndocker push a\n",
        &[
            ("Dockerfile.build", GO),
            ("Dockerfile", "FROM alpine\nCOPY app stamp /\n"),
            ("Dockerfile.old", "FROM x\n"),
        ],
    ),
    (
        "an if without an end",
        "if true; then\ndocker build -t a .\n",
        &[("Dockerfile", FINAL)],
    ),
];

fn findings(conversion: &Conversion, pattern: &Pattern) -> String {
    let mut text = String::new();
    for finding in &conversion.findings {
        let files = std::iter::once(&pattern.script).chain(&pattern.dockerfiles);
        let source = files.into_iter().find(|file| file.name == finding.file).unwrap();
        assert!(finding.diagnostic.hint.is_some(), "{finding:?}");
        writeln!(
            text,
            "{}",
            render(&finding.diagnostic, &source.text, &finding.file)
        )
        .unwrap();
    }
    text
}

#[test]
fn patterns_become_one_dockerfile() {
    let mut text = String::new();
    for (name, script, files) in CONVERTED {
        let pattern = pattern(script, files);
        let conversion = convert(&pattern);
        writeln!(text, "=== {name}").unwrap();
        text.push_str(&findings(&conversion, &pattern));
        let dockerfile = conversion.dockerfile.unwrap_or_else(|| panic!("{name}: {text}"));
        sound(&dockerfile);
        writeln!(text, "$ {}", conversion.command.unwrap()).unwrap();
        writeln!(text, "{}", dockerfile.replace('\r', "␍")).unwrap();
        for note in &conversion.notes {
            writeln!(
                text,
                "{:>2}: {:?}: {}",
                note.lines.start, note.became, note.message
            )
            .unwrap();
        }
        text.push('\n');
    }
    insta::assert_snapshot!("converted", text);
}

#[test]
fn what_cannot_be_converted_is_said_where_it_stands() {
    let mut text = String::new();
    for (name, script, files) in REFUSED {
        let pattern = pattern(script, files);
        let conversion = convert(&pattern);
        assert!(!conversion.findings.is_empty(), "{name}");
        let made = if conversion.dockerfile.is_some() {
            "converted"
        } else {
            "refused"
        };
        assert_eq!(conversion.dockerfile.is_none(), conversion.has_errors(), "{name}");
        writeln!(text, "=== {name}: {made}\n{}", findings(&conversion, &pattern)).unwrap();
    }
    insta::assert_snapshot!("refused", text);
}

#[test]
fn the_seed_becomes_what_the_page_shows() {
    let (_, script, files) = CONVERTED[0];
    let dockerfile = converted(script, files);
    let copy = "COPY --from=build /go/src/github.com/alexellis/href-counter/app .\n";
    assert!(dockerfile.contains(copy), "{dockerfile}");
    assert!(
        dockerfile.starts_with("FROM golang:1.7.3 AS build\n"),
        "{dockerfile}"
    );
}

#[test]
fn the_picture_shows_what_was_carried_between_the_builds() {
    let conversion = convert(&pattern(TAKE, &[("Dockerfile.build", GO), ("Dockerfile", FINAL)]));
    let picture = &conversion.graph;
    let labels: Vec<&str> = picture
        .analysis
        .stages
        .iter()
        .map(|stage| stage.label.as_str())
        .collect();
    assert_eq!(labels, ["app:build", "app"]);
    assert_eq!(picture.files, ["Dockerfile.build", "Dockerfile"]);
    let copies: Vec<_> = picture
        .analysis
        .edges
        .iter()
        .filter(|edge| edge.kind == EdgeKind::Copy && edge.to_stage == 1)
        .map(|edge| (edge.from, edge.to_step, edge.paths[0].as_str(), edge.needed))
        .collect();
    assert_eq!(copies, [(EdgeSource::Stage(0), Some(1), "/src/app", true)]);
    let [handover] = picture.handovers.as_slice() else {
        panic!("{:?}", picture.handovers)
    };
    assert_eq!(
        (handover.container.as_str(), handover.host.as_str()),
        ("extract", "app")
    );
    assert_eq!(
        (handover.from_stage, handover.to.as_slice()),
        (Some(0), &[(1, 1)][..])
    );
    let drawing = layout::layout(&picture.analysis, &LayoutOptions::default());
    assert_eq!(drawing.cards.len(), 2);
}

#[test]
fn a_file_of_the_context_is_not_taken_from_a_container_that_lies_over_it() {
    let script = "docker build -t b:build -f b.Dockerfile .\ndocker create --name x b:build\ndocker cp x:/out/. .\ndocker build -t c .\n";
    let files = [
        ("b.Dockerfile", "FROM gcc\nCOPY config.h main.c /src/\n"),
        ("Dockerfile", "FROM scratch\nCOPY config.h /\nCOPY tool /\n"),
    ];
    let dockerfile = converted(script, &files);
    assert!(
        dockerfile.contains("\nCOPY config.h /\nCOPY --from=build /out/tool /\n"),
        "{dockerfile}"
    );
}

#[test]
fn what_is_known_of_the_context_decides_where_a_folder_goes() {
    let script = "docker build -t b:build -f b.Dockerfile .\ndocker create --name x b:build\ndocker cp x:/out web\ndocker build -t c .\n";
    let files = [
        ("b.Dockerfile", "FROM gcc\n"),
        ("Dockerfile", "FROM scratch\nCOPY web /web\n"),
    ];
    let mut pattern = pattern(script, &files);
    let without = convert(&pattern).dockerfile.unwrap();
    assert!(
        without.contains("COPY --from=files /web /web") || without.contains("COPY --from=build /out /web"),
        "{without}"
    );
    pattern.files = Some(vec!["web/".into(), "web/index.html".into()]);
    let with = convert(&pattern).dockerfile.unwrap();
    assert!(
        with.contains("COPY web /web\nCOPY --from=build /out /web/out\n"),
        "{with}"
    );
}

#[test]
fn a_file_that_the_ignore_file_leaves_out_is_spoken_of() {
    let files = [("Dockerfile.build", GO), ("Dockerfile", FINAL)];
    let mut pattern = pattern(TAKE, &files);
    pattern.ignore = Some("app\n".into());
    let conversion = convert(&pattern);
    let codes: Vec<&str> = conversion
        .findings
        .iter()
        .map(|finding| finding.diagnostic.code.as_str())
        .collect();
    assert_eq!(codes, ["ignored-file"]);
    assert!(conversion.dockerfile.is_some());
}

#[test]
fn the_dockerfiles_that_a_script_builds_are_named() {
    let conversion = convert(&pattern(
        "cd sub\ndocker build -f b.Dockerfile .\ndocker build ..\n",
        &[],
    ));
    assert_eq!(
        conversion.lacking,
        ["sub/b.Dockerfile", "Dockerfile", "Containerfile"]
    );
}

#[test]
fn a_long_script_is_read_in_the_time_of_its_length() {
    let mut script = String::new();
    for number in 0..3_000 {
        writeln!(
            script,
            "V{number}=$V; mkdir -p d{number}; docker cp x:/f{number} d{number}/f"
        )
        .unwrap();
    }
    let script = format!("docker create --name x alpine\n{script}docker build -t a .\n");
    let start = std::time::Instant::now();
    let conversion = convert(&pattern(
        &script,
        &[("Dockerfile", "FROM scratch\nCOPY d7/f /\n")],
    ));
    assert!(conversion.dockerfile.is_some());
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

fn scripts() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        Just("docker build -t app:build -f Dockerfile.build ."),
        Just("docker build --target two -t two -f Dockerfile.build ."),
        Just("docker build --build-arg A=1 -t app ."),
        Just("docker create --name x app:build"),
        Just("ID=$(docker create two)"),
        Just("docker cp x:/src/app ./app"),
        Just("docker cp $ID:/src/. ."),
        Just("docker cp x:/src dist"),
        Just("docker run --name y -v $PWD/src:/src two make"),
        Just("docker cp y:/made dist/"),
        Just("docker export x | tar x -C root"),
        Just("docker cp app y:/in"),
        Just("docker commit y app:made"),
        Just("docker tag two app:build"),
        Just("mkdir -p dist root"),
        Just("mv app dist/program"),
        Just("cp -r dist other"),
        Just("chmod 755 dist/program app"),
        Just("rm -rf dist app"),
        Just("cd sub"),
        Just("cd .."),
        Just("if true; then ls; fi"),
    ];
    prop::collection::vec(line, 0..14)
        .prop_map(|lines| lines.join("\n") + "\ndocker build -t last -f Dockerfile.last .\n")
}

const BUILD_FILE: &str = "ARG A=0\nFROM golang AS one\nARG A\nCOPY . /src\nCOPY app* dist/program /in/\nFROM one AS two\nADD app dist /d/\nRUN make\n";
const FINAL_FILE: &str = "ARG A=2\nFROM two AS one\nFROM app:build\nARG A\nCOPY --from=one / /o\nCOPY app other/ root /x/\nCOPY dist/* /y/\n";
const LAST_FILE: &str =
    "FROM app:made\nCOPY [\"app\", \"a b\", \"/z/\"]\nCOPY --from=app / /p\nCOPY --parents dist/program /q\n";

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Whatever a script does: where something is written it has no errors in it, and every span lies in its file.
    #[test]
    fn what_is_written_is_sound(script in scripts()) {
        let files = [("Dockerfile.build", BUILD_FILE), ("Dockerfile", FINAL_FILE), ("Dockerfile.last", LAST_FILE), ("sub/Dockerfile", FINAL_FILE)];
        let pattern = pattern(&script, &files);
        let conversion = convert(&pattern);
        spans_lie_inside(&conversion, &pattern)?;
        prop_assert_eq!(conversion.dockerfile.is_none(), conversion.has_errors());
        if let Some(dockerfile) = &conversion.dockerfile {
            let analysis = analyze(&Input { source: dockerfile.clone(), ..Input::default() });
            prop_assert!(!analysis.has_errors(), "{}\n---\n{}\n{:#?}", script, dockerfile, analysis.diagnostics);
        }
        let picture = &conversion.graph.analysis;
        prop_assert_eq!(conversion.graph.files.len(), picture.stages.len());
        for (index, stage) in picture.stages.iter().enumerate() {
            prop_assert_eq!(stage.index, index);
        }
        for edge in &picture.edges {
            prop_assert!(edge.to_stage < picture.stages.len());
            if let EdgeSource::Stage(from) = edge.from {
                prop_assert!(from < picture.stages.len());
            }
        }
        layout::layout(picture, &LayoutOptions::default());
    }

    /// Any text is read, whatever it is.
    #[test]
    fn any_script_is_read_without_a_panic(script in "([a-z$(){}\"'`;|&<>=\\\\ \n#:./ü*\\[-]|docker |build |create |--name |cp |if |fi |done ){0,60}", dockerfile in "(FROM |COPY |[a-z \n\\\\<=$])*") {
        let pattern = pattern(&script, &[("Dockerfile", &dockerfile)]);
        let conversion = convert(&pattern);
        spans_lie_inside(&conversion, &pattern)?;
    }
}

fn spans_lie_inside(conversion: &Conversion, pattern: &Pattern) -> Result<(), TestCaseError> {
    for finding in &conversion.findings {
        let mut files = std::iter::once(&pattern.script).chain(&pattern.dockerfiles);
        let text = &files.find(|file| file.name == finding.file).unwrap().text;
        let span = finding.diagnostic.span;
        prop_assert!(text.get(span.start..span.end).is_some(), "{:?}", finding);
        prop_assert!(
            finding.diagnostic.severity != Severity::Error || finding.diagnostic.hint.is_some(),
            "{:?}",
            finding
        );
    }
    for note in &conversion.notes {
        prop_assert!(
            pattern.script.text.get(note.span.start..note.span.end).is_some(),
            "{:?}",
            note
        );
    }
    Ok(())
}

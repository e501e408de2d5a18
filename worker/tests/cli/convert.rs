//! `convert`: a script and its Dockerfiles as one file.

use crate::{Folder, fits, run};

const SCRIPT: &str = "#!/bin/sh\n\
    docker build -t app:build -f build/Dockerfile --build-arg V=$V .\n\
    docker create --name extract app:build\n\
    docker cp extract:/out/app ./app\n\
    docker build -t app .\n\
    rm ./app\n";

fn folder() -> Folder {
    Folder::with(&[
        ("make.sh", SCRIPT),
        ("build/Dockerfile", "FROM golang\nARG V\nRUN make $V\n"),
        ("Dockerfile", "FROM alpine\nCOPY app /app\n"),
    ])
}

const CONVERTED: &str =
    "FROM golang AS build\nARG V\nRUN make $V\n\nFROM alpine\nCOPY --from=build /out/app /app\n";

#[test]
fn dockerfiles_that_the_script_names_are_found_beside_it() {
    let folder = folder();
    let (code, output, error) = run(&["convert", "--set", "V=1", &folder.name("make.sh")]);
    assert_eq!((code, output.as_str()), (0, CONVERTED), "{error}");
    fits(&error);
    assert!(
        error.contains("   4  docker cp extract:/out/app ./app\n      COPY     /out/app is copied"),
        "{error}"
    );
    assert!(error.contains("docker build --build-arg V=1 -t app ."), "{error}");
}

#[test]
fn the_result_may_go_to_a_file() {
    let folder = folder();
    let file = folder.name("Dockerfile.new");
    let (code, output, error) = run(&["convert", "-q", "-o", &file, &folder.name("make.sh")]);
    assert_eq!((code, output.as_str(), error.as_str()), (0, "", ""));
    assert_eq!(folder.text("Dockerfile.new"), CONVERTED);
}

#[test]
fn the_pattern_as_it_was_is_drawn() {
    let folder = folder();
    let script = folder.name("make.sh");
    let (code, svg, _) = run(&["convert", "--graph", "svg", &script]);
    assert!(
        code == 0 && svg.starts_with("<svg ") && svg.contains("app:build"),
        "{svg}"
    );
    let (code, dot, _) = run(&["convert", "--graph", "dot", &script]);
    assert!(code == 0 && dot.contains("app:build"), "{dot}");
    let (code, json, _) = run(&["convert", "--json", &script]);
    let conversion: stagewright_core::convert::Conversion = serde_json::from_str(&json).unwrap();
    assert_eq!((code, conversion.graph.handovers.len()), (0, 1));
}

#[test]
fn what_cannot_be_converted_is_said_where_it_stands() {
    let folder = Folder::with(&[(
        "make.sh",
        "docker build -t a -f Dockerfile.b .\ndocker cp x:/a .\n",
    )]);
    let (code, output, error) = run(&["convert", &folder.name("make.sh")]);
    assert_eq!((code, output.as_str()), (1, ""));
    assert!(
        error.contains("1 | docker build -t a -f Dockerfile.b ."),
        "{error}"
    );
    assert!(error.contains("2 | docker cp x:/a ."), "{error}");
    assert!(error.contains("make.sh is not converted: 2 errors"), "{error}");
    assert_eq!(run(&["convert", &folder.name("nothing.sh")]).0, 2);
}

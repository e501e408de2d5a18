//! The builder pattern, built as it was and built as what it is converted to: both images hold the same files.

use std::collections::BTreeMap;

use serde_json::json;
use stagewright_core::convert::{Pattern, SourceFile, convert};
use stagewright_core::protocol::Event;

use crate::client::{Client, get};
use crate::image::{Entry, tree};
use crate::process::{Worker, can_build, follow, plan, send_files, start};

/// Carries a file as the script does: out of one image, into the context of the next.
struct Carried<'c> {
    from: &'c str,
    to: &'c str,
}

/// Builds a Dockerfile and gives the files of its image.
async fn built(
    worker: &Worker,
    client: &mut Client,
    dockerfile: &str,
    files: &BTreeMap<&str, (u32, Vec<u8>)>,
) -> BTreeMap<String, Entry> {
    let analysis = plan(client, dockerfile).await;
    let context = send_files(client, files).await;
    let id = start(client, &analysis, Some(&context)).await;
    let events = follow(client, &id).await;
    assert!(
        matches!(&events.last().unwrap().event, Event::Done(_)),
        "{:#?}",
        events.last()
    );
    let output = client
        .call("build.output", json!({ "id": id, "format": "oci" }))
        .await
        .unwrap();
    let archive = get(worker.address, output["path"].as_str().unwrap()).await;
    assert_eq!((archive.status, archive.whole), (200, true));
    tree(&archive.body)
}

fn file(name: &str, text: &str) -> SourceFile {
    SourceFile {
        name: name.into(),
        text: text.into(),
    }
}

/// Both ways of building `pattern`, in which the script carries `carried` from the first image to the second build.
async fn same_both_ways(pattern: &Pattern, files: &BTreeMap<&str, (u32, Vec<u8>)>, carried: &[Carried<'_>]) {
    let state = tempfile::tempdir().unwrap();
    let Some(worker) = Worker::start(state.path()) else {
        return;
    };
    let (mut client, welcome) = worker.client(None).await;
    if !can_build(&welcome) {
        return;
    }
    let [first, second] = pattern.dockerfiles.as_slice() else {
        panic!("two Dockerfiles")
    };
    let image = built(&worker, &mut client, &first.text, files).await;
    let mut context = files.clone();
    for Carried { from, to } in carried {
        let entry = &image[*from];
        assert!(entry.kind.is_file(), "{from}");
        context.insert(to, (entry.mode, entry.content.clone()));
    }
    let before = built(&worker, &mut client, &second.text, &context).await;

    let conversion = convert(pattern);
    let dockerfile = conversion
        .dockerfile
        .unwrap_or_else(|| panic!("{:#?}", conversion.findings));
    let after = built(&worker, &mut client, &dockerfile, files).await;
    let paths = |tree: &BTreeMap<String, Entry>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(paths(&before), paths(&after), "{dockerfile}");
    for (path, entry) in &before {
        let converted = &after[path];
        // Not the whole entries: a program of two megabytes is no message.
        assert!(
            entry.content == converted.content,
            "{path} differs in its content\n{dockerfile}"
        );
        let rest = |entry: &Entry| Entry {
            content: Vec::new(),
            ..entry.clone()
        };
        assert_eq!(rest(entry), rest(converted), "{path}\n{dockerfile}");
    }
    // The carried files are there to be compared.
    for Carried { to, .. } in carried {
        let name = to.rsplit('/').next().unwrap();
        assert!(
            before.keys().any(|path| path.rsplit('/').next() == Some(name)),
            "{to} is in neither image"
        );
    }
}

#[tokio::test]
async fn the_seed_converts_to_an_image_with_the_same_files() {
    let pattern = Pattern {
        script: file(
            "build.sh",
            include_str!("../../../static/examples/builder-pattern/build.sh"),
        ),
        dockerfiles: vec![
            file(
                "Dockerfile.build",
                include_str!("../../../static/examples/builder-pattern/Dockerfile.build"),
            ),
            file(
                "Dockerfile",
                include_str!("../../../static/examples/builder-pattern/Dockerfile"),
            ),
        ],
        ..Pattern::default()
    };
    let source = include_bytes!("../../../static/examples/builder-pattern/app.go");
    let files = BTreeMap::from([("app.go", (0o644, source.to_vec()))]);
    let carried = Carried {
        from: "go/src/github.com/alexellis/href-counter/app",
        to: "app",
    };
    same_both_ways(&pattern, &files, &[carried]).await;
}

#[tokio::test]
async fn names_modes_and_owners_come_out_as_they_did_over_the_host() {
    let pattern = Pattern {
        script: file(
            "build.sh",
            "docker build -t tool:build -f Dockerfile.build .\n\
             docker create --name take tool:build\n\
             mkdir out\n\
             docker cp take:/made/main out/tool\n\
             docker cp take:/made/data .\n\
             docker cp take:/made/settings config\n\
             docker build -t tool .\n\
             rm out/tool data\n",
        ),
        dockerfiles: vec![
            file(
                "Dockerfile.build",
                "FROM alpine:latest\n\
                 RUN mkdir /made && echo main > /made/main && chmod 4751 /made/main \\\n\
                  && echo data > /made/data && chown 12:34 /made/data && echo set > /made/settings\n",
            ),
            file(
                "Dockerfile",
                "FROM alpine:latest\n\
                 WORKDIR /srv\n\
                 COPY out bin\n\
                 COPY d* own.txt ./\n\
                 COPY --chown=5:6 config /etc/\n\
                 COPY . everything/\n",
            ),
        ],
        ..Pattern::default()
    };
    let files = BTreeMap::from([("own.txt", (0o600, b"own\n".to_vec()))]);
    let carry = |from, to| Carried { from, to };
    let carried = [
        carry("made/main", "out/tool"),
        carry("made/data", "data"),
        carry("made/settings", "config"),
    ];
    same_both_ways(&pattern, &files, &carried).await;
}

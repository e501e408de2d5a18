//! Steps that come from the cache of another machine.

use std::path::PathBuf;

use super::*;
use crate::export::{Encoding, ImageOptions};
use crate::registry::Registry;
use crate::sharing::{CacheExport, Place};

const DOCKERFILE: &str = "\
FROM base AS build
RUN echo tool > /tool
COPY a.txt /a.txt
RUN cat /tool /a.txt > /made
FROM base
COPY b.txt /b.txt
COPY --from=build /made /copied
RUN cat /copied /b.txt > /both
";
const FILES: &[(&str, &str)] = &[("a.txt", "a\n"), ("b.txt", "b\n")];
/// All steps of it that a cache knows.
const STEPS: usize = 6;

fn folder(path: PathBuf) -> Place {
    Place::Folder {
        path,
        tag: "latest".into(),
        digest: None,
    }
}

/// How a build shares.
#[derive(Default, Clone)]
struct Share {
    from: Vec<Place>,
    to: Option<(Place, bool, Option<Encoding>)>,
    inline: bool,
    image: ImageOptions,
}

async fn build(worker: &Worker, dockerfile: &str, files: &[(&str, &str)], share: Share) -> Outcome {
    let to: Vec<_> = share
        .to
        .map(|(place, all, encoding)| Arc::new(CacheExport::new(place, all, encoding)))
        .into_iter()
        .collect();
    let extras = Extras {
        local: true,
        image: share.image,
        cache_from: Arc::new(share.from),
        cache_to: Arc::new(to.clone()),
        inline_cache: share.inline,
        tell_exports: true,
        ..Extras::default()
    };
    let analysis = worker.plan(dockerfile, |_| {}).await;
    let id = worker.start_extra(analysis, files, false, extras);
    let outcome = worker.outcome(id).await;
    let content = worker.builds.contexts().content();
    for export in to {
        let written = export.put_together(content).unwrap();
        match &export.place {
            Place::Folder { path, tag, .. } => written.to_folder(content, path, tag).unwrap(),
            Place::Registry(name) => {
                worker.builds.backend().push(name, &written.push).await.unwrap();
            }
        }
    }
    outcome
}

/// The instructions that ran.
fn ran(outcome: &Outcome) -> Vec<String> {
    let mut ran = outcome.ran();
    ran.retain(|name| !name.starts_with("importing") && !name.starts_with("exporting"));
    ran
}

/// A machine that wrote a cache of the build to a folder, and that build's image.
async fn shared(all: bool) -> (Ground, Place, Outcome) {
    let ground = Ground::new();
    let place = folder(ground.directory.path().join("cache"));
    let share = Share {
        to: Some((place.clone(), all, None)),
        ..Share::default()
    };
    let outcome = build(&ground.worker(), DOCKERFILE, FILES, share).await;
    (ground, place, outcome)
}

fn from(place: &Place) -> Share {
    Share {
        from: vec![place.clone()],
        ..Share::default()
    }
}

/// Changes what a cache in a folder says, and sets all its digests right again.
fn forge(place: &Place, change: impl FnOnce(&mut serde_json::Value)) {
    let Place::Folder { path, .. } = place else {
        panic!("{place}")
    };
    let blob = |digest: &str| {
        path.join("blobs/sha256")
            .join(digest.trim_start_matches("sha256:"))
    };
    let read =
        |path: &Path| -> serde_json::Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let put = |value: &serde_json::Value| {
        let text = value.to_string();
        let digest = Digest::of(text.as_bytes());
        fs::write(blob(digest.as_str()), &text).unwrap();
        (digest, text.len())
    };
    let mut index = read(&path.join("index.json"));
    let mut manifest = read(&blob(index["manifests"][0]["digest"].as_str().unwrap()));
    let mut document = read(&blob(manifest["config"]["digest"].as_str().unwrap()));
    change(&mut document);
    let (digest, size) = put(&document);
    manifest["config"]["digest"] = digest.as_str().into();
    manifest["config"]["size"] = size.into();
    let (digest, size) = put(&manifest);
    index["manifests"][0]["digest"] = digest.as_str().into();
    index["manifests"][0]["size"] = size.into();
    fs::write(path.join("index.json"), index.to_string()).unwrap();
}

/// The diff id of the step whose name holds `part`, in the document of a cache.
fn layer_of(document: &serde_json::Value, part: &str) -> String {
    let mut records = document["records"].as_object().unwrap().values();
    let record = records.find(|record| record["step"].as_str().unwrap().contains(part));
    record.unwrap()["diffId"].as_str().unwrap().to_owned()
}

/// The blobs of layers that a cache in a folder has, by what made them.
fn blobs(place: &Place) -> BTreeMap<String, PathBuf> {
    let Place::Folder { path, .. } = place else {
        panic!("{place}")
    };
    let blob = |digest: &str| {
        path.join("blobs/sha256")
            .join(digest.trim_start_matches("sha256:"))
    };
    let read =
        |path: &Path| -> serde_json::Value { serde_json::from_slice(&fs::read(path).unwrap()).unwrap() };
    let index = read(&path.join("index.json"));
    let manifest = read(&blob(index["manifests"][0]["digest"].as_str().unwrap()));
    let document = read(&blob(manifest["config"]["digest"].as_str().unwrap()));
    assert_eq!(document["records"].as_object().unwrap().len(), STEPS);
    let records = document["records"].as_object().unwrap().values();
    records
        .filter_map(|record| {
            let layer = &document["layers"][record["diffId"].as_str().unwrap()];
            let step = record["step"].as_str().unwrap().to_owned();
            Some((step, blob(layer["digest"].as_str()?)))
        })
        .collect()
}

/// The blob of the step whose name holds `part`.
fn blob(place: &Place, part: &str) -> PathBuf {
    let found = blobs(place).into_iter().find(|(step, _)| step.contains(part));
    found.unwrap().1
}

#[tokio::test]
async fn another_machine_runs_nothing_and_fetches_only_what_the_image_needs() {
    if !possible() {
        return;
    }
    for all in [true, false] {
        let (_ground, place, first) = shared(all).await;
        assert_eq!(blobs(&place).len(), if all { STEPS } else { 3 });
        let other = Ground::new();
        let worker = other.worker();
        let outcome = build(&worker, DOCKERFILE, FILES, from(&place)).await;
        assert_eq!(ran(&outcome), [""; 0]);
        assert_eq!(outcome.image().digest, first.image().digest);
        let cached = format!("cached, from {place}");
        for step in [
            "echo tool",
            "COPY a.txt",
            "cat /tool",
            "COPY --from",
            "cat /copied",
        ] {
            assert_eq!(outcome.reason(step), cached, "{step}");
        }
        assert_eq!(outcome.warnings(), "a stand-in\n");
        assert_eq!(
            worker.file(&outcome, "both").as_deref(),
            Some("a\nb\n".replace("a\n", "tool\na\n").as_str())
        );
        // The tools of the build stage stayed where they were, and nothing was unpacked.
        if all {
            let tool = blob(&place, "echo tool");
            let tool: Digest = format!("sha256:{}", tool.file_name().unwrap().to_str().unwrap())
                .parse()
                .unwrap();
            assert!(!worker.builds.contexts().content().contains(&tool));
        }
        assert!(worker.storage.backend().snapshots().ids().unwrap().is_empty());
        // What came from elsewhere counts only for those who name it.
        let alone = worker.build(DOCKERFILE, FILES).await;
        assert_eq!(ran(&alone).len(), STEPS);
    }
}

#[tokio::test]
async fn changed_file_reruns_what_follows_and_what_it_needs_is_fetched_or_made_again() {
    if !possible() {
        return;
    }
    let changed = &[("a.txt", "other\n"), ("b.txt", "b\n")];
    for all in [true, false] {
        let (_ground, place, _) = shared(all).await;
        let other = Ground::new();
        let worker = other.worker();
        let outcome = build(&worker, DOCKERFILE, changed, from(&place)).await;
        let mut expected = vec![
            "COPY --from=build /made /copied",
            "COPY a.txt /a.txt",
            "RUN cat /copied /b.txt > /both",
            "RUN cat /tool /a.txt > /made",
        ];
        if !all {
            // Nobody has the layer that the changed step stands on.
            expected.push("RUN echo tool > /tool");
            let why = outcome.reason("echo tool");
            assert!(why.contains("no cache that the build names has them"), "{why}");
        }
        assert_eq!(ran(&outcome), expected, "all: {all}");
        assert_eq!(outcome.reason("COPY b.txt"), format!("cached, from {place}"));
        assert_eq!(worker.file(&outcome, "both").as_deref(), Some("tool\nother\nb\n"));
    }
}

/// What happens to a blob.
type Damage = fn(&Path);

#[tokio::test]
async fn cache_that_lost_or_damaged_a_layer_costs_a_step_and_not_the_build() {
    if !possible() {
        return;
    }
    let cases: [(&str, Damage, &str); 3] = [
        ("lacking", |blob| fs::remove_file(blob).unwrap(), "cannot be read"),
        (
            "truncated",
            |blob| {
                let bytes = fs::read(blob).unwrap();
                fs::write(blob, &bytes[..bytes.len() / 2]).unwrap();
            },
            "is shorter than",
        ),
        (
            "wrong",
            |blob| {
                let mut bytes = fs::read(blob).unwrap();
                *bytes.last_mut().unwrap() ^= 1;
                fs::write(blob, bytes).unwrap();
            },
            "has the digest",
        ),
    ];
    for (name, damage, said) in cases {
        let (_ground, place, _) = shared(true).await;
        // One that the image needs, and one that a step needs.
        for (part, files) in [
            ("cat /copied", FILES),
            ("echo tool", &[("a.txt", "other\n"), ("b.txt", "b\n")]),
        ] {
            damage(&blob(&place, part));
            let other = Ground::new();
            let worker = other.worker();
            let outcome = build(&worker, DOCKERFILE, files, from(&place)).await;
            assert!(
                ran(&outcome).iter().any(|step| step.contains(part)),
                "{name}: {:?}",
                ran(&outcome)
            );
            let warnings = outcome.warnings();
            assert!(
                warnings.contains(said) && warnings.contains("its step runs"),
                "{name}: {warnings}"
            );
            let made = worker.file(&outcome, "both").unwrap();
            assert_eq!(made, format!("tool\n{}b\n", files[0].1), "{name}");
            // What came of it is the worker's own.
            let again = worker.build(DOCKERFILE, files).await;
            assert_eq!(worker.file(&again, "both").unwrap(), made);
        }
    }
}

#[tokio::test]
async fn cache_that_gives_another_layer_than_it_names_is_not_believed() {
    if !possible() {
        return;
    }
    let (_ground, place, _) = shared(true).await;
    // The blobs of two layers change places in the document.
    forge(&place, |document| {
        let (one, other) = (
            layer_of(document, "cat /copied"),
            layer_of(document, "COPY b.txt"),
        );
        let layers = &mut document["layers"];
        let moved = layers[&one].clone();
        layers[&one] = layers[&other].clone();
        layers[&other] = moved;
    });

    let ground = Ground::new();
    let worker = ground.worker();
    let outcome = build(&worker, DOCKERFILE, FILES, from(&place)).await;
    let (warnings, ran) = (outcome.warnings(), ran(&outcome));
    assert!(warnings.contains("its step runs"), "{warnings}");
    assert!(ran.iter().any(|step| step.contains("COPY b.txt")), "{ran:?}");
    assert_eq!(worker.file(&outcome, "both").as_deref(), Some("tool\na\nb\n"));
    assert_eq!(worker.file(&outcome, "b.txt").as_deref(), Some("b\n"));
}

#[tokio::test]
async fn layer_that_one_cache_has_wrong_comes_from_another() {
    if !possible() {
        return;
    }
    let (ground, wrong, image) = shared(true).await;
    let right = folder(ground.directory.path().join("right"));
    let share = Share {
        to: Some((right.clone(), true, Some(Encoding::Zstd(3)))),
        ..Share::default()
    };
    build(&ground.worker(), DOCKERFILE, FILES, share).await;
    // A blob that is whole, and of another layer.
    forge(&wrong, |document| {
        for (part, other) in [("echo tool", "COPY a.txt"), ("cat /copied", "COPY b.txt")] {
            let (layer, other) = (layer_of(document, part), layer_of(document, other));
            document["layers"][&layer] = document["layers"][&other].clone();
        }
    });
    let share = Share {
        from: vec![wrong, right],
        ..Share::default()
    };
    // The one is unpacked, since a step runs on it, and the other goes into the image as it is, or packed again.
    for (files, ran_then) in [
        (FILES, 0),
        (&[("a.txt", "other\n"), ("b.txt", "b\n")][..], STEPS - 2),
    ] {
        let worker = Ground::new();
        let worker = worker.worker();
        let outcome = build(&worker, DOCKERFILE, files, share.clone()).await;
        assert_eq!(ran(&outcome).len(), ran_then, "{:?}", ran(&outcome));
        assert!(outcome.warnings().contains("no other cache has it"));
        let made = worker.file(&outcome, "both").unwrap();
        assert_eq!(made, format!("tool\n{}b\n", files[0].1));
        if ran_then == 0 {
            assert_eq!(outcome.image().digest, image.image().digest);
        }
    }
}

/// The only checksum that the cache of a build of [`DOCKERFILE`] has: of what is copied from one stage to the other.
fn only_checksum(document: &serde_json::Value) -> (String, String) {
    let checksums = document["checksums"].as_object().unwrap();
    assert_eq!(checksums.len(), 1, "{checksums:?}");
    let (of, checksum) = checksums.iter().next().unwrap();
    (of.clone(), checksum.as_str().unwrap().to_owned())
}

#[tokio::test]
async fn cache_that_names_files_by_the_checksum_of_others_does_not_mislead_builds_without_it() {
    if !possible() {
        return;
    }
    let others = &[("a.txt", "other\n"), ("b.txt", "b\n")];
    let ground = Ground::new();
    let victim = folder(ground.directory.path().join("others"));
    let share = Share {
        to: Some((victim.clone(), true, None)),
        ..Share::default()
    };
    build(&Ground::new().worker(), DOCKERFILE, others, share).await;
    let mut wrong = String::new();
    forge(&victim, |document| wrong = only_checksum(document).1);

    let (_ground, place, _) = shared(true).await;
    let mut of = String::new();
    forge(&place, |document| {
        let (question, right) = only_checksum(document);
        assert_ne!(right, wrong);
        document["checksums"][&question] = wrong.as_str().into();
        of = question;
        // Nothing is found under the name that the files are given, so that the step runs on those that there are.
        let records = document["records"].as_object_mut().unwrap();
        records.retain(|_, record| !record["step"].as_str().unwrap().contains("COPY --from"));
        assert_eq!(records.len(), STEPS - 1);
    });
    let machine = Ground::new();
    let worker = machine.worker();
    let passed_on = folder(machine.directory.path().join("passed on"));
    let share = Share {
        to: Some((passed_on.clone(), true, None)),
        ..from(&place)
    };
    let misled = build(&worker, DOCKERFILE, FILES, share).await;
    assert!(ran(&misled).iter().any(|step| step.contains("COPY --from")));
    assert_eq!(worker.file(&misled, "copied").as_deref(), Some("tool\na\n"));
    forge(&passed_on, |document| {
        let (question, told) = only_checksum(document);
        assert_eq!(question, of);
        assert_ne!(told, wrong, "the checksum is the worker's own");
    });
    let outcome = worker.build(DOCKERFILE, others).await;
    assert_eq!(worker.file(&outcome, "copied").as_deref(), Some("tool\nother\n"));
    assert_eq!(worker.file(&outcome, "both").as_deref(), Some("tool\nother\nb\n"));
}

#[tokio::test]
async fn cache_of_a_build_that_ran_nothing_finds_as_much_as_the_one_it_came_from() {
    if !possible() {
        return;
    }
    let (ground, place, first) = shared(false).await;
    let again = folder(ground.directory.path().join("again"));
    let share = Share {
        to: Some((again.clone(), false, None)),
        ..from(&place)
    };
    build(&Ground::new().worker(), DOCKERFILE, FILES, share).await;
    let worker = Ground::new();
    let outcome = build(&worker.worker(), DOCKERFILE, FILES, from(&again)).await;
    assert_eq!(ran(&outcome), [""; 0]);
    assert_eq!(outcome.image().digest, first.image().digest);
}

#[tokio::test]
async fn files_are_put_out_and_layers_encoded_otherwise_from_a_cache_alone() {
    if !possible() {
        return;
    }
    let (_ground, place, first) = shared(true).await;
    let other = Ground::new();
    let worker = other.worker();
    let out = other.directory.path().join("out");
    let extras = Extras {
        local: true,
        cache_from: Arc::new(vec![place.clone()]),
        files: Arc::new(vec![FilesOutput::Folder(out.clone())]),
        ..Extras::default()
    };
    let analysis = worker.plan(DOCKERFILE, |_| {}).await;
    let id = worker.start_extra(analysis, FILES, false, extras);
    let outcome = worker.outcome(id).await;
    assert_eq!(ran(&outcome), [""; 0]);
    assert_eq!(fs::read_to_string(out.join("both")).unwrap(), "tool\na\nb\n");
    // A layer that was unpacked here is packed again as it was.
    assert_eq!(outcome.image().digest, first.image().digest);
    let third = Ground::new();
    let worker = third.worker();
    let share = Share {
        image: ImageOptions {
            encoding: Encoding::Zstd(3),
            ..ImageOptions::default()
        },
        ..from(&place)
    };
    let outcome = build(&worker, DOCKERFILE, FILES, share).await;
    assert_eq!(ran(&outcome), [""; 0]);
    let ids = |outcome: &Outcome| -> Vec<_> {
        let layers = outcome.image().layers.iter();
        layers.map(|layer| layer.diff_id.clone()).collect()
    };
    assert_eq!(ids(&outcome), ids(&first));
    assert_ne!(outcome.image().digest, first.image().digest);
}

#[tokio::test]
async fn caches_that_are_not_there_or_are_no_caches_are_warned_of_and_the_build_goes_on() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let path = |name: &str| ground.directory.path().join(name);
    let image = folder(path("image"));
    let buildkits = path("buildkits");
    fs::create_dir_all(buildkits.join("blobs/sha256")).unwrap();
    let manifest = r#"{"schemaVersion":2,"config":{"mediaType":"application/vnd.buildkit.cacheconfig.v0","digest":"sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a","size":2},"layers":[]}"#;
    let digest = Digest::of(manifest.as_bytes());
    fs::write(buildkits.join("blobs/sha256").join(digest.hex()), manifest).unwrap();
    let nobody: Reference = "127.0.0.1:1/cache:1".parse().unwrap();
    let of_buildkit = Place::Folder {
        path: buildkits,
        tag: "latest".into(),
        digest: Some(digest),
    };
    let cases = [
        (folder(path("lacking")), "is not there yet"),
        (image, "it has no image of that name"),
        (of_buildkit, "is one of BuildKit's"),
        (Place::Registry(nobody), "cannot reach 127.0.0.1:1"),
    ];
    let share = Share {
        from: cases.iter().map(|(place, _)| place.clone()).collect(),
        ..Share::default()
    };
    let outcome = build(&worker, DOCKERFILE, FILES, share).await;
    assert_eq!(ran(&outcome).len(), STEPS);
    let steps = outcome.steps();
    for (place, said) in cases {
        let error = &steps[&format!("importing the {place}")].error;
        assert!(
            error.contains(said) && error.contains("goes on without it"),
            "{place}: {error}"
        );
    }
}

/// A machine and a registry on it; `None` where either cannot be had here.
fn with_registry() -> Option<(Ground, Registry)> {
    if !possible() {
        return None;
    }
    let ground = Ground::new();
    let registry = Registry::start(ground.directory.path())?;
    Some((ground, registry))
}

/// A repository of a registry.
fn shared_at(registry: &Registry, name: &str) -> Place {
    Place::Registry(format!("{}/{name}", registry.host).parse().unwrap())
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_keeps_a_cache_and_what_was_not_fetched_stays_there_when_it_is_written_again() {
    let Some((ground, registry)) = with_registry() else {
        return;
    };
    let place = shared_at(&registry, "team/app:cache");
    let to = Some((place.clone(), true, Some(Encoding::Zstd(3))));
    let share = Share {
        to: to.clone(),
        ..Share::default()
    };
    let first = build(&ground.worker(), DOCKERFILE, FILES, share).await;
    let second = Ground::new();
    let worker = second.worker();
    let share = Share { to, ..from(&place) };
    let changed = &[("a.txt", "a\n"), ("b.txt", "other\n")];
    let outcome = build(&worker, DOCKERFILE, changed, share).await;
    assert_eq!(
        ran(&outcome),
        [
            "COPY --from=build /made /copied",
            "COPY b.txt /b.txt",
            "RUN cat /copied /b.txt > /both"
        ]
    );
    assert_eq!(outcome.reason("cat /tool"), format!("cached, from {place}"));
    // The tool was neither needed nor fetched, and is in the new cache all the same.
    let third = Ground::new();
    let worker = third.worker();
    let outcome = build(
        &worker,
        DOCKERFILE,
        &[("a.txt", "new\n"), ("b.txt", "other\n")],
        from(&place),
    )
    .await;
    assert!(
        !ran(&outcome).iter().any(|step| step.contains("echo tool")),
        "{:?}",
        ran(&outcome)
    );
    assert_eq!(
        worker.file(&outcome, "both").as_deref(),
        Some("tool\nnew\nother\n")
    );
    assert!(first.image().layers.len() > 1);
    // A name that it does not have, and one that is of something else.
    let share = Share {
        from: vec![
            shared_at(&registry, "team/app:other"),
            shared_at(&registry, "no/such:1"),
        ],
        ..Share::default()
    };
    let outcome = build(&Ground::new().worker(), "FROM base\nRUN true\n", &[], share).await;
    let errors: Vec<_> = outcome
        .steps()
        .into_values()
        .map(|step| step.error)
        .filter(|error| !error.is_empty())
        .collect();
    assert_eq!(errors.len(), 2);
    assert!(
        errors
            .iter()
            .all(|error| error.contains("says there is no such image")),
        "{errors:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn image_carries_its_own_cache_where_that_is_asked_for() {
    let Some((ground, registry)) = with_registry() else {
        return;
    };
    let worker = ground.worker();
    let share = Share {
        inline: true,
        ..Share::default()
    };
    let first = build(&worker, DOCKERFILE, FILES, share.clone()).await;
    let name = format!("{}/team/app:1", registry.host).parse().unwrap();
    let push = crate::export::push_of(worker.builds.contexts().content(), &first.image().digest).unwrap();
    worker.builds.backend().push(&name, &push).await.unwrap();
    let other = Ground::new();
    let worker = other.worker();
    let share = Share {
        from: vec![Place::Registry(name)],
        ..share
    };
    let outcome = build(&worker, DOCKERFILE, FILES, share).await;
    assert_eq!(ran(&outcome), [""; 0]);
    assert_eq!(outcome.image().digest, first.image().digest);
    assert_eq!(worker.file(&outcome, "both").as_deref(), Some("tool\na\nb\n"));
    let plain = worker.build("FROM base\nRUN true\n", &[]).await;
    let name: Reference = format!("{}/plain:1", registry.host).parse().unwrap();
    let push = crate::export::push_of(worker.builds.contexts().content(), &plain.image().digest).unwrap();
    worker.builds.backend().push(&name, &push).await.unwrap();
    let place = Place::Registry(name);
    let outcome = build(&worker, "FROM base\nRUN false || true\n", &[], from(&place)).await;
    let error = &outcome.steps()[&format!("importing the {place}")].error;
    assert!(error.contains("carries no cache"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn builds_of_others_take_steps_from_the_caches_that_the_owner_names() {
    let Some((ground, registry)) = with_registry() else {
        return;
    };
    let place = shared_at(&registry, "team/app:cache");
    let share = Share {
        to: Some((place.clone(), true, None)),
        ..Share::default()
    };
    let first = build(&ground.worker(), DOCKERFILE, FILES, share).await;
    let other = Ground::new();
    let named = format!("caches = [\"{}/team/app:cache\"]\n", registry.host);
    let worker = Ground::worker_with(other.directory.path(), &named);
    // As it comes from a page: with nothing beside the plan.
    let outcome = worker.build(DOCKERFILE, FILES).await;
    assert_eq!(ran(&outcome), [""; 0]);
    assert_eq!(outcome.reason("cat /tool"), format!("cached, from {place}"));
    assert_eq!(outcome.image().digest, first.image().digest);
    assert!(!outcome.steps().keys().any(|name| name.contains("importing")));
    drop(registry);
    let changed = &[("a.txt", "other\n"), ("b.txt", "b\n")];
    let outcome = worker.build(DOCKERFILE, changed).await;
    assert_eq!(worker.file(&outcome, "both").as_deref(), Some("tool\nother\nb\n"));
}

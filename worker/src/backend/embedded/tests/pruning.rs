//! What is removed between builds and under them.

use super::*;
use crate::config::StorageLimits;
use crate::storage::prune::Policy;
use crate::storage::usage::{Item, Kind};

const DOCKERFILE: &str =
    "FROM base AS made\nRUN echo made > /made\nCOPY a.txt /a.txt\nRUN cat /made /a.txt > /both\n";
const FILES: &[(&str, &str)] = &[("a.txt", "a\n")];

fn of(items: &[Item], kind: Kind) -> Vec<&Item> {
    items.iter().filter(|item| item.kind == kind).collect()
}

fn export(worker: &Worker, id: &str) -> impl Future<Output = Result<(), crate::build::BuildsError>> {
    let (builds, id) = (worker.builds.clone(), id.to_owned());
    async move {
        builds
            .export(&id, OutputFormat::Oci, Box::new(std::io::sink()))
            .await
    }
}

#[tokio::test]
async fn what_is_pruned_is_built_again_and_an_image_with_a_name_stays_whole() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let first = worker.build(DOCKERFILE, FILES).await;
    let usage = worker.storage.usage().unwrap();
    let steps = of(&usage.items, Kind::Record);
    assert_eq!(steps.len(), 3, "{steps:#?}");
    assert!(
        steps
            .iter()
            .any(|step| step.description.contains("cat /made /a.txt"))
    );
    let layers = of(&usage.items, Kind::Layer);
    assert_eq!(layers.len(), 4);
    assert!(layers.iter().any(|layer| layer.description == "of a base image"));
    assert!(usage.items.iter().all(|item| item.in_use.is_none()), "{usage:#?}");

    // The caches of the first image go, the parts of the image stay.
    let named = worker
        .storage
        .names()
        .give(&"kept".parse().unwrap(), &first.image().digest)
        .unwrap();
    let pruned = worker.storage.prune(&Policy::cache()).unwrap();
    assert_eq!(
        (pruned.failed.len(), of(&pruned.removed, Kind::Layer).len()),
        (0, 4)
    );
    assert!(pruned.freed > 0);
    let left = worker.storage.usage().unwrap();
    let kept = Some(format!("image {}", named.name));
    assert!(
        left.items
            .iter()
            .all(|item| item.kind == Kind::Build || item.in_use == kept),
        "{left:#?}"
    );
    assert!(export(&worker, &first.id).await.is_ok());

    let second = worker.build(DOCKERFILE, FILES).await;
    assert_eq!(worker.file(&second, "both").as_deref(), Some("made\na\n"));
    let third = worker.build(DOCKERFILE, FILES).await;
    assert_eq!(third.image().digest, second.image().digest);

    assert!(worker.storage.names().take(&"kept".parse().unwrap()).unwrap());
    let pruned = worker.storage.prune(&Policy::all()).unwrap();
    assert_eq!(pruned.failed, [""; 0]);
    assert_eq!(worker.storage.usage().unwrap().items, []);
    let gone = export(&worker, &third.id).await.unwrap_err().to_string();
    assert!(gone.contains("no build"), "{gone}");
}

#[tokio::test]
async fn nothing_is_removed_under_a_running_build() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let waiting = "FROM base\nCOPY a.txt /a.txt\nRUN cat /a.txt > /first\n\
                   RUN --mount=type=cache,target=/cache echo kept > /cache/file; echo wait; sleep 2; cat /first > /second\n\
                   COPY b.txt /b.txt\n";
    let files = &[("a.txt", "a\n"), ("b.txt", "b\n")];
    // Something that the running build does not need.
    worker.build(DOCKERFILE, FILES).await;
    let id = worker.start(waiting, files).await;
    worker.printed(&id, "wait").await;
    let pruned = worker.storage.prune(&Policy::all()).unwrap();
    assert_eq!(pruned.failed, [""; 0]);
    let steps: Vec<_> = of(&pruned.removed, Kind::Record)
        .iter()
        .map(|step| step.description.clone())
        .collect();
    assert_eq!(steps.len(), 3, "only the other build's went: {steps:?}");
    assert!(of(&pruned.removed, Kind::CacheMount).is_empty());
    let outcome = worker.outcome(id).await;
    assert_eq!(worker.file(&outcome, "second").as_deref(), Some("a\n"));
    assert_eq!(worker.file(&outcome, "b.txt").as_deref(), Some("b\n"));
    // It is over, so all of it may go.
    let pruned = worker.storage.prune(&Policy::all()).unwrap();
    assert_eq!(of(&pruned.removed, Kind::CacheMount).len(), 1);
    assert_eq!(worker.storage.usage().unwrap().items, []);
}

#[tokio::test]
async fn the_longest_unused_goes_by_itself_where_there_is_too_much() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    worker
        .build("FROM base\nRUN head -c 3000000 /dev/zero > /old\n", &[])
        .await;
    std::thread::sleep(std::time::Duration::from_millis(20));
    worker
        .build("FROM base\nRUN head -c 2000000 /dev/zero > /new\n", &[])
        .await;
    let total = worker.storage.usage().unwrap().total();
    let limits = StorageLimits {
        max_used_space: total - 1_000_000,
        min_free_space: 0,
    };
    let backend = worker.storage.backend().clone();
    let state = ground.directory.path().join("state");
    let config = Config {
        storage: limits,
        ..Config::default()
    };
    let storage = Storage::new(&state, worker.builds.clone(), backend, &config);
    fs::write(state.join("tidied"), "").unwrap();
    assert_eq!(storage.tidy(), None, "it was looked at a moment ago");
    fs::remove_file(state.join("tidied")).unwrap();
    let pruned = storage.tidy().unwrap();
    assert!(storage.usage().unwrap().total() <= limits.max_used_space);
    let steps: Vec<_> = of(&pruned.removed, Kind::Layer)
        .iter()
        .map(|layer| layer.description.clone())
        .collect();
    assert!(steps.iter().any(|step| step.contains("/old")), "{steps:?}");
    assert!(steps.iter().all(|step| !step.contains("/new")), "{steps:?}");
}

//! Blobs that the disk, or somebody, changed since they came: none of their bytes gets into a layer.

use super::*;

/// Changes one bit of a blob.
fn flip(worker: &Worker, blob: &Digest) {
    let path = worker.builds.contexts().content().path(blob);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_of_the_context_that_was_damaged_gets_into_no_layer_and_is_asked_for_again() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let files = [("a.txt", "as it was sent")];
    worker.offer(&files);
    let blob = Digest::of(b"as it was sent");
    for dockerfile in [
        "FROM base\nCOPY a.txt /a.txt\n",
        "FROM base\nADD a.txt /b.txt\n",
        "FROM base\nRUN --mount=type=bind,target=/in cat /in/a.txt > /c.txt\n",
    ] {
        worker.offer(&files);
        flip(&worker, &blob);
        let outcome = worker.build(dockerfile, &files).await;
        let message = &outcome.failure().message;
        assert!(
            message.contains("was damaged on the disk"),
            "{dockerfile}{message}"
        );
        let outcome = worker.build(dockerfile, &files).await;
        let name = dockerfile.trim_end().rsplit('/').next().unwrap();
        assert_eq!(worker.file(&outcome, name).as_deref(), Some("as it was sent"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_of_a_base_image_that_was_damaged_is_not_unpacked_and_is_fetched_again() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    // Needs the layers' blobs, but none of their files.
    let first = worker.build("FROM base\nENV A=1\n", &[]).await;
    flip(&worker, &first.image().layers[0].digest);
    let dockerfile = "FROM base\nRUN echo made > /made\n";
    let torn = worker.build(dockerfile, &[]).await;
    let message = &torn.failure().message;
    assert!(message.contains("was damaged on the disk"), "{message}");
    let whole = worker.build(dockerfile, &[]).await;
    assert_eq!(worker.file(&whole, "made").as_deref(), Some("made\n"));
    assert_eq!(whole.image().layers[0], first.image().layers[0]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_layer_that_is_encoded_anew_is_looked_at_on_the_way() {
    if !possible() {
        return;
    }
    let ground = Ground::new();
    let worker = ground.worker();
    let first = worker.build("FROM base\nENV A=1\n", &[]).await;
    flip(&worker, &first.image().layers[0].digest);
    let extras = || Extras {
        image: crate::export::ImageOptions {
            encoding: crate::export::Encoding::Zstd(3),
            encode_all: true,
            ..crate::export::ImageOptions::default()
        },
        ..Extras::default()
    };
    let build = async || {
        let analysis = worker.plan("FROM base\nENV A=1\n", |_| {}).await;
        let id = worker.start_extra(analysis, &[], false, extras());
        worker.outcome(id).await
    };
    let torn = build().await;
    let message = &torn.failure().message;
    assert!(message.contains("was damaged on the disk"), "{message}");
    let whole = build().await;
    assert_eq!(whole.image().layers[0].diff_id, first.image().layers[0].diff_id);
}

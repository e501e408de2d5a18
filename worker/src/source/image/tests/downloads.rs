//! Layers that come in pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio_util::sync::CancellationToken;

use super::fixture::{Bench, Content, platform, silent};
use super::server::{Reply, Server};
use crate::source::image::{ImageError, PullProgress, layer_reader};

/// Larger than what a socket swallows at once, so that a cut comes in the middle.
fn large_layer() -> Vec<u8> {
    (0..600_000_u64)
        .flat_map(|number| (number * number).to_le_bytes())
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn download_that_breaks_off_goes_on_where_it_stopped() {
    for honours_ranges in [true, false] {
        let mut content = Content::default();
        let image = content.image("amd64", &[&large_layer()]);
        content.tag("1", &image);
        let connections = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&connections);
        let server = Server::start(move |request| {
            let mut request = request.clone();
            if !honours_ranges {
                request.headers.remove("range");
            }
            let reply = content.answer(&request);
            if reply.body.len() < 1_000_000 {
                return reply;
            }
            let number = count.fetch_add(1, Ordering::SeqCst) + 1;
            Reply {
                cut: Some(1_500_000 * if honours_ranges { 1 } else { number }),
                ..reply
            }
        })
        .await;
        let bench = Bench::new("");
        let name = format!("{}/a:1", server.host);
        let pulled = bench
            .source
            .pull(&name, &platform("amd64"), silent(), &CancellationToken::new())
            .await
            .unwrap();
        assert_eq!(
            layer_reader(&bench.store, &pulled.layers[0], 1 << 30)
                .unwrap()
                .finish()
                .unwrap(),
            4_800_000
        );
        let blob = format!("blobs/{}", pulled.layers[0].digest);
        assert_eq!(server.count(&blob), 4, "honours ranges: {honours_ranges}");
        let resumed = server
            .seen()
            .iter()
            .filter(|request| request.range_start() > 0)
            .count();
        assert_eq!(resumed, 3);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn cancelled_download_ends_and_is_continued_by_the_next() {
    let mut content = Content::default();
    let image = content.image("amd64", &[&large_layer()]);
    content.tag("1", &image);
    let patient = Arc::new(AtomicUsize::new(0));
    let hang = Arc::clone(&patient);
    let server = Server::start(move |request| {
        let reply = content.answer(request);
        if reply.body.len() > 1_000_000 && hang.fetch_add(1, Ordering::SeqCst) == 0 {
            return Reply {
                cut: Some(2_000_000),
                stall: true,
                ..reply
            };
        }
        reply
    })
    .await;
    let bench = Bench::new("");
    let name = format!("{}/a:1", server.host);
    let cancel = CancellationToken::new();
    let stop = cancel.clone();
    let report = Arc::new(move |progress: PullProgress| {
        if progress.current > 1_000_000 {
            stop.cancel();
        }
    });
    let error = bench
        .source
        .pull(&name, &platform("amd64"), report, &cancel)
        .await
        .unwrap_err();
    assert!(matches!(error, ImageError::Cancelled { .. }), "{error}");
    let cancel = CancellationToken::new();
    let pulled = bench
        .source
        .pull(&name, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
    assert!(bench.store.contains(&pulled.layers[0].digest));
    let last = server
        .seen()
        .into_iter()
        .rfind(|request| request.path.contains("/blobs/"))
        .unwrap();
    assert!(last.range_start() > 1_000_000);
}

/// What becomes of an answer, by how many came before it.
type Mangle = fn(Reply, usize) -> Reply;

#[tokio::test(flavor = "multi_thread")]
async fn registry_that_vanishes_or_lost_part_of_a_layer_is_named_and_what_came_is_kept_for_the_next_pull() {
    // What becomes of a layer's bytes, and what is said of it.
    let vanishing = |reply: Reply, number: usize| match number {
        0 => Reply {
            cut: Some(2_000_000),
            ..reply
        },
        // No answer at all any more.
        _ => Reply {
            take: Some(0),
            ..reply
        },
    };
    let truncated = |reply: Reply, _: usize| Reply::ok(&reply.body[..reply.body.len().min(2_000_000)]);
    let cases: [(Mangle, &str); 2] = [
        (vanishing, "cannot reach"),
        (truncated, "the connection ended after"),
    ];
    for (mangle, said) in cases {
        let mut content = Content::default();
        let image = content.image("amd64", &[&large_layer()]);
        content.tag("1", &image);
        let (broken, number) = (Arc::new(AtomicBool::new(true)), AtomicUsize::new(0));
        let state = Arc::clone(&broken);
        let server = Server::start(move |request| {
            let reply = content.answer(request);
            if reply.body.len() > 1_000_000 && state.load(Ordering::SeqCst) {
                return mangle(reply, number.fetch_add(1, Ordering::SeqCst));
            }
            reply
        })
        .await;
        let bench = Bench::new("");
        let name = format!("{}/a:1", server.host);
        let pull = || async {
            let cancel = CancellationToken::new();
            bench
                .source
                .pull(&name, &platform("amd64"), silent(), &cancel)
                .await
        };
        let error = pull().await.unwrap_err().to_string();
        assert!(error.contains(said) && error.starts_with(&name), "{error}");
        broken.store(false, Ordering::SeqCst);
        let pulled = pull().await.unwrap();
        assert!(bench.store.verify(&pulled.layers[0].digest).is_ok());
        let last = server.seen().pop().unwrap();
        assert!(last.range_start() > 1_000_000, "the beginning was there already");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_pulls_of_one_image_download_it_once() {
    let mut content = Content::default();
    let image = content.image("amd64", &[&large_layer()]);
    content.tag("1", &image);
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:1", server.host);
    let (platform, cancel) = (platform("amd64"), CancellationToken::new());
    let (one, two) = tokio::join!(
        bench.source.pull(&name, &platform, silent(), &cancel),
        bench.source.pull(&name, &platform, silent(), &cancel)
    );
    let layer = one.unwrap().layers.remove(0);
    assert_eq!(two.unwrap().layers, std::slice::from_ref(&layer));
    assert_eq!(server.count(layer.digest.as_str()), 1);
}

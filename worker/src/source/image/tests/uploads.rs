//! Uploads to registries that fail in the middle.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use stagewright_core::digest::Digest;

use super::fixture::{Bench, OCI_MANIFEST};
use super::server::{Reply, Request, Server};
use crate::source::image::{Push, Pushed};

/// What happens to the first requests of a kind; the others are answered as a registry does.
type Script = BTreeMap<&'static str, Vec<Reply>>;

/// A registry that keeps nothing, and follows a script first.
async fn scripted(script: &[(&'static str, Vec<Reply>)]) -> Server {
    let script: Script = script.iter().cloned().collect();
    let script = Mutex::new(script);
    Server::start(move |request| {
        let kind = kind(request);
        let mut script = script.lock().unwrap();
        if let Some(replies) = script.get_mut(kind).filter(|replies| !replies.is_empty()) {
            return replies.remove(0);
        }
        match kind {
            "ask" => Reply::status(404),
            "begin" => Reply::status(202).with("Location", "/v2/a/blobs/uploads/1?state=x"),
            "token" => Reply::ok(r#"{"token":"new"}"#),
            _ => Reply::status(201),
        }
    })
    .await
}

/// What is asked for, in a word.
fn kind(request: &Request) -> &'static str {
    match (request.method.as_str(), request.path.as_str()) {
        ("HEAD", _) => "ask",
        ("POST", _) => "begin",
        ("PUT", path) if path.contains("/manifests/") => "manifest",
        ("PUT", _) => "send",
        _ => "token",
    }
}

/// A blob larger than what a socket swallows at once, and a manifest.
fn push(bench: &Bench) -> Push {
    let blob: Vec<u8> = (0..400_000_u64).flat_map(u64::to_le_bytes).collect();
    let digest = bench.store.put(&blob).unwrap();
    let manifest = b"{}".to_vec();
    Push {
        blobs: BTreeMap::from([(digest, blob.len() as u64)]),
        manifests: vec![(Digest::of(&manifest), OCI_MANIFEST.to_owned(), manifest)],
        ..Push::default()
    }
}

struct Went {
    result: Result<Pushed, String>,
    server: Server,
    bench: Bench,
}

impl Went {
    fn count(&self, wanted: &str) -> usize {
        let seen = self.server.seen();
        seen.iter().filter(|request| kind(request) == wanted).count()
    }

    fn error(&self) -> &str {
        self.result.as_ref().unwrap_err()
    }
}

/// Pushes to a registry with that script; `halt` is how long it may do nothing.
async fn pushed(script: &[(&'static str, Vec<Reply>)], halt: Duration) -> Went {
    let server = scripted(script).await;
    let bench = Bench::with_patience("", halt);
    let name = format!("{}/a:1", server.host).parse().unwrap();
    let result = bench.source.push(&name, &push(&bench)).await;
    Went {
        result: result.map_err(|error| error.to_string()),
        server,
        bench,
    }
}

const PATIENT: Duration = Duration::from_secs(20);

#[tokio::test(flavor = "multi_thread")]
async fn registry_that_fell_silent_at_the_end_of_an_upload_is_asked_again_and_not_for_ever() {
    let silent = Reply {
        silent: true,
        ..Reply::default()
    };
    let halt = Duration::from_millis(300);
    let went = pushed(&[("send", vec![silent.clone()])], halt).await;
    assert_eq!(went.result.as_ref().unwrap().uploaded, 1);
    assert_eq!((went.count("send"), went.count("manifest")), (2, 1));
    let begun = Instant::now();
    let went = pushed(&[("send", vec![silent; 5])], halt).await;
    assert!(begun.elapsed() < Duration::from_secs(20));
    assert!(
        went.error().contains("does not say that it took them"),
        "{}",
        went.error()
    );
    assert_eq!((went.count("send"), went.count("manifest")), (3, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_that_fails_and_then_works_gets_everything() {
    for kind in ["ask", "begin", "send", "manifest"] {
        let went = pushed(&[(kind, vec![Reply::status(500), Reply::status(503)])], PATIENT).await;
        assert!(went.result.is_ok(), "{kind}: {}", went.error());
        let manifests = if kind == "manifest" { 3 } else { 1 };
        assert_eq!(went.count("manifest"), manifests, "{kind}");
        let last = went.server.seen().pop().unwrap();
        assert_eq!(
            (super::uploads::kind(&last), last.body.as_slice()),
            ("manifest", &b"{}"[..])
        );
    }
    let went = pushed(&[("manifest", vec![Reply::status(500); 9])], PATIENT).await;
    assert!(went.error().contains("try again later"), "{}", went.error());
    assert_eq!(went.count("manifest"), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn connection_that_is_reset_in_the_middle_is_made_again_and_all_bytes_arrive() {
    let cut = Reply {
        take: Some(100_000),
        ..Reply::default()
    };
    let went = pushed(&[("send", vec![cut.clone()])], PATIENT).await;
    assert_eq!(went.result.as_ref().unwrap().uploaded, 1);
    let sent: Vec<usize> = went
        .server
        .seen()
        .iter()
        .filter(|request| kind(request) == "send")
        .map(|request| request.body.len())
        .collect();
    assert_eq!(sent, [100_000, 3_200_000]);
    let cut = Reply {
        take: Some(1),
        ..Reply::default()
    };
    let went = pushed(&[("manifest", vec![cut])], PATIENT).await;
    assert_eq!((went.result.is_ok(), went.count("manifest")), (true, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn token_that_ends_during_an_upload_is_renewed() {
    let host = Arc::new(Mutex::new(String::new()));
    let realm = Arc::clone(&host);
    let sends = Mutex::new(0);
    let server = Server::start(move |request| {
        let refused = || {
            let realm = format!("Bearer realm=\"http://{}/token\"", realm.lock().unwrap());
            Reply::status(401).with("WWW-Authenticate", realm)
        };
        match kind(request) {
            "token" => Reply::ok(r#"{"token":"t"}"#),
            _ if request.header("authorization").is_empty() => refused(),
            "ask" => Reply::status(404),
            "begin" => Reply::status(202).with("Location", "/v2/a/blobs/uploads/1"),
            "send" => {
                let mut sends = sends.lock().unwrap();
                *sends += 1;
                if *sends == 1 {
                    refused()
                } else {
                    Reply::status(201)
                }
            }
            _ => Reply::status(201),
        }
    })
    .await;
    host.lock().unwrap().clone_from(&server.host);
    let bench = Bench::new("");
    let name = format!("{}/a:1", server.host).parse().unwrap();
    let pushed = bench.source.push(&name, &push(&bench)).await.unwrap();
    assert_eq!(pushed.uploaded, 1);
    assert_eq!(server.count("/token"), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_that_wants_us_to_wait_is_waited_for_where_it_is_not_long() {
    let soon = Reply::status(429).with("Retry-After", "1");
    for kind in ["ask", "begin", "send", "manifest"] {
        let begun = Instant::now();
        let went = pushed(&[(kind, vec![soon.clone()])], PATIENT).await;
        assert!(went.result.is_ok(), "{kind}: {}", went.error());
        assert!(begun.elapsed() >= Duration::from_secs(1), "{kind}");
    }
    let late = Reply::status(429).with("Retry-After", "3600");
    let went = pushed(&[("manifest", vec![late])], PATIENT).await;
    assert!(
        went.error().contains("wants us to wait (3600 s)"),
        "{}",
        went.error()
    );
    assert_eq!(went.count("manifest"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn blob_that_was_damaged_here_is_named_and_made_anew_by_the_next_build() {
    let server = scripted(&[("send", vec![Reply::status(400)])]).await;
    let bench = Bench::new("");
    let push = push(&bench);
    let digest = push.blobs.keys().next().unwrap();
    let mut bytes = std::fs::read(bench.store.path(digest)).unwrap();
    bytes[5] ^= 1;
    std::fs::write(bench.store.path(digest), bytes).unwrap();
    let name = format!("{}/a:1", server.host).parse().unwrap();
    let error = bench.source.push(&name, &push).await.unwrap_err().to_string();
    assert!(error.contains("was damaged on the disk"), "{error}");
    assert!(!bench.store.contains(digest));
    // Where it is as it was, the registry's word is passed on.
    let went = pushed(&[("send", vec![Reply::status(400)])], PATIENT).await;
    assert!(went.error().contains("400"), "{}", went.error());
    assert_eq!(went.bench.store.blobs().unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn blob_that_is_shorter_or_longer_than_its_image_says_is_an_error_at_once() {
    for (length, says) in [
        (Some(1_000_000), "was damaged on the disk"),
        (Some(0), "was damaged on the disk"),
        (Some(3_200_001), "was damaged on the disk"),
        (None, "has 3200001 bytes, and it has 3200000"),
    ] {
        let server = scripted(&[]).await;
        let bench = Bench::with_patience("", PATIENT);
        let mut push = push(&bench);
        let digest = push.blobs.keys().next().unwrap().clone();
        match length {
            Some(length) => std::fs::File::options()
                .write(true)
                .open(bench.store.path(&digest))
                .unwrap()
                .set_len(length)
                .unwrap(),
            None => *push.blobs.get_mut(&digest).unwrap() += 1,
        }
        let name = format!("{}/a:1", server.host).parse().unwrap();
        let begun = Instant::now();
        let error = bench.source.push(&name, &push).await.unwrap_err().to_string();
        assert!(error.contains(says), "{length:?}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(10), "{length:?}");
        // The next build makes a good one where this one was none.
        assert_eq!(bench.store.contains(&digest), length.is_none());
        // No part of it was sent, nor a manifest that points to it.
        let sent = server
            .seen()
            .iter()
            .filter(|request| matches!(kind(request), "send" | "manifest"))
            .count();
        assert_eq!(sent, 0, "{length:?}");
    }
}

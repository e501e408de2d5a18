//! Images from registries that behave and registries that do not.

mod fixture;
mod layouts;
mod real_registry;
mod server;

use std::io::Read as _;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use stagewright_core::digest::Digest;
use tokio_util::sync::CancellationToken;

use self::fixture::{Bench, Content, OCI_INDEX, platform, silent};
use self::server::{Reply, Server};
use super::{ImageError, layer_reader};

/// Larger than what a socket swallows at once, so that a cut comes in the middle.
fn large_layer() -> Vec<u8> {
    (0..600_000_u64)
        .flat_map(|number| (number * number).to_le_bytes())
        .collect()
}

fn one_image() -> (Content, Digest) {
    let mut content = Content::default();
    let image = content.image("amd64", &[b"one", b"two"]);
    content.tag("1", &image);
    (content, image)
}

#[tokio::test(flavor = "multi_thread")]
async fn tag_resolves_to_its_digest_and_the_answer_is_kept() {
    let (content, image) = one_image();
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:1", server.host);
    let facts = bench.source.resolve(&name, &platform("amd64")).await.unwrap();
    assert_eq!(facts.digest, image);
    assert_eq!(facts.config["config"]["Env"][0], "PATH=/bin");
    assert!(facts.size > 0 && facts.note.is_none());
    let asked = server.seen().len();
    assert_eq!(
        bench.source.resolve(&name, &platform("amd64")).await.unwrap(),
        facts
    );
    assert_eq!(server.seen().len(), asked);
    assert!(server.seen()[0].header("accept").contains(OCI_INDEX));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn those_who_ask_at_once_share_one_answer() {
    let (content, _) = one_image();
    // The registry answers only once both have asked: the futures below are polled in their order.
    let open = Arc::new(AtomicBool::new(false));
    let gate = Arc::clone(&open);
    let server = Server::start(move |request| {
        while request.path.contains("/manifests/") && !gate.load(Ordering::SeqCst) {
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        content.answer(request)
    })
    .await;
    let bench = Bench::new("");
    let platform = platform("amd64");
    for (tag, there) in [("1", true), ("2", false)] {
        open.store(false, Ordering::SeqCst);
        let name = format!("{}/a:{tag}", server.host);
        let (one, two, ()) = tokio::join!(
            bench.source.resolve(&name, &platform),
            bench.source.resolve(&name, &platform),
            async {
                open.store(true, Ordering::SeqCst);
            }
        );
        assert_eq!((one.is_ok(), two.is_ok()), (there, there));
        assert_eq!(server.count(&format!("manifests/{tag}")), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn pulled_image_is_there_without_its_registry() {
    let (content, image) = one_image();
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:1@{image}", server.host);
    let heard = Arc::new(Mutex::new(Vec::new()));
    let tell = Arc::clone(&heard);
    let report = Arc::new(move |progress| tell.lock().unwrap().push(progress));
    let cancel = CancellationToken::new();
    let pulled = bench
        .source
        .pull(&name, &platform("amd64"), report, &cancel)
        .await
        .unwrap();
    assert_eq!((&pulled.digest, &pulled.manifest), (&image, &image));
    for (layer, tar) in pulled.layers.iter().zip([b"one", b"two"]) {
        let mut text = Vec::new();
        layer_reader(&bench.store, layer, 100)
            .unwrap()
            .read_to_end(&mut text)
            .unwrap();
        assert_eq!(text, tar);
        let heard = heard.lock().unwrap();
        assert!(
            heard
                .iter()
                .any(|progress| progress.digest == layer.digest && progress.current == layer.size)
        );
    }
    drop(server);
    let again = bench
        .source
        .pull(&name, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
    assert_eq!(again, pulled);
    assert_eq!(
        bench.source.describe(&name, &platform("amd64")).await.unwrap(),
        pulled
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn index_gives_the_platforms_image_or_says_which_there_are() {
    let mut content = Content::default();
    let (arm, amd) = (
        content.image("arm64", &[b"arm"]),
        content.image("amd64", &[b"amd"]),
    );
    let mut attestation = content.entry("unknown", &arm);
    attestation["platform"]["os"] = "unknown".into();
    let inner_entries = [content.descriptor("", &amd), attestation];
    let inner = content.index(&inner_entries);
    let entries = [
        content.entry("arm64", &arm),
        content.descriptor(OCI_INDEX, &inner),
    ];
    let index = content.index(&entries);
    content.tag("1", &index);
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:1", server.host);
    for (architecture, manifest) in [("arm64", arm), ("amd64", amd)] {
        let image = bench
            .source
            .describe(&name, &platform(architecture))
            .await
            .unwrap();
        assert_eq!((image.digest, image.manifest), (index.clone(), manifest));
    }
    let error = bench.source.resolve(&name, &platform("s390x")).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("/a:1 is not there for linux/s390x; it is there for linux/amd64, linux/arm64"),
        "{error}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn token_is_fetched_once_and_sent_with_what_follows() {
    let (content, _) = one_image();
    let host = Arc::new(Mutex::new(String::new()));
    let own_host = Arc::clone(&host);
    let server = Server::start(move |request| {
        if request.path.starts_with("/token?") {
            assert!(
                request.path.contains("service=registry.test")
                    && request.path.contains("repository%3Aa%2Fb%3Apull")
            );
            return Reply::ok(r#"{"token":"open-sesame","expires_in":300}"#);
        }
        if request.header("authorization") == "Bearer open-sesame" {
            return content.answer(request);
        }
        let realm = format!("http://{}/token", own_host.lock().unwrap());
        let challenge =
            format!("Bearer realm=\"{realm}\",service=\"registry.test\",scope=\"repository:other:push\"");
        Reply::status(401).with("WWW-Authenticate", challenge)
    })
    .await;
    host.lock().unwrap().clone_from(&server.host);
    let bench = Bench::new("");
    let name = format!("{}/a/b:1", server.host);
    bench
        .source
        .pull(&name, &platform("amd64"), silent(), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(server.count("/token"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn configured_user_is_told_to_registries_that_ask() {
    let (content, _) = one_image();
    let server = Server::start(move |request| match request.header("authorization") {
        // someone:secret
        "Basic c29tZW9uZTpzZWNyZXQ=" => content.answer(request),
        _ => Reply::status(401).with("WWW-Authenticate", "Basic realm=\"x\""),
    })
    .await;
    let name = format!("{}/a:1", server.host);
    let user = |password: &str| {
        format!(
            "[registry.\"{}\"]\nusername = \"someone\"\npassword = \"{password}\"",
            server.host
        )
    };
    assert!(
        Bench::new(&user("secret"))
            .source
            .resolve(&name, &platform("amd64"))
            .await
            .is_ok()
    );
    let wrong = Bench::new(&user("wrong"))
        .source
        .resolve(&name, &platform("amd64"))
        .await
        .unwrap_err();
    assert!(
        wrong
            .to_string()
            .contains("refuses it to the user in the worker's configuration"),
        "{wrong}"
    );
    let nobody = Bench::new("")
        .source
        .resolve(&name, &platform("amd64"))
        .await
        .unwrap_err();
    assert!(nobody.to_string().contains("for known users only"), "{nobody}");
}

#[tokio::test(flavor = "multi_thread")]
async fn content_server_elsewhere_does_not_see_the_password() {
    let (content, _) = one_image();
    let elsewhere = content.clone().serve().await;
    let other = elsewhere.host.clone();
    let server = Server::start(move |request| {
        if request.header("authorization").is_empty() {
            return Reply::status(401).with("WWW-Authenticate", "Basic");
        }
        if request.path.contains("/blobs/") {
            return Reply::status(307).with("Location", format!("http://{other}{}", request.path));
        }
        content.answer(request)
    })
    .await;
    let user = format!(
        "[registry.\"{}\"]\nusername = \"someone\"\npassword = \"secret\"",
        server.host
    );
    let bench = Bench::new(&user);
    let name = format!("{}/a:1", server.host);
    bench
        .source
        .pull(&name, &platform("amd64"), silent(), &CancellationToken::new())
        .await
        .unwrap();
    assert_eq!(elsewhere.seen().len(), 3);
    assert!(
        elsewhere
            .seen()
            .iter()
            .all(|request| request.header("authorization").is_empty())
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn lacking_image_is_told_from_a_registry_that_fails() {
    let server = Server::start(|request| match request.path.rsplit('/').next() {
        Some("busy") => Reply::status(429).with("Retry-After", "17"),
        Some("broken") => Reply::status(503),
        Some("odd") => Reply::status(418),
        Some("loop") => Reply::status(307).with("Location", request.path.clone()),
        _ => Reply::status(404),
    })
    .await;
    let bench = Bench::new("");
    for (tag, expected) in [
        ("none", "says there is no such image; check the name and tag"),
        ("busy", "wants us to wait (17 s)"),
        ("broken", "failed (503 Service Unavailable); try again later"),
        ("odd", "gave an answer that a registry should not give"),
        ("loop", "redirects without end"),
    ] {
        let name = format!("{}/a:{tag}", server.host);
        let error = bench.source.resolve(&name, &platform("amd64")).await.unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
        assert!(error.to_string().starts_with(&name), "{error}");
        assert_eq!(error.is_not_found(), tag == "none");
    }
    assert_eq!(
        server.count("broken"),
        3,
        "a server's own failure is worth another attempt"
    );
}

/// An address where nobody listens.
async fn dead_host() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn registry_that_is_not_there_or_says_nothing_is_not_waited_for() {
    let silent_one = Server::start(|_| Reply {
        stall: true,
        cut: Some(0),
        ..Reply::ok("x")
    })
    .await;
    let mute = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    for host in [
        dead_host().await,
        silent_one.host.clone(),
        mute.local_addr().unwrap().to_string(),
    ] {
        let bench = Bench::with_patience("", std::time::Duration::from_millis(300));
        let error = bench
            .source
            .resolve(&format!("{host}/a"), &platform("amd64"))
            .await
            .unwrap_err();
        assert!(matches!(error, ImageError::Unreachable { .. }), "{error}");
        let text = error.to_string();
        assert!(
            text.contains(&format!("cannot reach {host}")) && text.contains("[[substitute]]"),
            "{text}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mirrors_are_tried_in_order_and_all_that_failed_is_told() {
    let (content, image) = one_image();
    let good = content.clone().serve().await;
    let (dead, empty) = (dead_host().await, Content::default().serve().await);
    let mirrors = |last: &str| {
        format!(
            "[registry.\"example.invalid\"]\nplain-http = true\n\
             mirrors = [\"http://{dead}\", \"http://{}/prefix\", \"http://{last}/prefix/deep\"]",
            empty.host
        )
    };
    let bench = Bench::new(&mirrors(&good.host));
    let name = "example.invalid/team/a:1";
    let cancel = CancellationToken::new();
    let pulled = bench
        .source
        .pull(name, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap();
    assert_eq!(pulled.digest, image);
    assert!(
        good.seen()
            .iter()
            .all(|request| request.path.starts_with("/v2/prefix/deep/team/a/"))
    );

    let bench = Bench::new(&mirrors(&dead));
    let error = bench
        .source
        .resolve(name, &platform("amd64"))
        .await
        .unwrap_err()
        .to_string();
    assert!(
        error
            .starts_with("example.invalid/team/a:1 could not be had from any of 4 places:\n  - cannot reach")
    );
    assert!(
        error.contains(&format!("\n  - {} says there is no such image", empty.host)),
        "{error}"
    );
    assert!(error.contains("\n  - cannot reach example.invalid"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn download_that_breaks_off_goes_on_where_it_stopped() {
    for honours_ranges in [true, false] {
        let mut content = Content::default();
        let image = content.image("amd64", &[&large_layer()]);
        content.tag("1", &image);
        let served = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&served);
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
    let report = Arc::new(move |progress: super::PullProgress| {
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
    assert_eq!(two.unwrap().layers, [layer.clone()]);
    assert_eq!(server.count(layer.digest.as_str()), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn other_content_than_was_asked_for_is_not_kept() {
    let (content, image) = one_image();
    let manifest: serde_json::Value = serde_json::from_slice(&content.blobs[image.as_str()]).unwrap();
    for victim in [
        image.to_string(),
        manifest["config"]["digest"].as_str().unwrap().to_owned(),
        manifest["layers"][0]["digest"].as_str().unwrap().to_owned(),
    ] {
        let mut forged = content.clone();
        forged.blobs.get_mut(&victim).unwrap()[0] ^= 1;
        let server = forged.serve().await;
        let bench = Bench::new("");
        let name = format!("{}/a@{image}", server.host);
        let cancel = CancellationToken::new();
        let error = bench
            .source
            .pull(&name, &platform("amd64"), silent(), &cancel)
            .await
            .unwrap_err();
        assert!(matches!(error, ImageError::WrongDigest { .. }), "{error}");
        assert!(error.to_string().contains(&victim), "{error}");
        let victim: Digest = victim.parse().unwrap();
        assert!(!bench.store.contains(&victim) && bench.store.partial_size(&victim) == 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn mirror_that_forges_is_made_good_by_the_next() {
    let (content, image) = one_image();
    let manifest: serde_json::Value = serde_json::from_slice(&content.blobs[image.as_str()]).unwrap();
    let mut forged = content.clone();
    forged
        .blobs
        .get_mut(manifest["layers"][0]["digest"].as_str().unwrap())
        .unwrap()[20] ^= 1;
    let (honest, forger) = (content.serve().await, forged.serve().await);
    let bench = Bench::new(&format!(
        "[registry.\"{}\"]\nmirrors = [\"http://{}\"]",
        honest.host, forger.host
    ));
    let name = format!("{}/a:1", honest.host);
    let cancel = CancellationToken::new();
    assert!(
        bench
            .source
            .pull(&name, &platform("amd64"), silent(), &cancel)
            .await
            .is_ok()
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn malicious_images_are_refused_before_they_cost_anything() {
    let mut content = Content::default();
    let config = content.add(r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":[]}}"#);
    let config = content.descriptor("", &config);
    let huge = json!({ "digest": Digest::of(b"x"), "size": 1_u64 << 60 });
    let large_config = json!({ "digest": Digest::of(b"x"), "size": 9 << 20 });
    let mut nested = content.index(&[]);
    for _ in 0..10 {
        let entry = content.descriptor(OCI_INDEX, &nested);
        nested = content.index(&[entry]);
    }
    let wide: Vec<_> = (0..100)
        .map(|number| json!({ "digest": Digest::of(&[number]), "size": 1 }))
        .collect();
    let layered = content.add(
        r#"{"os":"linux","architecture":"amd64","rootfs":{"diff_ids":["sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"]}}"#,
    );
    let layered = content.descriptor("", &layered);
    let cases = [
        ("endless", " ".repeat(5 << 20), "sent more than the 4194304 bytes"),
        (
            "huge",
            json!({ "config": layered, "layers": [huge] }).to_string(),
            "image-size in the worker's",
        ),
        (
            "config",
            json!({ "config": large_config, "layers": [] }).to_string(),
            "its configuration has 9437184 bytes",
        ),
        (
            "count",
            json!({ "config": config, "layers": [huge] }).to_string(),
            "1 layers, but its configuration speaks of 0",
        ),
        (
            "nested",
            String::from_utf8(content.blobs[nested.as_str()].clone()).unwrap(),
            "nest too deep",
        ),
        (
            "wide",
            json!({ "manifests": wide }).to_string(),
            "says there is no such image",
        ),
        (
            "path",
            r#"{"manifests":[{"digest":"sha256:../../etc/passwd","size":1}]}"#.to_owned(),
            "malformed",
        ),
        ("html", "<html>".to_owned(), "its manifest is malformed"),
    ];
    let mut served = content.clone();
    for (tag, body, _) in &cases {
        let digest = served.add(body.as_bytes());
        served.tag(tag, &digest);
    }
    let server = served.serve().await;
    for (tag, _, expected) in cases {
        let bench = Bench::new("");
        let name = format!("{}/a:{tag}", server.host);
        let cancel = CancellationToken::new();
        let error = bench
            .source
            .pull(&name, &platform("amd64"), silent(), &cancel)
            .await
            .unwrap_err();
        assert!(error.to_string().contains(expected), "{tag}: {error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn layer_longer_than_announced_is_cut_off() {
    let (mut content, _) = one_image();
    let layer = content.add(vec![7; 100_000]);
    let config =
        json!({ "os": "linux", "architecture": "amd64", "rootfs": { "diff_ids": [Digest::of(b"x")] } });
    let config = content.add(config.to_string());
    let manifest = json!({
        "config": content.descriptor("", &config), "layers": [{ "digest": layer, "size": 1000 }]
    });
    let manifest = content.add(manifest.to_string());
    content.tag("long", &manifest);
    let server = content.serve().await;
    let bench = Bench::new("");
    let name = format!("{}/a:long", server.host);
    let cancel = CancellationToken::new();
    let error = bench
        .source
        .pull(&name, &platform("amd64"), silent(), &cancel)
        .await
        .unwrap_err();
    assert!(error.to_string().contains("should have 1000 bytes"), "{error}");
    assert_eq!(bench.store.partial_size(&layer), 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn registries_that_are_not_allowed_are_not_asked() {
    let (content, _) = one_image();
    let server = content.serve().await;
    let bench = Bench::new("allowed-registries = [\"docker.io\"]");
    let error = bench
        .source
        .resolve(&format!("{}/a:1", server.host), &platform("amd64"))
        .await
        .unwrap_err();
    assert!(error.to_string().contains("allowed-registries"), "{error}");
    assert!(server.seen().is_empty());
}

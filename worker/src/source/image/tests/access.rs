//! Getting an answer out of a registry: tokens, passwords, mirrors, and those that have none.

use std::sync::{Arc, Mutex};

use tokio::io::AsyncWriteExt as _;
use tokio_util::sync::CancellationToken;

use super::fixture::{Bench, Content, platform, silent};
use super::one_image;
use super::server::{Reply, Server};
use crate::source::image::ImageError;

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

#[tokio::test(flavor = "multi_thread")]
async fn registry_without_tls_is_known_by_its_first_words() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let serving = tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            // What web servers say to a TLS greeting.
            let _ = stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")
                .await;
        }
    });
    let bench = Bench::new(&format!("[registry.\"{host}\"]\nplain-http = false"));
    let error = bench
        .source
        .resolve(&format!("{host}/a:1"), &platform("amd64"))
        .await
        .unwrap_err();
    serving.abort();
    assert!(
        error.to_string().contains("set plain-http = true under"),
        "{error}"
    );
}

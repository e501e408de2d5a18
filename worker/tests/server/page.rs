//! The playground's files.

use std::fs;

use crate::client::{get, http};
use crate::worker::{Setup, Worker};

async fn with_page() -> (Worker, tempfile::TempDir) {
    let page = tempfile::tempdir().unwrap();
    for (name, content) in [
        ("index.html", "<!doctype html>"),
        ("web-0123456789abcdef_bg.wasm", "wasm"),
        ("web-0123456789abcdef_bg.wasm.gz", "gzipped"),
        ("editor.js", "js"),
    ] {
        fs::write(page.path().join(name), content).unwrap();
    }
    let worker = Worker::with(Setup {
        page: Some(page.path().to_owned()),
        ..Setup::default()
    })
    .await;
    (worker, page)
}

#[tokio::test]
async fn files_come_with_their_type_and_the_right_lifetime() {
    let (worker, _page) = with_page().await;
    let index = get(worker.address, "/").await;
    assert_eq!(
        (index.status, index.header("content-type")),
        (200, Some("text/html"))
    );
    assert_eq!(index.header("cache-control"), Some("no-cache"));
    let wasm = get(worker.address, "/web-0123456789abcdef_bg.wasm").await;
    assert_eq!(wasm.header("content-type"), Some("application/wasm"));
    assert!(wasm.header("cache-control").unwrap().contains("immutable"));
    assert_eq!(wasm.body, b"wasm");
    let request = format!(
        "GET /web-0123456789abcdef_bg.wasm HTTP/1.1\r\nhost: {}\r\naccept-encoding: gzip\r\nconnection: close\r\n\r\n",
        worker.address
    );
    let packed = http(worker.address, &request).await;
    assert_eq!(
        (packed.header("content-encoding"), packed.body.as_slice()),
        (Some("gzip"), &b"gzipped"[..])
    );
    assert_eq!(packed.header("content-type"), Some("application/wasm"));
    assert_eq!(
        get(worker.address, "/editor.js").await.header("cache-control"),
        Some("no-cache")
    );
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_in_json() {
    let (worker, _page) = with_page().await;
    let bare = Worker::start().await;
    for (address, path) in [
        (worker.address, "/nowhere"),
        (worker.address, "/v1/nowhere"),
        (worker.address, "/../Cargo.toml"),
        (worker.address, "/%2e%2e/Cargo.toml"),
        (bare.address, "/index.js"),
    ] {
        let answer = get(address, path).await;
        assert_eq!(answer.status, 404, "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/problem+json"),
            "{path}"
        );
        assert_eq!(answer.json()["status"], 404);
    }
}

#[tokio::test]
async fn every_answer_tells_the_browser_what_not_to_do() {
    let (worker, _page) = with_page().await;
    for path in [
        "/",
        "/editor.js",
        "/nowhere",
        "/v1/version",
        "/v1/ws",
        "/v1/downloads/x",
    ] {
        let answer = get(worker.address, path).await;
        let policy = answer.header("content-security-policy").unwrap();
        for part in [
            "default-src 'self'",
            "script-src 'self' 'wasm-unsafe-eval'",
            "frame-ancestors 'none'",
            "base-uri 'none'",
        ] {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(
            policy.contains(&format!("ws://localhost:{}", worker.address.port())),
            "{path}: {policy}"
        );
        assert_eq!(answer.header("x-content-type-options"), Some("nosniff"), "{path}");
        assert_eq!(answer.header("referrer-policy"), Some("no-referrer"), "{path}");
        assert_eq!(
            answer.header("cross-origin-opener-policy"),
            Some("same-origin"),
            "{path}"
        );
    }
}

#[tokio::test]
async fn worker_without_a_page_says_how_to_get_one() {
    let worker = Worker::start().await;
    let answer = get(worker.address, "/").await;
    assert_eq!(answer.status, 200);
    assert!(String::from_utf8(answer.body).unwrap().contains("--page"));
}

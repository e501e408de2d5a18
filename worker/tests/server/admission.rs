//! Who is let in.

use std::time::Duration;

use serde_json::json;
use stagewright::server::{Limits, Server, ServerError, Settings, TlsFiles};
use stagewright::token::{Scope, Scopes, Tokens};
use stagewright_core::protocol::{Welcome, error_code};

use crate::client::{Client, get, http};
use crate::worker::{Setup, Worker};

#[tokio::test]
async fn token_opens_the_door_and_says_who_is_there() {
    let worker = Worker::start().await;
    let mut client = Client::connect(worker.address).await;
    let welcome = client
        .call("hello", json!({ "token": worker.token().await }))
        .await
        .unwrap();
    let welcome: Welcome = serde_json::from_value(welcome).unwrap();
    assert_eq!(welcome.protocol, stagewright_core::protocol::VERSION);
    assert!(welcome.can_build);
    assert_eq!(welcome.missing, ["cgroups are missing: limits are off."]);
    assert_eq!(
        welcome.substitutes["docker.io/library/alpine:latest"],
        "a stand-in"
    );
    assert!(welcome.builds.is_empty());
}

#[tokio::test]
async fn used_token_is_refused_and_a_fresh_one_announced() {
    let worker = Worker::start().await;
    let token = worker.token().await;
    worker.client().await;
    let mut second = Client::connect(worker.address).await;
    let refusal = second.call("hello", json!({ "token": token })).await.unwrap_err();
    assert_eq!(refusal.code, error_code::UNAUTHORIZED);
    assert!(refusal.message.contains("printed last"), "{}", refusal.message);
    assert_eq!(u16::from(second.closed().await.unwrap().code), 1008);

    let announced = worker.announced();
    assert_eq!(announced.len(), 2);
    assert!(
        announced[1].starts_with(&format!("http://{}/#token=", worker.address)),
        "{announced:?}"
    );
    assert_ne!(worker.token().await, token);
    worker.client().await;
}

#[tokio::test]
async fn session_survives_a_restart_of_the_worker() {
    let worker = Worker::start().await;
    let (_, session) = worker.client().await;
    let token = worker.token().await;
    let worker = worker.restart().await;
    worker.client_of(&session).await;
    let mut old = Client::connect(worker.address).await;
    assert_eq!(
        old.call("hello", json!({ "token": token }))
            .await
            .unwrap_err()
            .code,
        error_code::UNAUTHORIZED
    );
}

#[tokio::test]
async fn nothing_can_be_asked_before_hello() {
    let worker = Worker::start().await;
    for message in [
        r#"{"jsonrpc":"2.0","id":1,"method":"build.list"}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"token":"guess"}}"#,
        r#"{"jsonrpc":"2.0","id":1,"method":"hello","params":{"session":"guess"}}"#,
    ] {
        let mut client = Client::connect(worker.address).await;
        client.send_text(message).await;
        assert_eq!(
            client.answer(1).await.unwrap_err().code,
            error_code::UNAUTHORIZED,
            "{message}"
        );
        assert_eq!(u16::from(client.closed().await.unwrap().code), 1008, "{message}");
    }
}

#[tokio::test]
async fn client_that_says_nothing_is_sent_away() {
    let limits = Limits {
        hello: Duration::from_millis(50),
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let mut client = Client::connect(worker.address).await;
    assert_eq!(u16::from(client.closed().await.unwrap().code), 1008);
}

#[tokio::test]
async fn strangers_are_few_and_their_place_is_given_back() {
    let limits = Limits {
        strangers: 2,
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let first = Client::connect(worker.address).await;
    let _second = Client::connect(worker.address).await;
    assert_eq!(Client::connect_with(worker.address, &[]).await.err(), Some(503));
    drop(first);
    let mut known = loop {
        if let Ok(client) = Client::connect_with(worker.address, &[]).await {
            break client;
        }
        tokio::task::yield_now().await;
    };
    known
        .call("hello", json!({ "token": worker.token().await }))
        .await
        .unwrap();
    Client::connect(worker.address).await;
}

#[tokio::test]
async fn guessing_tokens_is_slowed_down() {
    let limits = Limits {
        attempts: 2,
        attempt_every: Duration::from_hours(1),
        ..Limits::default()
    };
    let worker = Worker::with(Setup {
        limits,
        ..Setup::default()
    })
    .await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let mut client = Client::connect(worker.address).await;
        codes.push(
            client
                .call("hello", json!({ "token": "guess" }))
                .await
                .unwrap_err()
                .code,
        );
    }
    assert_eq!(
        codes,
        [
            error_code::UNAUTHORIZED,
            error_code::UNAUTHORIZED,
            error_code::LIMIT
        ]
    );
}

#[tokio::test]
async fn foreign_origin_is_refused_at_the_handshake() {
    let worker = Worker::with(Setup {
        allow: vec!["https://docs.example.org"],
        ..Setup::default()
    })
    .await;
    let own = format!("http://localhost:{}", worker.address.port());
    for good in [own.as_str(), "https://docs.example.org"] {
        assert!(
            Client::connect_with(worker.address, &[("origin", good)])
                .await
                .is_ok(),
            "{good}"
        );
    }
    for bad in [
        "https://evil.example",
        "null",
        "http://localhost",
        "https://docs.example.org.evil.example",
    ] {
        assert_eq!(
            Client::connect_with(worker.address, &[("origin", bad)])
                .await
                .err(),
            Some(403),
            "{bad}"
        );
    }
}

#[tokio::test]
async fn rebound_name_is_refused_even_where_origin_equals_host() {
    let worker = Worker::start().await;
    let port = worker.address.port();
    let host = format!("evil.example:{port}");
    let origin = format!("http://{host}");
    let headers = [("host", host.as_str()), ("origin", origin.as_str())];
    assert_eq!(
        Client::connect_with(worker.address, &headers).await.err(),
        Some(421)
    );
    for path in ["/", "/v1/version", "/v1/downloads/x", "/nowhere"] {
        let answer = http(
            worker.address,
            &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n"),
        )
        .await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(answer.json()["detail"].as_str().unwrap().contains("evil.example"));
    }
}

#[tokio::test]
async fn program_without_an_origin_needs_the_token_all_the_same() {
    let worker = Worker::start().await;
    let mut client = Client::connect_with(worker.address, &[]).await.unwrap();
    assert_eq!(
        client.call("build.list", json!(null)).await.unwrap_err().code,
        error_code::UNAUTHORIZED
    );
}

#[tokio::test]
async fn version_says_no_more_than_that() {
    let worker = Worker::start().await;
    let answer = get(worker.address, "/v1/version").await;
    assert_eq!(answer.json(), json!({ "name": "stagewright", "protocol": 1 }));
}

#[tokio::test]
async fn address_that_others_can_reach_takes_tls_a_token_and_a_name() {
    let worker = Worker::start().await;
    let folder = tempfile::tempdir().unwrap();
    let bind = async |listen: &str, tls: Option<TlsFiles>, hosts: &[&str]| {
        let settings = Settings {
            listen: listen.parse().unwrap(),
            page: None,
            state: worker.state.path().to_owned(),
            tls,
            hosts: hosts.iter().map(|host| host.parse().unwrap()).collect(),
            allow_origins: Vec::new(),
            limits: Limits::default(),
        };
        Server::bind(settings, worker.requests(), |_| ())
            .await
            .err()
            .unwrap()
    };
    // None of these listens: what would is not there, so that no test can be reached from elsewhere.
    let tls = Some(TlsFiles {
        certificate: folder.path().join("certificate.pem"),
        key: folder.path().join("key.pem"),
    });
    for listen in ["0.0.0.0:0", "[::]:0", "192.0.2.1:0", "[::ffff:192.0.2.1]:0"] {
        let refused = bind(listen, None, &["a.example"]).await;
        assert!(matches!(refused, ServerError::NoTls(_)), "{listen}: {refused}");
        let refused = bind(listen, tls.clone(), &["a.example"]).await;
        assert!(matches!(refused, ServerError::NoToken(_)), "{listen}: {refused}");
    }
    // A token whose time is over is none.
    Tokens::of(worker.state.path())
        .create(None, Scopes::default(), Some(Duration::ZERO))
        .unwrap();
    let refused = bind("0.0.0.0:0", tls.clone(), &["a.example"]).await;
    assert!(matches!(refused, ServerError::NoToken(_)), "{refused}");
    worker.token_for(&[Scope::Build]);
    let refused = bind("0.0.0.0:0", tls.clone(), &[]).await;
    assert!(matches!(refused, ServerError::NoHost(_)), "{refused}");
    let refused = bind("0.0.0.0:0", tls, &["a.example"]).await;
    assert!(matches!(refused, ServerError::Tls(_)), "{refused}");
}

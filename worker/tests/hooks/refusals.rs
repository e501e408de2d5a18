//! What is refused without work.

use std::io::Write as _;
use std::time::{Duration, Instant, SystemTime};

use serde_json::{Value, json};
use stagewright::request::SigningKey;

use crate::place::{Place, SECRET, answer, push_event};

const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

fn seconds(offset: i64) -> String {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap();
    (i64::try_from(now.as_secs()).unwrap() + offset).to_string()
}

#[test]
fn what_is_not_a_push_of_the_hook_builds_nothing() {
    let Some(place) = Place::new() else { return };
    let worker = place.serve(&[], None);
    let body = push_event("refs/heads/main", COMMIT).to_string();
    let right = SigningKey::new(SECRET.as_bytes().to_vec()).sign(&[body.as_bytes()]);
    let other = SigningKey::new(b"another secret altogether".to_vec()).sign(&[body.as_bytes()]);
    let with = |signature: &str| {
        let headers = [
            ("X-GitHub-Event", "push"),
            ("X-GitHub-Delivery", "1"),
            ("X-Hub-Signature-256", signature),
        ];
        worker.ask("POST", "/v1/hooks/app", &headers, body.as_bytes())
    };
    // Wrong, of another text, and of an older kind.
    for signature in [other.as_str(), &right.replace('a', "b"), "sha1=00", "sha256="] {
        let (status, said) = with(signature);
        assert_eq!(status, 401, "{signature}: {said}");
    }
    let (status, said) = worker.ask(
        "POST",
        "/v1/hooks/app",
        &[("X-GitHub-Event", "push")],
        body.as_bytes(),
    );
    assert_eq!(status, 401, "{said}");
    assert!(said.contains("x-hub-signature-256"), "{said}");
    let (status, said) = worker.ask(
        "POST",
        "/v1/hooks/nobody",
        &[("X-Hub-Signature-256", &right)],
        body.as_bytes(),
    );
    assert_eq!(status, 404, "{said}");
    let (status, said) = worker.github("2", "push", &push_event("refs/tags/v1", COMMIT));
    assert_eq!(
        (status, &said["outcome"]),
        (200, &Value::from("ignored")),
        "{said}"
    );
    assert!(said["why"].as_str().unwrap().contains("refs/tags/v1"), "{said}");
    let (status, said) = worker.github("3", "push", &push_event("refs/heads/a/../b", COMMIT));
    assert_eq!(status, 422, "{said}");
    let (status, said) = worker.ask("GET", "/v1/hooks/app/deliveries", &[], b"");
    assert_eq!(status, 401, "{said}");
    assert_eq!(place.builds(), 0);
}

#[test]
fn plain_messages_are_good_for_a_while_and_for_what_was_signed() {
    let Some(place) = Place::new() else { return };
    let worker = place.serve(&[], None);
    let key = SigningKey::new(SECRET.as_bytes().to_vec());
    let body = json!({ "ref": "main", "commit": COMMIT }).to_string();
    let send = |time: &str, signed_time: &str, delivery: &str, body: &str| {
        let parts: [&[u8]; 5] = [signed_time.as_bytes(), b".", b"one", b".", body.as_bytes()];
        let signature = key.sign(&parts);
        let headers = [
            ("Stagewright-Timestamp", time),
            ("Stagewright-Delivery", delivery),
            ("Stagewright-Signature-256", &signature),
        ];
        worker.ask("POST", "/v1/hooks/own", &headers, body.as_bytes())
    };
    let (now, old) = (seconds(0), seconds(-600));
    for (time, signed, delivery) in [(&old, &old, "one"), (&now, &old, "one"), (&now, &now, "two")] {
        let (status, said) = send(time, signed, delivery, &body);
        assert_eq!(status, 401, "{time} {signed} {delivery}: {said}");
    }
    assert_eq!(place.builds(), 0);
    let (status, said) = send(&now, &now, "one", &body);
    assert_eq!(status, 202, "{said}");
    let (status, said) = send(&now, &now, "one", &body);
    assert_eq!(status, 200, "{said}");
    assert_eq!(place.builds(), 1);
}

#[test]
fn bodies_that_are_too_large_or_too_slow_are_given_up() {
    let Some(place) = Place::new() else { return };
    let worker = place.serve(&[], None);
    let signed = [
        ("X-GitHub-Event", "push"),
        ("X-GitHub-Delivery", "1"),
        ("X-Hub-Signature-256", "sha256=00"),
    ];
    // It says so itself, and it does not.
    let mut connection = worker.connect();
    let announced = [&signed[..], &[("Content-Length", "100000000")]].concat();
    connection
        .write_all(worker.head("POST", "/v1/hooks/app", &announced).as_bytes())
        .unwrap();
    assert_eq!(answer(connection).0, 413);
    let mut connection = worker.connect();
    let chunked = [&signed[..], &[("Transfer-Encoding", "chunked")]].concat();
    connection
        .write_all(worker.head("POST", "/v1/hooks/app", &chunked).as_bytes())
        .unwrap();
    let piece = format!("100000\r\n{}\r\n", " ".repeat(1 << 20));
    let taken = (0..32)
        .take_while(|_| connection.write_all(piece.as_bytes()).is_ok())
        .count();
    assert!(taken < 32, "all of it was taken");
    // A letter now and then does not keep it waiting.
    let begin = Instant::now();
    let mut connection = worker.connect();
    let slow = [&signed[..], &[("Content-Length", "1000")]].concat();
    connection
        .write_all(worker.head("POST", "/v1/hooks/app", &slow).as_bytes())
        .unwrap();
    let mut writer = connection.try_clone().unwrap();
    let dripping = std::thread::spawn(move || {
        while begin.elapsed() < Duration::from_secs(40) && writer.write_all(b" ").is_ok() {
            std::thread::sleep(Duration::from_millis(200));
        }
    });
    assert_eq!(answer(connection).0, 408);
    assert!(begin.elapsed() < Duration::from_secs(30), "{:?}", begin.elapsed());
    dripping.join().unwrap();
    assert_eq!(place.builds(), 0);
}

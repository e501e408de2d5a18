//! Hooks on a worker whose builds end when a test says so. Requests are read and kept as they are elsewhere.

use serde_json::{Value, json};

use super::*;
use crate::config::Config;
use crate::request::SigningKey;
use crate::request::tests::{Worker, configured};

const SECRET: &str = "a secret that is long enough";
const COMMIT: &str = "0123456789abcdef0123456789abcdef01234567";

struct Desk {
    worker: Worker,
    hooks: Hooks,
}

fn config() -> Config {
    let text = format!(
        r#"
        [[hook]]
        name = "app"
        kind = "github"
        secret = "{SECRET}"
        refs = ["main", "refs/tags/v*"]
        build = {{ context = "/nowhere/app.git", github-token = "hunter2", tags = ["r.io/app:{{ref}}"] }}

        [[hook]]
        name = "branch"
        kind = "plain"
        secret = "{SECRET}"
        refs = ["main"]
        build = {{ context = "/nowhere/app.git" }}
        callback = {{ url = "https://nowhere.invalid/", secret = "{SECRET}" }}
        "#
    );
    Config::parse(&text, Path::new(".")).unwrap()
}

fn desk(state: &Path) -> Desk {
    let config = config();
    let worker = configured(state, &config);
    let hooks = Hooks::open(state, worker.requests.clone()).unwrap();
    Desk { worker, hooks }
}

impl Desk {
    fn send(&self, delivery: &str, event: &str, body: &Value) -> Result<Answer, HookError> {
        let body = body.to_string();
        let key = SigningKey::new(SECRET.as_bytes().to_vec());
        self.send_signed(delivery, event, &body, &key.sign(&[body.as_bytes()]))
    }

    fn send_signed(
        &self,
        delivery: &str,
        event: &str,
        body: &str,
        signature: &str,
    ) -> Result<Answer, HookError> {
        let header = |name: &str| match name {
            "x-github-event" => Some(event.to_owned()),
            "x-github-delivery" => Some(delivery.to_owned()),
            "x-hub-signature-256" => Some(signature.to_owned()),
            _ => None,
        };
        let message = self.hooks.expect("app", &header)?;
        self.hooks.receive(&message, body.as_bytes())
    }
}

impl Desk {
    fn send_plain(&self, delivery: &str, body: &Value) -> Answer {
        let body = body.to_string();
        let seconds = OffsetDateTime::now_utc().unix_timestamp().to_string();
        let key = SigningKey::new(SECRET.as_bytes().to_vec());
        let signature = key.sign(&signed(&seconds, delivery, body.as_bytes()));
        let header = |name: &str| match name {
            TIMESTAMP_HEADER => Some(seconds.clone()),
            DELIVERY_HEADER => Some(delivery.to_owned()),
            SIGNATURE_HEADER => Some(signature.clone()),
            _ => None,
        };
        let message = self.hooks.expect("branch", &header).unwrap();
        self.hooks.receive(&message, body.as_bytes()).unwrap()
    }
}

fn pushed(reference: &str, note: u32) -> Value {
    json!({ "ref": reference, "after": COMMIT, "note": note })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_push_builds_once_also_after_a_restart() {
    let state = tempfile::tempdir().unwrap();
    let first = desk(state.path());
    let built = first.send("1", "push", &pushed("refs/heads/main", 1)).unwrap();
    assert_eq!(built.outcome, Outcome::Built);
    let id = built.build.unwrap();
    first.worker.requests.stop().await;
    let second = desk(state.path());
    for delivery in ["1", "2"] {
        let again = second
            .send(delivery, "push", &pushed("refs/heads/main", 1))
            .unwrap();
        assert_eq!((again.outcome, again.build.as_ref()), (Outcome::Known, Some(&id)));
    }
    assert_eq!(second.hooks.deliveries("app").unwrap().len(), 1);
    // The secrets of its configuration are there again, and nowhere else.
    let request = second.worker.requests.request(&id).unwrap().unwrap();
    assert_eq!(request.context.unwrap(), format!("app.git#{COMMIT}"));
    assert_eq!(
        (request.tags, request.github_token),
        (vec!["r.io/app:main".to_owned()], None)
    );
    assert_ne!(second.worker.end(&id).await, BuildState::Lost);
}

#[tokio::test(flavor = "multi_thread")]
async fn each_push_of_a_branch_builds_where_the_name_of_a_delivery_is_signed_and_no_commit_is_named() {
    let state = tempfile::tempdir().unwrap();
    let desk = desk(state.path());
    let body = json!({ "ref": "main" });
    let first = desk.send_plain("1", &body);
    let second = desk.send_plain("2", &body);
    assert_eq!((first.outcome, second.outcome), (Outcome::Built, Outcome::Built));
    assert_ne!(first.build, second.build);
    let again = desk.send_plain("1", &body);
    assert_eq!((again.outcome, again.build), (Outcome::Known, first.build));
    let id = second.build.unwrap();
    let kept = std::fs::read(state.path().join(format!("callbacks/{id}.json"))).unwrap();
    let kept: Value = serde_json::from_slice(&kept).unwrap();
    let told = &kept["telling"]["callback"]["pushed"];
    assert_eq!((&told["delivery"], &told["commit"]), (&json!("2"), &Value::Null));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_built_is_known_also_under_the_name_of_what_was_ignored_since() {
    let state = tempfile::tempdir().unwrap();
    let desk = desk(state.path());
    let body = pushed("refs/heads/main", 1);
    let built = desk.send("1", "push", &body).unwrap();
    let ignored = desk.send("2", "push", &pushed("refs/heads/other", 2)).unwrap();
    assert_eq!(ignored.outcome, Outcome::Ignored);
    let again = desk.send("2", "push", &body).unwrap();
    assert_eq!((again.outcome, again.build), (Outcome::Known, built.build));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_signed_is_not_read() {
    let state = tempfile::tempdir().unwrap();
    let desk = desk(state.path());
    // It could not be read at all.
    let forged = desk.send_signed("1", "push", "{", "sha256=00").unwrap_err();
    assert!(matches!(forged, HookError::Forged), "{forged}");
    let unsigned = desk.send_signed("1", "push", "{", "").unwrap_err();
    assert!(matches!(unsigned, HookError::Unsigned(_)), "{unsigned}");
    let unknown = desk.hooks.expect("other", &|_| None).unwrap_err();
    assert!(matches!(unknown, HookError::Unknown(_)), "{unknown}");
    assert!(desk.hooks.deliveries("app").unwrap().is_empty());
    assert!(desk.worker.requests.builds().list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_filtered_is_noted_once_and_builds_nothing() {
    let state = tempfile::tempdir().unwrap();
    let desk = desk(state.path());
    for _ in 0..2 {
        let filtered = desk.send("1", "push", &pushed("refs/heads/other", 1)).unwrap();
        assert_eq!(filtered.outcome, Outcome::Ignored);
        assert!(filtered.why.unwrap().contains("refs/heads/other"));
    }
    assert_eq!(
        desk.send("2", "ping", &json!({})).unwrap().outcome,
        Outcome::Ignored
    );
    assert_eq!(desk.hooks.deliveries("app").unwrap().len(), 2);
    assert!(desk.worker.requests.builds().list().is_empty());
    let broken = desk.send("3", "push", &json!({ "ref": 1 })).unwrap_err();
    assert!(matches!(broken, HookError::Payload(_)), "{broken}");
    assert_eq!(
        desk.send("4", "push", &pushed("refs/tags/v1", 2))
            .unwrap()
            .outcome,
        Outcome::Built
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn message_that_came_when_the_queue_was_full_may_come_again() {
    let state = tempfile::tempdir().unwrap();
    let desk = desk(state.path());
    let busy = json!({ "dockerfile": "FROM scratch\nLABEL a=b\n" });
    let request = serde_json::from_value(busy).unwrap();
    let first = desk.worker.requests.start(&request, Asked::default()).unwrap();
    desk.worker.at_work(&first).await;
    while desk.worker.requests.start(&request, Asked::default()).is_ok() {}
    let full = desk.send("1", "push", &pushed("refs/heads/main", 1)).unwrap_err();
    assert!(full.is_temporary(), "{full}");
    desk.worker.let_go(10);
    desk.worker.end(&first).await;
    assert_eq!(
        desk.send("1", "push", &pushed("refs/heads/main", 1))
            .unwrap()
            .outcome,
        Outcome::Built
    );
}

#[test]
fn old_times_are_refused_whatever_is_signed() {
    let key = SigningKey::new(SECRET.as_bytes().to_vec());
    let hook = Hook {
        kind: HookKind::Plain,
        ..config().hooks.remove(0)
    };
    let now = OffsetDateTime::from_unix_timestamp(1_800_000_000).unwrap();
    for (told, good) in [
        ("1800000000", true),
        ("1799999701", true),
        ("1799999699", false),
        ("1800000301", false),
        ("-9223372036854775808", false),
        ("soon", false),
    ] {
        let message = Message {
            hook: "app".into(),
            signature: key.sign(&signed(told, "1", b"{}")),
            delivery: "1".into(),
            timestamp: told.into(),
            event: "push".into(),
        };
        assert_eq!(verify(&hook, &message, b"{}", now).is_ok(), good, "{told}");
    }
}

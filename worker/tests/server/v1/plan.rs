//! Plans and checks: nothing is built.

use serde_json::{Value, json};
use stagewright::server::Limits;
use stagewright::token::Scope;

use super::refused;
use crate::client::{Answer, Ask};
use crate::worker::{Setup, Worker};

async fn ask(worker: &Worker, path: &str, request: &Value) -> Answer {
    let token = worker.token_for(&[Scope::Plan]);
    Ask::new("POST", path)
        .by(&token)
        .json(request)
        .send(worker.address)
        .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_plan_is_what_the_planner_says_and_its_drawing_where_it_is_asked_for() {
    let worker = Worker::start().await;
    let request =
        json!({ "dockerfile": "FROM alpine AS base\nRUN true\nFROM scratch\nCOPY --from=base /a /b\n" });
    let answer = ask(&worker, "/v1/plan", &request).await;
    assert_eq!(answer.status, 200);
    let planned = answer.json();
    let plan = &planned["plans"][0];
    assert_eq!(
        (&plan["platform"], &plan["svg"]),
        (&json!("linux/amd64"), &Value::Null)
    );
    assert_eq!(plan["analysis"]["stages"][0]["name"], "base");
    assert!(plan["analysis"]["definition"]["digest"].is_string());
    // The image was asked for.
    assert_eq!(plan["analysis"]["images"][0]["resolved"], true);
    let drawn = ask(&worker, "/v1/plan?svg=true", &request).await.json();
    assert!(drawn["plans"][0]["svg"].as_str().unwrap().starts_with("<svg"));
    let several =
        json!({ "dockerfile": "FROM scratch\nLABEL a=b\n", "platforms": "linux/amd64\nlinux/arm64" });
    let planned = ask(&worker, "/v1/plan", &several).await.json();
    assert_eq!(planned["plans"].as_array().unwrap().len(), 2);
    assert!(worker.builds.list().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dockerfile_with_errors_has_no_plan_but_findings() {
    let worker = Worker::start().await;
    let request = json!({ "dockerfile": "FROM scratch\nNONSENSE\n" });
    let answer = ask(&worker, "/v1/plan", &request).await;
    refused(&answer, 422, "");
    let found = &answer.json()["findings"][0];
    assert_eq!(
        (&found["severity"], &found["lines"]["start"]),
        (&json!("error"), &json!(2))
    );
    let checked = ask(&worker, "/v1/check", &request).await;
    assert_eq!(checked.status, 200);
    let checked = checked.json();
    assert_eq!(checked["name"], "Dockerfile");
    assert!(
        checked["findings"]
            .as_array()
            .unwrap()
            .iter()
            .any(|found| found["severity"] == "error")
    );
    let sarif = ask(&worker, "/v1/check?format=sarif", &request).await;
    assert_eq!(sarif.header("content-type"), Some("application/sarif+json"));
    assert_eq!(sarif.json()["version"], "2.1.0");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_image_that_cannot_be_had_is_no_fault_of_the_request() {
    let worker = Worker::start().await;
    let answer = ask(
        &worker,
        "/v1/plan",
        &json!({ "dockerfile": "FROM unreachable\n" }),
    )
    .await;
    refused(&answer, 424, "unreachable");
}

#[tokio::test(flavor = "multi_thread")]
async fn plans_at_once_are_bounded_and_take_their_scope() {
    let worker = Worker::with(Setup {
        limits: Limits {
            plans: 0,
            ..Limits::default()
        },
        ..Setup::default()
    })
    .await;
    for path in ["/v1/plan", "/v1/check"] {
        let answer = ask(&worker, path, &json!({ "dockerfile": "FROM scratch\n" })).await;
        refused(&answer, 503, "at once");
        assert_eq!(answer.header("retry-after"), Some("1"));
        let token = worker.token_for(&[Scope::Push]);
        let unasked = Ask::new("POST", path).by(&token).json(&json!({}));
        refused(&unasked.send(worker.address).await, 403, "the scope plan");
    }
}

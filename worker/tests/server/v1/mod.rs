//! The API for programs.

mod access;
mod bounds;
mod builds;
mod contexts;
mod events;
mod health;
mod plan;
mod requests;

use crate::client::{Answer, Client};
use crate::worker::Worker;

/// A refusal is a problem document with its own status in it, and a sentence.
#[track_caller]
pub(crate) fn refused(answer: &Answer, status: u16, said: &str) {
    let text = String::from_utf8_lossy(&answer.body);
    assert_eq!(answer.status, status, "{text}");
    assert_eq!(answer.header("content-type"), Some("application/problem+json"));
    let problem = answer.json();
    assert_eq!(problem["status"], status);
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains(said), "{detail}");
}

/// A page's client, to start builds by.
async fn page(worker: &Worker) -> Client {
    worker.client().await.0
}

//! Docker's engine, as far as it takes to build in it.
//!
//! `POST /grpc` turns a connection into one of the `BuildKit` inside. An engine that keeps its images in its own storage
//! has no exporter for archives: what it built becomes an image of the engine, is taken out as `docker save` does it, and
//! loses its name again.

use std::io;

use futures_util::StreamExt as _;
use http_body_util::{BodyDataStream, BodyExt as _, Empty, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::sync::mpsc;

use super::connection::{Route, Unreachable, Wire, told};
use super::session::Piece;

/// Longest answer that is read whole.
const LONGEST_ANSWER: usize = 4 << 20;

/// Turns a connection to the engine into one of the `BuildKit` in it.
pub(super) async fn upgraded(wire: Box<dyn Wire>, path: &str) -> io::Result<Box<dyn Wire>> {
    let request = Request::post(path)
        .header("Host", "docker")
        .header("Connection", "Upgrade")
        .header("Upgrade", "h2c");
    let answer = send(wire, request).await?;
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        return Err(io::Error::other(format!(
            "does not let builds in (it answers {}): a Docker engine does since version 18.09",
            answer.status()
        )));
    }
    let upgraded = hyper::upgrade::on(answer).await.map_err(io::Error::other)?;
    Ok(Box::new(TokioIo::new(upgraded)))
}

/// What an engine says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Engine {
    /// Its version.
    pub(super) version: String,
    /// Whether its images lie in containerd, where its `BuildKit` writes archives of them.
    pub(super) writes_archives: bool,
}

/// Asks the engine what it is.
pub(super) async fn ask(route: &Route) -> Result<Engine, Unreachable> {
    let answer = answered(route, "GET", "/info").await?;
    let text = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    let text = text.map_err(|error| Unreachable::new(&route.address, format!("breaks off: {error}")))?;
    let info: Value = serde_json::from_slice(&text.to_bytes()).unwrap_or_default();
    let mut statuses = info["DriverStatus"].as_array().into_iter().flatten();
    let of_containerd = |pair: &Value| {
        let value = pair[1].as_str();
        value.is_some_and(|value| value.starts_with("io.containerd.snapshotter"))
    };
    Ok(Engine {
        version: info["ServerVersion"]
            .as_str()
            .unwrap_or("of unknown version")
            .to_owned(),
        writes_archives: statuses.any(of_containerd),
    })
}

/// Takes a name away from an image, and with its last name the image. It may have been none.
pub(super) async fn forget(route: &Route, name: &str) -> Result<(), Unreachable> {
    let (answer, asked) = asked(route, "DELETE", &format!("/images/{name}")).await?;
    if answer.status() == StatusCode::NOT_FOUND {
        return Ok(());
    }
    good(route, answer, &asked).await.map(drop)
}

/// The image of this name as the archive that `docker save` writes, handed on piece by piece.
pub(super) async fn save(route: &Route, name: &str, pieces: mpsc::Sender<Piece>) -> Result<(), Unreachable> {
    let answer = answered(route, "GET", &format!("/images/{name}/get")).await?;
    let mut archive = BodyDataStream::new(answer.into_body());
    while let Some(piece) = archive.next().await {
        let piece =
            piece.map_err(|error| Unreachable::new(&route.address, format!("breaks off: {error}")))?;
        // Who stops reading says why.
        if pieces.send(Piece::Data(piece.into())).await.is_err() {
            return Ok(());
        }
    }
    _ = pieces.send(Piece::End).await;
    Ok(())
}

/// Asks something that is expected to go well.
async fn answered(route: &Route, method: &str, path: &str) -> Result<Response<Incoming>, Unreachable> {
    let (answer, asked) = asked(route, method, path).await?;
    good(route, answer, &asked).await
}

/// The answer to something, and what was asked.
async fn asked(route: &Route, method: &str, path: &str) -> Result<(Response<Incoming>, String), Unreachable> {
    let request = Request::builder()
        .method(method)
        .uri(path)
        .header("Host", "docker");
    let answer = send(route.wire().await?, request).await;
    let answer = answer.map_err(|error| Unreachable::new(&route.address, error.to_string()))?;
    Ok((answer, format!("{method} {path}")))
}

async fn good(
    route: &Route,
    answer: Response<Incoming>,
    asked: &str,
) -> Result<Response<Incoming>, Unreachable> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    let text = Limited::new(answer.into_body(), LONGEST_ANSWER).collect().await;
    let text = text.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let said: Value = serde_json::from_slice(&text).unwrap_or_default();
    let said = said["message"].as_str().unwrap_or("it does not say why");
    Err(Unreachable::new(
        &route.address,
        format!("answers {asked} with {status}: {said}"),
    ))
}

async fn send(wire: Box<dyn Wire>, request: hyper::http::request::Builder) -> io::Result<Response<Incoming>> {
    let broken = |error: hyper::Error| {
        io::Error::other(format!(
            "does not speak as Docker's engine does ({})",
            told(&error)
        ))
    };
    let (mut sender, connection) = http1::handshake(TokioIo::new(wire)).await.map_err(broken)?;
    // It ends with the answer's body, or with what the connection was turned into.
    tokio::spawn(connection.with_upgrades());
    let request = request.body(Empty::<Bytes>::new()).map_err(io::Error::other)?;
    sender.send_request(request).await.map_err(broken)
}

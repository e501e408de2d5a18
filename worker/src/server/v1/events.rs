//! A build's events, each once and in order, from wherever a client left off: as server-sent events and over a
//! WebSocket.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderName, StatusCode, Uri};
use axum::response::sse::{Event, KeepAlive, Sse};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde::Deserialize;
use stagewright_core::protocol::{BuildState, BuildSummary};
use tokio::sync::OwnedSemaphorePermit;

use super::super::problem::Problem;
use super::super::{App, socket};
use super::query;
use crate::build::EventStream;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How long a client waits before it connects again, in what browsers and libraries go by.
const RETRY: Duration = Duration::from_secs(1);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Since {
    since: Option<u64>,
}

/// The events after the last that was seen.
pub(super) async fn stream(
    State(app): State<App>,
    Path(id): Path<String>,
    headers: HeaderMap,
    uri: Uri,
) -> Result<Response, Problem> {
    // A client that comes back by itself goes by the last event that it had, whatever its address says.
    let last = headers
        .get(LAST_EVENT_ID)
        .map(|value| value.to_str().ok().and_then(|text| text.parse().ok()));
    let given = query::read::<Since>(&uri)?.since;
    let since = match last {
        None => given.unwrap_or(0),
        Some(Some(last)) => last,
        Some(None) => {
            return Err(Problem::new(
                StatusCode::BAD_REQUEST,
                "Last-Event-ID has to be the number of an event, as `id` gave it.",
            ));
        }
    };
    let (summary, events) = attach(&app, &id, since)?;
    if over(&summary) && since == summary.last_seq {
        // The one answer that keeps a browser from asking again.
        return Ok(StatusCode::NO_CONTENT.into_response());
    }
    let place = place(&app)?;
    let heartbeat = app.limits.ping;
    let stream = following(app, events, place).enumerate().map(|(index, event)| {
        let told = Event::default().id(event.seq.to_string());
        let told = if index == 0 { told.retry(RETRY) } else { told };
        let data = serde_json::to_string(&*event).unwrap_or_default();
        Ok::<_, Infallible>(told.data(data))
    });
    let alive = KeepAlive::new().interval(heartbeat).text("");
    let mut response = Sse::new(stream).keep_alive(alive).into_response();
    // A proxy that gathers what it passes on would hold events back.
    response.headers_mut().insert(
        HeaderName::from_static("x-accel-buffering"),
        axum::http::HeaderValue::from_static("no"),
    );
    Ok(response)
}

/// The same over a WebSocket: each event is a text message, and after the last the connection is closed.
pub(super) async fn socket(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let since = query::read::<Since>(&uri)?.since.unwrap_or(0);
    let (_, events) = attach(&app, &id, since)?;
    let upgrade = upgrade.map_err(|rejection| socket::not_upgraded(&rejection))?;
    let place = place(&app)?;
    Ok(upgrade
        .max_message_size(1 << 10)
        .read_buffer_size(4 << 10)
        .on_upgrade(async move |socket| {
            let tracker = app.tracker.clone();
            tracker
                .track_future(socket::follow(app, socket, events, place))
                .await;
        }))
}

fn attach(app: &App, id: &str, since: u64) -> Result<(BuildSummary, EventStream), Problem> {
    let (summary, events) = app.builds.attach(id, since)?;
    if since > summary.last_seq {
        return Err(Problem::new(
            StatusCode::BAD_REQUEST,
            format!(
                "Build {id} has {} events, so none can follow event {since}: follow it from 0.",
                summary.last_seq
            ),
        ));
    }
    Ok((summary, events))
}

pub(super) fn over(summary: &BuildSummary) -> bool {
    !matches!(summary.state, BuildState::Queued | BuildState::Running)
}

/// A place among those who follow builds.
pub(super) fn place(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(&app.streams).try_acquire_owned().map_err(|_| {
        Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "As many builds are followed at once as this worker allows. Try again when one has ended.",
        )
        .retry_after(RETRY * 5)
    })
}

/// The events up to the build's end or the worker's. `place` is kept meanwhile.
pub(super) fn following(
    app: App,
    events: EventStream,
    place: OwnedSemaphorePermit,
) -> impl futures_util::Stream<Item = Arc<stagewright_core::protocol::BuildEvent>> + Send + 'static {
    let end = async move {
        app.closing.cancelled().await;
        // Builds end before connections do, and what they last said is to arrive.
        tokio::time::sleep(app.limits.farewell / 4).await;
    };
    let events = events.take_until(end);
    events.map(move |event| {
        _ = &place;
        event
    })
}

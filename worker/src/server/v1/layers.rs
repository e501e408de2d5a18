//! The layers that a build's steps made.

use std::future::ready;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::Uri;
use futures_util::StreamExt as _;
use serde::Serialize;
use stagewright_core::protocol::{Event, Layer};

use super::super::App;
use super::super::problem::Problem;
use super::query;

/// The layers so far, in the order in which they were made.
#[derive(Debug, Serialize)]
pub(super) struct Layers {
    pub(super) layers: Vec<Layer>,
}

pub(super) async fn layers(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Json<Layers>, Problem> {
    let query::None {} = query::read(&uri)?;
    let (summary, events) = app.builds.attach(&id, 0)?;
    let count = usize::try_from(summary.last_seq).unwrap_or(usize::MAX);
    let mut layers: Vec<Layer> = Vec::new();
    let mut events = std::pin::pin!(events.take(count).filter_map(|event| ready(match &event.event {
        Event::Layer(layer) => Some(layer.clone()),
        _ => None,
    })));
    while let Some(layer) = events.next().await {
        // One that was compressed later is told of again.
        match layers.iter_mut().find(|known| known.vertex == layer.vertex) {
            Some(known) => *known = layer,
            None => layers.push(layer),
        }
    }
    Ok(Json(Layers { layers }))
}

//! What a build's steps printed.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::future::ready;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, Uri, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::StreamExt as _;
use serde::{Deserialize, Serialize};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{BuildEvent, Event};

use super::super::App;
use super::super::problem::Problem;
use super::{events, query};
use crate::said::plain;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct How {
    #[serde(default)]
    format: Format,
    /// Whether to wait for what is still to come.
    #[serde(default)]
    follow: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Format {
    #[default]
    Text,
    Ndjson,
}

pub(super) async fn logs(
    State(app): State<App>,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let How { format, follow } = query::read(&uri)?;
    let (summary, events) = app.builds.attach(&id, 0)?;
    let place = events::place(&app)?;
    // Events are counted without gaps, so that their number is the number of the last.
    let count = if follow {
        usize::MAX
    } else {
        usize::try_from(summary.last_seq).unwrap_or(usize::MAX)
    };
    let mut teller = Teller::new(format);
    let told = events::following(app, events, place)
        .take(count)
        .map(move |event| teller.tell(&event))
        .filter(|told| ready(!told.is_empty()))
        .map(|told| Ok::<_, Infallible>(Bytes::from(told)));
    let body = Body::from_stream(told);
    let kind = match format {
        Format::Text => "text/plain; charset=utf-8",
        Format::Ndjson => "application/x-ndjson",
    };
    let mut response = body.into_response();
    response
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    Ok(response)
}

/// One piece of output as a line of JSON.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Line<'a> {
    pub(super) seq: u64,
    pub(super) vertex: &'a Digest,
    /// The step's name.
    pub(super) name: &'a str,
    /// 1 for standard output, 2 for standard error.
    pub(super) stream: u32,
    pub(super) timestamp: &'a str,
    pub(super) text: &'a str,
}

/// Makes text of events.
struct Teller {
    format: Format,
    names: BTreeMap<Digest, String>,
    /// Whose output was told last, and whether its last line has ended.
    last: Option<Digest>,
    ended: bool,
}

impl Teller {
    fn new(format: Format) -> Self {
        Self {
            format,
            names: BTreeMap::new(),
            last: None,
            ended: true,
        }
    }

    fn tell(&mut self, event: &BuildEvent) -> String {
        let mut told = String::new();
        match &event.event {
            Event::Status(status) => {
                for vertex in &status.vertexes {
                    self.names.insert(vertex.digest.clone(), vertex.name.clone());
                }
                for log in &status.logs {
                    let text = String::from_utf8_lossy(&log.data);
                    match self.format {
                        Format::Ndjson => {
                            let line = Line {
                                seq: event.seq,
                                vertex: &log.vertex,
                                name: self.names.get(&log.vertex).map_or("", String::as_str),
                                stream: log.stream,
                                timestamp: &log.timestamp,
                                text: &text,
                            };
                            told.push_str(&serde_json::to_string(&line).unwrap_or_default());
                            told.push('\n');
                        }
                        Format::Text => self.print(&mut told, &log.vertex, &text),
                    }
                }
            }
            Event::Failed(failure) if self.format == Format::Text => {
                if !self.ended {
                    told.push('\n');
                }
                told.push_str("# failed: ");
                told.push_str(&plain(&failure.message));
                told.push('\n');
            }
            Event::Failed(_) | Event::Layer(_) | Event::Done(_) | Event::Cancelled => {}
        }
        told
    }

    /// Output under the name of its step, which is told again whenever another step spoke in between.
    fn print(&mut self, told: &mut String, vertex: &Digest, text: &str) {
        if self.last.as_ref() != Some(vertex) {
            if !self.ended {
                told.push('\n');
            }
            told.push_str("# ");
            told.push_str(&plain(self.names.get(vertex).map_or("", String::as_str)));
            told.push('\n');
            self.last = Some(vertex.clone());
        }
        told.push_str(&plain(text));
        self.ended = text.ends_with('\n');
    }
}

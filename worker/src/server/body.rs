//! Reads what a request brings, within bounds of size and of time.

use std::time::{Duration, Instant};

use axum::body::{Body, BodyDataStream, Bytes};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use futures_util::StreamExt as _;
use serde::de::DeserializeOwned;

use super::App;
use super::limits::Pace;
use super::problem::Problem;

/// In what the room for bodies is measured.
pub(super) const UNIT: usize = 1 << 10;

/// A body, piece by piece, as long as its sender keeps pace.
pub(super) struct Pieces {
    app: App,
    stream: BodyDataStream,
    began: Instant,
    received: u64,
}

impl Pieces {
    pub(super) fn of(app: &App, body: Body) -> Self {
        Self {
            app: App::clone(app),
            stream: body.into_data_stream(),
            began: Instant::now(),
            received: 0,
        }
    }

    /// The next piece; `None` at the end.
    pub(super) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let pace = self.app.limits.pace;
        match tokio::time::timeout(pace.idle, self.stream.next()).await {
            Err(_) => Err(too_slow()),
            Ok(None) => Ok(None),
            Ok(Some(Ok(piece))) => {
                self.received += piece.len() as u64;
                self.app.counts.received(piece.len());
                if keeps(pace, self.began.elapsed(), self.received) {
                    Ok(Some(piece))
                } else {
                    Err(too_slow())
                }
            }
            // Nobody may be there to read it.
            Ok(Some(Err(error))) => Err(Problem::new(
                StatusCode::BAD_REQUEST,
                format!("The request broke off: {error}"),
            )),
        }
    }
}

/// Whether so many bytes in that time are enough. At first, any are.
fn keeps(pace: Pace, elapsed: Duration, received: u64) -> bool {
    let Some(late) = elapsed.checked_sub(pace.grace) else {
        return true;
    };
    received / pace.bytes_per_second.max(1) >= late.as_secs()
}

pub(super) fn too_slow() -> Problem {
    Problem::new(
        StatusCode::REQUEST_TIMEOUT,
        "The request came too slowly and was given up. Send it again; an upload goes on where it stopped.",
    )
    .with(header::CONNECTION, HeaderValue::from_static("close"))
}

/// Reads a body of at most `most` bytes as JSON.
pub(super) async fn json<T: DeserializeOwned>(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<T, Problem> {
    if !is_json(headers) {
        return Err(Problem::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            "This address takes JSON: say so with `Content-Type: application/json`.",
        ));
    }
    let bytes = whole(app, headers, body, most).await?;
    parse(&bytes)
}

/// Reads a body of at most `most` bytes.
pub(super) async fn whole(
    app: &App,
    headers: &HeaderMap,
    body: Body,
    most: usize,
) -> Result<Vec<u8>, Problem> {
    let too_large = || {
        Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!("This address takes {most} bytes at most."),
        )
        .with(header::CONNECTION, HeaderValue::from_static("close"))
    };
    let announced = headers
        .get(header::CONTENT_LENGTH)
        .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if announced.is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    // As much of the memory as it may come to, for as long as it is read.
    let wanted = announced
        .and_then(|length| usize::try_from(length).ok())
        .unwrap_or(most);
    let room = u32::try_from(wanted.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
    let Ok(_room) = app.bodies.try_acquire_many(room) else {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "As many large requests are read at once as this worker has room for. Try again in a moment.",
        )
        .retry_after(Duration::from_secs(1))
        .with(header::CONNECTION, HeaderValue::from_static("close")));
    };
    let mut pieces = Pieces::of(app, body);
    let mut bytes = Vec::new();
    while let Some(piece) = pieces.next().await? {
        if bytes.len() + piece.len() > most {
            return Err(too_large());
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes)
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(kind) = headers
        .get(header::CONTENT_TYPE)
        .and_then(|kind| kind.to_str().ok())
    else {
        return false;
    };
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
}

/// Reads JSON; what does not fit is named by its place.
pub(super) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let mut reader = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(&mut reader).map_err(|error| {
        let place = error.path().to_string();
        let inner = error.inner();
        match inner.classify() {
            serde_json::error::Category::Data => Problem::new(
                StatusCode::UNPROCESSABLE_ENTITY,
                match place.as_str() {
                    "." => format!("The request does not fit: {inner}"),
                    place => format!("The request does not fit at {place}: {inner}"),
                },
            ),
            _ => Problem::new(
                StatusCode::BAD_REQUEST,
                format!("The request is no JSON: {inner}"),
            ),
        }
    })?;
    reader.end().map_err(|error| {
        Problem::new(
            StatusCode::BAD_REQUEST,
            format!("The request is no JSON: {error}"),
        )
    })?;
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_drip_is_told_from_a_slow_line() {
        let pace = Pace {
            idle: Duration::from_secs(10),
            grace: Duration::from_secs(10),
            bytes_per_second: 1024,
        };
        for (seconds, received, fine) in [
            (1, 1, true),
            (10, 1, true),
            (12, 1, false),
            (12, 2048, true),
            (110, 100 << 10, true),
            (112, 100 << 10, false),
        ] {
            assert_eq!(
                keeps(pace, Duration::from_secs(seconds), received),
                fine,
                "{seconds} s, {received} bytes"
            );
        }
    }

    #[test]
    fn what_does_not_fit_is_named() {
        #[derive(Debug, serde::Deserialize)]
        struct Wanted {
            #[allow(dead_code, reason = "only whether it can be read counts")]
            list: Vec<u8>,
        }
        let detail = |text: &str| format!("{:?}", parse::<Wanted>(text.as_bytes()).unwrap_err());
        assert!(detail(r#"{"list": [1, "x"]}"#).contains("list[1]"));
        assert!(detail("{").contains("no JSON"));
        assert!(detail(r#"{"list": []} x"#).contains("no JSON"));
        assert!(parse::<Wanted>(br#"{"list": [1]}"#).is_ok());
    }
}

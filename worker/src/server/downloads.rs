//! Downloads: an address that is good once, for a minute.
//!
//! A browser that follows a link cannot send a session along, and a cookie would go out with requests that other
//! pages make. So the address itself is the permission.

use std::collections::VecDeque;
use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream;
use stagewright_core::protocol::{BuildId, OutputFormat, OutputReady};
use tokio::io::AsyncReadExt as _;
use tokio::net::unix::pipe;
use tokio_util::task::AbortOnDropHandle;

use super::App;
use super::limits::Limits;
use super::problem::Problem;
use crate::build::{Builds, BuildsError};
use crate::token::secret::{Fingerprint, Secret};

/// Where the addresses begin.
pub(super) const ROUTE: &str = "/v1/downloads/{ticket}";
const CHUNK: usize = 64 << 10;

/// The addresses that are good now.
#[derive(Debug, Default)]
pub(super) struct Tickets(Mutex<VecDeque<Ticket>>);

#[derive(Debug, Clone)]
struct Ticket {
    fingerprint: Fingerprint,
    build: BuildId,
    format: OutputFormat,
    file_name: String,
    expires: Instant,
}

impl Tickets {
    /// An address for one download of a build's image. Where too many are open, the oldest is given up.
    pub(super) fn issue(
        &self,
        limits: &Limits,
        build: BuildId,
        title: &str,
        format: OutputFormat,
    ) -> Result<OutputReady, getrandom::Error> {
        let secret = Secret::random()?;
        let file_name = file_name(title, format);
        let ticket = Ticket {
            fingerprint: secret.fingerprint(),
            build,
            format,
            file_name: file_name.clone(),
            expires: Instant::now() + limits.ticket,
        };
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|ticket| ticket.expires > Instant::now());
        while open.len() >= limits.tickets.max(1) {
            open.pop_front();
        }
        open.push_back(ticket);
        Ok(OutputReady {
            path: ROUTE.replace("{ticket}", secret.expose()),
            file_name,
        })
    }

    fn redeem(&self, text: &str) -> Option<Ticket> {
        let given = Fingerprint::of(text);
        let mut open = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.retain(|ticket| ticket.expires > Instant::now());
        let place = open.iter().position(|ticket| ticket.fingerprint.is(&given))?;
        open.remove(place)
    }
}

/// A build's title as the name of a file, whatever stands in it.
fn file_name(title: &str, format: OutputFormat) -> String {
    let kept: String = title
        .chars()
        .take(100)
        .map(|letter| match letter {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '-' => letter,
            _ => '-',
        })
        .collect();
    // A name that begins with a dot would be hidden, one with a dash taken for an option.
    let stem = match kept.trim_matches(['.', '-']) {
        "" => "image",
        stem => stem,
    };
    match format {
        OutputFormat::Oci => format!("{stem}.oci.tar"),
        OutputFormat::Docker => format!("{stem}.docker.tar"),
    }
}

/// Streams the archive that a ticket stands for. Nothing of it is kept, so it is made at the pace of its reader.
pub(super) async fn download(State(app): State<App>, Path(ticket): Path<String>) -> Response {
    let Some(ticket) = app.tickets.redeem(&ticket) else {
        return Problem::new(
            StatusCode::NOT_FOUND,
            "This download was used already, or asked for more than a minute ago. Ask for it again in the playground.",
        )
        .into_response();
    };
    answer(&app, ticket.build, ticket.format, &ticket.file_name)
        .await
        .unwrap_or_else(Problem::into_response)
}

/// The image of a build as one file, called after its title.
pub(super) async fn archive(
    app: &App,
    build: BuildId,
    title: &str,
    format: OutputFormat,
) -> Result<Response, Problem> {
    answer(app, build, format, &file_name(title, format)).await
}

async fn answer(
    app: &App,
    build: BuildId,
    format: OutputFormat,
    file_name: &str,
) -> Result<Response, Problem> {
    let archive = Archive::begin(&app.builds, build, format).await?;
    let mut response = Body::from_stream(archive.into_stream()).into_response();
    let headers = response.headers_mut();
    headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/x-tar"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // `file_name` leaves only letters that may stand in a header.
    if let Ok(disposition) = HeaderValue::try_from(format!("attachment; filename=\"{file_name}\"")) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    Ok(response)
}

/// An archive on its way out: a task writes it into a pipe, which holds it back where its reader is slow, and whose
/// end says nothing yet: only the task's result tells a whole archive from the beginning of one.
struct Archive {
    first: Option<Bytes>,
    pipe: pipe::Receiver,
    export: Option<AbortOnDropHandle<Result<(), BuildsError>>>,
}

impl Archive {
    /// Waits for the first bytes, so that what fails at once is still an answer with a status of its own.
    async fn begin(builds: &Builds, build: BuildId, format: OutputFormat) -> Result<Self, Problem> {
        let failed = |error: io::Error| {
            Problem::new(
                StatusCode::INTERNAL_SERVER_ERROR,
                format!("The download cannot be made: {error}"),
            )
        };
        let (reader, writer) = io::pipe().map_err(failed)?;
        let pipe = pipe::Receiver::from_owned_fd(OwnedFd::from(reader)).map_err(failed)?;
        let builds = builds.clone();
        let export = tokio::spawn(async move { builds.export(&build, format, Box::new(writer)).await });
        let mut archive = Self {
            first: None,
            pipe,
            export: Some(AbortOnDropHandle::new(export)),
        };
        match archive.next().await {
            Ok(first) => archive.first = first,
            Err(error) => {
                return Err(Problem::new(
                    StatusCode::INTERNAL_SERVER_ERROR,
                    format!("The image could not be written: {error}"),
                ));
            }
        }
        Ok(archive)
    }

    async fn next(&mut self) -> io::Result<Option<Bytes>> {
        if let Some(first) = self.first.take() {
            return Ok(Some(first));
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        if self.pipe.read_buf(&mut chunk).await? > 0 {
            return Ok(Some(chunk.into()));
        }
        let Some(export) = self.export.take() else {
            return Ok(None);
        };
        match export.await {
            Ok(Ok(())) => Ok(None),
            Ok(Err(error)) => Err(io::Error::other(error)),
            Err(error) => Err(io::Error::other(error)),
        }
    }

    /// The bytes. An error in it makes the server break the connection off, so that no client takes what it has for
    /// the whole.
    fn into_stream(self) -> impl stream::Stream<Item = io::Result<Bytes>> {
        stream::try_unfold(self, |mut archive| async move {
            match archive.next().await {
                Ok(next) => Ok(next.map(|chunk| (chunk, archive))),
                Err(error) => {
                    tracing::warn!(%error, "a download broke off");
                    Err(error)
                }
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn titles_become_harmless_file_names() {
        for (title, name) in [
            ("href-counter", "href-counter.oci.tar"),
            ("../../etc/passwd", "etc-passwd.oci.tar"),
            ("a\"; b=\r\nc", "a---b---c.oci.tar"),
            ("", "image.oci.tar"),
            ("--", "image.oci.tar"),
            ("größe", "gr--e.oci.tar"),
        ] {
            assert_eq!(file_name(title, OutputFormat::Oci), name);
        }
        assert!(file_name(&"x".repeat(5000), OutputFormat::Docker).len() < 120);
    }

    #[test]
    fn ticket_is_good_once() {
        let tickets = Tickets::default();
        let ready = tickets
            .issue(&Limits::default(), "1".into(), "x", OutputFormat::Oci)
            .unwrap();
        let secret = ready.path.rsplit('/').next().unwrap();
        assert!(tickets.redeem("guess").is_none());
        assert_eq!(tickets.redeem(secret).unwrap().build, "1");
        assert!(tickets.redeem(secret).is_none());
    }
}

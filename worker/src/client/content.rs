//! Files of a context on their way to a worker.

use std::fs::File;
use std::io::SeekFrom;

use futures_util::StreamExt as _;
use reqwest::header::CONTENT_LENGTH;
use reqwest::{Body, Method};
use serde::Deserialize;
use stagewright_core::digest::Digest;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio::sync::watch;
use tokio_util::io::ReaderStream;

use super::ClientError;
use super::call::{Client, THINKING, Waits, may_pass, stalled};

/// What a worker lacks of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) digest: Digest,
    /// Bytes that are there already.
    pub(crate) have: u64,
    pub(crate) size: u64,
}

/// How much of a file is there.
#[derive(Debug, Deserialize)]
struct Standing {
    have: u64,
    complete: bool,
}

impl Client {
    /// Sends the rest of a file, which `open` opens. Where the line drops, it goes on from what has arrived.
    pub(crate) async fn send(
        &self,
        piece: &Piece,
        open: impl Fn() -> std::io::Result<File>,
    ) -> Result<(), ClientError> {
        let mut from = piece.have;
        let mut waits = Waits::new();
        loop {
            let failed = match self.put(piece, from, &open).await {
                Ok(Standing { complete: true, .. }) => return Ok(()),
                // What is shorter than it was will not get there by waiting.
                Ok(_) => {
                    return Err(ClientError::File(
                        "a file of the build context has changed while it was sent; build again".to_owned(),
                    ));
                }
                Err(error @ (ClientError::File(_) | ClientError::Strange { .. })) => return Err(error),
                Err(error @ ClientError::Refused { status, .. }) if !may_pass(status) => return Err(error),
                Err(error) => error,
            };
            if !waits.wait(None).await {
                return Err(failed);
            }
            match self.standing(&piece.digest).await? {
                Some(standing) if standing.complete => return Ok(()),
                Some(standing) => {
                    // Whoever gets on has reason to go on.
                    if standing.have > from {
                        waits = Waits::new();
                    }
                    from = standing.have.min(piece.size);
                }
                None => from = 0,
            }
        }
    }

    async fn put(
        &self,
        piece: &Piece,
        from: u64,
        open: &impl Fn() -> std::io::Result<File>,
    ) -> Result<Standing, ClientError> {
        let broken = |error: std::io::Error| {
            ClientError::File(format!("a file of the build context cannot be read: {error}"))
        };
        let mut file = tokio::fs::File::from_std(open().map_err(broken)?);
        file.seek(SeekFrom::Start(from)).await.map_err(broken)?;
        let length = piece.size.saturating_sub(from);
        let (digest, offset) = (piece.digest.to_string(), from.to_string());
        let url = self.address.of(&["blobs", &digest], &[("offset", &offset)]);
        let mut question = self.question(Method::PUT, url);
        question.headers_mut().insert(CONTENT_LENGTH, length.into());
        let (told, taken) = watch::channel(());
        let pieces = ReaderStream::with_capacity(file.take(length), 256 << 10);
        let pieces = pieces.inspect(move |_| told.send_replace(()));
        *question.body_mut() = Some(Body::wrap_stream(pieces));
        let answer = self.asked_until(question, stalled(taken, THINKING)).await?;
        self.json(answer).await
    }

    /// How much of a file is there; `None` where nothing is.
    async fn standing(&self, digest: &Digest) -> Result<Option<Standing>, ClientError> {
        let url = self.address.of(&["blobs", &digest.to_string()], &[]);
        match self.asked_again(self.question(Method::HEAD, url)).await {
            Ok(answer) => {
                let header = |name| answer.headers().get(name).and_then(|value| value.to_str().ok());
                let have = header("upload-offset").and_then(|text| text.parse().ok());
                let have = have.ok_or_else(|| self.strange("it does not say how much of a file it has"))?;
                Ok(Some(Standing {
                    have,
                    complete: header("upload-complete") == Some("?1"),
                }))
            }
            Err(ClientError::Refused { status: 404, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

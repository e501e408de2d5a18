//! Uploading blobs and manifests.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use reqwest::{Body, Client, RequestBuilder, Response, StatusCode, Url};
use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;
use tokio_util::io::ReaderStream;

use super::{ATTEMPTS, Endpoint, Failure, RegistryClient};
use crate::content::ContentStore;
use crate::source::image::error::ImageError;

/// For one blob as a whole. What comes to a halt is given up long before.
pub(super) const LONGEST: Duration = Duration::from_hours(12);
/// Bytes that a registry hashes and puts away in a second, at the least, once it has all of them.
const PUT_AWAY: u64 = 4 << 20;
/// Bytes that are read at once.
const PIECE: usize = 1 << 18;

/// A blob that is to be in a repository.
#[derive(Debug, Clone)]
pub(in crate::source::image) struct Upload {
    pub(in crate::source::image) digest: Digest,
    pub(in crate::source::image) size: u64,
    /// Another repository of the registry that may hold it already.
    pub(in crate::source::image) elsewhere: Option<String>,
}

/// A blob that is another by now than it was when it was stored.
#[derive(Debug, thiserror::Error)]
#[error("the blob was damaged on the disk")]
struct Changed;

/// Whether an upload failed for what was to be sent.
fn has_changed(error: &reqwest::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(error) = source {
        if error.is::<Changed>() {
            return true;
        }
        if let Some(inner) = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref)
            && inner.is::<Changed>()
        {
            return true;
        }
        source = error.source();
    }
    false
}

/// Takes a damaged blob away, and says so.
async fn damaged(endpoint: &Endpoint, store: &ContentStore, upload: &Upload) -> Failure {
    let (store, digest) = (store.clone(), upload.digest.clone());
    let verified = move || {
        store
            .verify(&digest)
            .map(|()| store.size(&digest).unwrap_or_default())
    };
    let verified = tokio::task::spawn_blocking(verified).await;
    let origin = "the content store";
    match verified {
        Ok(Err(error)) => Failure::Lasting(ImageError::content(&endpoint.reference, origin, error)),
        Ok(Ok(length)) if length != upload.size => {
            let (digest, size) = (&upload.digest, upload.size);
            let reason = format!("its manifest says that {digest} has {size} bytes, and it has {length}");
            Failure::Lasting(ImageError::malformed(&endpoint.reference, reason))
        }
        // It reads well now; so it will the next time.
        Ok(Ok(_)) | Err(_) => Failure::Passing(endpoint.unreachable("the blob could not be read")),
    }
}

/// How a blob got there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::source::image) enum Sent {
    /// It was there already.
    Present,
    /// The registry took it over from another of its repositories.
    Mounted,
    /// It was sent.
    Uploaded,
}

impl RegistryClient {
    /// Sees to it that a blob of the store is in the repository.
    pub(in crate::source::image) async fn push_blob(
        &self,
        endpoint: &Endpoint,
        store: &ContentStore,
        upload: &Upload,
    ) -> Result<Sent, ImageError> {
        let mut attempt = 0;
        loop {
            let failure = match self.push_blob_once(endpoint, store, upload).await {
                Ok(sent) => return Ok(sent),
                Err(failure) => failure,
            };
            attempt += 1;
            self.before_another(failure, attempt, ATTEMPTS).await?;
        }
    }

    /// Whether the repository has a blob.
    pub(in crate::source::image) async fn has_blob(
        &self,
        endpoint: &Endpoint,
        digest: &Digest,
    ) -> Result<bool, ImageError> {
        let asked = async {
            let there = endpoint.address(&format!("blobs/{digest}"))?;
            let answer = self
                .ask(endpoint, &endpoint.scope("pull"), |client| {
                    client.head(there.clone())
                })
                .await?;
            match answer.status() {
                StatusCode::NOT_FOUND => Ok(false),
                _ => endpoint.accept(answer).map(|_| true),
            }
        };
        asked.await.map_err(Failure::into_error)
    }

    async fn push_blob_once(
        &self,
        endpoint: &Endpoint,
        store: &ContentStore,
        upload: &Upload,
    ) -> Result<Sent, Failure> {
        let mut scope = endpoint.scope("pull,push");
        let there = endpoint.address(&format!("blobs/{}", upload.digest))?;
        let asked = self
            .ask(endpoint, &scope, |client| client.head(there.clone()))
            .await?;
        if asked.status().is_success() {
            return Ok(Sent::Present);
        }
        if asked.status() != StatusCode::NOT_FOUND {
            return Err(refused(endpoint, asked));
        }
        let mut uploads = endpoint.address("blobs/uploads/")?;
        if let Some(elsewhere) = &upload.elsewhere {
            uploads
                .query_pairs_mut()
                .append_pair("mount", upload.digest.as_str())
                .append_pair("from", elsewhere);
            // The token has to open the other repository too.
            scope = format!("{scope} repository:{elsewhere}:pull");
        }
        let begun = self
            .ask(endpoint, &scope, |client| {
                client.post(uploads.clone()).header(CONTENT_LENGTH, 0)
            })
            .await?;
        match begun.status() {
            StatusCode::CREATED => return Ok(Sent::Mounted),
            // Where it does not take it over, it begins an upload instead.
            StatusCode::ACCEPTED => {}
            _ => return Err(refused(endpoint, begun)),
        }
        let mut place = location(endpoint, &begun)?;
        drop(begun);
        place
            .query_pairs_mut()
            .append_pair("digest", upload.digest.as_str());
        self.send_blob(endpoint, &scope, store, upload, place).await?;
        Ok(Sent::Uploaded)
    }

    async fn send_blob(
        &self,
        endpoint: &Endpoint,
        scope: &str,
        store: &ContentStore,
        upload: &Upload,
        place: Url,
    ) -> Result<(), Failure> {
        let file = store.open_blob(&upload.digest).map_err(|error| {
            let origin = "the content store";
            Failure::Lasting(ImageError::content(&endpoint.reference, origin, error))
        })?;
        // The registry is told how much will come, so nothing is begun that cannot be brought to its end.
        if file
            .metadata()
            .is_ok_and(|metadata| metadata.len() != upload.size)
        {
            return Err(damaged(endpoint, store, upload).await);
        }
        let sent = Arc::new(AtomicU64::new(0));
        let (counted, all) = (Arc::clone(&sent), Arc::clone(&sent));
        let mut hasher = Sha256::new();
        let (expected, size) = (upload.digest.clone(), upload.size);
        let pieces = ReaderStream::with_capacity(tokio::fs::File::from_std(file), PIECE).map(move |piece| {
            let piece = piece?;
            hasher.update(&piece);
            let length = piece.len() as u64;
            let so_far = counted.fetch_add(length, Ordering::Relaxed) + length;
            // The last piece goes only where all of them are those that the digest names.
            if so_far < size || Digest::from_raw(hasher.clone().finalize().as_slice()) == expected {
                Ok(piece)
            } else {
                Err(io::Error::other(Changed))
            }
        });
        // It may be cut off while it is read.
        let end = stream::once(async move { (all.load(Ordering::Relaxed) < size).then_some(Changed) });
        let end = end.filter_map(|changed| async { Some(Err(io::Error::other(changed?))) });
        let client = self.uploader(endpoint)?;
        let mut request = client
            .put(place.clone())
            .header(CONTENT_TYPE, "application/octet-stream")
            .header(CONTENT_LENGTH, upload.size)
            .body(Body::wrap_stream(pieces.chain(end)));
        // Who we are is told to the registry, not to another host that it sends us to.
        let own = endpoint.address("")?;
        if place.origin() == own.origin()
            && let Some(token) = self.tokens.known(endpoint, scope)
        {
            request = request.header(AUTHORIZATION, token.header);
        }
        let answer = tokio::select! {
            answer = request.send() => match answer {
                Err(error) if has_changed(&error) => return Err(damaged(endpoint, store, upload).await),
                answer => answer.map_err(|error| endpoint.network(&error))?,
            },
            why = self.halted(&sent, upload.size) => return Err(Failure::Passing(endpoint.unreachable(why))),
        };
        match answer.status() {
            StatusCode::CREATED | StatusCode::NO_CONTENT => Ok(()),
            StatusCode::UNAUTHORIZED if place.origin() == own.origin() => {
                // A token may end while a large blob is under way. With a new one it is sent again from its beginning.
                self.authorize(endpoint, scope, &answer).await?;
                Err(Failure::Passing(refused(endpoint, answer).into_error()))
            }
            _ => Err(refused(endpoint, answer)),
        }
    }

    /// Ends once a registry has taken no bytes for too long, or has all of them and says nothing. Says which.
    async fn halted(&self, sent: &AtomicU64, size: u64) -> &'static str {
        let mut before = 0;
        loop {
            let all = before >= size;
            // Once all of it is sent, the registry may take its time with what it got.
            let more = if all { size / PUT_AWAY } else { 0 };
            tokio::time::sleep(self.patience.halt + Duration::from_secs(more)).await;
            let now = sent.load(Ordering::Relaxed);
            match (now == before, all) {
                (true, true) => {
                    return "it has all bytes of a part of the image and does not say that it took them";
                }
                (true, false) => return "it takes no more bytes",
                (false, _) => before = now,
            }
        }
    }

    /// Puts a manifest or index into the repository, under a tag or its digest.
    pub(in crate::source::image) async fn push_manifest(
        &self,
        endpoint: &Endpoint,
        selector: &str,
        media_type: &str,
        bytes: &[u8],
    ) -> Result<(), ImageError> {
        let mut attempt = 0;
        loop {
            let put = async {
                let place = endpoint.address(&format!("manifests/{selector}"))?;
                let answer = self
                    .ask(endpoint, &endpoint.scope("pull,push"), |client| {
                        client
                            .put(place.clone())
                            .header(CONTENT_TYPE, media_type)
                            .body(bytes.to_vec())
                    })
                    .await?;
                if answer.status().is_success() {
                    Ok(())
                } else {
                    Err(refused(endpoint, answer))
                }
            };
            let Err(failure) = put.await else { return Ok(()) };
            attempt += 1;
            // The same bytes under the same name: if the answer was lost, sending them again changes nothing.
            self.before_another(failure, attempt, ATTEMPTS).await?;
        }
    }

    fn uploader(&self, endpoint: &Endpoint) -> Result<&Client, Failure> {
        self.uploads
            .client(endpoint.plain_http)
            .map_err(|reason| Failure::Lasting(endpoint.answer(reason)))
    }

    /// Sends a request, and once more where the registry wants to know who asks. The answer may be any.
    async fn ask(
        &self,
        endpoint: &Endpoint,
        scope: &str,
        request: impl Fn(&Client) -> RequestBuilder,
    ) -> Result<Response, Failure> {
        let client = self.uploader(endpoint)?;
        let send = |header: Option<reqwest::header::HeaderValue>| {
            let mut request = request(client).timeout(self.patience.document);
            if let Some(header) = header {
                request = request.header(AUTHORIZATION, header);
            }
            request.send()
        };
        let known = self.tokens.known(endpoint, scope).map(|token| token.header);
        let answer = send(known).await.map_err(|error| endpoint.network(&error))?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let token = self.authorize(endpoint, scope, &answer).await?;
        drop(answer);
        send(Some(token.header))
            .await
            .map_err(|error| endpoint.network(&error))
    }
}

impl Endpoint {
    /// An address in the repository.
    fn address(&self, path: &str) -> Result<Url, Failure> {
        let scheme = if self.plain_http { "http" } else { "https" };
        let url = format!("{scheme}://{}/v2/{}/{path}", self.host, self.repository);
        Url::parse(&url).map_err(|error| Failure::Lasting(self.answer(format!("has no address: {error}"))))
    }
}

/// Where to send a blob to. It may be elsewhere, but not less protected.
fn location(endpoint: &Endpoint, begun: &Response) -> Result<Url, Failure> {
    let bad = |what: &str| Failure::Lasting(endpoint.answer(format!("begins an upload {what}")));
    let written = begun
        .headers()
        .get(LOCATION)
        .and_then(|value| value.to_str().ok())
        .ok_or_else(|| bad("without saying where"))?;
    let place = begun
        .url()
        .join(written)
        .map_err(|_| bad("at a place that is no address"))?;
    match place.scheme() {
        "https" => Ok(place),
        "http" if endpoint.plain_http => Ok(place),
        _ => Err(bad("at an address without HTTPS")),
    }
}

/// Why a registry does not take something, in words about pushing.
fn refused(endpoint: &Endpoint, answer: Response) -> Failure {
    let status = answer.status();
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Failure::Lasting(endpoint.answer(format!(
            "does not let {} push to {} ({status}); check the name, and give the worker credentials that may \
             (username and password-file under [registry.\"{}\"] in its configuration)",
            if endpoint.credentials.is_some() { "this user" } else { "just anyone" },
            endpoint.repository,
            endpoint.registry,
        ))),
        StatusCode::NOT_FOUND | StatusCode::METHOD_NOT_ALLOWED => Failure::Lasting(endpoint.answer(format!(
            "takes no uploads to {} ({status}); check the name, and whether it is a registry that can be pushed to",
            endpoint.repository
        ))),
        StatusCode::PAYLOAD_TOO_LARGE => {
            Failure::Lasting(endpoint.answer(format!("finds a part of the image too large ({status})")))
        }
        _ => match endpoint.accept(answer) {
            Err(failure) => failure,
            Ok(_) => Failure::Lasting(endpoint.answer(format!("answers to an upload with {status}"))),
        },
    }
}

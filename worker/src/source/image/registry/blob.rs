//! Downloading a layer, over as many connections as it takes.

use reqwest::StatusCode;
use reqwest::header::{CONTENT_RANGE, HeaderMap, HeaderValue, RANGE};

use super::{Endpoint, Failure, RegistryClient};
use crate::content::Ingest;
use crate::source::image::error::ImageError;
use crate::source::image::manifest::Descriptor;

/// Connections in a row that may end without a single new byte.
const FRUITLESS: u32 = 3;
/// Connections for one blob, however much each of them brings.
const CONNECTIONS: u32 = 200;

impl RegistryClient {
    /// Brings the rest of a blob. `advanced` hears how much there is after each piece. The caller commits.
    pub(in crate::source::image) async fn blob(
        &self,
        endpoint: &Endpoint,
        descriptor: &Descriptor,
        ingest: &mut Ingest,
        advanced: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), ImageError> {
        let mut fruitless = 0;
        for _ in 0..CONNECTIONS {
            let before = ingest.offset();
            if before >= descriptor.size {
                return Ok(());
            }
            let failure = match self.stretch(endpoint, descriptor, ingest, advanced).await {
                Ok(()) if ingest.offset() >= descriptor.size => return Ok(()),
                Ok(()) => Failure::Passing(endpoint.unreachable(&format!(
                    "the connection ended after {} of {} bytes",
                    ingest.offset(),
                    descriptor.size
                ))),
                Err(failure) => failure,
            };
            fruitless = if ingest.offset() > before {
                1
            } else {
                fruitless + 1
            };
            match failure {
                // Whoever brought bytes and then fell silent is asked again, too.
                Failure::Lasting(ImageError::Unreachable { .. }) if ingest.offset() > before => {}
                failure => {
                    self.before_another(failure, fruitless, FRUITLESS).await?;
                    continue;
                }
            }
            self.pause(fruitless).await;
        }
        Err(endpoint.unreachable("the connection ended too often"))
    }

    /// As much of a blob as one connection brings.
    async fn stretch(
        &self,
        endpoint: &Endpoint,
        descriptor: &Descriptor,
        ingest: &mut Ingest,
        advanced: &(dyn Fn(u64) + Send + Sync),
    ) -> Result<(), Failure> {
        let from = ingest.offset();
        let mut headers = HeaderMap::new();
        if from > 0
            && let Ok(range) = HeaderValue::try_from(format!("bytes={from}-"))
        {
            headers.insert(RANGE, range);
        }
        let mut response = self
            .get(endpoint, &format!("blobs/{}", descriptor.digest), &headers)
            .await?;
        // A server may send the whole blob all the same: what is there already is then skipped.
        let mut offset = if response.status() == StatusCode::PARTIAL_CONTENT {
            let begins = response
                .headers()
                .get(CONTENT_RANGE)
                .and_then(|value| value.to_str().ok());
            if !begins.is_some_and(|range| range.starts_with(&format!("bytes {from}-"))) {
                let reason = format!("was asked for the bytes from {from} on, and sent others");
                return Err(Failure::Lasting(endpoint.answer(reason)));
            }
            from
        } else {
            0
        };
        let stored = |error| {
            Failure::Lasting(ImageError::content(
                &endpoint.reference,
                &endpoint.registry,
                error,
            ))
        };
        while let Some(chunk) = response.chunk().await.map_err(|error| endpoint.network(&error))? {
            ingest.write_at(offset, &chunk).map_err(stored)?;
            offset += chunk.len() as u64;
            advanced(ingest.offset());
        }
        Ok(())
    }
}

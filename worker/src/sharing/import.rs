//! The caches that a build names, asked in their order.

use futures_util::future::join_all;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;

use super::{CacheDocument, Place, SharedAnswer, SharedBlob, SharedRecord, SharingError};
use crate::source::image::ImageSource;

/// A cache that was read.
#[derive(Debug)]
pub struct Cache {
    /// Where it is.
    pub place: Place,
    /// What it knows.
    document: CacheDocument,
}

/// What the caches of a build know together.
#[derive(Debug, Default)]
pub struct Imported {
    caches: Vec<Cache>,
}

impl Imported {
    /// Reads caches, all at the same time. `told` hears of each how it went. One that cannot be read counts as empty.
    pub async fn read(
        places: &[Place],
        images: &ImageSource,
        platform: &Platform,
        told: impl Fn(&Place, Result<usize, &SharingError>),
    ) -> Self {
        let reading = places.iter().map(|place| async {
            let read = place.read(images, platform).await;
            told(place, read.as_ref().map(|document| document.records.len()));
            read.ok().map(|document| Cache {
                place: place.clone(),
                document,
            })
        });
        Self {
            caches: join_all(reading).await.into_iter().flatten().collect(),
        }
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.caches.is_empty()
    }

    /// What came of the step with that key: by preference from a cache that has the layer too.
    pub fn record(&self, key: &Digest) -> Option<(&Cache, &SharedRecord)> {
        let known = || {
            let found = |cache| Some((cache, Cache::record(cache, key)?));
            self.caches.iter().filter_map(found)
        };
        known()
            .find(|(cache, record)| cache.document.layers.contains_key(&record.diff_id))
            .or_else(|| known().next())
    }

    /// The checksum that is known of `of`.
    pub fn checksum(&self, of: &Digest) -> Option<&Digest> {
        self.caches
            .iter()
            .find_map(|cache| cache.document.checksums.get(of))
    }

    /// What an address gave.
    pub fn answer(&self, question: &Digest) -> Option<&SharedAnswer> {
        self.caches
            .iter()
            .find_map(|cache| cache.document.answers.get(question))
    }

    /// Where the blob of a layer can be had, the best place first.
    pub fn blobs(&self, diff_id: &Digest) -> impl Iterator<Item = (&Place, &SharedBlob)> {
        self.caches
            .iter()
            .filter_map(|cache| Some((&cache.place, cache.document.layers.get(diff_id)?)))
    }
}

impl Cache {
    fn record(&self, key: &Digest) -> Option<&SharedRecord> {
        self.document.records.get(key)
    }
}

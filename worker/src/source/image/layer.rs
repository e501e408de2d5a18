//! A layer's tar as it comes out of its blob.

use std::fs::File;
use std::io::{self, BufRead as _, BufReader, Read};

use flate2::bufread::MultiGzDecoder;
use sha2::{Digest as _, Sha256};
use stagewright_core::digest::Digest;

use super::LayerDescriptor;
use crate::content::{ContentError, ContentStore};

const BUFFER: usize = 1 << 17;

/// Reads a layer's uncompressed tar, whether its blob is gzip, zstd or plain, and checks that it is the content that
/// the image's configuration names. What was read counts only once [`LayerReader::finish`] agreed.
pub struct LayerReader {
    store: ContentStore,
    blob: Digest,
    decoder: Decoder,
    hasher: Sha256,
    expected: Digest,
    read: u64,
    limit: u64,
}

enum Decoder {
    Plain(BufReader<File>),
    Gzip(Box<MultiGzDecoder<BufReader<File>>>),
    Zstd(Box<zstd::Decoder<'static, BufReader<File>>>),
}

/// Opens a layer that is in the store. Reading fails once more than `limit` bytes came out of it: a small blob may
/// unpack to any size.
pub fn layer_reader(
    store: &ContentStore,
    layer: &LayerDescriptor,
    limit: u64,
) -> Result<LayerReader, ContentError> {
    let mut blob = BufReader::with_capacity(BUFFER, store.open_blob(&layer.digest)?);
    let io_error = |source| ContentError::Io {
        action: "read the layer",
        path: store.path(&layer.digest),
        source,
    };
    // Media types lie now and then; the first bytes do not.
    let start = blob.fill_buf().map_err(io_error)?;
    let decoder = if start.starts_with(&[0x1f, 0x8b]) {
        Decoder::Gzip(Box::new(MultiGzDecoder::new(blob)))
    } else if start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]) {
        Decoder::Zstd(Box::new(zstd::Decoder::with_buffer(blob).map_err(io_error)?))
    } else {
        Decoder::Plain(blob)
    };
    Ok(LayerReader {
        store: store.clone(),
        blob: layer.digest.clone(),
        decoder,
        hasher: Sha256::new(),
        expected: layer.diff_id.clone(),
        read: 0,
        limit,
    })
}

impl LayerReader {
    /// Reads what is left and checks the whole. Returns the length of the tar in bytes.
    pub fn finish(mut self) -> io::Result<u64> {
        io::copy(&mut self, &mut io::sink())?;
        let actual = Digest::from_raw(self.hasher.clone().finalize().as_slice());
        if actual == self.expected {
            return Ok(self.read);
        }
        self.still_whole()?;
        let message = format!(
            "the layer unpacks to {actual}, but the image's configuration says {}; the image is broken",
            self.expected
        );
        Err(io::Error::new(io::ErrorKind::InvalidData, message))
    }

    /// Whether the blob is still what it was when it came. Asked only where its content is not what it should be: then
    /// either the image was broken from the beginning, or the disk damaged it here, and it goes and may be had again.
    fn still_whole(&self) -> io::Result<()> {
        let whole = self.store.verify(&self.blob);
        whole.map_err(|damaged| io::Error::new(io::ErrorKind::InvalidData, damaged))
    }
}

impl Read for LayerReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = match &mut self.decoder {
            Decoder::Plain(reader) => reader.read(buffer),
            Decoder::Gzip(reader) => reader.read(buffer),
            Decoder::Zstd(reader) => reader.read(buffer),
        };
        let count = match count {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Err(error),
            Err(error) => {
                self.still_whole()?;
                return Err(error);
            }
        };
        self.read += count as u64;
        if self.read > self.limit {
            let message = format!(
                "the layer unpacks to more than {} bytes (image-unpacked-size in the worker's configuration)",
                self.limit
            );
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, message));
        }
        self.hasher.update(buffer.get(..count).unwrap_or_default());
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;

    fn gzip(data: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(data).unwrap();
        encoder.finish().unwrap()
    }

    fn layer(store: &ContentStore, blob: &[u8], tar: &[u8]) -> LayerDescriptor {
        let digest = store.put(blob).unwrap();
        let media_type = "application/vnd.oci.image.layer.v1.tar".to_owned();
        LayerDescriptor {
            digest,
            diff_id: Digest::of(tar),
            media_type,
            size: blob.len() as u64,
        }
    }

    #[test]
    fn every_compression_gives_the_same_tar() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        let tar = b"not really a tar, but long enough to be worth it".repeat(1000);
        let (first, second) = tar.split_at(20_000);
        let two_members = [gzip(first), gzip(second)].concat();
        let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
        for blob in [tar.clone(), gzip(&tar), two_members, zstd] {
            let layer = layer(&store, &blob, &tar);
            let mut out = Vec::new();
            layer_reader(&store, &layer, 1 << 20)
                .unwrap()
                .read_to_end(&mut out)
                .unwrap();
            assert_eq!(out, tar);
            assert_eq!(
                layer_reader(&store, &layer, 1 << 20).unwrap().finish().unwrap(),
                tar.len() as u64
            );
        }
    }

    #[test]
    fn layer_that_unpacks_to_something_else_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        let layer = layer(&store, &gzip(b"this"), b"that");
        let error = layer_reader(&store, &layer, 100).unwrap().finish().unwrap_err();
        assert!(error.to_string().contains("the image is broken"), "{error}");
    }

    #[test]
    fn layer_that_was_damaged_here_is_told_from_one_that_was_always_broken_and_is_gone() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        let tar = b"a layer that is long enough to have a middle".repeat(1000);
        let zstd = zstd::encode_all(tar.as_slice(), 1).unwrap();
        for blob in [tar.clone(), gzip(&tar), zstd] {
            let layer = layer(&store, &blob, &tar);
            let mut damaged = blob.clone();
            damaged[blob.len() / 2] ^= 1;
            std::fs::write(store.path(&layer.digest), damaged).unwrap();
            let error = layer_reader(&store, &layer, 1 << 20)
                .unwrap()
                .finish()
                .unwrap_err();
            assert!(error.to_string().contains("was damaged on the disk"), "{error}");
            assert!(!store.contains(&layer.digest));
        }
    }

    #[test]
    fn small_blob_that_unpacks_without_end_is_stopped() {
        let directory = tempfile::tempdir().unwrap();
        let store = ContentStore::open(directory.path()).unwrap();
        let tar = vec![0; 4 << 20];
        let layer = layer(&store, &gzip(&tar), &tar);
        let error = layer_reader(&store, &layer, 1 << 20)
            .unwrap()
            .finish()
            .unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::FileTooLarge);
    }
}

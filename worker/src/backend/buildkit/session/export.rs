//! Blobs that the daemon exports, on their way into our own store.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use stagewright_core::digest::Digest;
use tonic::Status;

use super::content::{Action, WriteRequest, WriteResponse};
use crate::content::{BlobWriter, ContentStore};

/// Where blobs go. Clones are the same place.
#[derive(Clone)]
pub(in super::super) struct Export {
    store: ContentStore,
    /// Bytes that may still come.
    left: Arc<AtomicU64>,
    /// Whether any are expected.
    open: Arc<AtomicBool>,
}

impl Export {
    /// A place in `store` for blobs of `most` bytes together; closed for now.
    pub(in super::super) fn new(store: ContentStore, most: u64) -> Self {
        Self {
            store,
            left: Arc::new(AtomicU64::new(most)),
            open: Arc::new(AtomicBool::new(false)),
        }
    }

    /// Blobs are expected from here on, or not any more.
    pub(in super::super) fn expect(&self, open: bool) {
        self.open.store(open, Ordering::Relaxed);
    }

    /// The next blob.
    pub(super) fn blob(&self) -> Blob {
        Blob {
            export: self.clone(),
            expected: None,
            total: 0,
            offset: 0,
            writer: None,
        }
    }
}

/// A blob that is coming.
pub(super) struct Blob {
    export: Export,
    expected: Option<Digest>,
    total: i64,
    offset: i64,
    writer: Option<BlobWriter>,
}

impl Blob {
    /// Whether it is in the store, as long as it is said to be.
    fn is_here(&self, expected: &Digest) -> bool {
        match u64::try_from(self.total) {
            Ok(total @ 1..) => self.export.store.contains_whole(expected, total),
            _ => self.export.store.size(expected).is_some(),
        }
    }

    /// Takes the next of what is said of it. Blocks.
    pub(super) fn take(&mut self, message: &WriteRequest) -> Result<WriteResponse, Status> {
        if !self.export.open.load(Ordering::Relaxed) {
            return Err(Status::failed_precondition("nothing is expected to be exported"));
        }
        let action = Action::try_from(message.action);
        let action = action.map_err(|_| Status::invalid_argument("an action that is not known"))?;
        // A message that writes says the name only the first time.
        if !message.expected.is_empty() {
            let expected = message.expected.parse::<Digest>();
            self.expected = Some(expected.map_err(|_| Status::invalid_argument("a digest that is none"))?);
        }
        self.total = self.total.max(message.total);
        if let Some(expected) = &self.expected
            && self.writer.is_none()
            && self.is_here(expected)
        {
            return Err(Status::already_exists(format!("{expected} is here already")));
        }
        if !message.data.is_empty() {
            self.append(message)?;
        }
        let mut digest = String::new();
        if action == Action::Commit {
            digest = self.commit(message.total)?;
        }
        Ok(WriteResponse {
            action: action.into(),
            offset: self.offset,
            total: self.total,
            digest,
        })
    }

    fn append(&mut self, message: &WriteRequest) -> Result<(), Status> {
        if message.offset != self.offset {
            let (at, wanted) = (message.offset, self.offset);
            return Err(Status::out_of_range(format!(
                "it goes on at {wanted} and not at {at}"
            )));
        }
        let length = message.data.len() as u64;
        let take = |left: u64| left.checked_sub(length);
        let left = &self.export.left;
        if left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .is_err()
        {
            return Err(Status::resource_exhausted(
                "the image is larger than this worker takes (image-size in its configuration)",
            ));
        }
        let writer = match &mut self.writer {
            Some(writer) => writer,
            none => none.insert(self.export.store.writer().map_err(|error| failed(&error))?),
        };
        writer.append(&message.data).map_err(|error| failed(&error))?;
        self.offset += i64::try_from(length).unwrap_or(i64::MAX);
        Ok(())
    }

    fn commit(&mut self, total: i64) -> Result<String, Status> {
        if total > 0 && total != self.offset {
            return Err(Status::failed_precondition(format!(
                "{} bytes came of {total}",
                self.offset
            )));
        }
        let writer = self.writer.take();
        let writer = writer.ok_or_else(|| Status::failed_precondition("nothing was written"))?;
        let stored = match &self.expected {
            Some(expected) => writer.commit_as(expected),
            None => writer.commit(),
        };
        let (digest, _) = stored.map_err(|error| failed(&error))?;
        Ok(digest.to_string())
    }
}

fn failed(error: &crate::content::ContentError) -> Status {
    Status::failed_precondition(format!("a blob of the image cannot be kept: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::Code;

    fn message(action: Action, expected: &Digest, offset: i64, data: &[u8], total: i64) -> WriteRequest {
        WriteRequest {
            action: action.into(),
            total,
            expected: expected.to_string(),
            offset,
            data: data.to_vec(),
        }
    }

    #[test]
    fn blob_comes_in_pieces_once_and_only_where_one_is_expected() {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path()).unwrap();
        let export = Export::new(store.clone(), 12);
        let digest = Digest::of(b"hello world");
        let begin = message(Action::Stat, &digest, 0, b"", 11);
        let refused = export.blob().take(&begin).unwrap_err();
        assert_eq!(refused.code(), Code::FailedPrecondition);
        export.expect(true);
        let mut blob = export.blob();
        assert_eq!(blob.take(&begin).unwrap().offset, 0);
        blob.take(&message(Action::Write, &digest, 0, b"hello ", 0))
            .unwrap();
        let gap = blob
            .take(&message(Action::Write, &digest, 7, b"orld", 0))
            .unwrap_err();
        assert_eq!(gap.code(), Code::OutOfRange);
        assert_eq!(
            blob.take(&message(Action::Write, &digest, 6, b"world", 0))
                .unwrap()
                .offset,
            11
        );
        let done = blob.take(&message(Action::Commit, &digest, 11, b"", 11)).unwrap();
        assert_eq!((done.digest, done.offset), (digest.to_string(), 11));
        assert_eq!(store.read(&digest, 100).unwrap(), b"hello world");
        assert_eq!(
            export.blob().take(&begin).unwrap_err().code(),
            Code::AlreadyExists
        );
        // What is left is one byte.
        let other = Digest::of(b"xy");
        let mut blob = export.blob();
        let large = blob
            .take(&message(Action::Write, &other, 0, b"xy", 2))
            .unwrap_err();
        assert_eq!(large.code(), Code::ResourceExhausted);
    }

    #[test]
    fn blob_that_is_not_what_its_name_says_is_not_kept() {
        let folder = tempfile::tempdir().unwrap();
        let store = ContentStore::open(folder.path()).unwrap();
        let export = Export::new(store.clone(), 100);
        export.expect(true);
        let digest = Digest::of(b"right");
        let mut blob = export.blob();
        blob.take(&message(Action::Write, &digest, 0, b"wrong", 5))
            .unwrap();
        assert!(blob.take(&message(Action::Commit, &digest, 5, b"", 5)).is_err());
        assert_eq!(store.size(&digest), None);
    }
}

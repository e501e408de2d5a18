//! Sources from the network: asked for anew by every build, and fetched only where they changed.

use std::sync::Arc;

use stagewright_core::llb::SourceOp;

use super::super::cache::Fetched;
use super::super::ops::git::Checkout;
use super::super::ops::http::{Received, RemoteFile};
use super::super::ops::{StepFailure, blocking};
use super::super::progress::{End, LayerNews, News};
use super::super::rootfs::{Output, Rootfs};
use super::{Build, StoredResult, stacked, stored};
use crate::backend::graph::GraphVertex;
use crate::provenance::Found;
use crate::source::http::{Answer, Known};
use stagewright_core::digest::Digest;

impl Build {
    /// A file from a web server.
    pub(super) async fn web(
        &self,
        vertex: &GraphVertex,
        op: &SourceOp,
        anew: bool,
    ) -> Result<(Output, End), StepFailure> {
        let file = RemoteFile::of(op)?;
        let identity = file.identity();
        let asked_again = self.ignores_cache(vertex);
        let own = self.fetched(&identity).map(|(result, fetched)| {
            let build = format!("build {}", fetched.build);
            (result, fetched, build)
        });
        let before = own.or_else(|| self.imported_answer(&identity).filter(|_| !anew));
        let kept = before.clone().filter(|_| asked_again.is_none());
        if let Some((result, fetched, whose)) = &kept
            && file.checksum.is_some()
            && file.checksum == fetched.checksum
        {
            let why = format!("cached: {whose} got the file with this checksum");
            self.noted(vertex, &identity, fetched);
            self.found_file(vertex, fetched);
            return self.unchanged(vertex, result, why);
        }
        // Whether what is here has a checksum that is asked for the first time is seen by fetching it again.
        let comparable = kept.as_ref().filter(|_| file.checksum.is_none());
        let known = comparable.map(|(_, fetched, _)| Known {
            etag: fetched.etag.clone(),
            last_modified: fetched.last_modified.clone(),
        });
        let extras = &self.request.extras;
        let question = file.question(&extras.secrets, known.unwrap_or_default(), extras.local)?;
        let answer = self.engine.web.ask(&question).await;
        let download = match (
            answer.map_err(|error| StepFailure::new(error.to_string()))?,
            // Only of what was asked about can it be said that it did not change.
            comparable,
        ) {
            (Answer::File(download), _) => download,
            (Answer::Unchanged, Some((result, fetched, whose))) => {
                let why = format!("cached: the server says that it did not change since {whose}");
                self.noted(vertex, &identity, fetched);
                self.found_file(vertex, fetched);
                return self.unchanged(vertex, result, why);
            }
            (Answer::Unchanged, None) => {
                return Err(StepFailure::new(
                    "the server says that the file did not change, although it was not asked that",
                ));
            }
        };
        let tell = |news| self.progress.tell(&vertex.digest, &news);
        let Received {
            made,
            content,
            result: key,
            known,
        } = file.receive(download, &self.engine.snapshots, &tell).await?;
        let why = match (asked_again, &before) {
            (Some(why), _) => why.to_owned(),
            (None, None) => "first download of this address".to_owned(),
            (None, Some((_, fetched, whose))) if fetched.result == key => {
                format!("downloaded again, and it is the same file as in {whose}")
            }
            (None, Some((_, _, whose))) => format!("rerun: the server has another file than in {whose}"),
        };
        self.progress.reason(&vertex.digest, why);
        let fetched = Fetched {
            build: self.request.build.clone(),
            etag: known.etag,
            last_modified: known.last_modified,
            checksum: file.checksum.clone(),
            content: Some(content),
            result: key.clone(),
        };
        self.noted(vertex, &identity, &fetched);
        self.found_file(vertex, &fetched);
        let result = stored(&self.request.build, &vertex.name, made);
        self.keep_fetched(identity, fetched, key, result.clone()).await?;
        self.fresh(vertex, result)
    }

    /// The files of a commit.
    pub(super) async fn git(
        &self,
        vertex: &GraphVertex,
        op: &SourceOp,
        anew: bool,
    ) -> Result<(Output, End), StepFailure> {
        let checkout = Checkout::of(op)?;
        let identity = checkout.identity();
        let asked_again = self.ignores_cache(vertex);
        let before = self.engine.cache.fetched(&identity);
        let remote = checkout.remote(&self.request.extras, &self.engine.networks)?;
        let found = checkout.resolve(&self.engine.repositories, &remote).await?;
        let short = found.commit.get(..12).unwrap_or_default();
        let key = checkout.result(&found);
        let fetched = Fetched {
            build: self.request.build.clone(),
            etag: Some(found.commit.clone()),
            last_modified: None,
            checksum: None,
            content: None,
            result: key.clone(),
        };
        self.noted(vertex, &identity, &fetched);
        if let Some(draft) = &self.request.extras.provenance {
            let (url, commit) = (remote.url.clone(), found.commit.clone());
            draft.note(&vertex.digest, Found::Commit { url, commit });
        }
        if asked_again.is_none()
            && let Some(result) = self.engine.found(&key)
        {
            let still = if checkout.is_fixed() {
                ""
            } else {
                "the repository is still there, and "
            };
            let why = format!("cached: {still}build {} got commit {short}", result.build);
            return self.unchanged(vertex, &result, why);
        }
        if asked_again.is_none()
            && !anew
            && let Some((result, cache)) = self.imported(&key, &Rootfs::default())
        {
            return self.unchanged(vertex, &result, format!("cached, commit {short} from {cache}"));
        }
        let why = match (asked_again, &before) {
            (Some(why), _) => why.to_owned(),
            (None, Some(fetched)) if fetched.etag.as_ref() != Some(&found.commit) => {
                format!(
                    "rerun: the repository is at commit {short}, another than in build {}",
                    fetched.build
                )
            }
            (None, Some(_)) => format!("rerun: the files of commit {short} are not kept any more"),
            (None, None) => format!("first checkout of commit {short}"),
        };
        self.progress.reason(&vertex.digest, why);
        let (engine, scratch) = (&self.engine, self.engine.scratch_file());
        let made = checkout
            .check_out(&engine.repositories, &remote, &found, &engine.snapshots, scratch)
            .await?;
        let result = stored(&self.request.build, &vertex.name, made);
        self.keep_fetched(identity, fetched, key, result.clone()).await?;
        self.fresh(vertex, result)
    }

    /// What is known of an address, where the files that it gave are still here.
    pub(super) fn fetched(&self, identity: &Digest) -> Option<(StoredResult, Fetched)> {
        let fetched = self.engine.cache.fetched(identity)?;
        Some((self.engine.found(&fetched.result)?, fetched))
    }

    /// Notes which file an address gave for those who want to know what the build was made from.
    fn found_file(&self, vertex: &GraphVertex, fetched: &Fetched) {
        if let Some(draft) = &self.request.extras.provenance {
            draft.note(&vertex.digest, Found::File(fetched.content.clone()));
        }
    }

    /// Notes what an address gave for those who share this build's cache.
    fn noted(&self, vertex: &GraphVertex, identity: &Digest, fetched: &Fetched) {
        self.notes.key(&vertex.digest, &fetched.result);
        self.notes.answer(identity, fetched);
    }

    /// Remembers what came from an address.
    pub(super) async fn keep_fetched(
        &self,
        identity: Digest,
        fetched: Fetched,
        key: Digest,
        result: StoredResult,
    ) -> Result<(), StepFailure> {
        self.keep(key, result).await?;
        let engine = Arc::clone(&self.engine);
        let remember = move || engine.cache.put_fetched(&identity, &fetched);
        blocking(move || remember().map_err(StepFailure::internal)).await
    }

    /// Files that are here already.
    pub(super) fn unchanged(
        &self,
        vertex: &GraphVertex,
        result: &StoredResult,
        why: String,
    ) -> Result<(Output, End), StepFailure> {
        self.progress.reason(&vertex.digest, why);
        let (output, _) = self.fresh(vertex, result.clone())?;
        Ok((output, End::Cached))
    }

    /// Files that came just now.
    pub(super) fn fresh(
        &self,
        vertex: &GraphVertex,
        result: StoredResult,
    ) -> Result<(Output, End), StepFailure> {
        let layer = LayerNews::of_result(&result, None);
        self.progress.tell(&vertex.digest, &News::Layer(layer));
        let files = stacked(&Rootfs::default(), vertex, Arc::new(result))?;
        Ok((Output::Files(files), End::Ran))
    }
}

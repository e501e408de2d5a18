//! Folders of this machine on their way to a worker: what is in them is told, and what the worker lacks of it is sent.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use stagewright_core::analysis::Definition;
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{ContextEntry, ContextEntryKind, LackingContent, SolveStatus, VertexStatus};

use super::super::display::Display;
use crate::backend::{self, timestamp};
use crate::cli::Failure;
use crate::client::{Client, ClientError, Piece};
use crate::request::BuildRequest;
use crate::request::folder::seen::Seen;
use crate::request::folder::{self, Wanted};
use crate::request::sources::{self, Folder};
use crate::request::watcher::{Watcher as _, ticks};
use crate::snapshot::Confined;

/// Files on their way at a time: small ones would wait for each other's answers.
const AT_A_TIME: usize = 8;

/// A folder may change while it is sent. After so many times it is not going to hold still.
const TRIES: usize = 3;

pub(super) struct Sending<'a> {
    pub(super) client: &'a Client,
    pub(super) display: &'a mut Display,
}

/// What is read of a context.
pub(super) enum Read {
    All,
    Paths(Vec<String>),
}

/// What definitions read of a context; `None` where none reads it.
pub(super) fn read<'d>(definitions: impl Iterator<Item = &'d Definition>, name: &str) -> Option<Read> {
    let mut all = None;
    for definition in definitions {
        if let Some(paths) = sources::local_sources(definition).remove(name) {
            all = Some(match (all, paths) {
                (None, Some(paths)) => Read::Paths(paths),
                (Some(Read::Paths(before)), Some(paths)) => Read::Paths([before, paths].concat()),
                (_, None) | (Some(Read::All), _) => Read::All,
            });
        }
    }
    all
}

impl Sending<'_> {
    /// Sends the folders that names stand for, and puts all named contexts into the request.
    pub(super) async fn folders(
        &mut self,
        folders: &BTreeMap<String, Folder>,
        written: &[String],
        request: &mut BuildRequest,
    ) -> Result<(), Failure> {
        for named in written {
            let Some((name, _)) = named.split_once('=') else {
                continue;
            };
            let Some(folder) = folders.get(name) else {
                request.build_contexts.push(named.clone());
                continue;
            };
            let ignore_name = folder.path.join(".dockerignore").display().to_string();
            let id = self
                .folder(name, &folder.path, (&folder.ignore, &ignore_name), &Read::All)
                .await?;
            request.build_contexts.push(format!("{name}=content:{id}"));
        }
        Ok(())
    }

    /// Sends a folder; of the names at its top only those that paths of `read` lie in. Gives what it is known by there.
    pub(super) async fn folder(
        &mut self,
        name: &str,
        place: &Path,
        (ignore, ignore_name): (&str, &str),
        read: &Read,
    ) -> Result<Digest, Failure> {
        let ignore = sources::ignore(ignore, ignore_name, self.display)?;
        let mut changed = None;
        for _ in 0..TRIES {
            let wanted = match read {
                Read::All => Wanted::All,
                Read::Paths(paths) => Wanted::of(place, paths),
            };
            let offer = folder::scan(place, &ignore, &wanted, &mut Seen::nothing(), None)?;
            let answer = self.client.offer(&offer.entries).await?;
            if answer.lacks.is_empty() {
                return Ok(answer.id);
            }
            match self.lacking(name, place, &offer.entries, &answer.lacks).await {
                Ok(()) => return Ok(answer.id),
                Err(
                    error @ (ClientError::File(_)
                    | ClientError::Refused {
                        status: 404 | 422, ..
                    }),
                ) => {
                    changed = Some(error);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(match changed {
            Some(error) => error.into(),
            None => Failure::new(Failure::WORK, "the build context changes all the time"),
        })
    }

    /// Sends what is lacking, and shows how far it is.
    async fn lacking(
        &mut self,
        name: &str,
        place: &Path,
        entries: &[ContextEntry],
        lacks: &[LackingContent],
    ) -> Result<(), ClientError> {
        let broken =
            |error: std::io::Error| ClientError::File(format!("cannot read {}: {error}", place.display()));
        let root = Confined::open(place).map_err(broken)?;
        let mut files: BTreeMap<&Digest, (&Path, u64)> = BTreeMap::new();
        for entry in entries {
            if let ContextEntryKind::File { digest, size } = &entry.kind {
                files.entry(digest).or_insert((Path::new(&entry.path), *size));
            }
        }
        let pieces: Vec<_> = lacks
            .iter()
            .filter_map(|lack| {
                let (path, size) = files.get(&lack.digest)?;
                let piece = Piece {
                    digest: lack.digest.clone(),
                    have: lack.have.min(*size),
                    size: *size,
                };
                Some((piece, *path))
            })
            .collect();
        let total: u64 = pieces.iter().map(|(piece, _)| piece.size - piece.have).sum();
        let sent = AtomicU64::new(0);
        let (client, sent_so_far) = (self.client, &sent);
        let (root, under_way) = (&root, stream::iter(pieces));
        let mut work = std::pin::pin!(
            under_way
                .map(|(piece, path)| async move {
                    client.send(&piece, || root.read(path)).await?;
                    sent_so_far.fetch_add(piece.size - piece.have, Ordering::Relaxed);
                    Ok::<_, ClientError>(())
                })
                .buffer_unordered(AT_A_TIME)
                .try_collect::<Vec<()>>()
        );
        let mut vertex = backend::task(
            &format!("sending the {name} to {}", client.address()),
            &timestamp(),
        );
        let begun = vertex.started.clone();
        let mut ticks = ticks();
        let done = loop {
            let progress = VertexStatus {
                id: "sending".to_owned(),
                vertex: vertex.digest.clone(),
                name: "files".to_owned(),
                total,
                current: sent.load(Ordering::Relaxed),
                timestamp: timestamp(),
                started: begun.clone(),
                completed: None,
            };
            self.display.status(&SolveStatus {
                vertexes: vec![vertex.clone()],
                statuses: vec![progress],
                ..SolveStatus::default()
            });
            self.display.tick();
            tokio::select! {
                done = &mut work => break done,
                _ = ticks.tick() => {}
            }
        };
        vertex.completed = Some(timestamp());
        match &done {
            Ok(files) => vertex.reason = format!("{} files, {total} bytes", files.len()),
            Err(error) => vertex.error = error.to_string(),
        }
        self.display.status(&SolveStatus {
            vertexes: vec![vertex],
            ..SolveStatus::default()
        });
        done.map(drop)
    }
}

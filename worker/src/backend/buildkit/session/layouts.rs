//! Images that a build brings along (`oci-layout://…`), for the daemon to read: what there is of a blob, and its bytes.
//! Nothing else can be read than what these images are made of.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;
use stagewright_core::digest::Digest;
use stagewright_core::llb::OpKind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Response, Status};

use super::content::{Info, InfoRequest, InfoResponse, ReadRequest, ReadResponse};
use crate::backend::embedded::EmbeddedBackend;
use crate::backend::graph::Graph;
use crate::content::LONGEST_DOCUMENT;
use crate::source::image::reference::Reference;

/// Bytes of a blob in one message.
const PIECE: usize = 1 << 20;
/// Manifests that one image may be made of.
const MOST: usize = 1000;

/// The images of this build, blob by blob.
#[derive(Clone, Default)]
pub(in super::super) struct Layouts(Arc<BTreeMap<String, PathBuf>>);

impl Layouts {
    /// Those that `graph` names, of what the worker was lent.
    pub(in super::super) fn of(graph: &Graph, lender: &EmbeddedBackend) -> Self {
        let mut blobs = BTreeMap::new();
        for vertex in &graph.vertices {
            let Some(OpKind::Source(source)) = &vertex.op.kind else {
                continue;
            };
            let reference = source.identifier.strip_prefix("oci-layout://");
            let reference: Option<Reference> = reference.and_then(|reference| reference.parse().ok());
            if let Some(image) = reference.as_ref().and_then(Reference::digest) {
                gather(image, &|blob| lender.lent_blob(image, blob), &mut blobs);
            }
        }
        Self(Arc::new(blobs))
    }

    fn find(&self, digest: &str) -> Result<&PathBuf, Status> {
        let found = self.0.get(digest);
        found.ok_or_else(|| Status::not_found(format!("{digest} is no part of an image of this build")))
    }
}

/// All that an image is made of, by the digests that its documents name.
fn gather(image: &Digest, place: &dyn Fn(&Digest) -> Option<PathBuf>, blobs: &mut BTreeMap<String, PathBuf>) {
    let mut documents = vec![image.clone()];
    let mut read = 0;
    while let Some(digest) = documents.pop() {
        let Some(path) = place(&digest).filter(|path| path.is_file()) else {
            continue;
        };
        read += 1;
        if read > MOST || blobs.insert(digest.to_string(), path.clone()).is_some() {
            continue;
        }
        let mut text = Vec::new();
        let file = File::open(path).map(|file| file.take(LONGEST_DOCUMENT));
        if !file.is_ok_and(|mut file| file.read_to_end(&mut text).is_ok()) {
            continue;
        }
        let document: Value = serde_json::from_slice(&text).unwrap_or_default();
        let named = |pointer: &Value| {
            pointer["digest"]
                .as_str()
                .and_then(|digest| digest.parse::<Digest>().ok())
        };
        documents.extend(
            document["manifests"]
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(named),
        );
        let parts = document["layers"]
            .as_array()
            .into_iter()
            .flatten()
            .chain([&document["config"]]);
        for blob in parts.filter_map(named) {
            if let Some(path) = place(&blob).filter(|path| path.is_file()) {
                blobs.insert(blob.to_string(), path);
            }
        }
    }
}

pub(super) type Reading = ReceiverStream<Result<ReadResponse, Status>>;

impl Layouts {
    pub(super) fn info(&self, request: &InfoRequest) -> Result<Response<InfoResponse>, Status> {
        let path = self.find(&request.digest)?;
        let metadata = path
            .metadata()
            .map_err(|error| Status::not_found(error.to_string()))?;
        Ok(Response::new(InfoResponse {
            info: Some(Info {
                digest: request.digest.clone(),
                size: i64::try_from(metadata.len()).unwrap_or(i64::MAX),
            }),
        }))
    }

    pub(super) fn read(&self, request: &ReadRequest) -> Result<Response<Reading>, Status> {
        let unreadable = |error: std::io::Error| Status::not_found(error.to_string());
        let path = self.find(&request.digest)?;
        let offset = u64::try_from(request.offset).map_err(|_| Status::out_of_range("an offset below 0"))?;
        let mut file = File::open(path).map_err(unreadable)?;
        file.seek(SeekFrom::Start(offset)).map_err(unreadable)?;
        let most = u64::try_from(request.size).ok().filter(|size| *size > 0);
        let (sender, receiver) = mpsc::channel(4);
        tokio::task::spawn_blocking(move || pieces(file.take(most.unwrap_or(u64::MAX)), offset, &sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }
}

/// Sends a file on, piece by piece. Blocks.
fn pieces(mut file: impl std::io::Read, offset: u64, sender: &mpsc::Sender<Result<ReadResponse, Status>>) {
    let mut offset = i64::try_from(offset).unwrap_or(i64::MAX);
    loop {
        let mut data = Vec::with_capacity(PIECE);
        let read = (&mut file).take(PIECE as u64).read_to_end(&mut data);
        let message = match read {
            Ok(0) => return,
            Ok(_) => {
                let at = offset;
                offset = offset.saturating_add(i64::try_from(data.len()).unwrap_or(0));
                Ok(ReadResponse { offset: at, data })
            }
            Err(error) => Err(Status::data_loss(error.to_string())),
        };
        let last = message.is_err();
        if sender.blocking_send(message).is_err() || last {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio_stream::StreamExt as _;

    #[tokio::test]
    async fn parts_of_the_build_s_images_are_read_and_nothing_else() {
        let folder = tempfile::tempdir().unwrap();
        let write = |text: &str| {
            let digest = Digest::of(text.as_bytes());
            std::fs::write(folder.path().join(digest.hex()), text).unwrap();
            digest
        };
        let (layer, config, other) = (write("a layer"), write("{}"), write("not of it"));
        let manifest = write(&format!(
            "{{\"config\":{{\"digest\":\"{config}\"}},\"layers\":[{{\"digest\":\"{layer}\"}}]}}"
        ));
        let index = write(&format!("{{\"manifests\":[{{\"digest\":\"{manifest}\"}}]}}"));
        let mut blobs = BTreeMap::new();
        gather(&index, &|blob| Some(folder.path().join(blob.hex())), &mut blobs);
        let layouts = Layouts(Arc::new(blobs));
        for known in [&index, &manifest, &config, &layer] {
            let digest = known.to_string();
            assert!(layouts.info(&InfoRequest { digest }).is_ok(), "{known}");
        }
        let digest = other.to_string();
        assert!(
            layouts
                .info(&InfoRequest {
                    digest: digest.clone()
                })
                .is_err()
        );
        let (offset, size) = (2, 3);
        assert!(layouts.read(&ReadRequest { digest, offset, size }).is_err());
        let digest = layer.to_string();
        let mut read = layouts
            .read(&ReadRequest { digest, offset, size })
            .unwrap()
            .into_inner();
        let piece = read.next().await.unwrap().unwrap();
        assert_eq!((piece.offset, piece.data.as_slice()), (2, b"lay".as_slice()));
        assert!(read.next().await.is_none());
    }
}

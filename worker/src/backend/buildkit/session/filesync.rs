//! Files of a build context, as the daemon asks for them.
//!
//! We send what there is, entry by entry in the order of their paths; the daemon asks for the content of those that it
//! does not have, by their number; we send that in pieces. Both say when they are done.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::io::Read as _;
use std::sync::Arc;

use bollard_buildkit_proto::fsutil::types::packet::PacketType;
use bollard_buildkit_proto::fsutil::types::{Packet, Stat};
use bollard_buildkit_proto::moby::filesync::v1::file_sync_server::FileSync;
use percent_encoding::percent_decode_str;
use stagewright_core::digest::Digest;
use stagewright_core::ignore::Ignore;
use stagewright_core::protocol::ContextEntryKind;
use tokio::sync::mpsc;
use tokio_stream::wrappers::ReceiverStream;
use tonic::metadata::MetadataMap;
use tonic::{Request, Response, Status, Streaming};

use super::follow;
use crate::backend::embedded::ContextFilter;
use crate::content::ContentStore;
use crate::source::local::{Manifest, ManifestEntry};

/// Bytes of a file in one packet.
const PIECE: usize = 128 << 10;
/// 2000-01-01, in nanoseconds: the time that files of a context have, as with our own backend.
const CONTEXT_TIME: i64 = 946_684_800_000_000_000;

/// Where Go's file modes have what is not a permission.
const DIRECTORY: u32 = 1 << 31;
const SYMLINK: u32 = 1 << 27;
const SETUID: u32 = 1 << 23;
const SETGID: u32 = 1 << 22;
const STICKY: u32 = 1 << 20;

/// The contexts of this build.
pub(super) struct Files {
    contexts: BTreeMap<String, Arc<Manifest>>,
    content: ContentStore,
}

impl Files {
    pub(super) fn new(contexts: BTreeMap<String, Arc<Manifest>>, content: ContentStore) -> Self {
        Self { contexts, content }
    }
}

type Packets = mpsc::Sender<Result<Packet, Status>>;

#[tonic::async_trait]
impl FileSync for Files {
    type DiffCopyStream = ReceiverStream<Result<Packet, Status>>;
    type TarStreamStream = ReceiverStream<Result<Packet, Status>>;

    async fn diff_copy(
        &self,
        request: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::DiffCopyStream>, Status> {
        let wanted = Wanted::read(request.metadata())?;
        let Some(manifest) = self.contexts.get(&wanted.name) else {
            return Err(Status::not_found(format!(
                "the build was given no context {:?}",
                wanted.name
            )));
        };
        let manifest = Arc::clone(manifest);
        let listing = tokio::task::spawn_blocking(move || wanted.listing(&manifest.entries)).await;
        let listing = listing.map_err(|error| Status::internal(error.to_string()))??;
        let (sender, receiver) = mpsc::channel(64);
        tokio::spawn(send(listing, self.content.clone(), request.into_inner(), sender));
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn tar_stream(
        &self,
        _: Request<Streaming<Packet>>,
    ) -> Result<Response<Self::TarStreamStream>, Status> {
        Err(Status::unimplemented("ask by DiffCopy"))
    }
}

/// What the daemon asks for.
#[derive(Debug, Default, PartialEq)]
struct Wanted {
    name: String,
    include: Vec<String>,
    exclude: Vec<String>,
    follow: Vec<String>,
}

impl Wanted {
    fn read(metadata: &MetadataMap) -> Result<Self, Status> {
        Ok(Self {
            name: values(metadata, "dir-name")?
                .into_iter()
                .next()
                .unwrap_or_default(),
            include: values(metadata, "include-patterns")?,
            exclude: values(metadata, "exclude-patterns")?,
            follow: values(metadata, "followpaths")?,
        })
    }

    /// What is sent: what is needed, included and not excluded, and the directories above it. Blocks as long as it takes to
    /// compare all names.
    fn listing(&self, entries: &BTreeMap<String, ManifestEntry>) -> Result<Listing, Status> {
        let patterns = |patterns: &[String]| Ignore::of(patterns).map_err(Status::invalid_argument);
        let filter = ContextFilter {
            include: patterns(&self.include)?,
            exclude: patterns(&self.exclude)?,
        };
        let needed = follow::needed(entries, &self.follow);
        let kept = filter.left_of(entries, |path| {
            needed.as_ref().is_none_or(|needed| needed.has(path))
        });
        let mut listing: Listing = kept.into_iter().collect();
        listing.sort_by_cached_key(|(path, _)| sorted(path));
        Ok(listing)
    }
}

type Listing = Vec<(String, ManifestEntry)>;

/// A path as the daemon wants them sorted: what is under a directory comes before what only begins with its name.
fn sorted(path: &str) -> Vec<u8> {
    let byte = |byte| if byte == b'/' { 0 } else { byte };
    path.bytes().map(byte).collect()
}

/// The values of a key, which are encoded as in an address where they are not ASCII.
fn values(metadata: &MetadataMap, key: &str) -> Result<Vec<String>, Status> {
    let flag = metadata.get(format!("{key}-encoded").as_str());
    let encoded = flag.is_some_and(|flag| ["1", "true"].iter().any(|yes| flag == yes));
    let values = metadata.get_all(key).iter().map(|value| {
        let text = value.to_str().ok()?;
        if encoded {
            decoded(text)
        } else {
            Some(text.to_owned())
        }
    });
    let read: Option<Vec<String>> = values.collect();
    read.ok_or_else(|| Status::invalid_argument(format!("{key} cannot be read")))
}

/// `%C3%A4+b` is `ä b`.
fn decoded(text: &str) -> Option<String> {
    let text = text.replace('+', " ");
    let decoded = percent_decode_str(&text).decode_utf8();
    decoded.ok().map(Cow::into_owned)
}

fn stat(path: &str, entry: &ManifestEntry) -> Stat {
    let mut mode = entry.mode & 0o777;
    for (bit, go) in [(0o4000, SETUID), (0o2000, SETGID), (0o1000, STICKY)] {
        if entry.mode & bit != 0 {
            mode |= go;
        }
    }
    let mut stat = Stat {
        path: path.to_owned(),
        mod_time: CONTEXT_TIME,
        ..Stat::default()
    };
    match &entry.kind {
        ContextEntryKind::Directory => mode |= DIRECTORY,
        ContextEntryKind::Symlink { target } => {
            mode |= SYMLINK;
            stat.linkname.clone_from(target);
        }
        ContextEntryKind::File { size, .. } => stat.size = i64::try_from(*size).unwrap_or(i64::MAX),
    }
    stat.mode = mode;
    stat
}

fn packet(kind: PacketType) -> Packet {
    Packet {
        r#type: kind.into(),
        ..Packet::default()
    }
}

/// Sends the listing, and the content of what is asked for.
async fn send(listing: Listing, content: ContentStore, mut asked: Streaming<Packet>, packets: Packets) {
    let (ask, asks) = mpsc::channel::<(u32, Digest)>(128);
    let blobs: Vec<Option<Digest>> = listing
        .iter()
        .map(|(_, entry)| entry.content().map(|(digest, _)| digest.clone()))
        .collect();
    let walk = {
        let packets = packets.clone();
        async move {
            for (path, entry) in &listing {
                let mut packet = packet(PacketType::PacketStat);
                packet.stat = Some(stat(path, entry));
                if packets.send(Ok(packet)).await.is_err() {
                    return;
                }
            }
            // An empty one ends the listing.
            _ = packets.send(Ok(packet(PacketType::PacketStat))).await;
        }
    };
    let reading = {
        let packets = packets.clone();
        tokio::task::spawn_blocking(move || contents(&content, asks, &packets))
    };
    let answer = async {
        while let Ok(Some(message)) = asked.message().await {
            match PacketType::try_from(message.r#type) {
                Ok(PacketType::PacketReq) => {
                    let place = usize::try_from(message.id).ok();
                    let Some(Some(digest)) = place.and_then(|place| blobs.get(place)) else {
                        let status = Status::invalid_argument(format!("there is no file {}", message.id));
                        _ = packets.send(Err(status)).await;
                        return;
                    };
                    if ask.send((message.id, digest.clone())).await.is_err() {
                        return;
                    }
                }
                Ok(PacketType::PacketFin) => {
                    _ = packets.send(Ok(packet(PacketType::PacketFin))).await;
                    return;
                }
                Ok(PacketType::PacketErr) | Err(_) => return,
                Ok(PacketType::PacketStat | PacketType::PacketData) => {}
            }
        }
    };
    tokio::join!(walk, answer);
    drop(ask);
    _ = reading.await;
}

/// Sends the content of one file after the other. Blocks.
fn contents(content: &ContentStore, mut asks: mpsc::Receiver<(u32, Digest)>, packets: &Packets) {
    while let Some((id, digest)) = asks.blocking_recv() {
        let sent = content
            .open_checked(&digest)
            .map_err(|error| error.to_string())
            .and_then(|mut file| {
                let data = |data: Vec<u8>| {
                    let mut packet = packet(PacketType::PacketData);
                    (packet.id, packet.data) = (id, data);
                    packets.blocking_send(Ok(packet)).is_ok()
                };
                loop {
                    let mut piece = Vec::with_capacity(PIECE);
                    let read = (&mut file).take(PIECE as u64).read_to_end(&mut piece);
                    let last = read.map_err(|error| error.to_string())? == 0;
                    // An empty piece is the end.
                    if !data(piece) || last {
                        return Ok(());
                    }
                }
            });
        if let Err(error) = sent {
            let mut packet = packet(PacketType::PacketErr);
            packet.data = format!("a file of the build context cannot be read: {error}").into_bytes();
            _ = packets.blocking_send(Ok(packet));
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tonic::metadata::MetadataValue;

    fn metadata(pairs: &[(&'static str, &str)]) -> MetadataMap {
        let mut metadata = MetadataMap::new();
        for (key, value) in pairs {
            metadata.append(*key, MetadataValue::try_from(*value).unwrap());
        }
        metadata
    }

    fn file(mode: u32) -> ManifestEntry {
        let kind = ContextEntryKind::File {
            digest: Digest::of(b"x"),
            size: 1,
        };
        ManifestEntry { mode, kind }
    }

    fn directory() -> ManifestEntry {
        ManifestEntry {
            mode: 0o755,
            kind: ContextEntryKind::Directory,
        }
    }

    #[test]
    fn what_is_asked_for_is_read_with_its_encoding() {
        let read = Wanted::read(&metadata(&[
            ("dir-name", "context"),
            ("followpaths", "a"),
            ("followpaths", "b%"),
            ("exclude-patterns", "%C3%A4+b"),
            ("exclude-patterns-encoded", "1"),
        ]));
        let wanted = Wanted {
            name: "context".into(),
            exclude: vec!["ä b".into()],
            follow: vec!["a".into(), "b%".into()],
            ..Wanted::default()
        };
        assert_eq!(read.unwrap(), wanted);
        assert!(Wanted::read(&metadata(&[("followpaths", "%ff"), ("followpaths-encoded", "1")])).is_err());
    }

    #[test]
    fn entries_come_in_the_order_of_a_walk_with_what_is_above_them() {
        let entries = BTreeMap::from([
            ("a".to_owned(), directory()),
            ("a-b".to_owned(), file(0o644)),
            ("a/one".to_owned(), file(0o644)),
            ("a/two.tmp".to_owned(), file(0o644)),
            ("c".to_owned(), directory()),
            ("c/deep".to_owned(), directory()),
            ("c/deep/x".to_owned(), file(0o644)),
        ]);
        let listed = |wanted: &Wanted| -> Vec<String> {
            let listing = wanted.listing(&entries).unwrap();
            listing.into_iter().map(|(path, _)| path).collect()
        };
        assert_eq!(
            listed(&Wanted::default()),
            ["a", "a/one", "a/two.tmp", "a-b", "c", "c/deep", "c/deep/x"]
        );
        let wanted = Wanted {
            exclude: vec!["**/*.tmp".into(), "c".into(), "!c/deep/x".into()],
            ..Wanted::default()
        };
        assert_eq!(listed(&wanted), ["a", "a/one", "a-b", "c", "c/deep", "c/deep/x"]);
        let wanted = Wanted {
            include: vec!["a".into()],
            follow: vec!["a/one".into(), "c".into()],
            ..Wanted::default()
        };
        assert_eq!(listed(&wanted), ["a", "a/one"]);
    }

    #[test]
    fn modes_are_go_s() {
        assert_eq!(stat("a", &file(0o4755)).mode, 0o755 | SETUID);
        assert_eq!(stat("a", &file(0o1644)).mode, 0o644 | STICKY);
        assert_eq!(stat("a", &directory()).mode, 0o755 | DIRECTORY);
        let link = ManifestEntry {
            mode: 0o777,
            kind: ContextEntryKind::Symlink { target: "b".into() },
        };
        let stat = stat("a", &link);
        assert_eq!((stat.mode, stat.linkname.as_str()), (0o777 | SYMLINK, "b"));
    }
}

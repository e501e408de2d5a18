//! A whole definition as BuildKit's client writes it to a file (`pb.Definition`): the ops, what is known of each, and
//! where in a source each was written.
//!
//! What is known of an op is no part of its digest. Nothing here is needed to plan; it is what `buildctl build` takes,
//! and what it can be asked to give.

use std::collections::BTreeMap;

use prost::Message as _;

use super::{DecodeError, Vertices};

/// `pb.Definition`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Definition {
    /// The marshalled ops, each after its inputs; the last is the terminal one.
    #[prost(bytes = "vec", repeated, tag = "1")]
    pub ops: Vec<Vec<u8>>,
    /// What is known of each, by digest.
    #[prost(btree_map = "string, message", tag = "2")]
    pub metadata: BTreeMap<String, Metadata>,
    /// Where each was written.
    #[prost(message, optional, tag = "3")]
    pub source: Option<Source>,
}

/// What is known of an op (`pb.OpMetadata`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata {
    /// Whether it is asked never to come from the cache.
    #[prost(bool, tag = "1")]
    pub ignore_cache: bool,
    /// For people and tools: `llb.customname`, `com.docker.dockerfile.v1.command`.
    #[prost(btree_map = "string, string", tag = "2")]
    pub description: BTreeMap<String, String>,
    /// What is done with its cache.
    #[prost(message, optional, tag = "4")]
    pub export_cache: Option<ExportCache>,
    /// What a solver has to be capable of.
    #[prost(btree_map = "string, bool", tag = "5")]
    pub caps: BTreeMap<String, bool>,
    /// Ops that progress shows as one.
    #[prost(message, optional, tag = "6")]
    pub progress_group: Option<ProgressGroup>,
}

/// The key of the name that progress shows, in [`Metadata::description`].
pub const CUSTOM_NAME: &str = "llb.customname";

/// The key of the instruction as it was written, in [`Metadata::description`].
pub const COMMAND: &str = "com.docker.dockerfile.v1.command";

/// `pb.ExportCache`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct ExportCache {
    /// Whether it is exported.
    #[prost(bool, tag = "1")]
    pub value: bool,
}

/// Ops that progress shows as one (`pb.ProgressGroup`).
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct ProgressGroup {
    /// The same for all of them.
    #[prost(string, tag = "1")]
    pub id: String,
    /// What to call it.
    #[prost(string, tag = "2")]
    pub name: String,
    /// Whether it stands aside for what is shown by itself.
    #[prost(bool, tag = "3")]
    pub weak: bool,
}

/// Where ops were written (`pb.Source`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct Source {
    /// By digest.
    #[prost(btree_map = "string, message", tag = "1")]
    pub locations: BTreeMap<String, Locations>,
    /// The files.
    #[prost(message, repeated, tag = "2")]
    pub infos: Vec<SourceInfo>,
}

/// `pb.Locations`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Locations {
    /// Every place that the op was written at.
    #[prost(message, repeated, tag = "1")]
    pub locations: Vec<Location>,
}

/// `pb.Location`.
#[derive(Clone, PartialEq, Eq, prost::Message)]
pub struct Location {
    /// Index into [`Source::infos`].
    #[prost(int32, tag = "1")]
    pub source_index: i32,
    /// What of the file it is.
    #[prost(message, repeated, tag = "2")]
    pub ranges: Vec<Range>,
}

/// `pb.Range`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Range {
    /// Where it begins.
    #[prost(message, optional, tag = "1")]
    pub start: Option<Position>,
    /// Where it ends.
    #[prost(message, optional, tag = "2")]
    pub end: Option<Position>,
}

/// `pb.Position`.
#[derive(Clone, Copy, PartialEq, Eq, prost::Message)]
pub struct Position {
    /// From 1.
    #[prost(int32, tag = "1")]
    pub line: i32,
    /// From 0; Dockerfiles are told by lines only.
    #[prost(int32, tag = "2")]
    pub character: i32,
}

/// A file that ops were written in (`pb.SourceInfo`).
#[derive(Clone, PartialEq, prost::Message)]
pub struct SourceInfo {
    /// Its name.
    #[prost(string, tag = "1")]
    pub filename: String,
    /// Its text.
    #[prost(bytes = "vec", tag = "2")]
    pub data: Vec<u8>,
    /// How to get it, a definition again, left as the bytes it is.
    #[prost(bytes = "vec", tag = "3")]
    pub definition: Vec<u8>,
    /// Its language.
    #[prost(string, tag = "4")]
    pub language: String,
}

impl Definition {
    /// What `buildctl build` reads from its standard input.
    pub fn to_bytes(&self) -> Vec<u8> {
        self.encode_to_vec()
    }

    /// Reads a definition. `bytes` may come from anyone: ops are decoded, checked and linked.
    pub fn decode(bytes: &[u8]) -> Result<(Self, Vertices), DecodeError> {
        let definition = <Self as prost::Message>::decode(bytes)
            .map_err(|error| DecodeError::Malformed(error.to_string()))?;
        let vertices = Vertices::decode(&definition.ops)?;
        Ok((definition, vertices))
    }

    /// What is known of the op of this digest.
    pub fn metadata_of(&self, digest: &str) -> Option<&Metadata> {
        self.metadata.get(digest)
    }

    /// Every place at which the op of this digest was written.
    pub fn places_of(&self, digest: &str) -> impl Iterator<Item = &Location> {
        let locations = self
            .source
            .as_ref()
            .and_then(|source| source.locations.get(digest));
        locations.into_iter().flat_map(|found| &found.locations)
    }
}

impl Range {
    /// A line as a whole.
    pub fn line(line: u32) -> Self {
        let position = Position {
            line: i32::try_from(line).unwrap_or(i32::MAX),
            character: 0,
        };
        Self {
            start: Some(position),
            end: Some(position),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Input, Op, OpKind, SourceOp, marshal};
    use super::*;
    use crate::digest::Digest;

    fn definition() -> Definition {
        let op = marshal(&Op {
            kind: Some(OpKind::Source(SourceOp::new(
                "docker-image://a".into(),
                Vec::new(),
            ))),
            ..Op::default()
        });
        let digest = Digest::of(&op);
        let terminal = marshal(&Op {
            inputs: vec![Input {
                digest: digest.clone(),
                index: 0,
            }],
            ..Op::default()
        });
        let metadata = Metadata {
            description: [(CUSTOM_NAME.to_owned(), "a".to_owned())].into(),
            caps: [("source.image".to_owned(), true)].into(),
            ..Metadata::default()
        };
        Definition {
            ops: vec![op, terminal],
            metadata: [(digest.to_string(), metadata)].into(),
            source: None,
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        let written = definition();
        let (read, vertices) = Definition::decode(&written.to_bytes()).unwrap();
        assert_eq!(read, written);
        assert_eq!(vertices.ops.len(), 1);
    }

    #[test]
    fn definitions_that_do_not_hold_together_are_refused() {
        let mut broken = definition();
        broken.ops.reverse();
        assert!(Definition::decode(&broken.to_bytes()).is_err());
        assert!(Definition::decode(b"\xff\xff").is_err());
        assert!(
            Definition::decode(&[]).is_ok(),
            "an empty definition is an empty image"
        );
    }
}

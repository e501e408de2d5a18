//! What whoever builds an image may choose of how it is put together.

use std::collections::BTreeMap;

/// How an image is put together. Left alone, it comes out as it always does.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ImageOptions {
    /// The annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
    /// How its layers are written.
    pub encoding: Encoding,
    /// Whether layers that came with a base image are written anew where they are encoded otherwise.
    pub encode_all: bool,
    /// `SOURCE_DATE_EPOCH`, in seconds since 1970: nothing that the image says of itself is later.
    pub epoch: Option<i64>,
    /// Whether that holds for the files in its new layers too.
    pub rewrite_timestamps: bool,
    /// Whether nobody takes the image itself, as where only its files are wanted: then its layers are named in the
    /// manifest without being there.
    pub unmade: bool,
}

/// How a layer's tar becomes a blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// gzip, with its level from 0 to 9.
    Gzip(u8),
    /// Zstandard, with its level from 1 to 22.
    Zstd(u8),
    /// The tar as it is.
    Plain,
}

impl Default for Encoding {
    /// gzip, which every engine reads.
    fn default() -> Self {
        Self::Gzip(Self::GZIP_LEVEL)
    }
}

impl Encoding {
    /// The level of gzip where none is asked for. Our compressor's levels go further than those of others: with this one
    /// 210 MB of programs and libraries become 84.3 MB, with `BuildKit`'s default 84.5 MB, and with our level 6, which takes
    /// a third longer, 82.3 MB.
    pub const GZIP_LEVEL: u8 = 4;
    /// The level of Zstandard where none is asked for. The same programs and libraries become 82.4 MB, and with `BuildKit`'s
    /// default 80.2 MB. The library's own default, 3, makes 78.4 MB, and takes two fifths more of the processors' time.
    pub const ZSTD_LEVEL: u8 = 2;

    /// The blob's media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Gzip(_) => "application/vnd.oci.image.layer.v1.tar+gzip",
            Self::Zstd(_) => "application/vnd.oci.image.layer.v1.tar+zstd",
            Self::Plain => "application/vnd.oci.image.layer.v1.tar",
        }
    }

    /// What blobs of this encoding are kept under.
    pub(super) fn folder(self) -> String {
        match self {
            Self::Gzip(Self::GZIP_LEVEL) => "gzip".to_owned(),
            Self::Gzip(level) => format!("gzip-{level}"),
            Self::Zstd(level) => format!("zstd-{level}"),
            Self::Plain => "plain".to_owned(),
        }
    }
}

//! What a share link carries: the files of a playground, what was chosen there, and what is looked at.
//!
//! ```text
//! https://…/#s=<base64url, without padding, of>
//!     1 byte     the version: 1
//!     4 bytes    FNV-1a of the JSON, most significant byte first
//!     the rest   the JSON of a [`Link`], deflated without a header
//! ```
//!
//! Links stay where they were put for years: what is written here is read for ever. A field may be added, and is empty
//! in older links; anything else is another version. Deflating is left to who makes and opens links: a browser does it
//! by itself.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

/// The only version there is.
pub const VERSION: u8 = 1;

/// Links whose JSON is longer are not opened. It is far more than fits into any address, but deflated it may be little.
pub const MAX_JSON: usize = 1 << 20;

/// Many programs that addresses are sent with cut off longer ones.
pub const LONG: usize = 8_000;

/// Everything in a link. What is empty is not written.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Link {
    /// In the order of their tabs.
    pub files: Vec<LinkedFile>,
    /// The Dockerfile that is planned; the first one where none is named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub dockerfile: String,
    /// The file that is looked at; the Dockerfile where none is named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub shown: String,
    /// The stage to stop at.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub target: String,
    /// The platform to build for, such as `linux/arm64`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub platform: String,
    /// The tab that is shown; the drawing where none is named.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub view: String,
    /// Build args that were set.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub build_args: BTreeMap<String, String>,
    /// Files that are not in the link, because they are large, or too many.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

/// A file in a link.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct LinkedFile {
    /// Relative to the context's root.
    pub path: String,
    /// All of it.
    pub text: String,
    /// Whether that is base64, because it is no text.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub encoded: bool,
    /// What it is for, where its name does not say it: `dockerfile`, `context`, `script`, `ignore`, `about`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub role: String,
}

impl LinkedFile {
    /// A file that holds text.
    pub fn text(path: &str, text: &str) -> Self {
        Self {
            path: path.into(),
            text: text.into(),
            ..Self::default()
        }
    }

    /// A file that holds anything else.
    pub fn binary(path: &str, bytes: &[u8]) -> Self {
        Self {
            encoded: true,
            ..Self::text(path, &STANDARD.encode(bytes))
        }
    }

    /// What is in a file that is no text; `None` where it is text, or cannot be decoded.
    pub fn decoded(&self) -> Option<Vec<u8>> {
        self.encoded.then(|| STANDARD.decode(&self.text).ok())?
    }
}

/// FNV-1a of 32 bits: tells a link that was cut or retyped from a whole one.
pub fn checksum(json: &[u8]) -> u32 {
    json.iter().fold(0x811c_9dc5, |sum: u32, byte| {
        (sum ^ u32::from(*byte)).wrapping_mul(0x0100_0193)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_published_one() {
        for (text, sum) in [("", 0x811c_9dc5), ("a", 0xe40c_292c), ("foobar", 0xbf9c_f968)] {
            assert_eq!(checksum(text.as_bytes()), sum, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_text_comes_out_as_it_went_in() {
        let bytes = [0, 255, 10, 13];
        assert_eq!(LinkedFile::binary("logo.png", &bytes).decoded().unwrap(), bytes);
        assert_eq!(LinkedFile::text("a", "AP8K").decoded(), None);
        let broken = LinkedFile {
            text: "!".into(),
            ..LinkedFile::binary("b", &bytes)
        };
        assert_eq!(broken.decoded(), None);
    }

    #[test]
    fn what_is_empty_is_not_written_and_what_is_unknown_is_passed_over() {
        let link = Link {
            files: vec![LinkedFile::text("Dockerfile", "FROM scratch\n")],
            ..Link::default()
        };
        let json = serde_json::to_string(&link).unwrap();
        assert_eq!(
            json,
            r#"{"files":[{"path":"Dockerfile","text":"FROM scratch\n"}]}"#
        );
        let later = r#"{"files":[{"path":"Dockerfile","text":"FROM scratch\n","new":1}],"new":[]}"#;
        assert_eq!(serde_json::from_str::<Link>(later).unwrap(), link);
    }
}

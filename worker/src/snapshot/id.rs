//! The names of snapshots.

use std::fmt;
use std::str::FromStr;

use stagewright_core::digest::Digest;

/// The name of a finished layer: 1 to 128 of `A-Z a-z 0-9 - _`, so that it is always safe as a file name.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId(String);

/// The text cannot name a snapshot.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} cannot name a snapshot: 1 to 128 letters, digits, '-' or '_' are allowed")]
pub struct InvalidSnapshotId(pub String);

impl SnapshotId {
    /// The name as it stands in the file system.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for SnapshotId {
    type Err = InvalidSnapshotId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let well_formed = (1..=128).contains(&text.len())
            && text
                .bytes()
                .all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        if well_formed {
            Ok(Self(text.to_owned()))
        } else {
            Err(InvalidSnapshotId(text.to_owned()))
        }
    }
}

/// The 64 hex digits: every digest names a snapshot.
impl From<&Digest> for SnapshotId {
    fn from(digest: &Digest) -> Self {
        Self(digest.hex().to_owned())
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_safe_file_names_become_ids() {
        assert!("deadbeef".parse::<SnapshotId>().is_ok());
        for bad in ["", ".", "..", "a/b", "a.b", "a\0", "\u{e9}", &"a".repeat(129)] {
            assert!(bad.parse::<SnapshotId>().is_err(), "{bad:?}");
        }
    }
}

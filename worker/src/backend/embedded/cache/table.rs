//! What is remembered, by kind.

use redb::TableDefinition;
use serde::{Deserialize, Serialize};

/// A table of the database. Keys and values are text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Table {
    /// Results of steps, by the step's key.
    Results,
    /// Checksums of files that never change.
    Checksums,
    /// What addresses gave.
    Fetched,
    /// How steps last looked.
    Steps,
}

impl Table {
    pub(super) const ALL: [Self; 4] = [Self::Results, Self::Checksums, Self::Fetched, Self::Steps];

    pub(super) fn definition(self) -> TableDefinition<'static, &'static str, &'static [u8]> {
        TableDefinition::new(match self {
            Self::Results => "results",
            // A table called `checksums` was of another type.
            Self::Checksums => "sums",
            Self::Fetched => "fetched",
            Self::Steps => "steps",
        })
    }
}

//! Platforms, as `--platform` and images name them.

use std::fmt;

use serde::{Deserialize, Serialize};

/// An operating system and processor architecture (OCI image index specification, `platform`).
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `linux`, `windows`, …
    pub os: String,
    /// `amd64`, `arm64`, … in Go's names.
    pub architecture: String,
    /// `v7` in `linux/arm/v7`; empty where there is none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub variant: String,
}

impl Default for Platform {
    /// `linux/amd64`.
    fn default() -> Self {
        Self {
            os: "linux".into(),
            architecture: "amd64".into(),
            variant: String::new(),
        }
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}", self.os, self.architecture)?;
        if !self.variant.is_empty() {
            write!(formatter, "/{}", self.variant)?;
        }
        Ok(())
    }
}

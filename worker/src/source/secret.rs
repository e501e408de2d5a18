//! Secrets: values that a build's steps may ask for by id, and that are kept nowhere.
//!
//! They reach a step as a variable or as a file in memory. No cache key, layer, record or log has them, and what
//! prints one of these types prints no value.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use zeroize::Zeroizing;

/// The bytes that a secret may have at most; the reference's own limit.
pub const MAX_SECRET: usize = 500 * 1024;

/// A secret's value. Its memory is wiped when the last that has it lets go.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<Zeroizing<Vec<u8>>>);

impl Secret {
    /// This value.
    pub fn new(value: Vec<u8>) -> Self {
        Self(Arc::new(Zeroizing::new(value)))
    }

    /// The value itself. It is for the step alone.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret")
    }
}

/// The secrets that a build was given, by id.
#[derive(Debug, Clone, Default)]
pub struct Secrets {
    by_id: BTreeMap<String, Origin>,
}

/// Where a secret's value is.
#[derive(Debug, Clone)]
enum Origin {
    Value(Secret),
    /// Read anew each time a step asks.
    File(PathBuf),
}

/// Why a secret that was given cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum SecretError {
    /// Its file cannot be read.
    #[error("the secret {id:?} cannot be read from {}: {source}", .path.display())]
    Unreadable {
        /// Which secret.
        id: String,
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// It is larger than [`MAX_SECRET`].
    #[error(
        "the secret {id:?} is larger than {most} KiB: hand a file of that size over in a build context of its own"
    )]
    TooLarge {
        /// Which secret.
        id: String,
        /// What it may have at most.
        most: usize,
    },
}

impl Secrets {
    /// Gives `value` to the steps that ask for `id`.
    pub fn add_value(&mut self, id: impl Into<String>, value: Secret) {
        self.by_id.insert(id.into(), Origin::Value(value));
    }

    /// Gives what is in a file, when they ask, to the steps that ask for `id`.
    pub fn add_file(&mut self, id: impl Into<String>, path: impl Into<PathBuf>) {
        self.by_id.insert(id.into(), Origin::File(path.into()));
    }

    /// What there is, by id.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.by_id.keys().map(String::as_str)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.by_id.is_empty()
    }

    /// The value of a secret; `None` where there is none of that id.
    ///
    /// # Errors
    /// Where it was given as a file that cannot be read, or is too large.
    pub fn get(&self, id: &str) -> Result<Option<Secret>, SecretError> {
        let value = match self.by_id.get(id) {
            None => return Ok(None),
            Some(Origin::Value(value)) => value.clone(),
            Some(Origin::File(path)) => read(path).map_err(|source| SecretError::Unreadable {
                id: id.to_owned(),
                path: path.clone(),
                source,
            })?,
        };
        if value.reveal().len() > MAX_SECRET {
            return Err(SecretError::TooLarge {
                id: id.to_owned(),
                most: MAX_SECRET / 1024,
            });
        }
        Ok(Some(value))
    }
}

/// A file's content, or one byte more than a secret may have.
fn read(path: &Path) -> io::Result<Secret> {
    // At its full size from the start: growing would leave copies behind.
    let mut value = Zeroizing::new(Vec::with_capacity(MAX_SECRET + 1));
    let limit = MAX_SECRET as u64 + 1;
    File::open(path)?.take(limit).read_to_end(&mut value)?;
    Ok(Secret(Arc::new(value)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_given_and_never_printed() {
        let mut secrets = Secrets::default();
        secrets.add_value("token", Secret::new(b"hunter2".to_vec()));
        assert_eq!(secrets.get("token").unwrap().unwrap().reveal(), b"hunter2");
        assert!(secrets.get("other").unwrap().is_none());
        assert!(!format!("{secrets:?} {:?}", secrets.get("token")).contains("hunter2"));
    }

    #[test]
    fn a_file_is_read_when_it_is_asked_for() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("token");
        let mut secrets = Secrets::default();
        secrets.add_file("token", &path);
        let missing = secrets.get("token").unwrap_err().to_string();
        assert!(
            missing.contains("\"token\"") && missing.contains("No such file"),
            "{missing}"
        );
        std::fs::write(&path, "later").unwrap();
        assert_eq!(secrets.get("token").unwrap().unwrap().reveal(), b"later");
        std::fs::write(&path, vec![0; MAX_SECRET + 1]).unwrap();
        assert!(matches!(secrets.get("token"), Err(SecretError::TooLarge { .. })));
    }
}

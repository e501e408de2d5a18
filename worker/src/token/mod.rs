//! Tokens: what a program shows to a worker that it asks from afar, and what it may ask for by that.
//!
//! They are kept in one file of the state folder, which commands and a worker at work share. What is kept of a token is
//! its sha256 and never the token itself. The file is replaced as a whole, by one writer at a time.

pub(crate) mod secret;
mod verifier;

use std::collections::BTreeSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use secret::{Fingerprint, Secret};

pub use verifier::{Bearer, Verifier};

/// How every token begins, so that people and programs that look for lost secrets know one when they see it.
pub const PREFIX: &str = "sw_";
const FILE: &str = "tokens.json";
const LOCK: &str = "tokens.lock";
/// The longest name: it stands in lists.
const LONGEST_NAME: usize = 64;

/// What a token allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Ask for plans and checks, which build nothing.
    Plan,
    /// Send contexts, and start, follow, cancel and forget builds.
    Build,
    /// Have a build bring its image to a registry, together with [`Scope::Build`].
    Push,
    /// All of it.
    Admin,
}

impl Scope {
    /// Its name, as it is written.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plan => "plan",
            Self::Build => "build",
            Self::Push => "push",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        [Self::Plan, Self::Build, Self::Push, Self::Admin]
            .into_iter()
            .find(|scope| scope.name() == text)
            .ok_or_else(|| format!("{text:?} is no scope; there are plan, build, push and admin"))
    }
}

/// Several scopes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Scopes(BTreeSet<Scope>);

impl Scopes {
    /// Whether `scope` is allowed: by its own name, because all is, or because whoever may build may see what it would be.
    pub fn allow(&self, scope: Scope) -> bool {
        let has = |scope| self.0.contains(&scope);
        has(scope) || has(Scope::Admin) || scope == Scope::Plan && has(Scope::Build)
    }
}

impl FromIterator<Scope> for Scopes {
    fn from_iter<T: IntoIterator<Item = Scope>>(scopes: T) -> Self {
        Self(scopes.into_iter().collect())
    }
}

impl fmt::Display for Scopes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<&str> = self.0.iter().map(|scope| scope.name()).collect();
        formatter.write_str(&names.join(", "))
    }
}

/// What is known of a token; not the token.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Token {
    /// Names it for ever: eight hex digits.
    pub id: String,
    /// What its owner calls it; no two have one name.
    pub name: String,
    /// What it allows.
    pub scopes: Scopes,
    /// sha256 of the token's text.
    sha256: String,
    /// When it was made, RFC 3339.
    pub created: String,
    /// From when on it is good no more; `None` is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires: Option<String>,
    /// The day on which it was last shown to a worker. No more than the day is kept, so that the file does not change with
    /// every request and tells little of its owner's habits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<String>,
}

impl Token {
    /// Whether its time is over. What cannot be read as a time is over.
    pub fn expired(&self, now: OffsetDateTime) -> bool {
        self.expires
            .as_deref()
            .is_some_and(|expires| OffsetDateTime::parse(expires, &Rfc3339).map_or(true, |time| time <= now))
    }
}

#[derive(Default, Serialize, Deserialize)]
struct Stored {
    tokens: Vec<Token>,
}

/// Why the tokens could not be read or changed.
#[derive(Debug, thiserror::Error)]
pub enum TokenError {
    /// The file or its folder does not let us.
    #[error("cannot {action} the tokens in {path}: {source}", path = path.display())]
    Io {
        /// As a verb.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file is none of ours.
    #[error("the tokens in {path} cannot be read: {reason}; remove the file to begin without any", path = path.display())]
    Broken {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The name cannot be given.
    #[error("{0}")]
    Name(String),
    /// No token has this name or id.
    #[error("there is no token {0:?}")]
    Unknown(String),
    /// The system gives no random numbers.
    #[error("the system gives no random numbers, so no token can be made")]
    NoRandomness,
}

/// The tokens of one state folder.
#[derive(Debug, Clone)]
pub struct Tokens {
    state: PathBuf,
}

impl Tokens {
    /// The tokens kept in the folder `state`. Nothing is written before the first is made.
    pub fn of(state: &Path) -> Self {
        Self {
            state: state.to_owned(),
        }
    }

    /// Makes a token and returns it, this once, with what is kept of it.
    pub fn create(
        &self,
        name: Option<&str>,
        scopes: Scopes,
        lifetime: Option<Duration>,
    ) -> Result<(String, Token), TokenError> {
        let mut id = [0; 4];
        getrandom::fill(&mut id).map_err(|_| TokenError::NoRandomness)?;
        let id = format!("{:08x}", u32::from_be_bytes(id));
        let name = name.unwrap_or(&id).to_owned();
        if name.is_empty() || name.chars().count() > LONGEST_NAME || name.chars().any(char::is_control) {
            return Err(TokenError::Name(format!(
                "{name:?} is no name for a token; write 1 to {LONGEST_NAME} letters"
            )));
        }
        let secret = Secret::random().map_err(|_| TokenError::NoRandomness)?;
        let text = format!("{PREFIX}{}", secret.expose());
        let now = OffsetDateTime::now_utc();
        let expires =
            lifetime.map(|lifetime| now.saturating_add(lifetime.try_into().unwrap_or(time::Duration::MAX)));
        let token = Token {
            id,
            name,
            scopes,
            sha256: Fingerprint::of(&text).to_text(),
            created: written(now),
            expires: expires.map(written),
            last_used: None,
        };
        let kept = token.clone();
        self.change(|tokens| {
            // An id of another token would be ambiguous as a name.
            if let Some(other) = tokens
                .iter()
                .find(|other| other.name == kept.name || other.id == kept.name)
            {
                return Err(TokenError::Name(format!(
                    "there is a token {:?} already, made on {}; revoke it or choose another name",
                    other.name,
                    day(&other.created)
                )));
            }
            tokens.push(kept);
            Ok(())
        })?;
        Ok((text, token))
    }

    /// All of them, oldest first.
    pub fn list(&self) -> Result<Vec<Token>, TokenError> {
        let path = self.path();
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice::<Stored>(&text)
                .map(|stored| stored.tokens)
                .map_err(|error| TokenError::Broken {
                    path,
                    reason: error.to_string(),
                }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(source) => Err(self.failed("read", source)),
        }
    }

    /// Takes the token with this name or id away: from then on it opens nothing.
    pub fn revoke(&self, name: &str) -> Result<Token, TokenError> {
        self.change(|tokens| {
            let place = tokens
                .iter()
                .position(|token| token.name == name || token.id == name)
                .ok_or_else(|| TokenError::Unknown(name.to_owned()))?;
            Ok(tokens.remove(place))
        })
    }

    /// Notes the day on which a token was used.
    pub fn note_use(&self, id: &str, day: &str) -> Result<(), TokenError> {
        self.change(|tokens| {
            if let Some(token) = tokens.iter_mut().find(|token| token.id == id) {
                token.last_used = Some(day.to_owned());
            }
            Ok(())
        })
    }

    /// Reads, changes and replaces the file while no other process does.
    fn change<T>(
        &self,
        change: impl FnOnce(&mut Vec<Token>) -> Result<T, TokenError>,
    ) -> Result<T, TokenError> {
        let lock = self.lock().map_err(|error| self.failed("lock", error))?;
        let mut tokens = self.list()?;
        let changed = change(&mut tokens)?;
        self.replace(&Stored { tokens })
            .map_err(|error| self.failed("write", error))?;
        drop(lock);
        Ok(changed)
    }

    fn lock(&self) -> io::Result<File> {
        fs::DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(&self.state)?;
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(self.state.join(LOCK))?;
        lock.lock()?;
        Ok(lock)
    }

    fn replace(&self, stored: &Stored) -> io::Result<()> {
        // For its owner only, as all files of this kind are made.
        let mut file = tempfile::Builder::new()
            .prefix("tokens.")
            .suffix(".new")
            .tempfile_in(&self.state)?;
        file.write_all(&serde_json::to_vec_pretty(stored)?)?;
        file.as_file().sync_all()?;
        file.persist(self.path())?;
        File::open(&self.state)?.sync_all()
    }

    fn path(&self) -> PathBuf {
        self.state.join(FILE)
    }

    fn failed(&self, action: &'static str, source: io::Error) -> TokenError {
        TokenError::Io {
            action,
            path: self.path(),
            source,
        }
    }
}

/// To the second: more says nothing to anybody.
fn written(time: OffsetDateTime) -> String {
    let time = time.replace_nanosecond(0).unwrap_or(time);
    // Only a year beyond 9999 cannot be written.
    time.format(&Rfc3339)
        .unwrap_or_else(|_| "9999-12-31T23:59:59Z".to_owned())
}

/// The day of an RFC 3339 time.
pub fn day(time: &str) -> &str {
    time.split('T').next().unwrap_or_default()
}

#[cfg(test)]
mod tests;

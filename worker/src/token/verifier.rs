//! A worker's view of the tokens: which of them is shown to it, if any.

use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use time::OffsetDateTime;

use super::secret::Fingerprint;
use super::{PREFIX, Scopes, Token, TokenError, Tokens, day, written};
use crate::stamp::Stamp;

/// Who showed a good token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bearer {
    /// The token's id.
    pub id: String,
    /// What it allows.
    pub scopes: Scopes,
    /// Whether this is its first use today, which is to be noted.
    pub first_today: bool,
}

/// Reads the tokens again whenever their file was replaced, so that one that was just made is good and one that was
/// just revoked is not.
#[derive(Debug)]
pub struct Verifier {
    tokens: Tokens,
    known: Mutex<Known>,
}

#[derive(Debug, Default)]
struct Known {
    /// Tells one file from the one that took its place.
    stamp: Stamp,
    tokens: Vec<(Fingerprint, Token)>,
}

impl Verifier {
    /// For the tokens in `state`, which have to be readable now.
    pub fn open(state: &Path) -> Result<Self, TokenError> {
        let tokens = Tokens::of(state);
        tokens.list()?;
        Ok(Self {
            tokens,
            known: Mutex::default(),
        })
    }

    /// Whether there is a token that is good now.
    pub fn any(&self) -> bool {
        let now = OffsetDateTime::now_utc();
        self.fresh().tokens.iter().any(|(_, token)| !token.expired(now))
    }

    /// Who shows `text`; `None` where it is no token, or is good no more. All tokens are compared, whichever fits, so that
    /// the time taken says nothing of which one did.
    pub fn verify(&self, text: &str) -> Option<Bearer> {
        if !text.starts_with(PREFIX) {
            return None;
        }
        let given = Fingerprint::of(text);
        let now = OffsetDateTime::now_utc();
        let mut known = self.fresh();
        let mut found = None;
        for (place, (fingerprint, _)) in known.tokens.iter().enumerate() {
            if fingerprint.is(&given) {
                found = Some(place);
            }
        }
        let (_, token) = known.tokens.get_mut(found?)?;
        if token.expired(now) {
            return None;
        }
        let today = written(now);
        let today = day(&today);
        let first_today = token.last_used.as_deref() != Some(today);
        if first_today {
            // Others that come before it is written need not write it too.
            token.last_used = Some(today.to_owned());
        }
        Some(Bearer {
            id: token.id.clone(),
            scopes: token.scopes.clone(),
            first_today,
        })
    }

    /// Notes that a token was used today. Writes to disk.
    pub fn note_use(&self, id: &str) {
        if let Err(error) = self.tokens.note_use(id, day(&written(OffsetDateTime::now_utc()))) {
            tracing::warn!(%error, "the use of a token was not noted");
        }
    }

    /// What is known of the tokens, after a look whether the file is another by now. One that cannot be read lets nobody in.
    fn fresh(&self) -> MutexGuard<'_, Known> {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        let stamp = Stamp::of(&self.tokens.path());
        if stamp != known.stamp {
            let (tokens, stamp) = match self.tokens.list() {
                Ok(tokens) => (tokens, stamp),
                Err(error) => {
                    // The next who comes tries again: what failed may have been the disk, and not the file.
                    tracing::warn!(%error, "no token is good");
                    (Vec::new(), Stamp::default())
                }
            };
            known.tokens = tokens
                .into_iter()
                .filter_map(|token| Some((Fingerprint::from_text(&token.sha256)?, token)))
                .collect();
            known.stamp = stamp;
        }
        known
    }
}

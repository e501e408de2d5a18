//! Who a client is: a token that the worker printed, exchanged once for a session.
//!
//! The token is shown on the terminal, so whoever has it can see the terminal. It is good for one exchange; after
//! that the worker shows another, for another browser. Sessions outlive the worker: what is kept of them is a hash,
//! in the state folder.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};
use stagewright_core::protocol::Hello;

use super::limits::Limits;
use crate::token::secret::{Fingerprint, Secret};
use crate::whole_file;

/// The oldest sessions are forgotten past this many.
const MAX_SESSIONS: usize = 256;
const FILE: &str = "sessions.json";

/// Why a client was not let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("a token is needed: open the address that the worker printed last, with the token at its end")]
    Nothing,
    #[error(
        "this token or session is not valid: a token works once, and never after the worker was restarted. \
         Open the address that the worker printed last"
    )]
    Wrong,
    #[error("there were too many wrong tokens; wait a few seconds and try again")]
    TooMany,
    #[error("the worker got no random numbers from the system, so nobody can be let in")]
    NoRandomness,
}

/// The file with the sessions could not be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the sessions in {path}: {reason}; remove the file to begin without any", path = path.display())]
pub struct SessionsError {
    path: PathBuf,
    reason: String,
}

/// The token in force and the sessions.
pub(super) struct Credentials {
    path: PathBuf,
    /// Tells the owner of a fresh token.
    announce: Box<dyn Fn(&Secret) + Send + Sync>,
    inner: Mutex<Inner>,
    attempts: u32,
    attempt_every: Duration,
}

struct Inner {
    token: Option<Fingerprint>,
    /// Oldest first.
    sessions: VecDeque<Session>,
    /// Failures not yet worked off, and since when.
    failures: u32,
    counted: Instant,
}

#[derive(Debug, Clone)]
struct Session {
    fingerprint: Fingerprint,
    created: String,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    sessions: Vec<StoredSession>,
}

#[derive(Serialize, Deserialize)]
struct StoredSession {
    sha256: String,
    created: String,
}

impl Credentials {
    /// Reads the sessions in `state`. No token is good before [`Credentials::renew_token`].
    pub(super) fn open(
        state: &Path,
        limits: &Limits,
        announce: impl Fn(&Secret) + Send + Sync + 'static,
    ) -> Result<Self, SessionsError> {
        let path = state.join(FILE);
        let sessions = read(&path).map_err(|reason| SessionsError {
            path: path.clone(),
            reason,
        })?;
        Ok(Self {
            path,
            announce: Box::new(announce),
            inner: Mutex::new(Inner {
                token: None,
                sessions,
                failures: 0,
                counted: Instant::now(),
            }),
            attempts: limits.attempts.max(1),
            attempt_every: limits.attempt_every,
        })
    }

    /// Puts a fresh token in force in place of any other, and announces it.
    pub(super) fn renew_token(&self) -> Result<(), Refusal> {
        let token = Secret::random().map_err(|_| Refusal::NoRandomness)?;
        self.lock().token = Some(token.fingerprint());
        (self.announce)(&token);
        Ok(())
    }

    /// Lets a client in and returns its session: the one it had, or a fresh one for its token. A session is tried
    /// first, so that a token that comes along with a good one stays good for another client.
    pub(super) fn admit(&self, hello: &Hello) -> Result<String, Refusal> {
        let fresh = {
            let mut inner = self.lock();
            inner.forgive(self.attempt_every);
            // Nobody's guesses keep those out who were let in before.
            if let Some(session) = hello.session.as_deref().filter(|session| inner.knows(session)) {
                return Ok(session.to_owned());
            }
            if inner.failures >= self.attempts {
                return Err(Refusal::TooMany);
            }
            let Some(token) = hello.token.as_deref() else {
                if hello.session.is_none() {
                    return Err(Refusal::Nothing);
                }
                inner.failures += 1;
                return Err(Refusal::Wrong);
            };
            if !inner.token.is_some_and(|good| good.is(&Fingerprint::of(token))) {
                inner.failures += 1;
                return Err(Refusal::Wrong);
            }
            let fresh = Secret::random().map_err(|_| Refusal::NoRandomness)?;
            inner.token = None;
            inner.sessions.push_back(Session {
                fingerprint: fresh.fingerprint(),
                created: crate::backend::timestamp(),
            });
            while inner.sessions.len() > MAX_SESSIONS {
                inner.sessions.pop_front();
            }
            if let Err(error) = write(&self.path, &inner.sessions) {
                tracing::warn!(path = %self.path.display(), %error, "a session was not stored and ends with this worker");
            }
            fresh
        };
        self.renew_token()?;
        Ok(fresh.expose().to_owned())
    }

    /// Whether `text` is a session. Guesses are not counted here: whoever asks in this way is counted by its address.
    pub(super) fn knows(&self, text: &str) -> bool {
        self.lock().knows(text)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// All are compared, whichever fits, so that the time taken says nothing of which one did.
    fn knows(&self, session: &str) -> bool {
        let given = Fingerprint::of(session);
        self.sessions
            .iter()
            .fold(false, |known, session| known | session.fingerprint.is(&given))
    }

    fn forgive(&mut self, every: Duration) {
        let elapsed = self.counted.elapsed();
        let forgiven = if every.is_zero() {
            u128::MAX
        } else {
            elapsed.as_nanos() / every.as_nanos()
        };
        if forgiven > 0 {
            self.failures = self
                .failures
                .saturating_sub(u32::try_from(forgiven).unwrap_or(u32::MAX));
            self.counted = Instant::now();
        }
    }
}

fn read(path: &Path) -> Result<VecDeque<Session>, String> {
    let text = match fs::read_to_string(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(VecDeque::new()),
        Err(error) => return Err(error.to_string()),
    };
    let stored: Stored = serde_json::from_str(&text).map_err(|error| error.to_string())?;
    stored
        .sessions
        .into_iter()
        .map(|StoredSession { sha256, created }| {
            let fingerprint =
                Fingerprint::from_text(&sha256).ok_or_else(|| format!("{sha256:?} is no sha256"))?;
            Ok(Session { fingerprint, created })
        })
        .collect()
}

fn write(path: &Path, sessions: &VecDeque<Session>) -> io::Result<()> {
    let sessions = sessions
        .iter()
        .map(|session| StoredSession {
            sha256: session.fingerprint.to_text(),
            created: session.created.clone(),
        })
        .collect();
    whole_file::replace(path, &serde_json::to_vec_pretty(&Stored { sessions })?)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    struct Desk {
        credentials: Credentials,
        announced: Arc<Mutex<Vec<String>>>,
    }

    fn desk(state: &Path, limits: &Limits) -> Desk {
        let announced = Arc::new(Mutex::new(Vec::new()));
        let shown = Arc::clone(&announced);
        let credentials = Credentials::open(state, limits, move |token| {
            shown.lock().unwrap().push(token.expose().into());
        })
        .unwrap();
        credentials.renew_token().unwrap();
        Desk {
            credentials,
            announced,
        }
    }

    impl Desk {
        fn token(&self) -> String {
            self.announced.lock().unwrap().last().unwrap().clone()
        }
    }

    fn with_token(token: &str) -> Hello {
        Hello {
            token: Some(token.into()),
            session: None,
        }
    }

    fn with_session(session: &str) -> Hello {
        Hello {
            token: None,
            session: Some(session.into()),
        }
    }

    #[test]
    fn token_works_once_and_its_session_outlives_the_worker() {
        let state = tempfile::tempdir().unwrap();
        let first = desk(state.path(), &Limits::default());
        let token = first.token();
        let session = first.credentials.admit(&with_token(&token)).unwrap();
        assert_eq!(first.credentials.admit(&with_token(&token)), Err(Refusal::Wrong));
        assert_ne!(first.token(), token);
        assert_eq!(
            first.credentials.admit(&with_session(&session)).as_ref(),
            Ok(&session)
        );

        let second = desk(state.path(), &Limits::default());
        assert_eq!(
            second.credentials.admit(&with_session(&session)).as_ref(),
            Ok(&session)
        );
        assert_eq!(
            second.credentials.admit(&with_token(&first.token())),
            Err(Refusal::Wrong)
        );
        let stored = fs::read_to_string(state.path().join(FILE)).unwrap();
        assert!(!stored.contains(&session));
    }

    #[test]
    fn good_session_leaves_the_token_to_others() {
        let state = tempfile::tempdir().unwrap();
        let desk = desk(state.path(), &Limits::default());
        let session = desk.credentials.admit(&with_token(&desk.token())).unwrap();
        let token = desk.token();
        let both = Hello {
            token: Some(token.clone()),
            session: Some(session.clone()),
        };
        assert_eq!(desk.credentials.admit(&both).unwrap(), session);
        assert_eq!(desk.token(), token);
        // A session from another worker does not stand in the way of a good token.
        let with_stale = Hello {
            token: Some(token),
            session: Some("stale".into()),
        };
        assert!(desk.credentials.admit(&with_stale).is_ok());
    }

    #[test]
    fn wrong_tokens_are_counted_and_close_the_door_for_a_while() {
        let state = tempfile::tempdir().unwrap();
        let patient = Limits {
            attempts: 3,
            attempt_every: Duration::from_hours(1),
            ..Limits::default()
        };
        let desk = desk(state.path(), &patient);
        let session = desk.credentials.admit(&with_token(&desk.token())).unwrap();
        assert_eq!(desk.credentials.admit(&Hello::default()), Err(Refusal::Nothing));
        for _ in 0..3 {
            assert_eq!(desk.credentials.admit(&with_token("guess")), Err(Refusal::Wrong));
        }
        assert_eq!(
            desk.credentials.admit(&with_token(&desk.token())),
            Err(Refusal::TooMany)
        );
        // Who was let in before comes in all the same.
        let known = Hello {
            token: None,
            session: Some(session.clone()),
        };
        assert_eq!(desk.credentials.admit(&known), Ok(session));
        desk.credentials.lock().counted -= Duration::from_secs(3601);
        assert!(desk.credentials.admit(&with_token(&desk.token())).is_ok());
    }

    #[test]
    fn sessions_file_is_for_its_owner_only_and_garbage_in_it_is_said() {
        use std::os::unix::fs::PermissionsExt as _;
        let state = tempfile::tempdir().unwrap();
        let desk = desk(state.path(), &Limits::default());
        desk.credentials.admit(&with_token(&desk.token())).unwrap();
        let path = state.path().join(FILE);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::write(&path, "{").unwrap();
        let error = Credentials::open(state.path(), &Limits::default(), |_| ())
            .err()
            .unwrap();
        assert!(error.to_string().contains("remove the file"), "{error}");
    }
}

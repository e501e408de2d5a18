//! Who asks, and whether they may.
//!
//! A program shows a token (`Authorization: Bearer sw_…`), the page its session in the same place. What a request needs
//! stands beside its address ([`super::v1`]); it is looked at before anything of the request's body is.

use std::net::{IpAddr, Ipv6Addr};

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};

use super::App;
use super::problem::Problem;
use crate::token::secret::Fingerprint;
use crate::token::{PREFIX, Scope, Scopes};

/// The other end of a connection.
#[derive(Debug, Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Whose bucket a request is taken from.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Who {
    /// Nobody who is known, from this address.
    Address(IpAddr),
    /// The token with this id.
    Token(String),
    /// The session with this fingerprint.
    Session(String),
}

/// What an address asks of its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Nothing: it tells nobody anything.
    Nothing,
    /// A token, whatever it allows, or a session on this machine.
    Acquaintance,
    /// A token that allows this, or a session where sessions do.
    Scope(Scope),
    /// As [`Need::Scope`] with [`Scope::Build`], for pieces of contexts, of which there are many.
    Upload,
}

/// Somebody who was let in.
#[derive(Debug, Clone)]
pub(super) struct Caller {
    who: Who,
    scopes: Scopes,
}

impl Caller {
    /// Who it is, for the worker's log: a token's id, never a token.
    pub(super) fn name(&self) -> &str {
        match &self.who {
            Who::Token(id) => id,
            Who::Session(_) => "the page",
            Who::Address(_) => "nobody",
        }
    }

    /// Refuses where the caller may not do that, in its own sentence.
    pub(super) fn needs(&self, scope: Scope) -> Result<(), Problem> {
        if self.scopes.allow(scope) {
            return Ok(());
        }
        let has = match &self.who {
            Who::Session(_) => "the page's session".to_owned(),
            Who::Token(_) | Who::Address(_) => format!("this token, which is for {},", self.scopes),
        };
        Err(Problem::new(
            StatusCode::FORBIDDEN,
            format!(
                "That takes the scope {scope}, and {has} does not have it. Make another with `stagewright token create \
                 --scope …`."
            ),
        ))
    }
}

/// Lets a request through to its address, or refuses it.
pub(super) async fn admit(
    State((app, need)): State<(App, Need)>,
    mut request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<Peer>().map_or(
        // There is none where no connection was: only a test calls the router itself.
        IpAddr::V6(Ipv6Addr::UNSPECIFIED),
        |peer| network(peer.0),
    );
    match allowed(&app, need, peer, request.headers()) {
        Ok(caller) => {
            if let Some(caller) = caller {
                request.extensions_mut().insert(caller);
            }
            next.run(request).await
        }
        Err(problem) => problem.into_response(),
    }
}

fn allowed(app: &App, need: Need, peer: IpAddr, headers: &HeaderMap) -> Result<Option<Caller>, Problem> {
    let slow_down = |wait| {
        Problem::new(
            StatusCode::TOO_MANY_REQUESTS,
            "That was asked for too often. Wait as long as Retry-After says, and ask less often.",
        )
        .retry_after(wait)
    };
    if need == Need::Nothing {
        app.asking.take(&Who::Address(peer)).map_err(slow_down)?;
        return Ok(None);
    }
    let caller = match known(app, headers) {
        Ok(caller) => caller,
        Err(problem) => {
            // Only those who are not let in are counted by their address, so that nobody keeps others out.
            app.refused.take(&peer).map_err(slow_down)?;
            return Err(problem);
        }
    };
    let buckets = if need == Need::Upload {
        &app.uploading
    } else {
        &app.asking
    };
    buckets.take(&caller.who).map_err(slow_down)?;
    match need {
        Need::Acquaintance if matches!(caller.who, Who::Session(_)) && !peer.is_loopback() => {
            return Err(Problem::new(
                StatusCode::FORBIDDEN,
                "A session is good for that on the worker's own machine only. Use a token.",
            ));
        }
        Need::Nothing | Need::Acquaintance => {}
        Need::Scope(scope) => caller.needs(scope)?,
        Need::Upload => caller.needs(Scope::Build)?,
    }
    Ok(Some(caller))
}

/// Who shows a good token or session.
fn known(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    let unauthorized = |detail: &str, challenge| {
        Problem::new(StatusCode::UNAUTHORIZED, detail)
            .with(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge))
    };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let text = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().ok().and_then(bearer),
        _ => None,
    };
    let Some(text) = text else {
        return Err(unauthorized(
            "That takes a token, as `Authorization: Bearer sw_…`. `stagewright token create` makes one.",
            "Bearer",
        ));
    };
    if let Some(bearer) = app.tokens.verify(text) {
        if bearer.first_today {
            let (app, id) = (App::clone(app), bearer.id.clone());
            tokio::task::spawn_blocking(move || app.tokens.note_use(&id));
        }
        return Ok(Caller {
            who: Who::Token(bearer.id),
            scopes: bearer.scopes,
        });
    }
    if !text.starts_with(PREFIX) && app.credentials.knows(text) {
        return Ok(Caller {
            who: Who::Session(Fingerprint::of(text).to_text()),
            scopes: [Scope::Plan, Scope::Build].into_iter().collect(),
        });
    }
    Err(unauthorized(
        "This token is not good here: it is unknown, was revoked, or its time is over. `stagewright token list` lists those \
         that are good, and `stagewright token create` makes another.",
        "Bearer error=\"invalid_token\"",
    ))
}

/// The token of `Bearer TOKEN`.
fn bearer(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ')?;
    let token = token.trim_matches(' ');
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Who has one IPv6 address mostly has 2^64 of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from(u128::from(address) >> 64 << 64))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_read_from_the_one_scheme_there_is() {
        assert_eq!(bearer("Bearer sw_x"), Some("sw_x"));
        assert_eq!(bearer("bearer  sw_x "), Some("sw_x"));
        for wrong in ["", "Bearer", "Bearer ", "Basic c3c6eA==", "sw_x"] {
            assert_eq!(bearer(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn neighbours_in_one_network_are_one_stranger() {
        let of = |text: &str| network(text.parse().unwrap());
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert!(of("::1").is_loopback() && of("127.0.0.1").is_loopback());
    }
}

//! Hooks: somebody who hosts repositories tells of a push. What proves who that is comes with the message; there is no token.

use axum::Json;
use axum::body::Body;
use axum::extract::{Path, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, Uri, header};
use axum::response::{IntoResponse as _, Response};

use super::super::problem::Problem;
use super::super::{App, body};
use super::failure::sentence;
use super::{blocking, query};
use crate::hook::{DeliveryReport, HookError, Outcome};

/// Takes a message. Neither its signature nor anything of its text is looked at where nobody could have signed it.
pub(super) async fn receive(
    State(app): State<App>,
    Path(name): Path<String>,
    uri: Uri,
    headers: HeaderMap,
    body: Body,
) -> Result<Response, Problem> {
    let query::None {} = query::read(&uri)?;
    let header = |name: &str| headers.get(name)?.to_str().ok().map(str::to_owned);
    let message = app.hooks.expect(&name, &header)?;
    // Whoever knows the name of a hook can send as much as this, and no more at a time than there is room for.
    let Ok(_room) = app.hooking.try_acquire() else {
        return Err(Problem::new(
            StatusCode::SERVICE_UNAVAILABLE,
            "Too many messages come at once. Send this one again later.",
        )
        .retry_after(app.limits.hook_time));
    };
    let reading = body::whole(&app, &headers, body, app.limits.hook_bytes);
    let read = tokio::time::timeout(app.limits.hook_time, reading).await;
    let text = read.unwrap_or_else(|_| Err(body::too_slow()))?;
    let hooks = app.hooks.clone();
    let answer = blocking(move || Ok(hooks.receive(&message, &text)?)).await?;
    let status = match answer.outcome {
        Outcome::Built => StatusCode::ACCEPTED,
        Outcome::Ignored | Outcome::Known => StatusCode::OK,
    };
    Ok((status, Json(answer)).into_response())
}

/// What came for a hook, newest first.
pub(super) async fn deliveries(
    State(app): State<App>,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Json<Vec<DeliveryReport>>, Problem> {
    let query::None {} = query::read(&uri)?;
    let hooks = app.hooks.clone();
    blocking(move || Ok(Json(hooks.deliveries(&name)?))).await
}

impl From<HookError> for Problem {
    fn from(error: HookError) -> Self {
        let temporary = error.is_temporary();
        let status = match &error {
            HookError::Unknown(_) => StatusCode::NOT_FOUND,
            HookError::Unsigned(_) | HookError::Forged | HookError::Stale => StatusCode::UNAUTHORIZED,
            HookError::Request(_) if temporary => StatusCode::SERVICE_UNAVAILABLE,
            HookError::Payload(_) | HookError::Request(_) => StatusCode::UNPROCESSABLE_ENTITY,
            HookError::Record(_) => StatusCode::INTERNAL_SERVER_ERROR,
        };
        let problem = Self::new(status, sentence(&error.to_string()));
        if status == StatusCode::UNAUTHORIZED {
            // Such an answer has to say by what else it would be.
            problem.with(header::WWW_AUTHENTICATE, HeaderValue::from_static("Signature"))
        } else if temporary {
            problem.retry_after(std::time::Duration::from_mins(1))
        } else {
            problem
        }
    }
}

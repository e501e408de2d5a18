//! What a client may ask for, once it is known.
//!
//! `hello` and `build.attach` are the connection's own ([`super::connection`]): the one comes before all others, the
//! other goes on after its answer.

use serde_json::Value;
use stagewright_core::protocol::{
    BuildRef, BuildStarted, OfferContext, RequestOutput, ResolveImage, RpcError, StartBuild, Welcome,
    error_code, method,
};

use super::super::App;
use super::errors::IntoRpc as _;
use super::rpc::{error, params, result};
use crate::build::BuildsError;

/// All of them, for a client that asks for something else.
pub(super) const NAMES: [&str; 8] = [
    method::HELLO,
    method::IMAGE_RESOLVE,
    method::CONTEXT_OFFER,
    method::BUILD_START,
    method::BUILD_ATTACH,
    method::BUILD_CANCEL,
    method::BUILD_LIST,
    method::BUILD_OUTPUT,
];

/// What the worker says of itself to a client that it has let in.
pub(super) fn welcome(app: &App, session: String) -> Welcome {
    let description = app.builds.backend().describe();
    Welcome {
        session,
        protocol: stagewright_core::protocol::VERSION,
        version: env!("CARGO_PKG_VERSION").into(),
        platform: description.platform,
        can_build: description.can_build,
        missing: description.missing,
        substitutes: description.substitutes,
        builds: app.builds.list(),
    }
}

/// Carries a call out.
pub(super) async fn call(app: App, name: &str, given: Value) -> Result<Value, RpcError> {
    match name {
        method::IMAGE_RESOLVE => resolve_image(&app, given).await,
        method::CONTEXT_OFFER => offer_context(app, given).await,
        method::BUILD_START => start_build(app, given).await,
        method::BUILD_CANCEL => cancel_build(app, given).await,
        method::BUILD_LIST => blocking(move || result(&app.builds.list())).await,
        method::BUILD_OUTPUT => request_output(app, given).await,
        unknown => Err(error(
            error_code::METHOD_NOT_FOUND,
            format!("there is no method {unknown:?}; there are {}", NAMES.join(", ")),
        )),
    }
}

async fn resolve_image(app: &App, given: Value) -> Result<Value, RpcError> {
    let request: ResolveImage = params(
        given,
        r#"{"reference": "docker.io/library/alpine:latest", "platform": {"os", "architecture"}}"#,
    )?;
    match app.builds.backend().resolve_image(request).await {
        Ok(facts) => result(&facts),
        Err(failure) => Err(failure.into_rpc()),
    }
}

async fn offer_context(app: App, given: Value) -> Result<Value, RpcError> {
    let offer: OfferContext = params(given, r#"{"name", "entries": [{"path", "mode", "kind"}]}"#)?;
    blocking(move || match app.builds.contexts().offer(offer) {
        Ok(answer) => result(&answer),
        Err(failure) => Err(failure.into_rpc()),
    })
    .await
}

async fn start_build(app: App, given: Value) -> Result<Value, RpcError> {
    let request: StartBuild = params(
        given,
        r#"{"ops": [{"bytes", "name"}], "digest", "imageConfig", "contexts", "title", "noCache"}"#,
    )?;
    if app.draining.is_cancelled() {
        return Err(error(
            error_code::UNAVAILABLE,
            "this worker is shutting down; start it again to build",
        ));
    }
    blocking(move || match app.builds.start(request) {
        Ok(id) => result(&BuildStarted { id }),
        Err(failure) => Err(failure.into_rpc()),
    })
    .await
}

async fn cancel_build(app: App, given: Value) -> Result<Value, RpcError> {
    let BuildRef { id } = params(given, r#"{"id"}"#)?;
    blocking(move || {
        app.builds
            .cancel(&id)
            .map(|()| Value::Null)
            .map_err(BuildsError::into_rpc)
    })
    .await
}

async fn request_output(app: App, given: Value) -> Result<Value, RpcError> {
    let RequestOutput { id, format } = params(given, r#"{"id", "format": "oci" or "docker"}"#)?;
    blocking(move || {
        // Asked now, so that a build without an image is an answer here and not a broken download later.
        app.builds.image(&id).map_err(BuildsError::into_rpc)?;
        let title = app
            .builds
            .list()
            .into_iter()
            .find(|build| build.id == id)
            .map(|build| build.title);
        let ready = app
            .tickets
            .issue(&app.limits, id, &title.unwrap_or_default(), format);
        match ready {
            Ok(ready) => result(&ready),
            Err(failure) => Err(error(
                error_code::INTERNAL,
                format!("the system gives no random numbers: {failure}"),
            )),
        }
    })
    .await
}

/// Runs what may touch the disk where it holds nobody else up.
async fn blocking(
    work: impl FnOnce() -> Result<Value, RpcError> + Send + 'static,
) -> Result<Value, RpcError> {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(_) => Err(failed_inside()),
    }
}

/// For a call that ended without an answer of its own. What happened is in the worker's log.
pub(super) fn failed_inside() -> RpcError {
    error(
        error_code::INTERNAL,
        "the worker failed inside; its own output says more",
    )
}

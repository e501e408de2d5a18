//! The API for programs, under `/v1`: a file for each kind of thing it is about.
//!
//! [`operations`] lists all there is, with what each asks of its caller. `openapi.json` describes the same for others;
//! a test compares the two.

mod blobs;
mod builds;
mod contexts;
mod document;
mod events;
mod failure;
mod files;
mod health;
mod hooks;
mod image;
mod layers;
mod logs;
mod metrics;
mod plan;
mod query;

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post, put};

use super::App;
use super::access::{self, Need};
use super::problem::Problem;
use crate::token::Scope;

/// One thing that can be asked for.
struct Operation {
    /// As the document has it.
    #[cfg_attr(not(test), allow(dead_code, reason = "the answer knows it by itself"))]
    method: &'static str,
    path: &'static str,
    need: Need,
    answer: MethodRouter<App>,
}

/// All that can be asked for.
fn operations() -> Vec<Operation> {
    let build = Need::Scope(Scope::Build);
    let of = |method, path, need, answer| Operation {
        method,
        path,
        need,
        answer,
    };
    vec![
        of("post", "/v1/builds", build, post(builds::start)),
        of("get", "/v1/builds", build, get(builds::list)),
        of("get", "/v1/builds/{id}", build, get(builds::show)),
        of("delete", "/v1/builds/{id}", build, delete(builds::forget)),
        of("post", "/v1/builds/{id}/cancel", build, post(builds::cancel)),
        of("get", "/v1/builds/{id}/events", build, get(events::stream)),
        of("get", "/v1/builds/{id}/events/ws", build, get(events::socket)),
        of("get", "/v1/builds/{id}/logs", build, get(logs::logs)),
        of("get", "/v1/builds/{id}/layers", build, get(layers::layers)),
        of("get", "/v1/builds/{id}/image", build, get(image::image)),
        of("get", "/v1/builds/{id}/files", build, get(files::files)),
        of("post", "/v1/plan", Need::Scope(Scope::Plan), post(plan::plan)),
        of("post", "/v1/check", Need::Scope(Scope::Plan), post(plan::check)),
        of("post", "/v1/contexts", build, post(contexts::offer)),
        of(
            "head",
            "/v1/blobs/{digest}",
            Need::Upload,
            axum::routing::head(blobs::standing),
        ),
        of("put", "/v1/blobs/{digest}", Need::Upload, put(blobs::receive)),
        of("post", "/v1/hooks/{name}", Need::Nothing, post(hooks::receive)),
        of(
            "get",
            "/v1/hooks/{name}/deliveries",
            build,
            get(hooks::deliveries),
        ),
        of("get", "/v1/openapi.json", Need::Nothing, get(document::document)),
        of("get", "/healthz", Need::Nothing, get(health::alive)),
        of("get", "/readyz", Need::Nothing, get(health::ready)),
        of("get", "/metrics", Need::Acquaintance, get(metrics::metrics)),
    ]
}

/// The way to each of them.
pub(super) fn router(app: &App) -> Router<App> {
    let mut router = Router::new();
    for Operation {
        path, need, answer, ..
    } in operations()
    {
        let admit = middleware::from_fn_with_state((App::clone(app), need), access::admit);
        // Before the body is looked at, and only where the method is right.
        let answer = answer.route_layer(admit).layer(middleware::from_fn(fresh));
        router = router.route(path, answer);
    }
    router
}

/// What is said of a build now may be otherwise in a moment.
async fn fresh(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
    response
}

/// Runs what may touch the disk where it holds nobody else up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|_| Err(Problem::failed_inside()))
}

#[cfg(test)]
mod tests;

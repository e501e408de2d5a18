//! The playground's files, or a page that says how to get them.

use std::path::{Path, PathBuf};

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use tower_http::services::ServeDir;

use super::App;
use super::problem::Problem;

/// The folder with the playground cannot be served.
#[derive(Debug, thiserror::Error)]
#[error("cannot serve the playground from {path}: {reason}", path = path.display())]
pub struct PageError {
    path: PathBuf,
    reason: String,
}

/// Adds the page to `router`: the files in `directory`, or the built-in page where there is none.
pub(super) fn add(router: Router<App>, directory: Option<&Path>) -> Result<Router<App>, PageError> {
    let Some(directory) = directory else {
        return Ok(router.route("/", get(built_in)).fallback(not_found));
    };
    let index = directory.join("index.html");
    std::fs::File::open(&index).map_err(|error| PageError {
        path: directory.to_owned(),
        reason: format!("{}: {error}", index.display()),
    })?;
    let files = ServeDir::new(directory)
        .precompressed_br()
        .precompressed_gzip()
        .fallback(Router::new().fallback(not_found));
    let files = Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(caching));
    Ok(router.fallback_service(files))
}

async fn built_in() -> Response {
    (
        [(header::CACHE_CONTROL, "no-cache")],
        Html(include_str!("page.html")),
    )
        .into_response()
}

async fn not_found() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "There is nothing at this address.")
}

/// Files whose name holds a hash of their content never change; of all others the browser asks whether they did.
async fn caching(request: Request, next: Next) -> Response {
    let hashed = is_hashed(request.uri().path());
    let mut response = next.run(request).await;
    let found = response.status().is_success() || response.status() == StatusCode::NOT_MODIFIED;
    let caching = match (found, hashed) {
        (true, true) => "public, max-age=31536000, immutable",
        (true, false) => "no-cache",
        (false, _) => "no-store",
    };
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static(caching));
    response
}

/// Whether a name is like `page-0123456789abcdef_bg.wasm`: a part of it is 8 or more hex digits, one of them a digit.
fn is_hashed(path: &str) -> bool {
    let name = path.rsplit('/').next().unwrap_or_default();
    name.split(['-', '_', '.']).skip(1).any(|part| {
        part.len() >= 8
            && part.bytes().all(|byte| byte.is_ascii_hexdigit())
            && part.bytes().any(|byte| byte.is_ascii_digit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_in_a_name_is_told_from_a_word() {
        for hashed in [
            "/web-0a1b2c3d4e5f6789_bg.wasm",
            "/web-0a1b2c3d4e5f6789.js",
            "/x/styles-00ff00ff.css",
        ] {
            assert!(is_hashed(hashed), "{hashed}");
        }
        for plain in [
            "/",
            "/index.html",
            "/editor.js",
            "/examples/href-counter/app.go",
            "/a-facade.js",
            "/12345678",
        ] {
            assert!(!is_hashed(plain), "{plain}");
        }
    }
}

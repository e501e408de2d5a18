//! The playground's files, or a page that says how to get them.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse as _, Response};
use axum::routing::get;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
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
    let directory: Arc<Path> = directory.into();
    let index = directory.join("index.html");
    std::fs::File::open(&index).map_err(|error| PageError {
        path: directory.to_path_buf(),
        reason: format!("{}: {error}", index.display()),
    })?;
    let files = ServeDir::new(&directory)
        .precompressed_br()
        .precompressed_gzip()
        .fallback(Router::new().fallback(not_found));
    let files = Router::new()
        .fallback_service(files)
        .layer(middleware::from_fn(caching));
    let index = get(move |app| document(app, index.into()));
    Ok(router
        .route("/", index.clone())
        .route("/index.html", index)
        .fallback_service(files))
}

async fn built_in() -> Response {
    (
        [(header::CACHE_CONTROL, "no-cache")],
        Html(include_str!("page.html")),
    )
        .into_response()
}

/// The page itself. What it has of scripts in its own text, as bundlers put a starter there, is allowed by its hash. It is
/// read anew each time, since a page that is built again has another.
async fn document(State(app): State<App>, path: Arc<Path>) -> Response {
    let text = match tokio::fs::read_to_string(&path).await {
        Ok(text) => text,
        Err(error) => {
            tracing::warn!(path = %path.display(), %error, "the page cannot be read");
            let detail = "The page cannot be read at the moment. It may just be being built; try again.";
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, detail).into_response();
        }
    };
    let policy = app.headers.policy_allowing(&inline_scripts(&text));
    let headers = [
        (header::CACHE_CONTROL, HeaderValue::from_static("no-cache")),
        (header::CONTENT_SECURITY_POLICY, policy),
    ];
    (headers, Html(text)).into_response()
}

/// The scripts that stand in a page's text, as Content-Security-Policy names them: `'sha256-…'`.
fn inline_scripts(html: &str) -> Vec<String> {
    // ASCII letters only change their case, so places are the same in both.
    let lower = html.to_ascii_lowercase();
    let mut scripts = Vec::new();
    let mut from = 0;
    while let Some(tag) = find(&lower, from, "<script") {
        let Some(begin) = find(&lower, tag, ">").map(|place| place + 1) else {
            break;
        };
        let Some(end) = find(&lower, begin, "</script") else {
            break;
        };
        let attributes = lower.get(tag..begin).unwrap_or_default();
        if !attributes
            .split_ascii_whitespace()
            .any(|attribute| attribute.starts_with("src="))
        {
            let content = html.get(begin..end).unwrap_or_default();
            scripts.push(format!(
                "'sha256-{}'",
                STANDARD.encode(Sha256::digest(content.as_bytes()))
            ));
        }
        from = end;
    }
    scripts
}

fn find(text: &str, from: usize, what: &str) -> Option<usize> {
    text.get(from..)?.find(what).map(|place| from + place)
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
    fn scripts_in_the_text_are_named_by_their_hash() {
        // The first hash is from the Content Security Policy specification, "Usage of hashes".
        let html = "<SCRIPT type=module>alert('Hello, world.');</SCRIPT><script src=a.js></script>\n\
                    <script\n src='b.js' defer></script><p>ß</p><script>let x = '<p>';</script><script>";
        let scripts = inline_scripts(html);
        assert_eq!(scripts.len(), 2);
        assert_eq!(
            scripts[0],
            "'sha256-qznLcsROx4GACP2dm0UCKCzCG+HiZ1guq6ZZDob/Tng='"
        );
    }

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

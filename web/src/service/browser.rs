//! The few things asked of the window.

use wasm_bindgen::prelude::*;
use web_sys::HtmlAnchorElement;

/// Below this width the page shows one pane at a time.
const NARROW: &str = "(max-width: 720px)";

#[wasm_bindgen(raw_module = "./browser.js")]
extern "C" {
    /// Where a tab has the keyboard, an arrow key gives it to the one beside.
    #[wasm_bindgen(js_name = goToTabBeside)]
    pub(crate) fn go_to_tab_beside(key: &web_sys::KeyboardEvent);

    /// Shows a dialog over everything else, which cannot be used until it is closed.
    #[wasm_bindgen(js_name = showModal)]
    pub(crate) fn show_modal(dialog: &web_sys::Node);
}

/// Milliseconds since the page began, to a fraction.
pub(crate) fn stopwatch() -> f64 {
    web_sys::window()
        .and_then(|window| window.performance())
        .map_or(0.0, |performance| performance.now())
}

/// The media query that tells whether the page is narrow.
pub(crate) fn narrow_query() -> Option<web_sys::MediaQueryList> {
    query(NARROW)
}

/// A media query, to ask and to listen to.
pub(crate) fn query(text: &str) -> Option<web_sys::MediaQueryList> {
    web_sys::window()?.match_media(text).ok()?
}

/// Takes `name=…` out of the address's fragment, at once: a token must not stay where it could be copied or logged, and
/// a share link is opened once.
pub(crate) fn take(name: &str) -> Option<String> {
    let window = web_sys::window()?;
    let location = window.location();
    let hash = location.hash().ok()?;
    let mut parts: Vec<&str> = hash
        .trim_start_matches('#')
        .split('&')
        .filter(|part| !part.is_empty())
        .collect();
    let value = |part: &&str| Some(part.strip_prefix(name)?.strip_prefix('=')?.to_owned());
    let (at, value) = parts
        .iter()
        .enumerate()
        .find_map(|(at, part)| Some((at, value(part)?)))?;
    parts.remove(at);
    let rest = if parts.is_empty() {
        String::new()
    } else {
        format!("#{}", parts.join("&"))
    };
    let address = format!("{}{}{rest}", location.pathname().ok()?, location.search().ok()?);
    let history = window.history().ok()?;
    history
        .replace_state_with_url(&JsValue::NULL, "", Some(&address))
        .ok()?;
    (!value.is_empty()).then_some(value)
}

/// The address of the page, without a fragment, and whether it is on this machine alone.
pub(crate) fn address() -> Option<(String, bool)> {
    let location = web_sys::window()?.location();
    let host = location.hostname().ok()?;
    let address = location.href().ok()?;
    let address = address.split('#').next()?.to_owned();
    Some((
        address,
        host == "localhost" || host == "[::1]" || host.starts_with("127."),
    ))
}

/// What an error of JavaScript says.
pub(crate) fn message(error: &JsValue) -> String {
    let error = error.dyn_ref::<js_sys::Error>();
    error
        .map(|error| String::from(error.message()))
        .unwrap_or_default()
}

/// The address of the worker's WebSocket, on the page's own origin. `None` for a page that came from a file.
pub(crate) fn socket_address() -> Option<String> {
    let location = web_sys::window()?.location();
    let scheme = match location.protocol().ok()?.as_str() {
        "http:" => "ws",
        "https:" => "wss",
        _ => return None,
    };
    Some(format!("{scheme}://{}/v1/ws", location.host().ok()?))
}

/// Has the browser download `path` of this origin as `name`.
pub(crate) fn download(path: &str, name: &str) {
    let element = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.create_element("a").ok());
    let Some(Ok(link)) = element.map(JsCast::dyn_into::<HtmlAnchorElement>) else {
        return;
    };
    link.set_href(path);
    link.set_download(name);
    link.unchecked_ref::<web_sys::HtmlElement>().click();
}

//! The playground: a page over `stagewright-core`.
//!
//! [`state`] is all the page knows and knows of no browser; it is compiled and tested natively. Everything else is
//! there for wasm32 only: `service` talks to the browser and the worker, `page` draws.

pub mod state;

#[cfg(target_arch = "wasm32")]
mod page;
#[cfg(target_arch = "wasm32")]
mod service;

/// Puts the page into the document.
#[cfg(target_arch = "wasm32")]
pub fn start() {
    yew::Renderer::<page::App>::new().render();
}

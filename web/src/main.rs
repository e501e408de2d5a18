//! The page's entry. There is nothing to run outside a browser.

#[cfg(target_arch = "wasm32")]
fn main() {
    stagewright_web::start();
}

#[cfg(not(target_arch = "wasm32"))]
fn main() {}

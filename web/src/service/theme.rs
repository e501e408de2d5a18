//! Light or dark: what the system says, unless the person said otherwise here.

use gloo::storage::{LocalStorage, Storage as _};

/// What the person said, `light` or `dark`.
const CHOICE: &str = "stagewright.theme";

/// What the system says, which may be otherwise in the evening.
pub(crate) fn system() -> Option<web_sys::MediaQueryList> {
    super::browser::query("(prefers-color-scheme: dark)")
}

/// Whether the page is dark now.
pub(crate) fn is_dark() -> bool {
    match LocalStorage::raw().get_item(CHOICE).ok().flatten().as_deref() {
        Some("dark") => true,
        Some("light") => false,
        _ => system().is_some_and(|system| system.matches()),
    }
}

/// Makes the page dark or light. What equals the system's choice is not kept, so that the page follows it again.
pub(crate) fn choose(dark: bool) {
    let name = if dark { "dark" } else { "light" };
    if dark == system().is_some_and(|system| system.matches()) {
        LocalStorage::delete(CHOICE);
    } else {
        let _ = LocalStorage::raw().set_item(CHOICE, name);
    }
    apply();
}

/// Tells the style sheet.
pub(crate) fn apply() {
    let root = web_sys::window()
        .and_then(|window| window.document())
        .and_then(|document| document.document_element());
    if let Some(root) = root {
        let _ = root.set_attribute("data-theme", if is_dark() { "dark" } else { "light" });
    }
}

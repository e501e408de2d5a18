//! What the browser keeps for the page. A browser that keeps nothing is fine: then nothing survives a reload.

use gloo::storage::{LocalStorage, SessionStorage, Storage as _};

use crate::state::json;
use crate::state::saved::Saved;

/// The session a worker gave; it is good for all tabs of this origin.
const SESSION: &str = "stagewright.session";
/// The work in this tab.
const WORK: &str = "stagewright.work";

/// The worker's session.
pub(crate) fn session() -> Option<String> {
    LocalStorage::raw().get_item(SESSION).ok()?
}

/// Keeps the worker's session, or forgets it.
pub(crate) fn keep_session(session: Option<&str>) {
    match session {
        Some(session) => {
            let _ = LocalStorage::raw().set_item(SESSION, session);
        }
        None => LocalStorage::delete(SESSION),
    }
}

/// The work as it was before the page was loaded again.
pub(crate) fn work() -> Option<Saved> {
    Saved::read(&SessionStorage::raw().get_item(WORK).ok()??)
}

/// Keeps the work. `false` where it is more than the browser takes.
pub(crate) fn keep_work(saved: &Saved) -> bool {
    let Ok(text) = json::write(saved) else {
        return false;
    };
    SessionStorage::raw().set_item(WORK, &text).is_ok()
}

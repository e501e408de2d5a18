//! What is drawn. Components take parts of the state that compare by address, and report what was done to them
//! to the [`Store`](crate::service::store::Store).

mod app;
mod dialog;
mod files;
mod header;
mod icons;
mod notices;
mod panel;
mod popover;
mod px;
mod view;

pub(crate) use app::App;

use crate::service::link::Link;
use crate::service::store::Store;

/// What every part of the page can reach: the state's store and the worker's link. It never changes.
#[derive(Clone, PartialEq)]
pub(crate) struct Desk {
    pub(crate) store: Store,
    pub(crate) link: Link,
}

impl Desk {
    /// Reports what happened.
    pub(crate) fn dispatch(&self, action: crate::state::Action) {
        self.store.dispatch(action);
    }

    /// A callback that reports the same each time.
    pub(crate) fn report<E>(&self, action: crate::state::Action) -> yew::Callback<E> {
        let store = self.store.clone();
        yew::Callback::from(move |_| store.dispatch(action.clone()))
    }
}

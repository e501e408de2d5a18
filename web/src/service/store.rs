//! Holds the state and tells the page when it changed.

use std::cell::RefCell;
use std::rc::Rc;

use crate::state::{Action, State};

/// The one place the state lives. Cheap to clone; two are equal where they are the same store.
#[derive(Clone)]
pub(crate) struct Store(Rc<Inner>);

struct Inner {
    state: RefCell<Rc<State>>,
    listener: RefCell<Option<Box<dyn Fn()>>>,
}

impl Store {
    /// A store with its first state.
    pub(crate) fn new(state: State) -> Self {
        Self(Rc::new(Inner {
            state: RefCell::new(Rc::new(state)),
            listener: RefCell::new(None),
        }))
    }

    /// The state as it is now.
    pub(crate) fn state(&self) -> Rc<State> {
        Rc::clone(&self.0.state.borrow())
    }

    /// Takes in what happened.
    pub(crate) fn dispatch(&self, action: Action) {
        let next = self.state().after(action, js_sys::Date::now());
        *self.0.state.borrow_mut() = Rc::new(next);
        if let Some(listener) = &*self.0.listener.borrow() {
            listener();
        }
    }

    /// Something to say to the person.
    pub(crate) fn complain(&self, text: impl Into<String>) {
        self.dispatch(Action::Noticed {
            is_error: true,
            text: text.into(),
        });
    }

    /// Calls `listener` after every change; there is one.
    pub(crate) fn listen(&self, listener: impl Fn() + 'static) {
        *self.0.listener.borrow_mut() = Some(Box::new(listener));
    }
}

impl PartialEq for Store {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

//! Keeps a connection to the worker, or finds out that there is none.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use futures_channel::oneshot;
use gloo::timers::callback::Timeout;
use stagewright_core::protocol::{
    AttachBuild, BuildEvent, BuildSummary, Hello, VERSION, Welcome, error_code, method,
};

use super::browser;
use super::rpc::{CallError, Rpc};
use super::storage;
use super::store::Store;
use crate::state::Action;
use crate::state::build::Phase;
use crate::state::connection::Connection;

/// Milliseconds between tries while a worker that was there does not answer: the first, and the most.
const RETRY: (u32, u32) = (300, 5_000);
/// Milliseconds between tries where there never was one.
const RETRY_NOBODY: u32 = 30_000;
/// Events are taken in this often, in milliseconds: about once a frame.
const FRAME: u32 = 16;

/// The connection to the worker. Cheap to clone; two are equal where they are the same.
#[derive(Clone)]
pub(crate) struct Link(Rc<Inner>);

struct Inner {
    store: Store,
    rpc: RefCell<Option<Rc<Rpc>>>,
    token: RefCell<Option<String>>,
    wake: RefCell<Option<oneshot::Sender<()>>>,
    events: RefCell<Vec<BuildEvent>>,
    drain: RefCell<Option<Timeout>>,
    was_online: Cell<bool>,
}

/// How a connection ended.
enum Ended {
    /// Nobody answered.
    Unreachable,
    /// It was there and broke.
    Broke,
    /// The worker does not trust this page.
    Refused(String),
}

impl PartialEq for Link {
    fn eq(&self, other: &Self) -> bool {
        Rc::ptr_eq(&self.0, &other.0)
    }
}

impl Link {
    /// Begins to look for a worker, and goes on for as long as the page lives.
    pub(crate) fn start(store: Store) -> Self {
        let link = Self(Rc::new(Inner {
            store,
            rpc: RefCell::default(),
            token: RefCell::new(browser::take("token")),
            wake: RefCell::default(),
            events: RefCell::default(),
            drain: RefCell::default(),
            was_online: Cell::new(false),
        }));
        let looking = link.clone();
        wasm_bindgen_futures::spawn_local(async move { looking.look().await });
        link
    }

    /// The connection, where there is one that the worker trusts.
    pub(crate) fn rpc(&self) -> Option<Rc<Rpc>> {
        self.0.rpc.borrow().clone()
    }

    /// Takes a token out of the address, should it have come there since, and tries at once.
    pub(crate) fn take_new_token(&self) {
        let Some(token) = browser::take("token") else {
            return;
        };
        *self.0.token.borrow_mut() = Some(token);
        if let Some(rpc) = self.rpc() {
            rpc.close();
        }
        self.try_now();
    }

    /// Tries again without waiting.
    pub(crate) fn try_now(&self) {
        if let Some(wake) = self.0.wake.borrow_mut().take() {
            let _ = wake.send(());
        }
    }

    async fn look(&self) {
        let Some(address) = browser::socket_address() else {
            self.0.store.dispatch(Action::ConnectionChanged(Connection::None));
            return;
        };
        let mut pause = RETRY.0;
        loop {
            let ended = self.connect(&address).await;
            *self.0.rpc.borrow_mut() = None;
            let wait = match ended {
                Ended::Unreachable if self.0.was_online.get() => Some(pause),
                Ended::Unreachable => Some(RETRY_NOBODY),
                Ended::Broke => {
                    pause = RETRY.0;
                    Some(pause)
                }
                // The same token would be refused again, so it waits for another.
                Ended::Refused(_) => None,
            };
            pause = (pause * 2).min(RETRY.1);
            self.0.store.dispatch(Action::ConnectionChanged(match ended {
                Ended::Refused(why) => Connection::Refused(why),
                Ended::Unreachable | Ended::Broke if self.0.was_online.get() => Connection::Reconnecting,
                Ended::Unreachable | Ended::Broke => Connection::None,
            }));
            self.rest(wait).await;
        }
    }

    /// Waits, but no longer than until [`Link::try_now`].
    async fn rest(&self, milliseconds: Option<u32>) {
        let (wake, woken) = oneshot::channel();
        *self.0.wake.borrow_mut() = Some(wake);
        let alarm = milliseconds.map(|milliseconds| {
            let link = self.clone();
            Timeout::new(milliseconds, move || link.try_now())
        });
        let _ = woken.await;
        drop(alarm);
    }

    /// One connection, from its beginning to its end.
    async fn connect(&self, address: &str) -> Ended {
        let inbox = self.clone();
        let on_notification = Box::new(move |name: &str, params: serde_json::Value| {
            if name == method::BUILD_EVENT
                && let Ok(event) = serde_json::from_value(params)
            {
                inbox.collect(event);
            }
        });
        let Some((rpc, closed)) = Rpc::open(address, on_notification).await else {
            return Ended::Unreachable;
        };
        let welcome = match self.greet(&rpc).await {
            Ok(welcome) => welcome,
            Err(CallError::Closed) => return Ended::Broke,
            Err(error) if error.has_code(error_code::UNAUTHORIZED) => {
                rpc.close();
                storage::keep_session(None);
                return Ended::Refused(error.to_string());
            }
            Err(error) => {
                rpc.close();
                self.0.store.complain(error.to_string());
                return Ended::Broke;
            }
        };
        if welcome.protocol != VERSION {
            rpc.close();
            return Ended::Refused(
                "This page and the worker are of different versions. Reload the page.".into(),
            );
        }
        storage::keep_session(Some(&welcome.session));
        self.0.was_online.set(true);
        *self.0.rpc.borrow_mut() = Some(Rc::clone(&rpc));
        self.0.store.dispatch(Action::Connected(Box::new(welcome)));
        self.find_build_again(&rpc).await;
        let _ = closed.await;
        self.drain();
        Ended::Broke
    }

    /// Says who this is: by the session of an earlier visit, or by the token from the address. The worker tries the
    /// session first, so a page opened a second time by the same address needs no other token.
    async fn greet(&self, rpc: &Rpc) -> Result<Welcome, CallError> {
        let token = self.0.token.borrow_mut().take();
        rpc.call(
            method::HELLO,
            &Hello {
                token,
                session: storage::session(),
            },
        )
        .await
    }

    /// Goes on listening to the build that was looked at when the connection, or the page, went away.
    async fn find_build_again(&self, rpc: &Rpc) {
        let state = self.0.store.state();
        let Some(build) = state.build.as_ref().filter(|build| build.phase == Phase::Running) else {
            return;
        };
        let _ = self.attach(rpc, &build.id, build.last_seq).await;
    }

    /// Listens to a build from the event after `since`.
    pub(crate) async fn attach(&self, rpc: &Rpc, id: &str, since: u64) -> Result<(), CallError> {
        match rpc
            .call::<BuildSummary>(method::BUILD_ATTACH, &AttachBuild { id: id.into(), since })
            .await
        {
            Ok(summary) => {
                self.drain();
                self.0.store.dispatch(Action::BuildAttached(Box::new(summary)));
                Ok(())
            }
            Err(error) => {
                // A worker that lost its records does not know the build, or fewer of its events than were seen.
                if error.has_code(error_code::NOT_FOUND) || error.has_code(error_code::INVALID_PARAMS) {
                    self.0.store.dispatch(Action::BuildLost);
                }
                Err(error)
            }
        }
    }

    fn collect(&self, event: BuildEvent) {
        self.0.events.borrow_mut().push(event);
        let mut drain = self.0.drain.borrow_mut();
        if drain.is_none() {
            let link = self.clone();
            *drain = Some(Timeout::new(FRAME, move || link.drain()));
        }
    }

    fn drain(&self) {
        *self.0.drain.borrow_mut() = None;
        let events = std::mem::take(&mut *self.0.events.borrow_mut());
        if !events.is_empty() {
            self.0.store.dispatch(Action::BuildEvents(events));
        }
    }
}

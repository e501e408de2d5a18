//! One execution for everyone who wants the same thing at the same time.
//!
//! The first to ask starts the work; whoever asks before it ends rides along and hears everything from its
//! beginning. The work is cancelled once nobody is waiting for it any more.

use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use stagewright_core::digest::Digest;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::progress::News;

/// Hears what happens in a flight. Must not block.
pub(crate) type Listener = Arc<dyn Fn(&News) + Send + Sync>;

/// The work that is under way, by key.
pub(crate) struct Flights<T, E> {
    under_way: Mutex<BTreeMap<Digest, Weak<Flight<T, E>>>>,
}

/// What the work itself gets: where to tell news, and when to stop.
#[derive(Clone)]
pub(crate) struct Ticket {
    /// Cancelled when nobody waits for the result any more.
    pub(crate) cancel: CancellationToken,
    audience: Arc<Audience>,
}

impl Ticket {
    /// Tells everyone who waits.
    pub(crate) fn tell(&self, news: News) {
        let mut heard = lock(&self.audience.0);
        for listener in &heard.listeners {
            listener(&news);
        }
        heard.so_far.push(news);
    }
}

#[derive(Default)]
struct Audience(Mutex<Heard>);

#[derive(Default)]
struct Heard {
    so_far: Vec<News>,
    listeners: Vec<Listener>,
}

impl Audience {
    fn join(&self, listener: Listener) {
        let mut heard = lock(&self.0);
        heard.so_far.iter().for_each(|news| listener(news));
        heard.listeners.push(listener);
    }
}

/// Held by everyone who waits; the last to let go cancels the work.
struct Flight<T, E> {
    cancel: CancellationToken,
    audience: Arc<Audience>,
    outcome: watch::Receiver<Option<Result<T, E>>>,
}

impl<T, E> Drop for Flight<T, E> {
    fn drop(&mut self) {
        self.cancel.cancel();
    }
}

impl<T, E> Default for Flights<T, E> {
    fn default() -> Self {
        Self {
            under_way: Mutex::default(),
        }
    }
}

impl<T, E> Flights<T, E>
where
    T: Clone + Send + Sync + 'static,
    E: Clone + Send + Sync + 'static,
{
    /// Joins the work named `key`, or starts it with `work`. The work runs on a task of its own; dropping the future
    /// gives the seat up. `None` where the work ended without a result, which only a fault in it can cause.
    pub(crate) async fn join<F>(
        &self,
        key: &Digest,
        listener: Listener,
        work: impl FnOnce(Ticket) -> F,
    ) -> Option<Result<T, E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let flight = self.board(key, work);
        flight.audience.join(listener);
        let mut outcome = flight.outcome.clone();
        let result = outcome.wait_for(Option::is_some).await.ok()?.clone();
        drop(flight);
        result
    }

    fn board<F>(&self, key: &Digest, work: impl FnOnce(Ticket) -> F) -> Arc<Flight<T, E>>
    where
        F: Future<Output = Result<T, E>> + Send + 'static,
    {
        let mut under_way = lock(&self.under_way);
        under_way.retain(|_, flight| flight.strong_count() > 0);
        let joined = under_way.get(key).and_then(Weak::upgrade);
        // One that has its result belongs to those who waited for it; what it left is found in the cache.
        if let Some(flight) = joined.filter(|flight| flight.outcome.borrow().is_none()) {
            return flight;
        }
        let (tell, outcome) = watch::channel(None);
        let audience = Arc::<Audience>::default();
        let cancel = CancellationToken::new();
        let ticket = Ticket {
            cancel: cancel.clone(),
            audience: Arc::clone(&audience),
        };
        let flight = Arc::new(Flight {
            cancel,
            audience,
            outcome,
        });
        under_way.insert(key.clone(), Arc::downgrade(&flight));
        let work = work(ticket);
        tokio::spawn(async move {
            let result = work.await;
            tell.send_replace(Some(result));
        });
        flight
    }
}

/// What a mutex guards, also after a thread that held it ended in a panic: nothing is ever left half done under one.
pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use tokio::sync::Notify;

    fn deaf() -> Listener {
        Arc::new(|_| {})
    }

    #[tokio::test]
    async fn the_same_work_is_done_once_and_late_riders_hear_it_from_the_beginning() {
        let flights = Arc::new(Flights::<u32, ()>::default());
        let key = Digest::of(b"key");
        let (runs, told, finish) = (
            Arc::new(AtomicUsize::new(0)),
            Arc::new(Notify::new()),
            Arc::new(Notify::new()),
        );
        let first = {
            let (flights, key) = (Arc::clone(&flights), key.clone());
            let (runs, told, finish) = (Arc::clone(&runs), Arc::clone(&told), Arc::clone(&finish));
            tokio::spawn(async move {
                let work = |ticket: Ticket| async move {
                    runs.fetch_add(1, Ordering::SeqCst);
                    ticket.tell(News::Warning("early".into()));
                    told.notify_one();
                    finish.notified().await;
                    Ok(7)
                };
                flights.join(&key, deaf(), work).await
            })
        };
        told.notified().await;
        let heard = Arc::new(Mutex::new(Vec::new()));
        let listener: Listener = {
            let (heard, finish) = (Arc::clone(&heard), Arc::clone(&finish));
            Arc::new(move |news| {
                heard.lock().unwrap().push(format!("{news:?}"));
                finish.notify_one();
            })
        };
        let second = flights.join(&key, listener, |_| async { Ok(8) }).await;
        assert_eq!(second, Some(Ok(7)));
        assert_eq!(first.await.unwrap(), Some(Ok(7)));
        assert_eq!(runs.load(Ordering::SeqCst), 1);
        assert_eq!(heard.lock().unwrap().len(), 1);
    }

    #[tokio::test]
    async fn work_goes_on_while_anyone_waits_and_stops_with_the_last() {
        let flights = Arc::new(Flights::<(), ()>::default());
        let key = Digest::of(b"key");
        let stopped = Arc::new(Notify::new());
        let join = |seated: Arc<Notify>| {
            let (flights, key, stopped) = (Arc::clone(&flights), key.clone(), Arc::clone(&stopped));
            tokio::spawn(async move {
                let listener: Listener = Arc::new(move |_| seated.notify_one());
                let work = |ticket: Ticket| async move {
                    ticket.tell(News::Warning("under way".into()));
                    ticket.cancel.cancelled().await;
                    stopped.notify_one();
                    Err(())
                };
                flights.join(&key, listener, work).await
            })
        };
        let (one_seated, two_seated) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let one = join(Arc::clone(&one_seated));
        one_seated.notified().await;
        let two = join(Arc::clone(&two_seated));
        two_seated.notified().await;
        one.abort();
        assert!(one.await.unwrap_err().is_cancelled());
        let cancelled = flights.under_way.lock().unwrap()[&key]
            .upgrade()
            .unwrap()
            .cancel
            .is_cancelled();
        assert!(!cancelled, "someone still waits");
        two.abort();
        stopped.notified().await;
    }
}

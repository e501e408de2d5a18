//! Several daemons, and which of them gets a build: one that is well, can build for the platform, and has the least to do.
//! Among equals it is the one that was named first, whose cache then has what the next build needs.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use stagewright_core::platform::Platform;
use tonic::transport::Channel;

use super::connection::{Route, Unreachable};
use super::daemon::{About, AtWork, Daemon};

/// How long the others may take to answer once one has.
const GRACE: Duration = Duration::from_millis(500);

/// All daemons that a worker was given.
pub(super) struct Fleet {
    daemons: Vec<Arc<Daemon>>,
    /// So that two builds that begin at once do not take the same place for free.
    turn: Mutex<()>,
}

/// A daemon that answered.
pub(super) struct Found {
    /// Its place in the list.
    place: usize,
    daemon: Arc<Daemon>,
    channel: Channel,
    pub(super) about: About,
    /// Builds at work in it, as it says itself.
    busy: usize,
}

/// A daemon that a build was given to.
pub(super) struct Chosen {
    pub(super) daemon: Arc<Daemon>,
    pub(super) channel: Channel,
    pub(super) about: About,
    /// Counts the build as long as it is there.
    pub(super) _at_work: AtWork,
    /// Why others were not taken, where that was not for what they have to do.
    pub(super) passed_over: Vec<Unreachable>,
}

impl Fleet {
    pub(super) fn new(routes: Vec<Route>) -> Self {
        Self {
            daemons: routes
                .into_iter()
                .map(|route| Arc::new(Daemon::new(route)))
                .collect(),
            turn: Mutex::new(()),
        }
    }

    /// Gives a build for `platform` to one of them. Where none can take it, why not.
    pub(super) async fn choose(&self, platform: Option<&Platform>) -> Result<Chosen, Vec<Unreachable>> {
        let (well, passed_over) = self.well().await;
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let able = |about: &About| platform.is_none_or(|platform| about.platforms.contains(platform));
        // Where none says that it can, the build itself says what it lacks.
        let chosen = well.into_iter().min_by_key(|found| {
            (
                !able(&found.about),
                found.daemon.load().max(found.busy),
                found.place,
            )
        });
        match chosen {
            Some(found) => Ok(Chosen {
                _at_work: found.daemon.begin(),
                daemon: found.daemon,
                channel: found.channel,
                about: found.about,
                passed_over,
            }),
            None => Err(passed_over),
        }
    }

    /// Asks all how they are: those that answer, and why the others do not.
    pub(super) async fn well(&self) -> (Vec<Found>, Vec<Unreachable>) {
        let several = self.daemons.len() > 1;
        let ask = |(place, daemon): (usize, &Arc<Daemon>)| {
            let daemon = Arc::clone(daemon);
            async move { (place, daemon.ask(several).await, daemon) }
        };
        let mut asked: FuturesUnordered<_> = self.daemons.iter().enumerate().map(ask).collect();
        let (mut well, mut unwell) = (Vec::new(), Vec::new());
        let mut silent: Vec<usize> = (0..self.daemons.len()).collect();
        let mut until = None;
        loop {
            let answered = match until {
                None => asked.next().await,
                Some(until) => match tokio::time::timeout_at(until, asked.next()).await {
                    Ok(answered) => answered,
                    Err(_) => break,
                },
            };
            let Some((place, answer, daemon)) = answered else {
                break;
            };
            silent.retain(|other| *other != place);
            match answer {
                Ok((channel, about, busy)) => {
                    until.get_or_insert_with(|| tokio::time::Instant::now() + GRACE);
                    well.push(Found {
                        place,
                        daemon,
                        channel,
                        about,
                        busy,
                    });
                }
                Err(error) => unwell.push(error),
            }
        }
        let late = silent.into_iter().filter_map(|place| self.daemons.get(place));
        unwell.extend(
            late.map(|daemon| Unreachable::new(&daemon.route.address, "does not answer as the others do")),
        );
        (well, unwell)
    }

    /// How each of them is, in the order in which they were named.
    pub(super) async fn look(&self) -> Vec<(Route, Result<About, Unreachable>)> {
        let asked = self.daemons.iter().map(|daemon| async move {
            let answer = daemon.ask(false).await;
            (daemon.route.clone(), answer.map(|(_, about, _)| about))
        });
        futures_util::future::join_all(asked).await
    }
}

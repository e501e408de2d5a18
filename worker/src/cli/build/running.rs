//! Following builds from their first event to their last.

use futures_util::StreamExt as _;
use futures_util::stream::SelectAll;
use stagewright_core::protocol::{BuildFailure, Event, ImageSummary};
use tokio_util::sync::CancellationToken;

use super::display::Display;
use crate::build::{Builds, BuildsError};
use crate::cli::Failure;
use crate::request::watcher::{self, Watcher as _};

/// How builds that belong together ended.
pub(super) enum End {
    /// Their images, in the order of the builds.
    Done(Vec<ImageSummary>),
    /// Which of them failed first, and why.
    Failed(usize, BuildFailure),
    Cancelled,
}

/// Tells what happens until all have ended. Where one fails, the others are stopped.
pub(super) async fn follow(
    builds: &Builds,
    ids: &[String],
    stop: &CancellationToken,
    display: &mut Display,
) -> Result<End, Failure> {
    let broken = |error: BuildsError| Failure::new(Failure::WORK, error.to_string());
    let mut events = SelectAll::new();
    for (index, id) in ids.iter().enumerate() {
        let (_, own) = builds.attach(id, 0).map_err(broken)?;
        events.push(own.map(move |event| (index, event)).boxed());
    }
    let cancel = || ids.iter().try_for_each(|id| builds.cancel(id)).map_err(broken);
    let mut images: Vec<Option<ImageSummary>> = vec![None; ids.len()];
    let mut failed: Option<(usize, BuildFailure)> = None;
    let mut cancelled = false;
    let mut ticks = watcher::ticks();
    loop {
        let event = tokio::select! {
            event = events.next() => event,
            _ = ticks.tick() => {
                display.tick();
                continue;
            }
            () = stop.cancelled(), if !cancelled => {
                cancelled = true;
                cancel()?;
                continue;
            }
        };
        let Some((index, event)) = event else { break };
        match &event.event {
            Event::Status(status) => display.status(status),
            Event::Done(image) => {
                if let Some(place) = images.get_mut(index) {
                    *place = Some(image.clone());
                }
            }
            Event::Failed(failure) if failed.is_none() => {
                failed = Some((index, failure.clone()));
                cancel()?;
            }
            Event::Cancelled if failed.is_none() => cancelled = true,
            // A build that ends because another failed says nothing new.
            Event::Layer(_) | Event::Failed(_) | Event::Cancelled => {}
        }
    }
    if let Some((index, failure)) = failed {
        return Ok(End::Failed(index, failure));
    }
    if cancelled {
        return Ok(End::Cancelled);
    }
    match images.into_iter().collect() {
        Some(images) => Ok(End::Done(images)),
        None => Err(Failure::new(
            Failure::WORK,
            "the build's events ended before the build did",
        )),
    }
}

//! A build on another machine, from its first event to its last.

use std::time::Duration;

use stagewright_core::protocol::{BuildFailure, Event, ImageSummary};
use tokio_util::sync::CancellationToken;

use super::super::display::Display;
use crate::cli::Failure;
use crate::client::{Client, Events};
use crate::request::watcher::{Watcher as _, ticks};

/// How long a cancelled build may take to say that it has ended.
const FAREWELL: Duration = Duration::from_secs(10);

/// How a build ended.
pub(super) enum End {
    Done(ImageSummary),
    Failed(BuildFailure),
    Cancelled,
}

/// Tells what happens until the build has ended. Whoever interrupts this command cancels the build; a line that drops does not.
pub(super) async fn follow(
    client: &Client,
    id: &str,
    stop: &CancellationToken,
    display: &mut Display,
) -> Result<End, Failure> {
    let mut events = Events::of(client, id);
    let mut ticks = ticks();
    let mut dropped = Vec::new();
    loop {
        let mut note = |why: &str| dropped.push(why.to_owned());
        let event = tokio::select! {
            event = events.next(&mut note) => Some(event?),
            _ = ticks.tick() => None,
            () = stop.cancelled() => return cancelled(client, id, events).await,
        };
        for why in dropped.drain(..) {
            display.note(&format!("{why}; trying again, the build goes on\n"));
        }
        let Some(event) = event else {
            display.tick();
            continue;
        };
        match event.map(|event| event.event) {
            Some(Event::Status(status)) => display.status(&status),
            Some(Event::Layer(_)) => {}
            Some(Event::Done(image)) => return Ok(End::Done(image)),
            Some(Event::Failed(failure)) => return Ok(End::Failed(failure)),
            Some(Event::Cancelled) => return Ok(End::Cancelled),
            None => {
                return Err(Failure::new(
                    Failure::WORK,
                    "the build's events ended before the build did",
                ));
            }
        }
    }
}

/// Cancels the build, and sees that it ends.
async fn cancelled(client: &Client, id: &str, mut events: Events) -> Result<End, Failure> {
    client.cancel(id).await?;
    let ended = async {
        while let Some(event) = events.next(&mut |_| {}).await? {
            match event.event {
                // It was faster.
                Event::Done(image) => return Ok(End::Done(image)),
                Event::Failed(_) | Event::Cancelled => break,
                Event::Status(_) | Event::Layer(_) => {}
            }
        }
        Ok(End::Cancelled)
    };
    match tokio::time::timeout(FAREWELL, ended).await {
        Ok(ended) => ended,
        Err(_) => Err(Failure::new(
            Failure::WORK,
            format!("build {id} was cancelled, and its worker has not said since that it ended"),
        )),
    }
}

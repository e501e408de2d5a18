//! A build on another machine, from its first event to its last.

use std::time::Duration;

use stagewright_core::protocol::{BuildEvent, BuildFailure, Event, ImageSummary};
use tokio_util::sync::CancellationToken;

use super::super::display::Display;
use crate::cli::Failure;
use crate::client::{Client, ClientError, Events, Heard};
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
    loop {
        let heard = tokio::select! {
            heard = events.next() => heard?,
            _ = ticks.tick() => {
                display.tick();
                continue;
            }
            () = stop.cancelled() => return Ok(cancelled(client, id, events, display).await),
        };
        match heard {
            Some(Heard::Dropped(why)) => {
                display.note(&format!("{why}; trying again, the build goes on\n"));
            }
            Some(Heard::Event(event)) => match event.event {
                Event::Status(status) => display.status(&status),
                Event::Layer(_) => {}
                Event::Done(image) => return Ok(End::Done(image)),
                Event::Failed(failure) => return Ok(End::Failed(failure)),
                Event::Cancelled => return Ok(End::Cancelled),
            },
            None => {
                return Err(Failure::new(
                    Failure::WORK,
                    "the build's events ended before the build did",
                ));
            }
        }
    }
}

/// Cancels the build, and sees that it ends. Whoever interrupts does not wait for a line that is down.
async fn cancelled(client: &Client, id: &str, mut events: Events, display: &mut Display) -> End {
    let ending = async {
        client.cancel(id).await?;
        while let Some(heard) = events.next().await? {
            match heard {
                // It was faster.
                Heard::Event(BuildEvent {
                    event: Event::Done(image),
                    ..
                }) => return Ok(End::Done(image)),
                Heard::Event(_) | Heard::Dropped(_) => {}
            }
        }
        Ok::<_, ClientError>(End::Cancelled)
    };
    let why = match tokio::time::timeout(FAREWELL, ending).await {
        Ok(Ok(end)) => return end,
        Ok(Err(error)) => error.to_string(),
        Err(_) => "its worker has not said that it ended".to_owned(),
    };
    display.note(&format!("build {id} may still be at work: {why}\n"));
    End::Cancelled
}

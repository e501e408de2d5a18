//! What a build on another machine gave, brought to where it was wanted on this one.

use std::fs::File;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use reqwest::Response;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::OutputFormat;
use tokio_util::sync::CancellationToken;

use super::super::display::Display;
use crate::backend::embedded::{deliver_files, unpack_context};
use crate::cli::Failure;
use crate::client::Client;
use crate::export::NewFile;
use crate::request::engine::Engine;
use crate::request::output::{Destination, Kind};
use crate::request::wanted::Wanted;
use crate::request::watcher::task;

/// Brings all outputs here that are not the worker's own.
pub(super) async fn outputs(
    client: &Client,
    id: &str,
    wanted: &Wanted,
    display: &mut Display,
) -> Result<(), Failure> {
    let several = wanted.platforms.len() > 1;
    for output in &wanted.outputs {
        match &output.kind {
            Kind::Image(_) | Kind::Kept | Kind::Nothing | Kind::Layout(_) => {}
            Kind::Folder(place, split) => {
                for platform in &wanted.platforms {
                    let place = if split.unwrap_or(several) {
                        place.join(platform.to_string().replace('/', "_"))
                    } else {
                        place.clone()
                    };
                    let name = format!("bringing the files to {}", place.display());
                    task(display, &name, folder(client, id, platform, place), |()| {
                        String::new()
                    })
                    .await?;
                }
            }
            Kind::Tar(to) => {
                let platform = wanted.platforms.first().cloned().unwrap_or_default();
                let answer = client.files(id, &platform.to_string()).await?;
                file(client, answer, to, "the files", display).await?;
            }
            Kind::Archive(format, to) => {
                let answer = client.image(id, *format).await?;
                file(client, answer, to, "the image", display).await?;
            }
            Kind::Load => load(client, id, display).await?,
        }
    }
    Ok(())
}

/// Writes what arrives to its place, which has it whole or not at all.
async fn file(
    client: &Client,
    answer: Response,
    to: &Destination,
    what: &str,
    display: &mut Display,
) -> Result<(), Failure> {
    match to {
        Destination::StandardOutput => {
            let name = format!("bringing {what} to standard output");
            let work = written(
                client,
                answer,
                Box::new(io::stdout()),
                Path::new("standard output"),
            );
            task(display, &name, work, |()| String::new()).await
        }
        Destination::File(path) => {
            let name = format!("bringing {what} to {}", path.display());
            let work = async {
                let new = NewFile::create(path).map_err(|error| {
                    cannot(path, &error)
                        .hint("name a file in a folder that is there and that you may write to")
                })?;
                let writer = new.writer().map_err(|error| cannot(path, &error))?;
                written(client, answer, Box::new(writer), path).await?;
                new.finish().map_err(|error| cannot(path, &error))
            };
            task(display, &name, work, |()| String::new()).await
        }
    }
}

async fn folder(client: &Client, id: &str, platform: &Platform, place: PathBuf) -> Result<(), Failure> {
    let answer = client.files(id, &platform.to_string()).await?;
    let failed = |error: &dyn std::fmt::Display| cannot(&place, error);
    let received = tempfile::tempfile().map_err(|error| failed(&error))?;
    let copy = received.try_clone().map_err(|error| failed(&error))?;
    written(client, answer, Box::new(copy), &place).await?;
    let unpacking = {
        let place = place.clone();
        tokio::task::spawn_blocking(move || unpacked(received, &place))
    };
    unpacking
        .await
        .map_err(|error| failed(&error))?
        .map_err(|error| failed(&error))
}

/// Puts the files of a tar into a folder, to what is there already. Whoever made the tar has no say in where they go.
fn unpacked(mut tar: File, place: &Path) -> Result<(), String> {
    use std::io::Seek as _;
    let text = |error: io::Error| error.to_string();
    tar.rewind().map_err(text)?;
    let between = tempfile::tempdir().map_err(text)?;
    unpack_context(&tar, between.path())?;
    deliver_files(between.path(), place, &CancellationToken::new())
}

/// Hands the image to Docker or Podman on this machine.
async fn load(client: &Client, id: &str, display: &mut Display) -> Result<(), Failure> {
    let engine = Engine::find().unwrap_or(Engine::Program("docker"));
    let name = format!("bringing the image to {engine}");
    let loading = async {
        let answer = client.image(id, OutputFormat::Docker).await?;
        let place = PathBuf::from(engine.to_string());
        let (taken, written) = engine.load(|out| written(client, answer, out, &place)).await;
        match written {
            // A line that broke is why the engine has not the whole of it.
            Err(error) if error.code == Failure::PLACE => Err(error),
            written => {
                taken?;
                written
            }
        }
    };
    task(display, &name, loading, |()| String::new()).await
}

/// Writes what arrives, where it holds nobody up.
async fn written(
    client: &Client,
    mut answer: Response,
    mut out: Box<dyn Write + Send>,
    place: &Path,
) -> Result<(), Failure> {
    while let Some(piece) = client
        .piece(&mut answer)
        .await
        .map_err(|error| Failure::from(error).hint("build again: its steps are cached there"))?
    {
        let writing = tokio::task::spawn_blocking(move || out.write_all(&piece).map(|()| out)).await;
        out = writing
            .map_err(|error| cannot(place, &error))?
            .map_err(|error| cannot(place, &error))?;
    }
    let flushing = tokio::task::spawn_blocking(move || out.flush()).await;
    flushing
        .map_err(|error| cannot(place, &error))?
        .map_err(|error| cannot(place, &error))
}

fn cannot(place: &Path, error: &dyn std::fmt::Display) -> Failure {
    Failure::new(
        Failure::WORK,
        format!("cannot write to {}: {error}", place.display()),
    )
}

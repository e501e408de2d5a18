//! `build --remote`: the same command, carried out by a worker on another machine. The context goes there by its content,
//! progress comes back, and so does what was to be written here.

#![expect(
    clippy::doc_markdown,
    reason = "clap shows these comments to people, as they are"
)]

mod asking;
mod following;
mod sending;
mod taking;

use std::path::PathBuf;
use std::process::ExitCode;

use serde::Deserialize;
use stagewright_core::analysis::Analysis;
use tokio_util::sync::CancellationToken;

use self::following::End;
use self::sending::Sending;
use super::display::Display;
use super::{Arguments, Begun, Ready, begin, remote};
use crate::cli::signals::{INTERRUPTED, Signals};
use crate::cli::{Failure, dockerfile, named, report};
use crate::client::{Address, Client, ClientError, Token};
use crate::export::{INDEX_TYPE, MANIFEST_TYPE};
use crate::request::finish::Built;
use crate::request::sources::OWN;
use crate::request::wanted::Wanted;
use crate::request::watcher::Watcher as _;
use crate::request::{BuildRequest, epoch};

/// Which worker, and what proves to it who asks.
#[derive(Debug, clap::Args)]
#[group(skip)]
pub(super) struct Whom {
    /// Build on the worker at this address rather than on this machine, with the token in $STAGEWRIGHT_TOKEN
    #[arg(long, value_name = "URL", env = "STAGEWRIGHT_REMOTE", value_parser = Address::read)]
    remote: Option<Address>,

    /// Certificates to trust when talking to that worker, in PEM, besides those that this machine trusts
    #[arg(long, value_name = "FILE", env = "STAGEWRIGHT_REMOTE_CA", requires = "remote")]
    remote_ca: Option<PathBuf>,
}

impl Whom {
    pub(super) fn is_elsewhere(&self) -> bool {
        self.remote.is_some()
    }

    fn client(&self) -> Result<Client, Failure> {
        let Some(address) = self.remote.clone() else {
            return Err(Failure::new(Failure::USAGE, "no worker is named"));
        };
        let token = std::env::var("STAGEWRIGHT_TOKEN").unwrap_or_default();
        if token.trim().is_empty() {
            return Err(
                Failure::new(Failure::USAGE, format!("the worker at {address} takes a token")).hint(
                    "make one there with `stagewright token create`, and give it here as STAGEWRIGHT_TOKEN",
                ),
            );
        }
        let roots = self.remote_ca.as_ref().map(|path| {
            std::fs::read(path).map_err(|error| {
                Failure::new(Failure::USAGE, format!("cannot read {}: {error}", path.display()))
            })
        });
        Ok(Client::new(
            address,
            &Token::new(&token),
            roots.transpose()?.as_deref(),
        )?)
    }
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        let code = match error {
            ClientError::Unreachable { .. } | ClientError::Strange { .. } => Self::PLACE,
            ClientError::Refused { .. } | ClientError::File(_) => Self::WORK,
        };
        let failure = Self::new(code, error.to_string());
        match error.hint() {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// The answer to a question for plans.
#[derive(Debug, Deserialize)]
struct Plans {
    plans: Vec<Plan>,
}

#[derive(Debug, Deserialize)]
struct Plan {
    analysis: Analysis,
}

pub(super) fn run(arguments: &Arguments) -> Result<ExitCode, Failure> {
    asking::refuse(arguments)?;
    let client = arguments.whom.client()?;
    arguments.machine.run_elsewhere(async {
        let stop = Signals::stop()?;
        match remote::Address::read(arguments.dockerfile.place()) {
            None => {
                let begun = begin(arguments, &arguments.dockerfile)?;
                here(arguments, &client, &arguments.dockerfile, begun, &stop).await
            }
            Some(remote::Address::StandardInput) => {
                let fetched = tokio::select! {
                    fetched = remote::Address::StandardInput.fetch(&arguments.dockerfile, u64::MAX) => fetched?,
                    () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
                };
                let begun = begin(arguments, &fetched.arguments)?;
                here(arguments, &client, &fetched.arguments, begun, &stop).await
            }
            Some(remote::Address::Far(_)) => there(arguments, &client, &stop).await,
        }
    })
}

/// Builds what is on this machine.
async fn here(
    arguments: &Arguments,
    client: &Client,
    place: &dockerfile::Arguments,
    begun: Begun,
    stop: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let ready = match begun {
        Begun::Answered(code) => return Ok(code),
        Begun::Ready(ready) => *ready,
    };
    let mut display = Display::new(arguments.manner(), stop);
    wrong(&ready, &mut display)?;
    let mut request = asking::request(arguments, &ready.dockerfile.input.options)?;
    request.dockerfile = Some(ready.dockerfile.input.source.clone());
    request
        .dockerignore
        .clone_from(&ready.dockerfile.input.options.ignore);
    let sending = Sending {
        client,
        display: &mut display,
    };
    let sent = send(arguments, sending, place, &ready, &mut request);
    tokio::select! {
        sent = sent => sent?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    build(
        arguments,
        client,
        &ready.order.wanted,
        &request,
        &mut display,
        stop,
    )
    .await
}

/// Builds what the worker fetches for itself.
async fn there(
    arguments: &Arguments,
    client: &Client,
    stop: &CancellationToken,
) -> Result<ExitCode, Failure> {
    if arguments.check || arguments.call.is_some_and(|call| !call.builds()) {
        return Err(Failure::new(
            Failure::USAGE,
            "a Dockerfile that a worker elsewhere fetches is not looked at from here",
        )
        .hint("leave --remote out, or name a folder of this machine"));
    }
    let mut options = arguments.dockerfile.options()?;
    epoch::enter(&mut options, |name| std::env::var(name).ok());
    options.run = arguments.steps.options();
    let contexts = named::read(&arguments.build_context, &mut options)?;
    asking::refuse_lent(&contexts)?;
    let order = arguments.order(&options)?;
    arguments.files.clear()?;
    let mut display = Display::new(arguments.manner(), stop);
    let mut request = asking::request(arguments, &options)?;
    request.context = Some(arguments.dockerfile.place().display().to_string());
    request.file = arguments.dockerfile.file().map(|file| file.display().to_string());
    let mut sending = Sending {
        client,
        display: &mut display,
    };
    let sent = sending.folders(&contexts.folders, &arguments.build_context, &mut request);
    tokio::select! {
        sent = sent => sent?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    build(arguments, client, &order.wanted, &request, &mut display, stop).await
}

/// What is wrong with a file whatever its images are is said here, before anything travels.
fn wrong(ready: &Ready, display: &mut Display) -> Result<(), Failure> {
    let dockerfile = &ready.dockerfile;
    let analysis = stagewright_core::analyze(&dockerfile.input);
    if !analysis.has_errors() {
        return Ok(());
    }
    display.findings(
        &dockerfile.name,
        &dockerfile.input.source,
        &analysis.diagnostics,
        true,
    );
    let tally = report::tally(&analysis.diagnostics).unwrap_or_else(|| "no stage".into());
    Err(Failure::new(
        Failure::WORK,
        format!("{} cannot be built: {tally}", dockerfile.name),
    ))
}

/// Sends the folders that the build reads. Which those are says the worker's own plan, for it knows the images.
async fn send(
    arguments: &Arguments,
    mut sending: Sending<'_>,
    place: &dockerfile::Arguments,
    ready: &Ready,
    request: &mut BuildRequest,
) -> Result<(), Failure> {
    asking::refuse_lent(&ready.contexts)?;
    sending
        .folders(&ready.contexts.folders, &arguments.build_context, request)
        .await?;
    let Plans { plans } = sending.client.plan(request).await?;
    let definitions = plans.iter().filter_map(|plan| plan.analysis.definition.as_ref());
    let Some(read) = sending::read(definitions, OWN) else {
        return Ok(());
    };
    let folder = place.context()?;
    let ignore = (
        ready
            .dockerfile
            .input
            .options
            .ignore
            .as_deref()
            .unwrap_or_default(),
        ready.dockerfile.ignore_name.as_deref().unwrap_or(".dockerignore"),
    );
    let id = sending.folder(OWN, folder, ignore, &read).await?;
    request.context = Some(format!("content:{id}"));
    Ok(())
}

/// Starts the build, follows it to its end, and brings here what it gave.
async fn build(
    arguments: &Arguments,
    client: &Client,
    wanted: &Wanted,
    request: &BuildRequest,
    display: &mut Display,
    stop: &CancellationToken,
) -> Result<ExitCode, Failure> {
    let id = client.start(request).await?;
    if arguments.manner().speaks() {
        display.note(&format!("build {id} on {}\n", client.address()));
    }
    let image = match following::follow(client, &id, stop, display).await? {
        End::Done(image) => image,
        End::Failed(failure) => return Err(Failure::new(Failure::WORK, failure.message)),
        End::Cancelled => return Ok(ExitCode::from(INTERRUPTED)),
    };
    tokio::select! {
        taken = taking::outputs(client, &id, wanted, display) => taken?,
        () = stop.cancelled() => return Ok(ExitCode::from(INTERRUPTED)),
    }
    display.finish();
    let several = wanted.platforms.len() > 1 || arguments.attest.asked().is_some();
    let built = wanted.image().then(|| Built {
        digest: image.digest.clone(),
        media_type: if several { INDEX_TYPE } else { MANIFEST_TYPE },
        size: None,
        config: (wanted.platforms.len() == 1).then(|| image.config.clone()),
        names: wanted.names.clone(),
    });
    arguments.said(wanted, built.as_ref(), display)
}

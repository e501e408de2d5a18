//! From a press on Build to a build that runs.

use std::collections::BTreeMap;

use stagewright_core::analysis::{Analysis, Definition, ImageConfig};
use stagewright_core::digest::Digest;
use stagewright_core::protocol::{
    BuildRef, BuildStarted, ContextAnswer, OfferContext, OutputFormat, OutputReady, RequestOutput,
    StartBuild, WireOp, method,
};

use super::link::Link;
use super::rpc::{CallError, Rpc};
use super::store::Store;
use super::{browser, images, insight};
use crate::state::human::count;
use crate::state::plan::input;
use crate::state::{Action, Tab};

/// The local source every `COPY` without `--from` reads.
const CONTEXT: &str = "context";
/// An image's own triggers can bring in further images; more rounds than this is a circle.
const ROUNDS: usize = 4;

/// Why a build did not begin.
#[derive(Debug, thiserror::Error)]
enum LaunchError {
    /// The worker refused, or was gone.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The plan has errors.
    #[error("The plan cannot be built: {0}")]
    Plan(String),
    /// Nobody could say what is to be left out of the context.
    #[error(
        "What {0} keeps out could not be worked out, because a part of the page could not be fetched. Press Build again."
    )]
    Ignore(String),
}

/// Builds what is planned now. Where there is no worker, explains how to get one.
pub(crate) fn build(store: &Store, link: &Link) {
    let state = store.state();
    if state.is_busy() {
        return;
    }
    let Some(rpc) = link.rpc() else {
        store.dispatch(Action::WorkerExplained(true));
        return;
    };
    let (store, link) = (store.clone(), link.clone());
    wasm_bindgen_futures::spawn_local(async move {
        if let Err(error) = launch(&store, &link, &rpc).await {
            store.dispatch(Action::LaunchRefused(error.to_string()));
            if matches!(error, LaunchError::Plan(_)) {
                store.dispatch(Action::TabShown(Tab::Problems));
            }
        }
    });
}

async fn launch(store: &Store, link: &Link, rpc: &Rpc) -> Result<(), LaunchError> {
    resolve_images(store, rpc).await?;
    // From here on this is the plan, whatever is typed meanwhile.
    let state = store.state();
    let definition = definition_of(&state.plan.analysis)?;
    let contexts = if state.plan.uses_context() {
        send_context(store, rpc).await?
    } else {
        BTreeMap::new()
    };
    store.dispatch(Action::Preparing(format!(
        "handing over plan {}",
        definition.digest.short()
    )));
    let config = state.plan.analysis.image_config.as_ref();
    let config = config.map(ImageConfig::to_value);
    let start = StartBuild {
        ops: definition
            .ops
            .iter()
            .map(|op| WireOp {
                bytes: op.bytes.clone(),
                name: op.name.clone(),
            })
            .collect(),
        digest: definition.digest.clone(),
        image_config: config.unwrap_or_default(),
        contexts,
        title: title(state.example.as_deref(), &state.plan.path),
        no_cache: false,
    };
    let started: BuildStarted = rpc.call(method::BUILD_START, &start).await?;
    store.dispatch(Action::BuildStarted {
        id: started.id.clone(),
        title: start.title,
        plan: start.digest,
        steps: state.plan.step_vertices(),
        input: Box::new(input(&state.workspace, &state.choices, &state.images)),
    });
    // A connection that breaks here is found again by the link, and so is the build.
    match link.attach(rpc, &started.id, 0).await {
        Ok(()) | Err(CallError::Closed) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Asks about all images the plan needs and does not know, those that were refused before included.
async fn resolve_images(store: &Store, rpc: &Rpc) -> Result<(), LaunchError> {
    for _ in 0..ROUNDS {
        let plan = store.state().plan.clone();
        let unknown: Vec<_> = plan
            .unknown_images()
            .map(|image| (image.reference.clone(), image.platform.clone()))
            .collect();
        if unknown.is_empty() {
            return Ok(());
        }
        store.dispatch(Action::Preparing(format!(
            "asking about {}",
            count(unknown.len(), "image")
        )));
        for (reference, platform) in unknown {
            images::ask(store, rpc, reference, platform).await?;
        }
    }
    Ok(())
}

fn definition_of(analysis: &Analysis) -> Result<&Definition, LaunchError> {
    analysis.definition.as_ref().ok_or_else(|| {
        let error = analysis
            .diagnostics
            .iter()
            .find(|finding| finding.severity == stagewright_core::diagnostic::Severity::Error);
        let message = error.map(|error| format!("line {}: {}", error.lines.start, error.message));
        LaunchError::Plan(
            message.unwrap_or_else(|| "it has no stage. Begin with FROM and the name of an image.".into()),
        )
    })
}

/// Offers the context, and sends what the worker lacks of it.
async fn send_context(store: &Store, rpc: &Rpc) -> Result<BTreeMap<String, Digest>, LaunchError> {
    store.dispatch(Action::Preparing("comparing the build context".into()));
    let workspace = store.state().workspace.clone();
    let mut entries = workspace.manifest();
    if let Some(file) = workspace.ignore_file() {
        let kept = insight::entering(entries, file.content.text()).await;
        entries = kept.ok_or_else(|| LaunchError::Ignore(file.path.clone()))?;
    }
    let offer = OfferContext {
        name: CONTEXT.into(),
        entries,
    };
    let answer: ContextAnswer = rpc.call(method::CONTEXT_OFFER, &offer).await?;
    if !answer.lacks.is_empty() {
        store.dispatch(Action::Preparing(format!(
            "sending {}",
            count(answer.lacks.len(), "file")
        )));
    }
    for lacking in &answer.lacks {
        let file = workspace
            .context()
            .find(|file| Digest::of(file.content.bytes()) == lacking.digest);
        if let Some(file) = file {
            rpc.upload(&lacking.digest, file.content.bytes(), lacking.have)
                .await?;
        }
    }
    Ok(BTreeMap::from([(CONTEXT.to_owned(), answer.id)]))
}

/// `href-counter`; `builder-pattern-build` for its `Dockerfile.build`.
fn title(example: Option<&str>, dockerfile: &str) -> String {
    let example = example.unwrap_or("playground");
    match dockerfile
        .rsplit('/')
        .next()
        .and_then(|name| name.strip_prefix("Dockerfile."))
    {
        Some(suffix) => format!("{example}-{}", suffix.to_ascii_lowercase()),
        None => example.to_owned(),
    }
}

/// Stops the build that runs.
pub(crate) fn cancel(store: &Store, link: &Link) {
    let state = store.state();
    let (Some(build), Some(rpc)) = (&state.build, link.rpc()) else {
        store.complain("The worker cannot be reached, so the build cannot be cancelled now.");
        return;
    };
    let (store, id) = (store.clone(), build.id.clone());
    wasm_bindgen_futures::spawn_local(async move {
        if let Err(error) = rpc
            .call::<serde_json::Value>(method::BUILD_CANCEL, &BuildRef { id })
            .await
        {
            store.complain(error.to_string());
        }
    });
}

/// Downloads the image of the build that is looked at.
pub(crate) fn download(store: &Store, link: &Link, format: OutputFormat) {
    let state = store.state();
    let (Some(build), Some(rpc)) = (&state.build, link.rpc()) else {
        store.complain("The worker cannot be reached, so the image cannot be downloaded now.");
        return;
    };
    let (store, id) = (store.clone(), build.id.clone());
    wasm_bindgen_futures::spawn_local(async move {
        match rpc
            .call::<OutputReady>(method::BUILD_OUTPUT, &RequestOutput { id, format })
            .await
        {
            Ok(ready) if ready.path.starts_with('/') && !ready.path.starts_with("//") => {
                browser::download(&ready.path, &ready.file_name);
            }
            Ok(ready) => store.complain(format!(
                "The worker named {} to download from, which is not its own.",
                ready.path
            )),
            Err(error) => store.complain(error.to_string()),
        }
    });
}

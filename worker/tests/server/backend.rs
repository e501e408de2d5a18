//! A backend that does what a test says, when it says it.

use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use stagewright::backend::{Backend, BackendDescription, BackendError, EventSink, SolveRequest};
use stagewright::export::Naming;
use stagewright_core::analysis::ImageFacts;
use stagewright_core::digest::Digest;
use stagewright_core::platform::Platform;
use stagewright_core::protocol::{
    BuildFailure, ImageLayer, ImageSummary, OutputFormat, ResolveImage, SolveStatus, Vertex, VertexLog,
};
use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

/// What a test has a running build do.
pub(crate) enum Act {
    /// Report so many events.
    Report(u64),
    /// Have a step print this.
    Print(&'static str),
    /// End well.
    Finish,
}

pub(crate) struct Scripted {
    builds: Mutex<BTreeMap<String, mpsc::UnboundedSender<Act>>>,
    /// How many builds have begun.
    begun: watch::Sender<u64>,
    /// The layers of the images that are built.
    pub(crate) layers: Mutex<Vec<ImageLayer>>,
    /// What an export writes: so many pieces of 64 KiB, and whether it breaks after them.
    pub(crate) export: Mutex<(u64, bool)>,
}

impl Scripted {
    pub(crate) fn new() -> Arc<Self> {
        Arc::new(Self {
            builds: Mutex::default(),
            begun: watch::Sender::new(0),
            layers: Mutex::default(),
            export: Mutex::new((1, false)),
        })
    }

    /// Waits until the build runs, then has it do this.
    pub(crate) async fn act(&self, build: &str, act: Act) {
        let mut begun = self.begun.subscribe();
        begun
            .wait_for(|_| self.builds.lock().unwrap().contains_key(build))
            .await
            .unwrap();
        self.builds.lock().unwrap()[build].send(act).ok().unwrap();
    }
}

pub(crate) fn image() -> ImageSummary {
    ImageSummary {
        digest: Digest::of(b"image"),
        config: Digest::of(b"config"),
        layers: Vec::new(),
        size: 0,
    }
}

impl Backend for Scripted {
    fn describe(&self) -> BackendDescription {
        BackendDescription {
            platform: Platform::default(),
            can_build: true,
            missing: vec!["cgroups are missing: limits are off.".into()],
            substitutes: BTreeMap::from([("docker.io/library/alpine:latest".into(), "a stand-in".into())]),
        }
    }

    fn resolve_image(&self, request: ResolveImage) -> BoxFuture<'_, Result<ImageFacts, BackendError>> {
        Box::pin(async move {
            match request.reference.as_str() {
                "never" => std::future::pending().await,
                "panic" => panic!("a backend with a fault"),
                "unreachable" | "docker.io/library/unreachable:latest" => {
                    Err(BackendError::Upstream("the registry did not answer".into()))
                }
                reference => Ok(ImageFacts {
                    digest: Digest::of(reference.as_bytes()),
                    config: serde_json::json!({}),
                    size: 7,
                    note: None,
                }),
            }
        })
    }

    fn solve(
        &self,
        request: SolveRequest,
        events: EventSink,
        cancel: CancellationToken,
    ) -> BoxFuture<'_, Result<ImageSummary, BuildFailure>> {
        let (sender, mut acts) = mpsc::unbounded_channel();
        self.builds.lock().unwrap().insert(request.build, sender);
        self.begun.send_modify(|count| *count += 1);
        Box::pin(async move {
            let mut reported = 0_u64;
            loop {
                let act = tokio::select! {
                    act = acts.recv() => act,
                    () = cancel.cancelled() => None,
                };
                match act {
                    Some(Act::Report(count)) => {
                        for _ in 0..count {
                            reported += 1;
                            events.status(status(reported));
                            tokio::task::yield_now().await;
                        }
                    }
                    Some(Act::Print(text)) => events.status(printed(text)),
                    Some(Act::Finish) => {
                        return Ok(ImageSummary {
                            layers: self.layers.lock().unwrap().clone(),
                            ..image()
                        });
                    }
                    None => {
                        return Err(BuildFailure {
                            message: "cancelled".into(),
                            vertex: None,
                            exit_code: None,
                        });
                    }
                }
            }
        })
    }

    fn export<'a>(
        &'a self,
        _: &'a Digest,
        naming: &'a Naming,
        _: OutputFormat,
        mut out: Box<dyn Write + Send>,
    ) -> BoxFuture<'a, Result<(), BackendError>> {
        let name = naming.names.first().map(ToString::to_string).unwrap_or_default();
        Box::pin(async move {
            let (pieces, breaks) = *self.export.lock().unwrap();
            let write = move || {
                let piece = name.bytes().cycle().take(64 << 10).collect::<Vec<_>>();
                (0..pieces).try_for_each(|_| out.write_all(&piece))
            };
            tokio::task::spawn_blocking(write)
                .await
                .unwrap()
                .map_err(|error| BackendError::Internal(error.to_string()))?;
            if breaks {
                Err(BackendError::Internal("a layer vanished".into()))
            } else {
                Ok(())
            }
        })
    }
}

fn printed(text: &str) -> SolveStatus {
    let digest = Digest::of(b"talk");
    let vertex = Vertex {
        digest: digest.clone(),
        name: "RUN talk".to_owned(),
        ..status(0).vertexes.remove(0)
    };
    let log = VertexLog {
        vertex: digest,
        stream: 1,
        data: text.as_bytes().to_vec(),
        timestamp: stagewright::backend::timestamp(),
    };
    SolveStatus {
        vertexes: vec![vertex],
        logs: vec![log],
        ..SolveStatus::default()
    }
}

fn status(number: u64) -> SolveStatus {
    let vertex = Vertex {
        digest: Digest::of(&number.to_be_bytes()),
        inputs: Vec::new(),
        // Long enough that a few thousand of them fill every buffer between a worker and a client.
        name: format!("step {number} {}", "-".repeat(4096)),
        started: None,
        completed: None,
        cached: false,
        error: String::new(),
        reason: String::new(),
    };
    SolveStatus {
        vertexes: vec![vertex],
        ..SolveStatus::default()
    }
}

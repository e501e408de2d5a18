//! What a build tells of its steps, in the shape of rawjson.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use stagewright_core::digest::Digest;
use stagewright_core::protocol::{Event, Layer, SolveStatus, Vertex, VertexLog, VertexStatus, VertexWarning};

use super::flight::Listener;
use crate::backend::graph::{Graph, GraphVertex};
use crate::backend::{EventSink, SolveRequest, task, timestamp};

/// What happens inside of one step. It is told without naming the step, as several builds may wait for the same one.
#[derive(Debug, Clone)]
pub(crate) enum News {
    /// It is at work since then.
    Started(String),
    /// It printed something.
    Log {
        /// 1 for standard output, 2 for standard error.
        stream: u32,
        /// The bytes.
        data: Vec<u8>,
        /// When.
        timestamp: String,
    },
    /// Something in it got further.
    Progress(Part),
    /// What a person should know.
    Warning(String),
    /// Its files became a layer.
    Layer(LayerNews),
}

/// Progress of something within a step.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Names it within the step.
    pub(crate) id: String,
    /// What goes on.
    pub(crate) name: &'static str,
    /// How much is done.
    pub(crate) current: u64,
    /// How much there is; 0 where unknown.
    pub(crate) total: u64,
    /// When it began.
    pub(crate) started: String,
    /// Whether it is over.
    pub(crate) completed: bool,
}

/// A [`Layer`] that does not say yet which step it is of.
#[derive(Debug, Clone)]
pub(crate) struct LayerNews {
    /// sha256 of the uncompressed tar.
    pub(crate) diff_id: Digest,
    /// Size of the uncompressed tar in bytes.
    pub(crate) unpacked_size: u64,
    /// Entries that are new.
    pub(crate) added: u64,
    /// Entries that changed.
    pub(crate) changed: u64,
    /// Entries that were removed.
    pub(crate) removed: u64,
    /// The blob's digest, size and media type, where it was compressed.
    pub(crate) blob: Option<(Digest, u64, String)>,
}

/// Media type of a layer that has not been compressed.
const PLAIN_LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

impl LayerNews {
    fn of(self, vertex: Digest) -> Layer {
        let Self {
            diff_id,
            unpacked_size,
            added,
            changed,
            removed,
            blob,
        } = self;
        let (digest, size, media_type) = match blob {
            Some((digest, size, media_type)) => (Some(digest), size, media_type),
            None => (None, unpacked_size, PLAIN_LAYER.to_owned()),
        };
        Layer {
            vertex,
            diff_id,
            digest,
            media_type,
            size,
            unpacked_size,
            added,
            changed,
            removed,
        }
    }
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum End {
    /// Its result was there already.
    Cached,
    /// It ran.
    Ran,
    /// It failed, or was stopped.
    Error(String),
}

/// Tells one build's events.
pub(crate) struct Progress {
    sink: EventSink,
    /// Bytes of log that this build may still send.
    log_left: AtomicU64,
    steps: BTreeMap<Digest, Mutex<Vertex>>,
}

impl Progress {
    /// Announces all steps of `graph`.
    pub(crate) fn announce(sink: EventSink, graph: &Graph, log_limit: u64) -> Arc<Self> {
        let vertexes: Vec<Vertex> = graph
            .vertices
            .iter()
            .map(|vertex| announced(vertex, &graph.vertices))
            .collect();
        sink.status(SolveStatus {
            vertexes: vertexes.clone(),
            ..SolveStatus::default()
        });
        let steps = vertexes
            .into_iter()
            .map(|vertex| (vertex.digest.clone(), Mutex::new(vertex)))
            .collect();
        Arc::new(Self {
            sink,
            log_left: AtomicU64::new(log_limit),
            steps,
        })
    }

    /// Passes news of a step on.
    pub(crate) fn tell(&self, vertex: &Digest, news: &News) {
        match news {
            News::Started(at) => self.change(vertex, |step| {
                step.started = Some(at.clone());
                step.completed = None;
                step.cached = false;
            }),
            News::Log {
                stream,
                data,
                timestamp,
            } => self.log(vertex, *stream, data, timestamp.clone()),
            News::Progress(part) => self.part(vertex, part),
            News::Warning(text) => self.sink.status(SolveStatus {
                warnings: vec![VertexWarning {
                    vertex: vertex.clone(),
                    level: 1,
                    short: text.clone().into_bytes(),
                }],
                ..SolveStatus::default()
            }),
            News::Layer(layer) => self.sink.emit(Event::Layer(layer.clone().of(vertex.clone()))),
        }
    }

    /// A listener that passes on what it hears as news of `vertex`.
    pub(crate) fn listener(self: &Arc<Self>, vertex: &Digest) -> Listener {
        let (progress, vertex) = (Arc::clone(self), vertex.clone());
        Arc::new(move |news| progress.tell(&vertex, news))
    }

    /// Says why a step runs or need not; it is sent with the step's next change.
    pub(crate) fn reason(&self, vertex: &Digest, reason: String) {
        if let Some(step) = self.steps.get(vertex) {
            step.lock().unwrap_or_else(PoisonError::into_inner).reason = reason;
        }
    }

    /// A step is over.
    pub(crate) fn end(&self, vertex: &Digest, end: &End) {
        self.change(vertex, |step| {
            let now = timestamp();
            step.started.get_or_insert_with(|| now.clone());
            step.completed = Some(now);
            step.cached = *end == End::Cached;
            if let End::Error(error) = end {
                step.error.clone_from(error);
            }
        });
    }

    /// Tells that something begins that is no step of the plan.
    pub(crate) fn task(&self, request: &SolveRequest, name: &str) -> Vertex {
        let build = format!("build {}", request.build);
        let vertex = match request.extras.part.as_str() {
            "" => task(name, &build),
            part => task(&format!("{name} for {part}"), &build),
        };
        self.sink.status(SolveStatus {
            vertexes: vec![vertex.clone()],
            ..SolveStatus::default()
        });
        vertex
    }

    /// It is over.
    pub(crate) fn task_ended(&self, mut task: Vertex, error: Option<&str>) {
        task.completed = Some(timestamp());
        error.unwrap_or_default().clone_into(&mut task.error);
        self.sink.status(SolveStatus {
            vertexes: vec![task],
            ..SolveStatus::default()
        });
    }

    fn change(&self, vertex: &Digest, change: impl FnOnce(&mut Vertex)) {
        let Some(step) = self.steps.get(vertex) else {
            return;
        };
        // Sent under the step's lock, so that an older state never comes after a newer one.
        let mut step = step.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut step);
        self.sink.status(SolveStatus {
            vertexes: vec![step.clone()],
            ..SolveStatus::default()
        });
    }

    fn part(&self, vertex: &Digest, part: &Part) {
        let now = timestamp();
        let status = VertexStatus {
            id: part.id.clone(),
            vertex: vertex.clone(),
            name: part.name.to_owned(),
            current: part.current,
            total: part.total,
            completed: part.completed.then(|| now.clone()),
            timestamp: now,
            started: Some(part.started.clone()),
        };
        self.sink.status(SolveStatus {
            statuses: vec![status],
            ..SolveStatus::default()
        });
    }

    fn log(&self, vertex: &Digest, stream: u32, data: &[u8], timestamp: String) {
        let length = data.len() as u64;
        let take = |left: u64| Some(left.saturating_sub(length));
        let left = self
            .log_left
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, take)
            .unwrap_or(0);
        let data = match left {
            0 => return,
            left if left >= length => data.to_vec(),
            left => {
                let mut cut = data
                    .get(..usize::try_from(left).unwrap_or(0))
                    .unwrap_or_default()
                    .to_vec();
                cut.extend_from_slice(
                    b"\n[this build has printed as much as is kept; the rest is left out]\n",
                );
                cut
            }
        };
        let log = VertexLog {
            vertex: vertex.clone(),
            stream,
            data,
            timestamp,
        };
        self.sink.status(SolveStatus {
            logs: vec![log],
            ..SolveStatus::default()
        });
    }
}

fn announced(vertex: &GraphVertex, all: &[GraphVertex]) -> Vertex {
    let inputs = vertex.inputs.iter().filter_map(|edge| all.get(edge.vertex));
    Vertex {
        digest: vertex.digest.clone(),
        inputs: inputs.map(|input| input.digest.clone()).collect(),
        name: vertex.name.clone(),
        started: None,
        completed: None,
        cached: false,
        error: String::new(),
        reason: String::new(),
    }
}

//! What people see of a build while it runs.

use stagewright_core::digest::Digest;
use stagewright_core::protocol::{SolveStatus, Vertex};

use super::tell;
use crate::backend::timestamp;
use crate::cli::progress::Progress;

/// Shows progress in one way or another.
pub(super) enum Display {
    /// Lines of text.
    Plain(Progress),
    /// Nothing at all.
    Quiet,
}

impl Display {
    pub(super) fn new(quiet: bool) -> Self {
        if quiet {
            Self::Quiet
        } else {
            Self::Plain(Progress::default())
        }
    }

    pub(super) fn status(&mut self, status: &SolveStatus) {
        match self {
            Self::Plain(progress) => tell(&progress.tell(status)),
            Self::Quiet => {}
        }
    }

    /// Something for people that is about no step.
    pub(super) fn note(&self, text: &str) {
        match self {
            Self::Plain(_) => tell(text),
            Self::Quiet => {}
        }
    }

    /// Shows something that is done once the build is as a step of its own.
    pub(super) async fn task<T, E: std::fmt::Display>(
        &mut self,
        name: &str,
        work: impl Future<Output = Result<T, E>>,
    ) -> Result<T, E> {
        let mut vertex = Vertex {
            digest: Digest::of(format!("{name} at {}", timestamp()).as_bytes()),
            inputs: Vec::new(),
            name: name.to_owned(),
            started: Some(timestamp()),
            completed: None,
            cached: false,
            error: String::new(),
            reason: String::new(),
        };
        self.vertex(&vertex);
        let result = work.await;
        vertex.completed = Some(timestamp());
        if let Err(error) = &result {
            vertex.error = error.to_string();
        }
        self.vertex(&vertex);
        result
    }

    fn vertex(&mut self, vertex: &Vertex) {
        self.status(&SolveStatus {
            vertexes: vec![vertex.clone()],
            ..SolveStatus::default()
        });
    }
}

//! What is counted of the server itself, for [`super::v1`]'s metrics.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// Counts since the worker began.
#[derive(Debug, Default)]
pub(super) struct Counts {
    received: AtomicU64,
    connections: Arc<AtomicU64>,
}

impl Counts {
    /// Notes bytes of a request's body.
    pub(super) fn received(&self, bytes: usize) {
        self.received.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Notes a connection, which is open until what is returned is dropped.
    pub(super) fn connection(&self) -> Open {
        self.connections.fetch_add(1, Ordering::Relaxed);
        Open(Arc::clone(&self.connections))
    }

    pub(super) fn bytes_received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    pub(super) fn connections_open(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

/// An open connection.
pub(super) struct Open(Arc<AtomicU64>);

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

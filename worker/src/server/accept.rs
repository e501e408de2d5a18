//! Takes TCP connections and speaks HTTP on them: with a bound on their number and on the time that a request's
//! headers may take, which axum's own `serve` does not have.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::App;

/// Answers until the server closes, and returns when all connections have ended.
pub(super) async fn serve(app: App, listener: TcpListener, router: Router) {
    let slots = Arc::new(Semaphore::new(app.limits.connections));
    let connections = tokio_util::task::TaskTracker::new();
    loop {
        // No slot, no accept: what comes now waits in the kernel's queue, which is bounded too.
        let slot = tokio::select! {
            slot = Arc::clone(&slots).acquire_owned() => slot,
            () = app.draining.cancelled() => break,
        };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = app.draining.cancelled() => break,
        };
        match accepted {
            Ok((stream, _)) => {
                let (app, router) = (Arc::clone(&app), router.clone());
                connections.spawn(async move {
                    connection(&app, stream, router).await;
                    drop(slot);
                });
            }
            Err(error) => {
                // Mostly a lack of file descriptors: at once again would only burn the processor.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
    drop(listener);
    connections.close();
    connections.wait().await;
}

async fn connection(app: &App, stream: TcpStream, router: Router) {
    // Progress comes as many small messages; each is to be seen at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits.headers)
        .serve_connection(TokioIo::new(stream), TowerToHyperService::new(router))
        .with_upgrades();
    let mut connection = std::pin::pin!(connection);
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = app.closing.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = ended {
        tracing::debug!(%error, "a connection ended early");
    }
}

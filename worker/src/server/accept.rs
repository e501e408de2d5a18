//! Takes TCP connections, by TLS where the worker has a certificate, and speaks HTTP on them: with a bound on their
//! number and on the time that a greeting and a request's headers may take, which axum's own `serve` does not have.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::App;
use super::access::Peer;
use super::stall::Impatient;
use super::tls::Tls;

/// Answers until the server closes, and returns when all connections have ended.
pub(super) async fn serve(app: App, listener: TcpListener, tls: Option<Tls>, router: Router) {
    let slots = Arc::new(Semaphore::new(app.limits.connections));
    let connections = tokio_util::task::TaskTracker::new();
    let tls = tls.map(Arc::new);
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
            Ok((stream, peer)) => {
                let (app, tls, router) = (Arc::clone(&app), tls.clone(), router.clone());
                connections.spawn(async move {
                    let open = app.counts.connection();
                    connection(&app, stream, Peer(peer.ip()), tls.as_deref(), router).await;
                    drop((open, slot));
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

async fn connection(app: &App, stream: TcpStream, peer: Peer, tls: Option<&Tls>, router: Router) {
    // Progress comes as many small messages; each is to be seen at once.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "a connection was gone before it began");
        return;
    }
    let Some(tls) = tls else {
        return converse(app, stream, peer, router).await;
    };
    let greeted = tokio::select! {
        greeted = tokio::time::timeout(app.limits.headers, tls.accept(stream)) => greeted,
        () = app.closing.cancelled() => return,
    };
    match greeted {
        Ok(Ok(stream)) => converse(app, stream, peer, router).await,
        Ok(Err(error)) => tracing::debug!(%error, "a client does not speak our TLS"),
        Err(_) => tracing::debug!("a client did not greet in time"),
    }
}

async fn converse<S>(app: &App, stream: S, peer: Peer, router: Router)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let stream = Impatient::new(stream, app.limits.silence);
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        router.call(request)
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(app.limits.headers)
        .serve_connection(TokioIo::new(stream), service)
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

//! The accept loop: as many connections as there is room for, each with deadlines, and an orderly
//! end.
//!
//! What always holds: a failing `accept` (too many open files) slows the loop down instead of making
//! it spin; past the limit, connections wait in the kernel's queue; after the stop signal nothing is
//! accepted, and requests under way have [`DRAIN_MAX`] to finish.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http::Request;
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tower::ServiceExt as _;

use super::Surface;
use super::connection::{Connection, Version};
use super::stream::Stream;
use crate::config::LimitsConfig;

/// How long requests under way may take after the stop signal: shorter than the 30 s after which
/// container runtimes kill, with time left to write the last snapshot.
pub const DRAIN_MAX: Duration = Duration::from_secs(10);

/// Requests that one HTTP/2 connection may have under way. Senders open several connections; this
/// only has to keep one of them from taking all the room.
const H2_STREAMS_MAX: u32 = 64;

/// How often an HTTP/2 peer is asked whether it is still there.
const H2_PING_EVERY: Duration = Duration::from_secs(20);

/// First and longest pause after an `accept` that failed for want of resources.
const ACCEPT_PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_secs(1));

/// Who sent a request; an extension of every request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer(pub SocketAddr);

/// Binds the address; port 0 takes any free one (ask the listener which).
pub async fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    TcpListener::bind(address).await
}

/// Accepts and serves until `shutdown`, then drains. Returns when the last connection is closed.
pub(super) async fn accept(
    listener: TcpListener,
    surface: Arc<Surface>,
    shutdown: CancellationToken,
) {
    let limits = Arc::clone(&surface.state.limits);
    let room = Arc::new(Semaphore::new(limits.connections.max(1) as usize));
    let host = Host {
        surface,
        handshakes: Arc::new(Semaphore::new(handshakes_max(&limits))),
        shutdown: shutdown.clone(),
    };
    let tasks = TaskTracker::new();
    let mut pause = ACCEPT_PAUSE.0;
    loop {
        let permit = tokio::select! {
            () = shutdown.cancelled() => break,
            permit = Arc::clone(&room).acquire_owned() => match permit {
                Ok(permit) => permit,
                Err(_) => unreachable!("BUG: the semaphore is never closed"),
            },
        };
        let accepted = tokio::select! {
            () = shutdown.cancelled() => break,
            accepted = listener.accept() => accepted,
        };
        match accepted {
            Ok((stream, peer)) => {
                pause = ACCEPT_PAUSE.0;
                let connection = serve(stream, Peer(peer), host.clone());
                tasks.spawn(async move {
                    connection.await;
                    drop::<OwnedSemaphorePermit>(permit);
                });
            }
            // The peer went away between its SYN and our accept: not our trouble.
            Err(e) if is_of_peer(&e) => {}
            Err(e) => {
                tracing::warn!(error = %e, pause = ?pause, "cannot accept connections, waiting");
                tokio::select! {
                    () = shutdown.cancelled() => break,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(ACCEPT_PAUSE.1);
            }
        }
    }
    drop(listener);
    tasks.close();
    tasks.wait().await;
}

fn is_of_peer(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
            | io::ErrorKind::Interrupted
    )
}

#[derive(Debug, Clone, Copy)]
pub(super) struct Waits {
    pub(super) head: Duration,
    pub(super) write: Duration,
}

/// What every connection is served with.
#[derive(Clone)]
struct Host {
    surface: Arc<Surface>,
    /// Room for handshakes of TLS.
    handshakes: Arc<Semaphore>,
    shutdown: CancellationToken,
}

/// Half of all connections may be in a handshake: strangers who never end theirs leave room for those
/// who have.
fn handshakes_max(limits: &LimitsConfig) -> usize {
    (limits.connections / 2).max(1) as usize
}

/// The connection once it may be read from: after its handshake, if TLS is spoken.
async fn secured(stream: TcpStream, host: &Host) -> io::Result<Stream> {
    let Some(tls) = host.surface.tls() else {
        return Ok(Stream::Plain(stream));
    };
    let Ok(_turn) = host.handshakes.acquire().await else {
        unreachable!("BUG: the semaphore is never closed");
    };
    let accepted = TlsAcceptor::from(tls).accept(stream).await?;
    Ok(Stream::Tls(Box::new(accepted)))
}

async fn serve(stream: TcpStream, peer: Peer, host: Host) {
    let (waits, shutdown) = (host.surface.waits(), host.shutdown.clone());
    // Answers are short and complete: waiting to fill a packet only adds latency.
    let _ = stream.set_nodelay(true);
    let opened = tokio::select! {
        () = shutdown.cancelled() => return,
        secured = tokio::time::timeout(waits.head, secured(stream, &host)) => match secured {
            Ok(Ok(stream)) => stream,
            Ok(Err(e)) => return tracing::debug!(peer = %peer.0, error = %e, "handshake failed"),
            Err(_) => return tracing::debug!(peer = %peer.0, "closed: no handshake in time"),
        },
    };
    let opened = tokio::select! {
        () = shutdown.cancelled() => return,
        opened = tokio::time::timeout(waits.head, Connection::open(opened, waits.write)) => opened,
    };
    let (connection, version) = match opened {
        Ok(Ok(Some((_, version)))) if !host.surface.speaks(version) => {
            return tracing::debug!(peer = %peer.0, ?version, "closed: not spoken here");
        }
        Ok(Ok(Some(opened))) => opened,
        Ok(Ok(None)) => return,
        Ok(Err(e)) => return tracing::debug!(peer = %peer.0, error = %e, "connection failed"),
        Err(_) => return tracing::debug!(peer = %peer.0, "closed: no request arrived in time"),
    };
    let head_timer = connection.head_timer(waits.head);
    let io = TokioIo::new(connection);
    let service = service_fn(move |mut request: Request<Incoming>| {
        request.extensions_mut().insert(peer);
        let router = host.surface.routes();
        async move { Ok::<_, Infallible>(into_ok(router.oneshot(request.map(Body::new)).await)) }
    });
    let ended = match version {
        Version::Http1 => {
            let connection = http1::Builder::new()
                .timer(head_timer)
                .header_read_timeout(waits.head)
                .serve_connection(io, service);
            drain(connection, shutdown, |c| c.graceful_shutdown()).await
        }
        Version::Http2 => {
            let connection = http2::Builder::new(TokioExecutor::new())
                .timer(TokioTimer::new())
                .max_concurrent_streams(H2_STREAMS_MAX)
                .keep_alive_interval(H2_PING_EVERY)
                .keep_alive_timeout(waits.head)
                .serve_connection(io, service);
            drain(connection, shutdown, |c| c.graceful_shutdown()).await
        }
    };
    if let Err(e) = ended {
        tracing::debug!(peer = %peer.0, error = %e, "connection ended");
    }
}

fn into_ok<T>(result: Result<T, Infallible>) -> T {
    match result {
        Ok(t) => t,
        Err(never) => match never {},
    }
}

/// Runs a connection to its end; after the stop signal it is told to finish and has [`DRAIN_MAX`].
async fn drain<C: Future<Output = hyper::Result<()>>>(
    connection: C,
    shutdown: CancellationToken,
    finish: impl FnOnce(Pin<&mut C>),
) -> hyper::Result<()> {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        ended = connection.as_mut() => return ended,
        () = shutdown.cancelled() => {}
    }
    finish(connection.as_mut());
    tokio::time::timeout(DRAIN_MAX, connection)
        .await
        .unwrap_or(Ok(()))
}

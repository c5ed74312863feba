//! What every call passes first: the door, then the limits.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::AUTHORIZATION;
use http::{StatusCode, Version};
use tokio::sync::Semaphore;
use tokio_util::sync::CancellationToken;
use tonic::Status;
use tower_http::catch_panic::CatchPanicLayer;

use super::cut::Cut;
use super::{CALLS_AT_ONCE, STREAMS_AT_ONCE};
use crate::expose::secure::gate::{Refused, let_in};
use crate::expose::secure::{Entrance, rights};
use crate::telemetry::Metrics;

/// Methods whose answers are streams.
const STREAMS: [&str; 4] = [
    "/saimon.v1.Saimon/WatchAnomalies",
    "/grpc.health.v1.Health/Watch",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
];

/// What there is room for.
pub(super) struct Room {
    calls: Arc<Semaphore>,
    streams: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            calls: Arc::new(Semaphore::new(CALLS_AT_ONCE)),
            streams: Arc::new(Semaphore::new(STREAMS_AT_ONCE)),
        }
    }
}

#[cfg(test)]
impl Room {
    /// Takes all the room for calls.
    pub(super) fn hold_all(&self) -> tokio::sync::SemaphorePermit<'_> {
        self.calls.try_acquire_many(CALLS_AT_ONCE as u32).unwrap()
    }
}

pub(super) struct Gate {
    pub(super) entrance: Arc<Entrance>,
    pub(super) metrics: Arc<Metrics>,
    pub(super) room: Arc<Room>,
    /// How long a call may take, the receiving of its message included.
    pub(super) longest: Duration,
    pub(super) shutdown: CancellationToken,
}

impl Gate {
    /// Closes all methods, unknown ones included.
    pub(super) fn around(self, routes: Router) -> Router {
        routes
            .layer(from_fn_with_state(Arc::new(self), pass))
            .layer(CatchPanicLayer::custom(panicked))
    }
}

async fn pass(Extract(gate): Extract<Arc<Gate>>, request: Request, next: Next) -> Response {
    if request.version() < Version::HTTP_2 {
        let text = "this is gRPC, which needs HTTP/2: REST is on the address of --http-listen\n";
        return (StatusCode::HTTP_VERSION_NOT_SUPPORTED, text).into_response();
    }
    let path = request.uri().path();
    let header = request.headers().get(AUTHORIZATION).cloned();
    let right = rights::needed_by(path);
    if let Err(refused) = let_in(&gate.entrance.door(), header.as_ref(), right).await {
        return answered(&refuse(&gate.metrics, &refused));
    }
    if STREAMS.contains(&path) {
        let Ok(place) = Arc::clone(&gate.room.streams).try_acquire_owned() else {
            let what = format!("there are {STREAMS_AT_ONCE} streams already, come back later");
            return answered(&Status::resource_exhausted(what));
        };
        let shutdown = gate.shutdown.clone();
        let response = next.run(request).await;
        return response.map(|body| Body::new(Cut::new(body, shutdown, place)));
    }
    let Ok(_place) = gate.room.calls.try_acquire() else {
        let what = format!("{CALLS_AT_ONCE} calls are under way already, come back in a second");
        return answered(&Status::resource_exhausted(what));
    };
    match tokio::time::timeout(gate.longest, next.run(request)).await {
        Ok(response) => response,
        Err(_) => answered(&Status::deadline_exceeded(
            "the call took longer than limits.request",
        )),
    }
}

fn refuse(metrics: &Metrics, refused: &Refused) -> Status {
    let (counted_as, status) = match refused {
        Refused::Unknown(_) => {
            let what = "no credentials that are known: send `authorization` metadata";
            (401, Status::unauthenticated(what))
        }
        Refused::Busy => (503, Status::unavailable(refused.to_string())),
        Refused::Lacks(..) => (403, Status::permission_denied(refused.to_string())),
    };
    metrics.config.refused(counted_as);
    status
}

fn answered(status: &Status) -> Response {
    status.clone().into_http()
}

fn panicked(why: Box<dyn Any + Send + 'static>) -> Response {
    let why = crate::expose::layers::message(why);
    tracing::error!(panic = why, "BUG: a call panicked, please report this");
    answered(&Status::internal("saimon failed on this call: see its log"))
}

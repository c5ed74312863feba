//! `POST /api/v1/read`: the windows, and what is computed from them, read back by Prometheus.
//!
//! What always holds:
//! - An answer is whole or an error: a failure before the first byte is a status, one after it cuts
//!   the connection.
//! - A reader never delays a sample for long: series and windows are asked for in bounded amounts.
//! - What a request may use has a named limit: bytes, queries, matchers, its turn, series, samples,
//!   the time to the first byte, and the time in which a client must take the next piece.

mod answer;
mod chunks;
mod computed;
mod feed;
mod samples;
mod select;
mod source;
#[cfg(test)]
mod tests;
mod windows;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::header::{CONTENT_ENCODING, CONTENT_TYPE};
use http::{HeaderValue, Method};
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout, timeout_at};

use self::answer::ReadError;
use self::chunks::{Begun, ChunksAnswer, Cut};
use self::computed::Both;
use self::feed::feed;
use self::samples::{Packed, Room};
use self::select::{OuterLabels, Selected, select};
use self::source::Source;
use super::State;
use crate::config::{LimitsConfig, ReadConfig};
use crate::telemetry::{CodeLabel, Metrics};
use crate::wire::read::{self, REQUEST_BYTES_MAX, ReadRequest};
use crate::wire::snappy::BodyPool;

/// Prometheus compares the media types of answers byte by byte.
const SAMPLES_TYPE: HeaderValue = HeaderValue::from_static("application/x-protobuf");
const SNAPPY: HeaderValue = HeaderValue::from_static("snappy");
const CHUNKS_TYPE: HeaderValue = HeaderValue::from_static(
    "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse",
);

/// Answers in samples up to this size are handed over at once.
const WHOLE_MAX: usize = 64 * 1024;

/// Buffers for requests that are kept; a request has some hundred bytes.
const BODIES_KEPT: usize = 4;

pub(super) fn routes(state: &State) -> Router {
    let reading = Reading::new(
        Both::new(state.reader.clone(), &state.read),
        &state.read,
        &state.limits,
        &state.metrics,
    );
    serve(reading)
}

fn serve<S: Source>(reading: Reading<S>) -> Router {
    Router::new()
        .route("/api/v1/read", any(handle::<S>))
        .with_state(Arc::new(reading))
}

async fn handle<S: Source>(
    Extract(reading): Extract<Arc<Reading<S>>>,
    request: Request,
) -> Response {
    let response = match Arc::clone(&reading).answer(request).await {
        Ok(response) => response,
        Err(error) => {
            if let ReadError::Broken(_) = error {
                tracing::error!(%error, "a remote read was refused");
            }
            error.into_response()
        }
    };
    let code = u32::from(response.status().as_u16());
    let counted = reading
        .metrics
        .read_requests
        .get_or_create(&CodeLabel { code });
    counted.inc();
    response
}

/// The two forms of an answer; the numbers are those of `ResponseType`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    Samples,
    Chunks,
}

/// The first one of the client's list that is known; without a list, samples.
fn form(accepted: &[i32]) -> Result<Form, ReadError> {
    if accepted.is_empty() {
        return Ok(Form::Samples);
    }
    let known = accepted.iter().find_map(|accepted| match accepted {
        0 => Some(Form::Samples),
        1 => Some(Form::Chunks),
        _ => None,
    });
    known.ok_or_else(|| ReadError::NoSuchForm(accepted.to_vec()))
}

#[derive(Debug)]
struct Limits {
    wait: Duration,
    /// To the first byte of an answer, and between two pieces of it.
    request: Duration,
    series: usize,
    samples: usize,
    frame: usize,
}

/// What answers read requests.
struct Reading<S> {
    source: S,
    outer: Arc<OuterLabels>,
    limits: Limits,
    /// A turn is held until the last byte is on its way.
    turns: Arc<Semaphore>,
    room: Room,
    bodies: Arc<BodyPool>,
    metrics: Arc<Metrics>,
}

impl<S: Source> Reading<S> {
    fn new(source: S, config: &ReadConfig, limits: &LimitsConfig, metrics: &Arc<Metrics>) -> Self {
        let bytes = |size: bytesize::ByteSize| usize::try_from(size.as_u64()).unwrap_or(usize::MAX);
        Self {
            source,
            outer: Arc::new(OuterLabels::new(config)),
            limits: Limits {
                wait: config.wait,
                request: limits.request,
                series: config.series as usize,
                samples: config.samples as usize,
                frame: bytes(config.frame),
            },
            turns: Arc::new(Semaphore::new(config.at_once.max(1) as usize)),
            room: Room::new(bytes(config.answer)),
            bodies: BodyPool::new(BODIES_KEPT),
            metrics: Arc::clone(metrics),
        }
    }

    async fn answer(self: Arc<Self>, request: Request) -> Result<Response, ReadError> {
        if request.method() != Method::POST {
            return Err(ReadError::Method);
        }
        let until = Instant::now() + self.limits.request;
        let body = timeout_at(until, collected(request.into_body()))
            .await
            .map_err(|_| ReadError::BodyBroken("it did not come in time".to_owned()))??;
        let request = self.decode(&body)?;
        let form = form(&request.accepted)?;
        let turn = timeout(self.limits.wait, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Err(ReadError::Busy);
        };
        let queries = self.in_time(self.select(&request)).await?;
        match form {
            Form::Samples => self.samples(queries, turn).await,
            Form::Chunks => self.chunks(queries, turn).await,
        }
    }

    fn decode(&self, body: &[u8]) -> Result<ReadRequest, ReadError> {
        let raw = self.bodies.decompress(body, REQUEST_BYTES_MAX)?;
        Ok(read::decode(&raw)?)
    }

    /// The series of all queries: all of them before the first byte, so that what cannot be answered
    /// gets a status.
    async fn select(&self, request: &ReadRequest) -> Result<Vec<Selected<S::Series>>, ReadError> {
        let mut queries = Vec::with_capacity(request.queries.len());
        let mut left = self.limits.series;
        for query in &request.queries {
            let selected = match select(&self.source, &self.outer, query, left).await {
                // `left` is what other queries of the request have left of it.
                Err(ReadError::Series(_)) => return Err(ReadError::Series(self.limits.series)),
                selected => selected?,
            };
            left -= selected.series.len().min(left);
            queries.push(selected);
        }
        Ok(queries)
    }

    async fn samples(
        self: Arc<Self>,
        queries: Vec<Selected<S::Series>>,
        turn: OwnedSemaphorePermit,
    ) -> Result<Response, ReadError> {
        let packed = self.in_time(samples::make(&*self, &queries)).await?;
        drop(queries);
        self.metrics.read_bytes.inc_by(packed.bytes.len() as u64);
        let body = if packed.bytes.len() <= WHOLE_MAX {
            Body::from(packed.bytes)
        } else {
            self.fed(packed, turn)
        };
        let headers = [(CONTENT_TYPE, SAMPLES_TYPE), (CONTENT_ENCODING, SNAPPY)];
        Ok((headers, body).into_response())
    }

    /// A body that holds its turn and its room until all of it is on its way.
    fn fed(self: &Arc<Self>, packed: Packed, turn: OwnedSemaphorePermit) -> Body {
        let (feed, body) = feed(self.limits.request, Some(packed.bytes.len()));
        let reading = Arc::clone(self);
        tokio::spawn(async move {
            match feed.send(&packed.bytes).await {
                // With its length known, the connection may not wait for the end.
                Ok(()) => drop(feed.end().await),
                Err(_) => drop(reading.metrics.read_cut.inc()),
            }
            drop(turn);
        });
        body
    }

    async fn chunks(
        self: Arc<Self>,
        queries: Vec<Selected<S::Series>>,
        turn: OwnedSemaphorePermit,
    ) -> Result<Response, ReadError> {
        let (feed, body) = feed(self.limits.request, None);
        let (begun, begins) = oneshot::channel();
        let answer = ChunksAnswer::new(Arc::clone(&self), feed, begun);
        tokio::spawn(async move {
            if let Err(cut) = answer.run(&queries).await {
                self.metrics.read_cut.inc();
                if let Cut::Failed(error) = cut {
                    tracing::warn!(%error, "a remote read was cut off half-way");
                }
            }
            drop(turn);
        });
        match begins.await {
            Ok(Begun::Sending) => Ok(([(CONTENT_TYPE, CHUNKS_TYPE)], body).into_response()),
            Ok(Begun::Failed(error)) => Err(error),
            Err(_) => Err(ReadError::Broken("the answer was given up".to_owned())),
        }
    }

    /// The step, or an error if it takes longer than a request may.
    async fn in_time<T>(
        &self,
        step: impl Future<Output = Result<T, ReadError>>,
    ) -> Result<T, ReadError> {
        timeout(self.limits.request, step)
            .await
            .unwrap_or(Err(ReadError::Slow))
    }
}

/// All of a request's body.
async fn collected(body: Body) -> Result<Bytes, ReadError> {
    let collected = Limited::new(body, REQUEST_BYTES_MAX).collect().await;
    collected.map(|c| c.to_bytes()).map_err(|e| {
        if e.is::<LengthLimitError>() {
            ReadError::BodyTooLarge
        } else {
            ReadError::BodyBroken(e.to_string())
        }
    })
}

//! Whether saimon lives, is ready, and how it is.
//!
//! *Healthy* only says that the process answers: a supervisor that restarts an unhealthy saimon must
//! not do so because a store is slow. *Ready* says that writes are taken.

use std::sync::atomic::{AtomicU8, Ordering};

use axum::Json;
use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::Serialize;

use super::State;
use crate::telemetry::{Metrics, PhaseLabel, Text};

/// Where in its life the process is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Stage {
    /// Restoring what was kept; not ready.
    Starting = 0,
    Ready = 1,
    /// The stop signal came; requests under way are finished.
    Stopping = 2,
}

/// Set by the app, read by the endpoints. A process that stops never becomes ready again.
#[derive(Debug, Default)]
pub struct Health(AtomicU8);

impl Health {
    pub fn stage(&self) -> Stage {
        match self.0.load(Ordering::Relaxed) {
            0 => Stage::Starting,
            1 => Stage::Ready,
            _ => Stage::Stopping,
        }
    }

    /// Writes are taken from now on.
    pub fn set_ready(&self) {
        self.0.fetch_max(Stage::Ready as u8, Ordering::Relaxed);
    }

    /// The process is about to end.
    pub fn set_stopping(&self) {
        self.0.fetch_max(Stage::Stopping as u8, Ordering::Relaxed);
    }
}

/// `GET /-/healthy`
pub(super) async fn healthy() -> &'static str {
    "saimon is healthy\n"
}

/// `GET /-/ready`
pub(super) async fn ready(Extract(state): Extract<State>) -> Response {
    match state.health.stage() {
        Stage::Starting => (StatusCode::SERVICE_UNAVAILABLE, "saimon is starting\n"),
        Stage::Ready => (StatusCode::OK, "saimon is ready\n"),
        Stage::Stopping => (StatusCode::SERVICE_UNAVAILABLE, "saimon is shutting down\n"),
    }
    .into_response()
}

/// What `/health` answers.
#[derive(Debug, Serialize)]
struct Report {
    /// `ok`, `degraded` (it scores, and keeps nothing), `starting` or `stopping`.
    status: &'static str,
    version: &'static str,
    /// Series in memory, ended ones included.
    series: i64,
    /// Series whose model gives scores.
    active_models: i64,
    store: Store,
}

#[derive(Debug, Serialize)]
struct Store {
    /// `ok` or `failing`.
    state: &'static str,
    /// True if the store could not be opened at start, was moved aside and begun anew.
    moved_aside: bool,
    bytes: i64,
}

/// `GET /health`
pub(super) async fn health(Extract(state): Extract<State>) -> Response {
    let report = report(&state.metrics, state.health.stage());
    let code = match state.health.stage() {
        Stage::Ready => StatusCode::OK,
        Stage::Starting | Stage::Stopping => StatusCode::SERVICE_UNAVAILABLE,
    };
    (code, Json(report)).into_response()
}

fn report(metrics: &Metrics, stage: Stage) -> Report {
    let phase = |name| {
        let label = PhaseLabel { phase: Text(name) };
        metrics.series.get(&label).map_or(0, |gauge| gauge.get())
    };
    let store_ok = metrics.store_ok.get() == 1;
    Report {
        status: match stage {
            Stage::Starting => "starting",
            Stage::Stopping => "stopping",
            Stage::Ready if store_ok => "ok",
            Stage::Ready => "degraded",
        },
        version: env!("CARGO_PKG_VERSION"),
        series: ["warmup", "young", "mature", "ended"]
            .into_iter()
            .map(phase)
            .sum(),
        active_models: metrics.active_models.get(),
        store: Store {
            state: if store_ok { "ok" } else { "failing" },
            moved_aside: metrics.store_moved_aside.get() == 1,
            bytes: metrics.store_bytes.get(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stopping_is_final() {
        let health = Health::default();
        assert_eq!(health.stage(), Stage::Starting);
        health.set_ready();
        assert_eq!(health.stage(), Stage::Ready);
        health.set_stopping();
        health.set_ready();
        assert_eq!(health.stage(), Stage::Stopping);
    }

    #[test]
    fn a_failing_store_degrades_and_does_not_make_unready() {
        let metrics = Metrics::new();
        metrics.store_ok.set(1);
        assert_eq!(report(&metrics, Stage::Ready).status, "ok");
        metrics.store_ok.set(0);
        let report = report(&metrics, Stage::Ready);
        assert_eq!((report.status, report.store.state), ("degraded", "failing"));
    }
}

//! The HTTP surface: writes in, metrics and scores out.
//!
//! What always holds: a stranger can make nothing here grow without a limit or hold anything for
//! ever, and no reader makes a shard wait: scores are read from the board's atomics, everything else
//! from counters. What this layer does not know: how a score comes about, or what is kept on disk.

pub mod accept;
mod api;
mod connection;
pub mod health;
mod index;
mod ingest;
mod layers;
pub mod listener;
mod metrics;
mod read;
pub mod scores;

use std::sync::Arc;

use axum::routing::get;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::api::ApiParts;
pub use self::health::{Health, Stage};
pub use self::ingest::replay::{Replay, ReplayError};
use crate::clock::Clock;
use crate::config::{LimitsConfig, ReadConfig};
use crate::engine::ask::Reader;
use crate::engine::router::Router;
use crate::score::board::Board;
use crate::score::groups::Groups;
use crate::telemetry::Metrics;

/// What the surface works on. Cheap to clone.
#[derive(Clone)]
pub struct State {
    /// Takes the rows of a write request to their shards.
    pub router: Router,
    /// Answers what is in the windows.
    pub reader: Reader,
    pub board: Arc<Board>,
    /// Which series of the board belong together.
    pub groups: Arc<Groups>,
    pub metrics: Arc<Metrics>,
    pub limits: Arc<LimitsConfig>,
    pub read: Arc<ReadConfig>,
    pub clock: Arc<dyn Clock>,
    /// Set by the app: whether saimon is starting, ready or stopping.
    pub health: Arc<Health>,
    /// What the API answers from.
    pub api: Arc<ApiParts>,
}

/// Serves on `listener` until `shutdown`, then lets requests under way finish for at most
/// [`listener::DRAIN_MAX`].
pub async fn serve(listener: TcpListener, state: State, shutdown: CancellationToken) {
    let limits = Arc::clone(&state.limits);
    listener::accept(listener, routes(&state), &limits, shutdown).await;
}

/// All routes with all their layers.
fn routes(state: &State) -> axum::Router {
    let own = axum::Router::new().route("/metrics", get(metrics::metrics));
    let pages = own.with_state(state.clone()).merge(scores::routes(state));
    let pages = layers::compressed(pages.merge(api::routes(state)));
    let others = axum::Router::new()
        .route("/", get(index::index))
        .route("/health", get(health::health))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .with_state(state.clone())
        .fallback(not_found);
    let reading = layers::in_time(pages.merge(others), &state.limits);
    // These two keep their deadlines themselves: theirs is not just the time to the first byte.
    let read = layers::when_recovered(read::routes(state), &state.router);
    let own_time = ingest::routes(state).merge(read);
    layers::around_all(reading.merge(own_time))
}

async fn not_found() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "no such path: see / for what is here\n",
    )
}

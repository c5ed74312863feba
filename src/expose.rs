//! The HTTP surface: writes in, metrics and scores out.
//!
//! What always holds: a stranger can make nothing here grow without a limit or hold anything for
//! ever, and no reader makes a shard wait: scores are read from the board's atomics, everything else
//! from counters. What this layer does not know: how a score comes about, or what is kept on disk.

pub mod accept;
mod api;
mod connection;
pub mod health;
mod ingest;
mod layers;
pub mod listener;
mod metrics;
mod page;
mod read;
pub mod reload;
pub mod scores;
pub mod secure;
mod stream;

use std::sync::Arc;

use arc_swap::ArcSwap;
use axum::routing::get;
use http::StatusCode;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

pub use self::api::ApiParts;
pub use self::health::{Health, Stage};
pub use self::ingest::replay::{Replay, ReplayError};
use self::listener::Waits;
use self::reload::Reloads;
use self::secure::Entrance;
use crate::clock::Clock;
use crate::config::{Config, LimitsConfig, ReadConfig};
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
    let surface = Surface::new(state, Arc::default(), None);
    Arc::new(surface).serve(listener, shutdown).await;
}

/// The whole surface, with a door before it; what it allows may be changed while it serves.
pub struct Surface {
    state: State,
    entrance: Arc<Entrance>,
    reloads: Option<Reloads>,
    served: ArcSwap<Served>,
}

/// What a reload changes.
struct Served {
    routes: axum::Router,
    waits: Waits,
}

impl Served {
    fn new(state: &State, entrance: &Arc<Entrance>, reloads: Option<Reloads>) -> Self {
        Self {
            routes: routes(state, entrance, reloads),
            waits: Waits {
                head: state.limits.header_wait,
                write: state.limits.request,
            },
        }
    }
}

impl Surface {
    /// For those whom `entrance` lets in.
    pub fn new(state: State, entrance: Arc<Entrance>, reloads: Option<Reloads>) -> Self {
        let served = Served::new(&state, &entrance, reloads.clone());
        Self {
            served: ArcSwap::from_pointee(served),
            state,
            entrance,
            reloads,
        }
    }

    /// Other limits from the next request on. Those under way, and how many connections there may be,
    /// are what they were. What was counted under the old limits does not count under the new ones,
    /// so for a moment there may be twice as many requests as either allows.
    pub fn retune(&self, config: &Config) {
        let state = State {
            limits: Arc::new(config.limits.clone()),
            read: Arc::new(config.read.clone()),
            api: Arc::new(ApiParts {
                feedback: self.state.api.feedback.clone(),
                maintenance: self.state.api.maintenance.clone(),
                ..ApiParts::new(self.state.api.records.clone(), config)
            }),
            ..self.state.clone()
        };
        let served = Served::new(&state, &self.entrance, self.reloads.clone());
        self.served.store(Arc::new(served));
    }

    /// Serves on `listener` until `shutdown`, as [`serve`] does.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        listener::accept(listener, self, shutdown).await;
    }

    fn routes(&self) -> axum::Router {
        self.served.load().routes.clone()
    }

    fn waits(&self) -> Waits {
        self.served.load().waits
    }
}

/// All routes with all their layers.
fn routes(state: &State, entrance: &Arc<Entrance>, reloads: Option<Reloads>) -> axum::Router {
    let own = axum::Router::new().route("/metrics", get(metrics::metrics));
    let pages = own.with_state(state.clone()).merge(scores::routes(state));
    let pages = layers::compressed(pages.merge(api::routes(state)).merge(page::routes()));
    let others = axum::Router::new()
        .route("/health", get(health::health))
        .route("/-/healthy", get(health::healthy))
        .route("/-/ready", get(health::ready))
        .with_state(state.clone())
        .route("/-/reload", reload::route(reloads))
        .fallback(not_found);
    let reading = layers::in_time(pages.merge(others), &state.limits);
    // These two keep their deadlines themselves: theirs is not just the time to the first byte.
    let read = layers::when_recovered(read::routes(state), &state.router);
    let own_time = ingest::routes(state).merge(read);
    let all = reading.merge(own_time);
    layers::around_all(secure::gate::around(all, entrance, &state.metrics))
}

async fn not_found() -> (StatusCode, &'static str) {
    (
        StatusCode::NOT_FOUND,
        "no such path: see / for what is here\n",
    )
}

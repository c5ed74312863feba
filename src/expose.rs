//! The surfaces, HTTP and gRPC: writes in, metrics, scores and answers out.
//!
//! What always holds: a stranger can make nothing here grow without a limit or hold anything for
//! ever, and no reader makes a shard wait: scores are read from the board's atomics, everything else
//! from counters. What this layer does not know: how a score comes about, or what is kept on disk.

pub mod accept;
mod api;
mod connection;
pub mod grpc;
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
use self::connection::Version;
use self::grpc::Grpc;
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
    protocol: Protocol,
    served: ArcSwap<Served>,
}

/// What is spoken on a listener.
enum Protocol {
    Http(Option<Reloads>),
    Grpc(Grpc),
}

/// What a reload changes.
struct Served {
    routes: axum::Router,
    waits: Waits,
}

impl Served {
    fn new(state: &State, entrance: &Arc<Entrance>, protocol: &Protocol) -> Self {
        Self {
            routes: match protocol {
                Protocol::Http(reloads) => routes(state, entrance, reloads.clone()),
                Protocol::Grpc(grpc) => grpc.routes(state, entrance),
            },
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
        Self::speaking(Protocol::Http(reloads), state, entrance)
    }

    /// gRPC instead of HTTP. Its streams end with `shutdown`.
    pub fn grpc(state: State, entrance: Arc<Entrance>, shutdown: &CancellationToken) -> Self {
        Self::speaking(Protocol::Grpc(Grpc::new(shutdown)), state, entrance)
    }

    fn speaking(protocol: Protocol, state: State, entrance: Arc<Entrance>) -> Self {
        let served = Served::new(&state, &entrance, &protocol);
        Self {
            served: ArcSwap::from_pointee(served),
            state,
            entrance,
            protocol,
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
        let served = Served::new(&state, &self.entrance, &self.protocol);
        self.served.store(Arc::new(served));
    }

    /// Serves on `listener` until `shutdown`, as [`serve`] does.
    pub async fn serve(self: Arc<Self>, listener: TcpListener, shutdown: CancellationToken) {
        if let Protocol::Grpc(grpc) = &self.protocol {
            grpc.follow(Arc::clone(&self.state.health)).await;
        }
        listener::accept(listener, self, shutdown).await;
    }

    /// What handshakes go by, if TLS is spoken.
    fn tls(&self) -> Option<Arc<rustls::ServerConfig>> {
        match self.protocol {
            Protocol::Http(_) => self.entrance.door().tls(),
            Protocol::Grpc(_) => self.entrance.door().tls_grpc(),
        }
    }

    fn speaks(&self, version: Version) -> bool {
        match (&self.protocol, version) {
            (Protocol::Http(_), Version::Http1) | (Protocol::Grpc(_), Version::Http2) => true,
            (Protocol::Http(_), Version::Http2) => self.entrance.door().http2(),
            // gRPC's own answer says what is wrong.
            (Protocol::Grpc(_), Version::Http1) => true,
        }
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

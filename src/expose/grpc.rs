//! gRPC: the resources of REST, a stream of changes, scores on demand, health and reflection (`proto/saimon/v1`).
//!
//! One meaning, two protocols: a method asks the endpoint of REST that has its name, with the fields of
//! the request as parameters, and the answer's JSON becomes the message (`fields`). So filters,
//! limits, pages and errors are the same, and an endpoint that learns something teaches both.
//!
//! What always holds: every call passes the same door as every request of HTTP; no more than
//! `CALLS_AT_ONCE` calls are under way, none of them for longer than `limits.request`; streams end
//! when saimon stops. tonic is named here, below, and nowhere else in `src/`.

mod cut;
mod fields;
mod gate;
mod score;
mod service;
mod status;
#[cfg(test)]
mod tests;
pub(crate) mod time;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;
use tonic::service::Routes;
use tonic_health::ServingStatus;
use tonic_health::pb::health_server::HealthServer;
use tonic_health::server::{HealthReporter, HealthService};

use self::service::Service;
use self::watch::Watchers;
use super::State;
use super::api::Api;
use super::health::{Health, Stage};
use super::secure::Entrance;
use v1::saimon_server::SaimonServer;

/// The messages of `saimon.v1`, its service, and a client for it.
pub mod v1 {
    #![allow(
        missing_docs,
        unreachable_pub,
        clippy::all,
        clippy::pedantic,
        reason = "generated"
    )]

    tonic::include_proto!("saimon.v1");

    /// All of `saimon.v1` with what it imports: a `google.protobuf.FileDescriptorSet`.
    pub const DESCRIPTORS: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/saimon.fds"));
}

/// Bytes of one message that is received: the samples of the largest series that is scored.
const MESSAGE_MAX: usize = 4 << 20;
/// Calls under way, streams left out; each may hold one message. More are refused.
const CALLS_AT_ONCE: usize = 32;
/// Streams under way, of all clients together. More are refused.
const STREAMS_AT_ONCE: usize = 256;
/// How often health is looked at.
const HEALTH_EVERY: Duration = Duration::from_millis(100);

/// What stays the same while limits are changed.
pub(super) struct Grpc {
    health: HealthReporter,
    gate: Arc<gate::Room>,
    watchers: Arc<Watchers>,
    shutdown: CancellationToken,
}

impl Grpc {
    pub(super) fn new(shutdown: &CancellationToken) -> Self {
        Self {
            health: HealthReporter::new(),
            gate: Arc::default(),
            watchers: Arc::default(),
            shutdown: shutdown.clone(),
        }
    }

    /// All methods with all their layers.
    pub(super) fn routes(&self, state: &State, entrance: &Arc<Entrance>) -> axum::Router {
        let service = SaimonServer::new(Service::new(Api::new(state), Arc::clone(&self.watchers)))
            .max_decoding_message_size(MESSAGE_MAX)
            // What is answered has limits of its own, in samples and records.
            .max_encoding_message_size(usize::MAX);
        let health = HealthServer::new(HealthService::from_health_reporter(self.health.clone()));
        let describe = || {
            tonic_reflection::server::Builder::configure()
                .register_encoded_file_descriptor_set(v1::DESCRIPTORS)
                .register_encoded_file_descriptor_set(tonic_health::pb::FILE_DESCRIPTOR_SET)
        };
        let broken = "BUG: the descriptors are made by the compiler of the messages";
        let routes = Routes::new(service)
            .add_service(health)
            .add_service(describe().build_v1().expect(broken))
            .add_service(describe().build_v1alpha().expect(broken))
            .prepare()
            .into_axum_router();
        let gate = gate::Gate {
            entrance: Arc::clone(entrance),
            metrics: Arc::clone(&state.metrics),
            room: Arc::clone(&self.gate),
            longest: state.limits.request,
            shutdown: self.shutdown.clone(),
        };
        gate.around(routes)
    }

    /// Has `grpc.health.v1` say what `/-/ready` says, until the end. It says something when this returns.
    pub(super) async fn follow(&self, health: Arc<Health>) {
        let (reporter, shutdown) = (self.health.clone(), self.shutdown.clone());
        say(&reporter, ServingStatus::NotServing).await;
        tokio::spawn(async move {
            let mut said = ServingStatus::NotServing;
            loop {
                let status = match health.stage() {
                    Stage::Ready if !shutdown.is_cancelled() => ServingStatus::Serving,
                    _ => ServingStatus::NotServing,
                };
                if said != status {
                    said = status;
                    say(&reporter, status).await;
                }
                if shutdown.is_cancelled() {
                    return;
                }
                let _ = shutdown
                    .run_until_cancelled(tokio::time::sleep(HEALTH_EVERY))
                    .await;
            }
        });
    }
}

async fn say(reporter: &HealthReporter, status: ServingStatus) {
    for service in ["", v1::saimon_server::SERVICE_NAME] {
        reporter.set_service_status(service, status).await;
    }
}

//! From one decoded request to one batch for each shard.
//!
//! The hand-over is all or nothing: room is reserved on every shard concerned before anything is
//! sent, so a request that is refused has left no trace, and one that is accepted is with all of
//! its shards.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batch::{Batch, Families, Row};
use super::keep::PARTITIONS;
use super::shard::Message;
use crate::series::fingerprint::fingerprint;
use crate::series::kind;
use crate::wire::snappy::PooledBody;
use crate::wire::write::WriteArena;

/// The engine did not take the request; the sender has it and should send it again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RouteError {
    #[error("the queue of shard {0} stayed full")]
    Full(usize),
    #[error("saimon is shutting down")]
    Closed,
}

/// What was handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Routed {
    /// Samples now with their shards.
    pub rows: u64,
    /// Samples whose names say that they are never modelled.
    pub skipped: u64,
}

/// Sends rows to the shards that own their series. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Router {
    shards: Arc<[mpsc::Sender<Message>]>,
}

/// The partition that a series belongs to.
pub fn partition(fingerprint: u64) -> usize {
    (fingerprint >> 58) as usize & (PARTITIONS - 1)
}

impl Router {
    pub fn new(shards: Vec<mpsc::Sender<Message>>) -> Self {
        Self {
            shards: shards.into(),
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Hands one request over, waiting at most `wait` for room.
    pub async fn route(
        &self,
        body: PooledBody,
        arena: &WriteArena,
        received_ms: i64,
        wait: Duration,
    ) -> Result<Routed, RouteError> {
        let (batches, families, routed) = self.split(body, arena, received_ms);
        let mut permits = Vec::with_capacity(batches.len());
        let until = Instant::now() + wait;
        // In the order of shards, so that two requests never wait for each other.
        for (shard, sender) in self.shards.iter().enumerate() {
            let wanted =
                usize::from(!batches[shard].rows.is_empty()) + usize::from(families.is_some());
            if wanted == 0 {
                continue;
            }
            match tokio::time::timeout_at(until, sender.reserve_many(wanted)).await {
                Ok(Ok(p)) => permits.push((shard, p)),
                Ok(Err(_)) => return Err(RouteError::Closed),
                Err(_) => return Err(RouteError::Full(shard)),
            }
        }
        let mut batches: Vec<_> = batches.into_iter().map(Some).collect();
        for (shard, mut permits) in permits {
            if let Some(f) = &families
                && let Some(permit) = permits.next()
            {
                permit.send(Message::Families(f.clone()));
            }
            if let Some(permit) = permits.next()
                && let Some(batch) = batches[shard].take()
            {
                permit.send(Message::Batch(batch));
            }
        }
        Ok(routed)
    }

    /// The rows of each shard, without sending them.
    fn split(
        &self,
        body: PooledBody,
        arena: &WriteArena,
        received_ms: i64,
    ) -> (Vec<Batch>, Option<Families>, Routed) {
        let shards = self.shards.len();
        let mut routed = Routed::default();
        let share = arena.samples.len() / shards + arena.samples.len() / 8 + 8;
        let mut rows: Vec<Vec<Row>> = (0..shards).map(|_| Vec::with_capacity(share)).collect();
        for series in &arena.series {
            let samples =
                &arena.samples[series.samples_start as usize..series.samples_end as usize];
            if kind::never_modelled(series.name.of(&body)) {
                routed.skipped += samples.len() as u64;
                continue;
            }
            let fp = fingerprint(series.labels.of(&body));
            let rows = &mut rows[partition(fp) % shards];
            for sample in samples {
                rows.push(Row {
                    fingerprint: fp,
                    labels: series.labels,
                    timestamp_ms: sample.timestamp_ms,
                    value: sample.value,
                });
            }
            routed.rows += samples.len() as u64;
        }
        let families = (!arena.metadata.is_empty()).then(|| {
            Families(
                arena
                    .metadata
                    .iter()
                    .filter_map(|m| {
                        let family = std::str::from_utf8(m.family.of(&body)).ok()?;
                        Some((family.into(), m.kind))
                    })
                    .collect(),
            )
        });
        let body = Arc::new(body);
        let batches = rows
            .into_iter()
            .map(|rows| Batch {
                body: Arc::clone(&body),
                rows,
                plain: Vec::new(),
                histograms: Vec::new(),
                starts: Vec::new(),
                protocol: arena.protocol,
                received_ms,
            })
            .collect();
        (batches, families, routed)
    }
}

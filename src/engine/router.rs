//! From one decoded request to one batch for each shard.
//!
//! The hand-over is all or nothing: room is reserved on every shard concerned before anything is
//! sent, so a request that is refused has left no trace, and one that is accepted is with all of
//! its shards.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::Instant;

use super::batch::{Batch, Families, HistogramRow, Row};
use super::keep::PARTITIONS;
use super::shard::Message;
use crate::series::fingerprint::fingerprint;
use crate::series::{family, kind};
use crate::wire::snappy::PooledBody;
use crate::wire::write::{Span, WriteArena};

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
    /// Native histograms now with their shards.
    pub histograms: u64,
    /// Samples of saimon's own series, which are not kept.
    pub skipped: u64,
    /// Native histograms of those.
    pub skipped_histograms: u64,
}

/// Sends rows to the shards that own their series. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Router {
    shards: Arc<[mpsc::Sender<Message>]>,
}

/// The partition that a series with this home belongs to (see [`family::home`]).
pub fn partition(home: u64) -> usize {
    (home >> 58) as usize & (PARTITIONS - 1)
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
            let wanted = usize::from(!batches[shard].is_empty()) + usize::from(families.is_some());
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
        let mut parcels: Vec<Parcel> = (0..shards).map(|_| Parcel::new(share)).collect();
        for series in &arena.series {
            let samples = series.samples_start as usize..series.samples_end as usize;
            let histograms = series.histograms_start as usize..series.histograms_end as usize;
            let name = series.name.of(&body);
            if kind::is_own(name) {
                routed.skipped += samples.len() as u64;
                routed.skipped_histograms += histograms.len() as u64;
                continue;
            }
            let labels = series.labels.of(&body);
            let fp = fingerprint(labels);
            // Names are UTF-8, as all labels: the decoder has checked them.
            let text = std::str::from_utf8(name).unwrap_or_default();
            let home = family::home_of(labels, text, || fp);
            let parcel = &mut parcels[partition(home) % shards];
            routed.rows += samples.len() as u64;
            routed.histograms += histograms.len() as u64;
            for h in &arena.histograms[histograms] {
                parcel.histograms.push(HistogramRow {
                    fingerprint: fp,
                    labels: series.labels,
                    timestamp_ms: h.timestamp_ms,
                    message: h.message,
                });
            }
            parcel.floats(
                arena,
                samples,
                fp,
                series.labels,
                kind::never_modelled(name),
            );
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
        let batches = parcels
            .into_iter()
            .map(|parcel| Batch {
                body: Arc::clone(&body),
                rows: parcel.rows,
                plain: parcel.plain,
                histograms: parcel.histograms,
                starts: parcel.starts,
                protocol: arena.protocol,
                received_ms,
            })
            .collect();
        (batches, families, routed)
    }
}

/// What one shard gets of a request.
#[derive(Debug, Default)]
struct Parcel {
    rows: Vec<Row>,
    plain: Vec<Row>,
    histograms: Vec<HistogramRow>,
    starts: Vec<(u32, i64)>,
}

impl Parcel {
    fn new(rows: usize) -> Self {
        Self {
            rows: Vec::with_capacity(rows),
            ..Self::default()
        }
    }

    /// Adds these samples of one series.
    fn floats(
        &mut self,
        arena: &WriteArena,
        samples: Range<usize>,
        fingerprint: u64,
        labels: Span,
        plain: bool,
    ) {
        let rows = if plain {
            &mut self.plain
        } else {
            &mut self.rows
        };
        if !plain && !arena.starts.is_empty() {
            // In order of their samples.
            let first = |at: usize| arena.starts.partition_point(|s| (s.sample as usize) < at);
            let to = rows.len();
            let starts = &arena.starts[first(samples.start)..first(samples.end)];
            self.starts.extend(starts.iter().map(|s| {
                let row = to + s.sample as usize - samples.start;
                (row as u32, s.start_ms)
            }));
        }
        rows.extend(arena.samples[samples].iter().map(|sample| Row {
            fingerprint,
            labels,
            timestamp_ms: sample.timestamp_ms,
            value: sample.value,
        }));
    }
}

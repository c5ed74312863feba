//! The rows of one request, by shard.

use std::ops::Range;
use std::sync::Arc;

use super::{Routed, Router, partition};
use crate::engine::batch::{Batch, ExemplarRow, Families, HistogramRow, Row};
use crate::series::fingerprint::fingerprint;
use crate::series::{family, kind};
use crate::wire::snappy::PooledBody;
use crate::wire::write::{Span, WriteArena};

impl Router {
    /// The rows of each shard that are in a wanted partition, without sending them.
    pub(super) fn split(
        &self,
        body: PooledBody,
        arena: &WriteArena,
        received_ms: i64,
        wanted: impl Fn(usize) -> bool,
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
            let partition = partition(home);
            if !wanted(partition) {
                continue;
            }
            let parcel = &mut parcels[partition % shards];
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
        for exemplar in &arena.exemplar_spans {
            let name = exemplar.name.of(&body);
            if kind::is_own(name) {
                continue;
            }
            let labels = exemplar.series.of(&body);
            let text = std::str::from_utf8(name).unwrap_or_default();
            let home = family::home_of(labels, text, || fingerprint(labels));
            // Of every partition: a record that begins may want one from before the newest checkpoint.
            parcels[partition(home) % shards]
                .exemplars
                .push(ExemplarRow {
                    home,
                    labels: exemplar.labels,
                    timestamp_ms: exemplar.timestamp_ms,
                    value: exemplar.value,
                });
        }
        let families = (!arena.metadata.is_empty()).then(|| {
            let all = arena.metadata.iter().filter_map(|m| {
                let family = std::str::from_utf8(m.family.of(&body)).ok()?;
                Some((family.into(), m.kind))
            });
            Families {
                all: all.collect(),
                seq: 0,
            }
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
                exemplars: parcel.exemplars,
                protocol: arena.protocol,
                received_ms,
                seq: 0,
                order: 0,
                replayed: false,
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
    exemplars: Vec<ExemplarRow>,
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

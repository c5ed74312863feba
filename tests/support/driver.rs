//! Shards without threads or sockets, for tests of the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use saimon::config::DetectConfig;
use saimon::engine::batch::{Batch, Row};
use saimon::engine::keep::GroupSnapshot;
use saimon::engine::pool::{EngineSpec, Pool};
use saimon::engine::router::partition;
use saimon::engine::rules::Rules;
use saimon::engine::shard::Shard;
use saimon::score::board::Board;
use saimon::series::fingerprint::fingerprint;
use saimon::telemetry::{Metrics, Outcome};
use saimon::wire::snappy::BodyPool;
use saimon::wire::write::Span;

/// Shards driven by hand.
pub(crate) struct Driver {
    pub(crate) shards: Vec<Shard>,
    pub(crate) board: Arc<Board>,
    pub(crate) metrics: Arc<Metrics>,
}

impl Driver {
    pub(crate) fn new(shards: usize, detect: &DetectConfig, series_max: u32) -> Self {
        Self::restored(shards, detect, series_max, &[])
    }

    pub(crate) fn restored(
        shards: usize,
        detect: &DetectConfig,
        series_max: u32,
        groups: &[GroupSnapshot],
    ) -> Self {
        Self::restored_at(shards, detect, series_max, groups, 0)
    }

    pub(crate) fn restored_at(
        shards: usize,
        detect: &DetectConfig,
        series_max: u32,
        groups: &[GroupSnapshot],
        now_ms: i64,
    ) -> Self {
        let metrics = Arc::new(Metrics::new());
        let spec = EngineSpec {
            shards,
            series_max,
            queue_max: 8,
            families_max: 100,
            forget_ms: 7 * 86_400_000,
            keeps: true,
            wants_history: false,
        };
        let mut pool = Pool::new(&spec, Rules::try_from(detect).unwrap(), &metrics);
        for group in groups {
            pool.restore(group.id, &group.state, group.newest_ms, now_ms)
                .unwrap();
        }
        let board = Arc::clone(&pool.board);
        Self {
            shards: pool.into_shards(),
            board,
            metrics,
        }
    }

    /// Sends samples of one request: (canonical labels, time, value).
    pub(crate) fn send(&mut self, samples: &[(&[u8], i64, f64)], received_ms: i64) {
        let mut bytes = Vec::new();
        let mut rows: Vec<Vec<Row>> = vec![Vec::new(); self.shards.len()];
        for (labels, t, v) in samples {
            let span = Span {
                start: bytes.len() as u32,
                len: labels.len() as u32,
            };
            bytes.extend_from_slice(labels);
            let fp = fingerprint(labels);
            rows[partition(fp) % self.shards.len()].push(Row {
                fingerprint: fp,
                labels: span,
                timestamp_ms: *t,
                value: *v,
            });
        }
        let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
        let body = Arc::new(BodyPool::new(1).decompress(&packed, 1 << 24).unwrap());
        for (shard, rows) in self.shards.iter_mut().zip(rows) {
            shard.take(&Batch {
                body: Arc::clone(&body),
                rows,
                plain: Vec::new(),
                histograms: Vec::new(),
                starts: Vec::new(),
                protocol: saimon::wire::write::Protocol::V1,
                received_ms,
            });
        }
    }

    pub(crate) fn one(&mut self, labels: &[u8], t: i64, v: f64) {
        self.send(&[(labels, t, v)], t);
    }

    /// Everything on the board: label text to score bits and alarm.
    pub(crate) fn shown(&self) -> BTreeMap<String, (u32, String)> {
        self.board
            .blocks()
            .iter()
            .flat_map(|b| b.iter())
            .filter_map(|e| {
                let score = e.score()?;
                let text = e.labels()?.score.to_string();
                Some((text, (score.to_bits(), format!("{:?}", e.alarm()))))
            })
            .collect()
    }

    pub(crate) fn snapshots(&mut self) -> Vec<GroupSnapshot> {
        self.shards
            .iter_mut()
            .flat_map(|s| {
                s.dirty_groups()
                    .into_iter()
                    .map(|g| s.snapshot(g).unwrap())
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    pub(crate) fn outcome(&self, outcome: Outcome) -> u64 {
        self.metrics.ingest_v1.get(outcome)
    }
}

//! Shards without threads or sockets, for tests of the engine.

use std::collections::BTreeMap;
use std::sync::Arc;

use prost::Message as _;
use saimon::config::DetectConfig;
use saimon::engine::batch::{Batch, HistogramRow, Row};
use saimon::engine::keep::{ClosedChunk, GroupSnapshot};
use saimon::engine::pool::{EngineSpec, Pool};
use saimon::engine::router::partition;
use saimon::engine::rules::Rules;
use saimon::engine::shard::Shard;
use saimon::score::board::Board;
use saimon::series::fingerprint::fingerprint;
use saimon::series::matcher::Selector;
use saimon::series::{family, kind, labels};
use saimon::telemetry::{Metrics, Outcome, PhaseLabel, Text};
use saimon::window::encoding::Encoding;
use saimon::wire::histogram::{Counts, NativeHistogram};
use saimon::wire::snappy::BodyPool;
use saimon::wire::write::{Protocol, Span};

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
        Self::made(shards, detect, series_max, groups, now_ms, |_| {})
    }

    /// The same, with a pool that is told more.
    pub(crate) fn made(
        shards: usize,
        detect: &DetectConfig,
        series_max: u32,
        groups: &[GroupSnapshot],
        now_ms: i64,
        tell: impl FnOnce(&mut Pool),
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
        tell(&mut pool);
        for group in groups {
            pool.appendices(group.id, group.appendices.clone());
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
        self.request(samples, &[], &[], received_ms);
    }

    /// Sends one native histogram.
    pub(crate) fn native(&mut self, labels: &[u8], h: &NativeHistogram, received_ms: i64) {
        self.request(&[], &[], &[(labels, h)], received_ms);
    }

    /// Sends one request: floats, of some of them (by index) when they started to count, and native
    /// histograms. Rows go where the router would send them.
    pub(crate) fn request(
        &mut self,
        samples: &[(&[u8], i64, f64)],
        starts: &[(usize, i64)],
        natives: &[(&[u8], &NativeHistogram)],
        received_ms: i64,
    ) {
        let batches = batches(self.shards.len(), samples, starts, natives, received_ms);
        for (shard, batch) in self.shards.iter_mut().zip(batches) {
            shard.take(&batch);
        }
    }

    pub(crate) fn one(&mut self, labels: &[u8], t: i64, v: f64) {
        self.send(&[(labels, t, v)], t);
    }

    /// Everything on the board: label text to score bits and alarm.
    pub(crate) fn shown(&self) -> BTreeMap<String, (u32, String)> {
        shown(&self.board)
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

    /// Every chunk of all series that match, in memory.
    pub(crate) fn chunks(&self, selector: &str) -> Vec<(String, Vec<ClosedChunk>)> {
        let selector = Selector::parse(selector).unwrap();
        let all = (i64::MIN, i64::MAX);
        let mut out = Vec::new();
        for shard in &self.shards {
            let mut found = Vec::new();
            assert_eq!(
                shard.select((&selector, false), all, 0, u32::MAX, &mut found),
                None
            );
            for one in found {
                let mut chunks = shard.chunks(one.group_and_position(), all.0, all.1);
                chunks.retain(|c| c.encoding != Encoding::Anchor);
                out.push((labels::display(&one.labels), chunks));
            }
        }
        out.sort_by(|a, b| a.0.cmp(&b.0));
        out
    }

    /// Native histograms by what became of them.
    pub(crate) fn histograms(&self, outcome: Outcome) -> u64 {
        self.metrics.histograms_v1.get(outcome)
    }

    /// Series now counted in a phase.
    pub(crate) fn phase(&self, phase: &'static str) -> i64 {
        let phase = PhaseLabel { phase: Text(phase) };
        self.metrics.series.get_or_create(&phase).get()
    }

    pub(crate) fn outcome(&self, outcome: Outcome) -> u64 {
        self.metrics.ingest_v1.get(outcome)
    }
}

/// Everything on a board: label text to score bits and alarm.
pub(crate) fn shown(board: &Board) -> BTreeMap<String, (u32, String)> {
    board
        .blocks()
        .iter()
        .flat_map(|b| (0..b.len()).map(move |i| (b, i)))
        .filter_map(|(b, i)| {
            let e = &b[i];
            let score = e.score()?;
            let text = b.text(i)?.score.to_string();
            Some((text, (score.to_bits(), format!("{:?}", e.alarm()))))
        })
        .collect()
}

/// Rows, plain rows, histograms and starts of one shard.
type Parcel = (Vec<Row>, Vec<Row>, Vec<HistogramRow>, Vec<(u32, i64)>);

/// One request as the batches of each shard: floats, of some of them (by index) when they started to
/// count, and native histograms. Rows go where the router would send them.
pub(crate) fn batches(
    shards: usize,
    samples: &[(&[u8], i64, f64)],
    starts: &[(usize, i64)],
    natives: &[(&[u8], &NativeHistogram)],
    received_ms: i64,
) -> Vec<Batch> {
    let mut bytes = Vec::new();
    let mut put = |part: &[u8]| {
        bytes.extend_from_slice(part);
        Span {
            start: (bytes.len() - part.len()) as u32,
            len: part.len() as u32,
        }
    };
    let mut parcels: Vec<Parcel> = (0..shards).map(|_| Parcel::default()).collect();
    for (i, (labels, t, v)) in samples.iter().enumerate() {
        let name = labels::get(labels, "__name__").unwrap();
        let parcel = &mut parcels[partition(family::home(labels)) % shards];
        let plain = kind::never_modelled(name.as_bytes());
        let rows = if plain { &mut parcel.1 } else { &mut parcel.0 };
        if let Some((_, start)) = starts.iter().find(|(at, _)| *at == i) {
            parcel.3.push((rows.len() as u32, *start));
        }
        rows.push(Row {
            fingerprint: fingerprint(labels),
            labels: put(labels),
            timestamp_ms: *t,
            value: *v,
        });
    }
    for (labels, h) in natives {
        let parcel = &mut parcels[partition(family::home(labels)) % shards];
        parcel.2.push(HistogramRow {
            fingerprint: fingerprint(labels),
            labels: put(labels),
            timestamp_ms: h.timestamp_ms,
            message: put(&message(h)),
        });
    }
    let packed = snap::raw::Encoder::new().compress_vec(&bytes).unwrap();
    let body = Arc::new(BodyPool::new(1).decompress(&packed, 1 << 24).unwrap());
    parcels
        .into_iter()
        .map(|(rows, plain, histograms, starts)| Batch {
            body: Arc::clone(&body),
            rows,
            plain,
            histograms,
            starts,
            exemplars: Vec::new(),
            protocol: Protocol::V1,
            received_ms,
            seq: 0,
            order: 0,
            replayed: false,
        })
        .collect()
}

/// The message of remote write for a histogram.
fn message(h: &NativeHistogram) -> Vec<u8> {
    use saimon::wire::proto::{BucketSpan, Histogram, histogram};
    let spans = |of: &[saimon::wire::histogram::BucketSpan]| {
        of.iter()
            .map(|s| BucketSpan {
                offset: s.offset,
                length: s.length,
            })
            .collect()
    };
    let Counts::Integer {
        count,
        zero,
        positive,
        negative,
    } = &h.counts
    else {
        panic!("integer histograms only");
    };
    Histogram {
        sum: h.sum,
        schema: h.schema,
        zero_threshold: h.zero_threshold,
        negative_spans: spans(&h.negative_spans),
        negative_deltas: negative.clone(),
        positive_spans: spans(&h.positive_spans),
        positive_deltas: positive.clone(),
        timestamp: h.timestamp_ms,
        count: Some(histogram::Count::CountInt(*count)),
        zero_count: Some(histogram::ZeroCount::ZeroCountInt(*zero)),
        ..Histogram::default()
    }
    .encode_to_vec()
}

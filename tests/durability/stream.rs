//! A random stream of requests with everything that a series can do: births, ends, resets, gaps,
//! histograms of both kinds, metadata that comes late, samples that come twice, late or too early.

use prost::Message as _;
use saimon::wire::proto;
use saimon::wire::write::STALE_NAN_BITS;

use crate::client::{WRITE_HEADERS, snappy};

pub(crate) const STEP_MS: i64 = 15_000;
pub(crate) const START_MS: i64 = 1_700_000_000_000;

const ZSTD_HEADERS: &str = "content-type: application/x-protobuf\r\ncontent-encoding: zstd\r\n";

/// Buckets of the histogram that is larger than a group.
const WIDE: usize = 140;

/// One request as it is sent.
#[derive(Clone)]
pub(crate) struct Sent {
    pub(crate) headers: &'static str,
    pub(crate) body: Vec<u8>,
    pub(crate) now_ms: i64,
    /// Something in it is too far in the future.
    pub(crate) early: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Sort {
    Gauge,
    Counter,
    Info,
    /// Part of a classic histogram.
    Part {
        share: f64,
    },
    Native,
}

struct Series {
    labels: Vec<proto::Label>,
    sort: Sort,
    born: i64,
    ends: i64,
    reborn: i64,
    /// Which request of a round it comes in.
    request: usize,
}

pub(crate) struct Stream {
    rng: fastrand::Rng,
    series: Vec<Series>,
    step: i64,
    start_ms: i64,
    last: Option<Sent>,
}

fn label(name: &str, value: &str) -> proto::Label {
    proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    }
}

impl Stream {
    pub(crate) fn new(seed: u64, steps: i64) -> Self {
        Self::from(seed, steps, START_MS)
    }

    /// One whose first round is at this time.
    pub(crate) fn from(seed: u64, steps: i64, start_ms: i64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut series = Vec::new();
        let mut add = |name: String, le: Option<String>, instance: usize, sort, born, request| {
            let mut labels = vec![
                label("__name__", &name),
                label("instance", &format!("host-{instance}:9100")),
            ];
            labels.extend(le.map(|le| label("le", &le)));
            series.push(Series {
                labels,
                sort,
                born,
                ends: i64::MAX,
                reborn: i64::MAX,
                request,
            });
        };
        for n in 0..40 {
            let born = if rng.bool() { 0 } else { rng.i64(0..steps) };
            let (name, sort) = match n % 5 {
                0 => (format!("load{}", n % 7), Sort::Gauge),
                1 => (format!("bytes{}_total", n % 7), Sort::Counter),
                2 => ("build_info".to_owned(), Sort::Info),
                // What only metadata says, or watching.
                3 => (format!("odd{}", n % 7), Sort::Counter),
                _ => (format!("rpc_seconds{}", n % 3), Sort::Native),
            };
            add(name, None, n, sort, born, rng.usize(0..3));
        }
        for (h, buckets) in [4, 5, WIDE].into_iter().enumerate() {
            let born = rng.i64(0..steps / 3);
            let name = format!("http{h}_seconds");
            // Its sum may be there long before its buckets.
            let sum_born = rng.i64(0..=born);
            add(
                format!("{name}_sum"),
                None,
                h,
                Sort::Part { share: 0.3 },
                sum_born,
                0,
            );
            for b in 0..buckets {
                let share = (b + 1) as f64 / buckets as f64;
                let le = match b + 1 == buckets {
                    true => "+Inf".to_owned(),
                    false => format!("{}", (b + 1) as f64 / 10.0),
                };
                let part = Sort::Part { share };
                // Some buckets come in a later request of the same scrape.
                let request = usize::from(b % 4 == 3);
                add(format!("{name}_bucket"), Some(le), h, part, born, request);
            }
            add(
                format!("{name}_count"),
                None,
                h,
                Sort::Part { share: 1.0 },
                born,
                2,
            );
        }
        for one in &mut series {
            if rng.u8(..) < 60 {
                one.ends = one.born + rng.i64(5..80);
                one.reborn = one.ends + rng.i64(1..40);
            }
        }
        Self {
            rng,
            series,
            step: 0,
            start_ms,
            last: None,
        }
    }

    /// A few series of every sort, all there from the first round on.
    pub(crate) fn small(seed: u64) -> Self {
        let mut whole = Self::new(seed, 9);
        let mut native = 0;
        whole.series.retain(|s| match s.sort {
            Sort::Part { .. } => s.labels.iter().any(|l| l.value.starts_with("http0")),
            Sort::Native => {
                native += 1;
                native == 1
            }
            Sort::Gauge | Sort::Counter | Sort::Info => s.request == 0,
        });
        for one in &mut whole.series {
            (one.born, one.ends, one.reborn) = (0, i64::MAX, i64::MAX);
        }
        whole
    }

    /// The requests of the next round.
    pub(crate) fn round(&mut self) -> Vec<Sent> {
        let step = self.step;
        self.step += 1;
        let now_ms = self.start_ms + step * STEP_MS;
        let mut requests = vec![proto::WriteRequest::default(); 3];
        for one in &self.series {
            let rng = &mut self.rng;
            if let Some(series) = one.at(step, now_ms, rng) {
                requests[one.request].timeseries.push(series);
            }
        }
        if step % 23 == 5 {
            let n = (step / 23) as usize % 7;
            let metadata = |name: String, kind| proto::MetricMetadata {
                r#type: kind,
                metric_family_name: name,
                ..Default::default()
            };
            requests[1].metadata = vec![
                metadata(format!("odd{n}"), 1 + (n % 2) as i32),
                metadata("http0_seconds".to_owned(), 3),
            ];
        }
        let mut early = false;
        if self.rng.u8(..) < 10 {
            let sample = proto::Sample {
                value: 1.0,
                timestamp: now_ms + 3_600_000,
            };
            requests[2].timeseries.push(proto::TimeSeries {
                labels: vec![label("__name__", "early")],
                samples: vec![sample],
                ..Default::default()
            });
            early = true;
        }
        let last = requests.len() - 1;
        let mut sent: Vec<_> = requests
            .into_iter()
            .enumerate()
            .filter(|(_, r)| !r.timeseries.is_empty() || !r.metadata.is_empty())
            .map(|(i, r)| self.pack(&r, now_ms + i as i64, early && i == last))
            .collect();
        if self.rng.u8(..) < 20 {
            // A sender that did not hear the answer sends it once more.
            sent.extend(self.last.clone());
        }
        self.last = sent.last().cloned();
        sent
    }

    fn pack(&mut self, request: &proto::WriteRequest, now_ms: i64, early: bool) -> Sent {
        let raw = request.encode_to_vec();
        let zstd = self.rng.u8(..) < 80;
        Sent {
            headers: if zstd { ZSTD_HEADERS } else { WRITE_HEADERS },
            body: match zstd {
                true => zstd::bulk::compress(&raw, 1).unwrap(),
                false => snappy(&raw),
            },
            now_ms,
            early,
        }
    }
}

impl Series {
    fn at(&self, step: i64, now_ms: i64, rng: &mut fastrand::Rng) -> Option<proto::TimeSeries> {
        let alive = step >= self.born && (step < self.ends || step >= self.reborn);
        let ends = step == self.ends;
        if !alive && !ends || rng.u8(..) < 5 {
            return None;
        }
        let value = if ends {
            f64::from_bits(STALE_NAN_BITS)
        } else {
            self.value(step, rng)
        };
        let mut series = proto::TimeSeries {
            labels: self.labels.clone(),
            ..Default::default()
        };
        if self.sort == Sort::Native && !ends {
            series.histograms.push(native(step, now_ms));
            return Some(series);
        }
        series.samples.push(proto::Sample {
            value,
            timestamp: now_ms,
        });
        if rng.u8(..) < 4 {
            series.samples.insert(
                0,
                proto::Sample {
                    value: 7.0,
                    timestamp: now_ms - 40_000,
                },
            );
        }
        Some(series)
    }

    fn value(&self, step: i64, rng: &mut fastrand::Rng) -> f64 {
        let noise = rng.f64() + rng.f64();
        match self.sort {
            Sort::Gauge if rng.u8(..) < 3 => f64::NAN,
            Sort::Gauge if step % 97 > 90 => 500.0,
            Sort::Gauge => 50.0 + 20.0 * (step as f64 / 40.0).sin() + noise,
            Sort::Counter if step > 70 => ((step - 70) * 10 + i64::from(rng.u8(..8))) as f64,
            Sort::Counter => (step * 10 + i64::from(rng.u8(..8))) as f64,
            Sort::Info => 1.0,
            Sort::Part { share } => (step as f64 * 100.0 * share).floor(),
            Sort::Native => 3.0,
        }
    }
}

fn native(step: i64, now_ms: i64) -> proto::Histogram {
    let n = (step + 1) as u64;
    proto::Histogram {
        sum: n as f64 * 1.5,
        schema: 0,
        zero_threshold: 0.001,
        timestamp: now_ms,
        count: Some(proto::histogram::Count::CountInt(6 * n)),
        zero_count: Some(proto::histogram::ZeroCount::ZeroCountInt(0)),
        positive_spans: vec![proto::BucketSpan {
            offset: 0,
            length: 3,
        }],
        // 1, 2 and 3 parts.
        positive_deltas: vec![n as i64; 3],
        ..Default::default()
    }
}

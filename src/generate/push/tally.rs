//! What became of the requests: counts, and latencies in a bounded sketch.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;

use crate::output::request::Request;
use crate::output::sender::{Attempt, Sent, Watch};

/// Ratio of two neighbouring bounds, so a quantile is right to 2 %.
const LATENCY_RATIO: f64 = 1.02;
/// Buckets from a microsecond to over an hour.
const LATENCY_BUCKETS: usize = 1_120;
/// Bytes of a refusal's text that are kept.
const ERROR_BYTES_MAX: usize = 300;

/// Durations of requests, each known to 2 %, in constant space.
#[derive(Debug)]
pub(super) struct Latencies {
    counts: Vec<u64>,
    max: Duration,
}

/// Quantiles of the time from the first byte of a request to the last of its answer, in seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Quantiles {
    pub p50: f64,
    pub p90: f64,
    pub p99: f64,
    pub max: f64,
}

impl Latencies {
    fn new() -> Self {
        Self {
            counts: vec![0; LATENCY_BUCKETS],
            max: Duration::ZERO,
        }
    }

    fn add(&mut self, latency: Duration) {
        let micros = (latency.as_secs_f64() * 1e6).max(1.0);
        let bucket = (micros.ln() / LATENCY_RATIO.ln()) as usize;
        self.counts[bucket.min(LATENCY_BUCKETS - 1)] += 1;
        self.max = self.max.max(latency);
    }

    fn quantile(&self, q: f64) -> f64 {
        let total: u64 = self.counts.iter().sum();
        let rank = ((total as f64 * q).ceil() as u64).max(1);
        let mut seen = 0;
        for (i, count) in self.counts.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let middle = LATENCY_RATIO.powf(i as f64 + 0.5) * 1e-6;
                return middle.min(self.max.as_secs_f64());
            }
        }
        0.0
    }

    fn quantiles(&self) -> Quantiles {
        Quantiles {
            p50: self.quantile(0.5),
            p90: self.quantile(0.9),
            p99: self.quantile(0.99),
            max: self.max.as_secs_f64(),
        }
    }
}

/// Counts of a run. Touched once per request, never per sample; the locks are held for one addition.
#[derive(Debug)]
pub(super) struct Tally {
    samples: AtomicU64,
    acknowledged: AtomicU64,
    dropped: AtomicU64,
    markers: AtomicU64,
    markers_dropped: AtomicU64,
    attempts: AtomicU64,
    retries: AtomicU64,
    bytes: AtomicU64,
    raw_bytes: AtomicU64,
    /// By status; 0 where no answer came.
    statuses: Mutex<BTreeMap<u16, u64>>,
    latencies: Mutex<Latencies>,
    last_error: Mutex<Option<String>>,
}

/// Totals of a run, or of a run so far.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Totals {
    /// Samples in requests that were sent at least once.
    pub samples_sent: u64,
    /// Samples that the receiver took: those of requests answered with 2xx, or as many as a
    /// receiver of 2.0 says.
    pub samples_acknowledged: u64,
    /// Samples that were refused for good or given up.
    pub samples_dropped: u64,
    /// Stale markers that the receiver took. They are not among the samples.
    pub stale_markers: u64,
    /// Stale markers that were refused for good or given up.
    pub stale_markers_dropped: u64,
    /// Requests, repeated ones counted each time.
    pub requests: u64,
    pub retries: u64,
    /// Answers by status; `none` where no answer came.
    pub statuses: BTreeMap<String, u64>,
    pub latency_seconds: Quantiles,
    /// Compressed bytes of bodies, repeated ones counted each time.
    pub bytes_sent: u64,
    /// The same before compression, each request once.
    pub bytes_raw: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_error: Option<String>,
}

impl Tally {
    pub(super) fn new() -> Self {
        Self {
            samples: AtomicU64::new(0),
            acknowledged: AtomicU64::new(0),
            dropped: AtomicU64::new(0),
            markers: AtomicU64::new(0),
            markers_dropped: AtomicU64::new(0),
            attempts: AtomicU64::new(0),
            retries: AtomicU64::new(0),
            bytes: AtomicU64::new(0),
            raw_bytes: AtomicU64::new(0),
            statuses: Mutex::new(BTreeMap::new()),
            latencies: Mutex::new(Latencies::new()),
            last_error: Mutex::new(None),
        }
    }

    pub(super) fn acknowledged(&self) -> u64 {
        self.acknowledged.load(Ordering::Relaxed)
    }

    pub(super) fn totals(&self) -> Totals {
        let get = |n: &AtomicU64| n.load(Ordering::Relaxed);
        let named = |(status, count): (&u16, &u64)| match status {
            0 => ("none".to_owned(), *count),
            _ => (status.to_string(), *count),
        };
        Totals {
            samples_sent: get(&self.samples),
            samples_acknowledged: get(&self.acknowledged),
            samples_dropped: get(&self.dropped),
            stale_markers: get(&self.markers),
            stale_markers_dropped: get(&self.markers_dropped),
            requests: get(&self.attempts),
            retries: get(&self.retries),
            statuses: lock(&self.statuses).iter().map(named).collect(),
            latency_seconds: lock(&self.latencies).quantiles(),
            bytes_sent: get(&self.bytes),
            bytes_raw: get(&self.raw_bytes),
            last_error: lock(&self.last_error).clone(),
        }
    }
}

impl Watch for Tally {
    fn begun(&self, request: &Request) {
        add(&self.samples, request.samples - request.markers);
        add(&self.raw_bytes, request.raw_bytes);
    }

    fn attempted(&self, attempt: &Attempt) {
        add(&self.attempts, 1);
        add(&self.retries, usize::from(attempt.again));
        add(&self.bytes, attempt.bytes);
        let status = attempt.status.unwrap_or(0);
        *lock(&self.statuses).entry(status).or_default() += 1;
        lock(&self.latencies).add(attempt.took);
    }

    fn failed(&self, what: &str) {
        let end = what.floor_char_boundary(ERROR_BYTES_MAX);
        *lock(&self.last_error) = Some(what[..end].to_owned());
    }

    /// A request of ours has samples or markers, not both.
    fn ended(&self, request: &Request, sent: &Sent) {
        let (written, lost) = if request.markers > 0 {
            (&self.markers, &self.markers_dropped)
        } else {
            (&self.acknowledged, &self.dropped)
        };
        add(written, sent.written);
        add(lost, sent.lost);
    }
}

impl Totals {
    /// `204: 12, 503: 1`
    pub fn statuses_line(&self) -> String {
        let parts: Vec<String> = self
            .statuses
            .iter()
            .map(|(s, n)| format!("{s}: {n}"))
            .collect();
        if parts.is_empty() {
            "none".to_owned()
        } else {
            parts.join(", ")
        }
    }
}

fn add(counter: &AtomicU64, by: usize) {
    counter.fetch_add(by as u64, Ordering::Relaxed);
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_right_to_two_percent() {
        let mut latencies = Latencies::new();
        for ms in 1..=1000 {
            latencies.add(Duration::from_millis(ms));
        }
        let q = latencies.quantiles();
        for (got, want) in [(q.p50, 0.5), (q.p90, 0.9), (q.p99, 0.99)] {
            assert!((got / want - 1.0).abs() < 0.02, "{got} for {want}");
        }
        assert_eq!(q.max, 1.0);
        latencies.add(Duration::from_secs(100_000));
        assert_eq!(latencies.quantiles().max, 100_000.0);
        assert_eq!(Latencies::new().quantiles(), Quantiles::default());
    }
}

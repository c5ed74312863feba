//! One request of the suite, what is expected of it, and the sending of it.

use saimon::wire::proto::v2::histogram::{Count, ZeroCount};

use crate::support::histogram::{Histogram, span};
use crate::support::v2::{Exemplar, Metadata, Request, Sample, TimeSeries, written};
use crate::support::{NOW_MS, Saimon, v1};

pub(crate) type Labels<'a> = &'a [(&'a str, &'a str)];

pub(crate) type Owned = Vec<(String, String)>;

pub(crate) const MINUTE_MS: i64 = 60_000;
pub(crate) const HOUR_MS: i64 = 60 * MINUTE_MS;

/// One request and what is expected of it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) entries: Vec<Entry>,
    /// How many series are refused; 0 for a case that succeeds.
    pub(crate) refused: u64,
}

/// One series of a request. Times are relative to the moment of sending.
#[derive(Debug, Clone, Default)]
pub(crate) struct Entry {
    pub(crate) labels: Owned,
    pub(crate) sample: Option<(f64, i64)>,
    pub(crate) histogram: Option<Histogram>,
    pub(crate) exemplars: Vec<(Owned, f64, i64)>,
    /// Type, help, unit.
    pub(crate) metadata: Option<(i32, String, String)>,
    pub(crate) start_ms: Option<i64>,
    pub(crate) refused: bool,
}

pub(crate) fn owned(labels: Labels<'_>) -> Owned {
    labels
        .iter()
        .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
        .collect()
}

pub(crate) fn entry(labels: Labels<'_>) -> Entry {
    Entry {
        labels: owned(labels),
        refused: labels.iter().all(|(n, v)| *n != "__name__" || v.is_empty()),
        ..Entry::default()
    }
}

pub(crate) fn sample(labels: Labels<'_>, value: f64) -> Entry {
    entry(labels).at(value, 0)
}

pub(crate) fn named(name: &str, value: f64) -> Entry {
    sample(&[("__name__", name)], value)
}

pub(crate) fn histogram(labels: Labels<'_>, histogram: Histogram) -> Entry {
    Entry {
        histogram: Some(histogram),
        ..entry(labels)
    }
}

impl Entry {
    pub(crate) fn at(mut self, value: f64, offset_ms: i64) -> Self {
        self.sample = Some((value, offset_ms));
        self
    }

    pub(crate) fn exemplar(mut self, labels: Labels<'_>, value: f64, offset_ms: i64) -> Self {
        self.exemplars.push((owned(labels), value, offset_ms));
        self
    }

    pub(crate) fn metadata(mut self, r#type: i32, help: &str, unit: &str) -> Self {
        self.metadata = Some((r#type, help.to_owned(), unit.to_owned()));
        self
    }

    pub(crate) fn start(mut self, offset_ms: i64) -> Self {
        self.start_ms = Some(offset_ms);
        self
    }
}

pub(crate) fn case(name: impl Into<String>, entries: Vec<Entry>) -> Case {
    let refused = entries.iter().filter(|e| e.refused).count() as u64;
    Case {
        name: name.into(),
        entries,
        refused,
    }
}

/// Buckets as the suite makes them: 23 observations above zero, 3 below, 1 at zero.
pub(crate) fn buckets(sum: f64, positive: bool, negative: bool, zero: bool) -> Histogram {
    let mut count = 0;
    let mut made = Histogram {
        sum,
        ..Histogram::default()
    };
    if positive {
        count += 23;
        made.positive_spans = vec![span(0, 3), span(2, 2)];
        made.positive_deltas = vec![1, 2, 1, 3, 1];
    }
    if negative {
        count += 3;
        made.negative_spans = vec![span(0, 2)];
        made.negative_deltas = vec![1, 1];
    }
    if zero {
        count += 1;
        made.zero_count = Some(ZeroCount::ZeroCountInt(1));
    }
    made.count = Some(Count::CountInt(count));
    made
}

/// Six buckets with bounds of their own, 30 observations.
pub(crate) fn custom(sum: f64) -> Histogram {
    Histogram {
        count: Some(Count::CountInt(30)),
        sum,
        schema: -53,
        positive_spans: vec![span(0, 6)],
        positive_deltas: vec![2, 1, 2, 3, -1, -2],
        custom_values: vec![0.1, 0.5, 1.0, 2.5, 5.0, 10.0],
        ..Histogram::default()
    }
}

/// Sends cases to one saimon, whose clock goes on with each request.
pub(crate) struct Runner {
    pub(crate) saimon: Saimon,
    pub(crate) now_ms: i64,
    pub(crate) rng: fastrand::Rng,
    /// Start timestamps as they were up to rc.3: for the whole entry, in field 6.
    pub(crate) created: bool,
}

impl Runner {
    pub(crate) fn new(seed: u64, created: bool) -> Self {
        Self {
            saimon: Saimon::start(),
            now_ms: NOW_MS,
            rng: fastrand::Rng::with_seed(seed),
            created,
        }
    }

    pub(crate) fn shuffled(&mut self, labels: &[(String, String)]) -> Owned {
        let mut labels = labels.to_vec();
        self.rng.shuffle(&mut labels);
        labels
    }

    pub(crate) fn request(&mut self, case: &Case) -> Request {
        let mut request = Request::new();
        for entry in &case.entries {
            let labels = self.shuffled(&entry.labels);
            let mut made = TimeSeries {
                labels_refs: refs(&mut request, &labels),
                metadata: Some(Metadata::default()),
                ..TimeSeries::default()
            };
            let start_ms = entry.start_ms.map_or(0, |offset| self.now_ms + offset);
            if self.created {
                made.created_timestamp = start_ms;
            }
            let start_timestamp = if self.created { 0 } else { start_ms };
            if let Some((value, offset_ms)) = entry.sample {
                made.samples.push(Sample {
                    value,
                    timestamp: self.now_ms + offset_ms,
                    start_timestamp,
                });
            }
            if let Some(histogram) = &entry.histogram {
                made.histograms.push(Histogram {
                    timestamp: self.now_ms,
                    start_timestamp,
                    ..histogram.clone()
                });
            }
            for (labels, value, offset_ms) in &entry.exemplars {
                let labels = self.shuffled(labels);
                made.exemplars.push(Exemplar {
                    labels_refs: refs(&mut request, &labels),
                    value: *value,
                    timestamp: self.now_ms + offset_ms,
                });
            }
            if let Some((r#type, help, unit)) = &entry.metadata {
                made.metadata = Some(Metadata {
                    r#type: *r#type,
                    help_ref: request.symbol(help),
                    unit_ref: request.symbol(unit),
                });
            }
            request.message.timeseries.push(made);
        }
        request
    }

    pub(crate) fn run(&mut self, case: &Case) {
        let times = if case.refused == 0 { 2 } else { 1 };
        for _ in 0..times {
            self.now_ms += 10;
            self.saimon.clock.set(self.now_ms);
            let request = self.request(case);
            let response = self.saimon.write_v2(&request);
            let name = &case.name;
            let wanted = if case.refused == 0 { 204 } else { 400 };
            assert_eq!(response.status, wanted, "{name}: {}", response.text());
            let mut sums = (0, 0, 0);
            for entry in case.entries.iter().filter(|e| !e.refused) {
                sums.0 += u64::from(entry.sample.is_some());
                sums.1 += u64::from(entry.histogram.is_some());
                sums.2 += entry.exemplars.len() as u64;
            }
            assert_eq!(written(&response), Some(sums), "{name}");
        }
    }

    pub(crate) fn run_all(&mut self, cases: &[Case]) {
        for case in cases {
            self.run(case);
        }
        // Nothing fell over: a request of another kind is still taken.
        let after = v1::Request::new().series(&[("__name__", "after")], &[(self.now_ms, 1.0)]);
        assert_eq!(self.saimon.write(&after).status, 204);
        assert_eq!(self.saimon.samples("after").len(), 1);
    }
}

pub(crate) fn refs(request: &mut Request, labels: &[(String, String)]) -> Vec<u32> {
    labels
        .iter()
        .flat_map(|(name, value)| [request.symbol(name), request.symbol(value)])
        .collect()
}

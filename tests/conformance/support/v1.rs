//! Requests of remote write 1.0.

use prost::Message as _;
use saimon::wire::proto;
pub(crate) use saimon::wire::proto::{Exemplar, MetricMetadata, Sample, TimeSeries};

use super::snappy;

/// A request under construction; every entry comes after those before.
#[derive(Debug, Clone, Default)]
pub(crate) struct Request(pub(crate) proto::WriteRequest);

impl Request {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// An entry of samples.
    pub(crate) fn series(self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        self.entry(series(labels, samples))
    }

    /// An entry of one exemplar, as Prometheus sends them.
    pub(crate) fn exemplar(self, labels: &[(&str, &str)], exemplar: Exemplar) -> Self {
        let mut entry = series(labels, &[]);
        entry.exemplars.push(exemplar);
        self.entry(entry)
    }

    /// An entry of one native histogram.
    pub(crate) fn histogram(self, labels: &[(&str, &str)], histogram: proto::Histogram) -> Self {
        let mut entry = series(labels, &[]);
        entry.histograms.push(histogram);
        self.entry(entry)
    }

    pub(crate) fn entry(mut self, entry: TimeSeries) -> Self {
        self.0.timeseries.push(entry);
        self
    }

    /// The type of a family, by its number on the wire.
    pub(crate) fn metadata(mut self, family: &str, kind: i32) -> Self {
        self.0.metadata.push(MetricMetadata {
            r#type: kind,
            metric_family_name: family.to_owned(),
            help: format!("what {family} counts"),
            unit: String::new(),
        });
        self
    }

    /// The message.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.0.encode_to_vec()
    }

    /// The message as a snappy block.
    pub(crate) fn body(&self) -> Vec<u8> {
        snappy(&self.raw())
    }
}

/// Labels in the order given.
pub(crate) fn labels(labels: &[(&str, &str)]) -> Vec<proto::Label> {
    let label = |(name, value): &(&str, &str)| proto::Label {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    };
    labels.iter().map(label).collect()
}

pub(crate) fn series(of: &[(&str, &str)], samples: &[(i64, f64)]) -> TimeSeries {
    TimeSeries {
        labels: labels(of),
        samples: samples
            .iter()
            .map(|(timestamp, value)| Sample {
                value: *value,
                timestamp: *timestamp,
            })
            .collect(),
        ..TimeSeries::default()
    }
}

pub(crate) fn exemplar(of: &[(&str, &str)], timestamp: i64, value: f64) -> Exemplar {
    Exemplar {
        labels: labels(of),
        value,
        timestamp,
    }
}

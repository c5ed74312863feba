//! Requests of remote write 2.0.

use std::collections::HashMap;

use prost::Message as _;
pub(crate) use saimon::wire::proto::v2::{Exemplar, Histogram, Metadata, Sample, TimeSeries};

use super::{Response, snappy};
use saimon::wire::proto::v2;

/// What Prometheus 3 sends with a 2.0 request.
pub(crate) const HEADERS: &str = "content-type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\ncontent-encoding: snappy\r\nx-prometheus-remote-write-version: 2.0.0\r\nuser-agent: test\r\n";

/// A request under construction; its symbols begin with the empty one and are there once.
#[derive(Debug, Clone)]
pub(crate) struct Request {
    pub(crate) message: v2::Request,
    known: HashMap<String, u32>,
}

impl Default for Request {
    fn default() -> Self {
        let mut request = Self {
            message: v2::Request::default(),
            known: HashMap::new(),
        };
        request.symbol("");
        request
    }
}

impl Request {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// The number of a symbol, new or known.
    pub(crate) fn symbol(&mut self, text: &str) -> u32 {
        let next = self.message.symbols.len() as u32;
        let at = *self.known.entry(text.to_owned()).or_insert(next);
        if at == next {
            self.message.symbols.push(text.to_owned());
        }
        at
    }

    pub(crate) fn refs(&mut self, labels: &[(&str, &str)]) -> Vec<u32> {
        labels
            .iter()
            .flat_map(|(name, value)| [self.symbol(name), self.symbol(value)])
            .collect()
    }

    /// Adds an entry with these labels; `fill` gives it the rest.
    pub(crate) fn entry(
        mut self,
        labels: &[(&str, &str)],
        fill: impl FnOnce(&mut Self, &mut TimeSeries),
    ) -> Self {
        let mut entry = TimeSeries {
            labels_refs: self.refs(labels),
            metadata: Some(Metadata::default()),
            ..TimeSeries::default()
        };
        fill(&mut self, &mut entry);
        self.message.timeseries.push(entry);
        self
    }

    /// An entry of samples.
    pub(crate) fn series(self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        self.entry(labels, |_, entry| entry.samples = sampled(samples))
    }

    /// An entry of one native histogram.
    pub(crate) fn histogram(self, labels: &[(&str, &str)], histogram: Histogram) -> Self {
        self.entry(labels, |_, entry| entry.histograms.push(histogram))
    }

    /// An entry of one exemplar, as Prometheus sends them.
    pub(crate) fn exemplar(
        self,
        labels: &[(&str, &str)],
        of: &[(&str, &str)],
        timestamp: i64,
        value: f64,
    ) -> Self {
        self.entry(labels, |request, entry| {
            let exemplar = request.an_exemplar(of, timestamp, value);
            entry.exemplars.push(exemplar);
        })
    }

    pub(crate) fn an_exemplar(
        &mut self,
        of: &[(&str, &str)],
        timestamp: i64,
        value: f64,
    ) -> Exemplar {
        Exemplar {
            labels_refs: self.refs(of),
            value,
            timestamp,
        }
    }

    /// The message.
    pub(crate) fn raw(&self) -> Vec<u8> {
        self.message.encode_to_vec()
    }

    /// The message as a snappy block.
    pub(crate) fn body(&self) -> Vec<u8> {
        snappy(&self.raw())
    }
}

pub(crate) fn sampled(samples: &[(i64, f64)]) -> Vec<Sample> {
    let sample = |(timestamp, value): &(i64, f64)| Sample {
        value: *value,
        timestamp: *timestamp,
        ..Sample::default()
    };
    samples.iter().map(sample).collect()
}

/// The three written counts of an answer: samples, histograms, exemplars. `None` if any is missing.
pub(crate) fn written(response: &Response) -> Option<(u64, u64, u64)> {
    let count = |kind: &str| {
        let name = format!("x-prometheus-remote-write-{kind}-written");
        response.header(&name)?.parse().ok()
    };
    Some((count("samples")?, count("histograms")?, count("exemplars")?))
}

//! The messages of remote write for prost, with bytes where the protocol has text: a series whose
//! labels are not UTF-8 must be refused alone, so the judge has to see past it.

use saimon::series::labels;
use saimon::wire::write::LabelLimits;

/// Small, so that an input of a few hundred bytes can be beyond them.
pub const LIMITS: LabelLimits = LabelLimits {
    labels_per_series: 6,
    name_bytes: 40,
    value_bytes: 140,
};

#[derive(Clone, PartialEq, prost::Message)]
pub struct Label {
    #[prost(bytes = "vec", tag = "1")]
    pub name: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    pub value: Vec<u8>,
}

/// Labels as they came.
pub type Pairs = Vec<(Vec<u8>, Vec<u8>)>;

/// The canonical bytes of labels that a receiver may take and the metric's name; `None` for others.
pub fn canonical(pairs: &Pairs) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut texts = Vec::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        let name = std::str::from_utf8(name).ok()?;
        let value = std::str::from_utf8(value).ok()?;
        let fits = name.len() <= LIMITS.name_bytes && value.len() <= LIMITS.value_bytes;
        if name.is_empty() || !fits || texts.iter().any(|(n, _)| *n == name) {
            return None;
        }
        texts.push((name, value));
    }
    let metric = texts.iter().find(|(name, _)| *name == "__name__")?.1;
    if texts.len() > LIMITS.labels_per_series {
        return None;
    }
    let bytes = labels::encode(texts.iter().copied());
    Some((bytes, metric.as_bytes().to_vec()))
}

/// `prometheus.WriteRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    pub timeseries: Vec<TimeSeries>,
    #[prost(message, repeated, tag = "3")]
    pub metadata: Vec<MetricMetadata>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    pub exemplars: Vec<Exemplar>,
    /// Left as they are, for the judge of histograms.
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub histograms: Vec<Vec<u8>>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Sample {
    #[prost(double, tag = "1")]
    pub value: f64,
    #[prost(int64, tag = "2")]
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Exemplar {
    #[prost(message, repeated, tag = "1")]
    pub labels: Vec<Label>,
    #[prost(double, tag = "2")]
    pub value: f64,
    #[prost(int64, tag = "3")]
    pub timestamp: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct MetricMetadata {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(bytes = "vec", tag = "2")]
    pub family: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    pub help: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    pub unit: Vec<u8>,
}

/// `io.prometheus.write.v2.Request`.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Request {
    #[prost(bytes = "vec", repeated, tag = "4")]
    pub symbols: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "5")]
    pub timeseries: Vec<TimeSeries2>,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct TimeSeries2 {
    #[prost(uint32, repeated, tag = "1")]
    pub labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    pub samples: Vec<saimon::wire::proto::v2::Sample>,
    #[prost(bytes = "vec", repeated, tag = "3")]
    pub histograms: Vec<Vec<u8>>,
    #[prost(message, repeated, tag = "4")]
    pub exemplars: Vec<saimon::wire::proto::v2::Exemplar>,
    #[prost(message, optional, tag = "5")]
    pub metadata: Option<Metadata2>,
    #[prost(int64, tag = "6")]
    pub created: i64,
}

#[derive(Clone, PartialEq, prost::Message)]
pub struct Metadata2 {
    #[prost(int32, tag = "1")]
    pub kind: i32,
    #[prost(uint32, tag = "3")]
    pub help_ref: u32,
    #[prost(uint32, tag = "4")]
    pub unit_ref: u32,
}

/// The type as it is taken: numbers from the future say nothing.
pub fn kind(number: i32) -> i32 {
    if (0..8).contains(&number) { number } else { 0 }
}

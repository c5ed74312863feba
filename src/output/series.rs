//! What is sent: labels that every receiver takes, and a sample of them.

use std::borrow::Cow;

use crate::series::labels;
use crate::wire::write::{MetricType, STALE_NAN_BITS};

/// Why labels cannot be sent (remote write 1.0 and 2.0, "labels").
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LabelsError {
    #[error("label {0:?} occurs twice")]
    Twice(String),
    #[error("a label has no name")]
    Nameless,
    #[error("the series has no __name__")]
    NoMetric,
}

/// Labels of one series: sorted by name, each name once, nothing empty, with a metric name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Labels(Box<[u8]>);

impl Labels {
    /// Puts labels into order. Those with empty values are left out: they mean the same as none.
    pub fn new<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, LabelsError> {
        let pairs = pairs.into_iter().filter(|(_, value)| !value.is_empty());
        let mut pairs: Vec<(&str, &str)> = pairs.collect();
        pairs.sort_unstable_by_key(|(name, _)| *name);
        if let Some(twice) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(LabelsError::Twice(twice[0].0.to_owned()));
        }
        if pairs.first().is_some_and(|(name, _)| name.is_empty()) {
            return Err(LabelsError::Nameless);
        }
        if !pairs.iter().any(|(name, _)| *name == labels::METRIC_NAME) {
            return Err(LabelsError::NoMetric);
        }
        Ok(Self(labels::encode(pairs).into_boxed_slice()))
    }

    /// The bytes that remote write 1.0 has for them (see [`crate::wire::write::SeriesSpan`]).
    pub fn canonical(&self) -> &[u8] {
        &self.0
    }
}

/// What a metric is: remote write 2.0 says it with each series, 1.0 now and then.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Family {
    pub kind: MetricType,
    pub help: Cow<'static, str>,
    /// Empty if it has none.
    pub unit: Cow<'static, str>,
}

/// One sample of one series.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    pub labels: &'a Labels,
    pub family: &'a Family,
    /// Milliseconds since the Unix epoch.
    pub timestamp_ms: i64,
    pub value: f64,
}

/// The value that ends a series.
pub fn stale() -> f64 {
    f64::from_bits(STALE_NAN_BITS)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_whole_and_unique() {
        let labels = Labels::new([("job", "a"), ("gone", ""), ("__name__", "up"), ("B", "1")]);
        let labels = labels.unwrap();
        let read: Vec<_> = labels::iter(labels.canonical()).collect();
        assert_eq!(read, [("B", "1"), ("__name__", "up"), ("job", "a")]);
        let wrong = |pairs: &[(&'static str, &'static str)]| {
            Labels::new(pairs.iter().copied()).unwrap_err().to_string()
        };
        assert_eq!(
            wrong(&[("__name__", "up"), ("a", "1"), ("a", "2")]),
            "label \"a\" occurs twice"
        );
        assert_eq!(
            wrong(&[("__name__", "up"), ("", "1")]),
            "a label has no name"
        );
        assert_eq!(
            wrong(&[("__name__", ""), ("a", "1")]),
            "the series has no __name__"
        );
    }
}

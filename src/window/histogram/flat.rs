//! A native histogram with the index beside every bucket and all counts as floats.

use serde::{Deserialize, Serialize};

use crate::wire::histogram::{BucketSpan, CUSTOM_SCHEMA, Counts, NativeHistogram};

/// The buckets of one side, by rising index.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Buckets {
    index: Vec<i32>,
    count: Vec<f64>,
}

impl Buckets {
    /// (index, count) by rising index.
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (i32, f64)> {
        self.index.iter().copied().zip(self.count.iter().copied())
    }

    pub fn is_empty(&self) -> bool {
        self.index.is_empty()
    }

    fn clear(&mut self) {
        self.index.clear();
        self.count.clear();
    }

    /// Adds to the last bucket if it has this index, else begins a new one.
    pub(super) fn add(&mut self, index: i32, count: f64) {
        if self.index.last() == Some(&index)
            && let Some(last) = self.count.last_mut()
        {
            *last += count;
        } else {
            self.index.push(index);
            self.count.push(count);
        }
    }

    /// The loops end with the counts: what spans claim costs nothing.
    fn load(&mut self, spans: &[BucketSpan], mut counts: impl Iterator<Item = f64>) {
        self.clear();
        let mut index = 0i32;
        for span in spans {
            index = index.wrapping_add(span.offset);
            for _ in 0..span.length {
                let Some(count) = counts.next() else {
                    return;
                };
                self.add(index, count);
                index = index.wrapping_add(1);
            }
        }
    }

    fn heap_bytes(&self) -> usize {
        self.index.capacity() * size_of::<i32>() + self.count.capacity() * size_of::<f64>()
    }
}

/// A native histogram, integer or float, in a form that differences can be made of.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Flat {
    pub schema: i32,
    pub zero_threshold: f64,
    /// Observations; those of NaN are in no bucket.
    pub count: f64,
    pub sum: f64,
    /// Observations in the zero bucket.
    pub zero: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// Upper bounds of custom buckets.
    pub custom: Vec<f64>,
}

impl Flat {
    /// Takes over a histogram, in memory that is used again.
    pub fn load(&mut self, h: &NativeHistogram) {
        self.schema = h.schema;
        self.zero_threshold = h.zero_threshold;
        self.sum = h.sum;
        self.custom.clear();
        self.custom.extend_from_slice(&h.custom_values);
        match &h.counts {
            Counts::Integer {
                count,
                zero,
                positive,
                negative,
            } => {
                self.count = *count as f64;
                self.zero = *zero as f64;
                self.positive.load(&h.positive_spans, running(positive));
                self.negative.load(&h.negative_spans, running(negative));
            }
            Counts::Float {
                count,
                zero,
                positive,
                negative,
            } => {
                self.count = *count;
                self.zero = *zero;
                self.positive
                    .load(&h.positive_spans, positive.iter().copied());
                self.negative
                    .load(&h.negative_spans, negative.iter().copied());
            }
        }
    }

    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// False if a count is negative or not finite: no sender's histogram that was checked.
    pub(super) fn is_usable(&self) -> bool {
        let counts = [self.count, self.zero].into_iter();
        let buckets = self.positive.count.iter().chain(&self.negative.count);
        counts
            .chain(buckets.copied())
            .all(|count| (0.0..f64::INFINITY).contains(&count))
    }

    pub(super) fn clear(&mut self) {
        self.positive.clear();
        self.negative.clear();
        self.custom.clear();
    }

    /// Memory beyond the struct itself, in bytes.
    pub fn heap_bytes(&self) -> usize {
        self.positive.heap_bytes()
            + self.negative.heap_bytes()
            + self.custom.capacity() * size_of::<f64>()
    }
}

/// Counts from differences to the bucket before.
fn running(deltas: &[i64]) -> impl Iterator<Item = f64> {
    deltas.iter().scan(0i64, |at, delta| {
        *at = at.wrapping_add(*delta);
        Some(*at as f64)
    })
}

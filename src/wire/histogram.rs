//! Native histograms of remote write, both versions: checked where they lie, and decoded when they
//! are wanted.
//!
//! The messages `prometheus.Histogram` and `io.prometheus.write.v2.Histogram` have the same numbers
//! for the fields they share (protocol notes, section 4), so one walk serves both. What always
//! holds: checking allocates nothing; neither checking nor decoding costs more than in proportion to
//! the bytes of the message, whatever span lengths and offsets claim; a checked message decodes. What
//! this does not know: what was observed before, what time it is, what a bucket is worth.

mod check;
mod decode;
mod walk;

use serde::{Deserialize, Serialize};

pub use self::check::check;
pub use self::decode::decode_into;
use super::field::FieldError;
use super::write;

/// Schema of custom buckets (Prometheus calls such a histogram NHCB); 2.0 only.
pub const CUSTOM_SCHEMA: i32 = -53;

/// Schemas of exponential buckets that Prometheus takes: -4 to 8 are in use, the others are
/// reserved for it and mean what the formula says.
pub const EXPONENTIAL_SCHEMAS: std::ops::RangeInclusive<i32> = -9..=52;

/// Buckets of one histogram, both sides together; and spans of each side, and custom bounds. Libraries
/// keep histograms below some 160 buckets, and all floats there are fill 4,096 at schema 1. What is
/// kept of a series grows with its buckets, so a sender must not choose their number.
pub const BUCKETS_MAX: usize = 8192;

/// A run of buckets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct BucketSpan {
    /// Index of the first bucket in the first span, buckets left out before this one in a later
    /// span.
    pub offset: i32,
    /// Buckets.
    pub length: u32,
}

/// What the sender knows about the histogram before this one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum ResetHint {
    #[default]
    Unknown = 0,
    /// Counting started again between the one before and this one.
    Yes = 1,
    /// It did not.
    No = 2,
    /// The counts are no counters at all.
    Gauge = 3,
}

impl ResetHint {
    /// The hint with this number on the wire; numbers from the future say nothing.
    pub fn from_wire(n: u32) -> Self {
        match n {
            1 => Self::Yes,
            2 => Self::No,
            3 => Self::Gauge,
            _ => Self::Unknown,
        }
    }
}

/// The counts of a native histogram, in one of its two forms.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Counts {
    /// Of each side, the first bucket's count and then the difference of each to the one before, as
    /// they are on the wire.
    Integer {
        count: u64,
        zero: u64,
        positive: Vec<i64>,
        negative: Vec<i64>,
    },
    /// Of each side, the count of each bucket.
    Float {
        count: f64,
        zero: f64,
        positive: Vec<f64>,
        negative: Vec<f64>,
    },
}

impl Counts {
    /// Makes these integer counts without buckets, keeping their memory if they were integer counts
    /// before: count, zero count, positive and negative buckets.
    pub fn as_integer(&mut self) -> (&mut u64, &mut u64, &mut Vec<i64>, &mut Vec<i64>) {
        if let Self::Float { .. } = self {
            *self = Self::default();
        }
        match self {
            Self::Integer {
                count,
                zero,
                positive,
                negative,
            } => {
                positive.clear();
                negative.clear();
                (count, zero, positive, negative)
            }
            Self::Float { .. } => unreachable!("BUG: they were just made integer counts"),
        }
    }

    /// The same for float counts.
    pub fn as_float(&mut self) -> (&mut f64, &mut f64, &mut Vec<f64>, &mut Vec<f64>) {
        if let Self::Integer { .. } = self {
            *self = Self::Float {
                count: 0.0,
                zero: 0.0,
                positive: Vec::new(),
                negative: Vec::new(),
            };
        }
        match self {
            Self::Float {
                count,
                zero,
                positive,
                negative,
            } => {
                positive.clear();
                negative.clear();
                (count, zero, positive, negative)
            }
            Self::Integer { .. } => unreachable!("BUG: they were just made float counts"),
        }
    }
}

/// One sample of a native histogram.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NativeHistogram {
    /// Bucket `i` reaches from 2^((i-1) * 2^-schema), exclusively, to 2^(i * 2^-schema);
    /// [`CUSTOM_SCHEMA`]: from `custom_values[i-1]` to `custom_values[i]`.
    pub schema: i32,
    /// Observations of at most this much, in either direction, are counted in the zero bucket.
    pub zero_threshold: f64,
    /// Sum of all observations; the stale marker of a histogram is here.
    pub sum: f64,
    pub reset_hint: ResetHint,
    pub positive_spans: Vec<BucketSpan>,
    pub negative_spans: Vec<BucketSpan>,
    /// Upper bounds of custom buckets, without the last, +Inf.
    pub custom_values: Vec<f64>,
    pub counts: Counts,
    /// Milliseconds since the Unix epoch; may be negative.
    pub timestamp_ms: i64,
    /// When counting started, in the same unit; 0 if unknown.
    pub start_ms: i64,
}

impl NativeHistogram {
    /// True if this is no histogram but the marker that ends its series.
    pub fn is_stale(&self) -> bool {
        write::is_stale(self.sum)
    }
}

impl Default for NativeHistogram {
    /// What an empty message means: an integer histogram without observations.
    fn default() -> Self {
        Self {
            schema: 0,
            zero_threshold: 0.0,
            sum: 0.0,
            reset_hint: ResetHint::Unknown,
            positive_spans: Vec::new(),
            negative_spans: Vec::new(),
            custom_values: Vec::new(),
            counts: Counts::default(),
            timestamp_ms: 0,
            start_ms: 0,
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self::Integer {
            count: 0,
            zero: 0,
            positive: Vec::new(),
            negative: Vec::new(),
        }
    }
}

/// What is known of a message that passed [`check`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Checked {
    /// Milliseconds since the Unix epoch; may be negative.
    pub timestamp_ms: i64,
    /// When counting started; 0 if unknown, or if it were after `timestamp_ms`.
    pub start_ms: i64,
    /// The marker that ends the series.
    pub stale: bool,
}

/// Why bytes are not a native histogram.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HistogramError {
    /// No protobuf message at all: the whole request is bad.
    #[error("body is not a remote-write message: {what} at byte {at} of a histogram")]
    Broken { what: &'static str, at: usize },
    /// A message that describes no histogram: its series is bad, the rest of the request is not.
    #[error("{0}")]
    Invalid(&'static str),
}

impl From<FieldError> for HistogramError {
    fn from(FieldError { what, at }: FieldError) -> Self {
        Self::Broken { what, at }
    }
}

//! What judges a sample of one series: detectors, each in a file of its own, and the ensemble that
//! drives them.
//!
//! A detector says what a sample is worth as evidence; what becomes of it is decided in `score`.
//! What always holds: a detector scores from state that does not contain the sample, gives finite
//! numbers for any finite input, allocates nothing per sample and depends on nothing but the samples
//! before. The evidence of all together is made in [`ensemble`].

pub mod absence;
pub mod averages;
pub mod baseline;
mod bound;
pub mod burst;
pub mod calendar;
pub mod cause;
pub mod change;
mod day;
pub mod ensemble;
pub mod features;
pub mod flatline;
pub mod forest;
pub mod group;
pub mod history;
pub mod joint;
pub mod level;
mod ln;
pub mod onset;
pub mod orders;
pub mod pace;
pub mod pattern;
pub mod profile;
pub mod range;
pub mod robust;
pub mod shift;
pub mod spec;
pub mod still;
pub mod tail;
pub mod trend;
pub mod volatility;
pub mod watch;

use serde::{Deserialize, Serialize};

pub use ensemble::{Ensemble, Step};
pub use onset::{Onset, OnsetInput, OnsetOutput};
pub use pace::Pace;
pub use spec::SeriesSpec;
pub use watch::Watch;

/// One scored value: a gauge's value, a counter's rate per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Milliseconds since the Unix epoch.
    pub t_ms: i64,
    pub value: f64,
}

/// How long the series was silent before a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Gap {
    None,
    /// More than three of its intervals.
    Short,
    /// More than an hour besides: what was before is no neighbour.
    Long,
}

/// What every detector may know of a sample and of those before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Past {
    pub value: f64,
    /// The value before.
    pub last: f64,
    /// The value without level and season.
    pub residual: f64,
    /// Mean residual of the five samples before.
    pub mean_5: f64,
    /// Deviation of the residual over ten samples, this one included.
    pub deviation_10: f64,
    /// How widely values lie around the level; positive.
    pub scale: f64,
    /// What no scale may be below; positive.
    pub floor: f64,
    /// Values of the series, this one included.
    pub n: u32,
    /// Gain of whatever has the memory of the level.
    pub gain: f64,
    /// How far tails move with this sample; 0 before they do.
    pub tail_gain: f32,
    /// By what factor short changes are larger at this time of the day than on the whole; positive.
    pub unrest: f64,
    /// The sample has no neighbour before it.
    pub after_gap: bool,
}

/// What a detector made of a sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Seen {
    /// What it measures, in the unit of the value.
    pub signal: f64,
    /// How unusual that is, as ln(1 + r): what its tail learns.
    pub x: f32,
    /// What that is worth; not negative, finite.
    pub evidence: f32,
}

/// Looks at every sample of one series. Owned by one shard, never shared, never blocks.
pub trait Detector: Default + Serialize + for<'de> Deserialize<'de> {
    /// Stable name, as in docs/models.md and in contributions.
    const NAME: &'static str;

    /// What a sample is worth, from state that does not contain it; `None` if it can't be compared.
    fn score(&self, past: &Past) -> Option<Seen>;

    /// Takes the sample into the state, after it was scored. `weight` in 0..=1 limits what an
    /// anomaly teaches.
    fn absorb(&mut self, past: &Past, seen: &Seen, weight: f64);
}

/// Values beyond this are judged as if they lay at it, so that squares and sums stay finite.
pub const VALUE_MAX: f64 = 1e30;

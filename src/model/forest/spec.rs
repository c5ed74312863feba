//! The settings of a forest, checked.

use super::FEATURES;
use super::schedule::Schedule;

/// How forests are grown, from what, and when.
#[derive(Debug, Clone, PartialEq)]
pub struct ForestSpec {
    /// Whether the series has one.
    pub has: Wanted,
    pub trees: u16,
    /// Rows that each tree is grown from.
    pub samples: u16,
    /// The features that are cut, one bit each, the first one lowest.
    pub features: u16,
    /// Rows of the past that are kept.
    pub rows: u16,
    /// How far back they reach, in milliseconds.
    pub memory_ms: i64,
    /// Samples before the first fit.
    pub min_points: u32,
    pub schedule: Schedule,
    /// Always-on evidence from which the forest is asked ...
    pub gate: f32,
    /// ... and for how many samples after it.
    pub hold: u16,
    /// Samples this far apart or further ask it every time, in milliseconds.
    pub always_from_ms: f64,
    /// Goes into every seed.
    pub seed: u64,
}

/// Whether a series has a forest.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Wanted {
    /// While there is memory for it, and before others if it asks more often.
    #[default]
    Auto,
    /// As long as there is memory, whoever else asks.
    Always,
    Never,
}

/// All features.
pub const ALL_FEATURES: u16 = (1 << FEATURES) - 1;

impl Default for ForestSpec {
    fn default() -> Self {
        Self {
            has: Wanted::Auto,
            trees: 25,
            samples: 256,
            features: ALL_FEATURES,
            rows: 1024,
            memory_ms: 30 * 86_400_000,
            min_points: 200,
            schedule: Schedule::Daily,
            gate: 3.5,
            hold: 30,
            always_from_ms: 60_000.0,
            seed: 0,
        }
    }
}

//! Time-of-day baseline: distance from what is usual at this time, in units of what is usual then.
//!
//! Sees "60 % at 3 AM", and a small deviation at a time of day that is always calm. Says nothing
//! while no rhythm has been found. Its state is the shared profile.

use serde::{Deserialize, Serialize};

use super::{Detector, Opinion, Past, Point};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Season;

impl Detector for Season {
    const NAME: &'static str = "season";

    fn new() -> Self {
        Self
    }

    fn score(&self, past: &Past<'_>, _x: Point) -> Option<Opinion> {
        past.usual.scale_now.map(|scale| Opinion {
            expected: past.usual.expected,
            low: past.usual.low,
            high: past.usual.high,
            scale,
        })
    }

    fn absorb(&mut self, _past: &Past<'_>, _x: Point, _weight: f64) {}
}

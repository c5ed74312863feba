//! Robust online z-score: distance from what is usual, in units of what is usual over all times.
//!
//! "Usual" is the slow location of all values, or the profile of the day once a rhythm has been
//! found. Sees spikes, drops and level shifts of any series. Its state is the shared norm and
//! profile.

use serde::{Deserialize, Serialize};

use super::{Detector, Opinion, Past, Point};

/// Values before the location means anything.
const KNOWS_FROM: u32 = 20;

#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct RobustZ;

impl Detector for RobustZ {
    const NAME: &'static str = "robust_z";

    fn new() -> Self {
        Self
    }

    fn score(&self, past: &Past<'_>, _x: Point) -> Option<Opinion> {
        (past.norm.count() >= KNOWS_FROM).then_some(Opinion {
            expected: past.usual.expected,
            low: past.usual.low,
            high: past.usual.high,
            scale: past.usual.scale,
        })
    }

    fn absorb(&mut self, _past: &Past<'_>, _x: Point, _weight: f64) {}
}

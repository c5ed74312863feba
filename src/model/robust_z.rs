//! Robust online z-score: distance from the slow location of all values.
//!
//! Sees spikes, drops and level shifts of any series. Cannot see a value that is usual at another
//! time of the day; that is what [`super::season`] is for. Its state is the shared norm.

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
        (past.norm.count() >= KNOWS_FROM).then(|| Opinion {
            expected: past.norm.location(),
            scale: past.norm.scale(),
        })
    }

    fn absorb(&mut self, _past: &Past<'_>, _x: Point, _weight: f64) {}
}

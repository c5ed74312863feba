//! What a sample looks like to the isolation forest.
//!
//! Value, residual, its course over the averages, and how restless they are: on the residual a value
//! that is usual at another time of the day is apart from those that are usual now. Order and names are [`super::forest::FEATURE_NAMES`].

use super::averages::{Averages, SPAN_5, SPAN_30, SPAN_60};
use super::forest::FEATURES;

/// The features of a value with its residual, which `with` contains already.
pub fn row(value: f64, residual: f64, with: &Averages) -> [f32; FEATURES] {
    let e = with.means;
    let d = with.deviations;
    [
        value as f32,
        residual as f32,
        (residual - f64::from(e[SPAN_5])) as f32,
        e[SPAN_5] - e[SPAN_60],
        e[SPAN_30],
        e[SPAN_60],
        d[0],
        d[1],
        d[2],
        d[3],
    ]
}

//! What a sample looks like to the isolation forest.
//!
//! Value, residual, its course over the averages, and how restless they are: on the residual a value
//! that is usual at another time of the day is apart from those that are usual now.

use super::averages::{Averages, SPAN_5, SPAN_30, SPAN_60};

/// Features of one sample.
pub const FEATURES: usize = 10;

/// The features of one sample, in the order of [`row`].
pub type Row = [f32; FEATURES];

/// Their names, as in contributions.
pub const NAMES: [&str; FEATURES] = [
    "value",
    "residual",
    "residual - mean_5",
    "mean_5 - mean_60",
    "mean_30",
    "mean_60",
    "deviation_5",
    "deviation_10",
    "deviation_30",
    "deviation_60",
];

/// The features of a value with its residual; `with` contains the residual.
pub fn row(value: f64, residual: f64, with: &Averages) -> Row {
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

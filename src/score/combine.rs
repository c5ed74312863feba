//! From the models' opinions to one evidence and one band.
//!
//! Every opinion is worth the nats of its distance on that model's own tail; the strongest decides.
//! With the maximum, and only with it, the values under the line are exactly those that lie in every
//! model's band: the combined band is the intersection, and "at or above 0.7" and "outside the
//! band" are one statement for each model and for all together.

use super::board::Side;
use super::tail::Tail;
use crate::config::Direction;
use crate::model::{COUNT, Opinion, SeriesSpec};

/// Evidence of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Evidence {
    /// Of the strongest model, in nats; not negative, finite.
    pub nats: f64,
    /// The same in units of the line, after the user's minimum deviations: 1 is the line.
    pub deviation: f64,
    /// Which model that is, in the order of [`crate::model::NAMES`].
    pub strongest: usize,
    pub side: Side,
    /// Deviation of each model on its own.
    pub each: [f64; COUNT],
    /// Distance of each model as ln(1 + r), for its tail to learn; 0 without an opinion.
    pub distances: [f64; COUNT],
}

/// The values for which the score stays under the line: `lower < value < upper`, or nothing at all
/// when the models' bands do not meet.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    pub expected: f64,
    pub lower: f64,
    pub upper: f64,
}

/// What `value` is worth.
pub fn evidence(
    spec: &SeriesSpec,
    opinions: &[Option<Opinion>; COUNT],
    tails: &[Tail; COUNT],
    evidence_max: f64,
    value: f64,
) -> Evidence {
    let mut out = Evidence {
        nats: 0.0,
        deviation: 0.0,
        strongest: 0,
        side: Side::Both,
        each: [0.0; COUNT],
        distances: [0.0; COUNT],
    };
    for (i, (opinion, tail)) in opinions.iter().zip(tails).enumerate() {
        let Some(opinion) = opinion else { continue };
        if i > 0 && tail.is_new() {
            // It speaks from the next sample on, with the tail that it is given then.
            out.distances[i] = opinion.distance(value).ln_1p();
            continue;
        }
        let distance = opinion.distance(value).ln_1p();
        let nats = tail.nats(distance).min(evidence_max);
        out.distances[i] = distance;
        let up = opinion.beyond(value) >= 0.0;
        let counts = match spec.direction {
            Direction::Both => true,
            Direction::Up => up,
            Direction::Down => !up,
        };
        let deviation = if counts {
            (nats / spec.line).min(least(spec, opinion, value))
        } else {
            0.0
        };
        out.each[i] = deviation;
        out.nats = out.nats.max(nats);
        if deviation > out.deviation {
            out.deviation = deviation;
            out.strongest = i;
            out.side = if up { Side::Up } else { Side::Down };
        }
    }
    out
}

/// How far a value is towards the least deviation that the user cares about: 1 is reached.
fn least(spec: &SeriesSpec, opinion: &Opinion, value: f64) -> f64 {
    let least = least_deviation(spec, opinion);
    if least > 0.0 {
        opinion.beyond(value).abs() / least
    } else {
        f64::INFINITY
    }
}

fn least_deviation(spec: &SeriesSpec, opinion: &Opinion) -> f64 {
    spec.min_deviation
        .max(spec.min_deviation_ratio * opinion.expected.abs())
}

/// The combined band, around the expectation of the last model that has one.
pub fn band(
    spec: &SeriesSpec,
    opinions: &[Option<Opinion>; COUNT],
    tails: &[Tail; COUNT],
    evidence_max: f64,
) -> Option<Band> {
    let mut band: Option<Band> = None;
    for (i, (opinion, tail)) in opinions.iter().zip(tails).enumerate() {
        let Some(opinion) = opinion else { continue };
        if i > 0 && tail.is_new() {
            continue;
        }
        let reach = if evidence_max < spec.line {
            f64::INFINITY
        } else {
            (tail.distance(spec.line) * opinion.scale).max(least_deviation(spec, opinion))
        };
        let (mut lower, mut upper) = (opinion.low - reach, opinion.high + reach);
        match spec.direction {
            Direction::Both => {}
            Direction::Up => lower = f64::NEG_INFINITY,
            Direction::Down => upper = f64::INFINITY,
        }
        let all = band.map_or((lower, upper), |b| (b.lower.max(lower), b.upper.min(upper)));
        band = Some(Band {
            expected: opinion.expected,
            lower: all.0,
            upper: all.1,
        });
    }
    band.map(|b| {
        if b.lower < b.upper {
            Band {
                expected: b.expected.clamp(b.lower, b.upper),
                ..b
            }
        } else {
            Band {
                expected: b.expected,
                lower: b.expected,
                upper: b.expected,
            }
        }
    })
}

//! Which members of a group an incident is about: how much each stands out in it.
//!
//! Three things make a member a cause: its evidence is high, such evidence is not usual for it, and it
//! went far on its own way of things, as somebody who looks at the graphs of all members side by side
//! would see it:
//!
//! ```text
//! stands out = peak of its evidence / (what is usual)^(1/4) * sqrt(0.01 + way / range)
//! ```
//!
//! What is usual is the evidence that it reaches in one sample of ten. The way is the furthest that its
//! value got in the incident from where it was before, the range what its values ever covered, the
//! incident included. Evidence alone puts a member that hardly moves, but never did, before one that
//! fell from its usual height to nothing: on SMD .67 of the labelled causes are named with it and .77
//! with the way, on ASD .91 and .92 (docs/accuracy.md).
//!
//! What always holds: what is usual is from before the incident; every number is finite and not negative
//! for finite input; the unit of a member does not matter. What it does not know: which member moved
//! which, and how long after the incident began it came.

/// Share of samples below the quantile.
const BELOW: f32 = 0.9;
/// Where it begins, and the smallest unit of its steps.
const USUAL_FROM: f32 = 0.3;
const USUAL_MIN: f32 = 0.05;
/// Samples that it remembers, about.
const USUAL_HORIZON: u32 = 5000;
/// Span of the average that says where the value is, in samples.
const SPAN: f64 = 10.0;
/// Samples in which the range would shrink to nothing, if no value held it up: as that of records of
/// onsets, see [`super::onset`].
const FORGETS: f64 = 100_000.0;
/// Share of the range that every member is taken to have gone.
const WAY_MIN: f64 = 0.01;

/// What one member of a group usually does.
///
/// The evidence is followed by a running quantile (Robbins and Monro 1951) in steps of its own size.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Usual {
    at: f32,
    n: u32,
    mean: f64,
    /// `None` before the first value.
    range: Option<Range>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
struct Range {
    low: f64,
    high: f64,
}

impl Range {
    fn take(&mut self, value: f64) {
        let shrink = (self.high - self.low) / FORGETS;
        self.high = (self.high - shrink).max(value);
        self.low = (self.low + shrink).min(value);
    }
}

impl Usual {
    pub fn new() -> Self {
        Self {
            at: USUAL_FROM,
            n: 0,
            mean: 0.0,
            range: None,
        }
    }

    /// Takes a sample of the member: its evidence in units of its line, and its value, which may be NaN.
    pub fn take(&mut self, d: f32, value: f64) {
        self.n = (self.n + 1).min(USUAL_HORIZON);
        // The power 3/4 as two roots: slower than 1/n, so that a bad beginning is left behind.
        let root = (self.n as f32).sqrt();
        let step = self.at.max(USUAL_MIN) / (root * root.sqrt());
        self.at += if d > self.at {
            step * BELOW
        } else {
            step * (BELOW - 1.0)
        };
        self.take_value(value);
    }

    fn take_value(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        match &mut self.range {
            None => {
                self.mean = value;
                self.range = Some(Range {
                    low: value,
                    high: value,
                });
            }
            Some(range) => {
                self.mean += 2.0 / (SPAN + 1.0) * (value - self.mean);
                range.take(value);
            }
        }
    }

    /// An incident begins with the next sample.
    pub fn begin(self) -> Incident {
        Incident {
            before: self,
            range: self.range,
            peak: 0.0,
            way: 0.0,
        }
    }
}

impl Default for Usual {
    fn default() -> Self {
        Self::new()
    }
}

/// One member of a group during an incident.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Incident {
    before: Usual,
    range: Option<Range>,
    peak: f32,
    way: f64,
}

impl Incident {
    /// Takes a sample of the member in the incident, as [`Usual::take`] does outside of one.
    pub fn take(&mut self, d: f32, value: f64) {
        self.peak = self.peak.max(d);
        if let Some(range) = &mut self.range
            && value.is_finite()
        {
            range.take(value);
            self.way = self.way.max((value - self.before.mean).abs());
        }
    }

    /// How much the member stands out so far; comparable among the members of a group.
    pub fn stands_out(&self) -> f32 {
        let share = match self.range {
            Some(range) if range.high > range.low => (self.way / (range.high - range.low)).min(1.0),
            _ => 0.0,
        };
        let usual = self.before.at.max(USUAL_MIN).sqrt().sqrt();
        self.peak / usual * (WAY_MIN + share).sqrt() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A member with such evidence and values of so wide a range, for a while.
    fn member(random: &mut fastrand::Rng, evidence: f32, unit: f64) -> Usual {
        let mut usual = Usual::new();
        for _ in 0..20_000 {
            usual.take(evidence * random.f32(), unit * (5.0 + random.f64()));
        }
        usual
    }

    fn after(usual: Usual, samples: &[(f32, f64)]) -> f32 {
        let mut incident = usual.begin();
        for (d, value) in samples {
            incident.take(*d, *value);
        }
        incident.stands_out()
    }

    #[test]
    fn what_is_usual_is_known_and_a_restless_member_stands_out_less() {
        let mut random = fastrand::Rng::with_seed(3);
        let calm = member(&mut random, 0.2, 1.0);
        let restless = member(&mut random, 1.6, 1.0);
        assert!((calm.at - 0.18).abs() < 0.01, "{calm:?}");
        assert!((restless.at - 1.44).abs() < 0.05, "{restless:?}");
        assert!(after(calm, &[(2.0, 7.0)]) > after(restless, &[(2.5, 7.0)]));
        assert!(after(calm, &[(2.0, 7.0)]) < after(restless, &[(5.0, 7.0)]));
    }

    #[test]
    fn of_two_as_odd_the_one_that_went_further_stands_out() {
        let mut random = fastrand::Rng::with_seed(4);
        let usual = member(&mut random, 0.5, 1.0);
        let near = after(usual, &[(1.0, 5.6), (1.5, 5.8)]);
        let far = after(usual, &[(1.0, 5.6), (1.5, 0.0)]);
        assert!(far > 1.3 * near && near > 0.0, "{near} {far}");
        // What it did after the peak counts, and the way back does not take it away.
        let back = after(usual, &[(1.5, 0.0), (1.0, 5.5)]);
        assert!((far / back - 1.0).abs() < 1e-3, "{far} {back}");
    }

    #[test]
    fn the_unit_does_not_matter() {
        let at = |unit: f64| {
            let usual = member(&mut fastrand::Rng::with_seed(5), 0.5, unit);
            after(usual, &[(1.5, 2.0 * unit)])
        };
        assert!((at(1.0) / at(1e9) - 1.0).abs() < 1e-6);
        assert!((at(1.0) / at(-1e-6) - 1.0).abs() < 1e-6);
    }

    #[test]
    fn members_without_values_or_movement_are_last() {
        let mut still = Usual::new();
        for _ in 0..100 {
            still.take(0.1, 3.0);
        }
        let unmoved = after(still, &[(1.0, 3.0), (1.0, f64::NAN)]);
        let moved = after(still, &[(1.0, 4.0)]);
        assert!(unmoved > 0.0 && moved > 5.0 * unmoved, "{unmoved} {moved}");
        assert!(after(Usual::new(), &[(1.0, 3.0)]).is_finite());
        assert_eq!(after(Usual::new(), &[]), 0.0);
    }
}

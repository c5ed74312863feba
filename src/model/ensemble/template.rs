//! What a new series begins with if an older one of its family is known.
//!
//! Pods come and go, and each would learn from nothing what the one before it knew: how widely its
//! values lie, how heavy its tails are, how its day goes. What always holds: the level is the series'
//! own from its first value on, everything else is the sibling's in the sibling's proportion to its
//! level, and counts for no more than `WORTH` values, so that what differs is soon unlearned. What
//! it does not know: whether two series of a family do the same work.

use super::{Ensemble, Point, SeriesSpec};
use crate::model::averages::Averages;
use crate::model::history::History;

/// Values that what was taken over counts for: evidence has three quarters of its size, scales and
/// tails give way to the series' own within as many.
const WORTH: u32 = 400;
/// The same of the level, which replicas share only roughly.
const LEVEL_WORTH: u32 = 30;
/// A first value that is no further, in scales, from what the sibling expects is on its level.
const NEAR: f64 = 3.0;
/// A series that is larger or smaller than its sibling by more than this factor is no likeness.
const FACTOR_MAX: f64 = 8.0;

impl Ensemble {
    /// The state of a series whose first value is `x`, taken from this one; `None` if the two are
    /// not alike.
    pub(crate) fn for_sibling(&self, spec: &SeriesSpec, x: Point) -> Option<Self> {
        let local_ms = spec.calendar.local_ms(x.t_ms);
        let usual = self.profile.look(local_ms, spec.day_ms).usual;
        let usual = usual.unwrap_or(0.0);
        let (location, scale) = (self.level.location(), self.level.scale());
        let expected = location + usual * scale;
        let (location, factor) = if (x.value - expected).abs() <= NEAR * scale {
            (location, 1.0)
        } else {
            let factor = x.value / expected;
            if !(1.0 / FACTOR_MAX..=FACTOR_MAX).contains(&factor) {
                return None;
            }
            (x.value - usual * scale * factor, factor)
        };
        Some(Self {
            level: self.level.adopted(location, factor, LEVEL_WORTH),
            jump: self.jump.scaled(factor),
            short: self.short.scaled(factor),
            burst: self.burst.scaled(factor),
            averages: Averages::default(),
            history: History::default(),
            last: x.value,
            n: WORTH.min(self.n),
            evidence: 0.0,
            ..self.clone()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::*;

    const DAY: i64 = 86_400_000;

    /// A series of five minutes around `base` with a day of a fifth of it.
    fn grown(base: f64, days: i64) -> (Ensemble, Pace, SeriesSpec) {
        let (spec, pace) = (SeriesSpec::default(), Pace::new(300_000.0, DAY));
        let mut rng = fastrand::Rng::with_seed(5);
        let mut ensemble = Ensemble::new();
        for i in 0..days * 288 {
            let x = point(i, base, &mut rng);
            let step = ensemble.score(&pace, &spec, x, Gap::None);
            ensemble.absorb(&pace, &spec, x, &step, 1.0);
        }
        (ensemble, pace, spec)
    }

    fn point(i: i64, base: f64, rng: &mut fastrand::Rng) -> Point {
        let turn = i as f64 / 288.0 * std::f64::consts::TAU;
        let noise = (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        Point {
            t_ms: i * 300_000,
            value: base * (1.0 + 0.2 * turn.sin() + 0.01 * noise),
        }
    }

    #[test]
    fn a_sibling_knows_the_day_on_its_first() {
        let (old, pace, spec) = grown(100.0, 10);
        for base in [100.0, 400.0, 30.0] {
            let mut rng = fastrand::Rng::with_seed(6);
            let mut new = old.for_sibling(&spec, point(0, base, &mut rng)).unwrap();
            let mut off: f64 = 0.0;
            for i in 1..288 {
                let x = point(i, base, &mut rng);
                let step = new.score(&pace, &spec, x, Gap::None);
                off = off.max((step.expected - x.value).abs() / base);
                new.absorb(&pace, &spec, x, &step, 1.0);
            }
            assert!(off < 0.15, "{base}: {off}");
            let odd = Point {
                t_ms: 288 * 300_000,
                value: base * 1.5,
            };
            let step = new.score(&pace, &spec, odd, Gap::None);
            assert!(step.evidence > 5.5, "{base}: {}", step.evidence);
        }
    }

    #[test]
    fn what_is_not_alike_takes_nothing() {
        let (old, _, spec) = grown(100.0, 3);
        for value in [-100.0, 0.0, 1e6, 3.0] {
            let x = Point { t_ms: 0, value };
            assert!(old.for_sibling(&spec, x).is_none(), "{value}");
        }
    }
}

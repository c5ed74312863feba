//! A slow trend: a leak that no single sample gives away.
//!
//! Samples are averaged over quarters of a day, and a quarter is compared with the same one of the
//! day before, so that a daily rhythm cancels: comparing equal seasons is what the seasonal Kendall
//! test does (Hirsch, Slack and Smith 1982). The rise over two days is too much if it is several
//! times what this series usually rises or falls in two days (which is what a random walk, a weekly
//! rhythm or a disk that always fills is used to). Whether it is a trend is asked of its shape: a
//! leak that began at some time must fit the differences of the two days better, by least squares,
//! than a step at any time does, by more than noise would have it.
//!
//! Cost: an addition a sample, some thousand operations every quarter of a day; 82 bytes. What it
//! can't see: anything in its first four days, and a leak of less than a tenth of the series' scale
//! a day.

use serde::{Deserialize, Serialize};

/// Quarters of a day that are kept: three days.
const KEPT: usize = 12;
const A_DAY: usize = 4;
/// Differences from one day to the next that they have.
const DIFFERENCES: usize = KEPT - A_DAY;
/// Rises before their usual size is known: a day of them beyond the first.
const KNOWN: u8 = 5;
/// Memory of the usual rise, in quarters: thirty days.
const HORIZON: u8 = 120;
/// A rise counts at most so many usual ones in it, once that is known.
const CLIP: f32 = 3.0;
/// A rise of two days is a trend from this many usual ones on ...
const TIMES: f32 = 5.0;
/// ... and from this share of the scale of the series a day.
const SCALE_SHARE: f32 = 0.1;
/// ... and it must exceed the largest so far this many times; of that, so much is left after each
/// quarter.
const BEYOND_MOST: f32 = 1.2;
const MOST_FADES: f32 = 0.998;
/// By how much better than a step a leak must fit: in squared errors of one difference.
const BETTER: f32 = 0.5;
/// The variance of a difference of two quarters in that of a rise, which is of the means of four
/// quarters on either side.
const OF_A_DIFFERENCE: f32 = 4.0;
/// Quarters that may be missing and are taken for the one before.
const MISSING_MAX: u32 = 1;
/// sqrt(pi/2), see [`super::robust`].
const MAD_TO_SIGMA: f32 = 1.253_314_1;

/// The slow side of one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[repr(Rust, packed)]
pub struct Trend {
    /// Means of the last quarters, less `base`, newest last.
    quarters: [f32; KEPT],
    filled: u8,
    /// The first value: what the quarters count from, so that f32 is enough.
    base: f64,
    /// Sum of the open quarter, less `base`.
    sum: f32,
    count: u32,
    /// Quarters since the epoch, of the open one.
    open: u32,
    /// Usual size of a rise or fall in two days.
    usual: f32,
    /// The largest so far, those of trends apart.
    most: f32,
    rises: u8,
    /// The rise up to the last closed quarter in units of what is too much, signed.
    ratio: f32,
}

impl Trend {
    /// How large the trend is in units of what is too much, signed: 1 and more rises, -1 and less
    /// falls.
    pub fn ratio(&self) -> f32 {
        self.ratio
    }

    /// Takes one value. `day_ms` is the length of a day, `scale` the scale of the series.
    #[inline]
    pub fn take(&mut self, t_ms: i64, value: f64, day_ms: i64, scale: f64) {
        let length = (day_ms / A_DAY as i64).max(1);
        // A division of integers is worth more than the rest: the open quarter is nearly always it.
        let into = t_ms.wrapping_sub(i64::from(self.open).wrapping_mul(length));
        let is_open = (0..length).contains(&into) && (self.count > 0 || self.filled > 0);
        if !is_open {
            let quarter = t_ms.div_euclid(length) as u32;
            if self.count == 0 && self.filled == 0 {
                self.base = value;
                self.open = quarter;
            }
            if quarter != self.open {
                self.close(quarter, scale);
            }
        }
        self.sum += (value - self.base) as f32;
        self.count += 1;
    }

    fn close(&mut self, quarter: u32, scale: f64) {
        let mean = self.sum / self.count.max(1) as f32;
        let missing = quarter.wrapping_sub(self.open) - 1;
        self.sum = 0.0;
        self.count = 0;
        self.open = quarter;
        self.push(mean, scale);
        if missing > MISSING_MAX {
            // What lies on the two sides of a gap can't be compared.
            self.filled = 0;
            self.ratio = 0.0;
        } else {
            for _ in 0..missing {
                self.push(mean, scale);
            }
        }
    }

    fn push(&mut self, mean: f32, scale: f64) {
        let mut quarters = self.quarters;
        quarters.rotate_left(1);
        quarters[KEPT - 1] = mean;
        self.quarters = quarters;
        self.filled = (self.filled + 1).min(KEPT as u8);
        self.ratio = 0.0;
        if usize::from(self.filled) < KEPT {
            return;
        }
        let differences: [f32; DIFFERENCES] =
            std::array::from_fn(|i| quarters[i + A_DAY] - quarters[i]);
        let rise = differences.iter().sum::<f32>() / A_DAY as f32;
        if self.rises >= KNOWN {
            // Few rises are a poor guess at the usual one.
            let usual = self.usual * (1.0 + 8.0 / f32::from(self.rises));
            let too_much = (TIMES * usual)
                .max(BEYOND_MOST * self.most)
                .max(2.0 * SCALE_SHARE * scale as f32);
            let by_chance = BETTER * OF_A_DIFFERENCE * self.usual * self.usual;
            let is_leak = rise.abs() >= too_much && leaks(&differences, by_chance);
            if is_leak && too_much > 0.0 {
                self.ratio = (rise.abs() / too_much).min(f32::MAX) * rise.signum();
            }
            self.most *= MOST_FADES;
            if !is_leak {
                self.most = self.most.max(rise.abs());
            }
        }
        self.rises = (self.rises + 1).min(HORIZON);
        let mut learned = MAD_TO_SIGMA * rise.abs();
        if self.rises > KNOWN {
            learned = learned.min(CLIP * self.usual);
        }
        self.usual += (learned - self.usual) / f32::from(self.rises);
    }
}

/// True if a leak fits the differences between days better than a step by so much, in squares.
fn leaks(differences: &[f32; DIFFERENCES], by: f32) -> bool {
    // Half quarters, for a step in the middle of one shows in it by half.
    let steps = (0..2 * KEPT).map(|half| {
        let at = half as f32 / 2.0;
        left(differences, |quarter| (quarter + 1.0 - at).clamp(0.0, 1.0))
    });
    // Begun before all of them, or at one; with fewer than six quarters since, it is no trend yet.
    let leaks = [-4.0, 0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0].map(|at: f32| {
        left(differences, |quarter| {
            ((quarter + 1.0 - at).max(0.0) + (quarter - at).max(0.0)) / 2.0
        })
    });
    let least = |of: &mut dyn Iterator<Item = f32>| of.fold(f32::INFINITY, f32::min);
    least(&mut { steps }) - least(&mut leaks.into_iter()) >= by
}

/// Sum of squares that is left of the differences when that of levels of this shape, in the best
/// size, is taken out of them.
fn left(differences: &[f32; DIFFERENCES], level: impl Fn(f32) -> f32) -> f32 {
    let (mut whole, mut along, mut size) = (0.0, 0.0, 0.0);
    for (i, difference) in differences.iter().enumerate() {
        let shape = level((i + A_DAY) as f32) - level(i as f32);
        whole += difference * difference;
        along += difference * shape;
        size += shape * shape;
    }
    match size > 0.0 {
        true => whole - along * along / size,
        false => whole,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 86_400_000;

    fn noise(rng: &mut fastrand::Rng) -> f64 {
        (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
    }

    /// Days after `from` (in days) at which the trend is first seen, up to `days`.
    fn first(
        step_ms: i64,
        days: f64,
        from: f64,
        scale: f64,
        mut f: impl FnMut(f64) -> f64,
    ) -> Option<f64> {
        let mut trend = Trend::default();
        let mut t = 0;
        while (t as f64) < days * DAY as f64 {
            let day = t as f64 / DAY as f64;
            trend.take(t, f(day), DAY, scale);
            if trend.ratio().abs() >= 1.0 {
                return Some(day - from);
            }
            t += step_ms;
        }
        None
    }

    #[test]
    fn a_leak_from_60_to_75_percent_in_a_week_is_found_within_two_days() {
        for step in [15_000, 300_000] {
            let mut rng = fastrand::Rng::with_seed(1);
            let found = first(step, 15.0, 8.0, 1.6, |day| {
                let rhythm = 2.0 * (day * std::f64::consts::TAU).sin();
                60.0 + rhythm + noise(&mut rng) + (day - 8.0).max(0.0) * 15.0 / 7.0
            });
            assert!(found.is_some_and(|d| (0.0..=2.0).contains(&d)), "{found:?}");
        }
    }

    /// Noise that remembers ten samples, of one percent: what memory does.
    #[test]
    fn a_leak_in_restless_noise_is_found_within_two_days_and_a_half() {
        let (mut in_time, mut early) = (0, 0);
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(200 + seed);
            let mut ar = 0.0;
            let found = first(300_000, 26.0, 21.4, 1.0, |day| {
                ar = 0.9 * ar + 0.436 * noise(&mut rng);
                60.0 + ar + (day - 21.4).max(0.0) * 15.0 / 7.0
            });
            early += u32::from(found.is_some_and(|d| d < 0.0));
            in_time += u32::from(found.is_some_and(|d| (0.0..=2.5).contains(&d)));
        }
        assert!(early == 0 && in_time >= 16, "{early} {in_time}");
    }

    #[test]
    fn a_small_step_is_no_trend_either() {
        let mut trends = 0;
        for seed in 0..40 {
            let mut rng = fastrand::Rng::with_seed(300 + seed);
            let mut ar = 0.0;
            let at = 21.0 + f64::from(seed as u32) / 40.0;
            let found = first(300_000, 26.0, 0.0, 1.0, |day| {
                ar = 0.9 * ar + 0.436 * noise(&mut rng);
                ar + if day > at { 4.0 } else { 0.0 }
            });
            trends += u32::from(found.is_some());
        }
        assert!(trends <= 3, "{trends} of 40");
    }

    #[test]
    fn one_scale_a_day_is_found_at_five_minutes() {
        let mut rng = fastrand::Rng::with_seed(2);
        let found = first(300_000, 20.0, 10.0, 1.0, |day| {
            noise(&mut rng) + (day - 10.0).max(0.0)
        });
        assert!(found.is_some_and(|d| (0.0..=2.5).contains(&d)), "{found:?}");
    }

    #[test]
    fn a_step_and_a_weekend_are_no_trend() {
        for at in [0.0, 0.1, 0.3, 0.6] {
            let mut rng = fastrand::Rng::with_seed(3);
            let found = first(300_000, 20.0, 0.0, 1.0, |day| {
                noise(&mut rng) + if day > 10.0 + at { 30.0 } else { 0.0 }
            });
            assert_eq!(found, None, "step at {at}");
        }
        let mut rng = fastrand::Rng::with_seed(4);
        let found = first(300_000, 30.0, 0.0, 10.0, |day| {
            let weekend = day.rem_euclid(7.0) >= 5.0;
            noise(&mut rng) + if weekend { -20.0 } else { 0.0 }
        });
        assert_eq!(found, None);
    }

    #[test]
    fn a_series_that_always_grows_or_wanders_is_used_to_it() {
        let mut rng = fastrand::Rng::with_seed(5);
        let found = first(300_000, 30.0, 0.0, 5.0, |day| 5.0 * day + noise(&mut rng));
        assert_eq!(found, None);
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(100 + seed);
            let mut at = 0.0;
            let found = first(300_000, 60.0, 0.0, 10.0, |_| {
                at += 0.3 * noise(&mut rng);
                at
            });
            assert_eq!(found, None, "seed {seed}");
        }
    }

    #[test]
    fn what_lies_on_two_sides_of_a_gap_is_not_compared() {
        let mut trend = Trend::default();
        let mut t = 0;
        for day in 0..20 {
            for _ in 0..288 {
                trend.take(t, f64::from(day % 2), DAY, 1.0);
                t += 300_000;
            }
        }
        t += 10 * DAY;
        for _ in 0..288 {
            trend.take(t, 100.0, DAY, 1.0);
            assert_eq!(trend.ratio(), 0.0);
            t += 300_000;
        }
    }
}

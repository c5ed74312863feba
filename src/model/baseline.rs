//! The long baseline: day, week and trend of a series, from its past by the hour.
//!
//! A ridge regression (Hoerl and Kennard 1970) on a trend and on sines and cosines: harmonics of the
//! day; harmonics of the week and those about the day's, which together are a day that is another on
//! some weekdays; and one more rhythm, if the past has one of another length. No season is assumed
//! to be there: each part must earn its place on the newest part of the past, which the fit has not
//! seen, by a tenth less of the squared error. What always holds: the same past gives the same
//! baseline; coefficients are shrunk as if a day without any rhythm had been seen besides. What it
//! does not know: holidays, rhythms of less than four hours, and where a level has shifted.

pub mod hours;

use ndarray::{Array1, Array2};
use smartcore::linear::ridge_regression::{RidgeRegression, RidgeRegressionParameters};

/// What one hour of the past is worth knowing: local time of its beginning in milliseconds, and the
/// mean of its values.
pub type Hour = (i64, f64);

/// An hour in milliseconds, and the hours of a day.
pub const HOUR_MS: i64 = 3_600_000;
const DAY_H: f64 = 24.0;
/// Hours from which on there is a baseline: a day to be tested on, and three before it.
const HOURS_MIN: usize = 96;
/// Most hours that are fitted: thirteen weeks; what is older is left out.
const HOURS_MAX: usize = 13 * 168;
/// Share of the past that is not fitted and tested on; at most a week of it.
const TESTED: f64 = 0.25;
const WEEK_H: usize = 168;
/// A week is looked for where two of them are fitted and a third is tested.
const WEEKS_H: usize = 3 * WEEK_H;
/// What a part must take off the squared error of the tested hours.
const EARNS: f64 = 0.1;
/// Hours without a rhythm that are added in thought.
const SHRINK_H: f64 = 24.0;
/// Values further from the median than so many median deviations count as that far.
const CLIP: f64 = 6.0;
/// Harmonics of the day, and of another rhythm.
const HARMONICS: u32 = 5;
/// Of the week alone, in cycles a week; and about each of the day's first three harmonics.
const OF_THE_WEEK: [f64; 3] = [1.0, 2.0, 3.0];
const ABOUT_THE_DAY: [f64; 4] = [-2.0, -1.0, 1.0, 2.0];
/// Rhythms of another length are looked for between these, in hours.
const OTHER_H: std::ops::RangeInclusive<usize> = 4..=120;

/// Which rhythm a series has.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Season {
    None,
    Day,
    Week,
    DayAndWeek,
    /// One of so many hours, alone or beside those of the calendar.
    Other(f64),
}

impl std::fmt::Display for Season {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::None => f.write_str("none"),
            Self::Day => f.write_str("day"),
            Self::Week => f.write_str("week"),
            Self::DayAndWeek => f.write_str("day and week"),
            Self::Other(hours) => write!(f, "{hours:.1} h"),
        }
    }
}

/// What is usual for a series at a time, by its long past.
#[derive(Debug, Clone, PartialEq)]
pub struct Baseline {
    season: Season,
    strength: f64,
    trend_earned: bool,
    fit: Fit,
    hours: usize,
}

impl Baseline {
    /// The baseline of a past in order of time; hours may be missing. `None` if it is too short, or
    /// never changes.
    pub fn fit(past: &[Hour]) -> Option<Self> {
        let past = &past[past.len().saturating_sub(HOURS_MAX)..];
        if past.len() < HOURS_MIN {
            return None;
        }
        let clipped = clipped(past)?;
        let tested = ((past.len() as f64 * TESTED) as usize).min(WEEK_H);
        let (seen, unseen) = clipped.split_at(past.len() - tested);
        let error = |parts: &Parts| Some(Fit::of(seen, parts)?.error(unseen));
        let mut best = Parts::default();
        let mut least = error(&best)?;
        let mut earns = |parts: Parts, best: &mut Parts| -> bool {
            let better = error(&parts).filter(|e| *e <= (1.0 - EARNS) * least);
            if let Some(e) = better {
                least = e;
                *best = parts;
            }
            better.is_some()
        };
        let trend_earned = earns(best.clone().with_trend(), &mut best);
        let without = error(&best)?;
        let day = earns(best.clone().with(&of_the_day()), &mut best);
        let week = clipped.len() >= WEEKS_H && {
            let more = match day {
                true => [of_the_week(), about_the_day()].concat(),
                false => of_the_week(),
            };
            earns(best.clone().with(&more), &mut best)
        };
        let other = strongest(seen, &Fit::of(seen, &best)?, week)
            .filter(|period| earns(best.clone().with(&harmonics(*period)), &mut best));
        let season = match (other, day, week) {
            (Some(hours), _, _) => Season::Other(hours),
            (None, true, true) => Season::DayAndWeek,
            (None, true, false) => Season::Day,
            (None, false, true) => Season::Week,
            (None, false, false) => Season::None,
        };
        let left = error(&best)?;
        Some(Self {
            season,
            strength: match without > 0.0 {
                true => (1.0 - left / without).clamp(0.0, 1.0),
                false => 0.0,
            },
            trend_earned,
            fit: Fit::of(&clipped, &best)?,
            hours: past.len(),
        })
    }

    pub fn season(&self) -> Season {
        self.season
    }

    /// Share of the variance of hours it had not seen that the season explains: 0..=1.
    pub fn strength(&self) -> f64 {
        self.strength
    }

    /// Rise a day, in the unit of the value; 0 where a trend says nothing of hours it had not seen.
    pub fn trend_a_day(&self) -> f64 {
        match self.trend_earned {
            true => self.fit.trend * DAY_H,
            false => 0.0,
        }
    }

    /// Hours that it was made from.
    pub fn hours(&self) -> usize {
        self.hours
    }

    /// What is usual at a local time in milliseconds.
    pub fn expected(&self, local_ms: i64) -> f64 {
        self.fit.at(local_ms)
    }
}

/// What a regression is on: frequencies in cycles an hour, and whether there is a trend.
#[derive(Debug, Clone, Default, PartialEq)]
struct Parts {
    trend: bool,
    frequencies: Vec<f64>,
}

impl Parts {
    fn with_trend(mut self) -> Self {
        self.trend = true;
        self
    }

    fn with(mut self, frequencies: &[f64]) -> Self {
        self.frequencies.extend(frequencies);
        self
    }

    /// Columns of a row: the trend, then a cosine and a sine of each frequency.
    fn columns(&self) -> usize {
        usize::from(self.trend) + 2 * self.frequencies.len()
    }

    fn row(&self, hour: f64, origin: f64) -> impl Iterator<Item = f64> {
        let trend = self.trend.then_some(hour - origin);
        let waves = self.frequencies.iter().flat_map(move |f| {
            // Whole turns are taken off first, so that sines of times since 1970 are exact.
            let turn = (hour * f).rem_euclid(1.0) * std::f64::consts::TAU;
            [turn.cos(), turn.sin()]
        });
        trend.into_iter().chain(waves)
    }
}

fn harmonics(hours: f64) -> Vec<f64> {
    (1..=HARMONICS)
        .map(|h| f64::from(h) / hours)
        // Hours show nothing faster than two of them.
        .filter(|f| *f < 0.45)
        .collect()
}

fn of_the_day() -> Vec<f64> {
    harmonics(DAY_H)
}

fn of_the_week() -> Vec<f64> {
    OF_THE_WEEK.iter().map(|k| k / WEEK_H as f64).collect()
}

fn about_the_day() -> Vec<f64> {
    let about = |day: f64| ABOUT_THE_DAY.map(|k| (7.0 * day + k) / WEEK_H as f64);
    [1.0, 2.0, 3.0].map(about).concat()
}

/// A regression that was fitted.
#[derive(Debug, Clone, PartialEq)]
struct Fit {
    parts: Parts,
    /// Time that the trend counts from, in hours.
    origin: f64,
    at_origin: f64,
    /// A rise an hour.
    trend: f64,
    weights: Vec<f64>,
}

impl Fit {
    /// `None` if the past does not determine it.
    fn of(past: &[Hour], parts: &Parts) -> Option<Self> {
        let origin = hour(past.first()?.0);
        let mean = past.iter().map(|h| h.1).sum::<f64>() / past.len() as f64;
        let columns = parts.columns();
        let mut fit = Self {
            parts: parts.clone(),
            origin,
            at_origin: mean,
            trend: 0.0,
            weights: vec![0.0; columns],
        };
        if columns == 0 {
            return Some(fit);
        }
        let rows = past.iter().flat_map(|h| parts.row(hour(h.0), origin));
        let x = Array2::from_shape_vec((past.len(), columns), rows.collect()).ok()?;
        let y = Array1::from_iter(past.iter().map(|h| h.1));
        let parameters = RidgeRegressionParameters::default().with_alpha(SHRINK_H);
        let ridge = RidgeRegression::fit(&x, &y, parameters).ok()?;
        fit.at_origin = *ridge.intercept();
        fit.weights = ridge.coefficients().iter().copied().collect();
        if parts.trend {
            fit.trend = fit.weights[0];
        }
        let finite = fit.weights.iter().all(|w| w.is_finite()) && fit.at_origin.is_finite();
        finite.then_some(fit)
    }

    fn at(&self, local_ms: i64) -> f64 {
        let row = self.parts.row(hour(local_ms), self.origin);
        self.at_origin + row.zip(&self.weights).map(|(x, w)| x * w).sum::<f64>()
    }

    /// Mean squared error.
    fn error(&self, of: &[Hour]) -> f64 {
        let errors = of.iter().map(|h| (h.1 - self.at(h.0)).powi(2));
        errors.sum::<f64>() / of.len().max(1) as f64
    }
}

fn hour(local_ms: i64) -> f64 {
    local_ms as f64 / HOUR_MS as f64
}

/// The past without what is wildly out: a few hours of an incident are no rhythm. `None` if nothing
/// is finite or nothing changes.
fn clipped(past: &[Hour]) -> Option<Vec<Hour>> {
    let median = |mut of: Vec<f64>| {
        of.sort_by(f64::total_cmp);
        of[of.len() / 2]
    };
    if !past.iter().all(|h| h.1.is_finite()) {
        return None;
    }
    let middle = median(past.iter().map(|h| h.1).collect());
    let wide = median(past.iter().map(|h| (h.1 - middle).abs()).collect());
    let mean = past.iter().map(|h| (h.1 - middle).abs()).sum::<f64>() / past.len() as f64;
    // Where most hours are equal the median deviation says nothing.
    let wide = CLIP * if wide > 0.0 { wide } else { mean };
    (wide > 0.0).then(|| {
        let clip = |h: &Hour| (h.0, h.1.clamp(middle - wide, middle + wide));
        past.iter().map(clip).collect()
    })
}

/// The length in hours of the strongest rhythm in what a fit leaves, refined to a tenth of an hour;
/// those of the calendar and their harmonics are not looked for.
fn strongest(past: &[Hour], fit: &Fit, week: bool) -> Option<f64> {
    let left: Vec<Hour> = past.iter().map(|h| (h.0, h.1 - fit.at(h.0))).collect();
    let power = |period: f64| {
        let (mut c, mut s) = (0.0, 0.0);
        for (t, x) in &left {
            let turn = (hour(*t) / period).rem_euclid(1.0) * std::f64::consts::TAU;
            c += x * turn.cos();
            s += x * turn.sin();
        }
        c * c + s * s
    };
    let of_the_calendar = |period: f64| {
        let cycles = past.len() as f64 / period;
        let near = |known: f64, by: f64| (cycles - past.len() as f64 / known).abs() < by;
        // A week that is not smooth has sidebands that the fit leaves out.
        (1..=6).any(|h| near(DAY_H / f64::from(h), 1.5) || near(WEEK_H as f64 / f64::from(h), 1.5))
            || week && (7..=24).any(|k| near(WEEK_H as f64 / f64::from(k), 0.6))
    };
    // Of a rhythm that came five times at least; frequencies half a cycle of the past apart.
    let span = past.len() as f64;
    let (shortest, longest) = (
        *OTHER_H.start() as f64,
        (*OTHER_H.end() as f64).min(span / 5.0),
    );
    let steps = ((span / shortest - span / longest) * 2.0).max(0.0) as usize;
    let periods = (0..=steps).map(|i| span / (span / longest + i as f64 / 2.0));
    let coarse = periods
        .filter(|p| !of_the_calendar(*p))
        .map(|p| (power(p), p))
        .max_by(|a, b| a.0.total_cmp(&b.0))?;
    let width = coarse.1 * coarse.1 / span / 2.0;
    let fine = (-10..=10).map(|i| coarse.1 + width * f64::from(i) / 10.0);
    fine.map(|p| (power(p), p))
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, p)| p)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-05, a Monday.
    const MONDAY_H: i64 = 1_767_571_200 / 3600;

    fn past(days: i64, noise: f64, mut f: impl FnMut(f64) -> f64) -> Vec<Hour> {
        let mut rng = fastrand::Rng::with_seed(11);
        let mut gauss = || (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
        (0..days * 24)
            .map(|h| {
                (
                    (MONDAY_H + h) * HOUR_MS,
                    f(h as f64 / 24.0) + noise * gauss(),
                )
            })
            .collect()
    }

    fn day(at: f64) -> f64 {
        20.0 * (at * std::f64::consts::TAU).sin()
    }

    fn busy(at: f64) -> f64 {
        if at.rem_euclid(7.0) < 5.0 { 1.0 } else { 0.3 }
    }

    fn season(past: &[Hour]) -> (Season, f64) {
        let fit = Baseline::fit(past).unwrap();
        (fit.season(), fit.strength())
    }

    #[test]
    fn each_season_is_found_and_none_where_there_is_none() {
        let (none, strength) = season(&past(28, 5.0, |_| 100.0));
        assert_eq!((none, strength), (Season::None, 0.0));
        let (found, strength) = season(&past(28, 5.0, |d| 100.0 + day(d)));
        assert_eq!(found, Season::Day);
        assert!(strength > 0.8, "{strength}");
        let (found, strength) = season(&past(28, 5.0, |d| 100.0 + busy(d) * (30.0 + day(d))));
        assert_eq!(found, Season::DayAndWeek);
        assert!(strength > 0.8, "{strength}");
        let (found, _) = season(&past(28, 3.0, |d| 100.0 + 30.0 * busy(d)));
        assert_eq!(found, Season::Week);
        let seven = |d: f64| 20.0 * (d * 24.0 / 7.3 * std::f64::consts::TAU).sin();
        let (found, _) = season(&past(28, 5.0, |d| 100.0 + seven(d)));
        assert!(
            matches!(found, Season::Other(h) if (h - 7.3).abs() < 0.1),
            "{found}"
        );
    }

    #[test]
    fn noise_that_remembers_has_no_season() {
        let mut seasons = 0;
        for seed in 0..20 {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut ar = 0.0;
            let walk = past(28, 0.0, |_| {
                ar = 0.95 * ar + (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0;
                ar
            });
            seasons += u32::from(season(&walk).0 != Season::None);
        }
        assert!(seasons <= 3, "{seasons} of 20");
    }

    #[test]
    fn a_weekend_is_expected_where_one_was_seen() {
        let whole = |d: f64| 100.0 + busy(d) * (30.0 + day(d));
        let fit = Baseline::fit(&past(28, 3.0, whole)).unwrap();
        let mut worst: f64 = 0.0;
        for h in 0..168 {
            let at = 28.0 + h as f64 / 24.0;
            let expected = fit.expected((MONDAY_H + 28 * 24 + h) * HOUR_MS);
            // The edges of a weekend are sharper than its harmonics.
            if !(4.5..5.5).contains(&at.rem_euclid(7.0))
                && !(0.0..0.5).contains(&at.rem_euclid(7.0))
                && at.rem_euclid(7.0) < 6.5
            {
                worst = worst.max((expected - whole(at)).abs());
            }
        }
        assert!(worst < 12.0, "{worst}");
    }

    #[test]
    fn a_trend_is_said_where_it_goes_on_and_incidents_and_gaps_are_no_season() {
        let fit = Baseline::fit(&past(14, 1.0, |d| 60.0 + 2.0 * d)).unwrap();
        assert!(
            (fit.trend_a_day() - 2.0).abs() < 0.3,
            "{}",
            fit.trend_a_day()
        );
        let fit = Baseline::fit(&past(14, 1.0, |_| 60.0)).unwrap();
        assert_eq!(fit.trend_a_day(), 0.0);
        let mut wild = past(28, 5.0, |d| 100.0 + day(d));
        for hour in &mut wild[300..310] {
            hour.1 = 1e9;
        }
        wild.drain(100..140);
        assert_eq!(season(&wild).0, Season::Day);
    }

    #[test]
    fn too_short_and_constant_pasts_have_no_baseline() {
        assert_eq!(Baseline::fit(&past(3, 1.0, day)), None);
        assert_eq!(Baseline::fit(&past(20, 0.0, |_| 5.0)), None);
        assert_eq!(Baseline::fit(&past(20, 0.0, |_| f64::NAN)), None);
    }
}

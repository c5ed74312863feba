//! The long past by the hour: means of a gauge, rates of a counter.

use std::collections::BTreeMap;

use super::{HOUR_MS, Hour};
use crate::model::calendar::Calendar;
use crate::window::rollup::{self, Row};

/// A counter gives no rate over more than this, as it gives none where it is scored.
const RATE_MAX_MS: i64 = HOUR_MS;

/// Puts values together by the hour.
pub struct Hours<'a> {
    counter: bool,
    zone: &'a Calendar,
    /// Time and value of the last one.
    last: Option<(i64, f64)>,
    /// Sum of values and of their weights.
    sums: BTreeMap<i64, (f64, f64)>,
}

impl<'a> Hours<'a> {
    /// Of a counter or of a gauge; hours are those of `zone`.
    pub fn new(counter: bool, zone: &'a Calendar) -> Self {
        Self {
            counter,
            zone,
            last: None,
            sums: BTreeMap::new(),
        }
    }

    /// Takes five minutes; in order of time.
    pub fn row(&mut self, row: &Row) {
        let t_ms = row.start_ms() + rollup::STEP_MS - 1;
        // The last value is exact; of a gauge the mean says more.
        let value = match self.counter {
            true => row.last(),
            false => row.mean(),
        };
        self.take(t_ms, value, f64::from(row.count()));
    }

    /// Takes a value that stands for so many samples; in order of time, what is not newer is left out.
    pub fn take(&mut self, t_ms: i64, value: f64, weight: f64) {
        if !value.is_finite() || self.last.is_some_and(|(t, _)| t_ms <= t) {
            return;
        }
        let last = self.last.replace((t_ms, value));
        let value = match (self.counter, last) {
            (false, _) => value,
            (true, Some((t, before))) if value >= before && t_ms - t <= RATE_MAX_MS => {
                (value - before) * 1000.0 / (t_ms - t) as f64
            }
            (true, _) => return,
        };
        let local = self.zone.local_ms(t_ms).div_euclid(HOUR_MS) * HOUR_MS;
        let sum = self.sums.entry(local).or_default();
        sum.0 += value * weight;
        sum.1 += weight;
    }

    /// Means by the local hour, in order.
    pub fn finish(self) -> Vec<Hour> {
        let mean = |(t, (sum, weight)): (i64, (f64, f64))| (t, sum / weight);
        self.sums.into_iter().map(mean).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gauges_are_means_and_counters_rates_and_resets_are_left_out() {
        let zone = Calendar::default();
        let mut gauge = Hours::new(false, &zone);
        for (t, v) in [(0, 2.0), (1000, 4.0), (1000, 9.0), (HOUR_MS, 8.0)] {
            gauge.take(t, v, 1.0);
        }
        gauge.take(HOUR_MS + 1, f64::NAN, 1.0);
        assert_eq!(gauge.finish(), [(0, 3.0), (HOUR_MS, 8.0)]);
        let mut counter = Hours::new(true, &zone);
        for (t, v) in [(0, 10.0), (10_000, 30.0), (20_000, 5.0), (30_000, 15.0)] {
            counter.take(t, v, 1.0);
        }
        counter.take(30_000 + 2 * HOUR_MS, 1e6, 1.0);
        assert_eq!(counter.finish(), [(0, 1.5)]);
    }
}

//! Which rhythm each series has, by its long past: `saimon inspect seasons`.
//!
//! The past by the hour is put together from the rows of five minutes and the samples of the window,
//! of counters as rates, and given to [`crate::model::baseline`].

use std::collections::BTreeMap;
use std::io::Write;

use serde::Serialize;

use super::export::{self, Sample};
use super::series::{self, Place, Series};
use super::{Seasons, rules};
use crate::model::baseline::{Baseline, HOUR_MS, Hour};
use crate::model::calendar::Calendar;
use crate::series::labels;
use crate::store::view::View;
use crate::window::rollup;

/// A counter gives no rate over more than this, as it gives none where it is scored.
const RATE_MAX_MS: i64 = HOUR_MS;

/// One series.
#[derive(Debug, Serialize)]
struct Line {
    series: String,
    /// `None`: its past is too short, or never changes.
    season: Option<String>,
    /// Share of the variance that the season explains of hours it had not seen.
    strength: Option<f64>,
    /// Rise a day; 0: none.
    trend_a_day: Option<f64>,
    hours: usize,
}

pub(super) fn run(args: &Seasons, out: &mut dyn Write) -> anyhow::Result<()> {
    let rules = rules(args.config.as_ref())?;
    let view = args.place.open()?;
    let all = series::all(&view, &rules, args.selector.as_ref())?;
    let mut lines = Vec::new();
    for (place, series) in &all {
        if !matches!(series.kind, "gauge" | "counter") {
            continue;
        }
        let calendar = rules.resolve(&series.labels).calendar;
        lines.push(line(&view, *place, series, &calendar)?);
    }
    lines.sort_by(|a, b| a.series.cmp(&b.series));
    let left_out = lines.len().saturating_sub(args.limit);
    lines.truncate(args.limit);
    if args.json {
        let all = serde_json::json!({"series": lines, "left_out": left_out});
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
        return Ok(());
    }
    writeln!(out, "SEASON        STRENGTH  TREND A DAY  HOURS  SERIES")?;
    for l in &lines {
        let share = l
            .strength
            .map_or("-".to_owned(), |s| format!("{:.0} %", s * 100.0));
        let trend = match l.trend_a_day {
            Some(t) if t != 0.0 => format!("{t:+.3e}"),
            _ => "-".to_owned(),
        };
        let season = l.season.as_deref().unwrap_or("unknown");
        writeln!(
            out,
            "{season:<13} {share:>8}  {trend:>11}  {:>5}  {}",
            l.hours, l.series
        )?;
    }
    if left_out > 0 {
        writeln!(
            out,
            "... and {left_out} more: raise --limit, or give a selector"
        )?;
    }
    Ok(())
}

fn line(view: &View, place: Place, series: &Series, zone: &Calendar) -> anyhow::Result<Line> {
    let past = hours(view, place, series, zone)?;
    let fit = Baseline::fit(&past);
    Ok(Line {
        series: labels::display(&series.labels),
        season: fit.as_ref().map(|f| f.season().to_string()),
        strength: fit.as_ref().map(Baseline::strength),
        trend_a_day: fit.as_ref().map(Baseline::trend_a_day),
        hours: past.len(),
    })
}

/// Means by the local hour, in order.
fn hours(view: &View, place: Place, of: &Series, zone: &Calendar) -> anyhow::Result<Vec<Hour>> {
    let (id, position) = place;
    let all = (i64::MIN, i64::MAX);
    let mut hours = Hours::new(of.kind == "counter", zone);
    for (_, rows) in view.rollups(id, &[position], all.0, all.1)? {
        for row in rows {
            let t_ms = row.start_ms() + rollup::STEP_MS - 1;
            // The last value is exact; of a gauge the mean says more.
            let value = if hours.counter {
                row.last()
            } else {
                row.mean()
            };
            hours.take(t_ms, value, f64::from(row.count()));
        }
    }
    export::samples(view, place, of, all, &mut |sample| {
        if let Sample::Float(t_ms, value) = sample {
            hours.take(t_ms, value, 1.0);
        }
        Ok(())
    })?;
    Ok(hours.finish())
}

/// Puts values together by the hour.
struct Hours<'a> {
    counter: bool,
    zone: &'a Calendar,
    /// Time and value of the last one.
    last: Option<(i64, f64)>,
    /// Sum of values and of their weights.
    sums: BTreeMap<i64, (f64, f64)>,
}

impl<'a> Hours<'a> {
    fn new(counter: bool, zone: &'a Calendar) -> Self {
        Self {
            counter,
            zone,
            last: None,
            sums: BTreeMap::new(),
        }
    }

    /// Takes a value that stands for so many samples; in order of time, what is not newer is left out.
    fn take(&mut self, t_ms: i64, value: f64, weight: f64) {
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

    fn finish(self) -> Vec<Hour> {
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

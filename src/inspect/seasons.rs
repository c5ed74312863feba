//! Which rhythm each series has, by its long past: `saimon inspect seasons`.
//!
//! The past by the hour is put together from the rows of five minutes and the samples of the window,
//! of counters as rates, and given to [`crate::model::baseline`].

use std::io::Write;

use serde::Serialize;

use super::export::{self, Sample};
use super::series::{self, Place, Series};
use super::{Seasons, rules};
use crate::model::baseline::hours::Hours;
use crate::model::baseline::{Baseline, Hour};
use crate::model::calendar::Calendar;
use crate::series::labels;
use crate::store::view::View;

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
        rows.iter().for_each(|row| hours.row(row));
    }
    export::samples(view, place, of, all, &mut |sample| {
        if let Sample::Float(t_ms, value) = sample {
            hours.take(t_ms, value, 1.0);
        }
        Ok(())
    })?;
    Ok(hours.finish())
}

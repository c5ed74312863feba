//! The anomalies as a table, as CSV, as JSON.

use std::io::Write;

use super::compare::Compared;
use super::input::LeftOut;
use super::player::{Anomaly, Past, SERIES_MAX};

/// Columns of the CSV and of each side of a comparison.
const COLUMNS: &str =
    "series,start,end,ended,severity,score,direction,reason,peak,value,expected,rarity";

/// Instant as RFC 3339.
pub(super) fn time(t_ms: i64) -> String {
    jiff::Timestamp::from_millisecond(t_ms).map_or_else(|_| t_ms.to_string(), |t| t.to_string())
}

/// The same as people read it, to the minute, in UTC.
pub(super) fn short(t_ms: i64) -> String {
    match jiff::Timestamp::from_millisecond(t_ms) {
        Ok(t) => t.strftime("%Y-%m-%d %H:%M").to_string(),
        Err(_) => t_ms.to_string(),
    }
}

/// A value with four significant digits, as people read it.
pub(super) fn number(value: f64) -> String {
    if !value.is_finite() {
        return "-".to_owned();
    }
    let size = value.abs();
    match size {
        0.0 => "0".to_owned(),
        _ if !(1e-3..1e7).contains(&size) => format!("{value:.3e}"),
        _ => {
            let digits = (3 - size.log10().floor() as i32).max(0) as usize;
            let text = format!("{value:.digits$}");
            match text.contains('.') {
                true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
                false => text,
            }
        }
    }
}

/// How long from one time to another, in at most two units.
pub(super) fn lasting(ms: i64) -> String {
    let s = ms / 1000;
    match s {
        0..=119 => format!("{s}s"),
        120..=7199 => format!("{}m", s / 60),
        7200..=172_799 => format!("{}h{:02}m", s / 3600, s / 60 % 60),
        _ => format!("{}d{:02}h", s / 86_400, s / 3600 % 24),
    }
}

/// Gravest first; equal ones in their order.
pub(super) fn gravest(all: &[Anomaly]) -> Vec<&Anomaly> {
    let mut all: Vec<&Anomaly> = all.iter().collect();
    all.sort_by_key(|a| std::cmp::Reverse(a.grave));
    all
}

pub(super) fn table(
    past: &Past,
    compared: Option<&Compared>,
    limit: usize,
    left_out: &LeftOut,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    summary(past, left_out, out)?;
    match compared {
        None => {
            let shown = gravest(&past.anomalies);
            rows(&shown[..shown.len().min(limit)], out)?;
            if shown.len() > limit {
                writeln!(out, "... {} more; --limit shows them", shown.len() - limit)?;
            }
        }
        Some(c) => {
            writeln!(out, "{} anomalies under both configurations", c.both)?;
            for (what, side) in [("added", &c.added), ("lost", &c.lost)] {
                writeln!(out, "\n{what} by the other: {}", side.len())?;
                let shown = gravest(side);
                rows(&shown[..shown.len().min(limit)], out)?;
            }
        }
    }
    Ok(())
}

fn summary(past: &Past, left_out: &LeftOut, out: &mut dyn Write) -> anyhow::Result<()> {
    let days = match (past.first_ms, past.last_ms) {
        (Some(first), Some(last)) => {
            writeln!(out, "{} to {} UTC", short(first), short(last))?;
            (last - first) as f64 / 86_400_000.0
        }
        _ => 0.0,
    };
    writeln!(
        out,
        "{} series, {} samples, {} scored, {} over the line",
        past.series, past.samples, past.scored, past.over_line
    )?;
    let a_day = past.anomalies.len() as f64 / (days * past.series as f64).max(1e-9);
    write!(out, "{} anomalies", past.anomalies.len())?;
    match days > 0.0 && past.series > 0 {
        true => writeln!(out, ", {a_day:.3} for each series and day\n")?,
        false => writeln!(out, "\n")?,
    }
    let notes = [
        (past.not_modelled, "series that are not modelled"),
        (past.old, "samples not newer than the one before"),
        (left_out.histograms, "native histograms, not scored here"),
        (left_out.timeless, "lines without a time"),
        (past.unheld, "anomalies more than can be held"),
    ];
    for (count, what) in notes {
        if count > 0 {
            writeln!(out, "left out: {count} {what}")?;
        }
    }
    if past.over_limit > 0 {
        writeln!(
            out,
            "left out: {} samples of series beyond the {SERIES_MAX} that can be held; use --selector",
            past.over_limit
        )?;
    }
    Ok(())
}

fn rows(all: &[&Anomaly], out: &mut dyn Write) -> anyhow::Result<()> {
    if all.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "{:<16} {:>7} {:<8} {:>6} {:<4} {:<12} {:>10} {:>10}  series",
        "start", "lasted", "severity", "score", "way", "reason", "value", "expected"
    )?;
    for a in all {
        writeln!(
            out,
            "{:<16} {:>7} {:<8} {:>6.3} {:<4} {:<12} {:>10} {:>10}  {}",
            short(a.start_ms),
            lasting(a.end_ms - a.start_ms),
            a.severity,
            a.score,
            a.direction,
            a.reason,
            number(a.value),
            number(a.expected),
            a.series
        )?;
    }
    Ok(())
}

pub(super) fn csv(
    past: &Past,
    compared: Option<&Compared>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    match compared {
        None => {
            writeln!(out, "{COLUMNS}")?;
            for a in &past.anomalies {
                writeln!(out, "{}", line(a))?;
            }
        }
        Some(c) => {
            writeln!(out, "difference,{COLUMNS}")?;
            for (what, side) in [("added", &c.added), ("lost", &c.lost)] {
                for a in side {
                    writeln!(out, "{what},{}", line(a))?;
                }
            }
        }
    }
    Ok(())
}

fn line(a: &Anomaly) -> String {
    format!(
        "\"{}\",{},{},{},{},{},{},{},{},{},{},{}",
        a.series.replace('"', "\"\""),
        time(a.start_ms),
        time(a.end_ms),
        a.ended,
        a.severity,
        a.score,
        a.direction,
        a.reason,
        time(a.peak_ms),
        a.value,
        a.expected,
        a.rarity
    )
}

pub(super) fn json(
    past: &Past,
    compared: Option<&Compared>,
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let difference =
        compared.map(|c| serde_json::json!({ "both": c.both, "added": c.added, "lost": c.lost }));
    let all = serde_json::json!({
        "series": past.series,
        "samples": past.samples,
        "scored": past.scored,
        "over_line": past.over_line,
        "not_modelled": past.not_modelled,
        "anomalies": past.anomalies,
        "difference": difference,
    });
    serde_json::to_writer_pretty(&mut *out, &all)?;
    Ok(writeln!(out)?)
}

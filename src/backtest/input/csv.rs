//! CSV: one series for each column, or series by name in a column.

use std::collections::HashMap;
use std::io::Read;

use anyhow::{Context as _, bail};
use csv::{ByteRecord, ReaderBuilder};

use super::{Event, Place, Sink};
use crate::clock;
use crate::series::labels;
use crate::series::matcher::{MatchOp, Selector};

/// Names of columns that are no series.
const NOT_SERIES: [&str; 4] = ["label", "row", "is_anomaly", "anomaly_score"];

pub(super) fn play(
    source: Box<dyn Read>,
    stem: &str,
    place: &Place,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    let mut reader = ReaderBuilder::new()
        .buffer_capacity(1 << 18)
        .from_reader(source);
    let header: Vec<String> = reader
        .headers()?
        .iter()
        .map(|h| h.trim().to_owned())
        .collect();
    let find = |names: &[&str]| header.iter().position(|h| names.contains(&h.as_str()));
    let (time_at, ms) = match (
        find(&["timestamp_ms", "time_ms"]),
        find(&["timestamp", "time"]),
    ) {
        (Some(at), _) => (at, true),
        (None, Some(at)) => (at, false),
        (None, None) => bail!("no column timestamp, time or timestamp_ms"),
    };
    let named = find(&["series", "metric"]);
    let value_at = find(&["value"]);
    let columns: Vec<(usize, Vec<u8>)> = match (named, value_at) {
        (Some(_), None) => bail!("a column series, and none named value"),
        (Some(_), Some(_)) => Vec::new(),
        (None, Some(at)) => vec![(at, series(stem))],
        (None, None) => (0..header.len())
            .filter(|i| *i != time_at && !NOT_SERIES.contains(&header[*i].as_str()))
            .map(|i| (i, series(&header[i])))
            .collect(),
    };
    let columns: Vec<_> = columns
        .into_iter()
        .filter(|(_, s)| place.wants(s))
        .collect();
    // Canonical labels by their text, `None` for those that are not wanted.
    let mut known: HashMap<Vec<u8>, Option<Vec<u8>>> = HashMap::new();
    let mut record = ByteRecord::new();
    while reader.read_byte_record(&mut record)? {
        let line = record.position().map_or(0, csv::Position::line);
        let at = |i: usize| std::str::from_utf8(record.get(i).unwrap_or_default()).map(str::trim);
        let t_ms = match at(time_at)? {
            text if ms => text.parse().ok(),
            text => clock::parse_time(text).ok().or_else(|| civil(text)),
        };
        let t_ms = t_ms.with_context(|| format!("line {line}: no time"))?;
        let mut sample = |series: &[u8], text: &str| -> anyhow::Result<()> {
            if let Some(value) = value(text).with_context(|| format!("line {line}: {text:?}"))? {
                sink(Event::Sample {
                    series,
                    declared: None,
                    t_ms,
                    value,
                });
            }
            Ok(())
        };
        if let (Some(named), Some(value_at)) = (named, value_at) {
            let text = record.get(named).unwrap_or_default();
            if !known.contains_key(text) {
                let labels = series(at(named)?);
                let wanted = place.wants(&labels).then_some(labels);
                known.insert(text.to_owned(), wanted);
            }
            if let Some(Some(labels)) = known.get(text) {
                sample(labels, at(value_at)?)?;
            }
        }
        for (i, labels) in &columns {
            sample(labels, at(*i)?)?;
        }
    }
    for (_, labels) in &columns {
        sink(Event::End { series: labels });
    }
    Ok(())
}

/// A number, or `None` for an empty field; a histogram is JSON and none.
fn value(text: &str) -> anyhow::Result<Option<f64>> {
    if text.is_empty() || text.starts_with('{') {
        return Ok(None);
    }
    if let Some(bits) = text.strip_prefix("NaN:") {
        return Ok(Some(f64::from_bits(u64::from_str_radix(bits, 16)?)));
    }
    Ok(Some(text.parse()?))
}

/// A date and a time of day without a zone, as UTC.
fn civil(text: &str) -> Option<i64> {
    let at: jiff::civil::DateTime = text.parse().ok()?;
    let at = at.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}

/// Labels of a series by its text: as PromQL prints it, or any name.
pub(super) fn series(text: &str) -> Vec<u8> {
    if let Ok(selector) = Selector::parse(text) {
        let matchers = selector.matchers();
        if matchers.iter().all(|m| m.op() == MatchOp::Equal) {
            return labels::encode(matchers.iter().map(|m| (m.name(), m.value())));
        }
    }
    labels::encode([(labels::METRIC_NAME, text)])
}

//! Lines of the text formats, OpenMetrics 1.0 and Prometheus 0.0.4, with timestamps.
//!
//! OpenMetrics has seconds with a fraction, the older format whole milliseconds. Which one a file is
//! in is told by `# EOF` at its end, which is too late; so a time without a fraction that as seconds
//! lies beyond the year 5000 is taken as milliseconds.

use std::collections::HashMap;
use std::io::{BufRead as _, BufReader, Read};

use anyhow::Context as _;

use super::{Event, LeftOut, Place, Sink};
use crate::series::kind;
use crate::series::labels;
use crate::wire::write::MetricType;

/// Seconds beyond which a whole number is one of milliseconds.
const SECONDS_MAX: f64 = 95_617_584_000.0;

pub(super) fn play(
    source: Box<dyn Read>,
    place: &Place,
    left_out: &mut LeftOut,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, source);
    let mut types: HashMap<String, MetricType> = HashMap::new();
    let mut line = String::new();
    let mut number = 0u64;
    // The series of the line before: a series' samples mostly follow each other.
    let mut last = (String::new(), Vec::new(), false);
    loop {
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
        number += 1;
        let text = line.trim_end();
        if let Some(comment) = text.strip_prefix('#') {
            let mut words = comment.split_whitespace();
            if words.next() == Some("TYPE")
                && let (Some(name), Some(kind)) = (words.next(), words.next())
            {
                types.insert(name.to_owned(), metric_type(kind));
            }
            continue;
        }
        if text.trim().is_empty() {
            continue;
        }
        let wrong = || format!("line {number}: neither a sample nor a comment");
        let (series, rest) = split(text).with_context(wrong)?;
        let mut words = rest.split_whitespace();
        let value: f64 = words
            .next()
            .and_then(|w| w.parse().ok())
            .with_context(wrong)?;
        let Some(time) = words.next().filter(|w| *w != "#") else {
            left_out.timeless += 1;
            continue;
        };
        let t_ms = millis(time).with_context(wrong)?;
        if last.0 != series {
            let labels = super::csv::series(series);
            let wanted = place.wants(&labels);
            last = (series.to_owned(), labels, wanted);
        }
        if last.2 {
            let name = labels::get(&last.1, labels::METRIC_NAME).unwrap_or_default();
            sink(Event::Sample {
                series: &last.1,
                declared: kind::declared(name, |family| types.get(family).copied()),
                t_ms,
                value,
            });
        }
    }
}

fn millis(text: &str) -> Option<i64> {
    let seconds: f64 = text.parse().ok()?;
    let ms = if !text.contains('.') && seconds.abs() > SECONDS_MAX {
        seconds
    } else {
        seconds * 1000.0
    };
    ms.is_finite().then(|| ms.round() as i64)
}

/// Name and labels, and what comes after them.
fn split(text: &str) -> Option<(&str, &str)> {
    let end = match text.find(['{', ' ']) {
        Some(at) if text.as_bytes()[at] == b'{' => {
            let (mut quoted, mut escaped) = (false, false);
            let close = text[at..].char_indices().find(|(_, c)| {
                match (quoted, escaped, *c) {
                    (true, true, _) => escaped = false,
                    (true, false, '\\') => escaped = true,
                    (_, _, '"') => quoted = !quoted,
                    (false, _, '}') => return true,
                    _ => {}
                }
                false
            });
            at + close?.0 + 1
        }
        Some(at) => at,
        None => return None,
    };
    Some((text[..end].trim(), &text[end..]))
}

fn metric_type(name: &str) -> MetricType {
    match name {
        "counter" => MetricType::Counter,
        "gauge" => MetricType::Gauge,
        "histogram" => MetricType::Histogram,
        "gaugehistogram" => MetricType::GaugeHistogram,
        "summary" => MetricType::Summary,
        "info" => MetricType::Info,
        "stateset" => MetricType::StateSet,
        _ => MetricType::Unknown,
    }
}

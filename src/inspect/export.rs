//! Samples as text.
//!
//! Series go out by metric name, then by labels; the samples of one in order of time, each once. No
//! more than the chunks of one series is held.

use std::collections::BTreeMap;
use std::io::Write;

use anyhow::Context as _;

use super::series::{self, Open, Place, Series};
use super::{Export, Format, rules};
use crate::series::labels;
use crate::store::view::View;
use crate::window::encoding::Encoding;
use crate::window::{chunk, histogram_chunk};
use crate::wire::histogram::{Counts, NativeHistogram};
use crate::wire::write::is_stale;

/// What Prometheus writes where a sample is no number; others say more by their bits.
const NAN_BITS: u64 = 0x7ff8_0000_0000_0001;

/// One sample.
pub(crate) enum Sample {
    Float(i64, f64),
    Histogram(Box<NativeHistogram>),
}

pub(super) fn run(args: &Export, out: &mut dyn Write) -> anyhow::Result<()> {
    let view = args.place.open()?;
    let all = series::all(&view, &rules(None)?, Some(&args.selector))?;
    let span = (args.from.unwrap_or(i64::MIN), args.to.unwrap_or(i64::MAX));
    let name = |s: &Series| {
        let name = labels::get(&s.labels, labels::METRIC_NAME).unwrap_or_default();
        (name.to_owned(), labels::display(&s.labels))
    };
    let sorted: BTreeMap<_, _> = all
        .into_iter()
        .map(|(place, series)| (name(&series), (place, series)))
        .collect();
    if sorted.is_empty() {
        tracing::warn!("no series matches");
    }
    match (args.rollups, args.format) {
        (true, _) => rollups(&view, &sorted, span, out),
        (false, Format::Csv) => csv(&view, &sorted, span, out),
        (false, Format::Openmetrics) => openmetrics(&view, &sorted, span, out),
    }
}

/// By metric name and text.
type Sorted = BTreeMap<(String, String), (Place, Series)>;

fn csv(view: &View, all: &Sorted, span: (i64, i64), out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "series,timestamp_ms,value")?;
    for ((_, text), (place, series)) in all {
        let text = quoted(text);
        samples(view, *place, series, span, &mut |sample| {
            match sample {
                Sample::Float(t_ms, value) => writeln!(out, "{text},{t_ms},{}", exact(value))?,
                Sample::Histogram(h) => {
                    let value = quoted(&histogram(&h));
                    writeln!(out, "{text},{},{value}", h.timestamp_ms)?;
                }
            }
            Ok(())
        })?;
    }
    Ok(())
}

fn rollups(view: &View, all: &Sorted, span: (i64, i64), out: &mut dyn Write) -> anyhow::Result<()> {
    writeln!(out, "series,start_ms,count,min,max,mean,last")?;
    for ((_, text), ((id, position), _)) in all {
        let text = quoted(text);
        for (_, rows) in view.rollups(*id, &[*position], span.0, span.1)? {
            for r in rows {
                writeln!(
                    out,
                    "{text},{},{},{},{},{},{}",
                    r.start_ms(),
                    r.count(),
                    exact(r.min()),
                    exact(r.max()),
                    exact(r.mean()),
                    exact(r.last())
                )?;
            }
        }
    }
    Ok(())
}

fn openmetrics(
    view: &View,
    all: &Sorted,
    span: (i64, i64),
    out: &mut dyn Write,
) -> anyhow::Result<()> {
    let (mut stale, mut native) = (0u64, 0u64);
    let mut family: Option<&str> = None;
    for ((name, _), (place, series)) in all {
        if family != Some(name) {
            family = Some(name);
            // Nothing is known of the family as a whole, and a wrong type is worse than none.
            if labels::is_plain_metric_name(name) {
                writeln!(out, "# TYPE {name} unknown")?;
            }
        }
        let text = openmetrics_labels(&series.labels);
        samples(view, *place, series, span, &mut |sample| {
            match sample {
                Sample::Float(_, value) if is_stale(value) => stale += 1,
                Sample::Float(t_ms, value) => {
                    let value = match value.is_nan() {
                        true => "NaN".to_owned(),
                        false => exact(value),
                    };
                    writeln!(out, "{text} {value} {}", seconds(t_ms))?;
                }
                Sample::Histogram(_) => native += 1,
            }
            Ok(())
        })?;
    }
    writeln!(out, "# EOF")?;
    if stale + native > 0 {
        tracing::warn!(
            stale_markers = stale,
            native_histograms = native,
            "left out: OpenMetrics has no place for them, use --format csv"
        );
    }
    Ok(())
}

/// Every sample of a series in the span, in order of time.
pub(crate) fn samples(
    view: &View,
    (id, position): Place,
    series: &Series,
    (from_ms, to_ms): (i64, i64),
    take: &mut dyn FnMut(Sample) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let mut newest = None;
    let mut chunk = |encoding, bytes: &[u8]| -> anyhow::Result<()> {
        let what = || format!("a chunk of {}", labels::display(&series.labels));
        let mut give = |t_ms: i64, sample: Sample| {
            let wanted = t_ms >= from_ms && t_ms <= to_ms && newest.is_none_or(|n| t_ms > n);
            match wanted {
                true => {
                    newest = Some(t_ms);
                    take(sample)
                }
                false => Ok(()),
            }
        };
        match encoding {
            Encoding::Xor => {
                for (t_ms, value) in chunk::decode(bytes).with_context(what)? {
                    give(t_ms, Sample::Float(t_ms, value))?;
                }
            }
            Encoding::Histogram | Encoding::FloatHistogram => {
                for h in histogram_chunk::decode(bytes, encoding).with_context(what)? {
                    give(h.timestamp_ms, Sample::Histogram(Box::new(h)))?;
                }
            }
            Encoding::Anchor => {}
        }
        Ok(())
    };
    for finished in view.chunks(id, &[position], from_ms, to_ms)? {
        chunk(finished.encoding, &finished.bytes)?;
    }
    let mut open: Vec<&Open> = series.open.iter().collect();
    open.sort_by_key(|o| o.first_ms);
    for open in open {
        chunk(open.encoding, &open.bytes)?;
    }
    Ok(())
}

/// A float that reads back as the same bits.
fn exact(value: f64) -> String {
    match value {
        v if v.is_nan() && v.to_bits() == NAN_BITS => "NaN".to_owned(),
        v if v.is_nan() => format!("NaN:{:016x}", v.to_bits()),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        v => format!("{v:?}"),
    }
}

/// A field of CSV (RFC 4180).
fn quoted(text: &str) -> String {
    match text.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    }
}

/// Milliseconds as seconds, exactly.
fn seconds(t_ms: i64) -> String {
    let (whole, rest) = (t_ms.unsigned_abs() / 1000, t_ms.unsigned_abs() % 1000);
    let sign = if t_ms < 0 { "-" } else { "" };
    match rest {
        0 => format!("{sign}{whole}"),
        rest => format!("{sign}{whole}.{rest:03}"),
    }
}

/// As in OpenMetrics: no spaces, and only its escapes.
fn openmetrics_labels(canonical: &[u8]) -> String {
    let escaped = |text: &str| {
        let text = text.replace('\\', "\\\\").replace('"', "\\\"");
        format!("\"{}\"", text.replace('\n', "\\n"))
    };
    let name = labels::get(canonical, labels::METRIC_NAME).unwrap_or_default();
    let plain = labels::is_plain_metric_name(name);
    let mut inner: Vec<String> = Vec::new();
    if !plain {
        inner.push(escaped(name));
    }
    for (label, value) in labels::iter(canonical).filter(|(l, _)| *l != labels::METRIC_NAME) {
        let label = match labels::is_plain_label_name(label) {
            true => label.to_owned(),
            false => escaped(label),
        };
        inner.push(format!("{label}={}", escaped(value)));
    }
    let name = if plain { name } else { "" };
    match inner.is_empty() {
        true => name.to_owned(),
        false => format!("{name}{{{}}}", inner.join(",")),
    }
}

/// All that is kept of a native histogram, as JSON whose floats are text.
fn histogram(h: &NativeHistogram) -> String {
    let floats = |values: &[f64]| values.iter().copied().map(exact).collect::<Vec<_>>();
    let spans = |spans: &[crate::wire::histogram::BucketSpan]| {
        spans
            .iter()
            .map(|s| (s.offset, s.length))
            .collect::<Vec<_>>()
    };
    let counts = match &h.counts {
        Counts::Integer {
            count,
            zero,
            positive,
            negative,
        } => serde_json::json!({
            "count": count, "zero": zero,
            "positive_deltas": positive, "negative_deltas": negative,
        }),
        Counts::Float {
            count,
            zero,
            positive,
            negative,
        } => serde_json::json!({
            "count": exact(*count), "zero": exact(*zero),
            "positive": floats(positive), "negative": floats(negative),
        }),
    };
    serde_json::json!({
        "schema": h.schema,
        "zero_threshold": exact(h.zero_threshold),
        "sum": exact(h.sum),
        "reset_hint": h.reset_hint as u8,
        "positive_spans": spans(&h.positive_spans),
        "negative_spans": spans(&h.negative_spans),
        "custom_values": floats(&h.custom_values),
        "counts": counts,
    })
    .to_string()
}

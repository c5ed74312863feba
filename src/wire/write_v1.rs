//! Remote write 1.0: a walk over the bytes of a `prometheus.WriteRequest` into the arena.
//!
//! Written by hand because generated structs cost more than ten times as much: they allocate every
//! label. Here a label set that is canonical as it lies, which is what Prometheus and vmagent send,
//! costs one pass over its bytes and is used in place.
//!
//! What always holds: a body that is broken anywhere leaves the arena empty; a series that is no
//! label set is refused alone. prost decodes the same bodies in the tests, and agrees.

mod labels;

use self::labels::{canonical_labels, gather_labels, label};
use super::exemplar::{self, Labels, Seen};
use super::field::{self, Wire};
use super::walk::{
    BODY_BYTES_MAX, Before, OVERRUN, WRONG_TYPE, broken, histogram, metric_type, span, too_many,
};
pub use super::write::DecodeError;
use super::write::{
    ENTRIES_MAX, HistogramSpan, LabelLimits, MetadataSpan, MetricType, Protocol, Sample,
    SeriesSpan, Span, WriteArena,
};

/// As the check of histograms counts.
const VERSION: u8 = 1;

/// Fills `out` (cleared first) from `body`. Label sets that are not canonical are rebuilt behind
/// the body, which therefore may grow, at most to twice its size.
///
/// Of a field that occurs twice where one is meant the last counts, and fields that are not known
/// are skipped, as protobuf has it. A metadata entry without a usable family name is left out.
///
/// # Errors
/// If the body is no such message, or has more than [`ENTRIES_MAX`] of anything. `out` is empty
/// then, and `body` is as it was.
pub fn decode(
    body: &mut Vec<u8>,
    limits: &LabelLimits,
    out: &mut WriteArena,
) -> Result<(), DecodeError> {
    out.begin(Protocol::V1);
    let sent = body.len();
    let result = walk(body, limits, out);
    if result.is_err() {
        out.clear();
        body.truncate(sent);
    }
    result
}

/// Remote write 1.0, `WriteRequest`.
fn walk(body: &mut Vec<u8>, limits: &LabelLimits, out: &mut WriteArena) -> Result<(), DecodeError> {
    let end = body.len();
    if end > BODY_BYTES_MAX {
        return broken("more than 1 GiB", BODY_BYTES_MAX);
    }
    let mut at = 0;
    while at < end {
        let msg = &body[..end];
        let start = at;
        match field::tag(msg, &mut at)? {
            (1, Wire::Len) => {
                let series_end = field::len(msg, &mut at)?;
                series(body, end, at, series_end, limits, out)?;
                at = series_end;
            }
            (3, Wire::Len) => {
                let entry_end = field::len(msg, &mut at)?;
                metadata(msg, at, entry_end, out)?;
                at = entry_end;
            }
            (1 | 3, _) => return broken(WRONG_TYPE, start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    Ok(())
}

/// One `TimeSeries` at `start..end` of a body of which `sent` bytes were sent.
fn series(
    body: &mut Vec<u8>,
    sent: usize,
    start: usize,
    end: usize,
    limits: &LabelLimits,
    out: &mut WriteArena,
) -> Result<(), DecodeError> {
    let before = Before::of(out);
    let mut wrong = None;
    let mut exemplars = Seen::new();
    let msg = &body[..sent];
    let mut lying = canonical_labels(msg, start, end, limits);
    let mut at = lying.map_or(start, |(labels, _)| (labels.start + labels.len) as usize);
    while at < end {
        let field_start = at;
        match field::tag(msg, &mut at)? {
            (2, Wire::Len) => {
                let sample_end = field::len(msg, &mut at)?;
                if out.samples.len() >= ENTRIES_MAX {
                    return too_many("samples");
                }
                out.samples.push(sample(msg, at, sample_end)?);
                at = sample_end;
            }
            // Not where canonical labels end: gathered below.
            (1, Wire::Len) => {
                lying = None;
                at = field::len(msg, &mut at)?;
            }
            (3, Wire::Len) => {
                let exemplar_end = field::len(msg, &mut at)?;
                exemplar(msg, at, exemplar_end)?;
                exemplar::note(&mut exemplars, at, exemplar_end);
                out.exemplars += 1;
                at = exemplar_end;
            }
            (4, Wire::Len) => {
                let histogram_end = field::len(msg, &mut at)?;
                if out.histograms.len() >= ENTRIES_MAX {
                    return too_many("histograms");
                }
                // One that is refused counts as lost.
                match histogram(msg, at, histogram_end, VERSION)? {
                    Ok(histogram) => out.histograms.push(histogram),
                    Err(why) => {
                        wrong = wrong.or(Some(why));
                        out.histograms.push(HistogramSpan::default());
                    }
                }
                at = histogram_end;
            }
            (1..=4, _) => return broken(WRONG_TYPE, field_start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    let (labels, name) = match (lying, wrong) {
        (Some(found), None) => found,
        _ => {
            let mut set = gather_labels(msg, start, end, limits)?;
            let built = match wrong {
                Some(why) => Err(why),
                None => set.canonical(body, limits),
            };
            match built {
                Ok(built) => built,
                Err(why) => {
                    let lost = before.restore(out);
                    out.refused.add(why, lost, || set.describe(body));
                    return Ok(());
                }
            }
        }
    };
    if out.series.len() >= ENTRIES_MAX {
        return too_many("series");
    }
    out.series.push(SeriesSpan {
        labels,
        name,
        samples_start: before.samples as u32,
        samples_end: out.samples.len() as u32,
        histograms_start: before.histograms as u32,
        histograms_end: out.histograms.len() as u32,
    });
    if !exemplars.is_empty() {
        let read = |body: &[u8], message: Span| {
            let at = message.start as usize;
            exemplar(body, at, at + message.len as usize)
        };
        exemplar::keep(body, 2 * sent, (labels, name), &exemplars, out, read)?;
    }
    Ok(())
}

/// One `Sample`. Zero is not on the wire: a field that is absent is 0.
#[inline(always)]
fn sample(msg: &[u8], mut at: usize, end: usize) -> Result<Sample, DecodeError> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
    };
    // As senders write it; whatever follows is read by the loop.
    if at < end && msg[at] == 0x09 {
        at += 1;
        sample.value = f64::from_bits(field::fixed64(msg, &mut at)?);
    }
    if at < end && msg[at] == 0x10 {
        at += 1;
        sample.timestamp_ms = field::long_varint(msg, &mut at)? as i64;
    }
    while at < end {
        let start = at;
        match field::tag(msg, &mut at)? {
            (1, Wire::Fixed64) => sample.value = f64::from_bits(field::fixed64(msg, &mut at)?),
            (2, Wire::Varint) => sample.timestamp_ms = field::varint(msg, &mut at)? as i64,
            (1 | 2, _) => return broken(WRONG_TYPE, start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    Ok(sample)
}

/// One `Exemplar`: labels, value and time.
fn exemplar(msg: &[u8], mut at: usize, end: usize) -> Result<(Labels, f64, i64), DecodeError> {
    let (mut labels, mut value, mut timestamp_ms) = (Labels::default(), 0.0, 0);
    while at < end {
        let start = at;
        match field::tag(msg, &mut at)? {
            (1, Wire::Len) => {
                let label_end = field::len(msg, &mut at)?;
                let (name, value) = label(msg, at, label_end)?;
                labels.push(name, value);
                at = label_end;
            }
            (2, Wire::Fixed64) => value = f64::from_bits(field::fixed64(msg, &mut at)?),
            (3, Wire::Varint) => timestamp_ms = field::varint(msg, &mut at)? as i64,
            (1..=3, _) => return broken(WRONG_TYPE, start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    Ok((labels, value, timestamp_ms))
}

/// One `MetricMetadata`.
fn metadata(
    msg: &[u8],
    mut at: usize,
    end: usize,
    out: &mut WriteArena,
) -> Result<(), DecodeError> {
    let mut family = Span::default();
    let mut kind = MetricType::Unknown;
    while at < end {
        let start = at;
        match field::tag(msg, &mut at)? {
            (1, Wire::Varint) => kind = metric_type(field::varint(msg, &mut at)?),
            (2, Wire::Len) => {
                let family_end = field::len(msg, &mut at)?;
                family = span(at, family_end - at);
                at = family_end;
            }
            (4 | 5, Wire::Len) => at = field::len(msg, &mut at)?,
            (1 | 2 | 4 | 5, _) => return broken(WRONG_TYPE, start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    if family.len == 0 || std::str::from_utf8(family.of(msg)).is_err() {
        return Ok(());
    }
    if out.metadata.len() >= ENTRIES_MAX {
        return too_many("metadata entries");
    }
    out.metadata.push(MetadataSpan { family, kind });
    Ok(())
}

#[cfg(test)]
mod tests;

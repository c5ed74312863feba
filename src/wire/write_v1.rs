//! Remote write 1.0: a walk over the bytes of a `prometheus.WriteRequest` into the arena.
//!
//! Written by hand because generated structs cost twenty times as much: they allocate every label.
//! Here a label set that is canonical as it lies, which is what Prometheus and vmagent send, costs
//! one pass over its bytes and is used in place.
//!
//! What always holds: a body that is broken anywhere leaves the arena empty; a series that is no
//! label set is refused alone. prost decodes the same bodies in the tests, and agrees.

use super::canonical::LabelSet;
use super::field::{self, FieldError, Wire};
use super::write::{LabelLimits, MetadataSpan, MetricType, Sample, SeriesSpan, Span, WriteArena};

/// Offsets are 32 bits, and rebuilt labels can double a body.
const BODY_BYTES_MAX: usize = 1 << 30;

/// Series entries, samples and metadata entries of one request, each. Empty messages take two bytes
/// on the wire and up to 24 in the arena, so the size of a body alone does not bound the memory.
/// Prometheus sends 2,000 in a request, others up to some 10,000.
pub const ENTRIES_MAX: usize = 1 << 20;

/// Series and samples whose memory in the arena is kept from request to request.
const ENTRIES_KEPT_MAX: usize = 1 << 17;

/// Why a body is not a 1.0 write request at all. Nothing of such a body is used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error("body is not a remote-write 1.0 message: {what} at byte {at}")]
    Broken { what: &'static str, at: usize },
    #[error("body has more than {limit} {what}: send smaller requests")]
    TooMany { what: &'static str, limit: usize },
}

impl From<FieldError> for DecodeError {
    fn from(FieldError { what, at }: FieldError) -> Self {
        Self::Broken { what, at }
    }
}

const WRONG_TYPE: &str = "field of the wrong type";
const OVERRUN: &str = "field that runs over the end of its message,";

#[cold]
fn broken<T>(what: &'static str, at: usize) -> Result<T, DecodeError> {
    Err(DecodeError::Broken { what, at })
}

#[cold]
fn too_many<T>(what: &'static str) -> Result<T, DecodeError> {
    let limit = ENTRIES_MAX;
    Err(DecodeError::TooMany { what, limit })
}

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
    out.clear();
    if out.samples.capacity().max(out.series.capacity()) > ENTRIES_KEPT_MAX {
        out.samples.shrink_to(ENTRIES_KEPT_MAX);
        out.series.shrink_to(ENTRIES_KEPT_MAX);
    }
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
    let samples_start = out.samples.len();
    let (exemplars, histograms) = (out.exemplars, out.histograms);
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
                out.exemplars += 1;
                at = exemplar_end;
            }
            (4, Wire::Len) => {
                let histogram_end = field::len(msg, &mut at)?;
                histogram(msg, at, histogram_end)?;
                out.histograms += 1;
                at = histogram_end;
            }
            (1..=4, _) => return broken(WRONG_TYPE, field_start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    let (labels, name) = match lying {
        Some(found) => found,
        None => {
            let mut set = gather_labels(msg, start, end, limits)?;
            match set.canonical(body, limits) {
                Ok(built) => built,
                Err(why) => {
                    let lost = out.samples.len() - samples_start;
                    out.samples.truncate(samples_start);
                    (out.exemplars, out.histograms) = (exemplars, histograms);
                    out.refused.add(why, lost as u32, || set.describe(body));
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
        samples_start: samples_start as u32,
        samples_end: out.samples.len() as u32,
    });
    Ok(())
}

/// The first eight bytes of a name as a number that sorts as they do.
const NAME_KEY: u64 = u64::from_be_bytes(*b"__name__");

/// The labels that start at `start`, and the metric's name, if they are canonical as they lie.
///
/// Whatever is unusual gives `None`, also what is broken: who gathers the labels then finds out.
#[inline]
fn canonical_labels(
    msg: &[u8],
    start: usize,
    end: usize,
    limits: &LabelLimits,
) -> Option<(Span, Span)> {
    let mut at = start;
    let mut count = 0;
    let (mut last_key, mut last) = (0, &msg[..0]);
    let mut metric = Span::default();
    while at < end && msg[at] == 0x0a {
        at += 1;
        let len = minimal_len(msg, &mut at)?;
        let label_end = at + len;
        if label_end > end || *msg.get(at)? != 0x0a {
            return None;
        }
        at += 1;
        let name_len = minimal_len(msg, &mut at)?;
        let name_at = at;
        at += name_len;
        if *msg.get(at)? != 0x12 {
            return None;
        }
        at += 1;
        let value_len = minimal_len(msg, &mut at)?;
        if at + value_len != label_end
            || name_len == 0
            || value_len == 0
            || name_len > limits.name_bytes
            || value_len > limits.value_bytes
        {
            return None;
        }
        let name = &msg[name_at..name_at + name_len];
        let key = sort_key(msg, name_at, name_len);
        if key <= last_key && (key < last_key || name <= last) {
            return None;
        }
        if key == NAME_KEY && name_len == 8 {
            metric = span(at, value_len);
        }
        (last_key, last) = (key, name);
        count += 1;
        at = label_end;
    }
    if metric.len == 0 || count > limits.labels_per_series {
        return None;
    }
    let labels = &msg[start..at];
    if !labels.is_ascii() && !all_utf8(labels) {
        return None;
    }
    Some((span(start, at - start), metric))
}

/// A length, if it is written in as few bytes as it needs.
#[inline(always)]
fn minimal_len(msg: &[u8], at: &mut usize) -> Option<usize> {
    let first = *msg.get(*at)?;
    if first < 0x80 {
        *at += 1;
        return Some(usize::from(first));
    }
    let len = field::varint(msg, at).ok()?;
    (msg[*at - 1] != 0 && len <= BODY_BYTES_MAX as u64).then_some(len as usize)
}

/// Zeros stand for what a short name lacks; equal keys say nothing.
#[inline(always)]
fn sort_key(msg: &[u8], at: usize, len: usize) -> u64 {
    let word = match msg[at..].first_chunk::<8>() {
        Some(bytes) => u64::from_be_bytes(*bytes),
        None => msg[at..at + len.min(8)]
            .iter()
            .zip([56, 48, 40, 32, 24, 16, 8, 0])
            .fold(0, |word, (&byte, shift)| word | u64::from(byte) << shift),
    };
    if len < 8 {
        word & !(u64::MAX >> (8 * len))
    } else {
        word
    }
}

/// True if every name and value of canonical labels is UTF-8.
#[cold]
fn all_utf8(labels: &[u8]) -> bool {
    let mut at = 0;
    while at < labels.len() {
        // Over the label's tag and length to its two parts.
        at += 1;
        if field::varint(labels, &mut at).is_err() {
            return false;
        }
        for _ in 0..2 {
            at += 1;
            let Ok(end) = field::len(labels, &mut at) else {
                return false;
            };
            if std::str::from_utf8(&labels[at..end]).is_err() {
                return false;
            }
            at = end;
        }
    }
    true
}

/// All labels of a `TimeSeries` whose other fields were walked already, wherever they are in it.
#[cold]
fn gather_labels(
    msg: &[u8],
    start: usize,
    end: usize,
    limits: &LabelLimits,
) -> Result<LabelSet, DecodeError> {
    let mut set = LabelSet::default();
    let mut at = start;
    while at < end {
        let (number, wire) = field::tag(msg, &mut at)?;
        if number == 1 {
            let label_end = field::len(msg, &mut at)?;
            let (name, value) = label(msg, at, label_end)?;
            set.push(name, value, limits);
            at = label_end;
        } else {
            field::skip(msg, &mut at, wire)?;
        }
    }
    Ok(set)
}

/// One `Label` of any shape.
fn label(msg: &[u8], mut at: usize, end: usize) -> Result<(Span, Span), DecodeError> {
    let (mut name, mut value) = (Span::default(), Span::default());
    while at < end {
        let start = at;
        match field::tag(msg, &mut at)? {
            (number @ (1 | 2), Wire::Len) => {
                let part_end = field::len(msg, &mut at)?;
                let part = span(at, part_end - at);
                if number == 1 {
                    name = part;
                } else {
                    value = part;
                }
                at = part_end;
            }
            (1 | 2, _) => return broken(WRONG_TYPE, start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    Ok((name, value))
}

/// One `Sample`. Zero is not on the wire: a field that is absent is 0.
#[inline(always)]
fn sample(msg: &[u8], mut at: usize, end: usize) -> Result<Sample, DecodeError> {
    let mut sample = Sample {
        timestamp_ms: 0,
        value: 0.0,
    };
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

/// One `Exemplar`: counted, so only its shape matters.
fn exemplar(msg: &[u8], mut at: usize, end: usize) -> Result<(), DecodeError> {
    while at < end {
        let start = at;
        match field::tag(msg, &mut at)? {
            (1, Wire::Len) => {
                let label_end = field::len(msg, &mut at)?;
                label(msg, at, label_end)?;
                at = label_end;
            }
            (2, Wire::Fixed64) => field::fixed64(msg, &mut at).map(drop)?,
            (3, Wire::Varint) => field::varint(msg, &mut at).map(drop)?,
            (1..=3, _) => return broken(WRONG_TYPE, start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    Ok(())
}

/// One `Histogram`: counted, so only its outer shape matters. What is in its spans and packed
/// buckets is not looked at.
fn histogram(msg: &[u8], mut at: usize, end: usize) -> Result<(), DecodeError> {
    while at < end {
        let start = at;
        let (number, wire) = field::tag(msg, &mut at)?;
        let fits = match number {
            1 | 4 | 6 | 14 | 15 => wire == Wire::Varint,
            2 | 3 | 5 | 7 => wire == Wire::Fixed64,
            8 | 11 => wire == Wire::Len,
            // Repeated numbers, packed or one by one.
            9 | 12 => matches!(wire, Wire::Len | Wire::Varint),
            10 | 13 => matches!(wire, Wire::Len | Wire::Fixed64),
            _ => true,
        };
        if !fits {
            return broken(WRONG_TYPE, start);
        }
        field::skip(msg, &mut at, wire)?;
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    Ok(())
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
            (1, Wire::Varint) => kind = MetricType::from_wire(field::varint(msg, &mut at)?),
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

#[inline(always)]
fn span(start: usize, len: usize) -> Span {
    Span {
        start: start as u32,
        len: len as u32,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write::Refusal;

    const LIMITS: LabelLimits = LabelLimits {
        labels_per_series: 8,
        name_bytes: 20,
        value_bytes: 300,
    };

    /// One length-delimited field.
    fn field(number: u8, parts: &[&[u8]]) -> Vec<u8> {
        let inner = parts.concat();
        let mut out = vec![number << 3 | 2];
        field::put_varint(&mut out, inner.len() as u64);
        out.extend(inner);
        out
    }

    fn label(name: &str, value: &str) -> Vec<u8> {
        field(
            1,
            &[
                &field(1, &[name.as_bytes()]),
                &field(2, &[value.as_bytes()]),
            ],
        )
    }

    fn sample(value: f64, timestamp_ms: i64) -> Vec<u8> {
        let mut inner = vec![0x09];
        inner.extend(value.to_le_bytes());
        inner.push(0x10);
        field::put_varint(&mut inner, timestamp_ms as u64);
        field(2, &[&inner])
    }

    fn decoded(body: &[u8]) -> Result<(Vec<u8>, WriteArena), DecodeError> {
        let mut body = body.to_vec();
        let mut arena = WriteArena {
            exemplars: 9,
            ..WriteArena::default()
        };
        let result = decode(&mut body, &LIMITS, &mut arena);
        if result.is_err() {
            assert!(arena.series.is_empty() && arena.samples.is_empty());
            assert_eq!((arena.exemplars, arena.metadata.len()), (0, 0));
        }
        result.map(|()| (body, arena))
    }

    fn up() -> Vec<u8> {
        [label("__name__", "up"), label("job", "node")].concat()
    }

    #[test]
    fn canonical_labels_are_used_where_they_lie() {
        let sent = field(1, &[&up(), &sample(1.5, 1_795_341_631_372)]);
        let (body, arena) = decoded(&sent).unwrap();
        assert_eq!(body, sent);
        assert_eq!(arena.series[0].labels.of(&body), up());
        assert_eq!(arena.series[0].name.of(&body), b"up");
        assert_eq!(
            arena.samples,
            [Sample {
                timestamp_ms: 1_795_341_631_372,
                value: 1.5
            }]
        );
    }

    /// Conformance 38, 39 and protobuf's freedoms: the canonical bytes are always the same.
    #[test]
    fn every_other_shape_of_the_same_labels_is_rebuilt_to_the_same_bytes() {
        let (name, job) = (label("__name__", "up"), label("job", "node"));
        let s = sample(1.0, 1);
        let long = b"\x0a\x8c\x00\x0a\x03job\x12\x04node\x32\x00".map(|b| b);
        let long = [&long[..1], b"\x8d\x00", &long[3..]].concat();
        let twice = field(
            1,
            &[
                &field(2, &[b"later wins"]),
                &field(1, &[b"x"]),
                &field(2, &[b"node"]),
                &field(1, &[b"job"]),
            ],
        );
        let unknown_inside = field(
            1,
            &[&field(1, &[b"job"]), &field(2, &[b"node"]), b"\x1d1234"],
        );
        for parts in [
            vec![&job[..], &name, &s],
            vec![&name, &s, &job],
            vec![&name, &label("env", ""), &job, &s],
            vec![&name, b"\x28\x05", &job, &s],
            vec![b"\x28\x05", &name, &job, &s],
            vec![&name, &long, &s],
            vec![&name, &twice, &s],
            vec![&name, &unknown_inside, &s],
            vec![&name, b"\x8a\x00\x0b\x0a\x03job\x12\x04node", &s],
        ] {
            let sent = field(1, &parts);
            let (body, arena) = decoded(&sent).unwrap();
            assert!(body.len() > sent.len() && body.len() <= 2 * sent.len());
            assert_eq!(arena.series.len(), 1, "{parts:?}");
            assert_eq!(arena.series[0].labels.of(&body), up(), "{parts:?}");
            assert_eq!(arena.series[0].name.of(&body), b"up");
            assert_eq!(arena.samples.len(), 1);
        }
    }

    /// Conformance 25, 26, 32, 35.
    #[test]
    fn samples_absent_zero_repeated_and_extreme() {
        let sent = field(
            1,
            &[
                &up(),
                b"\x12\x00",
                &sample(f64::NAN, i64::MIN),
                &sample(-0.0, i64::MAX),
                &sample(5e-324, -1),
                b"\x12\x04\x10\x07\x10\x08",
            ],
        );
        let (_, arena) = decoded(&[&sent[..], &sent].concat()).unwrap();
        let got: Vec<_> = arena.samples[..5]
            .iter()
            .map(|s| (s.value.to_bits(), s.timestamp_ms))
            .collect();
        assert_eq!(
            got,
            [
                (0, 0),
                (f64::NAN.to_bits(), i64::MIN),
                ((-0.0f64).to_bits(), i64::MAX),
                (1, -1),
                (0, 8)
            ]
        );
        assert_eq!(
            (arena.series[1].samples_start, arena.series[1].samples_end),
            (5, 10)
        );
    }

    /// Conformance 36, 37, 41, 42.
    #[test]
    fn a_refused_series_is_named_and_the_rest_is_kept() {
        let bad = field(
            1,
            &[
                &label("job", "x\ny"),
                &sample(1.0, 1),
                &sample(1.0, 2),
                b"\x1a\x00\x22\x00",
            ],
        );
        let bytes = field(1, &[&field(1, &[b"__name__"]), &field(2, &[b"\xff"])]);
        let not_utf8 = field(1, &[&bytes, &sample(1.0, 1)]);
        let good = field(1, &[&label("__name__", "\u{fc}ber"), &sample(1.0, 1)]);
        let (body, arena) = decoded(&[bad, not_utf8, good].concat()).unwrap();
        assert_eq!((arena.refused.series, arena.refused.samples), (2, 3));
        assert_eq!(
            arena.refused.named,
            [
                (Refusal::MissingName, "{job=\"x\\ny\"}".to_owned()),
                (Refusal::InvalidUtf8, "\u{fffd}{}".to_owned())
            ]
        );
        assert_eq!((arena.exemplars, arena.histograms), (0, 0));
        assert_eq!((arena.series.len(), arena.samples.len()), (1, 1));
        assert_eq!(arena.series[0].samples_start, 0);
        assert_eq!(arena.series[0].name.of(&body), "\u{fc}ber".as_bytes());
    }

    #[test]
    fn limits_hold_for_labels_that_are_canonical_otherwise() {
        let many: Vec<u8> = ('a'..='h')
            .flat_map(|c| label(&c.to_string(), "1"))
            .collect();
        for (labels, why) in [
            (
                [label("__name__", "up"), many].concat(),
                Refusal::TooManyLabels,
            ),
            (label("__name__", &"x".repeat(301)), Refusal::LabelTooLong),
            (
                [up(), label(&"n".repeat(21), "1")].concat(),
                Refusal::LabelTooLong,
            ),
            (
                [up(), label("job", "node")].concat(),
                Refusal::DuplicateLabel,
            ),
        ] {
            let (_, arena) = decoded(&field(1, &[&labels])).unwrap();
            assert_eq!(arena.refused.named[0].0, why);
        }
        let long = label("__name__", &"x".repeat(300));
        let (body, arena) = decoded(&field(1, &[&long])).unwrap();
        assert_eq!(arena.series[0].labels.of(&body), long);
    }

    /// Conformance 27, 28, 30, 31, 17.
    #[test]
    fn metadata_exemplars_histograms_and_unknown_fields() {
        let meta = |kind: u8, family: &[u8]| {
            field(
                3,
                &[&[0x08, kind], &field(2, &[family]), &field(4, &[b"help"])],
            )
        };
        let exemplar = field(3, &[&label("trace_id", "1"), b"\x1112345678\x18\x05"]);
        let histogram = field(
            4,
            &[b"\x08\x05\x1912345678\x42\x02\x08\x01\x4a\x02\x01\x02\x78\x05"],
        );
        let sent = [
            meta(1, b"http_requests"),
            meta(2, b"http_requests"),
            meta(99, b"odd"),
            meta(1, b""),
            meta(1, b"\xff"),
            field(1, &[&up(), &exemplar]),
            field(
                1,
                &[&up(), &histogram, b"\x28\x01\x3112345678\x3a\x02xx\x3d1234"],
            ),
            b"\x10\x01\x2112345678\x2a\x02xx\x351234".to_vec(),
        ]
        .concat();
        let (body, arena) = decoded(&sent).unwrap();
        let families: Vec<_> = arena
            .metadata
            .iter()
            .map(|m| (m.family.of(&body), m.kind))
            .collect();
        assert_eq!(
            families,
            [
                (&b"http_requests"[..], MetricType::Counter),
                (b"http_requests", MetricType::Gauge),
                (b"odd", MetricType::Unknown)
            ]
        );
        assert_eq!((arena.exemplars, arena.histograms), (1, 1));
        assert_eq!((arena.series.len(), arena.samples.len()), (2, 0));
    }

    /// Conformance 16 and 24.
    #[test]
    fn a_broken_message_leaves_nothing() {
        let good = field(
            1,
            &[
                &label("job", "z"),
                &label("__name__", "up"),
                &sample(1.0, 1),
            ],
        );
        for bad in [
            &b"\x0a"[..],
            b"\x0a\x05",
            b"\x08\x01",
            b"\x1d1234",
            b"\x0a\x02\x08\x01",
            b"\x0a\x03\x0a\x02\x0a",
            b"\x0a\x03\x0a\x02\x08\x01",
            b"\x0a\x03\x12\x01\x09",
            b"\x0a\x02\x12\x05\x00\x00\x00\x00\x00",
            b"\x0a\x04\x12\x02\x08\x01",
            b"\x0a\x04\x1a\x02\x08\x01",
            b"\x0a\x04\x22\x02\x10\x01",
            b"\x1a\x02\x0a\x00",
            b"\x1a\x01\x12",
            b"\x2b\x2c",
            b"\x00",
            b"\x80",
        ] {
            let body = [&good, bad].concat();
            assert!(decoded(&body).is_err(), "{bad:?}");
        }
        for cut in 1..good.len() {
            assert!(decoded(&good[..cut]).is_err(), "{cut}");
        }
        assert!(decoded(&good).is_ok());
        assert!(decoded(b"").unwrap().1.series.is_empty());
    }

    #[test]
    fn empty_messages_cannot_fill_the_arena() {
        let sent = field(1, &[&up(), &b"\x12\x00".repeat(ENTRIES_MAX + 1)]);
        assert_eq!(
            decoded(&sent).unwrap_err(),
            DecodeError::TooMany {
                what: "samples",
                limit: ENTRIES_MAX
            }
        );
        let (_, arena) = decoded(&b"\x0a\x00".repeat(ENTRIES_MAX)).unwrap();
        assert_eq!(arena.refused.series as usize, ENTRIES_MAX);
        assert_eq!(arena.refused.named.len(), 3);
    }
}

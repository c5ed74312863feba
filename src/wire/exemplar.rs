//! The exemplars of a series, which say which trace a value came from: what is kept of a request's.
//!
//! Their labels are written out behind the body, in both versions in the form of canonical label bytes
//! (but for `__name__`, which exemplars have none of), so that what comes after reads them as it reads
//! those of series. What always holds: exemplars never make a request fail that would not fail for its
//! shape or its references; one that is not kept is counted all the same; and of a request, little is
//! kept, whatever is in it.

use smallvec::SmallVec;

use super::field;
use super::walk::span;
use super::write::{DecodeError, ExemplarSpan, Span, WriteArena};

/// Exemplars of one series entry that are kept, the first ones. A scrape has one for a series.
pub const OF_SERIES_MAX: usize = 4;
/// Exemplars of one request that are kept. What looks at them remembers as many.
pub const OF_REQUEST_MAX: usize = 4096;
/// Characters of all names and values of one exemplar (OpenMetrics 1.0, "Exemplars").
pub const LABEL_CHARS_MAX: usize = 128;
/// Bytes that so many characters can take.
const LABEL_BYTES_MAX: usize = 4 * LABEL_CHARS_MAX;

/// Where the exemplars of the series at hand lie that may be kept.
pub(super) type Seen = SmallVec<[Span; OF_SERIES_MAX]>;

/// The labels of one exemplar, wherever they lie in the body.
#[derive(Debug, Default)]
pub(super) struct Labels {
    all: SmallVec<[(Span, Span); 4]>,
    bytes: usize,
}

impl Labels {
    /// Adds a label; more than there is room for are not collected.
    pub(super) fn push(&mut self, name: Span, value: Span) {
        // A label without anything is none that is kept, so this ends.
        self.bytes += (name.len as usize + value.len as usize).max(1);
        if self.bytes <= LABEL_BYTES_MAX {
            self.all.push((name, value));
        }
    }

    /// The bytes to write; `None` if these are no labels that an exemplar may have.
    fn encoded(&mut self, body: &[u8]) -> Option<SmallVec<[u8; 256]>> {
        if self.bytes > LABEL_BYTES_MAX {
            return None;
        }
        let text = |span: &Span| std::str::from_utf8(span.of(body)).ok();
        let mut chars = 0;
        for (name, value) in &self.all {
            let name = text(name).filter(|name| !name.is_empty())?;
            chars += name.chars().count() + text(value)?.chars().count();
        }
        self.all
            .sort_by(|(a, _), (b, _)| a.of(body).cmp(b.of(body)));
        let twice = self.all.windows(2);
        let twice = { twice }.any(|w| w[0].0.of(body) == w[1].0.of(body));
        if chars > LABEL_CHARS_MAX || twice {
            return None;
        }
        let mut out = SmallVec::new();
        for (name, value) in self.all.iter().filter(|(_, value)| value.len > 0) {
            let inner = 2
                + field::varint_len(u64::from(name.len))
                + field::varint_len(u64::from(value.len))
                + (name.len + value.len) as usize;
            out.push(0x0a);
            put_len(&mut out, inner);
            for (tag, part) in [(0x0a, name), (0x12, value)] {
                out.push(tag);
                put_len(&mut out, part.len as usize);
                out.extend_from_slice(part.of(body));
            }
        }
        Some(out)
    }
}

/// A length as a varint.
fn put_len(out: &mut SmallVec<[u8; 256]>, mut len: usize) {
    while len >= 0x80 {
        out.push(len as u8 | 0x80);
        len >>= 7;
    }
    out.push(len as u8);
}

/// Notes the exemplar at `at..end` of the body.
pub(super) fn note(seen: &mut Seen, at: usize, end: usize) {
    if seen.len() < OF_SERIES_MAX {
        seen.push(span(at, end - at));
    }
}

/// Keeps what was noted of a series that is taken, as far as there is room for it: `body` may get as
/// long as `room`. `read` gives labels, value and time of a message that was walked before.
///
/// # Errors
/// None of a message whose shape was found to be good.
#[cold]
pub(super) fn keep(
    body: &mut Vec<u8>,
    room: usize,
    (series, name): (Span, Span),
    seen: &[Span],
    out: &mut WriteArena,
    read: impl Fn(&[u8], Span) -> Result<(Labels, f64, i64), DecodeError>,
) -> Result<(), DecodeError> {
    for message in seen {
        if out.exemplar_spans.len() >= OF_REQUEST_MAX {
            return Ok(());
        }
        let (mut labels, value, timestamp_ms) = read(body, *message)?;
        let Some(encoded) = labels.encoded(body) else {
            continue;
        };
        if body.len() + encoded.len() > room {
            return Ok(());
        }
        let at = body.len();
        body.extend_from_slice(&encoded);
        out.exemplar_spans.push(ExemplarSpan {
            series,
            name,
            labels: span(at, encoded.len()),
            timestamp_ms,
            value,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::write::LabelLimits;
    use super::super::{proto, write_v1};
    use super::*;
    use prost::Message as _;

    fn label(name: &str, value: &str) -> proto::Label {
        proto::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        }
    }

    /// What is kept of exemplars with these labels, all of one series: their labels.
    fn kept(all: &[&[(&str, &str)]]) -> Vec<Vec<(String, String)>> {
        let exemplars = all.iter().map(|labels| proto::Exemplar {
            labels: labels.iter().map(|(n, v)| label(n, v)).collect(),
            value: f64::NAN,
            timestamp: 7,
        });
        let series = proto::TimeSeries {
            labels: vec![label("__name__", "up")],
            exemplars: exemplars.collect(),
            ..Default::default()
        };
        let request = proto::WriteRequest {
            timeseries: vec![series],
            ..Default::default()
        };
        let (mut body, mut arena) = (request.encode_to_vec(), WriteArena::default());
        let limits = LabelLimits {
            labels_per_series: 8,
            name_bytes: 100,
            value_bytes: 100,
        };
        write_v1::decode(&mut body, &limits, &mut arena).unwrap();
        assert_eq!(arena.exemplars as usize, all.len());
        let of = arena.exemplar_spans.iter().map(|e| {
            assert!(e.value.is_nan() && e.timestamp_ms == 7);
            assert_eq!(e.series, arena.series[0].labels);
            let mut bytes = e.labels.of(&body).to_vec();
            // As a message that has nothing but labels.
            let set = proto::TimeSeries::decode(&*std::mem::take(&mut bytes)).unwrap();
            let pairs = set.labels.into_iter().map(|l| (l.name, l.value));
            pairs.collect()
        });
        of.collect()
    }

    #[test]
    fn labels_that_an_exemplar_may_have_are_kept_and_no_others() {
        let owned = |n: &str, v: &str| (n.to_owned(), v.to_owned());
        let sorted = vec![owned("span_id", "y"), owned("trace_id", "x")];
        assert_eq!(kept(&[&[("trace_id", "x"), ("span_id", "y")]]), [sorted]);
        let long = "\u{e9}".repeat(LABEL_CHARS_MAX - 1);
        assert_eq!(kept(&[&[("t", &long)]]), [vec![owned("t", &long)]]);
        let longer = format!("{long}x");
        assert_eq!(kept(&[&[("t", &longer)]]), Vec::<Vec<_>>::new());
        let giant = "x".repeat(100_000);
        for bad in [
            &[("t", &*giant)][..],
            &[("", "x")],
            &[("t", "x"), ("t", "y")],
        ] {
            assert_eq!(kept(&[bad, &[("t", "z")]]), [vec![owned("t", "z")]]);
        }
        assert_eq!(kept(&[&[]]), [vec![]]);
    }

    #[test]
    fn of_a_series_only_some_are_kept() {
        let many = [&[("t", "z")][..]; OF_SERIES_MAX + 3];
        assert_eq!(kept(&many).len(), OF_SERIES_MAX);
    }
}

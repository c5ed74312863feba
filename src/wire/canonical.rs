//! Any labels to canonical label bytes, or the reason why they are no label set.
//!
//! This is the one place that decides what a label set may be; decoders come here with every series
//! whose bytes are not canonical as they lie. See [`super::write::SeriesSpan`] for the form.
//!
//! What always holds: rebuilt bytes are never longer than the labels they were built from, so a
//! body at most doubles.

use smallvec::SmallVec;

use super::field;
use super::write::{LabelLimits, Refusal, Span};

/// The label that is the metric's name.
pub const NAME: &[u8] = b"__name__";

/// Of a refused series' text, which stands in an answer of at most 1 KiB.
const DESCRIBED_BYTES_MAX: usize = 240;
/// Of one name or value in that text.
const DESCRIBED_PART_BYTES_MAX: usize = 64;

/// The labels of one series as they were sent, wherever they lie in the body.
#[derive(Debug, Default)]
pub struct LabelSet {
    labels: SmallVec<[(Span, Span); 32]>,
    too_many: bool,
}

impl LabelSet {
    /// Adds a label. One with an empty value is as if absent.
    pub fn push(&mut self, name: Span, value: Span, limits: &LabelLimits) {
        if value.len == 0 {
            return;
        }
        if self.labels.len() >= limits.labels_per_series {
            self.too_many = true;
            return;
        }
        self.labels.push((name, value));
    }

    /// Appends the canonical bytes to `body`; gives their place and that of the metric's name.
    ///
    /// # Errors
    /// Why this is no label set; `body` is as it was.
    pub fn canonical(
        &mut self,
        body: &mut Vec<u8>,
        limits: &LabelLimits,
    ) -> Result<(Span, Span), Refusal> {
        if self.too_many {
            return Err(Refusal::TooManyLabels);
        }
        let metric = self.check(body, limits)?;
        let start = body.len();
        let mut metric_name = Span::default();
        for (i, (name, value)) in self.labels.iter().enumerate() {
            let inner = 2
                + field::varint_len(u64::from(name.len))
                + field::varint_len(u64::from(value.len))
                + (name.len + value.len) as usize;
            body.push(0x0a);
            field::put_varint(body, inner as u64);
            body.push(0x0a);
            append(body, *name);
            body.push(0x12);
            let at = append(body, *value);
            if i == metric {
                metric_name = at;
            }
        }
        let labels = Span {
            start: start as u32,
            len: (body.len() - start) as u32,
        };
        Ok((labels, metric_name))
    }

    /// Sorts the labels and finds the metric's name among them.
    fn check(&mut self, body: &[u8], limits: &LabelLimits) -> Result<usize, Refusal> {
        // No further than is needed to see that a name is too long: series of 2.0 refer to their
        // names, so one request could have megabytes compared for each of a million series.
        let beginning = |name: &Span| {
            let bytes = name.of(body);
            &bytes[..bytes.len().min(limits.name_bytes.saturating_add(1))]
        };
        self.labels
            .sort_unstable_by(|(a, _), (b, _)| beginning(a).cmp(beginning(b)));
        let mut metric = None;
        for (i, (name, value)) in self.labels.iter().enumerate() {
            if name.len == 0 {
                return Err(Refusal::EmptyLabelName);
            }
            if name.len as usize > limits.name_bytes || value.len as usize > limits.value_bytes {
                return Err(Refusal::LabelTooLong);
            }
            if !is_utf8(name.of(body)) || !is_utf8(value.of(body)) {
                return Err(Refusal::InvalidUtf8);
            }
            if i > 0 && self.labels[i - 1].0.of(body) == name.of(body) {
                return Err(Refusal::DuplicateLabel);
            }
            if name.of(body) == NAME {
                metric = Some(i);
            }
        }
        metric.ok_or(Refusal::MissingName)
    }

    /// The labels for an error message: shortened, and readable whatever is in them.
    pub fn describe(&self, body: &[u8]) -> String {
        let mut text = String::new();
        let metric = self.labels.iter().position(|(n, _)| n.of(body) == NAME);
        if let Some(i) = metric {
            text.push_str(&part(self.labels[i].1.of(body)));
        }
        text.push('{');
        for (i, (name, value)) in self.labels.iter().enumerate() {
            if Some(i) == metric {
                continue;
            }
            if !text.ends_with('{') {
                text.push_str(", ");
            }
            if text.len() > DESCRIBED_BYTES_MAX {
                text.push_str("...");
                break;
            }
            text.push_str(&part(name.of(body)));
            text.push_str("=\"");
            text.push_str(&part(value.of(body)));
            text.push('"');
        }
        text.push('}');
        text
    }
}

/// ASCII first: that test is several times faster, and labels are hardly ever anything else.
fn is_utf8(bytes: &[u8]) -> bool {
    bytes.is_ascii() || std::str::from_utf8(bytes).is_ok()
}

/// Length and bytes of `part` behind the body; gives where the bytes are now.
fn append(body: &mut Vec<u8>, part: Span) -> Span {
    field::put_varint(body, u64::from(part.len));
    let start = body.len();
    body.extend_from_within(part.start as usize..(part.start + part.len) as usize);
    Span {
        start: start as u32,
        len: part.len,
    }
}

fn part(bytes: &[u8]) -> String {
    let cut = &bytes[..bytes.len().min(DESCRIBED_PART_BYTES_MAX)];
    let mut text: String = String::from_utf8_lossy(cut).escape_debug().collect();
    if cut.len() < bytes.len() {
        text.push_str("...");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMITS: LabelLimits = LabelLimits {
        labels_per_series: 4,
        name_bytes: 10,
        value_bytes: 100,
    };

    type Built = (Vec<u8>, Vec<u8>, String);

    fn build(labels: &[(&[u8], &[u8])]) -> (Result<Built, Refusal>, String) {
        let mut body = Vec::new();
        let mut set = LabelSet::default();
        for (name, value) in labels {
            let mut put = |bytes: &[u8]| {
                body.extend_from_slice(bytes);
                Span {
                    start: (body.len() - bytes.len()) as u32,
                    len: bytes.len() as u32,
                }
            };
            let (name, value) = (put(name), put(value));
            set.push(name, value, &LIMITS);
        }
        let sent = body.len();
        let built = set.canonical(&mut body, &LIMITS);
        let text = set.describe(&body);
        if built.is_err() {
            assert_eq!(body.len(), sent);
        }
        let built = built.map(|(labels, name)| {
            (
                labels.of(&body).to_vec(),
                name.of(&body).to_vec(),
                text.clone(),
            )
        });
        (built, text)
    }

    /// Conformance 38 and 39.
    #[test]
    fn labels_are_sorted_and_empty_values_dropped() {
        let (built, _) = build(&[(b"z", b"1"), (b"b", b""), (b"__name__", b"up"), (b"", b"")]);
        let (labels, name, text) = built.unwrap();
        assert_eq!(
            labels,
            b"\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\x06\x0a\x01z\x12\x011"
        );
        assert_eq!(name, b"up");
        assert_eq!(text, "up{z=\"1\"}");
    }

    /// Conformance 36, 37, 41, 42.
    #[test]
    fn what_is_no_label_set_is_refused_with_its_reason() {
        let up: (&[u8], &[u8]) = (b"__name__", b"up");
        for (labels, why) in [
            (&[][..], Refusal::MissingName),
            (&[(&b"a"[..], &b"b"[..])], Refusal::MissingName),
            (&[(b"__name__", b"")], Refusal::MissingName),
            (&[up, (b"a", b"1"), (b"a", b"1")], Refusal::DuplicateLabel),
            (&[up, (b"__name__", b"down")], Refusal::DuplicateLabel),
            (&[up, (b"", b"1")], Refusal::EmptyLabelName),
            (&[up, (b"a", b"\xff")], Refusal::InvalidUtf8),
            (&[up, (b"\xc3", b"1")], Refusal::InvalidUtf8),
            (&[up, (b"elevenbytes", b"1")], Refusal::LabelTooLong),
            (&[up, (b"a", &[b'x'; 101])], Refusal::LabelTooLong),
            (
                &[up, (b"a", b"1"), (b"b", b"1"), (b"c", b"1"), (b"d", b"1")],
                Refusal::TooManyLabels,
            ),
        ] {
            assert_eq!(build(labels).0, Err(why), "{labels:?}");
        }
    }

    #[test]
    fn a_description_is_short_and_printable() {
        let long = [b'x'; 100];
        let (_, text) = build(&[(b"a\n\"", b"\xff\x00"), (b"b", &long), (b"c", &long)]);
        assert!(
            text.starts_with("{a\\n\\\"=\"\u{fffd}\\0\", b=\"xxx"),
            "{text}"
        );
        assert!(text.contains("x...\""));
        assert!(text.len() < 400);
    }
}

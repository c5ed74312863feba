//! The labels of one series in a 1.0 body: where they lie, if they are canonical, and gathered for
//! rebuilding, if not.
//!
//! What always holds: the quick way says yes or nothing. Every error and every refusal is found by
//! the thorough one, so both agree.

use crate::wire::canonical::LabelSet;
use crate::wire::field::{self, Wire};
use crate::wire::walk::{
    BODY_BYTES_MAX, NAME_KEY, OVERRUN, WRONG_TYPE, broken, is_ascii, sort_key, span,
};
use crate::wire::write::{DecodeError, LabelLimits, Span};

/// Where the two parts of a canonical label lie.
struct Parts {
    name: usize,
    name_len: usize,
    value: usize,
    value_len: usize,
    end: usize,
}

/// The labels that start at `start`, and the metric's name, if they are canonical as they lie.
///
/// Whatever is unusual gives `None`, also what is broken: who gathers the labels then finds out.
#[inline]
pub(super) fn canonical_labels(
    msg: &[u8],
    start: usize,
    end: usize,
    limits: &LabelLimits,
) -> Option<(Span, Span)> {
    // A length of one byte can't be over these; true for all but tests.
    let short_is_within = limits.name_bytes.min(limits.value_bytes) >= 0x7f;
    let mut at = start;
    let mut count = 0;
    let (mut last_key, mut last) = (0, 0..0);
    let mut metric = Span::default();
    while at < end && msg[at] == 0x0a {
        let parts = match short_parts(msg, at) {
            Some(parts) if short_is_within => parts,
            _ => any_parts(msg, at, limits)?,
        };
        let name = parts.name..parts.name + parts.name_len;
        let key = sort_key(msg, parts.name, parts.name_len);
        if key <= last_key && (key < last_key || msg[name.clone()] <= msg[last]) {
            return None;
        }
        if key == NAME_KEY && parts.name_len == 8 {
            metric = span(parts.value, parts.value_len);
        }
        (last_key, last) = (key, name);
        count += 1;
        at = parts.end;
    }
    if metric.len == 0 || count > limits.labels_per_series || at > end {
        return None;
    }
    let labels = &msg[start..at];
    if !is_ascii(labels) && !all_utf8(labels) {
        return None;
    }
    Some((span(start, at - start), metric))
}

/// The canonical label at `at` if all its lengths are one byte: read in two loads.
#[inline(always)]
fn short_parts(msg: &[u8], at: usize) -> Option<Parts> {
    let head = u32::from_le_bytes(*msg[at..].first_chunk::<4>()?);
    // 0a len 0a len
    if head & 0x80ff_80ff != 0x000a_000a {
        return None;
    }
    let (len, name_len) = ((head >> 8 & 0xff) as usize, (head >> 24) as usize);
    let name = at + 4;
    let tail = u16::from_le_bytes(*msg.get(name + name_len..)?.first_chunk::<2>()?);
    // 12 len
    let value_len = usize::from(tail >> 8);
    let whole = tail & 0x80ff == 0x0012 && name_len + value_len + 4 == len;
    (whole && name_len != 0 && value_len != 0).then_some(Parts {
        name,
        name_len,
        value: name + name_len + 2,
        value_len,
        // From the first length alone: the next label is then found without waiting for the rest.
        end: at + 2 + len,
    })
}

/// The canonical label at `at`, whose tag was seen.
#[cold]
fn any_parts(msg: &[u8], mut at: usize, limits: &LabelLimits) -> Option<Parts> {
    at += 1;
    let len = minimal_len(msg, &mut at)?;
    let label_end = at + len;
    if *msg.get(at)? != 0x0a {
        return None;
    }
    at += 1;
    let name_len = minimal_len(msg, &mut at)?;
    let name = at;
    at += name_len;
    if *msg.get(at)? != 0x12 {
        return None;
    }
    at += 1;
    let value_len = minimal_len(msg, &mut at)?;
    let within = (1..=limits.name_bytes).contains(&name_len)
        && (1..=limits.value_bytes).contains(&value_len);
    (within && at + value_len == label_end && label_end <= msg.len()).then_some(Parts {
        name,
        name_len,
        value: at,
        value_len,
        end: label_end,
    })
}

/// A length, if it is written in as few bytes as it needs.
fn minimal_len(msg: &[u8], at: &mut usize) -> Option<usize> {
    let start = *at;
    let len = field::varint(msg, at).ok()?;
    let minimal = *at == start + 1 || msg[*at - 1] != 0;
    (minimal && len <= BODY_BYTES_MAX as u64).then_some(len as usize)
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
pub(super) fn gather_labels(
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
pub(super) fn label(msg: &[u8], mut at: usize, end: usize) -> Result<(Span, Span), DecodeError> {
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

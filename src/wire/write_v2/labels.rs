//! From the references of one series to its canonical label bytes behind the body.
//!
//! Senders write series in the order of their scrapes, so most labels of a series are those of the
//! series before it. The references that both begin with and end with are found first; their bytes
//! are copied in one piece, in order and checked as they are, and only the labels between them are
//! put together. A series with the same references shares the bytes.
//!
//! What always holds: the quick way says yes or nothing. Every refusal is found by the thorough one.

use super::symbols::{Symbol, Symbols};
use crate::wire::canonical::LabelSet;
use crate::wire::field;
use crate::wire::walk::span;
use crate::wire::write::{self, DecodeError, LabelLimits, Refusal, Span};

/// References of one series of which more are not even collected: several times what
/// `limits.labels_per_series` can be set to.
pub(super) const REFERENCES_MAX: usize = 1 << 15;

/// A name up to this length, and a value up to the next, are copied in whole blocks.
const NAME_BLOCK: usize = 32;
const VALUE_BLOCK: usize = 64;

/// Why a series has no labels, or the request no meaning.
#[derive(Debug)]
pub(super) enum NoLabels {
    Series(Refusal),
    Request(DecodeError),
}

/// The labels of one series.
#[derive(Debug, Clone, Copy)]
pub(super) struct Labels {
    pub(super) labels: Span,
    /// The value of `__name__`.
    pub(super) name: Span,
    /// The symbol of that value, if it is known.
    pub(super) metric: Option<u32>,
}

/// How many bytes of rebuilt labels there may be, and behind how many of the body they begin.
#[derive(Debug, Clone, Copy)]
pub(super) struct Room {
    pub(super) sent: usize,
    pub(super) rebuilt_max: usize,
}

impl Room {
    fn has(&self, body: &[u8]) -> bool {
        body.len() - self.sent <= self.rebuilt_max
    }
}

/// The labels that were put together last.
#[derive(Debug, Default)]
pub(super) struct Last {
    refs: Vec<u32>,
    /// Where each label ends, from the beginning of the first.
    ends: Vec<u32>,
    labels: Span,
    /// Index of `__name__` among them.
    metric: usize,
    name: Span,
    /// `ends` in the making.
    next_ends: Vec<u32>,
}

impl Last {
    pub(super) fn clear(&mut self) {
        write::shrink(&mut self.refs);
        write::shrink(&mut self.ends);
        write::shrink(&mut self.next_ends);
        // They lie in a body that is gone.
        (self.labels, self.name, self.metric) = (Span::default(), Span::default(), 0);
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        (self.refs.capacity() + self.ends.capacity() + self.next_ends.capacity()) * size_of::<u32>()
    }

    /// The labels that `refs` refer to. `refs` is of no use afterwards.
    pub(super) fn resolve(
        &mut self,
        body: &mut Vec<u8>,
        symbols: &Symbols,
        refs: &mut Vec<u32>,
        limits: &LabelLimits,
        room: Room,
    ) -> Result<Labels, NoLabels> {
        let start = body.len();
        let found = match self.quick(body, symbols, refs, limits, room) {
            Some(found) => found,
            None => {
                body.truncate(start);
                thorough(body, symbols, refs, limits)?
            }
        };
        if room.has(body) {
            return Ok(found);
        }
        let limit = room.rebuilt_max;
        Err(NoLabels::Request(DecodeError::LabelsTooLarge { limit }))
    }

    /// If the labels are sorted, and all else is as senders write it. Else `body` may have grown.
    #[inline]
    fn quick(
        &mut self,
        body: &mut Vec<u8>,
        symbols: &Symbols,
        refs: &mut Vec<u32>,
        limits: &LabelLimits,
        room: Room,
    ) -> Option<Labels> {
        let (pairs, rest) = refs.as_chunks::<2>();
        let (last, _) = self.refs.as_chunks::<2>();
        if !rest.is_empty() || pairs.is_empty() || pairs.len() > limits.labels_per_series {
            return None;
        }
        let front = same(pairs.iter().zip(last));
        if front == pairs.len() && front == last.len() {
            return Some(Labels {
                labels: self.labels,
                name: self.name,
                metric: Some(pairs[self.metric][1]),
            });
        }
        let back = same(pairs[front..].iter().rev().zip(last[front..].iter().rev()));
        let (middle, back_from) = (front..pairs.len() - back, last.len() - back);

        // The front, as it is.
        let start = body.len();
        let from = self.labels.start as usize;
        let front_end = front.checked_sub(1).map_or(0, |i| self.ends[i]);
        body.extend_from_within(from..from + front_end as usize);
        self.next_ends.clear();
        self.next_ends.extend_from_slice(&self.ends[..front]);
        let (mut metric, mut name) = (self.metric, self.name);
        name.start = name.start - self.labels.start + start as u32;
        let mut named = metric < front;

        // The middle, label by label.
        let mut before = match front.checked_sub(1) {
            Some(i) => Some(symbols.get(pairs[i][0])?),
            None => None,
        };
        for i in middle {
            let (label, value) = (symbols.get(pairs[i][0])?, symbols.get(pairs[i][1])?);
            let sorted = before.is_none_or(|before| before.sorts_before(label, body));
            if !(sorted && label.is_name && value.is_value) {
                return None;
            }
            append(body, label, value);
            if !room.has(body) {
                return None;
            }
            if label.is_metric() {
                (metric, named) = (i, true);
                name = span(
                    body.len() - value.text.len as usize,
                    value.text.len as usize,
                );
            }
            self.next_ends.push((body.len() - start) as u32);
            before = Some(label);
        }

        // The back, as it is.
        if back > 0 {
            let first = symbols.get(pairs[pairs.len() - back][0])?;
            if before.is_some_and(|before| !before.sorts_before(first, body)) {
                return None;
            }
            let back_start = back_from.checked_sub(1).map_or(0, |i| self.ends[i]);
            let moved_to = (body.len() - start) as u32;
            if self.metric >= back_from {
                metric = self.metric - back_from + pairs.len() - back;
                named = true;
                name.start = name.start - back_start + moved_to;
            }
            let back_end = self.labels.len as usize;
            body.extend_from_within(from + back_start as usize..from + back_end);
            let ends = self.ends[back_from..].iter();
            self.next_ends
                .extend(ends.map(|end| end - back_start + moved_to));
        }
        if !named {
            return None;
        }
        let value = pairs[metric][1];
        std::mem::swap(&mut self.refs, refs);
        std::mem::swap(&mut self.ends, &mut self.next_ends);
        self.labels = span(start, body.len() - start);
        self.metric = metric;
        self.name = name;
        Some(Labels {
            labels: self.labels,
            name,
            metric: Some(value),
        })
    }
}

/// How many of them are equal before the first that is not.
#[inline(always)]
fn same<'a>(pairs: impl Iterator<Item = (&'a [u32; 2], &'a [u32; 2])>) -> usize {
    let mut n = 0;
    for (a, b) in pairs {
        if a != b {
            break;
        }
        n += 1;
    }
    n
}

/// Appends one canonical label. Lengths lie in front of the symbols and are copied along.
#[inline(always)]
fn append(body: &mut Vec<u8>, name: &Symbol, value: &Symbol) {
    let (from, name_len) = with_head(name);
    let (value_from, value_len) = with_head(value);
    let inner = 2 + name_len + value_len;
    if name_len <= NAME_BLOCK
        && value_len <= VALUE_BLOCK
        && let Some(name) = body[from..].first_chunk::<NAME_BLOCK>()
        && let Some(value) = body[value_from..].first_chunk::<VALUE_BLOCK>()
    {
        let mut label = [0; 4 + NAME_BLOCK + VALUE_BLOCK];
        label[..3].copy_from_slice(&[0x0a, inner as u8, 0x0a]);
        label[3..3 + NAME_BLOCK].copy_from_slice(name);
        label[3 + name_len] = 0x12;
        label[4 + name_len..][..VALUE_BLOCK].copy_from_slice(value);
        body.extend_from_slice(&label[..2 + inner]);
    } else {
        body.push(0x0a);
        field::put_varint(body, inner as u64);
        body.push(0x0a);
        body.extend_from_within(from..from + name_len);
        body.push(0x12);
        body.extend_from_within(value_from..value_from + value_len);
    }
}

/// Where a symbol and its length lie, and how long both are.
#[inline(always)]
fn with_head(symbol: &Symbol) -> (usize, usize) {
    let head = usize::from(symbol.head);
    let from = symbol.text.start as usize - head;
    (from, symbol.text.len as usize + head)
}

/// Labels of any shape, or why they are none.
#[cold]
fn thorough(
    body: &mut Vec<u8>,
    symbols: &Symbols,
    refs: &[u32],
    limits: &LabelLimits,
) -> Result<Labels, NoLabels> {
    if refs.len() >= REFERENCES_MAX {
        return Err(NoLabels::Series(Refusal::TooManyLabels));
    }
    let (pairs, rest) = refs.as_chunks::<2>();
    let mut set = LabelSet::default();
    for [name, value] in pairs {
        let (Some(name), Some(value)) = (symbols.get(*name), symbols.get(*value)) else {
            return Err(NoLabels::Series(Refusal::BadReference));
        };
        set.push(name.text, value.text, limits);
    }
    if !rest.is_empty() {
        return Err(NoLabels::Series(Refusal::BadReference));
    }
    let (labels, name) = set.canonical(body, limits).map_err(NoLabels::Series)?;
    Ok(Labels {
        labels,
        name,
        metric: None,
    })
}

/// The labels of a refused series for an error message: those that there are.
#[cold]
pub(super) fn describe(
    body: &[u8],
    symbols: &Symbols,
    refs: &[u32],
    limits: &LabelLimits,
) -> String {
    let mut set = LabelSet::default();
    let (pairs, _) = refs.as_chunks::<2>();
    for [name, value] in pairs {
        if let (Some(name), Some(value)) = (symbols.get(*name), symbols.get(*value)) {
            set.push(name.text, value.text, limits);
        }
    }
    set.describe(body)
}

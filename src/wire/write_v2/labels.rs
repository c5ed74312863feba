//! From the references of one series to its canonical label bytes behind the body.
//!
//! Senders write series in the order of their scrapes, so most labels of a series are those of the
//! series before it. The references that both begin with and end with are found first, as bytes;
//! the labels behind them are copied in one piece, in order and checked as they are, and only the
//! references between them are decoded and their labels put together. A series with the same
//! references shares the bytes.
//!
//! What always holds: the quick way says yes or nothing. Every refusal is found by the thorough one.

use super::symbols::{Symbol, Symbols};
use crate::wire::canonical::LabelSet;
use crate::wire::field;
use crate::wire::walk::span;
use crate::wire::write::{self, LabelLimits, Refusal, Span};

/// References of one series of which more are not even collected: several times what
/// `limits.labels_per_series` can be set to.
pub(super) const REFERENCES_MAX: usize = 1 << 15;

/// A name up to this length, and a value up to the next, are copied in whole blocks.
const NAME_BLOCK: usize = 32;
const VALUE_BLOCK: usize = 64;

/// Room for a label of both: its own tag and length, and the tags of its parts.
const LABEL_BLOCK: usize = 4 + NAME_BLOCK + VALUE_BLOCK;

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
    pub(super) fn has(&self, body: &[u8]) -> bool {
        body.len() - self.sent <= self.rebuilt_max
    }
}

/// One label of [`Last`].
#[derive(Debug, Clone, Copy)]
struct Pair {
    name: u32,
    value: u32,
    /// Bytes of its two references.
    wire: u32,
    /// Bytes of the label.
    text: u32,
}

/// The labels that were put together last.
#[derive(Debug, Default)]
pub(super) struct Last {
    pairs: Vec<Pair>,
    /// The packed references, as they were sent.
    wire: Span,
    labels: Span,
    /// Index of `__name__` among them.
    metric: usize,
    name: Span,
    /// What the series at hand has more than fits between what it has in common with them.
    more: Vec<Pair>,
}

impl Last {
    pub(super) fn clear(&mut self) {
        write::shrink(&mut self.pairs);
        write::shrink(&mut self.more);
        // They lie in a body that is gone.
        (self.wire, self.labels, self.name) = Default::default();
        self.metric = 0;
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        (self.pairs.capacity() + self.more.capacity()) * size_of::<Pair>()
    }

    /// The labels that the packed references at `wire` refer to, if they are sorted, and all else is
    /// as senders write it. Only what is not as in the series before is decoded.
    #[inline]
    pub(super) fn quick(
        &mut self,
        body: &mut Vec<u8>,
        symbols: &Symbols,
        wire: Span,
        limits: &LabelLimits,
        room: Room,
    ) -> Option<Labels> {
        let start = body.len();
        let found = self.build(body, symbols, wire, limits, room);
        // It may be neither the one nor the other by now.
        if found.is_none() {
            body.truncate(start);
            self.clear();
        }
        found
    }

    #[inline(always)]
    fn build(
        &mut self,
        body: &mut Vec<u8>,
        symbols: &Symbols,
        wire: Span,
        limits: &LabelLimits,
        room: Room,
    ) -> Option<Labels> {
        let (wire_len, last_len) = (wire.len as usize, self.wire.len as usize);
        let (now, then) = (wire.start as usize, self.wire.start as usize);
        let shorter = wire_len.min(last_len);
        let alike = same_front(&body[now..], &body[then..], shorter);
        if alike == wire_len && alike == last_len {
            let value = self.pairs.get(self.metric)?.value;
            return Some(self.found(value));
        }
        let (mut front, mut front_wire, mut front_text) = (0, 0, 0);
        for pair in &self.pairs {
            let end = front_wire + pair.wire as usize;
            if end > alike {
                break;
            }
            (front, front_wire) = (front + 1, end);
            front_text += pair.text as usize;
        }
        let alike = same_back(
            &body[..now + wire_len],
            &body[..then + last_len],
            shorter - front_wire,
        );
        let (mut back, mut back_wire, mut back_text) = (self.pairs.len(), 0, 0);
        for pair in self.pairs[front..].iter().rev() {
            let begin = back_wire + pair.wire as usize;
            if begin > alike {
                break;
            }
            (back, back_wire) = (back - 1, begin);
            back_text += pair.text as usize;
        }
        // A number of which only the end is alike belongs to the middle.
        while back < self.pairs.len()
            && wire_len - back_wire > front_wire
            && body[now + wire_len - back_wire - 1] > 0x7f
        {
            back_wire -= self.pairs[back].wire as usize;
            back_text -= self.pairs[back].text as usize;
            back += 1;
        }

        // The front, as it is.
        let start = body.len();
        let from = self.labels.start as usize;
        body.extend_from_within(from..from + front_text);
        let mut metric = (self.metric < front).then_some(self.metric);
        let mut name = self.name;
        name.start = name.start - self.labels.start + start as u32;

        // The middle, label by label. With the names that were there, it is as sorted as they were.
        self.more.clear();
        let mut same_names = true;
        let mut count = front;
        let mut at = now + front_wire;
        let middle_end = now + wire_len - back_wire;
        while at < middle_end {
            let label_at = at;
            let (name_ref, value_ref) = (reference(body, &mut at)?, reference(body, &mut at)?);
            let (label, value) = (symbols.get(name_ref)?, symbols.get(value_ref)?);
            same_names &= count < back && self.pairs[count].name == name_ref;
            if !same_names {
                let room_left = count < limits.labels_per_series;
                let sorted = self.comes_behind(label, count, back, symbols, body);
                if !(room_left && sorted && label.is_name) {
                    return None;
                }
            }
            if !value.is_value {
                return None;
            }
            let label_start = body.len();
            append(body, label, value);
            if !room.has(body) {
                return None;
            }
            let is_metric = if same_names {
                count == self.metric
            } else {
                label.is_metric()
            };
            if is_metric {
                metric = Some(count);
                name = span(
                    body.len() - value.text.len as usize,
                    value.text.len as usize,
                );
            }
            let pair = Pair {
                name: name_ref,
                value: value_ref,
                wire: (at - label_at) as u32,
                text: (body.len() - label_start) as u32,
            };
            if count < back {
                self.pairs[count] = pair;
            } else {
                self.more.push(pair);
            }
            count += 1;
        }
        if at != middle_end {
            return None;
        }

        // The back, as it is.
        let after = self.pairs.len() - back;
        if !(same_names && count == back) {
            if count + after > limits.labels_per_series {
                return None;
            }
            if let Some(first) = self.pairs.get(back) {
                let first = symbols.get(first.name)?;
                if !self.comes_behind(first, count, back, symbols, body) {
                    return None;
                }
            }
        }
        if after > 0 {
            let back_from = self.labels.len as usize - back_text;
            if self.metric >= back {
                metric = Some(self.metric - back + count);
                let shift = ((body.len() - start) as u32).wrapping_sub(back_from as u32);
                name.start = name.start.wrapping_add(shift);
            }
            body.extend_from_within(from + back_from..from + self.labels.len as usize);
        }
        if count < back {
            self.pairs.drain(count..back);
        } else if count > back {
            self.pairs.splice(back..back, self.more.drain(..));
        }
        self.metric = metric?;
        self.wire = wire;
        self.labels = span(start, body.len() - start);
        self.name = name;
        let value = self.pairs[self.metric].value;
        Some(self.found(value))
    }

    /// True if a label that becomes the one with index `at` sorts behind the one in front of it. Of
    /// the new labels, those from `back` on are in `more`.
    fn comes_behind(
        &self,
        label: &Symbol,
        at: usize,
        back: usize,
        symbols: &Symbols,
        body: &[u8],
    ) -> bool {
        let before = match self.more.last() {
            None => at.min(back).checked_sub(1).map(|i| self.pairs[i]),
            before => before.copied(),
        };
        let before = before.and_then(|before| symbols.get(before.name));
        before.is_none_or(|before| before.sorts_before(label, body))
    }

    fn found(&self, metric: u32) -> Labels {
        Labels {
            labels: self.labels,
            name: self.name,
            metric: Some(metric),
        }
    }
}

/// How many bytes `a` and `b` begin with alike, at most `max`, which both have.
#[inline(always)]
fn same_front(a: &[u8], b: &[u8], max: usize) -> usize {
    let mut n = 0;
    while n < max {
        let (Some(x), Some(y)) = (a[n..].first_chunk::<8>(), b[n..].first_chunk::<8>()) else {
            let same = a[n..max].iter().zip(&b[n..max]).take_while(|(x, y)| x == y);
            return n + same.count();
        };
        let differ = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differ != 0 {
            n += differ.trailing_zeros() as usize / 8;
            break;
        }
        n += 8;
    }
    n.min(max)
}

/// The same at their ends.
#[inline(always)]
fn same_back(a: &[u8], b: &[u8], max: usize) -> usize {
    let mut n = 0;
    while n < max {
        let (x, y) = (&a[..a.len() - n], &b[..b.len() - n]);
        let (Some(x), Some(y)) = (x.last_chunk::<8>(), y.last_chunk::<8>()) else {
            let same = x
                .iter()
                .rev()
                .zip(y.iter().rev())
                .take_while(|(x, y)| x == y);
            return (n + same.count()).min(max);
        };
        let differ = u64::from_le_bytes(*x) ^ u64::from_le_bytes(*y);
        if differ != 0 {
            n += differ.leading_zeros() as usize / 8;
            break;
        }
        n += 8;
    }
    n.min(max)
}

/// The reference at `at`. As everywhere in protobuf, of a number that is too large the low bits
/// count.
#[inline(always)]
pub(super) fn reference(msg: &[u8], at: &mut usize) -> Option<u32> {
    // One or two bytes: the first 16,384 symbols.
    match msg.get(*at..)?.first_chunk::<2>() {
        Some([low, _]) if *low < 0x80 => {
            *at += 1;
            Some(u32::from(*low))
        }
        Some([low, high]) if *high < 0x80 => {
            *at += 2;
            Some(u32::from(*low & 0x7f) | u32::from(*high) << 7)
        }
        _ => Some(field::varint(msg, at).ok()? as u32),
    }
}

/// Appends one canonical label. Lengths lie in front of the symbols and are copied along.
#[inline(always)]
fn append(body: &mut Vec<u8>, name: &Symbol, value: &Symbol) {
    let (from, name_len) = with_head(name);
    let (value_from, value_len) = with_head(value);
    let inner = 2 + name_len + value_len;
    let at = body.len();
    let short = name_len <= NAME_BLOCK && value_len <= VALUE_BLOCK;
    if short && from.max(value_from) + VALUE_BLOCK <= at {
        // Where it is to be, not elsewhere first: it would be read before it is out of the
        // processor's store buffer.
        body.extend_from_slice(&[0; LABEL_BLOCK]);
        let (all, label) = body.split_at_mut(at);
        label[..3].copy_from_slice(&[0x0a, inner as u8, 0x0a]);
        label[3..3 + NAME_BLOCK].copy_from_slice(&all[from..from + NAME_BLOCK]);
        label[3 + name_len] = 0x12;
        label[4 + name_len..][..VALUE_BLOCK]
            .copy_from_slice(&all[value_from..value_from + VALUE_BLOCK]);
        body.truncate(at + 2 + inner);
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
pub(super) fn thorough(
    body: &mut Vec<u8>,
    symbols: &Symbols,
    refs: &[u32],
    limits: &LabelLimits,
) -> Result<Labels, Refusal> {
    if refs.len() >= REFERENCES_MAX {
        return Err(Refusal::TooManyLabels);
    }
    let (pairs, rest) = refs.as_chunks::<2>();
    let mut set = LabelSet::default();
    for [name, value] in pairs {
        let (Some(name), Some(value)) = (symbols.get(*name), symbols.get(*value)) else {
            return Err(Refusal::BadReference);
        };
        set.push(name.text, value.text, limits);
    }
    if !rest.is_empty() {
        return Err(Refusal::BadReference);
    }
    let (labels, name) = set.canonical(body, limits)?;
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

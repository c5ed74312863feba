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
    /// Where it ends among the packed references.
    wire_end: u32,
    /// Where it ends among the label bytes.
    text_end: u32,
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
    /// What is new of the series at hand.
    middle: Vec<Pair>,
}

impl Last {
    pub(super) fn clear(&mut self) {
        write::shrink(&mut self.pairs);
        write::shrink(&mut self.middle);
        // They lie in a body that is gone.
        (self.wire, self.labels, self.name) = Default::default();
        self.metric = 0;
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        (self.pairs.capacity() + self.middle.capacity()) * size_of::<Pair>()
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
        let fits = |pair: &&Pair| pair.wire_end as usize <= alike;
        let front = self.pairs.iter().take_while(fits).count();
        let (front_wire, front_text) = self.ends(front);
        let alike = same_back(
            &body[..now + wire_len],
            &body[..then + last_len],
            shorter - front_wire,
        );
        let mut back = self.pairs.len();
        while back > front && last_len - self.ends(back - 1).0 <= alike {
            back -= 1;
        }
        let mut middle_end = wire_len - (last_len - self.ends(back).0);
        // A number of which only the end is alike belongs to the middle.
        while back < self.pairs.len()
            && middle_end > front_wire
            && body[now + middle_end - 1] > 0x7f
        {
            back += 1;
            middle_end = wire_len - (last_len - self.ends(back).0);
        }

        // The front, as it is.
        let start = body.len();
        let from = self.labels.start as usize;
        body.extend_from_within(from..from + front_text);
        let mut metric = (self.metric < front).then_some(self.metric);
        let mut name = self.name;
        name.start = name.start - self.labels.start + start as u32;

        // The middle, label by label.
        let mut before = match front.checked_sub(1) {
            Some(i) => Some(symbols.get(self.pairs[i].name)?),
            None => None,
        };
        self.middle.clear();
        let mut at = now + front_wire;
        while at < now + middle_end {
            let (name_ref, value_ref) = (reference(body, &mut at)?, reference(body, &mut at)?);
            let (label, value) = (symbols.get(name_ref)?, symbols.get(value_ref)?);
            let sorted = before.is_none_or(|before| before.sorts_before(label, body));
            let room_left = front + self.middle.len() < limits.labels_per_series;
            if !(sorted && label.is_name && value.is_value && room_left) {
                return None;
            }
            append(body, label, value);
            if !room.has(body) {
                return None;
            }
            if label.is_metric() {
                metric = Some(front + self.middle.len());
                name = span(
                    body.len() - value.text.len as usize,
                    value.text.len as usize,
                );
            }
            self.middle.push(Pair {
                name: name_ref,
                value: value_ref,
                wire_end: (at - now) as u32,
                text_end: (body.len() - start) as u32,
            });
            before = Some(label);
        }
        let count = front + self.middle.len() + self.pairs.len() - back;
        if at != now + middle_end || count > limits.labels_per_series {
            return None;
        }

        // The back, as it is.
        let (back_wire, back_text) = self.ends(back);
        let wire_shift = (middle_end as u32).wrapping_sub(back_wire as u32);
        let text_shift = ((body.len() - start) as u32).wrapping_sub(back_text as u32);
        if let Some(first) = self.pairs.get(back) {
            let first = symbols.get(first.name)?;
            if before.is_some_and(|before| !before.sorts_before(first, body)) {
                return None;
            }
            if self.metric >= back {
                metric = Some(self.metric - back + front + self.middle.len());
                name.start = name.start.wrapping_add(text_shift);
            }
            body.extend_from_within(from + back_text..from + self.labels.len as usize);
            for pair in &mut self.pairs[back..] {
                pair.wire_end = pair.wire_end.wrapping_add(wire_shift);
                pair.text_end = pair.text_end.wrapping_add(text_shift);
            }
        }
        if self.middle.len() == back - front {
            self.pairs[front..back].copy_from_slice(&self.middle);
        } else {
            self.pairs.splice(front..back, self.middle.drain(..));
        }
        self.metric = metric?;
        self.wire = wire;
        self.labels = span(start, body.len() - start);
        self.name = name;
        let value = self.pairs[self.metric].value;
        Some(self.found(value))
    }

    fn found(&self, metric: u32) -> Labels {
        Labels {
            labels: self.labels,
            name: self.name,
            metric: Some(metric),
        }
    }

    /// Where the label before this one ends: among the references, and among the bytes.
    #[inline(always)]
    fn ends(&self, label: usize) -> (usize, usize) {
        match label.checked_sub(1) {
            Some(i) => {
                let pair = &self.pairs[i];
                (pair.wire_end as usize, pair.text_end as usize)
            }
            None => (0, 0),
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

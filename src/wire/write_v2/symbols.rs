//! The symbols of one request: where each lies, and what it may be used as.
//!
//! A symbol is looked at once, however many series refer to it: whether it is UTF-8, whether it is
//! within the limits, and how it sorts.

use crate::wire::canonical;
use crate::wire::field;
use crate::wire::walk::{is_ascii, sort_key, span, too_many};
use crate::wire::write::{self, DecodeError, ENTRIES_MAX, LabelLimits, MetricType, Span};

/// One string of the table.
#[derive(Debug, Clone, Copy)]
pub(super) struct Symbol {
    pub(super) text: Span,
    /// See [`sort_key`].
    pub(super) key: u64,
    /// Bytes of its length in front of it, which are copied along with it.
    pub(super) head: u8,
    /// May stand as a label's name, or value, in canonical bytes as it lies. One that may not is
    /// looked at thoroughly wherever it is used.
    pub(super) is_name: bool,
    pub(super) is_value: bool,
    /// The type with which this metric's family was last noted in the request.
    pub(super) noted: Option<MetricType>,
}

impl Symbol {
    pub(super) fn is_metric(&self) -> bool {
        self.text.len as usize == canonical::NAME.len() && self.key == crate::wire::walk::NAME_KEY
    }

    /// True if this name sorts before `next`.
    #[inline(always)]
    pub(super) fn sorts_before(&self, next: &Self, body: &[u8]) -> bool {
        self.key < next.key || self.key == next.key && self.text.of(body) < next.text.of(body)
    }
}

/// All of them, in order.
#[derive(Debug, Default)]
pub(super) struct Symbols(Vec<Symbol>);

impl Symbols {
    pub(super) fn clear(&mut self) {
        write::shrink(&mut self.0);
    }

    pub(super) fn capacity_bytes(&self) -> usize {
        self.0.capacity() * size_of::<Symbol>()
    }

    #[inline(always)]
    pub(super) fn get(&self, reference: u32) -> Option<&Symbol> {
        self.0.get(reference as usize)
    }

    /// True if help text, unit or a label of an exemplar can be looked up. 0 stands for absent.
    pub(super) fn has(&self, reference: u32) -> bool {
        reference == 0 || (reference as usize) < self.0.len()
    }

    /// Notes that the metric of this name was announced with this type; false if it was already.
    pub(super) fn note(&mut self, reference: u32, kind: MetricType) -> bool {
        let Some(symbol) = self.0.get_mut(reference as usize) else {
            return true;
        };
        symbol.noted.replace(kind) != Some(kind)
    }

    /// Adds the string whose length is at `head` and whose bytes are at `at..end`.
    ///
    /// # Errors
    /// If there are more than [`ENTRIES_MAX`].
    pub(super) fn push(
        &mut self,
        msg: &[u8],
        head: usize,
        at: usize,
        end: usize,
        limits: &LabelLimits,
    ) -> Result<(), DecodeError> {
        if self.0.len() >= ENTRIES_MAX {
            return too_many("symbols");
        }
        let text = &msg[at..end];
        let len = text.len();
        let minimal = at - head == field::varint_len(len as u64);
        let usable = minimal && len > 0 && (is_ascii(text) || std::str::from_utf8(text).is_ok());
        self.0.push(Symbol {
            text: span(at, len),
            key: sort_key(msg, at, len),
            head: (at - head) as u8,
            is_name: usable && len <= limits.name_bytes,
            is_value: usable && len <= limits.value_bytes,
            noted: None,
        });
        Ok(())
    }
}

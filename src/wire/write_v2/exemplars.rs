//! The message `Exemplar` of 2.0.

use super::super::exemplar::Labels;
use super::super::field::{self, Wire};
use super::super::walk::{OVERRUN, WRONG_TYPE, broken};
use super::super::write::{DecodeError, Span};
use super::symbols::Symbols;

/// Walks one message: its references go to `reference`; gives value and time.
fn walk(
    msg: &[u8],
    mut at: usize,
    end: usize,
    mut reference: impl FnMut(u32),
) -> Result<(f64, i64), DecodeError> {
    let (mut value, mut timestamp_ms) = (0.0, 0);
    while at < end {
        let start = at;
        match field::tag(msg, &mut at)? {
            (1, Wire::Len) => {
                let refs_end = field::len(msg, &mut at)?;
                while at < refs_end {
                    reference(field::varint(msg, &mut at)? as u32);
                }
                if at != refs_end {
                    return broken(OVERRUN, refs_end);
                }
            }
            (1, Wire::Varint) => reference(field::varint(msg, &mut at)? as u32),
            (2, Wire::Fixed64) => value = f64::from_bits(field::fixed64(msg, &mut at)?),
            (3, Wire::Varint) => timestamp_ms = field::varint(msg, &mut at)? as i64,
            (1..=3, _) => return broken(WRONG_TYPE, start),
            (_, wire) => field::skip(msg, &mut at, wire)?,
        }
    }
    if at != end {
        return broken(OVERRUN, end);
    }
    Ok((value, timestamp_ms))
}

/// False if one of its references is to nothing, or if a name has no value.
pub(super) fn is_good(
    msg: &[u8],
    at: usize,
    end: usize,
    symbols: &Symbols,
) -> Result<bool, DecodeError> {
    let (mut refs, mut found) = (0u32, true);
    walk(msg, at, end, |reference| {
        refs = refs.wrapping_add(1);
        found &= symbols.get(reference).is_some();
    })?;
    Ok(found && refs.is_multiple_of(2))
}

/// Labels, value and time of one that is good.
pub(super) fn read(
    msg: &[u8],
    message: Span,
    symbols: &Symbols,
) -> Result<(Labels, f64, i64), DecodeError> {
    let at = message.start as usize;
    let (mut labels, mut name) = (Labels::default(), None);
    let (value, timestamp_ms) = walk(msg, at, at + message.len as usize, |reference| {
        let text = symbols.get(reference).map_or(Span::default(), |s| s.text);
        match name.take() {
            None => name = Some(text),
            Some(name) => labels.push(name, text),
        }
    })?;
    Ok((labels, value, timestamp_ms))
}

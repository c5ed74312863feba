//! Varints, tags and lengths of the protobuf wire format, read from a slice at a position.
//!
//! What always holds: nothing here reads outside the slice, allocates or panics; after an error the
//! position is of no use. What it does not know: messages. A reader may run past the end of the
//! message it is in as long as it stays in the slice; who walks a message compares the position
//! with its end (`at == end`) after the last field.
//!
//! Groups (wire types 3 and 4) are no part of proto3, but a parser must be able to step over them as
//! over every field that it does not know.

/// Why bytes are not a protobuf field.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{what} at byte {at}")]
pub struct FieldError {
    pub what: &'static str,
    /// Offset in the slice.
    pub at: usize,
}

/// How the value of a field is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Varint,
    Fixed64,
    Len,
    Fixed32,
    /// The start of the group with this field number.
    Group(u32),
}

/// Groups within groups. Nobody sends any; protobuf's own parsers stop at 100 levels of anything.
pub const GROUPS_NESTED_MAX: usize = 64;

const TRUNCATED: &str = "truncated field";

#[cold]
fn error<T>(what: &'static str, at: usize) -> Result<T, FieldError> {
    Err(FieldError { what, at })
}

/// An unsigned varint of up to ten bytes.
///
/// # Errors
/// If it is cut off or does not fit 64 bits.
#[inline(always)]
pub fn varint(buf: &[u8], at: &mut usize) -> Result<u64, FieldError> {
    match buf.get(*at) {
        Some(&byte) if byte < 0x80 => {
            *at += 1;
            Ok(u64::from(byte))
        }
        _ => longer_varint(buf, at),
    }
}

fn longer_varint(buf: &[u8], at: &mut usize) -> Result<u64, FieldError> {
    long_varint(buf, at)
}

/// As [`varint`], for numbers that are seldom below 128, as timestamps are: six bytes, read at once
/// where the slice has eight.
///
/// # Errors
/// Those of [`varint`].
#[inline(always)]
pub fn long_varint(buf: &[u8], at: &mut usize) -> Result<u64, FieldError> {
    if let Some(word) = buf.get(*at..).and_then(|rest| rest.first_chunk::<8>()) {
        let word = u64::from_le_bytes(*word);
        let ends = !word & 0x8080_8080_8080_8080;
        if ends != 0 {
            // All bits up to and including the first byte without its top bit.
            let kept = word & (ends ^ (ends - 1));
            *at += ends.trailing_zeros() as usize / 8 + 1;
            let x = kept & 0x7f7f_7f7f_7f7f_7f7f;
            let x = (x & 0x007f_007f_007f_007f) | ((x & 0x7f00_7f00_7f00_7f00) >> 1);
            let x = (x & 0x0000_3fff_0000_3fff) | ((x & 0x3fff_0000_3fff_0000) >> 2);
            return Ok((x & 0x0fff_ffff) | ((x & 0x0fff_ffff_0000_0000) >> 4));
        }
    }
    varint_by_byte(buf, at)
}

fn varint_by_byte(buf: &[u8], at: &mut usize) -> Result<u64, FieldError> {
    let start = *at;
    let mut value = 0u64;
    for i in 0..10 {
        let Some(&byte) = buf.get(start + i) else {
            return error(TRUNCATED, start);
        };
        if i == 9 && byte > 1 {
            break;
        }
        value |= u64::from(byte & 0x7f) << (7 * i);
        if byte < 0x80 {
            *at = start + i + 1;
            return Ok(value);
        }
    }
    error("number of more than 64 bits", start)
}

/// The number and the wire type of a field.
///
/// # Errors
/// If the tag is cut off, has field number 0, is too large, or ends a group that did not start.
#[inline]
pub fn tag(buf: &[u8], at: &mut usize) -> Result<(u32, Wire), FieldError> {
    let start = *at;
    match tag_or_end(buf, at)? {
        (number, Some(wire)) => Ok((number, wire)),
        (_, None) => error("end of a group that did not start", start),
    }
}

/// As [`tag`]; `None` for the end of a group.
#[inline]
fn tag_or_end(buf: &[u8], at: &mut usize) -> Result<(u32, Option<Wire>), FieldError> {
    let start = *at;
    let tag = varint(buf, at)?;
    let Ok(tag) = u32::try_from(tag) else {
        return error("field number is too large", start);
    };
    if tag < 8 {
        return error("field number 0", start);
    }
    let wire = match tag & 7 {
        0 => Wire::Varint,
        1 => Wire::Fixed64,
        2 => Wire::Len,
        5 => Wire::Fixed32,
        3 => Wire::Group(tag >> 3),
        4 => return Ok((tag >> 3, None)),
        _ => return error("unknown wire type", start),
    };
    Ok((tag >> 3, Some(wire)))
}

/// The end of a length-delimited value that starts behind the length now at `at`.
///
/// # Errors
/// If the length is cut off or reaches behind the slice.
#[inline(always)]
pub fn len(buf: &[u8], at: &mut usize) -> Result<usize, FieldError> {
    let start = *at;
    let len = varint(buf, at)?;
    if len > (buf.len() - *at) as u64 {
        return error("length beyond the end", start);
    }
    Ok(*at + len as usize)
}

/// Eight bytes, least significant first.
///
/// # Errors
/// If they are cut off.
#[inline(always)]
pub fn fixed64(buf: &[u8], at: &mut usize) -> Result<u64, FieldError> {
    match buf.get(*at..).and_then(|rest| rest.first_chunk::<8>()) {
        Some(bytes) => {
            *at += 8;
            Ok(u64::from_le_bytes(*bytes))
        }
        None => error(TRUNCATED, *at),
    }
}

/// Steps over a value of any wire type.
///
/// # Errors
/// If it is cut off or malformed.
pub fn skip(buf: &[u8], at: &mut usize, wire: Wire) -> Result<(), FieldError> {
    match wire {
        Wire::Varint => varint(buf, at).map(drop),
        Wire::Fixed64 => fixed64(buf, at).map(drop),
        Wire::Len => {
            *at = len(buf, at)?;
            Ok(())
        }
        Wire::Fixed32 => {
            if buf.len() - *at < 4 {
                return error(TRUNCATED, *at);
            }
            *at += 4;
            Ok(())
        }
        Wire::Group(number) => skip_group(buf, at, number),
    }
}

/// Steps over the rest of a group whose start was read.
#[cold]
fn skip_group(buf: &[u8], at: &mut usize, number: u32) -> Result<(), FieldError> {
    let mut open = [number; GROUPS_NESTED_MAX];
    let mut depth = 1;
    while depth > 0 {
        let start = *at;
        match tag_or_end(buf, at)? {
            (number, None) if number == open[depth - 1] => depth -= 1,
            (_, None) => return error("end of another group", start),
            (number, Some(Wire::Group(_))) => {
                if depth == GROUPS_NESTED_MAX {
                    return error("group in too many groups", start);
                }
                open[depth] = number;
                depth += 1;
            }
            (_, Some(wire)) => skip(buf, at, wire)?,
        }
    }
    Ok(())
}

/// Appends a varint in as few bytes as it needs.
pub fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that [`put_varint`] needs for `value`.
pub fn varint_len(value: u64) -> usize {
    (70 - (value | 1).leading_zeros() as usize) / 7
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<(u64, usize), FieldError> {
        let mut at = 0;
        varint(bytes, &mut at).map(|v| (v, at))
    }

    #[test]
    fn varints_of_every_length_come_back_at_both_ends_of_a_buffer() {
        for shift in 0..64 {
            for value in [1u64 << shift, (1u64 << shift) - 1, u64::MAX >> shift] {
                let mut bytes = Vec::new();
                put_varint(&mut bytes, value);
                assert_eq!(varint_len(value), bytes.len());
                let len = bytes.len();
                assert_eq!(read(&bytes), Ok((value, len)));
                for filler in [0x00, 0xff] {
                    bytes.resize(len + 12, filler);
                    assert_eq!(read(&bytes), Ok((value, len)), "{value} before {filler}");
                    bytes.truncate(len);
                }
            }
        }
    }

    #[test]
    fn varints_that_are_not_minimal_are_read_and_overlong_ones_refused() {
        assert_eq!(read(b"\x81\x00"), Ok((1, 2)));
        assert_eq!(
            read(b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x00"),
            Ok((0, 10))
        );
        assert!(read(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02").is_err());
        assert!(read(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x81\x00").is_err());
        for cut in 0..10 {
            assert!(read(&[0xff; 9][..cut.min(9)]).is_err());
        }
    }

    #[test]
    fn every_wire_type_is_stepped_over() {
        for (bytes, wire) in [
            (&b"\x08\x96\x01"[..], Wire::Varint),
            (b"\x0912345678", Wire::Fixed64),
            (b"\x0a\x02ab", Wire::Len),
            (b"\x0d1234", Wire::Fixed32),
            (b"\x0b\x0c", Wire::Group(1)),
            (b"\x0b\x08\x05\x13\x1a\x01x\x14\x0c", Wire::Group(1)),
        ] {
            let mut at = 0;
            assert_eq!(tag(bytes, &mut at), Ok((1, wire)));
            assert_eq!(skip(bytes, &mut at, wire), Ok(()));
            assert_eq!(at, bytes.len());
            for cut in 1..bytes.len() {
                let mut at = 1;
                assert!(skip(&bytes[..cut], &mut at, wire).is_err());
            }
        }
        for bad in [
            &b"\x0c"[..],
            b"\x0e",
            b"\x0f",
            b"\x02",
            b"\xff\xff\xff\xff\x7f",
            b"",
        ] {
            assert!(tag(bad, &mut 0).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn groups_end_as_they_started_and_nest_to_a_limit() {
        let read = |bytes: &[u8]| {
            let mut at = 0;
            let (_, wire) = tag(bytes, &mut at)?;
            skip(bytes, &mut at, wire).map(|()| at)
        };
        assert!(read(b"\x0b\x14").is_err(), "end of another group");
        assert!(read(b"\x0b\x13\x0c\x14").is_err(), "crossed");
        let nested = |n: usize| [vec![0x0b; n], vec![0x0c; n]].concat();
        for n in [1, 2, GROUPS_NESTED_MAX] {
            assert_eq!(read(&nested(n)), Ok(2 * n));
        }
        assert!(read(&nested(GROUPS_NESTED_MAX + 1)).is_err());
        assert!(read(&vec![0x0b; 1 << 20]).is_err());
    }

    #[test]
    fn a_length_never_reaches_behind_the_slice() {
        assert_eq!(len(b"\x02ab", &mut 0), Ok(3));
        assert!(len(b"\x03ab", &mut 0).is_err());
        assert!(len(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", &mut 0).is_err());
    }
}

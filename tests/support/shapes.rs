//! Protobuf messages of every odd shape that the format allows, for the tests of both decoders.

use proptest::prelude::*;
use saimon::wire::field::put_varint;
use saimon::wire::write::LabelLimits;

/// Small enough that generated labels break them now and then.
pub(crate) const LIMITS: LabelLimits = LabelLimits {
    labels_per_series: 5,
    name_bytes: 8,
    value_bytes: 140,
};

/// As in production: none of the generated labels is over these.
pub(crate) const WIDE: LabelLimits = LabelLimits {
    labels_per_series: 128,
    name_bytes: 1024,
    value_bytes: 8192,
};

/// How a field deviates from what senders write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Odd {
    /// Bytes by which its tag and its length are longer than they need be.
    pub(crate) padding: (usize, usize),
    /// A field that no message has in front of it: number, and kind as 0 to 4.
    pub(crate) unknown: Option<(u32, u8)>,
}

pub(crate) fn odd() -> impl Strategy<Value = Odd> {
    let padding = prop_oneof![12 => Just((0, 0)), 1 => (0..3usize, 0..3usize)];
    let unknown = prop_oneof![12 => Just(None), 1 => (20..60u32, 0..5u8).prop_map(Some)];
    (padding, unknown).prop_map(|(padding, unknown)| Odd { padding, unknown })
}

pub(crate) fn padded_varint(out: &mut Vec<u8>, value: u64, padding: usize) {
    put_varint(out, value);
    if padding > 0 && out.len() < 1 << 30 {
        *out.last_mut().unwrap() |= 0x80;
        out.extend(std::iter::repeat_n(0x80, padding - 1));
        out.push(0);
    }
}

/// Writes one field, with what is odd about it.
pub(crate) fn put(out: &mut Vec<u8>, number: u32, wire: u8, payload: &[u8], odd: Odd) {
    if let Some((number, kind)) = odd.unknown {
        // Some that are beyond a one-byte tag, too.
        let wire = [0, 1, 2, 5, 3][usize::from(kind)];
        put_varint(out, u64::from(number << 3 | wire));
        out.extend_from_slice(
            [
                &b"\x96\x01"[..],
                b"12345678",
                b"\x03xyz",
                b"1234",
                b"\x0a\x01x\x13\x08\x07\x14",
            ][usize::from(kind)],
        );
        if wire == 3 {
            put_varint(out, u64::from(number << 3 | 4));
        }
    }
    padded_varint(out, u64::from(number << 3 | u32::from(wire)), odd.padding.0);
    if wire == 2 {
        padded_varint(out, payload.len() as u64, odd.padding.1);
    }
    out.extend_from_slice(payload);
}

/// A message of fields in the order given: (number, wire type, payload, oddness).
pub(crate) type Fields = Vec<(u32, u8, Vec<u8>, Odd)>;

pub(crate) fn message(fields: &Fields) -> Vec<u8> {
    let mut out = Vec::new();
    for (number, wire, payload, odd) in fields {
        put(&mut out, *number, *wire, payload, *odd);
    }
    out
}

pub(crate) fn text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        3 => "[a-d_]{0,3}",
        2 => Just("__name__".to_owned()),
        1 => "[a-z]{7,10}",
        1 => "\\PC{1,3}",
        1 => "[xy]{120,142}",
    ]
    .prop_map(String::into_bytes)
}

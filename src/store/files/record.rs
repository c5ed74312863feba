//! One value in a file of values, and the pointer to it that sled has in its place.
//!
//! ```text
//! 0   form of the value: as it is, or a zstd frame     1 byte
//! 1   length of the key                                1
//! 2   length of the value                              4
//! 6   length of the value as it is stored              4
//! 10  xxh3-64 of bytes 0..10, key and stored value     8
//! 18  key, stored value
//! ```
//!
//! Numbers are little-endian. The key is there so that a file can be read without sled: whoever moves
//! what is still pointed to asks sled for the keys that it finds.

use xxhash_rust::xxh3::Xxh3;
use zstd::bulk::{Compressor, Decompressor};

/// Bytes before the key.
const HEADER: usize = 18;
const CHECKED: usize = 10;

/// Bytes of a pointer.
const POINTER: usize = 16;

/// The value as it is.
const PLAIN: u8 = 0;
/// The value as a zstd frame.
const ZSTD: u8 = 1;

/// Level 1 halves the states of groups at some hundred megabytes a second; higher levels take twice
/// the time for a few per cent.
const LEVEL: i32 = 1;

/// A longer value is never written: parts of states have 96 KiB, appendices some 100 KiB. Bounds what
/// is made room for on the word of a file.
const VALUE_MAX: usize = 64 * 1024 * 1024;
/// A longer record is none.
pub(super) const LENGTH_MAX: usize = HEADER + u8::MAX as usize + VALUE_MAX;

/// Where a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) struct Pointer {
    /// Number of the file.
    pub(super) file: u64,
    pub(super) offset: u32,
    /// Of the whole record.
    pub(super) length: u32,
}

impl Pointer {
    pub(in crate::store) fn encode(self) -> [u8; POINTER] {
        let mut out = [0; POINTER];
        out[..8].copy_from_slice(&self.file.to_le_bytes());
        out[8..12].copy_from_slice(&self.offset.to_le_bytes());
        out[12..].copy_from_slice(&self.length.to_le_bytes());
        out
    }

    pub(in crate::store) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; POINTER] = bytes.try_into().ok()?;
        Some(Self {
            file: u64::from_le_bytes(*bytes.first_chunk()?),
            offset: u32_at(bytes, 8)?,
            length: u32_at(bytes, 12)?,
        })
    }
}

/// A record as it lies in a file.
#[derive(Debug, Clone, Copy)]
pub(super) struct Record<'a> {
    pub(super) key: &'a [u8],
    pub(super) bytes: &'a [u8],
    form: u8,
    raw: usize,
    stored: &'a [u8],
}

impl<'a> Record<'a> {
    /// The record that `bytes` begin with; `None` if they do not begin with a whole one.
    pub(super) fn first(bytes: &'a [u8]) -> Option<Self> {
        let header: &[u8; HEADER] = bytes.first_chunk()?;
        let key = usize::from(header[1]);
        let raw = u32_at(header, 2)? as usize;
        let stored = u32_at(header, 6)? as usize;
        let bytes = bytes.get(..HEADER.checked_add(key)?.checked_add(stored)?)?;
        let (key, stored) = bytes[HEADER..].split_at(key);
        if header[CHECKED..] != checksum(&header[..CHECKED], key, stored).to_le_bytes() {
            return None;
        }
        Some(Self {
            key,
            bytes,
            form: header[0],
            raw,
            stored,
        })
    }

    /// The value; `None` if it is in a form that is not known.
    pub(super) fn value(&self, decompressor: &mut Decompressor<'_>) -> Option<Vec<u8>> {
        match self.form {
            PLAIN => Some(self.stored.to_vec()),
            ZSTD if self.raw <= VALUE_MAX => {
                let value = decompressor.decompress(self.stored, self.raw).ok()?;
                (value.len() == self.raw).then_some(value)
            }
            _ => None,
        }
    }
}

/// Appends a record to `out`. False if the value is too long for one; nothing is appended then.
pub(super) fn append(
    key: &[u8],
    value: &[u8],
    compressor: &mut Compressor<'_>,
    out: &mut Vec<u8>,
) -> bool {
    let (Ok(key_len), Ok(raw)) = (u8::try_from(key.len()), u32::try_from(value.len())) else {
        return false;
    };
    if value.len() > VALUE_MAX {
        return false;
    }
    let packed = compressor.compress(value).ok();
    let packed = packed.filter(|packed| packed.len() < value.len());
    let form = if packed.is_some() { ZSTD } else { PLAIN };
    let stored = packed.as_deref().unwrap_or(value);
    let from = out.len();
    out.push(form);
    out.push(key_len);
    out.extend_from_slice(&raw.to_le_bytes());
    // Not longer than the value.
    out.extend_from_slice(&(stored.len() as u32).to_le_bytes());
    let checksum = checksum(&out[from..], key, stored);
    out.extend_from_slice(&checksum.to_le_bytes());
    out.extend_from_slice(key);
    out.extend_from_slice(stored);
    true
}

pub(super) fn compressor() -> std::io::Result<Compressor<'static>> {
    Compressor::new(LEVEL)
}

fn checksum(header: &[u8], key: &[u8], stored: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(header);
    hash.update(key);
    hash.update(stored);
    hash.digest()
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_le_bytes(bytes.get(at..)?.first_chunk().copied()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(key: &[u8], value: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        assert!(append(key, value, &mut compressor().unwrap(), &mut out));
        out
    }

    fn value(bytes: &[u8]) -> Option<Vec<u8>> {
        Record::first(bytes)?.value(&mut Decompressor::new().unwrap())
    }

    #[test]
    fn comes_back_as_it_was_and_packed_if_that_is_shorter() {
        let mut rng = fastrand::Rng::with_seed(1);
        let noise: Vec<u8> = (0..1000).map(|_| rng.u8(..)).collect();
        for (plain, is_shorter) in [
            (&b""[..], false),
            (b"x", false),
            (&noise, false),
            (&[7; 1000], true),
        ] {
            let bytes = record(b"key", plain);
            assert_eq!(value(&bytes).as_deref(), Some(plain));
            assert_eq!(bytes.len() < HEADER + 3 + plain.len(), is_shorter);
            let mut more = bytes.clone();
            more.extend_from_slice(b"what follows");
            assert_eq!(Record::first(&more).unwrap().bytes, bytes);
            assert_eq!(Record::first(&more).unwrap().key, b"key");
        }
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        for plain in [&b"some payload"[..], &[3; 200]] {
            let good = record(b"key", plain);
            for bit in 0..good.len() * 8 {
                let mut bad = good.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                assert_eq!(value(&bad), None, "bit {bit}");
            }
            for len in 0..good.len() {
                assert_eq!(value(&good[..len]), None, "cut to {len}");
            }
        }
    }

    #[test]
    fn a_pointer_comes_back() {
        let pointer = Pointer {
            file: 1 << 40,
            offset: 8,
            length: u32::MAX,
        };
        assert_eq!(Pointer::decode(&pointer.encode()), Some(pointer));
        assert_eq!(Pointer::decode(&pointer.encode()[1..]), None);
    }
}

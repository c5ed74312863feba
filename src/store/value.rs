//! The seal around every stored value: a version byte, a checksum, the payload.
//!
//! sled has checksums of its own, of pages. This one covers what sled itself may get wrong: a value
//! under another value's key, or one put together from two writes.

use xxhash_rust::xxh3::Xxh3;

/// Bytes before the payload: version, xxh3-64 little-endian.
const HEADER: usize = 1 + 8;

/// Why a stored value cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum ValueError {
    #[error("it is cut short")]
    Short,
    #[error("it has version {found}, this saimon reads version {known}")]
    Version { found: u8, known: u8 },
    #[error("its checksum is wrong")]
    Checksum,
    #[error("it cannot be decoded: {0}")]
    Decode(String),
}

/// The payload as it is stored under `key`.
pub(super) fn seal(version: u8, key: &[u8], payload: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER + payload.len());
    out.push(version);
    out.extend_from_slice(&checksum(version, key, payload).to_le_bytes());
    out.extend_from_slice(payload);
    out
}

/// The payload of a value stored under `key`.
pub(super) fn open<'a>(known: u8, key: &[u8], sealed: &'a [u8]) -> Result<&'a [u8], ValueError> {
    let (found, payload) = open_any(known, key, sealed)?;
    if found != known {
        return Err(ValueError::Version { found, known });
    }
    Ok(payload)
}

/// Version and payload of a value stored under `key`, in any version up to `newest`.
pub(super) fn open_any<'a>(
    newest: u8,
    key: &[u8],
    sealed: &'a [u8],
) -> Result<(u8, &'a [u8]), ValueError> {
    let (header, payload) = sealed.split_at_checked(HEADER).ok_or(ValueError::Short)?;
    let found = header[0];
    if found > newest {
        let known = newest;
        return Err(ValueError::Version { found, known });
    }
    if header[1..] != checksum(found, key, payload).to_le_bytes() {
        return Err(ValueError::Checksum);
    }
    Ok((found, payload))
}

fn checksum(version: u8, key: &[u8], payload: &[u8]) -> u64 {
    let mut hash = Xxh3::new();
    hash.update(&[version]);
    hash.update(key);
    hash.update(payload);
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comes_back_as_it_was() {
        assert_eq!(
            open(3, b"k", &seal(3, b"k", b"payload")),
            Ok(&b"payload"[..])
        );
        assert_eq!(open(3, b"k", &seal(3, b"k", b"")), Ok(&b""[..]));
    }

    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let sealed = seal(1, b"key", b"some payload");
        for bit in 0..sealed.len() * 8 {
            let mut bad = sealed.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            assert!(open(1, b"key", &bad).is_err(), "bit {bit}");
        }
        for len in 0..sealed.len() {
            assert!(open(1, b"key", &sealed[..len]).is_err(), "cut to {len}");
        }
    }

    #[test]
    fn another_key_or_version_is_noticed() {
        let sealed = seal(1, b"key", b"payload");
        assert_eq!(open(1, b"kex", &sealed), Err(ValueError::Checksum));
        assert_eq!(
            open(2, b"key", &sealed),
            Err(ValueError::Version { found: 1, known: 2 })
        );
        assert_eq!(open_any(2, b"key", &sealed), Ok((1, &b"payload"[..])));
        assert_eq!(
            open_any(0, b"key", &sealed),
            Err(ValueError::Version { found: 1, known: 0 })
        );
    }
}

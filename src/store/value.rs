//! The seal around every stored value: a version byte, a checksum, the payload.
//!
//! sled has checksums of its own, of pages. This one covers what sled itself may get wrong: a value
//! under another value's key, or one put together from two writes.

use std::io::{self, Seek, Write};

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

/// Seals a value that is too long to be held whole: the payload is written piece by piece, and the
/// header when it is complete.
pub(super) struct Sealer<W> {
    version: u8,
    hash: Xxh3,
    to: W,
}

impl<W: Write + Seek> Sealer<W> {
    /// Begins at the beginning of `to`, which is empty.
    pub(super) fn new(version: u8, key: &[u8], mut to: W) -> io::Result<Self> {
        to.write_all(&[0; HEADER])?;
        let mut hash = Xxh3::new();
        hash.update(&[version]);
        hash.update(key);
        Ok(Self { version, hash, to })
    }

    /// Gives back what has the whole value then.
    pub(super) fn finish(mut self) -> io::Result<W> {
        self.to.seek(io::SeekFrom::Start(0))?;
        self.to.write_all(&[self.version])?;
        self.to.write_all(&self.hash.digest().to_le_bytes())?;
        self.to.flush()?;
        Ok(self.to)
    }
}

impl<W: Write> Write for Sealer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.to.write(bytes)?;
        self.hash.update(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
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
    fn piece_by_piece_is_the_same() {
        let mut sealer = Sealer::new(3, b"k", io::Cursor::new(Vec::new())).unwrap();
        for piece in [&b"pay"[..], b"", b"load"] {
            sealer.write_all(piece).unwrap();
        }
        let sealed = sealer.finish().unwrap().into_inner();
        assert_eq!(sealed, seal(3, b"k", b"payload"));
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

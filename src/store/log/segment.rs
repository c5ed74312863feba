//! One file of the log: its name and what stands at its beginning.
//!
//! ```text
//! 0   magic                     8 bytes
//! 8   version                   2
//! 10  zero                      2
//! 12  salt of the log           8
//! 20  number of the file        8
//! 28  sequence number of the first record that goes in   8
//! 36  checksum of 0..36         4
//! 64  the same 40 bytes again
//! 128 records
//! ```
//!
//! Magic and version keep their places in every version to come, so that an older saimon can say
//! that it is older. The second copy is there because without a salt no record of the file can be
//! checked: one flipped bit must not cost a whole file.

/// Bytes before the first record.
pub(super) const HEADER: usize = 128;

/// Where the second copy begins.
const COPY: usize = 64;
const LEN: usize = 40;
const MAGIC: [u8; 8] = *b"\x89smnlog\n";

/// The version that this saimon writes.
pub(super) const VERSION: u16 = 1;

/// What a segment says of itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) salt: u64,
    pub(super) number: u64,
    /// No record in this segment has a smaller sequence number.
    pub(super) first_seq: u64,
}

/// Why a beginning is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    Damaged,
    /// Written by a newer saimon.
    Version(u16),
}

impl Header {
    pub(super) fn bytes(&self) -> [u8; HEADER] {
        let mut one = [0; LEN];
        one[..8].copy_from_slice(&MAGIC);
        one[8..10].copy_from_slice(&VERSION.to_le_bytes());
        one[12..20].copy_from_slice(&self.salt.to_le_bytes());
        one[20..28].copy_from_slice(&self.number.to_le_bytes());
        one[28..36].copy_from_slice(&self.first_seq.to_le_bytes());
        let sum = crc32c::crc32c(&one[..36]);
        one[36..].copy_from_slice(&sum.to_le_bytes());
        let mut out = [0; HEADER];
        out[..LEN].copy_from_slice(&one);
        out[COPY..COPY + LEN].copy_from_slice(&one);
        out
    }

    /// Reads the beginning of a file, which may be shorter than [`HEADER`].
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, Unreadable> {
        let first = Self::parse_one(bytes.get(..LEN));
        let second = || Self::parse_one(bytes.get(COPY..COPY + LEN));
        first.or_else(|first| second().map_err(|second| first.max_version(second)))
    }

    fn parse_one(bytes: Option<&[u8]>) -> Result<Self, Unreadable> {
        let bytes: &[u8; LEN] = bytes
            .and_then(|b| b.try_into().ok())
            .ok_or(Unreadable::Damaged)?;
        let long = |at: usize| u64::from_le_bytes([0, 1, 2, 3, 4, 5, 6, 7].map(|i| bytes[at + i]));
        if bytes[..8] != MAGIC {
            return Err(Unreadable::Damaged);
        }
        // All but the version is judged as if it were ours: one flipped bit makes no newer saimon.
        let sum = crc32c::crc32c_append(crc32c::crc32c(&bytes[..8]), &VERSION.to_le_bytes());
        if bytes[36..] != crc32c::crc32c_append(sum, &bytes[10..36]).to_le_bytes() {
            return Err(match u16::from_le_bytes([bytes[8], bytes[9]]) {
                version if version > VERSION => Unreadable::Version(version),
                _ => Unreadable::Damaged,
            });
        }
        Ok(Self {
            salt: long(12),
            number: long(20),
            first_seq: long(28),
        })
    }
}

impl Unreadable {
    fn max_version(self, other: Self) -> Self {
        match (self, other) {
            (Self::Version(a), Self::Version(b)) => Self::Version(a.max(b)),
            (Self::Version(v), Self::Damaged) | (Self::Damaged, Self::Version(v)) => {
                Self::Version(v)
            }
            (Self::Damaged, Self::Damaged) => Self::Damaged,
        }
    }
}

/// The name of a segment; names sort as numbers do.
pub(super) fn name(number: u64) -> String {
    format!("{number:016x}.log")
}

/// The number in a name; `None` for other files.
pub(super) fn number(name: &str) -> Option<u64> {
    let number = u64::from_str_radix(name.strip_suffix(".log")?, 16).ok()?;
    (self::name(number) == name).then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HEAD: Header = Header {
        salt: 0x0123_4567_89ab_cdef,
        number: 5,
        first_seq: 1 << 50,
    };

    #[test]
    fn any_one_flipped_bit_is_harmless_and_both_copies_lost_is_noticed() {
        let bytes = HEAD.bytes();
        assert_eq!(Header::parse(&bytes), Ok(HEAD));
        for bit in 0..HEADER * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(&bad), Ok(HEAD), "bit {bit}");
            bad[COPY..].fill(0);
            let alone = Header::parse(&bad);
            let harmless = bit >= LEN * 8 || (64..80).contains(&bit);
            assert_eq!(alone.is_ok(), harmless, "bit {bit}");
        }
        for len in 0..LEN {
            assert_eq!(Header::parse(&bytes[..len]), Err(Unreadable::Damaged));
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut newer = HEAD.bytes();
        newer[8] = 9;
        newer[COPY + 8] = 9;
        assert_eq!(Header::parse(&newer), Ok(HEAD), "damage");
        newer[36] ^= 1;
        assert_eq!(Header::parse(&newer), Ok(HEAD), "damage of both copies");
        newer[COPY + 36] ^= 1;
        assert_eq!(Header::parse(&newer), Err(Unreadable::Version(9)));
        newer[8] = 1;
        newer[COPY + 8] = 1;
        assert_eq!(Header::parse(&newer), Err(Unreadable::Damaged));
    }

    #[test]
    fn only_names_of_segments_have_a_number() {
        assert_eq!(number(&name(0xab)), Some(0xab));
        assert_eq!(number(&name(u64::MAX)), Some(u64::MAX));
        for other in [
            "ab.log",
            "00000000000000AB.log",
            "lock",
            "",
            "+000000000000001.log",
        ] {
            assert_eq!(number(other), None, "{other}");
        }
    }
}

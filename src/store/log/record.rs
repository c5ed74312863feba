//! One record: what a request was, with all that is needed to find and to judge it again.
//!
//! ```text
//! 0   sync word            4 bytes
//! 4   version              1
//! 5   kind                 1
//! 6   zero                 2
//! 8   length of payload    4
//! 12  sequence number      8
//! 20  checksum of payload  4
//! 24  checksum of 4..24    4
//! 28  payload
//! ```
//!
//! Numbers are little-endian, checksums crc32c (RFC 3720, appendix B.4). Two checksums, so that a
//! length can be believed before its payload is read: one broken payload costs one record, and
//! nothing is allocated for a length that was never written. Both begin with the log's salt, which
//! no sender knows: a payload that holds a well-formed record of the sender's own making is never
//! taken for one when a reader searches for the next record behind a broken one.

/// Bytes before the payload.
pub(super) const HEADER: usize = 28;

/// What a search looks for. Neither text nor a likely beginning of a protobuf or snappy body.
pub(super) const SYNC: [u8; 4] = [0xf5, b's', 0x9e, 0xc1];

const VERSION: u8 = 1;

/// The largest payload: the largest body that `limits.body` allows, and room for what a caller puts
/// around it.
pub const PAYLOAD_MAX: usize = (1 << 30) + (64 << 10);

/// A header whose checksum is right.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) kind: u8,
    pub(super) len: u32,
    pub(super) seq: u64,
    payload_sum: u32,
}

impl Header {
    /// The header of a new record, and its bytes. The payload is at most [`PAYLOAD_MAX`].
    pub(super) fn seal(salt: u64, kind: u8, seq: u64, payload: &[&[u8]]) -> [u8; HEADER] {
        let len: usize = payload.iter().map(|part| part.len()).sum();
        let mut out = [0; HEADER];
        out[..4].copy_from_slice(&SYNC);
        out[4] = VERSION;
        out[5] = kind;
        out[8..12].copy_from_slice(&(len as u32).to_le_bytes());
        out[12..20].copy_from_slice(&seq.to_le_bytes());
        out[20..24].copy_from_slice(&sum(salt, payload).to_le_bytes());
        let header_sum = sum(salt, &[&out[4..24]]);
        out[24..].copy_from_slice(&header_sum.to_le_bytes());
        out
    }

    /// `None` if no record begins here, as far as this version can tell.
    pub(super) fn parse(salt: u64, bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; HEADER] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| bytes[at + i]));
        if bytes[..4] != SYNC || bytes[4] != VERSION || word(24) != sum(salt, &[&bytes[4..24]]) {
            return None;
        }
        Some(Self {
            kind: bytes[5],
            len: word(8),
            seq: u64::from(word(12)) | u64::from(word(16)) << 32,
            payload_sum: word(20),
        })
    }

    pub(super) fn matches(&self, salt: u64, payload: &[u8]) -> bool {
        sum(salt, &[payload]) == self.payload_sum
    }

    /// Bytes of the whole record.
    pub(super) fn size(&self) -> usize {
        HEADER + self.len as usize
    }
}

fn sum(salt: u64, parts: &[&[u8]]) -> u32 {
    parts
        .iter()
        .fold(crc32c::crc32c(&salt.to_le_bytes()), |sum, part| {
            crc32c::crc32c_append(sum, part)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_says_what_was_sealed() {
        let bytes = Header::seal(7, 3, 1 << 40, &[b"ab", b"", b"cde"]);
        let header = Header::parse(7, &bytes).unwrap();
        assert_eq!(
            (header.kind, header.len, header.seq, header.size()),
            (3, 5, 1 << 40, HEADER + 5)
        );
        assert!(header.matches(7, b"abcde"));
        assert!(!header.matches(7, b"abcdf") && !header.matches(8, b"abcde"));
    }

    #[test]
    fn every_flipped_bit_another_salt_and_every_cut_is_noticed() {
        let bytes = Header::seal(7, 1, 2, &[b"x"]);
        for bit in 0..HEADER * 8 {
            let mut bad = bytes;
            bad[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(Header::parse(7, &bad), None, "bit {bit}");
        }
        assert_eq!(Header::parse(8, &bytes), None);
        assert_eq!(Header::parse(7, &bytes[..HEADER - 1]), None);
    }
}

//! From a compressed body to the message in it, whichever way it was compressed.
//!
//! The header decides what is tried first. A sender with a queue on disk may have packed the body
//! before it changed its mind (vmagent does so after an update, protocol notes section 7): if the
//! body is not what the header says, the other way is tried.

use std::sync::Arc;

use super::negotiate::Encoding;
use crate::wire::snappy::{BodyPool, PooledBody, SnappyError};
use crate::wire::zstd::{self, ZstdError};

/// Why there is no message in a body.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotUnpacked {
    #[error("{0}: send a snappy block (not frames) of a remote-write message")]
    Snappy(SnappyError),
    #[error("{0}: send a zstd frame of a remote-write message")]
    Zstd(ZstdError),
    #[error("{0}; the limit is limits.body_raw: send smaller batches")]
    TooLarge(String),
}

impl From<SnappyError> for NotUnpacked {
    fn from(e: SnappyError) -> Self {
        match e {
            SnappyError::TooLarge { .. } => Self::TooLarge(e.to_string()),
            SnappyError::Corrupt(_) => Self::Snappy(e),
        }
    }
}

impl From<ZstdError> for NotUnpacked {
    fn from(e: ZstdError) -> Self {
        match e {
            ZstdError::TooLarge { .. } => Self::TooLarge(e.to_string()),
            ZstdError::Corrupt(_) => Self::Zstd(e),
        }
    }
}

/// The message, if it takes at most `limit` bytes.
pub(super) fn unpack(
    pool: &Arc<BodyPool>,
    compressed: &[u8],
    encoding: Encoding,
    limit: usize,
) -> Result<PooledBody, NotUnpacked> {
    match encoding {
        Encoding::Snappy => match pool.decompress(compressed, limit) {
            // Nothing else begins so: what goes wrong then is what the sender should know.
            Err(_) if zstd::is_frame(compressed) => Ok(pool.decompress_zstd(compressed, limit)?),
            other => Ok(other?),
        },
        Encoding::Zstd => match pool.decompress_zstd(compressed, limit) {
            Err(e @ ZstdError::Corrupt(_)) => {
                let snappy = pool.decompress(compressed, limit);
                snappy.map_err(|_| NotUnpacked::Zstd(e))
            }
            other => Ok(other?),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn snappy(raw: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(raw).unwrap()
    }

    fn frame(raw: &[u8]) -> Vec<u8> {
        ::zstd::bulk::compress(raw, 1).unwrap()
    }

    fn unpacked(compressed: &[u8], encoding: Encoding) -> Result<Vec<u8>, NotUnpacked> {
        let body = unpack(&BodyPool::new(1), compressed, encoding, 1000)?;
        Ok(body.to_vec())
    }

    /// Conformance 11 and 12.
    #[test]
    fn a_wrong_label_is_no_harm() {
        let raw = b"the same message whichever way it is packed".as_slice();
        for packed in [snappy(raw), frame(raw)] {
            for label in [Encoding::Snappy, Encoding::Zstd] {
                assert_eq!(unpacked(&packed, label).unwrap(), raw);
            }
        }
    }

    #[test]
    fn what_is_neither_is_told_as_what_it_should_have_been() {
        let told = |packed: &[u8], label| unpacked(packed, label).unwrap_err().to_string();
        let garbage = b"\x05not anything";
        assert!(told(garbage, Encoding::Snappy).starts_with("body is not a snappy block"));
        assert!(told(garbage, Encoding::Zstd).starts_with("body is not a zstd frame"));
        let framed = b"\xff\x06\x00\x00sNaPpY\x01\x05\x00\x00";
        assert!(told(framed, Encoding::Snappy).contains("framed format"));
        let cut = &frame(b"cut off")[..9];
        assert!(told(cut, Encoding::Snappy).starts_with("body is not a zstd frame"));
        for packed in [snappy(&[1; 1001]), frame(&[1; 1001])] {
            let refused = told(&packed, Encoding::Snappy);
            assert!(refused.contains("limits.body_raw"), "{refused}");
        }
        assert!(told(&frame(&[1; 1001]), Encoding::Zstd).contains("limits.body_raw"));
    }
}

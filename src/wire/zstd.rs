//! zstd frames, as vmagent sends them, into the same pooled buffers as snappy blocks.
//!
//! A frame may declare how long it will be when decompressed, or not, or lie. So the buffer starts
//! with what is likely, and grows, up to the limit, when it turns out too small: memory follows what
//! the frames really hold.

use std::sync::Arc;

use zstd::zstd_safe::zstd_sys::ZSTD_ErrorCode;
use zstd::zstd_safe::{self, DCtx};

use super::snappy::{BodyPool, PooledBody};

/// How frames start, as a little-endian number.
const MAGIC: u32 = 0xfd2f_b528;

/// Write requests are packed 10 to 20 times: what is made room for at first, for each compressed
/// byte. A frame that declares more than that is not believed before it has shown it.
const EXPANSION_LIKELY: usize = 32;

/// Room for the smallest bodies.
const ROOM_MIN: usize = 4 * 1024;

/// By how much the room grows if it was too small. What was decompressed is done again, so that all
/// attempts together take a third more than the last one alone.
const GROWTH: usize = 4;

/// Why a body could not be decompressed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ZstdError {
    #[error("body is not a zstd frame: {0}")]
    Corrupt(&'static str),
    #[error("body holds more than the limit of {limit} bytes")]
    TooLarge { limit: usize },
}

/// True if this could be a frame.
pub fn is_frame(compressed: &[u8]) -> bool {
    compressed
        .first_chunk::<4>()
        .is_some_and(|magic| u32::from_le_bytes(*magic) == MAGIC)
}

impl BodyPool {
    /// Decompresses one body of one or more frames, to at most `limit` bytes.
    ///
    /// # Errors
    /// [`ZstdError::TooLarge`] if they hold more than `limit` bytes; [`ZstdError::Corrupt`] if they
    /// are truncated, need a dictionary, or are no frames at all.
    pub fn decompress_zstd(
        self: &Arc<Self>,
        compressed: &[u8],
        limit: usize,
    ) -> Result<PooledBody, ZstdError> {
        if compressed.is_empty() {
            return Err(ZstdError::Corrupt("it is empty"));
        }
        let mut context = DCtx::try_create().ok_or(ZstdError::Corrupt("no memory for it"))?;
        let mut body = self.buffer();
        let bytes = body.bytes_mut();
        let mut room = first_room(compressed, limit);
        loop {
            bytes.clear();
            bytes.reserve_exact(room);
            match context.decompress(bytes, compressed) {
                Ok(_) if bytes.len() > limit => return Err(ZstdError::TooLarge { limit }),
                Ok(_) => return Ok(body),
                Err(code) if is_too_small(code) => {
                    if bytes.capacity() >= limit {
                        return Err(ZstdError::TooLarge { limit });
                    }
                    room = bytes.capacity().saturating_mul(GROWTH).min(limit);
                }
                Err(code) => return Err(ZstdError::Corrupt(zstd_safe::get_error_name(code))),
            }
        }
    }
}

/// What the first frame declares, if that is likely; else what is likely.
fn first_room(compressed: &[u8], limit: usize) -> usize {
    let likely = compressed.len().saturating_mul(EXPANSION_LIKELY);
    let declared = zstd_safe::get_frame_content_size(compressed).ok().flatten();
    let declared = declared.and_then(|n| usize::try_from(n).ok());
    let room = declared.filter(|n| *n <= likely).unwrap_or(likely);
    room.clamp(ROOM_MIN.min(limit), limit)
}

/// zstd's errors are negative numbers in the form of sizes.
fn is_too_small(code: usize) -> bool {
    code.wrapping_neg() == ZSTD_ErrorCode::ZSTD_error_dstSize_tooSmall as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: usize = 1 << 20;

    fn frame(raw: &[u8]) -> Vec<u8> {
        zstd::bulk::compress(raw, 1).unwrap()
    }

    fn decoded(compressed: &[u8]) -> Result<Vec<u8>, ZstdError> {
        let body = BodyPool::new(1).decompress_zstd(compressed, LIMIT)?;
        Ok(body.to_vec())
    }

    fn text(len: usize) -> Vec<u8> {
        (0..len as u64).map(|i| (i * i % 251) as u8).collect()
    }

    #[test]
    fn a_body_comes_back_whole_from_a_fresh_and_from_a_used_buffer() {
        let pool = BodyPool::new(2);
        for len in [0, 1, 5_000, 70, 100_000, 3, LIMIT] {
            let raw = text(len);
            let body = pool.decompress_zstd(&frame(&raw), LIMIT).unwrap();
            assert_eq!(&*body, &raw[..]);
        }
        assert_eq!(pool.idle(), 1, "one buffer was used again and again");
    }

    #[test]
    fn frames_one_after_the_other_are_one_body() {
        let (a, b) = (text(3_000), text(200_000));
        let skippable = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc";
        let both = [&frame(&a)[..], skippable, &frame(&b)].concat();
        assert_eq!(decoded(&both).unwrap(), [a, b].concat());
    }

    #[test]
    fn frames_that_do_not_say_how_long_they_are_are_read() {
        let raw = vec![7; 500_000];
        let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        std::io::Write::write_all(&mut encoder, &raw).unwrap();
        let streamed = encoder.finish().unwrap();
        assert!(matches!(
            zstd_safe::get_frame_content_size(&streamed),
            Ok(None)
        ));
        assert_eq!(decoded(&streamed).unwrap(), raw, "much more than is likely");
    }

    /// Conformance 21.
    #[test]
    fn a_bomb_stops_at_the_limit_whatever_it_declares() {
        let pool = BodyPool::new(1);
        let bomb = frame(&vec![0; 256 << 20]);
        assert!(bomb.len() < 32 * 1024);
        let mut silent = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
        std::io::Write::write_all(&mut silent, &vec![0; 16 << 20]).unwrap();
        for bomb in [bomb, silent.finish().unwrap()] {
            let refused = pool.decompress_zstd(&bomb, LIMIT).unwrap_err();
            assert_eq!(refused, ZstdError::TooLarge { limit: LIMIT });
        }
        let mut body = pool.buffer();
        assert!(body.bytes_mut().capacity() <= 2 * LIMIT);
        let exact = frame(&text(LIMIT));
        assert!(pool.decompress_zstd(&exact, LIMIT).is_ok());
        assert!(pool.decompress_zstd(&exact, LIMIT - 1).is_err());
    }

    #[test]
    fn a_declared_length_reserves_nothing() {
        // A header that declares 2^62 bytes and one empty block.
        let mut lie = 0xfd2f_b528_u32.to_le_bytes().to_vec();
        lie.push(0xe0);
        lie.extend((1u64 << 62).to_le_bytes());
        lie.extend([1, 0, 0]);
        assert!(first_room(&lie, LIMIT) <= ROOM_MIN);
        assert!(matches!(decoded(&lie), Err(ZstdError::Corrupt(_))));
    }

    #[test]
    fn truncated_and_wrong_frames_are_corrupt() {
        let good = frame(&text(5_000));
        for cut in 0..good.len() {
            let bad = decoded(&good[..cut]);
            assert!(matches!(bad, Err(ZstdError::Corrupt(_))), "{cut}: {bad:?}");
        }
        for bad in [
            &[good, b"garbage".to_vec()].concat()[..],
            b"\x00",
            &[0xff; 50],
        ] {
            assert!(matches!(decoded(bad), Err(ZstdError::Corrupt(_))));
        }
    }

    #[test]
    fn frames_are_told_from_snappy_blocks() {
        assert!(is_frame(&frame(b"x")) && !is_frame(b"\x28\xb5\x2f") && !is_frame(b""));
    }
}

//! Snappy's block format with a cap on what a sender may claim, into pooled buffers.
//!
//! A block starts with the length that it will have when decompressed. The sender chooses that
//! number, so it is compared with the limit, and with what the compressed bytes could hold at all,
//! before a byte is allocated.
//!
//! What always holds: the pool keeps a bounded number of buffers of a bounded size. What it does
//! not know: what is in a body.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

/// Idle buffers larger than this are given back to the allocator, so that one huge request does not
/// raise the memory for ever. A request of 2,000 samples, which is what Prometheus sends, has
/// about 700 KiB.
pub const CAPACITY_KEPT_MAX: usize = 4 << 20;

/// No snappy block holds more than this many bytes for each compressed one: the densest element is
/// a copy of 64 bytes in 3.
const EXPANSION_MAX: usize = 22;

/// How the *framed* format starts, which remote write does not use (remote write 1.0 spec).
const FRAMED_MAGIC: &[u8] = b"\xff\x06\x00\x00sNaPpY";

/// Why a body could not be decompressed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SnappyError {
    #[error("body is not a snappy block: {0}")]
    Corrupt(String),
    #[error("body declares {declared} bytes, more than the limit of {limit}")]
    TooLarge { declared: usize, limit: usize },
}

/// Buffers that wait for their next request.
#[derive(Debug)]
pub struct BodyPool {
    /// A `std` mutex because nothing is awaited under it: a push or a pop, twice per request.
    idle: Mutex<Vec<Vec<u8>>>,
    idle_max: usize,
}

impl BodyPool {
    /// A pool that keeps at most `idle_max` buffers of at most [`CAPACITY_KEPT_MAX`] bytes each.
    pub fn new(idle_max: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(Vec::new()),
            idle_max,
        })
    }

    /// Decompresses one body, after checking what it declares against `limit` bytes.
    ///
    /// # Errors
    /// [`SnappyError::TooLarge`] if it declares more than `limit`; [`SnappyError::Corrupt`] if it is
    /// empty, framed, truncated, has bytes left over, or is not snappy at all.
    pub fn decompress(
        self: &Arc<Self>,
        compressed: &[u8],
        limit: usize,
    ) -> Result<PooledBody, SnappyError> {
        let declared = declared_len(compressed, limit)?;
        let mut body = self.buffer();
        // Cuts a longer buffer and zeroes only what a shorter one lacks.
        body.bytes.resize(declared, 0);
        snap::raw::Decoder::new()
            .decompress(compressed, &mut body.bytes)
            .map_err(|e| SnappyError::Corrupt(e.to_string()))?;
        Ok(body)
    }

    /// Buffers that wait now.
    pub fn idle(&self) -> usize {
        self.idle.lock().map_or(0, |idle| idle.len())
    }

    /// A buffer with whatever was in it, if there is one.
    pub(super) fn buffer(self: &Arc<Self>) -> PooledBody {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        PooledBody {
            bytes: idle.unwrap_or_default(),
            pool: Arc::clone(self),
        }
    }
}

/// The length that the block declares, if it can be true and is within the limit.
fn declared_len(compressed: &[u8], limit: usize) -> Result<usize, SnappyError> {
    if compressed.is_empty() {
        return Err(SnappyError::Corrupt("it is empty".into()));
    }
    if compressed.starts_with(FRAMED_MAGIC) {
        return Err(SnappyError::Corrupt(
            "it is in the framed format, remote write uses the block format".into(),
        ));
    }
    let declared =
        snap::raw::decompress_len(compressed).map_err(|e| SnappyError::Corrupt(e.to_string()))?;
    if declared > limit {
        return Err(SnappyError::TooLarge { declared, limit });
    }
    if declared > compressed.len().saturating_mul(EXPANSION_MAX) {
        return Err(SnappyError::Corrupt(format!(
            "it declares {declared} bytes, more than {} compressed ones can hold",
            compressed.len()
        )));
    }
    Ok(declared)
}

/// A decompressed body; its buffer goes back to the pool when dropped.
#[derive(Debug)]
pub struct PooledBody {
    bytes: Vec<u8>,
    pool: Arc<BodyPool>,
}

impl PooledBody {
    /// For decoders, which may append rebuilt labels behind the body.
    pub fn bytes_mut(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }
}

impl Deref for PooledBody {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for PooledBody {
    fn drop(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if bytes.capacity() == 0 || bytes.capacity() > CAPACITY_KEPT_MAX {
            return;
        }
        if let Ok(mut idle) = self.pool.idle.lock()
            && idle.len() < self.pool.idle_max
        {
            // Its length stays: what is there need not be zeroed again.
            idle.push(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compress(raw: &[u8]) -> Vec<u8> {
        snap::raw::Encoder::new().compress_vec(raw).unwrap()
    }

    fn corrupt(compressed: &[u8]) -> String {
        match BodyPool::new(1).decompress(compressed, 1 << 20) {
            Err(SnappyError::Corrupt(why)) => why,
            other => panic!("wanted a corrupt body, got {other:?}"),
        }
    }

    #[test]
    fn a_body_comes_back_whole_from_a_fresh_and_from_a_used_buffer() {
        let pool = BodyPool::new(2);
        for len in [0, 1, 5_000, 70, 100_000, 3] {
            let raw: Vec<u8> = (0..len).map(|i: u64| (i * i % 251) as u8).collect();
            let body = pool.decompress(&compress(&raw), 1 << 20).unwrap();
            assert_eq!(&*body, &raw[..]);
        }
        assert_eq!(pool.idle(), 1, "one buffer was used again and again");
    }

    /// Conformance 22.
    #[test]
    fn snappy_of_nothing_is_an_empty_body_and_nothing_is_corrupt() {
        assert!(BodyPool::new(1).decompress(b"\0", 10).unwrap().is_empty());
        assert_eq!(corrupt(b""), "it is empty");
        corrupt(b"\0\0");
    }

    /// Conformance 14.
    #[test]
    fn framed_snappy_is_named_as_such() {
        assert!(corrupt(b"\xff\x06\x00\x00sNaPpY\x01\x05\x00\x00").contains("framed format"));
    }

    /// Conformance 15.
    #[test]
    fn truncated_wrong_and_overlong_blocks_are_corrupt() {
        let raw: Vec<u8> = (0..2_000u32).flat_map(|i| (i / 7).to_le_bytes()).collect();
        let good = compress(&raw);
        for cut in 1..good.len() {
            corrupt(&good[..cut]);
        }
        let mut garbage = good.clone();
        garbage.extend_from_slice(b"garbage");
        corrupt(&garbage);
        let mut longer = good;
        longer[0] ^= 1;
        corrupt(&longer);
        corrupt(b"\x05not snappy");
        corrupt(&[0xff; 12]);
    }

    /// Conformance 19: a six-byte body that claims 4 GiB; and 21: one below the limit that its
    /// bytes can't hold.
    #[test]
    fn what_is_declared_is_checked_before_it_is_allocated() {
        let pool = BodyPool::new(1);
        let claim = b"\xff\xff\xff\xff\x0f\x00";
        assert_eq!(
            pool.decompress(claim, 32 << 20).unwrap_err(),
            SnappyError::TooLarge {
                declared: u32::MAX as usize,
                limit: 32 << 20
            }
        );
        assert!(corrupt(b"\x80\x80\x20\x00\x00").contains("524288 bytes"));
        let body = compress(&[7; 1_000]);
        assert!(pool.decompress(&body, 999).is_err());
        assert!(pool.decompress(&body, 1_000).is_ok());
    }

    #[test]
    fn the_densest_block_there_is_passes() {
        let raw = vec![b'a'; 1 << 20];
        let body = compress(&raw);
        assert!(raw.len() / body.len() >= EXPANSION_MAX - 2);
        let pool = BodyPool::new(1);
        assert_eq!(pool.decompress(&body, 1 << 20).unwrap().len(), raw.len());
    }

    #[test]
    fn the_pool_keeps_few_buffers_and_none_that_is_huge() {
        let pool = BodyPool::new(2);
        let small = compress(&[1; 100]);
        let bodies: Vec<_> = (0..5)
            .map(|_| pool.decompress(&small, 100).unwrap())
            .collect();
        drop(bodies);
        assert_eq!(pool.idle(), 2);

        let pool = BodyPool::new(2);
        let huge = compress(&vec![1; CAPACITY_KEPT_MAX + 1]);
        drop(pool.decompress(&huge, usize::MAX).unwrap());
        assert_eq!(pool.idle(), 0);
        let mut grown = pool.decompress(&small, 100).unwrap();
        grown.bytes_mut().reserve(CAPACITY_KEPT_MAX + 1);
        drop(grown);
        assert_eq!(pool.idle(), 0);
    }

    /// Conformance 24: a failure leaves nothing behind.
    #[test]
    fn a_good_body_after_a_bad_one_is_whole() {
        let pool = BodyPool::new(1);
        let good = compress(b"the next request");
        let mut bad = compress(&[9; 400]);
        bad.truncate(bad.len() - 1);
        assert!(pool.decompress(&bad, 1_000).is_err());
        assert_eq!(
            &*pool.decompress(&good, 1_000).unwrap(),
            b"the next request"
        );
    }
}

//! Snappy's block format with a cap on what a sender may claim, into pooled buffers.

use std::ops::Deref;
use std::sync::{Arc, Mutex};

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
    idle: Mutex<Vec<Vec<u8>>>,
    idle_max: usize,
}

impl BodyPool {
    pub fn new(idle_max: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(Vec::new()),
            idle_max,
        })
    }

    /// Decompresses one body, after checking what it declares against `limit` bytes.
    pub fn decompress(
        self: &Arc<Self>,
        compressed: &[u8],
        limit: usize,
    ) -> Result<PooledBody, SnappyError> {
        let _ = (compressed, limit);
        unimplemented!("wire helper")
    }
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
        let mut bytes = std::mem::take(&mut self.bytes);
        if let Ok(mut idle) = self.pool.idle.lock()
            && idle.len() < self.pool.idle_max
        {
            bytes.clear();
            idle.push(bytes);
        }
    }
}

//! How the bytes of a chunk are to be read.

use serde::{Deserialize, Serialize};

/// The chunk formats of Prometheus' TSDB; the numbers are those of remote read's `Chunk.type`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Encoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
}

//! How the bytes of a chunk are to be read.

use serde::{Deserialize, Serialize};

/// The chunk formats of Prometheus' TSDB; the numbers are those of remote read's `Chunk.type`. And what
/// lies among chunks without being one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum Encoding {
    Xor = 1,
    Histogram = 2,
    FloatHistogram = 3,
    /// No samples: something about the series, see `engine::anchor`. Readers never see it.
    Anchor = 255,
}

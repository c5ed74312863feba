//! Bytes from strangers to flat, borrowed rows.
//!
//! What always holds: nothing here allocates by a size that the sender claims, nothing panics on
//! any input, and a decoder's output refers to the body by offsets instead of copying strings.
//! What this layer does not know: which series exist, what time it is, what a sample means.

pub mod canonical;
pub mod exemplar;
pub mod field;
pub mod histogram;
pub mod proto;
pub mod read;
pub mod read_chunks;
pub mod read_histogram;
pub mod read_samples;
pub mod snappy;
mod walk;
pub mod write;
pub mod write_v1;
pub mod write_v2;
pub mod zstd;

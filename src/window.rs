//! What is remembered of a series' raw samples.
//!
//! The window keeps every accepted sample exactly, bit for bit, whatever it means; what is scored is
//! decided elsewhere. What always holds: timestamps rise strictly.

pub mod chunk;
pub mod decimal;
pub mod encoding;
pub mod head;
pub mod histogram;
pub mod histogram_chunk;
pub mod interval;
pub mod rollup;

//! Remote write 1.0: a walk over the bytes of a `prometheus.WriteRequest` into the arena.

use super::write::{LabelLimits, WriteArena};

/// Why a body is not a 1.0 write request at all. Nothing of such a body is used.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DecodeError {
    #[error("body is not a remote-write 1.0 message: {what} at byte {at}")]
    Broken { what: &'static str, at: usize },
}

/// Fills `out` (cleared first) from `body`. Label sets that are not canonical are rebuilt behind
/// the body, which therefore may grow.
pub fn decode(
    body: &mut Vec<u8>,
    limits: &LabelLimits,
    out: &mut WriteArena,
) -> Result<(), DecodeError> {
    let _ = (body, limits, out);
    unimplemented!("wire helper")
}

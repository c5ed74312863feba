//! The prost messages of `proto/prometheus`, for everything but the hot path, and as the oracle of
//! the hand-written decoders.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));

/// Remote write 2.0.
pub mod v2 {
    include!(concat!(env!("OUT_DIR"), "/io.prometheus.write.v2.rs"));
}

//! The prost messages of `proto/prometheus`, for everything but the hot path, and as the oracle of
//! the hand-written decoder.

#![allow(missing_docs, clippy::all, clippy::pedantic)]

include!(concat!(env!("OUT_DIR"), "/prometheus.rs"));

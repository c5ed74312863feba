//! What is remembered of a series' samples.

pub mod chunk;

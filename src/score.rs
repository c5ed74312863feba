//! From what the models say to what a user sees: one score, a severity, an anomaly with a beginning
//! and an end.
//!
//! [`track::Track`] is one series' whole state and the only entry: `serve`, backtests and tests run
//! a sample through the same method. What always holds: a score is in [0, 1), is at or above 0.7 if
//! and only if the value lies outside the band, and depends on nothing but the samples before it.

pub mod band;
pub mod board;
pub mod groups;
pub mod judge;
pub mod label_text;
pub mod old;
pub mod rarity;
pub mod scale;
pub mod track;
pub mod verdict;

//! From what the models say to what a user sees: one score, a severity, an anomaly with a beginning
//! and an end.

pub mod board;

//! What the log counts.

pub use crate::telemetry::durable::LogMetrics;

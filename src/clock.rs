//! Where the time of day comes from.
//!
//! Scores depend on the timestamps of samples and on nothing else; the wall clock is needed only to
//! refuse samples from the future and to hide series that fell silent. It is passed in, so that a
//! test can stand still or jump.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

/// A source of the current time. Read once per request or tick, never per sample.
pub trait Clock: Send + Sync + 'static {
    /// Milliseconds since the Unix epoch.
    fn now_ms(&self) -> i64;
}

/// The machine's clock.
#[derive(Debug, Default, Clone, Copy)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(
        clippy::disallowed_methods,
        reason = "the one place that may ask the machine"
    )]
    fn now_ms(&self) -> i64 {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(d) => i64::try_from(d.as_millis()).unwrap_or(i64::MAX),
            Err(before) => -i64::try_from(before.duration().as_millis()).unwrap_or(i64::MAX),
        }
    }
}

/// A clock that a test sets by hand.
#[derive(Debug, Default)]
pub struct ManualClock(AtomicI64);

impl ManualClock {
    pub fn at(ms: i64) -> Self {
        Self(AtomicI64::new(ms))
    }

    pub fn set(&self, ms: i64) {
        self.0.store(ms, Ordering::Relaxed);
    }
}

impl Clock for ManualClock {
    fn now_ms(&self) -> i64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// RFC 3339, or seconds since 1970, as milliseconds, as a user writes a time.
///
/// # Errors
/// If it is neither.
pub fn parse_time(text: &str) -> Result<i64, String> {
    if let Ok(seconds) = text.parse::<f64>()
        && seconds.abs() < 1e11
    {
        return Ok((seconds * 1000.0).round() as i64);
    }
    let time: jiff::Timestamp = text
        .parse()
        .map_err(|_| "neither a time such as 2026-11-22T10:00:00Z nor seconds since 1970")?;
    Ok(time.as_millisecond())
}

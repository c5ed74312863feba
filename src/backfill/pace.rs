//! How fast a server is asked: requests and samples per second, and pauses after failures.

use std::sync::Mutex;
use std::time::Duration;

use tokio::time::Instant;

/// The pause after a first failure; it doubles with each further one.
const BACK_OFF_MIN: Duration = Duration::from_secs(1);
const BACK_OFF_MAX: Duration = Duration::from_secs(60);
/// A server may ask to be left alone for so long at most.
const RETRY_AFTER_MAX: Duration = Duration::from_secs(600);

/// The next moment at which anyone may ask.
#[derive(Debug)]
pub struct Pace {
    /// A `std` mutex because nothing is awaited under it.
    due: Mutex<Instant>,
    per_request: Duration,
    seconds_per_sample: f64,
}

impl Pace {
    /// At most so many requests and, on average, samples in a second; both over 0.
    pub fn new(requests_per_second: f64, samples_per_second: u32) -> Self {
        Self {
            due: Mutex::new(Instant::now()),
            per_request: Duration::from_secs_f64(1.0 / requests_per_second),
            seconds_per_sample: 1.0 / f64::from(samples_per_second.max(1)),
        }
    }

    /// Waits until a request may begin.
    pub async fn turn(&self) {
        let at = self.reserve(Instant::now());
        tokio::time::sleep_until(at).await;
    }

    /// Says what a request brought: the next ones wait for it.
    pub fn brought(&self, samples: usize) {
        self.spend(samples, Instant::now());
    }

    /// Nobody asks for a while: the server said so.
    pub fn hold(&self, pause: Duration) {
        self.delay(pause, Instant::now());
    }

    /// When the next request may begin; the one after that is later.
    fn reserve(&self, now: Instant) -> Instant {
        let mut due = self.lock();
        let at = (*due).max(now);
        *due = at + self.per_request;
        at
    }

    fn spend(&self, samples: usize, now: Instant) {
        let seconds = samples as f64 * self.seconds_per_sample;
        let mut due = self.lock();
        *due = (*due).max(now) + Duration::from_secs_f64(seconds);
    }

    fn delay(&self, pause: Duration, now: Instant) {
        let mut due = self.lock();
        *due = (*due).max(now + pause.min(RETRY_AFTER_MAX));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Instant> {
        self.due
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The pause before try number `failed` + 1: between half and all of a time that doubles, so that
/// many that failed together do not come again together. `random` is within 0 to 1.
pub fn back_off(failed: u32, random: f64) -> Duration {
    let doubled = BACK_OFF_MIN.saturating_mul(1 << failed.saturating_sub(1).min(10));
    doubled
        .min(BACK_OFF_MAX)
        .mul_f64(0.5 + random.clamp(0.0, 1.0) / 2.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_minute() {
        let seconds: Vec<_> = (1..=8).map(|n| back_off(n, 1.0).as_secs()).collect();
        assert_eq!(seconds, [1, 2, 4, 8, 16, 32, 60, 60]);
        assert_eq!(back_off(1, 0.0), Duration::from_millis(500));
        assert_eq!(back_off(u32::MAX, 1.0), BACK_OFF_MAX);
    }

    #[test]
    fn requests_and_samples_are_spread() {
        let start = Instant::now();
        let pace = Pace::new(10.0, 1000);
        let now = start + Duration::from_secs(1);
        let at = |t: Instant| (t - now).as_millis();
        let turns: Vec<_> = (0..3).map(|_| at(pace.reserve(now))).collect();
        assert_eq!(turns, [0, 100, 200]);
        pace.spend(3000, now);
        assert_eq!(at(pace.reserve(now)), 3300);
        pace.delay(Duration::from_secs(30), now);
        assert_eq!(at(pace.reserve(now)), 30_000);
        pace.delay(Duration::from_secs(1_000_000), now);
        assert_eq!(at(pace.reserve(now)), 600_000);
    }
}

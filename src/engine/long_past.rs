//! What the long past of a series says, for those who look at it: its rhythms, its rise, and what it
//! would have a time be worth.
//!
//! A fit ([`Baseline`]) is made by the trainers from rows of five minutes and the window, when a series
//! is first looked at and again a day later. What always holds: no score depends on it, so it needs no
//! place in the log; so many are kept and no more; a question waits a little and never for long. It
//! does not know what a model expects.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::oneshot;

use super::ask::WindowChunk;
use super::trainer::Beside;
use crate::model::baseline::hours::Hours;
use crate::model::baseline::{Baseline, HOUR_MS};
use crate::model::calendar::Calendar;
use crate::window::chunk;
use crate::window::encoding::Encoding;
use crate::window::rollup::Row;

/// Fits that are kept, each of less than a kilobyte; of the oldest one is dropped for a new one.
const KEPT_MAX: usize = 4096;
/// A fit is made again after this.
const AGAIN_MS: i64 = 24 * HOUR_MS;
/// One that came to nothing, after this.
const NOTHING_AGAIN_MS: i64 = HOUR_MS;
/// How long a question waits for its fit, which takes some milliseconds where nothing else is fitted.
const WAIT: Duration = Duration::from_secs(3);

/// What is to be fitted.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// It counts, so that its rate is what is looked at.
    pub counter: bool,
    /// The zone of its days.
    pub zone: Calendar,
    pub now_ms: i64,
}

/// What a long past says.
#[derive(Debug, Clone, PartialEq)]
pub struct LongPast {
    baseline: Baseline,
    zone: Calendar,
    fitted_ms: i64,
}

impl LongPast {
    pub fn baseline(&self) -> &Baseline {
        &self.baseline
    }

    /// When it was fitted.
    pub fn fitted_ms(&self) -> i64 {
        self.fitted_ms
    }

    /// What is usual at a time: of a gauge a value, of a counter a rate per second.
    pub fn expected(&self, t_ms: i64) -> f64 {
        self.baseline.expected(self.zone.local_ms(t_ms))
    }
}

/// A fit, if it came to something, and when it was made.
#[derive(Debug, Clone)]
struct Entry {
    fit: Option<Arc<LongPast>>,
    fitted_ms: i64,
}

/// Those that were looked at, by the fingerprint of their series.
#[derive(Debug, Default)]
pub struct LongPasts {
    trainers: Beside,
    kept: Mutex<HashMap<u64, Entry>>,
}

impl LongPasts {
    pub fn new(trainers: Beside) -> Self {
        Self {
            trainers,
            kept: Mutex::default(),
        }
    }

    pub(super) fn is_due(&self, id: u64, now_ms: i64) -> bool {
        self.kept().get(&id).is_none_or(|e| {
            let after = match e.fit {
                Some(_) => AGAIN_MS,
                None => NOTHING_AGAIN_MS,
            };
            !(0..after).contains(&now_ms.saturating_sub(e.fitted_ms))
        })
    }

    pub(super) fn get(&self, id: u64) -> Option<Arc<LongPast>> {
        self.kept().get(&id)?.fit.clone()
    }

    /// Has the fit of a series made of its rows and the samples in these chunks, and waits for it a
    /// little; gives what is known then.
    pub(super) async fn fit(
        self: &Arc<Self>,
        id: u64,
        wanted: Wanted,
        chunks: Vec<WindowChunk>,
        rows: impl FnOnce() -> Result<Vec<Row>, String> + Send + 'static,
    ) -> Option<Arc<LongPast>> {
        let (done, is_done) = oneshot::channel();
        let all = Arc::clone(self);
        let job = move || {
            match fitted(&wanted, &chunks, rows) {
                Ok(fit) => all.put(id, fit.map(Arc::new), wanted.now_ms),
                Err(why) => tracing::warn!("the long past of a series cannot be read: {why}"),
            }
            // Nobody may be waiting any more.
            let _ = done.send(());
        };
        if self.trainers.offer(job) {
            let _ = tokio::time::timeout(WAIT, is_done).await;
        }
        self.get(id)
    }

    fn put(&self, id: u64, fit: Option<Arc<LongPast>>, fitted_ms: i64) {
        let mut kept = self.kept();
        if kept.len() >= KEPT_MAX && !kept.contains_key(&id) {
            let oldest = kept.iter().min_by_key(|(id, e)| (e.fitted_ms, **id));
            if let Some(oldest) = oldest.map(|(id, _)| *id) {
                kept.remove(&oldest);
            }
        }
        kept.insert(id, Entry { fit, fitted_ms });
    }

    fn kept(&self) -> MutexGuard<'_, HashMap<u64, Entry>> {
        // What is in it is put there whole.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// `None` for a past that is too short or never changes.
fn fitted(
    wanted: &Wanted,
    chunks: &[WindowChunk],
    rows: impl FnOnce() -> Result<Vec<Row>, String>,
) -> Result<Option<LongPast>, String> {
    let mut hours = Hours::new(wanted.counter, &wanted.zone);
    rows()?.iter().for_each(|row| hours.row(row));
    for chunk in chunks.iter().filter(|c| c.encoding == Encoding::Xor) {
        let samples = chunk::decode(&chunk.bytes).map_err(|e| e.to_string())?;
        for (t_ms, value) in samples {
            hours.take(t_ms, value, 1.0);
        }
    }
    let fit = Baseline::fit(&hours.finish());
    Ok(fit.map(|baseline| LongPast {
        baseline,
        zone: wanted.zone.clone(),
        fitted_ms: wanted.now_ms,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::trainer::Trainers;
    use crate::telemetry::Metrics;
    use crate::window::rollup;

    const DAY_MS: i64 = 24 * HOUR_MS;

    fn wanted(now_ms: i64) -> Wanted {
        Wanted {
            counter: false,
            zone: Calendar::default(),
            now_ms,
        }
    }

    /// Fourteen days of a rhythm of a day, in rows.
    fn rows() -> Vec<Row> {
        let at = |i: i64| {
            let day = (i as f64 / 288.0 * std::f64::consts::TAU).sin();
            (i * rollup::STEP_MS, 100.0 + 20.0 * day + (i % 7) as f64)
        };
        let samples = (0..14 * 288).map(at);
        let mut rows = rollup::Builder::new();
        let mut all: Vec<_> = samples.filter_map(|(t, v)| rows.take(t, v)).collect();
        all.extend(rows.finish());
        all
    }

    #[tokio::test]
    async fn a_trainer_fits_it_once_a_day_and_nobody_waits_where_there_is_none() {
        let list = Arc::default();
        let (trainers, threads) = Trainers::start(1, &Arc::new(Metrics::new()), &list).unwrap();
        let all = Arc::new(LongPasts::new(trainers.beside()));
        let now = 14 * DAY_MS;
        assert!(all.is_due(7, now));
        let fit = all.fit(7, wanted(now), Vec::new(), || Ok(rows())).await;
        let fit = fit.expect("two weeks are enough");
        assert_eq!(fit.baseline().season().to_string(), "day");
        assert!((fit.expected(now + DAY_MS / 4) - 123.0).abs() < 3.0);
        assert!(!all.is_due(7, now + AGAIN_MS - 1) && all.is_due(7, now + AGAIN_MS));
        let short = all.fit(8, wanted(now), Vec::new(), || Ok(Vec::new())).await;
        assert!(short.is_none() && !all.is_due(8, now) && all.is_due(8, now + NOTHING_AGAIN_MS));
        // What cannot be read leaves what was known.
        let unread = || Err("a disk".to_owned());
        assert!(all.fit(7, wanted(now), Vec::new(), unread).await.is_some());
        drop(trainers);
        threads.into_iter().for_each(|t| t.join().unwrap());
        assert!(
            all.fit(9, wanted(now), Vec::new(), || Ok(rows()))
                .await
                .is_none()
        );
    }

    #[test]
    fn so_many_are_kept_and_no_more() {
        let all = LongPasts::default();
        for id in 0..KEPT_MAX as u64 + 10 {
            all.put(id, None, id as i64);
        }
        let kept = all.kept();
        assert!(kept.len() == KEPT_MAX && !kept.contains_key(&9) && kept.contains_key(&10));
    }
}

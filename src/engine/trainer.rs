//! Threads that grow forests while the shards go on.
//!
//! They are a convenience: a shard that needs a forest nobody has grown yet grows it itself, and the
//! result is the same ([`Work`]). So the queue may be short, may be full, and may be dropped at the
//! end.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Instant;

use crate::model::forest::work::Work;
use crate::telemetry::Metrics;

/// Fits that wait, each with 22 KiB of rows. What does not fit in is offered again by the next tick.
const WAITING_MAX: usize = 512;

/// Where shards put their fits.
#[derive(Debug, Clone)]
pub struct Trainers(SyncSender<Arc<Work>>);

impl Trainers {
    /// Starts as many threads. They end when the last shard does.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        threads: usize,
        metrics: &Arc<Metrics>,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (sender, queue) = sync_channel(WAITING_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let started = (0..threads.max(1)).map(|i| {
            let queue = Arc::clone(&queue);
            let metrics = Arc::clone(metrics);
            std::thread::Builder::new()
                .name(format!("trainer-{i}"))
                .spawn(move || train(&queue, &metrics))
        });
        let threads = started.collect::<std::io::Result<_>>()?;
        Ok((Self(sender), threads))
    }

    /// Has a fit done, if there is room for it.
    pub fn offer(&self, work: Arc<Work>) {
        // Full, or at the end: whoever needs the forest grows it.
        let _ = self.0.try_send(work);
    }
}

/// The mutex is held by the one thread that waits for the next fit.
fn train(queue: &Mutex<Receiver<Arc<Work>>>, metrics: &Metrics) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(work) = next else { return };
        // Nobody is left who wants it, or it is done already.
        if Arc::strong_count(&work) == 1 || work.is_done() {
            continue;
        }
        let began = Instant::now();
        if work.forest().is_none() {
            metrics.training_failed.inc();
            tracing::error!("a forest could not be grown: its series goes on with the one before");
        }
        metrics
            .training_duration
            .observe(began.elapsed().as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::forest::ForestSpec;
    use crate::model::forest::reservoir::Packed;

    #[test]
    fn a_fit_is_done_and_the_threads_end_with_the_last_shard() {
        let metrics = Arc::new(Metrics::new());
        let (trainers, threads) = Trainers::start(2, &metrics).unwrap();
        let rows = vec![Packed::from(&[1.0; 10]); 30];
        let fits: Vec<_> = (0..20)
            .map(|seed| Arc::new(Work::new(rows.clone(), &ForestSpec::default(), seed)))
            .collect();
        for work in &fits {
            trainers.offer(Arc::clone(work));
        }
        drop(trainers);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(
            fits.iter()
                .all(|work| work.is_done() && work.forest().is_some())
        );
    }
}

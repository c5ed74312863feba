//! Threads that grow forests, and fit what else is fitted, while the shards go on.
//!
//! They are a convenience: a shard that needs a forest nobody has grown yet grows it itself, and the
//! result is the same ([`Work`]). So the queue may be short, may be full, and may be dropped at the
//! end.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;

use super::training::{FitState, Training};
use crate::model::forest::work::Work;
use crate::telemetry::Metrics;

/// Fits that wait, each with 22 KiB of rows. What does not fit in is offered again by the next tick.
const WAITING_MAX: usize = 512;

/// What a thread does next.
enum Job {
    /// A fit with its number in the list.
    Forest(u64, Arc<Work>),
    /// Something that nobody's score depends on.
    Beside(Box<dyn FnOnce() + Send>),
}

/// Where shards put their fits.
#[derive(Debug, Clone)]
pub struct Trainers {
    queue: Arc<SyncSender<Job>>,
    list: Arc<Training>,
}

/// Where others put theirs, who do not keep the threads from ending.
#[derive(Debug, Clone, Default)]
pub struct Beside(Weak<SyncSender<Job>>);

impl Beside {
    /// Has this done when a thread is free. False if there is no room, or no thread any more.
    pub fn offer(&self, job: impl FnOnce() + Send + 'static) -> bool {
        let queue = self.0.upgrade();
        queue.is_some_and(|queue| queue.try_send(Job::Beside(Box::new(job))).is_ok())
    }
}

impl Trainers {
    /// Starts as many threads. They end when the last shard does.
    ///
    /// # Errors
    /// If a thread cannot be started.
    pub fn start(
        threads: usize,
        metrics: &Arc<Metrics>,
        list: &Arc<Training>,
    ) -> std::io::Result<(Self, Vec<JoinHandle<()>>)> {
        let (sender, queue) = sync_channel(WAITING_MAX);
        let queue = Arc::new(Mutex::new(queue));
        let started = (0..threads.max(1)).map(|i| {
            let queue = Arc::clone(&queue);
            let metrics = Arc::clone(metrics);
            let list = Arc::clone(list);
            std::thread::Builder::new()
                .name(format!("trainer-{i}"))
                .spawn(move || train(&queue, &metrics, &list))
        });
        let threads = started.collect::<std::io::Result<_>>()?;
        let trainers = Self {
            queue: Arc::new(sender),
            list: Arc::clone(list),
        };
        Ok((trainers, threads))
    }

    /// Where others put their fits.
    pub fn beside(&self) -> Beside {
        Beside(Arc::downgrade(&self.queue))
    }

    /// Has a fit done, if there is room for it: that of a version of the forest of the series with
    /// this fingerprint.
    pub fn offer(&self, work: Arc<Work>, fingerprint: u64, version: u32) {
        let Some(number) = self.list.waits(fingerprint, version) else {
            return;
        };
        // Full, or at the end: whoever needs the forest grows it.
        if self.queue.try_send(Job::Forest(number, work)).is_err() {
            self.list.refused(number);
        }
    }
}

/// The mutex is held by the one thread that waits for the next fit.
fn train(queue: &Mutex<Receiver<Job>>, metrics: &Metrics, list: &Training) {
    loop {
        let next = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let (number, work) = match next {
            Ok(Job::Forest(number, work)) => (number, work),
            Ok(Job::Beside(job)) => {
                // A bug there must not cost the thread that forests wait for.
                if catch_unwind(AssertUnwindSafe(job)).is_err() {
                    metrics.training_failed.inc();
                    tracing::error!("a fit panicked, its series goes without it");
                }
                continue;
            }
            Err(_) => return,
        };
        // Nobody is left who wants it, or it is done already.
        if Arc::strong_count(&work) == 1 || work.is_done() {
            list.is(number, FitState::Passed, None);
            continue;
        }
        list.is(number, FitState::Running, None);
        let began = Instant::now();
        let failed = work.forest().is_none();
        let took = began.elapsed();
        work.took(took);
        let state = match failed {
            true => FitState::Failed,
            false => FitState::Done,
        };
        list.is(number, state, Some(took));
        if failed {
            metrics.training_failed.inc();
            tracing::error!("a forest could not be grown: its series goes on with the one before");
        }
        metrics.training_duration.observe(took.as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::training::FitListed;
    use crate::model::forest::ForestSpec;
    use crate::model::forest::reservoir::Packed;

    #[test]
    fn a_fit_is_done_and_the_threads_end_with_the_last_shard() {
        let metrics = Arc::new(Metrics::new());
        let list = Arc::new(Training::default());
        let (trainers, threads) = Trainers::start(2, &metrics, &list).unwrap();
        let rows = vec![Packed::from(&[1.0; 10]); 30];
        let fits: Vec<_> = (0..20)
            .map(|seed| Arc::new(Work::new(rows.clone(), &ForestSpec::default(), seed)))
            .collect();
        for (series, work) in (0..).zip(&fits) {
            trainers.offer(Arc::clone(work), series, 1);
        }
        let beside = trainers.beside();
        assert!(beside.offer(|| panic!("a fit that panics")));
        let (sender, done) = std::sync::mpsc::channel();
        assert!(beside.offer(move || sender.send(7).unwrap()));
        assert_eq!(done.recv(), Ok(7));
        drop(trainers);
        for thread in threads {
            thread.join().unwrap();
        }
        assert!(!beside.offer(|| {}), "nobody is there any more");
        assert!(
            fits.iter()
                .all(|work| work.is_done() && work.forest().is_some())
        );
        let done = |f: &FitListed| f.state == FitState::Done && f.took.is_some();
        assert_eq!(list.list().iter().filter(|f| done(f)).count(), 20);
        // Rows that are all the same: none is more alone than another.
        assert!(fits.iter().all(|w| w.typical().unwrap() < 0.6));
    }
}

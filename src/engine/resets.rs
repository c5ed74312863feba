//! Targets some of whose counters began anew, to be looked at by who looks for restarts.
//!
//! A shard notes a reset where it masks one, once a counter that falls and never for another sample;
//! what it noted is put together with that of the other shards once a batch. What always holds: memory
//! has a bound, whatever is sent. What it does not know: how many counters the target has, so whether
//! it restarted or one of them was set to zero.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::series::labels;

/// Resets whose times differ by no more are of one scrape, in milliseconds: some senders stamp each
/// sample on its own.
pub const SPREAD_MS: i64 = 5_000;
/// Targets that wait to be looked at; a site that restarts more of them at once has its changes told.
const SUSPECTS_MAX: usize = 4096;
/// Targets that one shard notes before it hands them over.
const NOTED_MAX: usize = 64;
/// Bytes of `job` and `instance` together; longer ones are no targets of a scrape.
const TARGET_MAX: usize = 1024;
/// Counters of one target that say something; one alone may have been set to zero.
const COUNTERS_MIN: u32 = 2;
/// Targets that are looked at at once.
const DUE_MAX: usize = 32;
/// A target is looked at again for so long after the newest of its resets arrived, in milliseconds: the
/// rest of a scrape may come in another request.
const HELD_MS: i64 = 30_000;

/// A target some of whose counters began anew in one scrape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Suspect {
    pub job: String,
    pub instance: String,
    /// Time of the first of these resets, and of the oldest sample before one, in milliseconds.
    pub t_ms: i64,
    pub before_ms: i64,
    counters: u32,
    /// Wall clock at which the newest arrived.
    heard_ms: i64,
}

impl Suspect {
    fn is_of(&self, job: &str, instance: &str, t_ms: i64) -> bool {
        self.t_ms.abs_diff(t_ms) <= SPREAD_MS.unsigned_abs()
            && self.instance == instance
            && self.job == job
    }

    fn add(&mut self, other: &Self) {
        self.t_ms = self.t_ms.min(other.t_ms);
        self.before_ms = self.before_ms.min(other.before_ms);
        self.counters = self.counters.saturating_add(other.counters);
        self.heard_ms = self.heard_ms.max(other.heard_ms);
    }

    /// True if nothing more is to be waited for.
    pub fn is_whole(&self, now_ms: i64) -> bool {
        now_ms.saturating_sub(self.heard_ms) >= HELD_MS
    }
}

/// Suspects of all shards.
#[derive(Debug, Default)]
pub struct Resets {
    /// Locked once a batch that has resets, and when somebody looks. By job, instance and time.
    suspects: Mutex<BTreeMap<(String, String, i64), Suspect>>,
}

/// The end of one shard.
#[derive(Debug, Default)]
pub struct ResetTap {
    to: Arc<Resets>,
    noted: Vec<Suspect>,
}

impl ResetTap {
    pub fn new(to: &Arc<Resets>) -> Self {
        Self {
            to: Arc::clone(to),
            noted: Vec::new(),
        }
    }

    /// A counter with these canonical labels began anew: its sample at `t_ms` is less than the one at
    /// `before_ms`.
    #[cold]
    pub fn saw(&mut self, canonical: &[u8], (before_ms, t_ms): (i64, i64), now_ms: i64) {
        let get = |name| labels::get(canonical, name).unwrap_or_default();
        let (job, instance) = (get("job"), get("instance"));
        if !(1..=TARGET_MAX).contains(&(job.len() + instance.len())) {
            return;
        }
        // Series of one target come together.
        let known = self.noted.iter_mut().rev();
        let mut known = known.filter(|s| s.is_of(job, instance, t_ms));
        let one = |job: &str, instance: &str| Suspect {
            job: job.to_owned(),
            instance: instance.to_owned(),
            t_ms,
            before_ms,
            counters: 1,
            heard_ms: now_ms,
        };
        if let Some(known) = known.next() {
            known.add(&one("", ""));
            return;
        }
        if self.noted.len() >= NOTED_MAX {
            self.flush();
        }
        self.noted.push(one(job, instance));
    }

    /// Hands over what was noted.
    #[inline]
    pub fn flush(&mut self) {
        if !self.noted.is_empty() {
            self.to.add(self.noted.drain(..));
        }
    }
}

impl Resets {
    fn add(&self, noted: impl Iterator<Item = Suspect>) {
        let mut suspects = self.lock();
        for suspect in noted {
            let key = |t_ms: i64| (suspect.job.clone(), suspect.instance.clone(), t_ms);
            let near = key(suspect.t_ms.saturating_sub(SPREAD_MS))
                ..=key(suspect.t_ms.saturating_add(SPREAD_MS));
            if let Some((_, known)) = suspects.range_mut(near).next() {
                known.add(&suspect);
                continue;
            }
            if suspects.len() >= SUSPECTS_MAX {
                suspects.retain(|_, s| s.counters >= COUNTERS_MIN);
            }
            if suspects.len() < SUSPECTS_MAX {
                suspects.insert(key(suspect.t_ms), suspect);
            }
        }
    }

    /// Some that are to be looked at, in the order of time; and forgets those of which there is nothing
    /// more to come.
    pub fn due(&self, now_ms: i64) -> Vec<Suspect> {
        let mut suspects = self.lock();
        suspects.retain(|_, s| s.counters >= COUNTERS_MIN || !s.is_whole(now_ms));
        let enough = suspects.values().filter(|s| s.counters >= COUNTERS_MIN);
        let mut due: Vec<_> = enough.cloned().collect();
        // Those that say most: two counters that always fall keep nobody waiting.
        due.sort_by_key(|s| std::cmp::Reverse(s.counters));
        due.truncate(DUE_MAX);
        due.sort_by_key(|s| s.t_ms);
        due
    }

    /// One was looked at, and need not be again.
    pub fn done(&self, suspect: &Suspect) {
        let is = |s: &Suspect| s.is_of(&suspect.job, &suspect.instance, suspect.t_ms);
        self.lock().retain(|_, s| !is(s));
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String, i64), Suspect>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(job: &str, instance: &str) -> Box<[u8]> {
        labels::encode([("instance", instance), ("job", job)])
            .to_vec()
            .into()
    }

    #[test]
    fn counters_of_one_scrape_are_put_together_over_shards() {
        let resets = Arc::new(Resets::default());
        let mut taps = [ResetTap::new(&resets), ResetTap::new(&resets)];
        taps[0].saw(&of("shop", "a"), (85_000, 100_000), 200_000);
        taps[1].saw(&of("shop", "b"), (85_000, 100_000), 200_000);
        taps[1].saw(&of("shop", "a"), (70_000, 100_200), 200_000);
        // Of another scrape, and of nobody.
        taps[1].saw(&of("shop", "b"), (100_000, 115_000), 200_000);
        taps[1].saw(&of("", ""), (85_000, 100_000), 200_000);
        assert!(resets.due(200_000).is_empty());
        taps.iter_mut().for_each(ResetTap::flush);
        let due = resets.due(200_000);
        assert_eq!(due.len(), 1);
        assert_eq!(
            (&*due[0].instance, due[0].t_ms, due[0].before_ms),
            ("a", 100_000, 70_000)
        );
        assert!(!due[0].is_whole(200_000) && due[0].is_whole(200_000 + HELD_MS));
        resets.done(&due[0]);
        assert!(resets.due(200_000 + HELD_MS).is_empty());
        assert!(resets.lock().is_empty());
    }

    #[test]
    fn there_are_never_more_than_the_limit() {
        let resets = Arc::new(Resets::default());
        let mut tap = ResetTap::new(&resets);
        let many = |tap: &mut ResetTap, counters: usize| {
            for i in 0..2 * SUSPECTS_MAX {
                for _ in 0..counters {
                    tap.saw(&of("shop", &i.to_string()), (85_000, 100_000), 100_000);
                }
            }
            tap.flush();
        };
        many(&mut tap, 1);
        assert!((1..=SUSPECTS_MAX).contains(&resets.lock().len()));
        assert!(resets.due(100_000).is_empty());
        // Those of which one counter fell make room.
        many(&mut tap, 2);
        assert_eq!(resets.due(100_000).len(), DUE_MAX);
        assert!(resets.lock().values().all(|s| s.counters >= COUNTERS_MIN));
        assert!(tap.noted.is_empty() && resets.lock().len() <= SUSPECTS_MAX);
    }
}

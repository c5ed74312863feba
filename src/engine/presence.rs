//! Who still speaks: each target (the series of one `job` and `instance`), and anybody at all.
//!
//! Shared by all shards, so that one can tell a series that is silent alone from a target that is down
//! and from a gap of our own. Series say what they know when a tick looks at them, so it is at most one
//! round of ticks old; that anything came in is said once a batch. What always holds: nothing here
//! touches a model, so scores do not depend on it; a target that no series holds is given up. All times
//! are of arrival, by the wall clock.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use crate::model::absence::{Others, Pause};
use crate::series::fingerprint::fingerprint;
use crate::series::labels;

/// A silence that is remembered as one, in milliseconds: shorter ones are nobody's matter.
const PAUSE_MIN_MS: i64 = 60_000;
/// Targets from which on those that are gone are looked for.
const TARGETS_MIN: usize = 1024;
/// What a target's `up` last said: not known, 0, anything else.
const SAID: [Option<bool>; 3] = [None, Some(false), Some(true)];
/// The number of an `up`: it speaks before all others.
pub const UP: u64 = 0;

/// When somebody was heard, and the last pause before that.
#[derive(Debug)]
struct Pulse {
    newest_ms: AtomicI64,
    pause_ms: AtomicI64,
    pause_end_ms: AtomicI64,
}

impl Pulse {
    fn new() -> Self {
        Self {
            newest_ms: AtomicI64::new(i64::MIN),
            pause_ms: AtomicI64::new(0),
            pause_end_ms: AtomicI64::new(i64::MIN),
        }
    }

    fn hear(&self, at_ms: i64) {
        let before = self.newest_ms.fetch_max(at_ms, Ordering::Relaxed);
        let pause = at_ms.saturating_sub(before);
        if pause >= PAUSE_MIN_MS {
            self.pause_ms.store(pause, Ordering::Relaxed);
            self.pause_end_ms.store(at_ms, Ordering::Relaxed);
        }
    }

    fn now(&self) -> Others {
        Others {
            newest_ms: self.newest_ms.load(Ordering::Relaxed),
            pause: Pause {
                length_ms: self.pause_ms.load(Ordering::Relaxed),
                end_ms: self.pause_end_ms.load(Ordering::Relaxed),
            },
        }
    }
}

/// The series of one `job` and `instance`.
#[derive(Debug)]
pub struct Target {
    pulse: Pulse,
    up: AtomicU8,
    /// The fingerprint of the series that speaks for it when it is silent, or `u64::MAX`.
    speaker: AtomicU64,
}

impl Target {
    /// A sample of one of its series arrived.
    pub fn hear(&self, at_ms: i64) {
        self.pulse.hear(at_ms);
    }

    /// What its `up` says.
    pub fn tell_up(&self, up: bool) {
        self.up.store(1 + u8::from(up), Ordering::Relaxed);
    }

    pub fn up(&self) -> Option<bool> {
        SAID[usize::from(self.up.load(Ordering::Relaxed)) % SAID.len()]
    }

    pub fn others(&self) -> Others {
        self.pulse.now()
    }

    /// Offers a series to speak for the target; true if it is the one that does: of those that offer
    /// themselves the one with the lowest number, its `up` before all others.
    pub fn is_spoken_for_by(&self, number: u64) -> bool {
        self.speaker.fetch_min(number, Ordering::Relaxed) >= number
    }

    /// A series that may have spoken for it no longer does.
    pub fn resign(&self, number: u64) {
        let (nobody, order) = (u64::MAX, Ordering::Relaxed);
        let _ = self.speaker.compare_exchange(number, nobody, order, order);
    }
}

/// The number under which a series would speak for its target.
pub fn number(canonical: &[u8]) -> u64 {
    match labels::get(canonical, labels::METRIC_NAME) {
        Some("up") => UP,
        _ => fingerprint(canonical),
    }
}

/// All targets, and whether anything comes in.
#[derive(Debug)]
pub struct Presence {
    any: Pulse,
    targets: Mutex<Targets>,
}

#[derive(Debug)]
struct Targets {
    all: HashMap<u64, Arc<Target>>,
    look_from: usize,
}

impl Presence {
    pub fn new() -> Self {
        Self {
            any: Pulse::new(),
            targets: Mutex::new(Targets {
                all: HashMap::new(),
                look_from: TARGETS_MIN,
            }),
        }
    }

    /// Something came in.
    pub fn hear(&self, at_ms: i64) {
        self.any.hear(at_ms);
    }

    pub fn any(&self) -> Others {
        self.any.now()
    }

    /// The target of a series; `None` for one with neither `job` nor `instance`.
    pub fn target(&self, canonical: &[u8]) -> Option<Arc<Target>> {
        let name = |name| labels::get(canonical, name).map(|value| (name, value));
        let of: Vec<_> = ["instance", "job"].into_iter().filter_map(name).collect();
        if of.is_empty() {
            return None;
        }
        let key = fingerprint(&labels::encode(of));
        let mut targets = self.targets.lock().unwrap_or_else(PoisonError::into_inner);
        if targets.all.len() >= targets.look_from {
            targets
                .all
                .retain(|_, target| Arc::strong_count(target) > 1);
            targets.look_from = TARGETS_MIN.max(2 * targets.all.len());
        }
        let target = targets.all.entry(key).or_insert_with(|| {
            Arc::new(Target {
                pulse: Pulse::new(),
                up: AtomicU8::new(0),
                speaker: AtomicU64::new(u64::MAX),
            })
        });
        Some(Arc::clone(target))
    }
}

impl Default for Presence {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_job_and_an_instance_and_is_given_up_when_nobody_holds_it() {
        let presence = Presence::new();
        let of = |name: &str, instance: &str| {
            let labels = [("__name__", name), ("instance", instance), ("job", "node")];
            presence.target(&labels::encode(labels)).unwrap()
        };
        assert!(Arc::ptr_eq(&of("a", "1"), &of("b", "1")));
        assert!(!Arc::ptr_eq(&of("a", "1"), &of("a", "2")));
        assert!(
            presence
                .target(&labels::encode([("__name__", "a")]))
                .is_none()
        );
        for i in 0..3 * TARGETS_MIN {
            of("a", &i.to_string());
        }
        assert!(presence.targets.lock().unwrap().all.len() <= TARGETS_MIN);
    }

    #[test]
    fn one_series_speaks_for_a_target_and_another_when_it_is_gone() {
        let presence = Presence::new();
        let target = presence.target(&labels::encode([("job", "a")])).unwrap();
        assert!(target.is_spoken_for_by(7));
        assert!(!target.is_spoken_for_by(9));
        assert!(target.is_spoken_for_by(3) && !target.is_spoken_for_by(7));
        target.resign(7);
        assert!(!target.is_spoken_for_by(7));
        target.resign(3);
        assert!(target.is_spoken_for_by(7));
        assert_eq!(number(&labels::encode([("__name__", "up")])), 0);
    }

    #[test]
    fn a_pause_is_remembered_with_its_end_and_old_news_is_none() {
        let pulse = Pulse::new();
        for at_ms in [1_000_000, 1_010_000, 1_400_000, 1_410_000, 1_300_000] {
            pulse.hear(at_ms);
        }
        let now = pulse.now();
        assert_eq!(now.newest_ms, 1_410_000);
        assert_eq!(now.pause.length_ms, 390_000);
        assert_eq!(now.pause.end_ms, 1_400_000);
    }
}

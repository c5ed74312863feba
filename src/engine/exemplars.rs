//! The exemplars of late, until an anomaly asks for those near its beginning.
//!
//! They are kept by the home of their series ([`crate::series::family::home`]), which the parts of a
//! histogram and the histogram itself share: the exemplars of its buckets are those of its statistics.
//! What always holds: the same requests in the same order leave the same exemplars; no more than
//! [`ALL_MAX`] and [`BYTES_MAX`], of which no home has more than [`OF_HOME_MAX`]. What it does not know:
//! what is from before a start, but for what the log is read again for.

use std::collections::{HashMap, VecDeque};

use super::batch::Batch;
use super::record::Exemplar;

/// Exemplars of one shard.
pub const ALL_MAX: usize = 4096;
/// Bytes of the exemplars of one shard, with about what it takes to hold them.
pub const BYTES_MAX: usize = 1 << 20;
/// Exemplars of one home, the newest ones: those of some scrapes.
pub const OF_HOME_MAX: usize = 16;
/// Exemplars of one anomaly.
pub const OF_ANOMALY_MAX: usize = 4;
/// Those from so long before an anomaly began are near it, in milliseconds: the look-back of
/// Prometheus ...
const BEFORE_MS: i64 = 300_000;
/// ... and those until so long after.
const AFTER_MS: i64 = 60_000;
/// How long after its beginning an anomaly looks for more of them, in milliseconds: that the next
/// sample comes after a long interval, or the exemplars after their samples.
pub const LOOKS_MS: i64 = 300_000;

/// The exemplars of one shard.
#[derive(Debug, Default)]
pub struct Exemplars {
    of: HashMap<u64, VecDeque<Exemplar>>,
    /// Every home once, in turn: each gives its oldest when there is no room.
    turns: VecDeque<u64>,
    all: usize,
    bytes: usize,
}

impl Exemplars {
    pub fn is_empty(&self) -> bool {
        self.all == 0
    }

    /// Takes those of a batch.
    pub fn take(&mut self, batch: &Batch) {
        for row in &batch.exemplars {
            self.put(
                row.home,
                Exemplar {
                    t_ms: row.timestamp_ms,
                    value: row.value,
                    labels: row.labels.of(&batch.body).into(),
                },
            );
        }
    }

    /// Takes one. One that is there already, because its request was sent twice, changes nothing.
    pub fn put(&mut self, home: u64, exemplar: Exemplar) {
        let known = self.of.entry(home).or_insert_with(|| {
            self.turns.push_back(home);
            VecDeque::new()
        });
        if known.iter().any(|e| e.is(&exemplar)) {
            return;
        }
        self.all += 1;
        self.bytes += bytes(&exemplar);
        known.push_back(exemplar);
        let oldest = (known.len() > OF_HOME_MAX).then(|| known.pop_front());
        if let Some(oldest) = oldest.flatten() {
            self.gone(&oldest);
        }
        while self.all > ALL_MAX || self.bytes > BYTES_MAX {
            let Some(home) = self.turns.pop_front() else {
                return;
            };
            let Some(known) = self.of.get_mut(&home) else {
                continue;
            };
            let oldest = known.pop_front();
            if known.is_empty() {
                self.of.remove(&home);
            } else {
                self.turns.push_back(home);
            }
            if let Some(oldest) = oldest {
                self.gone(&oldest);
            }
        }
    }

    fn gone(&mut self, exemplar: &Exemplar) {
        self.all -= 1;
        self.bytes -= bytes(exemplar);
    }

    /// Adds those near `start_ms` to the ones that an anomaly has, the nearest if there are too many,
    /// the newest last. True if it has others now. Whatever is added twice, and in whichever order,
    /// the same remain.
    pub fn add_near(&self, home: u64, start_ms: i64, to: &mut Vec<Exemplar>) -> bool {
        let Some(known) = self.of.get(&home) else {
            return false;
        };
        let near = |e: &&Exemplar| {
            let after_ms = e.t_ms.saturating_sub(start_ms);
            (-BEFORE_MS..=AFTER_MS).contains(&after_ms)
        };
        let new = |e: &&Exemplar| !to.iter().any(|had| had.is(e));
        let mut all: Vec<_> = known.iter().filter(near).filter(new).cloned().collect();
        if all.is_empty() {
            return false;
        }
        all.extend(to.iter().cloned());
        all.sort_by(|a, b| {
            let far = |e: &Exemplar| e.t_ms.abs_diff(start_ms);
            far(a).cmp(&far(b)).then_with(|| a.order(b))
        });
        all.truncate(OF_ANOMALY_MAX);
        all.sort_by(Exemplar::order);
        let same = all.len() == to.len() && all.iter().zip(&*to).all(|(a, b)| a.is(b));
        *to = all;
        !same
    }
}

/// What one takes, with its share of what holds it.
fn bytes(exemplar: &Exemplar) -> usize {
    exemplar.labels.len() + 2 * size_of::<Exemplar>()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exemplar(t_ms: i64, trace: &str) -> Exemplar {
        Exemplar {
            t_ms,
            value: 1.0,
            labels: crate::series::labels::encode([("trace_id", trace)]).into(),
        }
    }

    fn times(of: &[Exemplar]) -> Vec<i64> {
        of.iter().map(|e| e.t_ms).collect()
    }

    #[test]
    fn the_nearest_ones_are_taken_whatever_comes_twice() {
        let start_ms = 1_000_000;
        let mut all = Exemplars::default();
        let at = [-300_001, -300_000, -9_000, -8_000, 7_000, 60_000, 60_001];
        for ms in at {
            all.put(7, exemplar(start_ms + ms, "a"));
            all.put(7, exemplar(start_ms + ms, "a"));
        }
        all.put(8, exemplar(start_ms, "of another"));
        assert_eq!(all.all, at.len() + 1);
        let mut had = Vec::new();
        assert!(all.add_near(7, start_ms, &mut had));
        let wanted = [-9_000, -8_000, 7_000, 60_000].map(|ms| start_ms + ms);
        assert_eq!(times(&had), wanted);
        assert!(!all.add_near(7, start_ms, &mut had));
        all.put(7, exemplar(start_ms + 1, "b"));
        assert!(all.add_near(7, start_ms, &mut had));
        let wanted = [-9_000, -8_000, 1, 7_000].map(|ms| start_ms + ms);
        assert_eq!(times(&had), wanted);
        assert!(!all.add_near(9, start_ms, &mut had));
    }

    #[test]
    fn neither_one_series_nor_all_of_them_take_more_than_their_room() {
        let mut all = Exemplars::default();
        for t_ms in 0..100 {
            all.put(1, exemplar(t_ms, "a"));
        }
        assert_eq!(all.all, OF_HOME_MAX);
        for home in 0..2 * ALL_MAX as u64 {
            all.put(home, exemplar(home as i64, "a"));
        }
        assert!(all.all <= ALL_MAX && all.bytes <= BYTES_MAX);
        assert_eq!(all.turns.len(), all.of.len());
        // Long ones take more room each.
        let long = "x".repeat(500);
        for home in 0..2 * ALL_MAX as u64 {
            all.put(home, exemplar(home as i64, &long));
        }
        assert!(all.bytes <= BYTES_MAX && all.all < ALL_MAX / 2);
        let held = all.of.values().flatten();
        assert_eq!(held.map(bytes).sum::<usize>(), all.bytes);
        // The newest is there.
        let newest = 2 * ALL_MAX as u64 - 1;
        assert!(all.add_near(newest, newest as i64, &mut Vec::new()));
    }
}

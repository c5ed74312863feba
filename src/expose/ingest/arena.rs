//! Arenas that wait for their next request, and the samples that are taken out of one again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use crate::series::labels;
use crate::wire::write::{Refusal, Sample, SeriesSpan, WriteArena};

/// An arena that grew beyond this many bytes is not kept: one giant request must not hold its memory
/// for ever. A batch of 10,000 samples, the largest that senders make by default, needs half a MiB.
const KEEP_BYTES: usize = 16 * 1024 * 1024;

/// Arenas between two requests.
///
/// The lock is a plain mutex: it is held for a push or a pop, never over a decode or an await.
#[derive(Debug)]
pub(super) struct ArenaPool {
    idle: Mutex<Vec<WriteArena>>,
    idle_max: usize,
}

impl ArenaPool {
    pub(super) fn new(idle_max: usize) -> Arc<Self> {
        Arc::new(Self {
            idle: Mutex::new(Vec::new()),
            idle_max,
        })
    }

    /// An empty arena, warm if there is one.
    pub(super) fn take(self: &Arc<Self>) -> PooledArena {
        let idle = self.idle.lock().ok().and_then(|mut idle| idle.pop());
        PooledArena {
            arena: idle.unwrap_or_default(),
            pool: Arc::clone(self),
        }
    }
}

/// An arena that goes back, emptied, when dropped.
#[derive(Debug)]
pub(super) struct PooledArena {
    arena: WriteArena,
    pool: Arc<ArenaPool>,
}

impl Deref for PooledArena {
    type Target = WriteArena;
    fn deref(&self) -> &WriteArena {
        &self.arena
    }
}

impl DerefMut for PooledArena {
    fn deref_mut(&mut self) -> &mut WriteArena {
        &mut self.arena
    }
}

impl Drop for PooledArena {
    fn drop(&mut self) {
        let bytes = self.arena.samples.capacity() * size_of::<Sample>()
            + self.arena.series.capacity() * size_of::<SeriesSpan>();
        if bytes > KEEP_BYTES {
            return;
        }
        self.arena.clear();
        if let Ok(mut idle) = self.pool.idle.lock()
            && idle.len() < self.pool.idle_max
        {
            idle.push(std::mem::take(&mut self.arena));
        }
    }
}

/// Takes samples later than `latest_ms` out of the arena, as refused, and says how many they were.
/// Without any, which is the rule, this only looks at the timestamps.
pub(super) fn take_out_future(arena: &mut WriteArena, body: &[u8], latest_ms: i64) -> u32 {
    let newest = arena.samples.iter().map(|s| s.timestamp_ms).max();
    if newest.is_none_or(|newest| newest <= latest_ms) {
        return 0;
    }
    let mut taken = 0;
    let mut to = 0;
    let WriteArena {
        series,
        samples,
        refused,
        ..
    } = arena;
    for series in series {
        let (start, end) = (series.samples_start as usize, series.samples_end as usize);
        // Decoders append, so ranges rise, and compacting never overtakes what is still to be read.
        debug_assert!(to <= start, "BUG: sample ranges out of order");
        series.samples_start = to as u32;
        let mut late = 0;
        for from in start..end {
            if samples[from].timestamp_ms > latest_ms {
                late += 1;
            } else {
                samples[to] = samples[from];
                to += 1;
            }
        }
        series.samples_end = to as u32;
        if late > 0 {
            taken += late;
            let text = || labels::display(series.labels.of(body));
            refused.add(Refusal::FarFuture, late, text);
        }
    }
    samples.truncate(to);
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write::Span;

    fn arena(series: &[&[i64]]) -> WriteArena {
        let mut arena = WriteArena::default();
        for timestamps in series {
            let samples_start = arena.samples.len() as u32;
            arena.samples.extend(timestamps.iter().map(|&t| Sample {
                timestamp_ms: t,
                value: t as f64,
            }));
            arena.series.push(SeriesSpan {
                labels: Span::default(),
                name: Span::default(),
                samples_start,
                samples_end: arena.samples.len() as u32,
                histograms_start: 0,
                histograms_end: 0,
            });
        }
        arena
    }

    fn timestamps(arena: &WriteArena) -> Vec<Vec<i64>> {
        let of = |s: &SeriesSpan| {
            let samples = &arena.samples[s.samples_start as usize..s.samples_end as usize];
            samples.iter().map(|s| s.timestamp_ms).collect()
        };
        arena.series.iter().map(of).collect()
    }

    #[test]
    fn samples_from_the_future_go_and_the_rest_stays_in_order() {
        let mut arena = arena(&[&[1, 101], &[], &[100, 99, 102], &[103], &[-5, i64::MAX, 7]]);
        assert_eq!(take_out_future(&mut arena, &[], 100), 4);
        assert_eq!(
            timestamps(&arena),
            vec![vec![1], vec![], vec![100, 99], vec![], vec![-5, 7]]
        );
        assert!(
            arena
                .samples
                .iter()
                .all(|s| s.value == s.timestamp_ms as f64)
        );
        assert_eq!((arena.refused.series, arena.refused.samples), (4, 4));
        assert_eq!(arena.refused.named.len(), 3);
        assert!(
            arena
                .refused
                .named
                .iter()
                .all(|(why, _)| *why == Refusal::FarFuture)
        );
    }

    #[test]
    fn without_any_nothing_changes() {
        let mut arena = arena(&[&[1, 2], &[100]]);
        assert_eq!(take_out_future(&mut arena, &[], 100), 0);
        assert_eq!(timestamps(&arena), vec![vec![1, 2], vec![100]]);
        assert!(arena.refused.is_empty());
    }

    #[test]
    fn arenas_come_back_empty_and_giants_do_not() {
        let pool = ArenaPool::new(1);
        let mut first = pool.take();
        *first = arena(&[&[1, 2, 3]]);
        let capacity = first.samples.capacity();
        drop(first);
        let again = pool.take();
        assert!(again.samples.is_empty() && again.series.is_empty());
        assert_eq!(again.samples.capacity(), capacity);
        let mut giant = pool.take();
        giant.samples.reserve(KEEP_BYTES / size_of::<Sample>() + 1);
        drop(giant);
        assert_eq!(pool.take().samples.capacity(), 0);
    }
}

//! Arenas that wait for their next request, and what is taken out of one again.

use std::ops::{Deref, DerefMut};
use std::sync::{Arc, Mutex};

use crate::series::labels;
use crate::wire::write::{Lost, Refusal, WriteArena};

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
        if self.arena.capacity_bytes() > KEEP_BYTES {
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

/// Takes samples and histograms later than `latest_ms` out of the arena, as refused, and says how
/// many they were. Without any, which is the rule, this only looks at the timestamps.
pub(super) fn take_out_future(arena: &mut WriteArena, body: &[u8], latest_ms: i64) -> Lost {
    let samples = arena.samples.iter().map(|s| s.timestamp_ms);
    let histograms = arena.histograms.iter().map(|h| h.timestamp_ms);
    let newest = samples.max().max(histograms.max());
    if newest.is_none_or(|newest| newest <= latest_ms) {
        return Lost::default();
    }
    let mut taken = Lost::default();
    let WriteArena {
        series,
        samples,
        histograms,
        starts,
        refused,
        ..
    } = arena;
    // Where a sample went; `None` if it is out.
    let mut moved: Vec<Option<u32>> = Vec::new();
    if !starts.is_empty() {
        moved.resize(samples.len(), None);
    }
    let (mut samples_to, mut histograms_to) = (0, 0);
    for series in series {
        // Decoders append, so ranges rise, and compacting never overtakes what is still to be read.
        let all = series.samples_start..series.samples_end;
        series.samples_start = samples_to;
        for from in all.clone() {
            let sample = samples[from as usize];
            if sample.timestamp_ms <= latest_ms {
                samples[samples_to as usize] = sample;
                if let Some(moved) = moved.get_mut(from as usize) {
                    *moved = Some(samples_to);
                }
                samples_to += 1;
            }
        }
        series.samples_end = samples_to;
        let all_histograms = series.histograms_start..series.histograms_end;
        series.histograms_start = histograms_to;
        for from in all_histograms.clone() {
            let histogram = histograms[from as usize];
            if histogram.timestamp_ms <= latest_ms {
                histograms[histograms_to as usize] = histogram;
                histograms_to += 1;
            }
        }
        series.histograms_end = histograms_to;
        let lost = Lost {
            samples: all.len() as u32 - (series.samples_end - series.samples_start),
            histograms: all_histograms.len() as u32
                - (series.histograms_end - series.histograms_start),
            exemplars: 0,
        };
        if lost != Lost::default() {
            taken.samples += lost.samples;
            taken.histograms += lost.histograms;
            let text = || labels::display(series.labels.of(body));
            refused.add(Refusal::FarFuture, lost, text);
        }
    }
    samples.truncate(samples_to as usize);
    histograms.truncate(histograms_to as usize);
    starts.retain_mut(|start| match moved[start.sample as usize] {
        Some(to) => {
            start.sample = to;
            true
        }
        None => false,
    });
    taken
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write::{HistogramSpan, Sample, SampleStart, SeriesSpan, Span};

    fn lost(samples: u32, histograms: u32) -> Lost {
        Lost {
            samples,
            histograms,
            exemplars: 0,
        }
    }

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
        assert_eq!(take_out_future(&mut arena, &[], 100), lost(4, 0));
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
    fn histograms_go_likewise_and_starts_stay_with_their_samples() {
        let mut arena = arena(&[&[101, 1], &[], &[2, 102, 3]]);
        let histogram = |timestamp_ms| HistogramSpan {
            message: Span::default(),
            timestamp_ms,
            start_ms: 0,
        };
        arena.histograms = [5, 105, 106, 7].map(histogram).to_vec();
        for (series, end) in arena.series.iter_mut().zip([1, 3, 4]) {
            series.histograms_end = end;
        }
        (
            arena.series[1].histograms_start,
            arena.series[2].histograms_start,
        ) = (1, 3);
        arena.starts = [0, 2, 3, 4]
            .map(|sample| SampleStart {
                sample,
                start_ms: 10 + i64::from(sample),
            })
            .to_vec();
        assert_eq!(take_out_future(&mut arena, &[], 100), lost(2, 2));
        assert_eq!(timestamps(&arena), vec![vec![1], vec![], vec![2, 3]]);
        let histograms: Vec<_> = arena.histograms.iter().map(|h| h.timestamp_ms).collect();
        assert_eq!(histograms, [5, 7]);
        let ranges: Vec<_> = arena
            .series
            .iter()
            .map(|s| (s.histograms_start, s.histograms_end))
            .collect();
        assert_eq!(ranges, [(0, 1), (1, 1), (1, 2)]);
        let starts: Vec<_> = arena
            .starts
            .iter()
            .map(|s| (s.sample, s.start_ms))
            .collect();
        assert_eq!(starts, [(1, 12), (2, 14)]);
        assert_eq!((arena.refused.series, arena.refused.histograms), (3, 2));
    }

    #[test]
    fn without_any_nothing_changes() {
        let mut arena = arena(&[&[1, 2], &[100]]);
        assert_eq!(take_out_future(&mut arena, &[], 100), lost(0, 0));
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

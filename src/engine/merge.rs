//! Puts together the chunks of a series from memory and from the store: in order, each sample once.
//!
//! Chunks overlap after a history was given to a series that had samples already: the same samples
//! are then in chunks with other bounds. Such chunks are read and written anew; all others stay the
//! bytes that they are. A chunk that cannot be read is left out where it overlaps.

use std::collections::BTreeMap;

use super::ask::{AskError, Place, WindowChunk};
use super::keep::{ClosedChunk, PastChunks};
use crate::window::chunk;
use crate::window::encoding::Encoding;
use crate::window::head::Head;
use crate::window::histogram_chunk::{self, FinishedHistograms, HistogramAppender};
use crate::wire::histogram::NativeHistogram;

/// Adds to each of `windows` what the store has for its place. Each group is read once.
pub(super) fn add_past(
    past: &dyn PastChunks,
    places: &[Place],
    from_ms: i64,
    to_ms: i64,
    windows: &mut [Vec<ClosedChunk>],
) -> Result<(), AskError> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_unstable_by_key(|i| (places[*i].id, places[*i].position));
    for group in order.chunk_by(|a, b| places[*a].id == places[*b].id) {
        let mut positions: Vec<u16> = group.iter().map(|i| places[*i].position).collect();
        positions.dedup();
        let chunks = past
            .chunks(places[group[0]].id, &positions, from_ms, to_ms)
            .map_err(AskError::Store)?;
        for chunk in chunks {
            let first = group.partition_point(|i| places[*i].position < chunk.position);
            for i in group[first..]
                .iter()
                .take_while(|i| places[**i].position == chunk.position)
            {
                windows[*i].push(chunk.clone());
            }
        }
    }
    Ok(())
}

/// The chunks in order of time, each sample once.
pub(super) fn in_order(mut chunks: Vec<ClosedChunk>) -> Vec<WindowChunk> {
    chunks.retain(|c| c.encoding != Encoding::Anchor);
    chunks
        .sort_by(|a, b| (a.first_ms, a.last_ms, &a.bytes).cmp(&(b.first_ms, b.last_ms, &b.bytes)));
    // What was just written is in memory and in the store.
    chunks.dedup_by(|a, b| {
        a.first_ms == b.first_ms && a.encoding == b.encoding && a.bytes == b.bytes
    });
    let mut out = Vec::with_capacity(chunks.len());
    let mut chunks = chunks.into_iter().peekable();
    while let Some(first) = chunks.next() {
        let mut last_ms = first.last_ms;
        let mut overlapping = vec![first];
        while let Some(next) = chunks.next_if(|c| c.first_ms <= last_ms) {
            last_ms = last_ms.max(next.last_ms);
            overlapping.push(next);
        }
        if overlapping.len() == 1 {
            out.extend(overlapping.into_iter().map(WindowChunk::from));
        } else {
            rewrite(&overlapping, &mut out);
        }
    }
    out
}

/// One sample of either sort.
enum Sample {
    Float(f64),
    Histogram(Box<NativeHistogram>),
}

fn rewrite(overlapping: &[ClosedChunk], out: &mut Vec<WindowChunk>) {
    // The first of two samples with one time stays, as when they arrive.
    let mut samples = BTreeMap::new();
    for c in overlapping {
        if c.encoding == Encoding::Xor {
            for (t_ms, value) in chunk::decode(&c.bytes).unwrap_or_default() {
                samples.entry(t_ms).or_insert(Sample::Float(value));
            }
        } else {
            for h in histogram_chunk::decode(&c.bytes, c.encoding).unwrap_or_default() {
                let t_ms = h.timestamp_ms;
                samples
                    .entry(t_ms)
                    .or_insert_with(|| Sample::Histogram(Box::new(h)));
            }
        }
    }
    let mut floats = Head::new();
    let mut histograms = HistogramAppender::new();
    for (t_ms, sample) in samples {
        match sample {
            Sample::Float(value) => {
                out.extend(histograms.finish().map(native));
                out.extend(floats.take(t_ms, value).map(xor));
            }
            Sample::Histogram(h) => {
                out.extend(floats.cut().map(xor));
                out.extend(histograms.append(&h).map(native));
                if histograms.is_full() {
                    out.extend(histograms.finish().map(native));
                }
            }
        }
    }
    out.extend(floats.cut().map(xor));
    out.extend(histograms.finish().map(native));
}

fn xor(c: crate::window::head::Finished) -> WindowChunk {
    WindowChunk {
        first_ms: c.first_ms,
        last_ms: c.last_ms,
        samples: c.samples,
        encoding: Encoding::Xor,
        bytes: c.bytes.into(),
    }
}

fn native(c: FinishedHistograms) -> WindowChunk {
    WindowChunk {
        first_ms: c.first_ms,
        last_ms: c.last_ms,
        samples: c.samples,
        encoding: c.encoding,
        bytes: c.bytes.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn floats(samples: &[(i64, f64)]) -> ClosedChunk {
        let mut head = Head::new();
        for (t, v) in samples {
            assert_eq!(head.take(*t, *v), None);
        }
        let c = head.cut().unwrap();
        ClosedChunk {
            position: 3,
            first_ms: c.first_ms,
            last_ms: c.last_ms,
            samples: c.samples,
            encoding: Encoding::Xor,
            bytes: c.bytes,
        }
    }

    fn run(from: i64, to: i64) -> ClosedChunk {
        floats(&(from..to).map(|i| (i * 10, i as f64)).collect::<Vec<_>>())
    }

    fn read(chunks: &[WindowChunk]) -> Vec<(i64, f64)> {
        for pair in chunks.windows(2) {
            assert!(pair[0].last_ms < pair[1].first_ms, "no overlap");
        }
        chunks
            .iter()
            .flat_map(|c| {
                let samples = chunk::decode(&c.bytes).unwrap();
                assert_eq!(samples.len(), usize::from(c.samples));
                assert_eq!(
                    (samples[0].0, samples[samples.len() - 1].0),
                    (c.first_ms, c.last_ms)
                );
                samples
            })
            .collect()
    }

    #[test]
    fn chunks_that_do_not_overlap_stay_as_they_are() {
        let (a, b, c) = (run(0, 50), run(50, 100), run(100, 101));
        let out = in_order(vec![c.clone(), a.clone(), b.clone(), a.clone()]);
        let same: Vec<_> = [a, b, c].into_iter().map(WindowChunk::from).collect();
        assert_eq!(out, same);
    }

    #[test]
    fn each_sample_of_overlapping_chunks_comes_once() {
        let out = in_order(vec![run(0, 100), run(30, 60), run(90, 110), run(200, 210)]);
        let want: Vec<_> = (0..110)
            .chain(200..210)
            .map(|i| (i * 10, i as f64))
            .collect();
        assert_eq!(read(&out), want);
        assert_eq!(out.last(), Some(&WindowChunk::from(run(200, 210))));
        let many: Vec<_> = (0..90).map(|i| run(i, i + 60)).collect();
        let out = in_order(many);
        assert_eq!(read(&out).len(), 149);
        assert!(out.iter().all(|c| c.samples <= 120));
    }

    #[test]
    fn the_first_of_two_values_at_one_time_stays() {
        let out = in_order(vec![
            floats(&[(0, 1.0), (10, 2.0)]),
            floats(&[(10, 9.0), (20, 3.0)]),
        ]);
        assert_eq!(read(&out), [(0, 1.0), (10, 2.0), (20, 3.0)]);
    }

    #[test]
    fn floats_and_histograms_that_overlap_are_cut_where_the_sort_changes() {
        let mut appender = HistogramAppender::new();
        for t in [15, 35] {
            let h = NativeHistogram {
                timestamp_ms: t,
                ..NativeHistogram::default()
            };
            assert_eq!(appender.append(&h), None);
        }
        let c = appender.finish().unwrap();
        let histograms = ClosedChunk {
            position: 3,
            first_ms: c.first_ms,
            last_ms: c.last_ms,
            samples: c.samples,
            encoding: c.encoding,
            bytes: c.bytes,
        };
        let out = in_order(vec![floats(&[(10, 1.0), (20, 2.0), (30, 3.0)]), histograms]);
        let spans: Vec<_> = out
            .iter()
            .map(|c| (c.first_ms, c.last_ms, c.encoding))
            .collect();
        assert_eq!(
            spans,
            [
                (10, 10, Encoding::Xor),
                (15, 15, Encoding::Histogram),
                (20, 30, Encoding::Xor),
                (35, 35, Encoding::Histogram),
            ]
        );
    }
}

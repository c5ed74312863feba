//! Blocks of rollups: what is left of the chunks of one group that left retention together.
//!
//! Raw blocks leave in batches, so that the rows of one series lie together and few of them are cut
//! in two. What always holds: rows and the removal of what they were made from are one step; a row
//! that was cut at the border of two batches is put together again when it is read; histogram chunks
//! have no rows. It does not know what is a counter: of every series the least, the greatest, the
//! mean, the number and the last of the values as they came are kept, and the rate of a counter over
//! rows follows from the last ones.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::block::BLOCK_BYTES;
use super::value::ValueError;
use crate::config::StoreConfig;
use crate::engine::keep::KeptFor;
use crate::window::rollup::{self, Builder, ROWS_MAX, Row, STEP_MS};

/// Version of a stored block of rollups.
pub(super) const VERSION: u8 = 1;

/// Raw blocks leave when the oldest is older than the window by this share of it ...
const LATE_SHARE: i64 = 8;
/// ... and by this at least: twelve rows of each series.
const LATE_MIN_MS: i64 = 3_600_000;

/// Samples that are rolled up in one step, 16 bytes each; what is beyond leaves at the next one.
pub(super) const SAMPLES_MAX: usize = 1 << 20;

/// What is kept for how long, counted back from the newest sample of a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Retention {
    /// Raw samples.
    pub(super) window_ms: i64,
    /// Rows; none are made if this is not longer than `window_ms`.
    pub(super) rollups_ms: i64,
}

impl From<&StoreConfig> for Retention {
    fn from(config: &StoreConfig) -> Self {
        let millis = |d: Duration| i64::try_from(d.as_millis()).unwrap_or(i64::MAX);
        Self {
            window_ms: millis(config.window),
            rollups_ms: millis(config.rollups),
        }
    }
}

impl Retention {
    /// The longest of what holds where rules say otherwise; itself if there is nothing.
    pub(super) fn longest(self, kept_for: &[KeptFor]) -> Self {
        let longest = |of: fn(&KeptFor) -> Option<i64>, or: i64| {
            let all = kept_for.iter().map(|kept| of(kept).unwrap_or(or));
            all.max().unwrap_or(or)
        };
        Self {
            window_ms: longest(|k| k.window_ms, self.window_ms),
            rollups_ms: longest(|k| k.rollups_ms, self.rollups_ms),
        }
    }

    pub(super) fn rolls_up(self) -> bool {
        self.rollups_ms > self.window_ms
    }

    /// How much older than the window the oldest block is when blocks leave.
    pub(super) fn late_ms(self) -> i64 {
        match self.rolls_up() {
            true => (self.window_ms / LATE_SHARE).max(LATE_MIN_MS),
            false => 0,
        }
    }
}

/// Rows of one series, encoded.
#[derive(Serialize, Deserialize)]
struct Packed<B> {
    position: u16,
    /// The first sample of the first row; so rows of two batches are joined in the right order.
    first_ms: i64,
    rows: B,
}

/// A block to be written: the time that its rows span, and its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Rolled {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) payload: Vec<u8>,
}

/// Samples of series by position, from chunks that leave.
#[derive(Debug, Default)]
pub(super) struct Roller {
    series: BTreeMap<u16, Vec<Vec<(i64, f64)>>>,
    samples: usize,
}

impl Roller {
    pub(super) fn add(&mut self, position: u16, samples: Vec<(i64, f64)>) {
        if !samples.is_empty() {
            self.samples += samples.len();
            self.series.entry(position).or_default().push(samples);
        }
    }

    pub(super) fn is_full(&self) -> bool {
        self.samples >= SAMPLES_MAX
    }

    /// The rows that end after `oldest_ms`.
    pub(super) fn finish(self, oldest_ms: i64) -> Vec<Rolled> {
        let mut open: Vec<Packed<Vec<u8>>> = Vec::new();
        let (mut bytes, mut span) = (0, None);
        let mut out = Vec::new();
        for (position, mut chunks) in self.series {
            chunks.sort_by_key(|c| c.first().map(|s| s.0));
            let first_ms = chunks[0][0].0;
            let rows: Vec<Row> = rows(chunks.into_iter().flatten())
                .into_iter()
                .filter(|r| r.start_ms().saturating_add(STEP_MS) > oldest_ms)
                .collect();
            for rows in rows.chunks(ROWS_MAX) {
                let encoded = rollup::encode(rows);
                if bytes + encoded.len() > BLOCK_BYTES {
                    out.extend(close(&mut open, &mut span));
                    bytes = 0;
                }
                bytes += encoded.len();
                for row in rows {
                    let (from, to) = span.unwrap_or((i64::MAX, i64::MIN));
                    let end_ms = row.start_ms().saturating_add(STEP_MS - 1);
                    span = Some((row.start_ms().min(from), end_ms.max(to)));
                }
                open.push(Packed {
                    position,
                    first_ms: first_ms.max(rows[0].start_ms()),
                    rows: encoded,
                });
            }
        }
        out.extend(close(&mut open, &mut span));
        out
    }
}

fn close(open: &mut Vec<Packed<Vec<u8>>>, span: &mut Option<(i64, i64)>) -> Option<Rolled> {
    let (first_ms, last_ms) = span.take()?;
    let entries: Vec<_> = open
        .iter()
        .map(|p| Packed {
            position: p.position,
            first_ms: p.first_ms,
            rows: p.rows.as_slice(),
        })
        .collect();
    let payload = postcard::to_stdvec(&entries).expect("BUG: a block is numbers and bytes");
    open.clear();
    Some(Rolled {
        first_ms,
        last_ms,
        payload,
    })
}

/// Rows of samples in order of time; what is not newer than the one before is left out.
fn rows(samples: impl Iterator<Item = (i64, f64)>) -> Vec<Row> {
    let mut builder = Builder::new();
    let mut newest = i64::MIN;
    let mut rows = Vec::new();
    for (t_ms, value) in samples {
        if t_ms > newest || rows.is_empty() && builder.open().is_none() {
            newest = t_ms;
            rows.extend(builder.take(t_ms, value));
        }
    }
    rows.extend(builder.finish());
    rows
}

/// Rows of one series of a block, still encoded: position, first sample, bytes.
pub(super) type Entry<'a> = (u16, i64, &'a [u8]);

/// What is in a block.
pub(super) fn read(payload: &[u8]) -> Result<Vec<Entry<'_>>, ValueError> {
    let packed: Vec<Packed<&[u8]>> =
        postcard::from_bytes(payload).map_err(|e| ValueError::Decode(e.to_string()))?;
    Ok(packed
        .into_iter()
        .map(|p| (p.position, p.first_ms, p.rows))
        .collect())
}

/// Puts the rows of several blocks together, by series.
#[derive(Debug, Default)]
pub(super) struct Joined(BTreeMap<u16, Vec<(i64, Vec<Row>)>>);

impl Joined {
    /// Takes the rows of `entry` that have any of `[from_ms, to_ms]`.
    pub(super) fn add(
        &mut self,
        (position, first_ms, bytes): Entry<'_>,
        (from_ms, to_ms): (i64, i64),
    ) -> Result<(), ValueError> {
        let rows = rollup::between(bytes, from_ms, to_ms)
            .map_err(|e| ValueError::Decode(e.to_string()))?;
        if !rows.is_empty() {
            self.0.entry(position).or_default().push((first_ms, rows));
        }
        Ok(())
    }

    /// Position and rows of each series, in order; no two rows of a series are of the same time.
    pub(super) fn finish(self) -> Vec<(u16, Vec<Row>)> {
        self.0
            .into_iter()
            .map(|(position, mut parts)| {
                parts.sort_by_key(|(first_ms, rows)| (*first_ms, rows[0].start_ms()));
                // Written again after a write of which it was not known that it had succeeded.
                parts.dedup();
                let mut rows: Vec<Row> = parts.into_iter().flat_map(|(_, rows)| rows).collect();
                rows.sort_by_key(Row::start_ms);
                let mut joined: Vec<Row> = Vec::with_capacity(rows.len());
                for row in rows {
                    match joined.last_mut() {
                        Some(last) if last.start_ms() == row.start_ms() => *last = last.join(&row),
                        _ => joined.push(row),
                    }
                }
                (position, joined)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: i64 = 1_700_000_100_000;

    fn samples(from: i64, to: i64) -> Vec<(i64, f64)> {
        (from..to)
            .map(|i| (START + i * 15_000, (i * 37 % 101) as f64))
            .collect()
    }

    fn joined(blocks: &[Rolled], span: (i64, i64)) -> Vec<(u16, Vec<Row>)> {
        let mut joined = Joined::default();
        for block in blocks {
            for entry in read(&block.payload).unwrap() {
                joined.add(entry, span).unwrap();
            }
        }
        joined.finish()
    }

    #[test]
    fn rows_cut_by_two_batches_are_whole_again() {
        let whole = rows(samples(0, 300).into_iter());
        let mut first = Roller::default();
        let mut second = Roller::default();
        // 90 is within a row; the chunks come in another order than that of time.
        first.add(7, samples(50, 90));
        first.add(7, samples(0, 50));
        first.add(3, samples(0, 10));
        second.add(7, samples(90, 300));
        let blocks = [first.finish(0), second.finish(0)].concat();
        // Written twice, counted once.
        let blocks: Vec<Rolled> = [&blocks[..], &blocks[1..]].concat();
        let all = joined(&blocks, (0, i64::MAX));
        assert_eq!(all.iter().map(|s| s.0).collect::<Vec<_>>(), [3, 7]);
        let (_, back) = &all[1];
        assert_eq!(back.len(), whole.len());
        for (a, b) in back.iter().zip(&whole) {
            let plain = |r: &Row| (r.start_ms(), r.count(), r.min(), r.max(), r.last());
            assert_eq!(plain(a), plain(b));
            assert!((a.mean() - b.mean()).abs() <= (b.max() - b.min()) / 2000.0);
        }
        let some = joined(&blocks, (whole[2].start_ms(), whole[3].start_ms()));
        assert_eq!(some[0].1.len(), 2);
    }

    #[test]
    fn rows_past_their_retention_are_not_written() {
        let mut roller = Roller::default();
        roller.add(0, samples(0, 300));
        let rolled = roller.finish(START + 3_000_000);
        assert_eq!(rolled.len(), 1);
        assert!(rolled[0].first_ms + STEP_MS > START + 3_000_000);
        assert!(rolled[0].last_ms >= START + 299 * 15_000);
        let mut roller = Roller::default();
        roller.add(0, samples(0, 300));
        assert!(roller.finish(i64::MAX).is_empty());
    }

    #[test]
    fn many_series_are_several_blocks() {
        let mut roller = Roller::default();
        let mut rng = fastrand::Rng::with_seed(1);
        for position in 0..128 {
            let samples = (0..200).map(|i| (START + i * 300_000, rng.f64())).collect();
            roller.add(position, samples);
        }
        let rolled = roller.finish(0);
        assert!(rolled.len() > 1);
        assert!(
            rolled
                .iter()
                .all(|r| r.payload.len() < BLOCK_BYTES * 11 / 10)
        );
        assert_eq!(joined(&rolled, (0, i64::MAX)).len(), 128);
    }

    #[test]
    fn no_cut_block_is_read_and_none_panics() {
        let mut roller = Roller::default();
        roller.add(1, samples(0, 50));
        let payload = &roller.finish(0)[0].payload;
        for len in 0..payload.len() {
            assert!(read(&payload[..len]).is_err(), "cut to {len}");
        }
        assert!(Joined::default().add((0, 0, &[0xff; 3]), (0, 9)).is_err());
    }

    #[test]
    fn nothing_is_rolled_up_for_less_than_the_window() {
        let hour = 3_600_000;
        let of = |window_ms, rollups_ms| Retention {
            window_ms,
            rollups_ms,
        };
        assert_eq!(of(24 * hour, 0).late_ms(), 0);
        assert_eq!(of(24 * hour, 24 * hour).late_ms(), 0);
        assert_eq!(of(24 * hour, 25 * hour).late_ms(), 3 * hour);
        assert_eq!(of(hour, 25 * hour).late_ms(), hour);
    }
}

//! What readers see of a shard: which series match, and their samples in memory.

use super::native::closed_native;
use super::{Shard, closed};
use crate::engine::ask::{Found, Place};
use crate::engine::keep::ClosedChunk;
use crate::engine::table::Home;
use crate::score::track::Track;
use crate::series::kind::Kind;
use crate::series::matcher::Selector;
use crate::window::chunk;
use crate::window::head::{Finished, Head};
use crate::window::histogram_chunk::FinishedHistograms;

impl Shard {
    /// Series among those with numbers from `from` on that match and may have samples in
    /// `[from_ms, to_ms]`, and statistics of histograms if they are wanted; at most `slice` are looked
    /// at. Gives where to go on, if anywhere.
    pub fn select(
        &self,
        (selector, statistics): (&Selector, bool),
        (from_ms, to_ms): (i64, i64),
        from: u32,
        slice: u32,
        found: &mut Vec<Found>,
    ) -> Option<u32> {
        let end = self.table.end().min(from.saturating_add(slice));
        for at in from..end {
            if statistics && let Home::Histogram(h) = self.table.home(at) {
                self.select_statistics(h, selector, from_ms, found);
            }
            let Some((group, position, oldest_ms, newest_ms)) = self.reach(at) else {
                continue;
            };
            // What a series had before its open chunk is in the store, if there is one.
            let overlaps = newest_ms >= from_ms && (oldest_ms <= to_ms || self.parts.keeps);
            let labels = self.table.labels(at);
            if overlaps && selector.matches_labels(labels) {
                found.push(Found {
                    labels: labels.into(),
                    counter: self.is_counter(at),
                    place: Place {
                        shard: 0,
                        group,
                        position,
                        id: self.groups.get(group).id,
                    },
                    statistic: None,
                });
            }
        }
        (end < self.table.end()).then_some(end)
    }

    fn is_counter(&self, at: u32) -> bool {
        match self.table.home(at) {
            Home::Tracked(n) => {
                let slot = self.tracked.get(n);
                slot.is_some_and(|s| s.track.kind() == Kind::Counter)
            }
            _ => false,
        }
    }

    /// Group, position, and the times that the open chunks of a series span; `None` if it has no
    /// samples of its own.
    fn reach(&self, at: u32) -> Option<(u32, u16, i64, i64)> {
        let span = |head: &Head| {
            let newest = head.last_ms()?;
            Some((head.chunk().first_ms().unwrap_or(newest), newest))
        };
        match self.table.home(at) {
            Home::Tracked(n) => {
                let slot = self.tracked.get(n)?;
                let (oldest, newest) = span(slot.track.head())?;
                Some((slot.group, slot.position, oldest, newest))
            }
            Home::Plain(n) => {
                let slot = self.plain.get(n)?;
                let (oldest, newest) = span(&slot.head)?;
                Some((slot.group, slot.position, oldest, newest))
            }
            Home::Histogram(h) => {
                let slot = self.histograms.get(h)?;
                let native = slot.native.as_ref().and_then(|n| {
                    let newest = n.last_ms()?;
                    Some((n.open().first_ms().unwrap_or(newest), newest))
                });
                let floats = slot.floats.and_then(|n| self.tracked.get(n));
                let floats = floats.and_then(|f| span(f.track.head()));
                let (oldest, newest) = match (native, floats) {
                    (Some(a), Some(b)) => (a.0.min(b.0), a.1.max(b.1)),
                    (one, other) => one.or(other)?,
                };
                Some((slot.group, slot.position, oldest, newest))
            }
            Home::Asleep(n) => {
                let slot = self.asleep.get(n)?;
                let last_ms = slot.sleeper.last_ms?;
                Some((slot.group, slot.position, last_ms, last_ms))
            }
            Home::Nowhere => None,
        }
    }

    /// The chunks in memory of the series at this place that have samples in `[from_ms, to_ms]`; the
    /// open ones as they are now. In no order.
    pub fn chunks(
        &self,
        (group, position): (u32, u16),
        from_ms: i64,
        to_ms: i64,
    ) -> Vec<ClosedChunk> {
        let Some(at) = self.member(group, position) else {
            return Vec::new();
        };
        let finished = self.groups.get(group).finished(position).cloned();
        let mut chunks: Vec<_> = finished.chain(self.open_chunks(at, position)).collect();
        chunks.retain(|c| c.first_ms <= to_ms && c.last_ms >= from_ms);
        chunks
    }

    /// The series at a place.
    pub(super) fn member(&self, group: u32, position: u16) -> Option<u32> {
        let members = &self.groups.try_get(group)?.members;
        *members.get(usize::from(position))?
    }

    fn open_chunks(&self, at: u32, position: u16) -> Vec<ClosedChunk> {
        let floats = |head: &Head| {
            let open = head.chunk();
            let (first_ms, last_ms) = (open.first_ms()?, open.last_ms()?);
            let chunk = Finished {
                first_ms,
                last_ms,
                samples: open.len() as u16,
                bytes: open.bytes().to_vec(),
            };
            Some(closed(position, chunk))
        };
        match self.table.home(at) {
            Home::Tracked(n) => {
                let head = self.tracked.get(n).map(|s| s.track.head());
                head.and_then(floats).into_iter().collect()
            }
            Home::Plain(n) => {
                let head = self.plain.get(n).map(|s| &s.head);
                head.and_then(floats).into_iter().collect()
            }
            Home::Histogram(h) => {
                let Some(slot) = self.histograms.get(h) else {
                    return Vec::new();
                };
                let head = slot.floats.and_then(|n| self.tracked.get(n));
                let head = head.map(|s| Track::head(&s.track)).and_then(floats);
                let native = slot.native.as_ref().and_then(|native| {
                    let open = native.open();
                    let (first_ms, last_ms) = (open.first_ms()?, open.last_ms()?);
                    let chunk = FinishedHistograms {
                        first_ms,
                        last_ms,
                        samples: open.len() as u16,
                        encoding: open.encoding(),
                        bytes: open.bytes().to_vec(),
                    };
                    Some(closed_native(position, chunk))
                });
                head.into_iter().chain(native).collect()
            }
            // It has none.
            Home::Asleep(_) | Home::Nowhere => Vec::new(),
        }
    }

    /// The float samples in memory of the series at this place that are later than `after_ms`, in
    /// order of time.
    pub(super) fn floats_after(&self, group: u32, position: u16, after_ms: i64) -> Vec<(i64, f64)> {
        let chunks = super::super::merge::in_order(self.chunks(
            (group, position),
            after_ms.saturating_add(1),
            i64::MAX,
        ));
        chunks
            .iter()
            .filter_map(|c| chunk::decode(&c.bytes).ok())
            .flatten()
            .filter(|(t_ms, _)| *t_ms > after_ms)
            .collect()
    }
}

//! Which metadata the shards have heard already.
//!
//! Remote write 2.0 repeats the type of a family with each of its series in every request, 1.0 every
//! minute. Only what is new goes on: handing all of it to all shards each time would cost more than
//! the samples.
//!
//! What always holds: what was never handed over is never taken for known, but for a collision of
//! 64 keyed bits. What is known may be forgotten, and is handed over once more then.

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::wire::write::WriteArena;

/// Families that are remembered as handed over, 8 bytes each. Large Prometheus servers have some
/// 10,000; of more, some are handed over again now and then.
const REMEMBERED: usize = 1 << 16;

/// What is in the table where nothing is.
const NOTHING: u64 = 0;

/// A table without locks: a slot holds the hash of the family that came to it last.
#[derive(Debug)]
pub(super) struct Known {
    slots: Box<[AtomicU64]>,
    hasher: RandomState,
}

/// Families that were not known, to be remembered when they are with the shards.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct News(Vec<u64>);

impl Known {
    pub(super) fn new() -> Self {
        Self {
            slots: (0..REMEMBERED).map(|_| AtomicU64::new(NOTHING)).collect(),
            hasher: RandomState::new(),
        }
    }

    /// Leaves in the arena only the metadata that is not known.
    pub(super) fn keep_new(&self, arena: &mut WriteArena, body: &[u8]) -> News {
        let mut news = Vec::new();
        arena.metadata.retain(|metadata| {
            let said = (metadata.family.of(body), metadata.kind);
            let hash = self.hasher.hash_one(said).max(NOTHING + 1);
            let new = self.slot(hash).load(Ordering::Relaxed) != hash;
            if new {
                news.push(hash);
            }
            new
        });
        News(news)
    }

    /// Remembers what was handed over.
    pub(super) fn remember(&self, news: &News) {
        for hash in &news.0 {
            self.slot(*hash).store(*hash, Ordering::Relaxed);
        }
    }

    fn slot(&self, hash: u64) -> &AtomicU64 {
        &self.slots[hash as usize % REMEMBERED]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::write::{MetadataSpan, MetricType, Span};

    const BODY: &[u8] = b"requestslatency";
    const REQUESTS: Span = Span { start: 0, len: 8 };
    const LATENCY: Span = Span { start: 8, len: 7 };

    fn announced(said: &[(Span, MetricType)]) -> WriteArena {
        WriteArena {
            metadata: said
                .iter()
                .map(|&(family, kind)| MetadataSpan { family, kind })
                .collect(),
            ..WriteArena::default()
        }
    }

    #[test]
    fn what_is_handed_over_is_new_once() {
        let known = Known::new();
        let first = [
            (REQUESTS, MetricType::Counter),
            (LATENCY, MetricType::Gauge),
        ];
        let mut arena = announced(&first);
        let not_handed_over = known.keep_new(&mut arena, BODY);
        assert_eq!((arena.metadata.len(), not_handed_over.0.len()), (2, 2));

        let mut arena = announced(&first);
        let news = known.keep_new(&mut arena, BODY);
        assert_eq!(arena.metadata.len(), 2, "the first request was not taken");
        known.remember(&news);

        let mut arena = announced(&[first[1], first[0], (LATENCY, MetricType::Summary)]);
        let news = known.keep_new(&mut arena, BODY);
        assert_eq!(arena.metadata.len(), 1, "another type is news");
        assert_eq!(arena.metadata[0].kind, MetricType::Summary);
        assert_eq!(news.0.len(), 1);
    }
}

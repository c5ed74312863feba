//! What may be seen of a stored histogram without a shard, for tools.

use super::{Histogram, HistogramRef, NAMES};
use crate::score::judge::Judge;
use crate::score::track::Track;
use crate::window::histogram_chunk::HistogramAppender;

impl Histogram {
    /// Every judge in it, and which part of the series it is.
    pub fn judges_mut(&mut self) -> impl Iterator<Item = (u8, &mut Judge)> {
        let floats = self.floats.as_mut().map(|track| (0, track.judge_mut()));
        let stats = self.judges.iter_mut().zip(1_u8..);
        let stats = stats.filter_map(|(judge, part)| Some((part, &mut **judge.as_mut()?)));
        floats.into_iter().chain(stats)
    }

    /// The open chunk of native samples.
    pub fn open(&self) -> Option<&HistogramAppender> {
        self.native.as_deref().map(|n| n.open())
    }

    /// The series of floats with the same labels.
    pub fn floats(&self) -> Option<&Track> {
        self.floats.as_deref()
    }

    /// True if its samples come as buckets, sum and count.
    pub fn is_classic(&self) -> bool {
        self.classic.is_some()
    }

    /// The statistics that are judged, by name.
    pub fn judges(&self) -> impl Iterator<Item = (&'static str, &Judge)> {
        let named = NAMES.into_iter().zip(&self.judges);
        named.filter_map(|(name, judge)| Some((name, judge.as_deref()?)))
    }

    /// The same to be written.
    pub fn borrowed(&self) -> HistogramRef<'_> {
        HistogramRef {
            classic: self.classic.as_deref(),
            native: self.native.as_deref(),
            floats: self.floats.as_deref(),
            judges: std::array::from_fn(|i| self.judges[i].as_deref()),
            interval: &self.interval,
            last_ms: self.last_ms,
        }
    }
}

//! The judging of a histogram's statistics beside the histogram itself, for a history that is on its
//! way in, and the exchange in the end.

use super::{LABEL, NAMES, STATS, StatSlot, stat_seed, values};
use crate::engine::shard::Shard;
use crate::engine::shard::forest::Holder;
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::model::{Point, SeriesSpec};
use crate::score::board::Alarm;
use crate::score::judge::{Judge, Phase};
use crate::series::family;
use crate::window::histogram::Stats;
use crate::window::histogram::classic::Assembly;
use crate::window::interval::Interval;

/// The judges of a histogram apart from its place, as a history makes them anew.
#[derive(Debug, Default)]
pub(in crate::engine::shard) struct Judged {
    pub(in crate::engine::shard) judges: [Option<Box<Judge>>; STATS],
    specs: [Option<SeriesSpec>; STATS],
    /// What each shows after its newest value.
    pub(in crate::engine::shard) shown: [Option<(f32, Option<Alarm>)>; STATS],
    pub(in crate::engine::shard) interval: Interval,
    pub(in crate::engine::shard) last_ms: Option<i64>,
}

impl Judged {
    /// The histogram ended: see [`Shard::end_stats`].
    pub(in crate::engine::shard) fn close(&mut self) {
        self.shown = [None; STATS];
        for judge in self.judges.iter_mut().flatten() {
            judge.close();
        }
    }
}

impl Shard {
    /// Judges the statistics of one interval apart from their histogram, as [`Shard::judge_stats`]
    /// does in it.
    pub(in crate::engine::shard) fn judge_apart(
        &self,
        h: u32,
        judged: &mut Judged,
        t_ms: i64,
        stats: &Stats,
    ) {
        let Some(slot) = self.histograms.get(h) else {
            return;
        };
        if judged.last_ms.is_some_and(|last| t_ms <= last) {
            return;
        }
        if let Some(last) = judged.last_ms {
            judged.interval.take(t_ms.saturating_sub(last));
        }
        judged.last_ms = Some(t_ms);
        for (i, value) in values(stats).into_iter().enumerate() {
            let Some(value) = value else { continue };
            let spec = judged.specs[i].get_or_insert_with(|| {
                let labels = family::with(self.table.labels(slot.at), LABEL, NAMES[i]);
                self.parts.specs.resolve(&labels)
            });
            if !spec.model {
                continue;
            }
            let judge = judged.judges[i].get_or_insert_with(|| {
                let mut judge = Box::<Judge>::default();
                if slot.has_forest(i) {
                    judge.give_forest(spec, stat_seed(self.table.labels(slot.at), i));
                }
                judge
            });
            let judgement = judge.judge(spec, judged.interval.ms(), Point { t_ms, value });
            if let Some(score) = judgement.score {
                judged.shown[i] = Some((score, judgement.alarm));
            }
        }
    }

    /// Puts what was made anew in the place of what a histogram has.
    pub(in crate::engine::shard) fn replace_histogram(
        &mut self,
        h: u32,
        assembly: Assembly,
        judged: Judged,
        now_ms: i64,
    ) {
        let before: [_; STATS] = std::array::from_fn(|i| self.mark_of(Holder::Stat((h, i))));
        for (i, (judge, shown)) in judged.judges.into_iter().zip(judged.shown).enumerate() {
            let Some(judge) = judge else { continue };
            let fresh = Shown::of(Phase::Warmup, None);
            if let Some(slot) = self.histograms.get_mut(h)
                && let StatSlot::Judged(stat) = &mut slot.stats[i]
            {
                stat.judge.give_place(*judge);
            } else {
                self.begin_stat(h, i, *judge, fresh, now_ms);
            }
            if let Some(slot) = self.histograms.get_mut(h)
                && let StatSlot::Judged(stat) = &mut slot.stats[i]
            {
                let spec = self.parts.specs.get(stat.spec);
                let phase = stat.judge.phase(spec);
                let shown_as = Shown::of(phase, stat.judge.alarm()).waiting(slot.waits);
                self.tally.show(&mut stat.shown, shown_as);
                match shown {
                    Some((score, alarm)) => self.parts.board.set(stat.board, score, alarm),
                    None => self.parts.board.hide(stat.board),
                }
            }
        }
        let Some(slot) = self.histograms.get_mut(h) else {
            return;
        };
        slot.interval = judged.interval;
        slot.last_ms = judged.last_ms.unwrap_or(i64::MIN);
        if let Some(classic) = &mut slot.classic {
            **classic = assembly;
        }
        let mut live = 0;
        for at in &slot.parts {
            if let Home::Plain(n) = self.table.home(*at) {
                live += u32::from(self.plain.get(n).is_some_and(|s| !s.head.ended()));
            }
        }
        slot.live = live;
        self.anchor_all_stats(h, &[None; STATS], |i| Some(before[i]));
    }
}

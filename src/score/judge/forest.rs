//! The judge's side of a forest: who has one, and how often it is asked.

use super::Judge;
use crate::config::ForestUse;
use crate::model::forest::Tier;
use crate::model::forest::tier::{Moment, News};
use crate::model::{SeriesSpec, Step};

/// Samples over which it is counted how often a forest is asked.
const ASKS_OVER: f32 = 5000.0;

impl Judge {
    /// Gives the series a forest, unless it has one or is to have none. `seed` is the same for a
    /// series wherever it lives.
    pub fn give_forest(&mut self, spec: &SeriesSpec, seed: u64) {
        if self.forest.is_none() && spec.forest.wanted != ForestUse::Never {
            self.forest = Some(Box::new(Tier::new(&spec.forest, seed)));
        }
    }

    /// Takes the forest and all that it was grown from.
    pub fn take_forest(&mut self) -> Option<Box<Tier>> {
        self.forest.take()
    }

    /// Puts back what was taken.
    pub(in crate::score) fn put_forest(&mut self, forest: Option<Box<Tier>>) {
        self.forest = forest;
    }

    /// Share of the last several thousand samples for which it asks a forest, or would if it had one.
    pub fn asks(&self) -> f32 {
        self.asks
    }

    /// The series' forest, if it has one.
    pub fn forest(&self) -> Option<&Tier> {
        self.forest.as_deref()
    }

    pub fn forest_mut(&mut self) -> Option<&mut Tier> {
        self.forest.as_deref_mut()
    }

    /// The same series from nothing: what it is has changed.
    pub fn afresh(&mut self, spec: &SeriesSpec) -> Self {
        let afresh = |tier: &mut Tier| Box::new(tier.afresh(&spec.forest));
        Self {
            forest: self.forest.as_deref_mut().map(afresh),
            ..Self::new()
        }
    }

    /// Gives its place to the same series with more of its past: that has a forest if this one has,
    /// in its seat.
    pub fn give_place(&mut self, other: Self) {
        let old = std::mem::replace(self, other);
        self.take_seat_of(old);
    }

    pub(in crate::score) fn take_seat_of(&mut self, mut old: Self) {
        let seat = old.forest_mut().and_then(Tier::stand);
        match (seat, &mut self.forest) {
            (Some(seat), Some(tier)) => tier.sit(seat),
            // One that lost it meanwhile, or won one: it is one of many that ask.
            _ => self.forest = None,
        }
    }

    /// Lets the forest take a sample that was judged, or counts that one would have been asked.
    pub(super) fn teach_forest(
        &mut self,
        spec: &SeriesSpec,
        interval_ms: f64,
        t_ms: i64,
        step: &Step,
    ) -> News {
        let asks = step.always >= spec.forest.gate;
        self.asks += (f32::from(u8::from(asks)) - self.asks) / ASKS_OVER;
        let Some(tier) = &mut self.forest else {
            return News {
                wanted: asks && spec.forest.wanted != ForestUse::Never,
                ..News::default()
            };
        };
        let at = Moment {
            t_ms,
            interval_ms,
            day_ms: spec.day_ms,
        };
        tier.absorb(&spec.forest, at, &step.features())
    }
}

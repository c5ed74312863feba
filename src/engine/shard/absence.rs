//! Series that fell silent and are missed: alone, or for their whole target.
//!
//! A tick, not a sample, finds them, so what is found is shown and kept nowhere: the models do not
//! hear of it, and a sample ends it. See [`crate::model::absence`].

use std::sync::Arc;

use super::Shard;
use crate::engine::presence::{self, Target};
use crate::engine::tally::Shown;
use crate::model::absence::{Around, Silence};
use crate::score::board::Alarm;
use crate::score::judge::Phase;

/// What the silence of one series is judged by.
#[derive(Debug, Default)]
pub(super) struct Seat {
    /// What it belongs to, if to anything.
    target: Option<Arc<Target>>,
    /// Under which it would speak for its target.
    number: u64,
    /// Target and number are looked for at the first tick.
    taken: bool,
    /// It is the `up` of its target, and what that said last.
    up: Option<bool>,
    missed: Option<Alarm>,
}

impl Seat {
    /// Takes a sample; true if the series was missed until now.
    #[inline]
    pub(super) fn hears(&mut self, value: f64) -> bool {
        if let Some(up) = &mut self.up {
            *up = value != 0.0;
        }
        self.missed.take().is_some()
    }

    pub(super) fn is_missed(&self) -> bool {
        self.missed.is_some()
    }

    /// It does not speak for its target any more.
    pub(super) fn leave(&mut self) {
        if let Some(target) = &self.target {
            target.resign(self.number);
        }
    }
}

impl Shard {
    /// Shows a series that is absent as such; true if it is. What it knows of its target is told.
    pub(super) fn miss_if_absent(&mut self, at: u32, n: u32, now_ms: i64) -> bool {
        let Some(slot) = self.tracked.get_mut(n) else {
            return false;
        };
        let seat = &mut slot.seat;
        if !seat.taken {
            let canonical = self.table.labels(at);
            seat.number = presence::number(canonical);
            if seat.number == presence::UP {
                // Until its next sample says so.
                seat.up = Some(true);
            }
            seat.target = self.parts.presence.target(canonical);
            seat.taken = true;
        }
        if slot.track.ended() {
            // It said good-bye, and so it does not speak for anybody.
            slot.seat.leave();
            return false;
        }
        let spec = self.parts.specs.get(slot.spec);
        let mut speaks = false;
        let seat = &slot.seat;
        if let Some(target) = &seat.target {
            target.hear(slot.arrived_ms);
            if let Some(up) = seat.up {
                target.tell_up(up);
            }
            // One in its warm-up is never missed, so it must not be who is waited for.
            speaks =
                slot.track.phase(spec) != Phase::Warmup && target.is_spoken_for_by(seat.number);
        }
        let around = Around {
            now_ms,
            target: seat.target.as_ref().map(|t| t.others()),
            up: seat.target.as_ref().and_then(|t| t.up()),
            any: self.parts.presence.any(),
        };
        let silence = slot.track.judge().silence(spec, slot.arrived_ms, &around);
        let ratio = match silence {
            Silence::Absent(ratio) => Some(ratio),
            Silence::Target(ratio) if speaks => Some(ratio),
            // Nobody knows: what was said stays said.
            Silence::Intake => return slot.seat.is_missed(),
            Silence::Target(_) | Silence::Down | Silence::Usual => None,
        };
        // What has been away for so long is away.
        let lasts = now_ms.saturating_sub(slot.arrived_ms) <= spec.adapt_ms;
        let Some(ratio) = ratio.filter(|_| lasts) else {
            slot.seat.missed = None;
            return false;
        };
        let (score, alarm) = slot.track.judge().absence(spec, ratio, now_ms);
        if slot.seat.missed.is_none() {
            self.tally.began += 1;
            // What is sent on are scores of samples, of which there are none.
            self.tell_end(at, n);
        }
        let Some(slot) = self.tracked.get_mut(n) else {
            return false;
        };
        slot.seat.missed = Some(alarm);
        if let Some(records) = &mut self.parts.records
            && let Some(last_ms) = slot.track.head().last_ms()
        {
            let partition = self.groups.get(slot.group).id.partition;
            records.absent(partition, self.table.labels(at), last_ms, score, alarm);
        }
        let spec = self.parts.specs.get(slot.spec);
        let alarm = Some(alarm).filter(|_| spec.alerts(now_ms));
        self.parts.board.set(slot.board, score, alarm);
        let shown = Shown::of(slot.track.phase(spec), alarm).waiting(slot.waits);
        self.tally.show(&mut slot.shown, shown);
        true
    }
}

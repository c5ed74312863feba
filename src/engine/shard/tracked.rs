//! Series with a model of their own.

use super::absence::Seat;
use super::forest::Holder;
use super::{SILENT_INTERVALS, SILENT_MIN_MS, Shard, closed};
use crate::engine::anchor::{Anchor, is_due};
use crate::engine::joint::{JointTap, Sample, Standing};
use crate::engine::records::RecordTap;
use crate::engine::table::Home;
use crate::engine::tally::Shown;
use crate::model::Point;
use crate::model::forest::tier::News;
use crate::score::groups::counts_until;
use crate::score::judge::Phase;
use crate::score::track::{Taken, Track};
use crate::score::verdict::Change;
use crate::series::fingerprint::fingerprint;
use crate::series::kind::{self, Kind, Source};
use crate::series::labels;
use crate::telemetry::Outcome;
use crate::window::head::Head;

/// A generation of metadata that never comes.
pub(super) const HEARD_NOTHING: u32 = u32::MAX;

/// One modelled series.
#[derive(Debug)]
pub(super) struct Tracked {
    pub(super) track: Track,
    pub(super) spec: u32,
    pub(super) board: u32,
    pub(super) group: u32,
    pub(super) position: u16,
    pub(super) shown: Shown,
    /// Its history is still to come.
    pub(super) waits: bool,
    /// Generation of the metadata that this series has heard.
    pub(super) epoch: u32,
    /// Wall clock of its newest sample.
    pub(super) arrived_ms: i64,
    /// Wall clock of the newest sample that gave a value to judge; of its birth before the first.
    judged_ms: i64,
    /// What its silence is judged by.
    pub(super) seat: Seat,
    /// Where it is among those that are looked at together.
    joint: Standing,
}

impl Shard {
    /// A new series with a model.
    pub(super) fn add_tracked(&mut self, at: u32, place: (u32, u16), spec: u32, now_ms: i64) {
        let labels = self.table.labels(at);
        let (declared, head) = (self.declared(labels), Head::of_series(fingerprint(labels)));
        let track = Track::with_window(head, self.parts.specs.get(spec), declared);
        let shown = Shown::of(Phase::Warmup, None);
        let n = self.put_tracked(at, place, spec, track, shown, now_ms);
        self.table.settle(at, Home::Tracked(n));
        self.add_kin(at, place);
    }

    /// Gives a track its place; whoever calls says in the table where it is.
    pub(super) fn put_tracked(
        &mut self,
        at: u32,
        (group, position): (u32, u16),
        spec: u32,
        track: Track,
        shown: Shown,
        now_ms: i64,
    ) -> u32 {
        let mut track = track;
        let is_new = self.parts.specs.is_new_for(self.table.labels(at), spec);
        let rules_before = match is_new && self.parts.keeps && track.head().last_ms().is_some() {
            true => self.parts.specs.mark_before(self.table.labels(at)),
            false => None,
        };
        let ended = rules_before.map(|rules| (rules, track.mark()));
        let seed = fingerprint(self.table.labels(at));
        let had_forest = track.judge().forest().is_some();
        self.seat(track.judge_mut(), self.parts.specs.get(spec), seed);
        let has_forest = track.judge().forest().is_some();
        let mut slot = Tracked {
            track,
            spec,
            board: self.parts.board.add(self.table.place(at)),
            group,
            position,
            shown: Shown::default(),
            waits: false,
            epoch: self.epoch,
            arrived_ms: now_ms,
            judged_ms: now_ms,
            seat: Seat::default(),
            joint: Standing::Unknown,
        };
        self.tally.show(&mut slot.shown, shown);
        let n = self.tracked.insert(slot);
        if had_forest != has_forest || is_new {
            self.anchor_anew(n, ended);
        }
        n
    }

    /// What metadata and its name say that a series is.
    pub(super) fn declared(&self, canonical: &[u8]) -> Option<(Kind, Source)> {
        let name = labels::get(canonical, labels::METRIC_NAME)?;
        kind::declared(name, |family| {
            self.families.get(family).map(|known| known.kind)
        })
    }

    pub(super) fn sample(
        &mut self,
        at: u32,
        n: u32,
        t_ms: i64,
        value: f64,
        start_ms: Option<i64>,
        now_ms: i64,
    ) -> Outcome {
        let Some(mut slot) = self.tracked.get_mut(n) else {
            return Outcome::Skipped;
        };
        if slot.track.judge().seen() == 0 && value.is_finite() {
            self.offer_template(at, n);
            slot = self.tracked.get_mut(n).expect("BUG: the series was there");
        }
        if self.parts.specs.is_old(slot.spec) {
            self.renew_tracked(at, n);
            slot = self.tracked.get_mut(n).expect("BUG: the series was there");
        }
        let had_score = self.parts.board.entry(slot.board).score().is_some();
        if slot.epoch != self.epoch {
            self.declare(at, n);
            slot = self.tracked.get_mut(n).expect("BUG: the series was there");
        }
        let spec = self.parts.specs.get(slot.spec);
        let seen = slot.track.judge().seen();
        let starts = start_ms.filter(|start| slot.track.minds_start(t_ms, *start));
        let before_ms = slot
            .track
            .head()
            .last_ms()
            .unwrap_or(t_ms.saturating_sub(1));
        let missed = slot.seat.hears(value);
        if !spec.model {
            slot.arrived_ms = now_ms;
            return Outcome::Skipped;
        }
        let mut forest = News::default();
        let was_scored = !slot.track.ended() && slot.track.phase(spec) != Phase::Warmup;
        let wants_band = self.parts.tap.as_ref().is_some_and(|t| t.wants().band);
        let mut band = None;
        let mut peak_band = None;
        let mut value_judged = 0.0;
        let had_alarm = slot.track.alarm().is_some();
        let (records, table) = (&self.parts.records, &self.table);
        let taken = slot.track.take_seen(
            spec,
            t_ms,
            value,
            start_ms,
            |judge, interval_ms, x| {
                value_judged = x.value;
                if wants_band {
                    band = judge.band(spec, interval_ms, x.t_ms, Some(x.value));
                }
            },
            |judge, interval_ms, x, size| {
                let peak = |r: &RecordTap| r.is_peak(table.fingerprint(at), size);
                if records.as_ref().is_some_and(peak) {
                    peak_band = judge.band(spec, interval_ms, x.t_ms, Some(x.value));
                }
            },
        );
        let partition = self.groups.get(slot.group).id.partition;
        let (outcome, finished) = match taken {
            Taken::Old(order) => return super::not_newer(order).unwrap_or(Outcome::Late),
            Taken::Ended { finished, .. } => {
                // Not by what the board shows: a restored series may end with its first sample.
                if was_scored && let Some(tap) = &mut self.parts.tap {
                    tap.ended(partition, self.table.labels(at), t_ms);
                }
                if let Some(records) = &mut self.parts.records {
                    records.stale(self.table.labels(at), t_ms);
                }
                if was_scored && let Some(joints) = &mut self.parts.joints {
                    let ended = Sample {
                        t_ms,
                        interval_ms: 0,
                        z: f32::NAN,
                        deviation: 0.0,
                        ended: true,
                    };
                    joints.tell(&mut slot.joint, false, ended, || {
                        let entry = self.parts.board.entry_of(slot.board);
                        (self.table.labels(at).into(), partition, entry)
                    });
                }
                self.parts.board.hide(slot.board);
                let shown = Shown::ended().waiting(slot.waits);
                self.tally.show(&mut slot.shown, shown);
                (Outcome::Stale, finished)
            }
            Taken::Kept {
                judgement,
                finished,
                note,
            } => {
                self.tally.note(note);
                if note.reset {
                    let labels = self.table.labels(at);
                    self.parts.resets.saw(labels, (before_ms, t_ms), now_ms);
                }
                let phase = slot.track.phase(spec);
                if let Some(judged) = judgement {
                    slot.judged_ms = now_ms;
                    forest = judged.forest;
                    if phase != Phase::Warmup
                        && let Some(joints) = &mut self.parts.joints
                    {
                        let x = Sample {
                            t_ms,
                            interval_ms: slot.track.head().interval_ms() as u32,
                            z: judged.z,
                            deviation: judged.evidence.map_or(0.0, |e| e.deviation) as f32,
                            ended: false,
                        };
                        let due = !was_scored || JointTap::is_due(slot.position, before_ms, t_ms);
                        joints.tell(&mut slot.joint, due, x, || {
                            let entry = self.parts.board.entry_of(slot.board);
                            (self.table.labels(at).into(), partition, entry)
                        });
                    }
                    let until_ms = counts_until(now_ms, slot.track.head().interval_ms());
                    self.parts.board.tell(slot.board, spec, &judged, until_ms);
                    if let Some(tap) = &mut self.parts.tap {
                        tap.judged(partition, self.table.labels(at), t_ms, &judged, band);
                    }
                    if let Some(records) = &mut self.parts.records
                        && (had_alarm || judged.alarm.is_some() || missed || records.wants_all())
                    {
                        let labels = self.table.labels(at);
                        let x = Point {
                            t_ms,
                            value: value_judged,
                        };
                        records.judged(partition, labels, labels, x, &judged, peak_band);
                    }
                    if let Some(Change::Began(_)) = judged.change {
                        self.tally.began += 1;
                    }
                    let alarm = judged.alarm.filter(|_| judged.alerts);
                    let shown = Shown::of(phase, alarm).waiting(slot.waits);
                    if shown != slot.shown {
                        self.tally.show(&mut slot.shown, shown);
                    }
                } else if missed || phase == Phase::Warmup {
                    // Its models may just have started afresh: what they said before is no more.
                    if had_score && let Some(tap) = &mut self.parts.tap {
                        tap.ended(partition, self.table.labels(at), t_ms);
                    }
                    self.parts.board.hide(slot.board);
                    let shown = Shown::of(phase, None).waiting(slot.waits);
                    self.tally.show(&mut slot.shown, shown);
                }
                (Outcome::Accepted, finished)
            }
        };
        slot.arrived_ms = now_ms;
        let (group, position) = (slot.group, slot.position);
        let now_seen = slot.track.judge().seen();
        if let Some(start_ms) = starts {
            self.keep_anchor((group, position), before_ms, &Anchor::Starts(start_ms));
        }
        self.hear_of_forest(Holder::Tracked(n), forest, |shard| {
            fingerprint(shard.table.labels(at))
        });
        self.touch(group, t_ms);
        if let Some(chunk) = finished {
            self.close(group, closed(position, chunk));
        }
        if now_seen > seen && is_due(now_seen, position) {
            self.anchor_on(n);
        } else if seen == 0 && now_seen > 1 {
            // It began with what a sibling knows.
            self.anchor(n, None);
        }
        outcome
    }

    /// Has a restored series hear its metadata with its next sample, as it would have without the
    /// restart.
    pub(super) fn hears_again(&mut self, n: u32) {
        if let Some(slot) = self.tracked.get_mut(n) {
            slot.epoch = HEARD_NOTHING;
        }
    }

    fn declare(&mut self, at: u32, n: u32) {
        let declared = self.declared(self.table.labels(at));
        let epoch = self.epoch;
        if let Some(slot) = self.tracked.get_mut(n) {
            slot.epoch = epoch;
            let spec = self.parts.specs.get(slot.spec);
            let heard = slot.track.would_hear(spec, declared);
            if slot.track.declare(spec, declared) {
                self.parts.board.hide(slot.board);
                let shown = Shown::of(slot.track.phase(spec), None).waiting(slot.waits);
                self.tally.show(&mut slot.shown, shown);
            }
            let place = (slot.group, slot.position);
            if heard && let Some(last_ms) = slot.track.head().last_ms() {
                self.keep_anchor(place, last_ms, &Anchor::Declared(declared));
            }
        }
    }

    /// Hides a series that fell silent, puts an idle one to sleep, forgets one long gone.
    pub(super) fn look_at_tracked(&mut self, at: u32, n: u32, now_ms: i64) {
        self.renew_idle(at, n);
        if !self.is_modelled(n) || !self.miss_if_absent(at, n, now_ms) {
            self.hide_if_silent(at, n, now_ms);
        }
        let Some(slot) = self.tracked.get(n) else {
            return;
        };
        if !self.is_long_ago(slot.arrived_ms, now_ms) {
            if slot.seat.is_missed() && self.parts.budget.has_room() {
                return;
            }
            self.lull_tracked(at, n, now_ms);
        } else if let Some(slot) = self.take_tracked(at, n) {
            self.vacate(at, slot.group, slot.position, 1);
        }
    }

    /// False if changed rules leave it out.
    fn is_modelled(&self, n: u32) -> bool {
        let slot = self.tracked.get(n);
        slot.is_none_or(|slot| self.parts.specs.get(slot.spec).model)
    }

    pub(super) fn hide_if_silent(&mut self, at: u32, n: u32, now_ms: i64) {
        let Some(slot) = self.tracked.get_mut(n) else {
            return;
        };
        let silent = (SILENT_INTERVALS * slot.track.head().interval_ms()).max(SILENT_MIN_MS);
        if now_ms.saturating_sub(slot.judged_ms) as f64 > silent {
            self.tell_end(at, n);
            let Some(slot) = self.tracked.get_mut(n) else {
                return;
            };
            self.parts.board.hide(slot.board);
            let shown = Shown::ended().waiting(slot.waits);
            self.tally.show(&mut slot.shown, shown);
        }
    }

    /// Tells those who hear of scores that a series has none any more, if it shows one. The time is
    /// just behind its newest sample: the next one, whenever it comes, is later.
    pub(super) fn tell_end(&mut self, at: u32, n: u32) {
        let Some(slot) = self.tracked.get(n) else {
            return;
        };
        if let Some(records) = &mut self.parts.records {
            records.silent(self.table.labels(at), slot.track.head().last_ms());
        }
        if self.parts.board.entry(slot.board).score().is_some()
            && !slot.seat.is_missed()
            && let Some(tap) = &mut self.parts.tap
            && let Some(last_ms) = slot.track.head().last_ms()
        {
            let partition = self.groups.get(slot.group).id.partition;
            tap.ended(partition, self.table.labels(at), last_ms.saturating_add(1));
        }
    }

    /// Takes a track out of its place, the board and the counts.
    pub(super) fn take_tracked(&mut self, at: u32, n: u32) -> Option<Tracked> {
        self.tell_end(at, n);
        let mut slot = self.tracked.remove(n)?;
        slot.seat.leave();
        self.parts.board.remove(slot.board);
        self.tally.show(&mut slot.shown, Shown::default());
        Some(slot)
    }
}

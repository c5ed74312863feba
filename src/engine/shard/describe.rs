//! What a shard says of its series, see [`crate::engine::catalogue`].

use super::Shard;
use crate::engine::catalogue::{ModelSummary, Pages, SeriesStatus, Sort, Stage, Wanted};
use crate::engine::models::ModelStatus;
use crate::engine::table::Home;
use crate::model::SeriesSpec;
use crate::score::judge::{Judge, Phase};
use crate::series::fingerprint::fingerprint;
use crate::series::kind::Kind;

impl Shard {
    /// Looks at most at `slice` series from number `from` on. Gives where to go on, if anywhere.
    pub(in crate::engine) fn describe(
        &self,
        wanted: &Wanted,
        from: u32,
        slice: u32,
        found: &mut Pages,
    ) -> Option<u32> {
        let end = self.table.end().min(from.saturating_add(slice));
        for at in from..end {
            match self.table.home(at) {
                Home::Nowhere => {}
                Home::Histogram(h) => {
                    for (labels, board, judge, spec) in self.stats_of(h) {
                        let labels = self.table.kept_labels(labels);
                        self.put(wanted, labels, found, || {
                            let (interval_ms, last_ms, ended) = self.statistic_time(h);
                            let spec = self.parts.specs.get(spec);
                            let model = Some(summary(judge, spec, interval_ms));
                            let stage = stage(judge, spec, ended);
                            self.shown(
                                board,
                                SeriesStatus {
                                    last_ms,
                                    model,
                                    ..status(labels, Sort::Statistic, stage)
                                },
                            )
                        });
                    }
                    let floats = self.histograms.get(h).and_then(|slot| slot.floats);
                    if let Some(n) = floats {
                        self.put_tracked_status(at, n, wanted, found);
                    }
                }
                Home::Tracked(n) => self.put_tracked_status(at, n, wanted, found),
                Home::Plain(n) => {
                    let labels = self.table.labels(at);
                    self.put(wanted, labels, found, || {
                        let head = self.plain.get(n).map(|slot| &slot.head);
                        let ended = head.is_some_and(|h| h.ended());
                        let stage = if ended { Stage::Ended } else { Stage::None };
                        SeriesStatus {
                            last_ms: head.and_then(|h| h.last_ms()),
                            ..status(labels, Sort::Window, stage)
                        }
                    });
                }
                Home::Asleep(n) => {
                    let labels = self.table.labels(at);
                    self.put(wanted, labels, found, || SeriesStatus {
                        last_ms: self.asleep.get(n).and_then(|a| a.sleeper.last_ms),
                        ..status(labels, Sort::Asleep, Stage::None)
                    });
                }
            }
        }
        (end < self.table.end()).then_some(end)
    }

    fn put_tracked_status(&self, at: u32, n: u32, wanted: &Wanted, found: &mut Pages) {
        let Some(slot) = self.tracked.get(n) else {
            return;
        };
        let labels = self.table.labels(at);
        self.put(wanted, labels, found, || {
            let spec = self.parts.specs.get(slot.spec);
            let track = &slot.track;
            let sort = match track.kind() {
                Kind::Gauge => Sort::Gauge,
                Kind::Counter => Sort::Counter,
            };
            let model = summary(track.judge(), spec, track.head().interval_ms());
            let stage = stage(track.judge(), spec, track.ended());
            self.shown(
                slot.board,
                SeriesStatus {
                    missing: slot.seat.is_missed(),
                    last_ms: track.head().last_ms(),
                    model: Some(model),
                    ..status(labels, sort, stage)
                },
            )
        });
    }

    fn put(
        &self,
        wanted: &Wanted,
        labels: &[u8],
        found: &mut Pages,
        what: impl FnOnce() -> SeriesStatus,
    ) {
        let fingerprint = fingerprint(labels);
        if found.reaches(wanted, fingerprint) && wanted.wants(fingerprint, labels) {
            found.take(wanted, fingerprint, what());
        }
    }

    fn shown(&self, board: u32, status: SeriesStatus) -> SeriesStatus {
        let entry = self.parts.board.entry(board);
        SeriesStatus {
            score: entry.score(),
            alarm: entry.alarm(),
            ..status
        }
    }
}

fn status(labels: &[u8], sort: Sort, stage: Stage) -> SeriesStatus {
    SeriesStatus {
        labels: labels.into(),
        sort,
        stage,
        missing: false,
        last_ms: None,
        score: None,
        alarm: None,
        model: None,
    }
}

fn stage(judge: &Judge, spec: &SeriesSpec, ended: bool) -> Stage {
    match judge.phase(spec) {
        _ if ended => Stage::Ended,
        Phase::Warmup => Stage::Warmup,
        Phase::Young => Stage::Young,
        Phase::Mature => Stage::Mature,
    }
}

fn summary(judge: &Judge, spec: &SeriesSpec, interval_ms: f64) -> ModelSummary {
    let (level, scale) = judge.usual();
    ModelSummary {
        interval_ms,
        samples: judge.seen(),
        warmup: spec.warmup,
        young: spec.young,
        level,
        scale,
        knows_the_day: judge.knows_the_day(),
        calendar: spec.calendar.clone(),
        bytes: size_of::<Judge>() + judge.heap_bytes(),
        forest: ModelStatus::of(judge, spec),
    }
}

//! Series side by side through the code that serves, and the anomalies that come of it.

use std::collections::HashMap;

use serde::Serialize;

use super::input::Event;
use super::picture::{Picture, Seen};
use crate::config::Severity;
use crate::engine::rules::Rules;
use crate::model::SeriesSpec;
use crate::score::board::{AlarmState, Reason, Side};
use crate::score::track::{Taken, Track};
use crate::series::fingerprint::fingerprint;
use crate::series::kind::{self, Kind, Source};
use crate::series::labels;

/// Series that are held at once, at most: each has a state of 2 KB, a forest of 65 KB if it may, and
/// a picture of 30 KB if there is to be one.
pub(super) const SERIES_MAX: usize = 50_000;
/// Anomalies that are held, at most; the rest is counted.
const ANOMALIES_MAX: usize = 200_000;

/// One anomaly, from its first sample over the line to its last.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Anomaly {
    /// As PromQL prints it.
    pub(super) series: String,
    pub(super) start_ms: i64,
    /// Of its last sample; of the newest one if it had not ended.
    pub(super) end_ms: i64,
    pub(super) ended: bool,
    pub(super) severity: &'static str,
    pub(super) direction: &'static str,
    pub(super) reason: &'static str,
    /// Highest score, its time and value, and what was expected there.
    pub(super) score: f32,
    pub(super) peak_ms: i64,
    pub(super) value: f64,
    pub(super) expected: f64,
    /// -log10 of how often the series reaches such evidence.
    pub(super) rarity: f64,
    #[serde(skip)]
    pub(super) grave: (Severity, u32),
}

/// One series that had an anomaly, for the page.
#[derive(Debug)]
pub(super) struct Drawn {
    pub(super) series: String,
    pub(super) picture: Picture,
    /// Numbers of its anomalies.
    pub(super) anomalies: Vec<usize>,
}

/// What came of everything.
#[derive(Debug, Default)]
pub(super) struct Past {
    /// In the order of their start.
    pub(super) anomalies: Vec<Anomaly>,
    pub(super) drawn: Vec<Drawn>,
    pub(super) series: u64,
    pub(super) samples: u64,
    pub(super) scored: u64,
    pub(super) over_line: u64,
    /// Samples that were not newer than the newest of their series.
    pub(super) old: u64,
    /// Series that `serve` would not model, or models as part of a histogram.
    pub(super) not_modelled: u64,
    pub(super) over_limit: u64,
    pub(super) unheld: u64,
    pub(super) first_ms: Option<i64>,
    pub(super) last_ms: Option<i64>,
}

/// One series under way.
#[derive(Debug)]
struct Playing {
    series: String,
    spec: SeriesSpec,
    track: Box<Track>,
    picture: Option<Picture>,
    open: Option<Open>,
    anomalies: Vec<usize>,
    /// The sample before.
    last: (i64, f64),
}

/// An anomaly under way; suspected until it is active.
#[derive(Debug)]
struct Open {
    anomaly: Anomaly,
    active: bool,
}

/// Everything under one configuration.
#[derive(Debug)]
pub(super) struct Player {
    rules: Rules,
    forests: bool,
    pictured: bool,
    report_from: i64,
    playing: HashMap<Box<[u8]>, Option<Playing>>,
    past: Past,
}

impl Player {
    pub(super) fn new(
        rules: Rules,
        forests: bool,
        pictured: bool,
        report_from: Option<i64>,
    ) -> Self {
        Self {
            rules,
            forests,
            pictured,
            report_from: report_from.unwrap_or(i64::MIN),
            playing: HashMap::new(),
            past: Past::default(),
        }
    }

    pub(super) fn hear(&mut self, event: &Event<'_>) {
        match event {
            Event::Sample {
                series,
                declared,
                t_ms,
                value,
            } => {
                if !self.playing.contains_key(*series) {
                    self.begin(series, *declared);
                }
                if let Some(Some(playing)) = self.playing.get_mut(*series) {
                    self.past.samples += 1;
                    playing.take(*t_ms, *value, self.report_from, &mut self.past);
                }
            }
            Event::End { series } => {
                if let Some(Some(playing)) = self.playing.remove(*series) {
                    playing.end(&mut self.past);
                }
            }
        }
    }

    pub(super) fn finish(mut self) -> Past {
        let mut rest: Vec<Playing> = self.playing.drain().filter_map(|(_, p)| p).collect();
        rest.sort_by(|a, b| a.series.cmp(&b.series));
        for playing in rest {
            playing.end(&mut self.past);
        }
        // The places of anomalies are names for what is drawn: sorted at the end, they move.
        let mut order: Vec<usize> = (0..self.past.anomalies.len()).collect();
        order.sort_by(|a, b| {
            let key = |i: &usize| {
                let a = &self.past.anomalies[*i];
                (a.start_ms, &a.series)
            };
            key(a).cmp(&key(b))
        });
        let mut place = vec![0; order.len()];
        for (new, old) in order.iter().enumerate() {
            place[*old] = new;
        }
        let mut sorted: Vec<Option<Anomaly>> = self.past.anomalies.drain(..).map(Some).collect();
        let moved = order.iter().filter_map(|old| sorted[*old].take());
        self.past.anomalies = moved.collect();
        for drawn in &mut self.past.drawn {
            for anomaly in &mut drawn.anomalies {
                *anomaly = place[*anomaly];
            }
        }
        self.past
    }

    fn begin(&mut self, series: &[u8], declared: Option<(Kind, Source)>) {
        let name = labels::get(series, labels::METRIC_NAME).unwrap_or_default();
        let spec = self.rules.resolve(series);
        let full = self.playing.len() >= SERIES_MAX;
        if full || !spec.model || kind::never_modelled(name.as_bytes()) {
            match full {
                true => self.past.over_limit += 1,
                false => {
                    self.past.not_modelled += 1;
                    self.playing.insert(series.into(), None);
                }
            }
            return;
        }
        let declared = declared.or_else(|| kind::declared(name, |_| None));
        let mut track = Box::new(Track::new(&spec, declared));
        if self.forests {
            track.judge_mut().give_forest(&spec, fingerprint(series));
        }
        self.past.series += 1;
        let playing = Playing {
            series: labels::display(series),
            spec,
            track,
            picture: self.pictured.then(Picture::new),
            open: None,
            anomalies: Vec::new(),
            last: (0, f64::NAN),
        };
        self.playing.insert(series.into(), Some(playing));
    }
}

impl Playing {
    fn take(&mut self, t_ms: i64, value: f64, report_from: i64, past: &mut Past) {
        let raw = value;
        let value = self.scored(t_ms, raw);
        let wants_band = self.picture.as_ref().is_some_and(Picture::wants_band);
        let band = (wants_band && value.is_finite())
            .then(|| {
                let interval_ms = self.track.head().interval_ms();
                let judge = self.track.judge();
                judge.band(&self.spec, interval_ms, t_ms, Some(value))
            })
            .flatten();
        let taken = self.track.take(&self.spec, t_ms, raw);
        self.last = (t_ms, raw);
        let judgement = match taken {
            Taken::Old(_) => {
                past.old += 1;
                return;
            }
            Taken::Ended { .. } => {
                self.close(true, past);
                return;
            }
            Taken::Kept { judgement, .. } => judgement,
        };
        past.first_ms = Some(past.first_ms.map_or(t_ms, |f| f.min(t_ms)));
        past.last_ms = past.last_ms.max(Some(t_ms));
        let Some(judgement) = judgement else { return };
        let expected = judgement.evidence.map_or(f64::NAN, |e| e.expected);
        if let Some(picture) = &mut self.picture {
            picture.take(Seen {
                t_ms,
                value,
                score: judgement.score,
                band: band.map(|b| (b.lower, b.upper)),
            });
        }
        if let Some(score) = judgement.score {
            past.scored += 1;
            past.over_line += u64::from(score >= 0.7);
        }
        match judgement.alarm {
            None => self.close(true, past),
            Some(alarm) if t_ms >= report_from => {
                let series = &self.series;
                let open = self.open.get_or_insert_with(|| Open {
                    anomaly: Anomaly {
                        series: series.clone(),
                        start_ms: t_ms,
                        end_ms: t_ms,
                        ended: false,
                        severity: "",
                        direction: "",
                        reason: "",
                        score: 0.0,
                        peak_ms: t_ms,
                        value,
                        expected,
                        rarity: 0.0,
                        grave: (Severity::Low, 0),
                    },
                    active: false,
                });
                let score = judgement.score.unwrap_or_default();
                let a = &mut open.anomaly;
                if score >= 0.7 {
                    a.end_ms = t_ms;
                }
                if score > a.score {
                    (a.score, a.peak_ms, a.value, a.expected) = (score, t_ms, value, expected);
                    a.rarity = judgement.rarity;
                }
                a.severity = severity(alarm.severity);
                a.direction = Side::as_str(alarm.side);
                a.reason = Reason::as_str(alarm.reason);
                a.grave = (alarm.severity, a.score.to_bits());
                open.active |= alarm.state == AlarmState::Active;
            }
            Some(_) => {}
        }
    }

    /// What is shown of a sample, and judged: its value, of a counter its rate since the last one.
    fn scored(&self, t_ms: i64, raw: f64) -> f64 {
        match self.track.kind() {
            Kind::Gauge => raw,
            Kind::Counter => {
                let (last_ms, last) = self.last;
                (raw - last) * 1000.0 / t_ms.saturating_sub(last_ms) as f64
            }
        }
    }

    fn close(&mut self, ended: bool, past: &mut Past) {
        let Some(mut open) = self.open.take().filter(|o| o.active) else {
            return;
        };
        if past.anomalies.len() >= ANOMALIES_MAX {
            past.unheld += 1;
            return;
        }
        open.anomaly.ended = ended;
        self.anomalies.push(past.anomalies.len());
        past.anomalies.push(open.anomaly);
    }

    fn end(mut self, past: &mut Past) {
        self.close(false, past);
        if let Some(picture) = self.picture.take()
            && !self.anomalies.is_empty()
        {
            past.drawn.push(Drawn {
                series: self.series,
                picture,
                anomalies: self.anomalies,
            });
        }
    }
}

fn severity(of: Severity) -> &'static str {
    of.as_str()
}

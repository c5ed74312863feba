//! Scoring again what was scored once: the state of a series as an anchor keeps it, and the samples
//! after it taken by the code that took them live.
//!
//! An anchor has all that scores depend on but the window, whose samples are read, and the rows of a
//! forest, of which the series of today has what is needed ([`Fits`]). What always holds: two tracks
//! with the same anchor give the same scores to the same samples, under the same rules and with the
//! same fits; so who ends where the next anchor is has scored what was scored then.

use serde::{Deserialize, Serialize};

use super::{Taken, Track};
use crate::model::forest::Tier;
use crate::model::forest::tier::{Fits, Outline};
use crate::model::{Point, SeriesSpec};
use crate::score::band::Band;
use crate::score::judge::{Judge, Judgement, Phase};
use crate::series::fingerprint::fingerprint;
use crate::series::kind::{Kind, Source};

/// The way in which samples are scored. Whoever changes what a sample's score, expected value, band or
/// rarity is adds one: what was said before is then not said again.
const SCORING: u32 = 2;

/// What tells rules, and the way in which samples are scored, from others. Orders are left out: they
/// say themselves from which sample on they count.
pub fn mark(spec: &SeriesSpec) -> u64 {
    let mut spec = spec.clone();
    spec.orders = None;
    // As it was written before there were orders; rules that ask for neither of the others are those
    // from before it could be asked.
    let text = format!("{spec:?}").replacen(" orders: None,", "", 1);
    let text = text.replacen(" confirm_of: 5, min_duration_ms: 0,", "", 1);
    fingerprint(format!("{SCORING} {text}").as_bytes())
}

#[derive(Serialize)]
struct AnchorRef<'a> {
    track: &'a Track,
    forest: Option<Outline>,
}

#[derive(Deserialize)]
struct Anchor {
    track: Track,
    forest: Option<Outline>,
}

/// What was said of one sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Said {
    pub t_ms: i64,
    /// `None`: the series ended.
    pub what: Option<Numbers>,
}

impl Said {
    /// What is said of a value that was judged; `None` in warm-up.
    pub(in crate::score) fn of(x: Point, judged: &Judgement, band: Option<Band>) -> Option<Self> {
        let evidence = judged.evidence?;
        let what = Numbers {
            value: x.value,
            score: judged.score?,
            expected: band.map_or(evidence.expected, |b| b.expected),
            deviation: evidence.deviation,
            rarity: judged.rarity,
            band: band.map(|b| (b.lower, b.upper)),
        };
        Some(Self {
            t_ms: x.t_ms,
            what: Some(what),
        })
    }
}

/// The numbers of a scored sample, see [`crate::score::judge::Judgement`].
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numbers {
    /// What was scored: of a counter its rate per second.
    pub value: f64,
    pub score: f32,
    pub expected: f64,
    /// In units of the line.
    pub deviation: f64,
    pub rarity: f64,
    /// Lower and upper bound, if they were asked for.
    pub band: Option<(f64, f64)>,
}

/// All that was said of one sample, and what was known before it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Told {
    /// What was judged: of a counter its rate per second.
    pub x: Point,
    pub judged: Judgement,
    /// If it was asked for; `None` in warm-up.
    pub band: Option<Band>,
    /// Usual distance of two samples in milliseconds.
    pub interval_ms: f64,
    /// Values judged before this one.
    pub before: u32,
    /// Values until there are scores.
    pub warmup: u32,
    pub phase: Phase,
    /// It knew its days, and judged by them.
    pub knows_the_day: bool,
    /// Where its values lay, whatever the time of the day, and how far they were spread.
    pub usual: (f64, f64),
    /// The version of the forest in use, and the time of the sample at which it was ordered.
    pub forest: Option<(u32, i64)>,
}

impl Track {
    /// Its state as an anchor keeps it.
    pub fn anchor(&mut self) -> Vec<u8> {
        let forest = self.judge.take_forest();
        let chunk = self.head.take_chunk();
        let anchor = AnchorRef {
            track: self,
            forest: forest.as_deref().map(Tier::outline),
        };
        let bytes = postcard::to_extend(&anchor, Vec::with_capacity(1024));
        self.head.put_chunk(chunk);
        self.judge.put_forest(forest);
        bytes.expect("BUG: numbers can be written")
    }

    /// What tells one anchor from another.
    pub fn mark(&mut self) -> u64 {
        fingerprint(&self.anchor())
    }

    /// The series at an anchor; `None` if that is damaged, or if a fit is missing.
    pub fn at_anchor(anchor: &[u8], fits: &Fits) -> Option<Self> {
        let Anchor { mut track, forest } = postcard::from_bytes(anchor).ok()?;
        if let Some(outline) = forest {
            let tier = Tier::follow(outline, fits.clone())?;
            track.judge.put_forest(Some(Box::new(tier)));
        }
        Some(track)
    }

    /// True if what is declared now changes something.
    pub fn would_hear(&self, spec: &SeriesSpec, declared: Option<(Kind, Source)>) -> bool {
        let mut kind = self.kind.clone();
        if spec.kind.is_none() {
            kind.without_rule();
        }
        kind.declare(super::by_rule(spec).or(declared));
        kind != self.kind
    }

    /// True if the next sample, at `t_ms`, is another one for having started to count at `start_ms`.
    pub fn minds_start(&self, t_ms: i64, start_ms: i64) -> bool {
        self.kind.minds_start(t_ms, start_ms)
    }

    /// Takes a sample and tells what is said of it, with its band if that is wanted; `None` if nothing
    /// is.
    pub fn say(
        &mut self,
        spec: &SeriesSpec,
        (t_ms, value): (i64, f64),
        start_ms: Option<i64>,
        wants_band: bool,
    ) -> Option<Said> {
        let had_score = !self.ended && self.phase(spec) != Phase::Warmup;
        let (mut band, mut scored) = (None, f64::NAN);
        let before = |judge: &Judge, interval_ms: f64, x: Point| {
            scored = x.value;
            if wants_band {
                band = judge.band(spec, interval_ms, x.t_ms, Some(x.value));
            }
        };
        let taken = self.take_seen(spec, t_ms, value, start_ms, before, |_, _, _, _| {});
        let end = Said { t_ms, what: None };
        match taken {
            Taken::Old(_) => None,
            Taken::Ended { .. } => had_score.then_some(end),
            Taken::Kept { judgement, .. } => {
                let Some(judged) = judgement else {
                    // Its models may have just started afresh.
                    return (had_score && self.phase(spec) == Phase::Warmup).then_some(end);
                };
                let x = Point {
                    t_ms,
                    value: scored,
                };
                Said::of(x, &judged, band)
            }
        }
    }

    /// Takes a sample and tells all that is said of it, with its band if that is wanted; `None` if it
    /// gives no value to judge.
    pub fn tell(
        &mut self,
        spec: &SeriesSpec,
        (t_ms, value): (i64, f64),
        start_ms: Option<i64>,
        wants_band: bool,
    ) -> Option<Told> {
        let (before, phase) = (self.judge.seen(), self.phase(spec));
        let (knows_the_day, usual) = (self.judge.knows_the_day(), self.judge.usual());
        let mut seen = None;
        let look = |judge: &Judge, interval_ms: f64, x: Point| {
            let band = || judge.band(spec, interval_ms, x.t_ms, Some(x.value));
            seen = Some((x, interval_ms, wants_band.then(band).flatten()));
        };
        let taken = self.take_seen(spec, t_ms, value, start_ms, look, |_, _, _, _| {});
        let Taken::Kept {
            judgement: Some(judged),
            ..
        } = taken
        else {
            return None;
        };
        let (x, interval_ms, band) = seen?;
        Some(Told {
            x,
            judged,
            band,
            interval_ms,
            before,
            warmup: spec.warmup,
            phase,
            knows_the_day,
            usual,
            forest: self.judge.forest().and_then(Tier::in_use),
        })
    }
}

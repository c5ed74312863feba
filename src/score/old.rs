//! Series as they were written when another model judged them: as much as it takes to read past it.
//!
//! Window and kind are kept; what the model had learned says nothing to the one of today, which
//! learns the series anew.

use serde::Deserialize;

use super::judge::Judge;
use super::track::Track;
use crate::series::kind::KindState;
use crate::window::head::Head;

/// Location, spread, size of a step as logarithm and as such, last value; values and changes.
type Norm = (f64, f64, f64, f64, f64, u32, u32);
/// Mean, spread, visits, days, day of the last visit.
type Bucket = (f32, f32, u16, u8, u8);
/// Buckets; base and unit; residuals with and without it; expectations tested.
type Profile = (Vec<Bucket>, f64, f64, f32, f32, u32);
/// Threshold, mean excess, values: of a tail, and of the rarity.
type Tail = (f32, f32, u32);
/// Phase, newest samples, samples under the line, severity, side, reason, habituation.
type Verdict = (u32, u8, u32, u32, u32, u32, f32);
/// Samples over and under the line, and since when.
type Episode = (u32, u32, i64);

/// The judge of a norm, a profile and two tails: until version 3 of a group's state.
#[derive(Debug, Deserialize)]
pub struct NormJudge {
    _models: (Norm, Profile),
    _tails: [Tail; 2],
    _rarity: Tail,
    _verdict: Verdict,
    _episode: Episode,
    _seen: u32,
    _last_ms: i64,
}

impl From<NormJudge> for Judge {
    fn from(_: NormJudge) -> Self {
        Self::new()
    }
}

/// A series with such a judge.
#[derive(Debug, Deserialize)]
pub struct NormTrack {
    kind: KindState,
    head: Head,
    _judge: NormJudge,
    ended: bool,
}

impl From<NormTrack> for Track {
    fn from(old: NormTrack) -> Self {
        Self::relearned(old.kind, old.head, old.ended)
    }
}

//! Histograms as they were written when other models judged them.

use serde::Deserialize;

use super::super::native::Native;
use super::{Histogram, STATS};
use crate::score::judge::Judge;
use crate::score::old::{NormJudge, NormTrack};
use crate::score::track::Track;
use crate::window::histogram::classic::Assembly;
use crate::window::interval::Interval;

/// A histogram with judges until version 3 of a group's state.
#[derive(Debug, Deserialize)]
pub struct NormHistogram {
    classic: Option<Box<Assembly>>,
    native: Option<Box<Native>>,
    floats: Option<Box<NormTrack>>,
    judges: [Option<Box<NormJudge>>; STATS],
    interval: Interval,
    last_ms: i64,
}

impl From<NormHistogram> for Histogram {
    fn from(old: NormHistogram) -> Self {
        Self {
            classic: old.classic,
            native: old.native,
            floats: old.floats.map(|track| Box::new(Track::from(*track))),
            judges: old
                .judges
                .map(|j| j.map(|judge| Box::new(Judge::from(*judge)))),
            interval: old.interval,
            last_ms: old.last_ms,
        }
    }
}

//! A judge without a window, as an anchor keeps it, judging again what it judged once: that of a
//! histogram's statistic, whose values are put together from other series.
//!
//! What holds of [`crate::score::track::again`] holds of it too.

use serde::{Deserialize, Serialize};

use super::Judge;
use crate::model::forest::Tier;
use crate::model::forest::tier::{Fits, Outline};
use crate::model::{Point, SeriesSpec};
use crate::score::track::again::Said;
use crate::series::fingerprint::fingerprint;

#[derive(Serialize)]
struct AnchorRef<'a> {
    judge: &'a Judge,
    forest: Option<Outline>,
}

#[derive(Deserialize)]
struct Anchor {
    judge: Judge,
    forest: Option<Outline>,
}

impl Judge {
    /// Its state as an anchor keeps it.
    pub fn anchor(&mut self) -> Vec<u8> {
        let forest = self.take_forest();
        let anchor = AnchorRef {
            judge: self,
            forest: forest.as_deref().map(Tier::outline),
        };
        let bytes = postcard::to_extend(&anchor, Vec::with_capacity(1024));
        self.put_forest(forest);
        bytes.expect("BUG: numbers can be written")
    }

    /// What tells one anchor from another.
    pub fn mark(&mut self) -> u64 {
        fingerprint(&self.anchor())
    }

    /// The judge at an anchor; `None` if that is damaged, or if a fit is missing.
    pub fn at_anchor(anchor: &[u8], fits: &Fits) -> Option<Self> {
        let Anchor { mut judge, forest } = postcard::from_bytes(anchor).ok()?;
        if let Some(outline) = forest {
            let tier = Tier::follow(outline, fits.clone())?;
            judge.put_forest(Some(Box::new(tier)));
        }
        Some(judge)
    }

    /// Judges a value and tells what is said of it, with its band if that is wanted; `None` if nothing
    /// is.
    pub fn say(
        &mut self,
        spec: &SeriesSpec,
        interval_ms: f64,
        x: Point,
        wants_band: bool,
    ) -> Option<Said> {
        let band = || self.band(spec, interval_ms, x.t_ms, Some(x.value));
        let band = wants_band.then(band).flatten();
        let judged = self.judge(spec, interval_ms, x);
        Said::of(x, &judged, band)
    }
}

//! Which of saimon's outputs a corpus is judged by. The one place that says so.

use crate::score::judge::Judgement;

use super::corpus::Layout;

/// What saimon says of one row.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Outputs {
    /// Evidence in units of the line, as the score shows it: stays high while an anomaly lasts.
    pub(super) deviation: f32,
    /// The same without what rules claim, such as that a value stands still.
    pub(super) own: f32,
    /// The evidence itself, without the bounds for still series and least deviations: what a group is
    /// judged by, where many series may stand still at once and nobody minds.
    pub(super) size: f32,
    /// -log10 of how often this series reaches such evidence.
    pub(super) rarity: f32,
    /// Strength of the onset at this row, 0 without one.
    pub(super) onset: f32,
}

impl Outputs {
    pub(super) fn of(judgement: &Judgement, line: f64) -> Self {
        Self {
            deviation: judgement.evidence.map_or(0.0, |e| e.deviation) as f32,
            own: judgement.evidence.map_or(0.0, |e| e.own) as f32,
            size: judgement.evidence.map_or(0.0, |e| f64::from(e.size) / line) as f32,
            rarity: judgement.rarity as f32,
            onset: judgement.onset.event,
        }
    }

    /// Without a judgement the evidence is what it was, and nothing begins.
    pub(super) fn held(self) -> Self {
        Self { onset: 0.0, ..self }
    }

    /// The output that a corpus is judged by: onsets where each false row costs, evidence elsewhere.
    pub(super) fn judged(self, layout: Layout) -> f32 {
        match layout {
            Layout::Nab => self.onset,
            Layout::Series | Layout::Machines => self.deviation,
        }
    }
}

//! What would be said without one of the parts.
//!
//! Worked out from what was said with all of them: the shares of the evidence give back the square
//! of each part, and a square less is a detector less. So the code that serves has no switches. What
//! it does not show: what a part would do to the others, such as a gate that opens less often.

use crate::model::ensemble::{FOREST, FOREST_WORTH, PARTS, SMOOTHING, WEIGHTS};
use crate::model::forest::NOT_ASKED;
use crate::score::judge::Judgement;

/// All parts, then without each of them, then without what rules say (silence, still values, limits,
/// slow trends).
pub(super) const VARIANTS: usize = PARTS + 2;

/// What they are called.
pub(super) fn name(variant: usize) -> String {
    match variant {
        0 => "all".to_owned(),
        i if i <= PARTS => format!("without {}", crate::model::ensemble::NAMES[i - 1]),
        _ => "without rules".to_owned(),
    }
}

/// Deviations of one row, in the order of the variants.
pub(super) type Row = [f32; VARIANTS];

/// One series, row by row.
#[derive(Debug)]
pub(super) struct Ablation {
    line: f32,
    /// Evidence of the row before, as it was said.
    said: f32,
    /// The same without each part.
    smoothed: [f32; PARTS],
    /// Rules are heard.
    rules: bool,
    /// A forest is heard.
    forest: bool,
    last: Row,
}

impl Ablation {
    pub(super) fn new(line: f64, rules: bool) -> Self {
        Self {
            line: line as f32,
            said: 0.0,
            smoothed: [0.0; PARTS],
            rules,
            forest: false,
            last: [0.0; VARIANTS],
        }
    }

    /// What the row is worth to each variant; the same as before if nothing was said of it.
    pub(super) fn take(&mut self, judgement: Option<&Judgement>) -> Row {
        let Some(judgement) = judgement else {
            return self.last;
        };
        if let Some(evidence) = &judgement.evidence {
            let alone = self.said + (evidence.size - self.said) / SMOOTHING;
            self.said = evidence.size;
            let squares = squares(alone, &evidence.shares, self.forest);
            let total: f32 = squares.iter().sum();
            let weights = |part: usize| {
                let heard = |p: &usize| *p != part && (*p != FOREST || self.forest);
                (0..PARTS).filter(heard).map(|p| WEIGHTS[p]).sum::<f32>()
            };
            let said = (evidence.size / self.line).max(f32::MIN_POSITIVE);
            let whole = evidence.own as f32;
            let deviation = if self.rules {
                evidence.deviation as f32
            } else {
                whole
            };
            // What limits the evidence of the series limits each variant; what a rule claims stays.
            let limited = |own: f32| {
                let own = if whole < said * 0.9999 {
                    own.min(whole)
                } else {
                    own
                };
                if deviation > whole {
                    own.max(deviation)
                } else {
                    own
                }
            };
            self.last[0] = deviation;
            for (part, smoothed) in self.smoothed.iter_mut().enumerate() {
                let rest = ((total - squares[part]).max(0.0) / weights(part)).sqrt();
                *smoothed += SMOOTHING * (rest - *smoothed);
                self.last[part + 1] = limited(*smoothed / self.line);
            }
            self.last[VARIANTS - 1] = whole;
        }
        self.forest |= judgement.forest.adopted;
        self.last
    }
}

/// The weighted square of each part.
fn squares(alone: f32, shares: &[f32; PARTS], forest: bool) -> [f32; PARTS] {
    let heard = (0..PARTS).filter(|p| forest || *p != FOREST);
    let weights: f32 = heard.map(|p| WEIGHTS[p]).sum();
    let ordinary = match forest {
        true => WEIGHTS[FOREST] * (FOREST_WORTH * NOT_ASKED).powi(2),
        false => 0.0,
    };
    let rest = (alone.max(0.0).powi(2) * weights - ordinary).max(0.0);
    let mut squares = shares.map(|share| share * rest);
    squares[FOREST] += ordinary;
    squares
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_give_back_the_squares() {
        let parts = [2.0f32, 3.0, 1.0, 4.0, 5.5];
        let square: Vec<f32> = (0..PARTS).map(|p| WEIGHTS[p] * parts[p].powi(2)).collect();
        let total: f32 = square.iter().sum();
        let alone = (total / WEIGHTS.iter().sum::<f32>()).sqrt();
        let ordinary = WEIGHTS[FOREST] * (FOREST_WORTH * NOT_ASKED).powi(2);
        let mut shares = [0.0; PARTS];
        for p in 0..PARTS {
            let own = if p == FOREST { ordinary } else { 0.0 };
            shares[p] = (square[p] - own) / (total - ordinary);
        }
        let back = squares(alone, &shares, true);
        for p in 0..PARTS {
            assert!((back[p] - square[p]).abs() < 1e-3, "{back:?} {square:?}");
        }
    }

    #[test]
    fn without_a_forest_there_is_none_to_leave_out() {
        let back = squares(2.0, &[0.25, 0.25, 0.25, 0.25, 0.0], false);
        assert_eq!(back[FOREST], 0.0);
        assert!((back.iter().sum::<f32>() - 20.0).abs() < 1e-4);
    }
}

//! Which anomaly an incident likely came from.
//!
//! The one that is early and strong: what is most of
//!
//! ```text
//! evidence in units of the line / (1 + seconds since the first anomaly of the incident began / 60)
//! ```
//!
//! so that one that began a minute after the first must be twice as far over its line to be named
//! before it. Evidence of each series is in units of its own line, so it is comparable. What it does
//! not know: which series can move which; it is a hint where to look first, with its reason.

use crate::engine::record::RecordId;
use crate::score::scale;

/// The delay that halves the strength of an anomaly, in seconds.
const HALF: f64 = 60.0;

/// The anomaly that is named.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Origin {
    pub id: RecordId,
    /// Its evidence in units of the line, at its peak.
    pub deviation: f64,
    /// How long after the first anomaly it began, in seconds.
    pub delay: f64,
    /// How long before the next one it began, if it is the first alone, in seconds.
    pub lead: Option<f64>,
    /// Anomalies that began when it did, itself included.
    pub together: usize,
}

/// The likely origin among anomalies with the scores of their peaks; `None` of none.
pub fn of(anomalies: &(impl Iterator<Item = (RecordId, f32)> + Clone)) -> Option<Origin> {
    let starts = || anomalies.clone().map(|(id, _)| id.start_ms);
    let first = starts().min()?;
    let seconds = |from: i64, to: i64| to.saturating_sub(from) as f64 / 1000.0;
    let weigh = |(id, score): (RecordId, f32)| {
        let deviation = scale::deviation(f64::from(score));
        let delay = seconds(first, id.start_ms);
        (deviation / (1.0 + delay / HALF), deviation, delay, id)
    };
    let (_, deviation, delay, id) = anomalies
        .clone()
        .map(weigh)
        .max_by(|a, b| a.0.total_cmp(&b.0).then_with(|| b.3.cmp(&a.3)))?;
    let together = starts().filter(|t| *t == id.start_ms).count();
    let next = starts().filter(|t| *t > id.start_ms).min();
    let alone = id.start_ms == first && together == 1;
    Some(Origin {
        id,
        deviation,
        delay,
        lead: next.filter(|_| alone).map(|t| seconds(first, t)),
        together,
    })
}

impl Origin {
    /// Why it is named, in words.
    pub fn why(&self) -> String {
        let far = shortened(self.deviation);
        match (self.lead, self.delay > 0.0) {
            (Some(lead), _) => format!(
                "it began first, {} s before the next one, and is {far} times its line",
                shortened(lead)
            ),
            (None, true) => format!(
                "it is {far} times its line, so far that it counts more than what began up to {} s before it",
                shortened(self.delay)
            ),
            (None, false) if self.together > 1 => format!(
                "of the {} that began first it is the furthest over its line, {far} times",
                self.together
            ),
            (None, false) => format!("it began first and is {far} times its line"),
        }
    }
}

/// Two digits behind the point at most.
fn shortened(x: f64) -> String {
    let text = format!("{x:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(start_s: i64, fingerprint: u64, deviation: f64) -> (RecordId, f32) {
        let start_ms = start_s * 1000;
        let id = RecordId {
            start_ms,
            fingerprint,
        };
        (id, scale::score(deviation) as f32)
    }

    fn named(anomalies: &[(RecordId, f32)]) -> (u64, String) {
        let origin = of(&anomalies.iter().copied()).unwrap();
        (origin.id.fingerprint, origin.why())
    }

    #[test]
    fn the_early_one_is_named_unless_a_later_one_is_stronger_by_far() {
        let (who, why) = named(&[at(100, 1, 2.0), at(112, 2, 2.2)]);
        assert_eq!(who, 1);
        assert_eq!(
            why,
            "it began first, 12 s before the next one, and is 2 times its line"
        );
        let (who, why) = named(&[at(100, 1, 2.0), at(160, 2, 4.5)]);
        assert_eq!(who, 2);
        assert!(why.contains("4.5 times its line") && why.contains("60 s before"));
        assert_eq!(named(&[at(100, 1, 2.0), at(160, 2, 3.5)]).0, 1);
    }

    #[test]
    fn of_those_that_began_together_the_strongest_is_named() {
        let (who, why) = named(&[at(9, 3, 1.5), at(9, 4, 3.0), at(9, 5, 2.0), at(40, 6, 1.0)]);
        assert_eq!(who, 4);
        assert_eq!(
            why,
            "of the 3 that began first it is the furthest over its line, 3 times"
        );
        // Of equal ones always the same.
        assert_eq!(named(&[at(9, 8, 1.5), at(9, 7, 1.5)]).0, 7);
        assert_eq!(of(&std::iter::empty()), None);
    }
}

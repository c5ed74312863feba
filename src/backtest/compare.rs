//! Which anomalies one configuration has and another has not.

use super::player::{Anomaly, Past};

/// The anomalies of each side without a counterpart.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Compared {
    /// Of the other configuration, with no counterpart here.
    pub(super) added: Vec<Anomaly>,
    /// Of this one, with no counterpart there.
    pub(super) lost: Vec<Anomaly>,
    pub(super) both: usize,
}

/// Two anomalies are one if their series is and their times overlap.
pub(super) fn compare(here: &Past, there: &Past) -> Compared {
    let lost = without(&here.anomalies, &there.anomalies);
    Compared {
        added: without(&there.anomalies, &here.anomalies),
        both: here.anomalies.len() - lost.len(),
        lost,
    }
}

fn without(these: &[Anomaly], those: &[Anomaly]) -> Vec<Anomaly> {
    let mut by_series: std::collections::HashMap<&str, Vec<(i64, i64)>> = Default::default();
    for a in those {
        let spans = by_series.entry(&a.series).or_default();
        spans.push((a.start_ms, a.end_ms));
    }
    let has = |a: &&Anomaly| {
        let spans = by_series.get(a.series.as_str());
        spans.is_some_and(|s| {
            s.iter()
                .any(|(from, to)| *from <= a.end_ms && a.start_ms <= *to)
        })
    };
    these.iter().filter(|a| !has(a)).cloned().collect()
}

//! Which metrics of a machine caused an event: metrics in the order in which they stand out in it.

use serde::Serialize;

/// How well the labelled metrics of an event stand at the top; or the mean of several events.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Causes {
    /// Share of the n labelled metrics among the n highest peaks.
    pub(crate) hit_100: f64,
    /// Average precision of the whole order.
    pub(crate) map: f64,
}

/// Numbers of the metrics, highest peak first, equal ones in their own order.
pub(crate) fn order(peaks: &[f32]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..peaks.len()).collect();
    order.sort_by(|a, b| peaks[*b].total_cmp(&peaks[*a]));
    order
}

/// One event: `labelled` says which metrics caused it. `None` if no metric is labelled.
pub(crate) fn one(order: &[usize], labelled: impl Fn(usize) -> bool) -> Option<Causes> {
    let n = order.iter().filter(|m| labelled(**m)).count();
    if n == 0 {
        return None;
    }
    let top = order[..n].iter().filter(|m| labelled(**m)).count();
    let (mut hits, mut precision) = (0.0, 0.0);
    for (i, metric) in order.iter().enumerate() {
        if labelled(*metric) {
            hits += 1.0;
            precision += hits / (i + 1) as f64;
        }
    }
    Some(Causes {
        hit_100: top as f64 / n as f64,
        map: precision / n as f64,
    })
}

/// Over all events.
pub(crate) fn mean(all: &[Causes]) -> Option<Causes> {
    let n = all.len() as f64;
    (!all.is_empty()).then(|| Causes {
        hit_100: all.iter().map(|c| c.hit_100).sum::<f64>() / n,
        map: all.iter().map(|c| c.map).sum::<f64>() / n,
    })
}

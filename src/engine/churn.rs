//! Finds the label that makes new series all the time, so that whoever runs the sender can drop it.
//!
//! Births of the last hour or so are counted by metric; of a metric with many the values of each label
//! are counted too, exactly up to a bound. What always holds: memory has a bound whatever is sent; a
//! metric is named once an hour. What it does not know: whether the series of a start are churn, so the
//! births of the first ten minutes do not count.

use std::collections::HashMap;
use std::collections::HashSet;
use std::hash::{BuildHasher as _, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::series::labels;

/// Births of a metric from which on its labels are looked at ...
const WATCHED: u32 = 100;
/// ... and from which on it is named.
const NAMED: u32 = 1000;
/// Metrics that are counted; those that come later are not.
const METRICS_MAX: usize = 16_384;
/// Metrics whose labels are looked at, and labels of each.
const WATCHED_MAX: usize = 32;
const LABELS_MAX: usize = 64;
/// Values that are told apart, of one label.
const VALUES_MAX: usize = 16_384;
/// How long births are counted before they are forgotten, in milliseconds.
const HOUR_MS: i64 = 3_600_000;
/// Nothing is counted for so long after the start, in milliseconds.
const START_MS: i64 = 600_000;

/// What is to be said of one metric.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    pub metric: String,
    /// The label with most new values.
    pub label: String,
    /// How many; more than the bound count as that.
    pub values: usize,
    /// New series of the metric.
    pub births: u32,
    /// Since when, in minutes.
    pub minutes: i64,
}

#[derive(Debug, Default)]
struct Metric {
    births: u32,
    /// Hashes of values by label; only of those that are looked at.
    labels: Option<HashMap<Box<str>, HashSet<u64>>>,
    named: bool,
}

#[derive(Debug, Default)]
struct Counting {
    /// When the first series was born.
    began_ms: Option<i64>,
    /// When counting began anew.
    since_ms: i64,
    metrics: HashMap<Box<str>, Metric>,
    watched: usize,
    /// Some metric has enough births to be named.
    any: bool,
}

/// Births of all shards.
#[derive(Debug, Default)]
pub struct Churn {
    /// Locked at births and ticks, for some microseconds; never for a sample of a known series.
    counting: Mutex<Counting>,
    keys: RandomState,
}

impl Churn {
    pub fn new() -> Self {
        Self::default()
    }

    fn counting(&self) -> MutexGuard<'_, Counting> {
        self.counting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A series was born.
    pub fn born(&self, canonical: &[u8], now_ms: i64) {
        let mut counting = self.counting();
        let began_ms = *counting.began_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(began_ms) < START_MS {
            return;
        }
        let name = labels::get(canonical, labels::METRIC_NAME).unwrap_or_default();
        let Counting {
            metrics,
            watched,
            any,
            ..
        } = &mut *counting;
        if !metrics.contains_key(name) {
            if metrics.len() >= METRICS_MAX {
                return;
            }
            metrics.insert(name.into(), Metric::default());
        }
        let Some(metric) = metrics.get_mut(name) else {
            return;
        };
        metric.births = metric.births.saturating_add(1);
        *any |= metric.births >= NAMED && !metric.named;
        if metric.labels.is_none() && metric.births >= WATCHED && *watched < WATCHED_MAX {
            *watched += 1;
            metric.labels = Some(HashMap::new());
        }
        let Some(of) = &mut metric.labels else {
            return;
        };
        for (label, value) in labels::iter(canonical) {
            if !of.contains_key(label) {
                if of.len() >= LABELS_MAX {
                    continue;
                }
                of.insert(label.into(), HashSet::new());
            }
            if let Some(values) = of.get_mut(label)
                && values.len() < VALUES_MAX
            {
                values.insert(self.keys.hash_one(value));
            }
        }
    }

    /// What is to be said now, most births first; each metric once an hour.
    pub fn culprits(&self, now_ms: i64) -> Vec<Culprit> {
        let mut counting = self.counting();
        let mut culprits = Vec::new();
        if counting.any {
            counting.any = false;
            let minutes = (now_ms.saturating_sub(counting.since_ms) / 60_000).clamp(1, 60);
            for (name, metric) in &mut counting.metrics {
                if metric.births < NAMED || metric.named {
                    continue;
                }
                let most = metric.labels.iter().flatten();
                let most = most.max_by_key(|(label, values)| (values.len(), *label));
                if let Some((label, values)) = most {
                    metric.named = true;
                    culprits.push(Culprit {
                        metric: name.to_string(),
                        label: label.to_string(),
                        values: values.len(),
                        births: metric.births,
                        minutes,
                    });
                }
            }
            culprits.sort_by(|a, b| (b.births, &a.metric).cmp(&(a.births, &b.metric)));
        }
        if now_ms.saturating_sub(counting.since_ms) >= HOUR_MS {
            let began_ms = counting.began_ms;
            *counting = Counting {
                began_ms,
                since_ms: now_ms,
                ..Counting::default()
            };
        }
        culprits
    }

    /// Says it in the log.
    pub fn report(&self, now_ms: i64) {
        for c in self.culprits(now_ms) {
            tracing::warn!(
                metric = c.metric,
                label = c.label,
                values = c.values,
                new_series = c.births,
                minutes = c.minutes,
                "many new series: label {} has {} new values in {} minutes on metric {}; if it is not \
                 needed, drop it where the series come from (labeldrop in metric_relabel_configs)",
                c.label,
                thousands(c.values),
                c.minutes,
                c.metric
            );
        }
    }
}

/// With commas.
fn thousands(n: usize) -> String {
    let digits = n.to_string();
    let mut out = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn born(churn: &Churn, metric: &str, pod: usize, now_ms: i64) {
        let pod = format!("web-{pod}");
        let zone = format!("z{}", pod.len() % 3);
        let labels = [
            ("__name__", metric),
            ("job", "web"),
            ("pod", &pod),
            ("zone", &zone),
        ];
        churn.born(&labels::encode(labels), now_ms);
    }

    #[test]
    fn the_label_with_most_new_values_is_named_once_an_hour() {
        let churn = Churn::new();
        // A start with many series is no churn.
        for i in 0..5_000 {
            born(&churn, "http_requests_total", i, 1_000);
        }
        assert_eq!(churn.culprits(2_000), []);
        let t = 1_000 + START_MS;
        assert_eq!(churn.culprits(t), []);
        for i in 0..4_912 {
            born(&churn, "http_requests_total", i, t);
            born(&churn, "up", i % 50, t);
        }
        for i in 0..900 {
            born(&churn, "few", i, t);
        }
        let culprits = churn.culprits(t + 120_000);
        let expected = |minutes| Culprit {
            metric: "http_requests_total".to_owned(),
            label: "pod".to_owned(),
            values: 4_813,
            births: 4_912,
            minutes,
        };
        assert!(culprits.contains(&expected(12)), "{culprits:?}");
        assert_eq!(culprits.len(), 2);
        assert_eq!(culprits[1].metric, "up");
        for i in 0..5_000 {
            born(&churn, "http_requests_total", i, t + 1);
        }
        assert_eq!(churn.culprits(t + 180_000), [], "said already");
        churn.culprits(t + HOUR_MS);
        for i in 0..2_000 {
            born(&churn, "http_requests_total", i, t + HOUR_MS);
        }
        assert_eq!(churn.culprits(t + HOUR_MS + 60_000).len(), 1);
    }

    #[test]
    fn what_is_held_has_a_bound() {
        let churn = Churn::new();
        churn.born(b"", 0);
        for i in 0..METRICS_MAX + 100 {
            born(&churn, &format!("m{i}"), 0, START_MS);
        }
        for i in 0..VALUES_MAX + 500 {
            born(&churn, "m0", i, START_MS);
        }
        let counting = churn.counting();
        assert_eq!(counting.metrics.len(), METRICS_MAX);
        let labels = counting.metrics["m0"].labels.as_ref().unwrap();
        assert_eq!(labels["pod"].len(), VALUES_MAX);
        assert_eq!(thousands(4_812), "4,812");
        assert_eq!(thousands(999), "999");
    }
}

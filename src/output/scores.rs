//! From rows to samples: which series a judged sample becomes for one receiver, and whether it is
//! sent at all.
//!
//! What always holds: a series that was sent and is not any more ends with a stale marker; what is
//! sent of a series is in the order of its rows.

use std::borrow::Cow;
use std::collections::HashSet;

use super::series::{Family, Labels, Row as SentRow, stale};
use crate::config::outputs::OutputSeries;
use crate::engine::tap::{Row, Wants};
use crate::score::label_text::score_labels;
use crate::series::fingerprint::fingerprint;
use crate::series::labels::METRIC_NAME;
use crate::series::relabel::{LabelList, Relabel};
use crate::wire::write::MetricType;

/// A metric that is sent.
#[derive(Debug)]
struct Metric {
    name: &'static str,
    family: Family,
    value: fn(&Row<'_>) -> Option<f64>,
}

/// What a receiver is to be sent.
#[derive(Debug)]
pub struct Shape {
    metrics: Vec<Metric>,
    relabel: Relabel,
    gate: Gate,
}

/// One sample to be sent.
#[derive(Debug, Clone, PartialEq)]
pub struct Sample {
    pub labels: Labels,
    /// Which of [`Shape::family`].
    pub metric: usize,
    pub timestamp_ms: i64,
    pub value: f64,
}

impl Shape {
    pub fn new(series: &[OutputSeries], relabel: Relabel, min_score: f64) -> Self {
        Self {
            metrics: series.iter().flat_map(|one| metrics(*one)).collect(),
            relabel,
            gate: Gate::new(min_score),
        }
    }

    /// Metric families by name, with what 1.0 says of them now and then.
    pub fn families(&self) -> impl Iterator<Item = (&str, &Family)> {
        self.metrics.iter().map(|m| (m.name, &m.family))
    }

    pub fn family(&self, metric: usize) -> &Family {
        &self.metrics[metric].family
    }

    /// Appends the samples of a row. Gives those whose labels nobody takes.
    pub fn samples(&mut self, row: &Row<'_>, out: &mut Vec<Sample>) -> u64 {
        let ends = match self.gate.passes(row) {
            Passes::No => return 0,
            Passes::Whole => row.score.is_none(),
            Passes::AsEnd => true,
        };
        let mut unfit = 0;
        for (metric, made) in self.metrics.iter().enumerate() {
            let Some(value) = (if ends {
                Some(stale())
            } else {
                (made.value)(row)
            }) else {
                continue;
            };
            let mut labels: LabelList<'_> = vec![(METRIC_NAME.into(), made.name.into())];
            labels.extend(score_labels(row.labels).map(|(n, v)| (n, Cow::Borrowed(v))));
            if !self.relabel.apply(&mut labels) {
                continue;
            }
            match Labels::new(labels.iter().map(|(n, v)| (&**n, &**v))) {
                Ok(labels) => out.push(Sample {
                    labels,
                    metric,
                    timestamp_ms: row.t_ms,
                    value,
                }),
                Err(_) => unfit += 1,
            }
        }
        unfit
    }
}

impl Sample {
    /// As encoders take it.
    pub fn row<'a>(&'a self, shape: &'a Shape) -> SentRow<'a> {
        SentRow {
            labels: &self.labels,
            family: shape.family(self.metric),
            timestamp_ms: self.timestamp_ms,
            value: self.value,
        }
    }
}

/// What the rows must have for these series.
pub fn wants(series: &[OutputSeries]) -> Wants {
    let extra = [
        OutputSeries::Expected,
        OutputSeries::Deviation,
        OutputSeries::Rarity,
    ];
    Wants {
        extra: series.iter().any(|one| extra.contains(one)),
        band: series.contains(&OutputSeries::Bounds),
    }
}

fn metrics(series: OutputSeries) -> Vec<Metric> {
    let gauge = |name, help: &'static str, value: fn(&Row<'_>) -> Option<f64>| Metric {
        name,
        family: Family {
            kind: MetricType::Gauge,
            help: help.into(),
            unit: "".into(),
        },
        value,
    };
    match series {
        OutputSeries::Score => vec![gauge(
            "saimon_anomaly_score",
            "how unlikely the sample is, from 0 to 1: 0.7 is the line",
            // As the pages write it: the shortest decimal number, not the nearest double.
            |row| row.score.map(widened),
        )],
        OutputSeries::Expected => vec![gauge(
            "saimon_expected",
            "what was expected, in the unit of the scored value",
            |row| row.extra.map(|e| e.expected),
        )],
        OutputSeries::Bounds => vec![
            gauge(
                "saimon_lower_bound",
                "values below it have a score of 0.7 or more",
                |row| row.bounds.map(|(lower, _)| lower),
            ),
            gauge(
                "saimon_upper_bound",
                "values above it have a score of 0.7 or more",
                |row| row.bounds.map(|(_, upper)| upper),
            ),
        ],
        OutputSeries::Deviation => vec![gauge(
            "saimon_deviation",
            "the evidence against the sample in units of the line: 1 is the line",
            |row| row.extra.map(|e| e.deviation),
        )],
        OutputSeries::Rarity => vec![gauge(
            "saimon_rarity",
            "how seldom the series reaches such a score: 3 is once in 1,000 samples",
            |row| row.extra.map(|e| e.rarity),
        )],
    }
}

/// The double whose shortest decimal form is that of the float.
fn widened(score: f32) -> f64 {
    score.to_string().parse().unwrap_or_else(|_| score.into())
}

/// Whether rows are high enough to be sent.
#[derive(Debug)]
pub struct Gate {
    min: f64,
    /// Series, by fingerprint, whose newest row was: only those above `min`, so they are few.
    above: HashSet<u64>,
}

/// What is sent of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Passes {
    No,
    Whole,
    /// The series was above the least score and is not any more.
    AsEnd,
}

impl Gate {
    pub fn new(min: f64) -> Self {
        Self {
            min,
            above: HashSet::new(),
        }
    }

    pub fn passes(&mut self, row: &Row<'_>) -> Passes {
        if self.min <= 0.0 {
            return Passes::Whole;
        }
        let series = fingerprint(row.labels);
        if row.score.is_some_and(|score| widened(score) >= self.min) {
            self.above.insert(series);
            Passes::Whole
        } else if self.above.remove(&series) {
            Passes::AsEnd
        } else {
            Passes::No
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::RelabelConfig;
    use crate::engine::tap::Extra;
    use crate::series::labels;
    use crate::wire::write::is_stale;

    fn row(labels: &[u8], t_ms: i64, score: Option<f32>) -> Row<'_> {
        Row {
            labels,
            t_ms,
            score,
            extra: score.map(|_| Extra {
                expected: 1.0,
                deviation: 2.0,
                rarity: 3.0,
            }),
            bounds: score.map(|_| (4.0, f64::INFINITY)),
        }
    }

    fn shown(sample: &Sample) -> String {
        format!(
            "{} {} {}",
            labels::display(sample.labels.canonical()),
            sample.timestamp_ms,
            sample.value
        )
    }

    #[test]
    fn a_row_becomes_the_series_that_are_asked_for() {
        use OutputSeries::{Bounds, Deviation, Expected, Rarity, Score};
        let source = [
            ("__name__", "node_load1"),
            ("job", "a"),
            ("le", "1"),
            ("source_metric", "x"),
        ];
        let source = labels::encode(source);
        let all = [Score, Expected, Bounds, Deviation, Rarity];
        let mut shape = Shape::new(&all, Relabel::default(), 0.0);
        let mut out = Vec::new();
        shape.samples(&row(&source, 5, Some(0.7)), &mut out);
        let labels = "{exported_le=\"1\", exported_source_metric=\"x\", job=\"a\", source_metric=\"node_load1\"}";
        let got: Vec<_> = out.iter().map(shown).collect();
        assert_eq!(
            got,
            [
                format!("saimon_anomaly_score{labels} 5 0.7"),
                format!("saimon_expected{labels} 5 1"),
                format!("saimon_lower_bound{labels} 5 4"),
                format!("saimon_upper_bound{labels} 5 inf"),
                format!("saimon_deviation{labels} 5 2"),
                format!("saimon_rarity{labels} 5 3"),
            ]
        );
        out.clear();
        shape.samples(&row(&source, 6, None), &mut out);
        assert_eq!(out.len(), 6);
        assert!(out.iter().all(|s| is_stale(s.value) && s.timestamp_ms == 6));
        let wanted = |series: &[OutputSeries]| (wants(series).extra, wants(series).band);
        assert_eq!(wanted(&[Score]), (false, false));
        assert_eq!(wanted(&[Score, Bounds]), (false, true));
        assert_eq!(wanted(&[Rarity]), (true, false));
    }

    #[test]
    fn relabelling_sees_the_name_and_may_leave_out_or_break_a_series() {
        let rules: Vec<RelabelConfig> = serde_json::from_value(serde_json::json!([
            {"source_labels": ["job"], "regex": "b", "action": "drop"},
            {"source_labels": ["__name__"], "regex": "saimon_(.*)", "target_label": "__name__", "replacement": "my_$1"},
            {"source_labels": ["job"], "regex": "c", "target_label": "__name__", "replacement": ""},
        ]))
        .unwrap();
        let relabel = Relabel::new(&rules).unwrap();
        let mut shape = Shape::new(&[OutputSeries::Score], relabel, 0.0);
        let mut out = Vec::new();
        let mut unfit = 0;
        for job in ["a", "b", "c"] {
            let labels = labels::encode([("__name__", "m"), ("job", job)]);
            unfit += shape.samples(&row(&labels, 1, Some(0.5)), &mut out);
        }
        assert_eq!(unfit, 1);
        let got: Vec<_> = out.iter().map(shown).collect();
        assert_eq!(
            got,
            ["my_anomaly_score{job=\"a\", source_metric=\"m\"} 1 0.5"]
        );
    }

    #[test]
    fn below_the_least_score_a_series_ends_once() {
        let mut gate = Gate::new(0.5);
        let labels = labels::encode([("__name__", "m")]);
        let passes: Vec<_> = [0.1, 0.5, 0.9, 0.2, 0.3, 0.6]
            .map(|score| gate.passes(&row(&labels, 1, Some(score))))
            .into();
        use Passes::{AsEnd, No, Whole};
        assert_eq!(passes, [No, Whole, Whole, AsEnd, No, Whole]);
        assert_eq!(gate.passes(&row(&labels, 1, None)), AsEnd);
        assert_eq!(gate.passes(&row(&labels, 1, None)), No);
        assert_eq!(Gate::new(0.0).passes(&row(&labels, 1, None)), Whole);
    }
}

//! Recording rules: what a dashboard over weeks, a federation or a long-term store wants of anomalies,
//! named `metric:level:operation`.
//!
//! The name of a metric comes first, other than is usual: what begins with `saimon_` is neither sent to
//! saimon by the documented `write_relabel_configs` nor taken by it, and scores of scores say nothing.
//! The levels are the kinds of groups of the configuration, and saimon's own job. What always holds:
//! each has a case in promtool's notation, and none is needed by an alert or a dashboard.

use super::alert::series;
use super::format::{ExpectedSample, ExprTest, InputSeries, Rule, Test, quoted};
use super::group;
use super::proof::{EXTERNAL_URL, STEP};
use crate::config::Config;
use crate::config_file::unit;

/// Steps until a case is looked at: more than the longest range.
const LOOK: u32 = 20;

/// A recording rule and its proof.
#[derive(Debug, Clone)]
pub struct Record {
    pub name: String,
    pub expr: String,
    input: Vec<InputSeries>,
    expected: Vec<ExpectedSample>,
}

impl Record {
    /// As a rule file has it.
    pub fn rule(&self) -> Rule {
        Rule {
            alert: None,
            record: Some(self.name.clone()),
            expr: self.expr.clone(),
            hold: None,
            keep_firing_for: None,
            labels: Default::default(),
            annotations: None,
        }
    }

    /// As `promtool test rules` has it.
    pub fn test(&self) -> Test {
        Test {
            name: format!("records {}", self.name),
            interval: unit::duration(STEP),
            external_url: EXTERNAL_URL,
            input_series: self.input.clone(),
            alert_rule_test: Vec::new(),
            promql_expr_test: vec![ExprTest {
                expr: self.name.clone(),
                eval_time: unit::duration(STEP * LOOK),
                exp_samples: self.expected.clone(),
            }],
        }
    }
}

/// All of a configuration.
pub fn records(config: &Config) -> Vec<Record> {
    let mut records: Vec<_> = group::kinds(config)
        .iter()
        .flat_map(|k| of_kind(k))
        .collect();
    records.extend(own(&config.alerting.job));
    records
}

/// Series with an anomaly, and the share of those over the line. Three series of one group, two of
/// them over the line, one with an anomaly; one series of another, quiet.
fn of_kind(names: &[String]) -> Vec<Record> {
    let (by, level) = (names.join(", "), names.join("_"));
    let labels = |group: &str| {
        let pairs: Vec<_> = names.iter().map(|n| format!("{n}=\"{group}\"")).collect();
        pairs.join(", ")
    };
    let score = |group: &str, metric: &str, value: &str| {
        let name = format!(
            "saimon_anomaly_score{{{},source_metric=\"{metric}\"}}",
            labels(group)
        );
        series(name, format!("{value}x{LOOK}"))
    };
    let anomaly = |state: &str, metric: &str| {
        let name = format!(
            "saimon_anomaly{{{},source_metric=\"{metric}\",state=\"{state}\"}}",
            labels("x")
        );
        series(name, format!("1x{LOOK}"))
    };
    let input = vec![
        score("x", "a", "0.9"),
        score("x", "b", "0.7"),
        score("x", "c", "0.2"),
        score("y", "a", "0.1"),
        anomaly("active", "a"),
        anomaly("pending", "b"),
    ];
    let record = |what: &str, expr: String, x: f64, y: f64| {
        let name = what.replace(":LEVEL:", &format!(":{level}:"));
        let expected = |group: &str, value: f64| ExpectedSample {
            labels: format!("{name}{{{}}}", labels(group)),
            value,
        };
        Record {
            expected: vec![expected("x", x), expected("y", y)],
            name,
            expr,
            input: input.clone(),
        }
    };
    let (all, over) = (
        format!("count by ({by}) (saimon_anomaly_score)"),
        format!("count by ({by}) (saimon_anomaly_score >= 0.7)"),
    );
    vec![
        record(
            "saimon_anomaly:LEVEL:count",
            format!("count by ({by}) (saimon_anomaly{{state=\"active\"}}) or 0 * {all}"),
            1.0,
            0.0,
        ),
        record(
            "saimon_anomaly_score:LEVEL:over_line_ratio",
            format!("({over} or 0 * {all}) / {all}"),
            2.0 / 3.0,
            0.0,
        ),
        record(
            "saimon_anomaly_score:LEVEL:max",
            format!("max by ({by}) (saimon_anomaly_score)"),
            0.9,
            0.1,
        ),
    ]
}

/// What saimon takes in, and how long a score takes.
fn own(job: &str) -> Vec<Record> {
    let job = format!("job={}", quoted(job));
    let rates = Record {
        name: "saimon_ingest_samples:job_outcome:rate5m".to_owned(),
        expr: format!(
            "sum by (job, outcome) (rate(saimon_ingest_samples_total{{{job}}}[5m]))"
        ),
        input: ["a", "b"]
            .map(|instance| {
                let name = format!(
                    "saimon_ingest_samples_total{{{job},instance=\"{instance}\",outcome=\"accepted\"}}"
                );
                series(name, format!("0+300x{LOOK}"))
            })
            .to_vec(),
        expected: vec![ExpectedSample {
            labels: format!(
                "saimon_ingest_samples:job_outcome:rate5m{{{job}, outcome=\"accepted\"}}"
            ),
            value: 20.0,
        }],
    };
    let latency = Record {
        name: "saimon_detection_latency_seconds:job:p99_5m".to_owned(),
        expr: format!(
            "histogram_quantile(0.99, sum by (job, le) \
             (rate(saimon_detection_latency_seconds_bucket{{{job}}}[5m])))"
        ),
        input: ["0.5", "1", "+Inf"]
            .map(|le| {
                let name = format!("saimon_detection_latency_seconds_bucket{{{job},le=\"{le}\"}}");
                let values = if le == "0.5" { "0" } else { "0+15" };
                series(name, format!("{values}x{LOOK}"))
            })
            .to_vec(),
        expected: vec![ExpectedSample {
            labels: format!("saimon_detection_latency_seconds:job:p99_5m{{{job}}}"),
            value: 0.995,
        }],
    };
    vec![rates, latency]
}

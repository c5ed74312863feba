//! The promtool test file: every case of every alert.

use std::time::Duration;

use super::RULES_FILE;
use super::alert::{Alert, Case};
use super::format::{AlertTest, ExpectedAlert, Test, TestsFile};
use super::record::Record;
use crate::config_file::unit;

/// Time between two samples and between two evaluations.
pub const STEP: Duration = Duration::from_secs(30);

/// Where Prometheus is in all cases.
pub const EXTERNAL_URL: &str = "http://prometheus.example";

/// The test file of some alerts and of what is recorded.
pub fn file<'a>(
    alerts: impl Iterator<Item = &'a Alert>,
    records: impl Iterator<Item = &'a Record>,
) -> TestsFile {
    TestsFile {
        rule_files: vec![RULES_FILE.to_owned()],
        evaluation_interval: unit::duration(STEP),
        tests: alerts
            .flat_map(|alert| alert.cases.iter().map(|case| test(alert, case)))
            .chain(records.map(Record::test))
            .collect(),
    }
}

/// Number of steps until a duration has passed.
pub fn steps(d: Duration) -> u32 {
    let steps = d.as_millis().div_ceil(STEP.as_millis());
    u32::try_from(steps).expect("BUG: a hold of more than a thousand years")
}

fn test(alert: &Alert, case: &Case) -> Test {
    Test {
        name: format!("{}: {}", alert.name, case.name),
        interval: unit::duration(STEP),
        external_url: EXTERNAL_URL,
        promql_expr_test: Vec::new(),
        input_series: case.series.clone(),
        alert_rule_test: case
            .looks
            .iter()
            .map(|look| AlertTest {
                eval_time: unit::duration(look.at),
                alertname: alert.name.to_owned(),
                exp_alerts: look
                    .firing
                    .iter()
                    .map(|(labels, annotations)| ExpectedAlert {
                        exp_labels: labels.clone(),
                        exp_annotations: annotations.clone(),
                    })
                    .collect(),
            })
            .collect(),
    }
}

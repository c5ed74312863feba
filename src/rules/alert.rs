//! An alert together with the series that must and must not raise it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::format::{Annotations, InputSeries, Rule};
use crate::config_file::unit;

/// An alert and its proof.
#[derive(Debug, Clone)]
pub struct Alert {
    pub name: &'static str,
    pub expr: String,
    /// How long the expression must hold.
    pub hold: Duration,
    /// How long the alert outlives the expression: a short gap is not an end and a new beginning.
    pub keep: Option<Duration>,
    /// Values may be templates.
    pub labels: BTreeMap<String, String>,
    /// Templates.
    pub annotations: Annotations,
    pub cases: Vec<Case>,
}

/// Series, and whether they raise the alert.
#[derive(Debug, Clone)]
pub struct Case {
    /// What it shows; for the reader of a failed test.
    pub name: String,
    /// What there is, from time 0 to the last look.
    pub series: Vec<InputSeries>,
    pub looks: Vec<Look>,
}

/// What fires at a time. Two rules of one name, as for the severities, are looked at together.
#[derive(Debug, Clone)]
pub struct Look {
    pub at: Duration,
    /// Labels (`alertname` apart) and texts, templates filled in; empty if nothing fires.
    pub firing: Vec<(BTreeMap<String, String>, Annotations)>,
}

impl Alert {
    /// As a rule file has it.
    pub fn rule(&self) -> Rule {
        Rule {
            alert: self.name.to_owned(),
            expr: self.expr.clone(),
            hold: unit::duration(self.hold),
            keep_firing_for: self.keep.map(unit::duration),
            labels: self.labels.clone(),
            annotations: self.annotations.clone(),
        }
    }
}

/// A series of a case. `values` in promtool's notation.
pub fn series(series: impl Into<String>, values: impl Into<String>) -> InputSeries {
    InputSeries {
        series: series.into(),
        values: values.into(),
    }
}

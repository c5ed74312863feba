//! An alert together with the series that must and must not raise it.

use std::collections::BTreeMap;
use std::time::Duration;

use super::format::{Annotations, InputSeries, Rule};
use crate::config::{AlertingConfig, HoldConfig, PrometheusVersion, Severity};
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
            alert: Some(self.name.to_owned()),
            record: None,
            expr: self.expr.clone(),
            hold: Some(unit::duration(self.hold)),
            keep_firing_for: self.keep.map(unit::duration),
            labels: self.labels.clone(),
            annotations: Some(self.annotations.clone()),
        }
    }
}

/// How alerts are kept from ending and beginning again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// The rule says so itself.
    Word(Duration),
    /// A Prometheus that has no word for it: the expression looks back.
    Range(Duration),
    No,
}

impl Keep {
    pub fn of(config: &AlertingConfig) -> Self {
        let keeps = config.version().is_ok_and(PrometheusVersion::keeps_firing);
        match (config.keep_firing_for, keeps) {
            (Duration::ZERO, _) => Self::No,
            (time, true) => Self::Word(time),
            (time, false) => Self::Range(time),
        }
    }

    pub fn word(self) -> Option<Duration> {
        match self {
            Self::Word(time) => Some(time),
            Self::Range(_) | Self::No => None,
        }
    }

    pub fn time(self) -> Duration {
        match self {
            Self::Word(time) | Self::Range(time) => time,
            Self::No => Duration::ZERO,
        }
    }

    /// The selector, or its largest value as far back as is kept.
    pub fn selected(self, selector: &str) -> String {
        match self {
            Self::Range(time) => format!("max_over_time({selector}[{}])", unit::duration(time)),
            Self::Word(_) | Self::No => selector.to_owned(),
        }
    }
}

/// How long an anomaly of a severity must last.
pub fn hold(config: &HoldConfig, severity: Severity) -> Duration {
    match severity {
        Severity::Low => config.low,
        Severity::Medium => config.medium,
        Severity::High => config.high,
        Severity::Critical => config.critical,
    }
}

/// A series of a case. `values` in promtool's notation.
pub fn series(series: impl Into<String>, values: impl Into<String>) -> InputSeries {
    InputSeries {
        series: series.into(),
        values: values.into(),
    }
}

//! How one series is to be modelled and judged: the configuration after defaults, rules and checks.

use std::sync::Arc;

use super::calendar::Calendar;
use super::forest::ForestSpec;
use super::orders::{Lines, Orders};
use crate::config::{Direction, KindOverride, SeverityConfig};

/// Checked and resolved for one series; equal for all series that the same rules match.
#[derive(Debug, Clone, PartialEq)]
pub struct SeriesSpec {
    /// What people ordered for this very series, if they did. First, because no two series share it.
    pub orders: Option<Arc<Orders>>,
    /// False: received, counted, not modelled.
    pub model: bool,
    /// What a rule says the series is.
    pub kind: Option<KindOverride>,
    /// Length of the season in milliseconds; at least 1.
    pub day_ms: i64,
    /// Scored values before the first score.
    pub warmup: u32,
    /// Scored values before a severity above low.
    pub young: u32,
    /// The line: the evidence at which a value is outside its band.
    pub line: f64,
    /// Samples over the line among the newest `confirm_of` that make an anomaly active.
    pub confirm: u32,
    /// At most [`crate::score::verdict::RECENT_MAX`].
    pub confirm_of: u32,
    /// How long an anomaly must have lasted to become active, in milliseconds.
    pub min_duration_ms: i64,
    /// Samples under the line in a row that end it.
    pub release: u32,
    /// How long a new behaviour lasts before it is learned, in milliseconds.
    pub adapt_ms: i64,
    /// Shortest silence for which it is missed, in milliseconds; 0: it never is.
    pub absent_ms: i64,
    pub severity: SeverityConfig,
    /// The wall clock that its days follow.
    pub calendar: Calendar,
    /// Its forest, if it has one.
    pub forest: ForestSpec,
    pub direction: Direction,
    /// Values below are out of range.
    pub min: Option<f64>,
    /// Values above are out of range.
    pub max: Option<f64>,
    /// Smaller deviations are no anomaly; in the unit of the value.
    pub min_deviation: f64,
    /// The same as a share of the expected value.
    pub min_deviation_ratio: f64,
}

impl Default for SeriesSpec {
    fn default() -> Self {
        let d = crate::config::DetectConfig::default();
        Self {
            orders: None,
            model: true,
            kind: None,
            day_ms: d.day.as_millis() as i64,
            warmup: d.warmup,
            young: d.young,
            line: d.line,
            confirm: d.confirm,
            confirm_of: d.confirm_of,
            min_duration_ms: d.min_duration.as_millis() as i64,
            release: d.release,
            adapt_ms: d.adapt.as_millis() as i64,
            absent_ms: d.absent.as_millis() as i64,
            severity: d.severity,
            calendar: Calendar::default(),
            forest: ForestSpec::default(),
            direction: Direction::Both,
            min: None,
            max: None,
            min_deviation: 0.0,
            min_deviation_ratio: 0.0,
        }
    }
}

impl SeriesSpec {
    /// Where the lines of the series are for a sample, if they were ever moved.
    #[inline]
    pub fn lines_at(&self, t_ms: i64) -> Option<&Lines> {
        self.orders.as_deref()?.lines_at(t_ms)
    }

    /// False for a sample that teaches nothing.
    #[inline]
    pub fn learns(&self, t_ms: i64) -> bool {
        self.orders.as_deref().is_none_or(|o| o.learns(t_ms))
    }

    /// False at a time at which nobody is alerted.
    #[inline]
    pub fn alerts(&self, t_ms: i64) -> bool {
        self.orders.as_deref().is_none_or(|o| o.alerts(t_ms))
    }
}

//! What a series is scored as: its value or its rate, or nothing at all.
//!
//! Metadata decides where there is some, then the suffix of the name; where both are silent the
//! series is watched, and is taken for a counter if it only ever rises. What always holds: a reset
//! gives no rate, and a rate is never negative.

use serde::{Deserialize, Serialize};

use crate::wire::write::MetricType;

/// True for saimon's own series, which are not even kept: they would come back to where they are
/// from.
pub fn is_own(name: &[u8]) -> bool {
    name.starts_with(b"saimon_")
}

/// True for series that are received and never modelled, by the bytes of their name: histogram
/// buckets, `_info`, `_created`, timestamps, alerts, scrape bookkeeping, and saimon's own.
pub fn never_modelled(name: &[u8]) -> bool {
    const ENDINGS: [&[u8]; 4] = [b"_bucket", b"_info", b"_created", b"_timestamp_seconds"];
    const STARTS: [&[u8]; 3] = [b"ALERTS", b"saimon_", b"scrape_"];
    ENDINGS.iter().any(|e| name.ends_with(e)) || STARTS.iter().any(|s| name.starts_with(s))
}

/// Suffixes that a series has and its metric family has not (exposition formats, OpenMetrics 1.0).
const FAMILY_SUFFIXES: [&str; 6] = ["_total", "_count", "_sum", "_bucket", "_created", "_info"];

/// What a series is scored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// Its value.
    Gauge,
    /// Its rate per second between samples.
    Counter,
}

/// Who said so. A later one in this list is overruled by an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Source {
    Rule,
    Metadata,
    Name,
    Watched,
}

/// The kind that metadata and name give a series; `None` if both are silent. `family` looks up the
/// type of a metric family.
pub fn declared(name: &str, family: impl Fn(&str) -> Option<MetricType>) -> Option<(Kind, Source)> {
    let exact = family(name);
    let suffix = FAMILY_SUFFIXES.iter().find(|s| name.ends_with(**s));
    let stem = suffix.and_then(|s| family(&name[..name.len() - s.len()]));
    for (found, is_stem) in [(exact, false), (stem, true)] {
        let cumulative = matches!(suffix, Some(&("_count" | "_sum" | "_bucket")));
        let kind = match found {
            Some(MetricType::Counter) => Kind::Counter,
            Some(MetricType::Histogram | MetricType::Summary) if is_stem && cumulative => {
                Kind::Counter
            }
            Some(MetricType::Unknown) | None => continue,
            Some(_) => Kind::Gauge,
        };
        return Some((kind, Source::Metadata));
    }
    matches!(suffix, Some(&("_total" | "_count" | "_sum"))).then_some((Kind::Counter, Source::Name))
}

/// Samples for which an undeclared series is watched.
const WATCH: u16 = 50;
/// Rises among them that make it a counter, if it never fell.
const WATCH_RISES: u16 = 20;
/// A rate over a longer silence than this says nothing about now, in milliseconds.
const RATE_GAP_MAX_MS: i64 = 3_600_000;

/// What a raw sample gives to score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Scored {
    Value(f64),
    /// The first sample of a counter, or the first after a long silence: no rate yet.
    First,
    /// A counter reset: masked.
    Reset,
    /// The series turned out to be something else: its models must start afresh.
    Turned,
}

/// Turns raw samples of one series into what is scored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct KindState {
    kind: Kind,
    source: Source,
    watched: u16,
    rises: u16,
    fell: bool,
    last_ms: i64,
    last: f64,
}

impl KindState {
    /// A new series; `None` is watched.
    pub fn new(declared: Option<(Kind, Source)>) -> Self {
        let (kind, source) = declared.unwrap_or((Kind::Gauge, Source::Watched));
        Self {
            kind,
            source,
            watched: 0,
            rises: 0,
            fell: false,
            last_ms: i64::MIN,
            last: 0.0,
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// No rule says any more what the series is: it stays that until metadata, its name or watching
    /// says otherwise.
    pub fn without_rule(&mut self) {
        if self.source == Source::Rule {
            self.source = Source::Watched;
        }
    }

    /// Hears what metadata says now. True if the kind changed: the models must start afresh.
    pub fn declare(&mut self, declared: Option<(Kind, Source)>) -> bool {
        let Some((kind, source)) = declared else {
            return false;
        };
        if source > self.source {
            return false;
        }
        self.source = source;
        let changed = kind != self.kind;
        self.kind = kind;
        changed
    }

    /// Takes one finite raw sample, newer than the one before. `start_ms`: when its counting started,
    /// if the sender says so; a counter that started since the sample before was zero then, so it
    /// needs none before it for a rate (OpenMetrics 1.0, `_created`).
    pub fn take(&mut self, t_ms: i64, value: f64, start_ms: Option<i64>) -> Scored {
        let first = self.last_ms == i64::MIN;
        let (last_ms, last) = (self.last_ms, self.last);
        self.last_ms = t_ms;
        self.last = value;
        if self.source == Source::Watched && !first && self.watch(last, value) {
            return Scored::Turned;
        }
        if self.kind == Kind::Gauge {
            return Scored::Value(value);
        }
        let since = start_ms.filter(|start| (first || *start > last_ms) && *start < t_ms);
        let (from_ms, from) = match since {
            Some(start_ms) => (start_ms, 0.0),
            None if first => return Scored::First,
            None => (last_ms, last),
        };
        if t_ms.saturating_sub(from_ms) > RATE_GAP_MAX_MS {
            return Scored::First;
        }
        if value < from {
            return Scored::Reset;
        }
        let seconds = t_ms.saturating_sub(from_ms).max(1) as f64 / 1000.0;
        let rate = (value - from) / seconds;
        Scored::Value(rate.min(f64::MAX))
    }

    /// True if watching has just changed its mind.
    /// True if the next value, at `t_ms`, gives something else for having started to count at
    /// `start_ms`.
    pub fn minds_start(&self, t_ms: i64, start_ms: i64) -> bool {
        // A series that is watched may become a counter with that very value.
        let counts = self.kind == Kind::Counter || self.source == Source::Watched;
        let first = self.last_ms == i64::MIN;
        counts && (first || start_ms > self.last_ms) && start_ms < t_ms
    }

    fn watch(&mut self, last: f64, value: f64) -> bool {
        // A fall to less than half is how a reset looks; a smaller one no counter makes.
        if value < last {
            let reset = self.kind == Kind::Counter && value >= 0.0 && value <= last / 2.0;
            self.fell |= !reset;
        }
        if value > last {
            self.rises = self.rises.saturating_add(1);
        }
        self.watched = self.watched.saturating_add(1);
        let kind = if !self.fell
            && (self.kind == Kind::Counter
                || (self.watched == WATCH && self.rises >= WATCH_RISES && last >= 0.0))
        {
            Kind::Counter
        } else {
            Kind::Gauge
        };
        let turned = kind != self.kind;
        self.kind = kind;
        turned
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn none(_: &str) -> Option<MetricType> {
        None
    }

    #[test]
    fn skip_list_of_the_contract() {
        for name in [
            "x_bucket",
            "node_uname_info",
            "x_created",
            "node_boot_timestamp_seconds",
            "ALERTS",
            "ALERTS_FOR_STATE",
            "saimon_anomaly_score",
            "scrape_duration_seconds",
        ] {
            assert!(never_modelled(name.as_bytes()), "{name}");
        }
        for name in [
            "up",
            "node_load1",
            "http_requests_total",
            "info",
            "process_start_time_seconds",
        ] {
            assert!(!never_modelled(name.as_bytes()), "{name}");
        }
    }

    #[test]
    fn metadata_then_name_then_watching() {
        let meta = |family: &str| match family {
            "a" | "b_total" => Some(MetricType::Counter),
            "odd_total" => Some(MetricType::Gauge),
            "h" => Some(MetricType::Histogram),
            "s" => Some(MetricType::Summary),
            _ => None,
        };
        assert_eq!(
            declared("a_total", meta),
            Some((Kind::Counter, Source::Metadata))
        );
        assert_eq!(
            declared("b_total", meta),
            Some((Kind::Counter, Source::Metadata))
        );
        assert_eq!(
            declared("odd_total", meta),
            Some((Kind::Gauge, Source::Metadata))
        );
        assert_eq!(
            declared("h_sum", meta),
            Some((Kind::Counter, Source::Metadata))
        );
        assert_eq!(
            declared("s_count", meta),
            Some((Kind::Counter, Source::Metadata))
        );
        assert_eq!(declared("s", meta), Some((Kind::Gauge, Source::Metadata)));
        assert_eq!(
            declared("x_total", none),
            Some((Kind::Counter, Source::Name))
        );
        assert_eq!(declared("node_load1", none), None);
    }

    #[test]
    fn rates_are_reset_safe() {
        let mut k = KindState::new(Some((Kind::Counter, Source::Name)));
        assert_eq!(k.take(0, 100.0, None), Scored::First);
        assert_eq!(k.take(10_000, 150.0, None), Scored::Value(5.0));
        assert_eq!(k.take(20_000, 3.0, None), Scored::Reset);
        assert_eq!(k.take(30_000, 13.0, None), Scored::Value(1.0));
        assert_eq!(
            k.take(30_000 + RATE_GAP_MAX_MS + 1, 14.0, None),
            Scored::First
        );
    }

    #[test]
    fn a_known_start_gives_the_rate_that_a_first_sample_or_a_reset_cannot() {
        let mut k = KindState::new(Some((Kind::Counter, Source::Name)));
        assert_eq!(k.take(20_000, 100.0, Some(10_000)), Scored::Value(10.0));
        // Still the same start: the rate is that since the sample before.
        assert_eq!(k.take(30_000, 150.0, Some(10_000)), Scored::Value(5.0));
        // It started again in between: a reset, and what was counted since.
        assert_eq!(k.take(40_000, 20.0, Some(35_000)), Scored::Value(4.0));
        // More than before, and yet a new start.
        assert_eq!(k.take(50_000, 30.0, Some(45_000)), Scored::Value(6.0));
        // Nothing that could be a start of this.
        assert_eq!(k.take(60_000, 5.0, Some(60_000)), Scored::Reset);
        // A rate over more than an hour says nothing about now.
        let mut k = KindState::new(Some((Kind::Counter, Source::Name)));
        let late = RATE_GAP_MAX_MS + 1;
        assert_eq!(k.take(late, 7.0, Some(0)), Scored::First);
        // A gauge has no start.
        let mut k = KindState::new(Some((Kind::Gauge, Source::Rule)));
        assert_eq!(k.take(9, 7.0, Some(1)), Scored::Value(7.0));
    }

    #[test]
    fn what_only_rises_is_a_counter_until_it_falls() {
        let mut k = KindState::new(None);
        let mut turned = 0;
        for i in 0..100 {
            if k.take(i * 1000, 2.0 * i as f64, None) == Scored::Turned {
                turned += 1;
            }
        }
        assert_eq!((turned, k.kind()), (1, Kind::Counter));
        assert_eq!(k.take(100_000, 1.0, None), Scored::Reset);
        assert_eq!(k.take(101_000, 3.0, None), Scored::Value(2.0));
        assert_eq!(k.take(102_000, 2.5, None), Scored::Turned);
        assert_eq!(k.kind(), Kind::Gauge);
        assert_eq!(k.take(103_000, 2.0, None), Scored::Value(2.0));
    }

    #[test]
    fn a_gauge_that_falls_once_stays_a_gauge() {
        let mut k = KindState::new(None);
        for i in 0..100 {
            let v = if i == 3 { 1.0 } else { 10.0 + i as f64 };
            assert_eq!(k.take(i * 1000, v, None), Scored::Value(v));
        }
    }

    #[test]
    fn metadata_overrules_the_name_and_a_rule_overrules_both() {
        let mut k = KindState::new(Some((Kind::Counter, Source::Name)));
        assert!(k.declare(Some((Kind::Gauge, Source::Metadata))));
        assert!(!k.declare(Some((Kind::Counter, Source::Name))));
        let mut k = KindState::new(Some((Kind::Gauge, Source::Rule)));
        assert!(!k.declare(Some((Kind::Counter, Source::Metadata))));
        assert_eq!(k.kind(), Kind::Gauge);
    }
}

//! The series that saimon computes from others: score, expected value, band, deviation and rarity of
//! what was received, for any time of which the samples are kept.
//!
//! They are not stored: they are said again, see [`crate::engine::recall`]. They are only there for
//! those who mean them: a question needs a matcher of `saimon` that an absent label does not satisfy,
//! or one of their names. What always holds: a series with the labels of two of ours is none of them;
//! labels that clash move to `exported_<name>` as they do on the page of scores.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use super::source::Source;
use crate::config::ReadConfig;
use crate::engine::ask::{AskError, Found, Reader, WindowChunk};
use crate::engine::recall::Effort;
use crate::score::label_text::{self, SOURCE};
use crate::score::track::again::Said;
use crate::series::kind;
use crate::series::labels::{self, METRIC_NAME};
use crate::series::matcher::{MatchOp, Matcher, Selector};
use crate::window::encoding::Encoding;
use crate::window::head::{Finished, Head};
use crate::wire::write::STALE_NAN_BITS;

/// The label that tells these series from those that were received, and its value.
const LABEL: &str = "saimon";
const VALUE: &str = "virtual";
/// Where a label goes that cannot keep its name.
const MOVED: &str = "exported_";

/// What is computed of a series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Number {
    Score,
    Expected,
    LowerBound,
    UpperBound,
    Deviation,
    Rarity,
}

impl Number {
    const ALL: [Self; 6] = [
        Self::Score,
        Self::Expected,
        Self::LowerBound,
        Self::UpperBound,
        Self::Deviation,
        Self::Rarity,
    ];

    fn name(self) -> &'static str {
        match self {
            Self::Score => "saimon_anomaly_score",
            Self::Expected => "saimon_expected",
            Self::LowerBound => "saimon_lower_bound",
            Self::UpperBound => "saimon_upper_bound",
            Self::Deviation => "saimon_deviation",
            Self::Rarity => "saimon_rarity",
        }
    }

    /// True if it is part of the band, whose search takes its time.
    fn is_of_band(self) -> bool {
        matches!(self, Self::Expected | Self::LowerBound | Self::UpperBound)
    }

    /// What was said, as a sample; `None` if nothing was said of this.
    fn of(self, said: &Said) -> Option<f64> {
        let Some(what) = &said.what else {
            return Some(f64::from_bits(STALE_NAN_BITS));
        };
        match self {
            Self::Score => Some(f64::from(what.score)),
            Self::Expected => Some(what.expected),
            Self::LowerBound => what.band.map(|(lower, _)| lower),
            Self::UpperBound => what.band.map(|(_, upper)| upper),
            Self::Deviation => Some(what.deviation),
            Self::Rarity => Some(what.rarity),
        }
    }
}

/// The windows, and what is computed from them.
#[derive(Debug, Clone)]
pub(super) struct Both {
    reader: Reader,
    series_max: usize,
    samples_max: usize,
}

/// A series of either sort.
#[derive(Debug)]
pub(super) enum Series {
    Received(Found),
    Computed(Box<Computed>),
}

/// A computed series.
#[derive(Debug)]
pub(super) struct Computed {
    of: Found,
    number: Number,
    labels: Box<[u8]>,
    effort: Effort,
}

impl Both {
    pub(super) fn new(reader: Reader, config: &ReadConfig) -> Self {
        Self {
            reader,
            series_max: config.virtual_series as usize,
            samples_max: config.virtual_samples as usize,
        }
    }

    async fn computed(
        &self,
        selector: &Selector,
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Series>, AskError> {
        let numbers = meant(selector);
        if numbers.is_empty() || self.series_max == 0 {
            return Ok(Vec::new());
        }
        let limit = self.series_max;
        let too_many = |e| match e {
            AskError::TooMany { .. } => AskError::TooManyAgain { limit },
            other => other,
        };
        let sources = Arc::new(sources(selector));
        let found = self
            .reader
            .select_scored(sources, from_ms, to_ms, limit)
            .await;
        let effort = Effort::new(self.samples_max);
        let mut all = Vec::new();
        for of in found.map_err(too_many)? {
            let name = labels::get(&of.labels, METRIC_NAME).unwrap_or_default();
            if kind::never_modelled(name.as_bytes()) {
                continue;
            }
            for number in &numbers {
                let labels = labels_of(&of.labels, *number);
                if selector.matches_labels(&labels) {
                    all.push(Series::Computed(Box::new(Computed {
                        of: of.clone(),
                        number: *number,
                        labels,
                        effort: effort.clone(),
                    })));
                }
            }
            if all.len() > limit {
                return Err(AskError::TooManyAgain { limit });
            }
        }
        Ok(all)
    }

    /// The computed ones among series, each with its place among them.
    async fn say_again(
        &self,
        of: &[(usize, &Computed)],
        range: (i64, i64),
        windows: &mut [Vec<WindowChunk>],
    ) -> Result<(), AskError> {
        let Some((_, first)) = of.first() else {
            return Ok(());
        };
        // Several numbers of one series are had at once.
        let mut places = HashMap::new();
        let mut sources: Vec<Found> = Vec::new();
        for (_, one) in of {
            places.entry(&*one.of.labels).or_insert_with(|| {
                sources.push(one.of.clone());
                sources.len() - 1
            });
        }
        let wants_band = of.iter().any(|(_, one)| one.number.is_of_band());
        let said = self
            .reader
            .recall(&sources, range, wants_band, &first.effort)
            .await?;
        for (at, one) in of {
            windows[*at] = window(&said[places[&*one.of.labels]], one.number);
        }
        Ok(())
    }
}

impl Source for Both {
    type Series = Series;

    fn labels(series: &Series) -> &[u8] {
        match series {
            Series::Received(found) => &found.labels,
            Series::Computed(computed) => &computed.labels,
        }
    }

    async fn select(
        &self,
        selector: Arc<Selector>,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
    ) -> Result<Vec<Series>, AskError> {
        let mut all = self.computed(&selector, from_ms, to_ms).await?;
        let received = self.reader.select(selector, from_ms, to_ms, limit).await?;
        all.extend(received.into_iter().map(Series::Received));
        match all.len() > limit {
            true => Err(AskError::TooMany { limit }),
            false => Ok(all),
        }
    }

    async fn windows(
        &self,
        of: &[Series],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Vec<WindowChunk>>, AskError> {
        let (mut received, mut places, mut computed) = (Vec::new(), Vec::new(), Vec::new());
        for (at, series) in of.iter().enumerate() {
            match series {
                Series::Received(found) => {
                    received.push(found.clone());
                    places.push(at);
                }
                Series::Computed(one) => computed.push((at, &**one)),
            }
        }
        let mut windows = vec![Vec::new(); of.len()];
        if !received.is_empty() {
            let read = self.reader.windows(&received, from_ms, to_ms).await?;
            for (at, chunks) in places.into_iter().zip(read) {
                windows[at] = chunks;
            }
        }
        self.say_again(&computed, (from_ms, to_ms), &mut windows)
            .await?;
        Ok(windows)
    }
}

/// What a question is about; nothing if it does not mean computed series.
fn meant(selector: &Selector) -> Vec<Number> {
    let of = |label: &str| {
        let all = selector.matchers().iter();
        let label = label.to_owned();
        all.filter(move |m| *m.name() == *label)
    };
    let named = selector
        .metric_name()
        .is_some_and(|name| Number::ALL.iter().any(|n| n.name() == name));
    let marked = of(LABEL).any(|m| !m.matches(""));
    if !(named || marked) || !of(LABEL).all(|m| m.matches(VALUE)) {
        return Vec::new();
    }
    let wanted = |n: &Number| of(METRIC_NAME).all(|m| m.matches(n.name()));
    Number::ALL.into_iter().filter(wanted).collect()
}

/// A selector of the series that what is selected may be computed from, and of some others.
fn sources(selector: &Selector) -> Selector {
    let own = |m: &&Matcher| {
        let mut stem = m.name();
        while let Some(rest) = stem.strip_prefix(MOVED) {
            stem = rest;
        }
        // Labels that move, and those that a score has not.
        m.name() == SOURCE || ![METRIC_NAME, LABEL, SOURCE, "le", "quantile"].contains(&stem)
    };
    let as_source = |m: &Matcher| match m.name() == SOURCE {
        true => m.clone().of_label(METRIC_NAME),
        false => m.clone(),
    };
    let mut matchers: Vec<Matcher> = selector
        .matchers()
        .iter()
        .filter(own)
        .map(as_source)
        .collect();
    matchers.sort_by_key(|m| matches!(m.op(), MatchOp::Regex | MatchOp::NotRegex));
    Selector::from(matchers)
}

/// The labels of a number of a series.
fn labels_of(canonical: &[u8], number: Number) -> Box<[u8]> {
    let is_ours = |name: &str| {
        let mut stem = name;
        while let Some(rest) = stem.strip_prefix(MOVED) {
            stem = rest;
        }
        stem == LABEL
    };
    let mut all: Vec<(Cow<'_, str>, &str)> = label_text::score_labels(canonical)
        .map(|(name, value)| match is_ours(&name) {
            true => (Cow::Owned(format!("{MOVED}{name}")), value),
            false => (name, value),
        })
        .collect();
    all.push((Cow::Borrowed(METRIC_NAME), number.name()));
    all.push((Cow::Borrowed(LABEL), VALUE));
    all.sort_unstable();
    labels::encode(all.iter().map(|(name, value)| (&**name, *value))).into()
}

/// What was said, as chunks.
fn window(said: &[Said], number: Number) -> Vec<WindowChunk> {
    let chunk = |c: Finished| WindowChunk {
        first_ms: c.first_ms,
        last_ms: c.last_ms,
        samples: c.samples,
        encoding: Encoding::Xor,
        bytes: c.bytes.into(),
    };
    let mut head = Head::new();
    let mut chunks = Vec::new();
    for one in said {
        if let Some(value) = number.of(one) {
            chunks.extend(head.take(one.t_ms, value).map(chunk));
        }
    }
    chunks.extend(head.cut().map(chunk));
    chunks
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Selector {
        Selector::parse(text).unwrap()
    }

    #[test]
    fn only_who_means_them_gets_them() {
        let names = |text: &str| -> Vec<_> {
            let numbers = meant(&parsed(text));
            numbers.into_iter().map(Number::name).collect()
        };
        assert_eq!(names("{saimon=\"virtual\"}").len(), 6);
        assert_eq!(names("{saimon=~\"virt.*\", job=\"a\"}").len(), 6);
        assert_eq!(names("saimon_rarity"), ["saimon_rarity"]);
        let bounds = "{__name__=~\"saimon_.*_bound\", saimon=\"virtual\"}";
        assert_eq!(names(bounds), ["saimon_lower_bound", "saimon_upper_bound"]);
        for none in [
            "{job=\"a\"}",
            "{__name__=~\".+\"}",
            "{__name__=~\"saimon_.*\"}",
            "{saimon!=\"virtual\"}",
            "{saimon=~\"virtual|\"}",
            "{saimon=\"other\"}",
            "saimon_rarity{saimon=\"\"}",
            "node_load1{saimon=\"virtual\"}",
        ] {
            assert_eq!(names(none), Vec::<&str>::new(), "{none}");
        }
    }

    #[test]
    fn matchers_of_ours_are_made_matchers_of_the_source() {
        let asked = "saimon_expected{saimon=\"virtual\", source_metric=~\"a|b\", job=\"x\", le=\"\", exported_saimon=\"y\"}";
        let wanted = parsed("{job=\"x\", __name__=~\"a|b\"}");
        assert_eq!(sources(&parsed(asked)), wanted);
    }

    #[test]
    fn labels_that_clash_move() {
        let own = [
            ("__name__", "m"),
            ("exported_saimon", "1"),
            ("job", "j"),
            ("le", "2"),
            ("saimon", "3"),
            ("source_metric", "4"),
        ];
        let shown = labels_of(&labels::encode(own), Number::Score);
        let wanted = [
            ("__name__", "saimon_anomaly_score"),
            ("exported_exported_saimon", "1"),
            ("exported_le", "2"),
            ("exported_saimon", "3"),
            ("exported_source_metric", "4"),
            ("job", "j"),
            ("saimon", "virtual"),
            ("source_metric", "m"),
        ];
        assert_eq!(labels::iter(&shown).collect::<Vec<_>>(), wanted);
    }
}

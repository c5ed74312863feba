//! The lines of groups on a page of scores.
//!
//! A line has the labels of its group, the label that says which these are, and empty `job` and
//! `instance` where the group has none: so Prometheus, told to honor labels, does not add those of
//! saimon itself.

use super::page::number;
use crate::score::groups::{BY, Groups, Standing, Standings};
use crate::score::label_text;
use crate::series::labels::METRIC_NAME;
use crate::series::matcher::Selector;

/// Labels that a scrape adds where there are none.
const OF_TARGETS: [&str; 2] = ["instance", "job"];

/// The two families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Score,
    Ratio,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Score => "saimon_group_score",
            Self::Ratio => "saimon_group_anomaly_ratio",
        }
    }

    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Score => {
                "how unlikely the newest samples of a group are together, from 0 to below 1; anomalous from 0.7 on"
            }
            Self::Ratio => "share of the scored series of a group that have an active anomaly",
        }
    }

    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Score => Some(Self::Ratio),
            Self::Ratio => None,
        }
    }
}

/// A group with what is selected of it.
#[derive(Debug)]
pub(super) struct GroupLine {
    standing: Standing,
    labels: Box<str>,
    score: bool,
    ratio: bool,
}

impl GroupLine {
    /// Appends the line of this family, if it is selected.
    pub(super) fn render(&self, family: Family, out: &mut Vec<u8>) {
        use std::io::Write as _;
        let wanted = match family {
            Family::Score => self.score,
            Family::Ratio => self.ratio,
        };
        if !wanted {
            return;
        }
        out.extend_from_slice(family.name().as_bytes());
        out.extend_from_slice(self.labels.as_bytes());
        match family {
            Family::Score => number(self.standing.score(), out),
            Family::Ratio => {
                let _ = write!(out, "{:.4}", self.standing.ratio());
            }
        }
        out.push(b'\n');
    }
}

/// The groups of which at least one line is selected; without selectors all.
pub(super) fn select(groups: &Groups, now: &Standings, selectors: &[Selector]) -> Vec<GroupLine> {
    let line = |standing: &Standing| {
        let labels = labels(groups, standing);
        let selected = |family: Family| {
            let of = |name: &str| match name {
                METRIC_NAME => Some(family.name()),
                _ => labels.iter().find(|(n, _)| *n == name).map(|(_, v)| *v),
            };
            selectors.is_empty() || selectors.iter().any(|s| s.matches(of))
        };
        let (score, ratio) = (selected(Family::Score), selected(Family::Ratio));
        (score || ratio).then(|| GroupLine {
            standing: standing.clone(),
            labels: text(&labels),
            score,
            ratio,
        })
    };
    now.groups.iter().filter_map(line).collect()
}

/// Names and values in the order of the names.
fn labels<'a>(groups: &'a Groups, standing: &'a Standing) -> Vec<(&'a str, &'a str)> {
    let names = groups.names(&standing.group).iter().map(|n| &**n);
    let values = standing.group.values.iter().map(|v| &**v);
    let mut labels: Vec<(&str, &str)> = names.zip(values).collect();
    labels.push((BY, groups.by(&standing.group)));
    labels.sort_unstable();
    labels
}

fn text(labels: &[(&str, &str)]) -> Box<str> {
    let mut all = labels.to_vec();
    let lacks = |name: &&str| !labels.iter().any(|(n, _)| n == name);
    all.extend(OF_TARGETS.into_iter().filter(lacks).map(|n| (n, "")));
    all.sort_unstable();
    let mut out = String::from("{");
    for (i, (name, value)) in all.iter().enumerate() {
        if i > 0 {
            out.push(',');
        }
        label_text::push(&mut out, name, value);
    }
    out.push_str("} ");
    out.into_boxed_str()
}

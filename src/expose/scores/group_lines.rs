//! The lines of groups on a page of scores.
//!
//! A line has the labels of its group, the label that says which these are, and empty `job` and
//! `instance` where the group has none: so Prometheus, told to honor labels, does not add those of
//! saimon itself.

use super::page::number;
use crate::score::groups::joint::JointStanding;
use crate::score::groups::{BY, Groups, Standing, Standings};
use crate::score::label_text;
use crate::series::labels::METRIC_NAME;
use crate::series::matcher::Selector;

/// Labels that a scrape adds where there are none.
const OF_TARGETS: [&str; 2] = ["instance", "job"];

/// The families.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    Score,
    Ratio,
    Joint,
}

impl Family {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Score => "saimon_group_score",
            Self::Ratio => "saimon_group_anomaly_ratio",
            Self::Joint => "saimon_group_joint_score",
        }
    }

    pub(super) fn help(self) -> &'static str {
        match self {
            Self::Score => {
                "how unlikely the newest samples of a group are together, from 0 to below 1; anomalous from 0.7 on"
            }
            Self::Ratio => "share of the scored series of a group that have an active anomaly",
            Self::Joint => {
                "how unlikely it is that the series of a group that move together are as they are, from 0 to below 1; anomalous from 0.7 on"
            }
        }
    }

    pub(super) fn next(self) -> Option<Self> {
        match self {
            Self::Score => Some(Self::Ratio),
            Self::Ratio => Some(Self::Joint),
            Self::Joint => None,
        }
    }
}

/// A group with what is selected of it.
#[derive(Debug)]
pub(super) struct GroupLine {
    labels: Box<str>,
    score: Option<f32>,
    ratio: Option<f64>,
    joint: Option<f32>,
}

impl GroupLine {
    /// Appends the line of this family, if there is one.
    pub(super) fn render(&self, family: Family, out: &mut Vec<u8>) {
        use std::io::Write as _;
        let score = match family {
            Family::Score => self.score,
            Family::Joint => self.joint,
            Family::Ratio => None,
        };
        if score.is_none() && (family != Family::Ratio || self.ratio.is_none()) {
            return;
        }
        out.extend_from_slice(family.name().as_bytes());
        out.extend_from_slice(self.labels.as_bytes());
        match (score, self.ratio) {
            (Some(score), _) => number(score, out),
            (None, Some(ratio)) => {
                let _ = write!(out, "{ratio:.4}");
            }
            (None, None) => {}
        }
        out.push(b'\n');
    }
}

/// The groups of which at least one line is selected; without selectors all.
pub(super) fn select(groups: &Groups, now: &Standings, selectors: &[Selector]) -> Vec<GroupLine> {
    let standing = |standing: &Standing| {
        let group = &standing.group;
        let labels = labels(group.names(), &group.values, group.by());
        let (score, ratio) = (
            selected(&labels, Family::Score, selectors).then(|| standing.score()),
            selected(&labels, Family::Ratio, selectors).then(|| standing.ratio()),
        );
        (score.is_some() || ratio.is_some()).then(|| GroupLine {
            labels: text(&labels),
            score,
            ratio,
            joint: None,
        })
    };
    let joined = groups.joint();
    let by = joined.names().join(",");
    let joint = |standing: &JointStanding| {
        let labels = labels(joined.names(), &standing.values, &by);
        selected(&labels, Family::Joint, selectors).then(|| GroupLine {
            labels: text(&labels),
            score: None,
            ratio: None,
            joint: Some(standing.score()),
        })
    };
    let joint: Vec<_> = joined.now().iter().filter_map(joint).collect();
    now.groups
        .iter()
        .filter_map(standing)
        .chain(joint)
        .collect()
}

fn selected(labels: &[(&str, &str)], family: Family, selectors: &[Selector]) -> bool {
    let of = |name: &str| match name {
        METRIC_NAME => Some(family.name()),
        _ => labels.iter().find(|(n, _)| *n == name).map(|(_, v)| *v),
    };
    selectors.is_empty() || selectors.iter().any(|s| s.matches(of))
}

/// Names and values in the order of the names.
fn labels<'a>(
    names: &'a [Box<str>],
    values: &'a [Box<str>],
    by: &'a str,
) -> Vec<(&'a str, &'a str)> {
    let names = names.iter().map(|n| &**n);
    let values = values.iter().map(|v| &**v);
    let mut labels: Vec<(&str, &str)> = names.zip(values).collect();
    labels.push((BY, by));
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

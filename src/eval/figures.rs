//! How well scores find what is labelled.
//!
//! Own implementations of the measures that the literature on these corpora uses, each defined where
//! it is computed. Point-adjusted F1 is left out on purpose: random scores do well on it.

pub(super) mod alarms;
pub(super) mod causes;
pub(super) mod curve;
pub(super) mod numenta;
pub(super) mod volume;

use serde::Serialize;

use alarms::{AtCut, BestCut};
use causes::Causes;
use numenta::{FileRows, Profiles};

use super::corpus::Layout;

/// The line in the unit of the judged output: where a user sees a score of 0.7.
pub(super) const LINE: f32 = 1.0;

/// Scores and labels of the rows of one file that count.
#[derive(Debug)]
pub(super) struct Scored {
    pub(super) name: String,
    pub(super) scores: Vec<f32>,
    pub(super) labels: Vec<bool>,
    /// Days that the rows cover.
    pub(super) days: f64,
    pub(super) causes: Vec<Causes>,
}

/// What one file gives to the figures of its corpus.
#[derive(Debug)]
pub(super) enum Part {
    Scored(Scored),
    Numenta(FileRows),
}

/// The figures of one corpus.
#[derive(Debug, Clone, Serialize)]
#[serde(untagged)]
pub(super) enum Figures {
    /// With a label for each row.
    Rows(Box<RowFigures>),
    /// With windows.
    Numenta(Profiles),
    /// Nothing is labelled.
    None {},
}

/// The figures of one series, or of several as their mean.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(super) struct Mean {
    /// Average precision, row by row, equal scores in one step.
    pub(super) auc_pr: f64,
    /// Best F1, row by row.
    pub(super) best_f1: f64,
    pub(super) comp_f1: f64,
    pub(super) event_f1: f64,
    pub(super) vus_pr: f64,
}

/// The same over all rows of all series, under one cut.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(super) struct Pooled {
    pub(super) auc_pr: f64,
    pub(super) best_f1: f64,
    #[serde(flatten)]
    pub(super) best: BestCut,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct RowFigures {
    /// Files.
    pub(super) series: usize,
    pub(super) anomalous_share: f64,
    /// Over the files with an anomaly, each at its own best cut.
    pub(super) mean: Mean,
    pub(super) pooled: Pooled,
    /// At the default line, the same for every corpus.
    pub(super) fixed: AtCut,
    /// At multiples of it, for who sets another.
    pub(super) cuts: Vec<(f32, AtCut)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) causes: Option<Causes>,
    pub(super) per_series: Vec<(String, Mean)>,
}

/// Cuts of the table, in units of the line.
const CUTS: [f32; 7] = [0.8, 0.9, 1.0, 1.1, 1.2, 1.35, 1.5];

/// The figures of all files of one corpus.
pub(super) fn of(layout: Layout, parts: Vec<Part>) -> Figures {
    let (mut rows, mut files) = (Vec::new(), Vec::new());
    for part in parts {
        match part {
            Part::Scored(s) => rows.push(s),
            Part::Numenta(f) => files.push(f),
        }
    }
    match layout {
        Layout::Nab if files.iter().any(|f| f.windows() > 0) => {
            Figures::Numenta(numenta::profiles(&files))
        }
        Layout::Series | Layout::Machines if rows.iter().any(|r| r.labels.contains(&true)) => {
            Figures::Rows(Box::new(rows_figures(&rows)))
        }
        _ => Figures::None {},
    }
}

fn rows_figures(all: &[Scored]) -> RowFigures {
    let labelled: Vec<&Scored> = all.iter().filter(|s| s.labels.contains(&true)).collect();
    let per_series: Vec<(String, Mean)> = labelled
        .iter()
        .map(|s| (s.name.clone(), one(&s.scores, &s.labels)))
        .collect();
    let over = |field: fn(&Mean) -> f64| {
        per_series.iter().map(|(_, m)| field(m)).sum::<f64>() / per_series.len() as f64
    };
    let scores: Vec<f32> = all.iter().flat_map(|s| s.scores.iter().copied()).collect();
    let labels: Vec<bool> = all.iter().flat_map(|s| s.labels.iter().copied()).collect();
    let pairs: Vec<(&[f32], &[bool])> = all.iter().map(|s| (&*s.scores, &*s.labels)).collect();
    let ranked = curve::Ranked::new(&scores, &labels);
    let days = all.iter().map(|s| s.days).sum();
    let causes: Vec<Causes> = all.iter().flat_map(|s| s.causes.iter().copied()).collect();
    RowFigures {
        series: all.len(),
        anomalous_share: labels.iter().filter(|y| **y).count() as f64 / labels.len() as f64,
        mean: Mean {
            auc_pr: over(|m| m.auc_pr),
            best_f1: over(|m| m.best_f1),
            comp_f1: over(|m| m.comp_f1),
            event_f1: over(|m| m.event_f1),
            vus_pr: over(|m| m.vus_pr),
        },
        pooled: Pooled {
            auc_pr: ranked.auc_pr(),
            best_f1: ranked.best_f1(),
            best: alarms::best(&pairs, &alarms::cuts(&scores, alarms::CUTS_POOLED)),
        },
        fixed: alarms::at(&pairs, LINE, days),
        cuts: CUTS
            .map(|c| (c, alarms::at(&pairs, c * LINE, days)))
            .to_vec(),
        causes: causes::mean(&causes),
        per_series,
    }
}

fn one(scores: &[f32], labels: &[bool]) -> Mean {
    let ranked = curve::Ranked::new(scores, labels);
    let cuts = alarms::cuts(scores, alarms::CUTS_EACH);
    let best = alarms::best(&[(scores, labels)], &cuts);
    Mean {
        auc_pr: ranked.auc_pr(),
        best_f1: ranked.best_f1(),
        comp_f1: best.comp_f1,
        event_f1: best.event_f1,
        vus_pr: volume::vus_pr(scores, labels),
    }
}

#[cfg(test)]
mod tests;

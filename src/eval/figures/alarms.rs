//! Alarms and events: what a person on call would count.
//!
//! Rows at or above the cut that lie at most [`GAP`] rows apart are one alarm. An alarm is true if it
//! begins inside a labelled event, or at most [`LEAD`] rows before it; an event is found if such an
//! alarm exists. An alarm that is always on earns nothing.

use serde::Serialize;

use super::curve::{harmonic, spans};

/// Rows between two flagged rows of one alarm, at most.
const GAP: usize = 10;
/// Rows that an alarm may be early.
const LEAD: usize = 3;
/// Cuts tried for one series.
pub(crate) const CUTS_EACH: usize = 80;
/// Cuts tried for all series together.
pub(crate) const CUTS_POOLED: usize = 50;

/// The best that one cut for all series gives; the two F1 may lie at different cuts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct BestCut {
    /// Harmonic mean of the share of flagged rows that are labelled and the share of events with a
    /// flagged row.
    pub(crate) comp_f1: f64,
    /// Harmonic mean of the shares of true alarms and of found events.
    pub(crate) event_f1: f64,
    /// Where that is.
    pub(crate) event_cut: f64,
    pub(crate) event_precision: f64,
    pub(crate) event_recall: f64,
}

/// What one given cut gives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub(crate) struct AtCut {
    pub(crate) event_f1: f64,
    pub(crate) precision: f64,
    pub(crate) recall: f64,
    /// Per file and day: of a series, or of all metrics of a machine together.
    pub(crate) alarms_a_day: f64,
    /// Those that are not true.
    pub(crate) false_alarms_a_day: f64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Counts {
    flagged: u64,
    labelled: u64,
    alarms: u64,
    true_alarms: u64,
    found: u64,
    touched: u64,
    events: u64,
}

/// Cuts at geometrically spaced shares of the highest scores, highest first, each once.
pub(crate) fn cuts(scores: &[f32], count: usize) -> Vec<f32> {
    let mut top = scores.to_vec();
    top.sort_unstable_by(|a, b| b.total_cmp(a));
    let last = (scores.len() / 2).max(2) as f64;
    let step = last.log10() / (count - 1) as f64;
    let mut cuts = Vec::new();
    for i in 0..count {
        let rank = match i {
            0 => 1.0,
            i if i == count - 1 => last,
            i => 10f64.powf(i as f64 * step),
        };
        let cut = top.get(rank as usize - 1).copied();
        if cut.is_some() && cut != cuts.last().copied() {
            cuts.extend(cut);
        }
    }
    cuts
}

/// The best of `cuts` for all series together.
pub(crate) fn best(series: &[(&[f32], &[bool])], cuts: &[f32]) -> BestCut {
    let events = events(series);
    let mut best = BestCut::default();
    for cut in cuts {
        let c = counts(series, &events, *cut);
        if c.flagged == 0 || c.events == 0 {
            continue;
        }
        let of = |a: u64, b: u64| a as f64 / b as f64;
        best.comp_f1 = best
            .comp_f1
            .max(harmonic(of(c.labelled, c.flagged), of(c.touched, c.events)));
        let (precision, recall) = (of(c.true_alarms, c.alarms), of(c.found, c.events));
        let event = harmonic(precision, recall);
        if event > best.event_f1 {
            best.event_f1 = event;
            best.event_cut = f64::from(*cut);
            best.event_precision = precision;
            best.event_recall = recall;
        }
    }
    best
}

/// What `cut` gives for all series together, which cover `days`.
pub(crate) fn at(series: &[(&[f32], &[bool])], cut: f32, days: f64) -> AtCut {
    let c = counts(series, &events(series), cut);
    let of = |a: u64, b: u64| if b == 0 { 0.0 } else { a as f64 / b as f64 };
    let (precision, recall) = (of(c.true_alarms, c.alarms), of(c.found, c.events));
    let days = days.max(f64::MIN_POSITIVE);
    AtCut {
        event_f1: harmonic(precision, recall),
        precision,
        recall,
        alarms_a_day: c.alarms as f64 / days,
        false_alarms_a_day: (c.alarms - c.true_alarms) as f64 / days,
    }
}

type Events = Vec<Vec<(usize, usize)>>;

fn events(series: &[(&[f32], &[bool])]) -> Events {
    let each = series.iter().map(|(_, y)| spans(y.iter().copied()));
    each.collect()
}

fn counts(series: &[(&[f32], &[bool])], events: &Events, cut: f32) -> Counts {
    let mut c = Counts::default();
    for ((scores, labels), events) in series.iter().zip(events) {
        count(scores, labels, events, cut, &mut c);
    }
    c
}

fn count(scores: &[f32], labels: &[bool], events: &[(usize, usize)], cut: f32, c: &mut Counts) {
    c.events += events.len() as u64;
    let mut before: Option<usize> = None;
    // Events that were counted as found and as touched: rows come in order, so each is counted when
    // its number passes these.
    let (mut found, mut touched) = (0, 0);
    for (row, score) in scores.iter().enumerate() {
        if *score < cut {
            continue;
        }
        c.flagged += 1;
        c.labelled += u64::from(labels[row]);
        // The last event that began by now.
        let inside = events.partition_point(|(first, _)| *first <= row);
        if inside > touched && row <= events[inside - 1].1 {
            touched = inside;
            c.touched += 1;
        }
        if before.is_none_or(|b| row - b > GAP) {
            c.alarms += 1;
            let near = events.partition_point(|(first, _)| *first <= row + LEAD);
            if near > 0 && row <= events[near - 1].1 {
                c.true_alarms += 1;
                if near > found {
                    found = near;
                    c.found += 1;
                }
            }
        }
        before = Some(row);
    }
}

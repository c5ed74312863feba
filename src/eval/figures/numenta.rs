//! The score of the Numenta Anomaly Benchmark, version 1.1 (Lavin and Ahmad, ICMLA 2015).
//!
//! Rows of the first 15 % of a file, at most 750, do not count. Of the rows at or above the cut, the
//! earliest within a window earns up to 1, more the earlier it is; each outside of all windows costs,
//! less shortly after one; a window without any costs. One cut for all files, the best for each
//! profile. 0 is what silence scores, 100 every window at its first row and nothing else.

use serde::Serialize;

const PROBATION: f64 = 0.15;
const PROBATION_ROWS: f64 = 5000.0;

/// What hits, false rows and misses weigh.
#[derive(Debug, Clone, Copy)]
struct Weights {
    hit: f64,
    false_row: f64,
    miss: f64,
}

const STANDARD: Weights = Weights {
    hit: 1.0,
    false_row: 0.11,
    miss: 1.0,
};
const LOW_FP: Weights = Weights {
    false_row: 0.22,
    ..STANDARD
};
const LOW_FN: Weights = Weights {
    miss: 2.0,
    ..STANDARD
};

/// The three profiles.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Profiles {
    pub(crate) standard: Profile,
    pub(crate) reward_low_fp_rate: Profile,
    pub(crate) reward_low_fn_rate: Profile,
}

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Profile {
    pub(crate) score: f64,
    /// The best cut; infinite if none is better than silence.
    pub(crate) threshold: f64,
    pub(crate) windows_hit: usize,
    pub(crate) windows: usize,
    pub(crate) false_rows: usize,
}

/// One file, before any weights.
#[derive(Debug)]
pub(crate) struct FileRows {
    windows: usize,
    rows: Vec<Row>,
    /// Windows with a row that counts.
    live: usize,
}

#[derive(Debug, Clone, Copy)]
struct Row {
    score: f32,
    place: Place,
}

#[derive(Debug, Clone, Copy)]
enum Place {
    /// In the window of this number, worth this much.
    Inside(usize, f64),
    /// Outside, costing this much.
    Outside(f64),
}

/// A window whose edges are no rows of its file, or that ends before it begins.
#[derive(Debug, thiserror::Error)]
#[error("a window has edges that are no times of rows, or ends before it begins")]
pub(crate) struct NoSuchRow;

/// Place relative to a window's right edge, in its widths, to -1..1.
fn squash(y: f64) -> f64 {
    if y > 3.0 {
        -1.0
    } else {
        2.0 / (1.0 + (5.0 * y).exp()) - 1.0
    }
}

impl FileRows {
    /// `windows`: first and last time of each.
    pub(crate) fn new(
        times: &[i64],
        scores: &[f32],
        windows: &[(i64, i64)],
    ) -> Result<Self, NoSuchRow> {
        let n = scores.len();
        let find = |at: i64| times.iter().position(|t| *t == at).ok_or(NoSuchRow);
        let mut spans = Vec::with_capacity(windows.len());
        for (first, last) in windows {
            spans.push((find(*first)?, find(*last)?));
        }
        spans.sort_unstable();
        if spans.iter().any(|(first, last)| last < first) {
            return Err(NoSuchRow);
        }
        let mut places = vec![Place::Outside(1.0); n];
        for (number, (first, last)) in spans.iter().enumerate() {
            let width = (last + 1).saturating_sub(*first) as f64;
            for (back, place) in places[*first..=*last].iter_mut().rev().enumerate() {
                let y = -((back + 1) as f64) / width;
                *place = Place::Inside(number, squash(y) / squash(-1.0));
            }
            let stop = spans.get(number + 1).map_or(n, |next| next.0).max(last + 1);
            for (after, place) in places[last + 1..stop].iter_mut().enumerate() {
                let y = (after + 1) as f64 / (width - 1.0).max(1e-9);
                *place = Place::Outside(-squash(y));
            }
        }
        let head = (PROBATION * n as f64)
            .floor()
            .min(PROBATION * PROBATION_ROWS) as usize;
        let rows: Vec<Row> = scores
            .iter()
            .zip(places)
            .map(|(score, place)| Row {
                score: *score,
                place,
            })
            .skip(head)
            .collect();
        let mut live: Vec<usize> = rows.iter().filter_map(Row::window).collect();
        live.dedup();
        Ok(Self {
            windows: windows.len(),
            rows,
            live: live.len(),
        })
    }

    pub(crate) fn windows(&self) -> usize {
        self.windows
    }
}

impl Row {
    fn window(&self) -> Option<usize> {
        match self.place {
            Place::Inside(number, _) => Some(number),
            Place::Outside(_) => None,
        }
    }
}

/// All three, each at its own best cut.
pub(crate) fn profiles(files: &[FileRows]) -> Profiles {
    let [standard, reward_low_fp_rate, reward_low_fn_rate] =
        [STANDARD, LOW_FP, LOW_FN].map(|w| profile(files, w));
    Profiles {
        standard,
        reward_low_fp_rate,
        reward_low_fn_rate,
    }
}

fn profile(files: &[FileRows], weights: Weights) -> Profile {
    let (threshold, raw) = best_cut(files, weights);
    let live: usize = files.iter().map(|f| f.live).sum();
    let windows: usize = files.iter().map(|f| f.windows).sum();
    let floor = -weights.miss * live as f64;
    let perfect = weights.hit * windows as f64;
    let score = if perfect == floor {
        100.0 * raw / (weights.hit + weights.miss)
    } else {
        100.0 * (raw - floor) / (perfect - floor)
    };
    let on = |row: &&Row| f64::from(row.score) >= threshold;
    let mut hit = 0;
    let mut false_rows = 0;
    for file in files {
        let mut windows: Vec<usize> = file
            .rows
            .iter()
            .filter(on)
            .filter_map(Row::window)
            .collect();
        windows.dedup();
        hit += windows.len();
        let outside = |r: &&Row| r.window().is_none();
        false_rows += file.rows.iter().filter(on).filter(outside).count();
    }
    Profile {
        score,
        threshold,
        windows_hit: hit,
        windows,
        false_rows,
    }
}

/// Every different score as a cut: the best one, and what it gives.
fn best_cut(files: &[FileRows], weights: Weights) -> (f64, f64) {
    let live: usize = files.iter().map(|f| f.live).sum();
    let start = -weights.miss * live as f64;
    let mut rows: Vec<(usize, Row)> = Vec::new();
    for (i, file) in files.iter().enumerate() {
        rows.extend(file.rows.iter().map(|row| (i, *row)));
    }
    rows.sort_by(|a, b| b.1.score.total_cmp(&a.1.score));
    let mut best_of = std::collections::HashMap::new();
    let mut running = start;
    let mut best = (f64::INFINITY, start);
    for (i, (file, row)) in rows.iter().enumerate() {
        match row.place {
            Place::Outside(harm) => running -= weights.false_row * harm,
            Place::Inside(window, gain) => {
                let had = best_of.entry((*file, window)).or_insert(-weights.miss);
                let value = weights.hit * gain;
                if value > *had {
                    running += value - *had;
                    *had = value;
                }
            }
        }
        let last_of_tie = rows.get(i + 1).is_none_or(|next| next.1.score != row.score);
        if last_of_tie && (best.0.is_infinite() && running >= best.1 || running > best.1) {
            best = (f64::from(row.score), running);
        }
    }
    best
}

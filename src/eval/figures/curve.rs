//! Precision and recall, row by row.

/// The curve over all cuts.
#[derive(Debug)]
pub(crate) struct Ranked {
    /// (rows at or above a cut, labelled ones among them), for each different score, highest first.
    steps: Vec<(f64, f64)>,
    labelled: f64,
}

impl Ranked {
    pub(crate) fn new(scores: &[f32], labels: &[bool]) -> Self {
        let mut rows: Vec<(f32, bool)> =
            scores.iter().copied().zip(labels.iter().copied()).collect();
        rows.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
        let mut steps = Vec::new();
        let mut hits = 0u64;
        for (i, (score, label)) in rows.iter().enumerate() {
            hits += u64::from(*label);
            if rows.get(i + 1).is_none_or(|next| next.0 != *score) {
                steps.push(((i + 1) as f64, hits as f64));
            }
        }
        Self {
            steps,
            labelled: (hits as f64).max(1.0),
        }
    }

    /// Average precision: precision at each step, weighted by the recall that the step adds.
    pub(crate) fn auc_pr(&self) -> f64 {
        let mut before = 0.0;
        let mut area = 0.0;
        for (rows, hits) in &self.steps {
            let recall = hits / self.labelled;
            area += (recall - before) * (hits / rows);
            before = recall;
        }
        area
    }

    /// The best F1 of all cuts.
    pub(crate) fn best_f1(&self) -> f64 {
        let f1 = |(rows, hits): &(f64, f64)| harmonic(hits / rows, hits / self.labelled);
        self.steps.iter().map(f1).fold(0.0, f64::max)
    }
}

/// Harmonic mean; 0 of two zeros.
pub(crate) fn harmonic(a: f64, b: f64) -> f64 {
    if a + b > 0.0 {
        2.0 * a * b / (a + b).max(1e-12)
    } else {
        0.0
    }
}

/// First and last row of each run of labelled rows.
pub(crate) fn spans(labels: impl Iterator<Item = bool>) -> Vec<(usize, usize)> {
    let mut spans: Vec<(usize, usize)> = Vec::new();
    for (row, label) in labels.enumerate() {
        match spans.last_mut() {
            Some((_, last)) if label && *last + 1 == row => *last = row,
            _ if label => spans.push((row, row)),
            _ => {}
        }
    }
    spans
}

//! VUS-PR: the area under precision and recall with labels softened at both ends, averaged over the
//! width of the softening (Paparrizos et al., VLDB 2022, section 4). Our reading of it, with fixed
//! widths: close to the authors' code, which takes the width from the period, not identical.

use super::curve::spans;

/// Widths of the softening, in rows.
const BUFFERS: [usize; 5] = [0, 15, 30, 45, 60];
/// Ranks at which precision and recall are taken.
const PICKS: usize = 250;

/// 0..1; NaN without a labelled row.
pub(crate) fn vus_pr(scores: &[f32], labels: &[bool]) -> f64 {
    if !labels.contains(&true) {
        return f64::NAN;
    }
    let n = scores.len();
    let mut order: Vec<usize> = (0..n).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    let ranked: Vec<f32> = order.iter().map(|i| scores[*i]).collect();
    // A cut takes every row with the same score.
    let mut ends: Vec<usize> = (0..PICKS)
        .map(|i| match i {
            i if i == PICKS - 1 => n - 1,
            i => (i as f64 * ((n - 1) as f64 / (PICKS - 1) as f64)) as usize,
        })
        .map(|pick| ranked.partition_point(|s| *s >= ranked[pick]))
        .collect();
    ends.dedup();
    let labelled = labels.iter().filter(|y| **y).count() as f64;
    let area = |buffer| one_width(scores, labels, &order, &ranked, &ends, labelled, buffer);
    BUFFERS.into_iter().map(area).sum::<f64>() / BUFFERS.len() as f64
}

fn one_width(
    scores: &[f32],
    labels: &[bool],
    order: &[usize],
    ranked: &[f32],
    ends: &[usize],
    labelled: f64,
    buffer: usize,
) -> f64 {
    let soft = soften(labels, buffer);
    let mut peaks: Vec<f32> = spans(soft.iter().map(|y| *y > 0.0))
        .into_iter()
        .map(|(a, b)| scores[a..=b].iter().copied().fold(f32::MIN, f32::max))
        .collect();
    peaks.sort_unstable_by(f32::total_cmp);
    let (mut core, mut ramp, mut at) = (0.0, 0.0, 0);
    let (mut before, mut area) = (0.0, 0.0);
    for end in ends {
        for row in &order[at..*end] {
            match labels[*row] {
                true => core += 1.0,
                false => ramp += soft[*row],
            }
        }
        at = *end;
        let below = peaks.partition_point(|p| *p < ranked[end - 1]);
        let touched = (peaks.len() - below) as f64 / peaks.len() as f64;
        // Flagged rows of the softening are partly right, and only half as needed.
        let recall = ((core + ramp) / (labelled + ramp / 2.0)).min(1.0) * touched;
        let precision = (core + ramp) / *end as f64;
        area += (recall - before) * precision;
        before = recall;
    }
    area
}

/// 1 on labelled rows, falling to both sides over half the buffer.
fn soften(labels: &[bool], buffer: usize) -> Vec<f64> {
    let mut soft: Vec<f64> = labels.iter().map(|y| f64::from(u8::from(*y))).collect();
    let half = buffer / 2;
    let ramp = |step: usize| (1.0 - step as f64 / buffer as f64).sqrt();
    for (first, last) in spans(labels.iter().copied()) {
        for step in 1..=half {
            if let Some(row) = first.checked_sub(step) {
                soft[row] = soft[row].max(ramp(step));
            }
            if let Some(value) = soft.get_mut(last + step) {
                *value = value.max(ramp(step));
            }
        }
    }
    soft
}

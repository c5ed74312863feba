//! In which directions the members of a group move together: one fit.
//!
//! Members are brought to mean 0 and deviation 1. Components of their correlation matrix count if
//! their eigenvalue is larger than that of any component of independent series would be (the edge of
//! Marchenko and Pastur 1967); a member of whose movement less than half lies in them does not move
//! with the others and is left out, and the rest is fitted again. The share of a member in a residual
//! is what its value alone would have to be put right by for the residual to be least (reconstruction
//! based contribution, Alcala and Qin 2009): that names a single wrong member exactly.

use ndarray::{Array2, ArrayView2};
use serde::{Deserialize, Serialize};
use smartcore::linalg::traits::evd::EVDDecomposable as _;

use super::MEMBERS_MAX;

/// Share of the rows that a member must be in.
const PRESENT: f32 = 0.8;
/// Share of a member's movement that must lie in the components.
const TOGETHER: f64 = 0.5;
/// Fewest members that move together.
const MEMBERS_MIN: usize = 3;
/// Smallest deviation of a member, in its own scales: less is standing still.
const MOVES_MIN: f64 = 0.05;
/// Distances count at most so many deviations, when fitted and when judged.
const FAR: f64 = 8.0;
/// Rounds in which missing members come to where the others say.
const FILLS: usize = 10;
/// Two members move together if at least this share of what the one has in the components lies in the
/// direction of the other.
const ALIKE: f64 = 0.5;
/// Smallest share of a member's movement that is its own: nothing is believed to follow exactly.
const OWN_MIN: f64 = 0.01;

/// What is outside of the usual directions.
#[derive(Debug, Clone, PartialEq)]
pub struct Residual {
    /// The largest part of a member, in units of what is usual for it: the mean over many members would
    /// hide that one of them left the others.
    pub size: f32,
    /// Of every place of the group; they add up to 1.
    pub shares: Vec<f32>,
}

/// One fit.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Relation {
    /// Places in the row.
    members: Vec<usize>,
    mean: Vec<f64>,
    deviation: Vec<f64>,
    /// A row for each member, with a column for each component.
    components: Vec<f64>,
    /// Usual size of each member's residual.
    usual: Vec<f64>,
    /// Share of each member's movement that is its own.
    own: Vec<f64>,
}

impl Relation {
    /// From rows of [`MEMBERS_MAX`] places; `None` if fewer than three members move together.
    pub fn fit(rows: &[f32]) -> Option<Self> {
        let rows: Vec<&[f32]> = rows.chunks_exact(MEMBERS_MAX).collect();
        let mut members: Vec<usize> = (0..MEMBERS_MAX)
            .filter(|m| moves(&rows, *m).is_some())
            .collect();
        // Each round leaves out at least one member, or is the last.
        loop {
            let (relation, together) = Self::of(&rows, &members)?;
            if together.len() == members.len() {
                return Some(relation);
            }
            members = together;
        }
    }

    /// A fit of these members, and those of them that move together.
    fn of(rows: &[&[f32]], members: &[usize]) -> Option<(Self, Vec<usize>)> {
        let p = members.len();
        if p < MEMBERS_MIN {
            return None;
        }
        let (mean, deviation): (Vec<f64>, Vec<f64>) = members
            .iter()
            .map(|m| moves(rows, *m).unwrap_or((0.0, 1.0)))
            .unzip();
        let standard = |row: &[f32]| -> Vec<f64> {
            let one = |(i, m): (usize, &usize)| standardised(row[*m], mean[i], deviation[i]);
            members.iter().enumerate().map(one).collect()
        };
        let standard: Vec<Vec<f64>> = rows.iter().map(|row| standard(row)).collect();
        let n = standard.len() as f64;
        let mut correlation = Array2::<f64>::zeros((p, p));
        for row in &standard {
            for (i, a) in row.iter().enumerate() {
                for (j, b) in row.iter().enumerate().take(i + 1) {
                    correlation[[i, j]] += a * b / n;
                }
            }
        }
        for i in 0..p {
            for j in i + 1..p {
                correlation[[i, j]] = correlation[[j, i]];
            }
        }
        let found = correlation.evd(true).ok()?;
        let edge = (1.0 + (p as f64 / n).sqrt()).powi(2);
        let counts: Vec<usize> = (0..p).filter(|c| found.d[*c] > edge).collect();
        if counts.is_empty() || counts.len() >= p {
            return None;
        }
        let mut components = Array2::zeros((p, counts.len()));
        for (to, from) in counts.iter().enumerate() {
            for i in 0..p {
                components[[i, to]] = found.V[[i, *from]];
            }
        }
        let in_components = |i: usize| -> f64 {
            let one = |(to, from): (usize, &usize)| {
                found.d[*from] * components[[i, to]] * components[[i, to]]
            };
            counts.iter().enumerate().map(one).sum()
        };
        let together = (0..p).filter(|i| in_components(*i) >= TOGETHER);
        let together = together.map(|i| members[i]).collect();
        let own = (0..p)
            .map(|i| {
                let row = components.row(i);
                (1.0 - row.dot(&row)).max(OWN_MIN)
            })
            .collect();
        let mut relation = Self {
            members: members.to_vec(),
            mean,
            deviation,
            components: components.into_raw_vec_and_offset().0,
            usual: vec![1.0; p],
            own,
        };
        let mut squares = vec![0.0; p];
        for row in &standard {
            for (square, r) in squares.iter_mut().zip(relation.outside(row)) {
                *square += r * r / n;
            }
        }
        relation.usual = squares
            .iter()
            .map(|s| s.max(OWN_MIN * OWN_MIN).sqrt())
            .collect();
        Some((relation, together))
    }

    /// False for what was never a fit.
    pub(super) fn is_sound(&self) -> bool {
        let p = self.members.len();
        let each = [&self.mean, &self.deviation, &self.usual, &self.own];
        p >= MEMBERS_MIN
            && each.iter().all(|of| of.len() == p)
            && self.members.iter().all(|m| *m < MEMBERS_MAX)
            && !self.components.is_empty()
            && self.components.len().is_multiple_of(p)
    }

    pub fn members(&self) -> usize {
        self.members.len()
    }

    pub fn has(&self, member: usize) -> bool {
        self.members.contains(&member)
    }

    /// The members, each with those that it moves together with, as bits of places; itself is one of
    /// them. Up or down makes no difference.
    pub fn alike(&self) -> Vec<(usize, u64)> {
        let p = self.members.len();
        let rows: Vec<&[f64]> = self
            .components
            .chunks_exact(self.components.len() / p)
            .collect();
        let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>();
        let sizes: Vec<f64> = rows.iter().map(|row| dot(row, row)).collect();
        let with = |i: usize| {
            let alike = |j: &usize| {
                let both = dot(rows[i], rows[*j]);
                *j == i || both * both >= ALIKE * sizes[i] * sizes[*j]
            };
            let all = (0..p).filter(alike).map(|j| 1u64 << self.members[j]);
            all.fold(0, |bits, bit| bits | bit)
        };
        (0..p).map(|i| (self.members[i], with(i))).collect()
    }

    /// What a row has outside the usual directions; `None` if too many members are missing.
    pub fn residual(&self, row: &[f32; MEMBERS_MAX]) -> Option<Residual> {
        let present = self.members.iter().filter(|m| row[**m].is_finite()).count();
        if (present as f32) < PRESENT * self.members.len() as f32 {
            return None;
        }
        let mut standard: Vec<f64> = self
            .members
            .iter()
            .enumerate()
            .map(|(i, m)| standardised(row[*m], self.mean[i], self.deviation[i]))
            .collect();
        let mut outside = self.outside(&standard);
        if present < self.members.len() {
            // One that is missing is where the others say.
            for _ in 0..FILLS {
                for (i, m) in self.members.iter().enumerate() {
                    if !row[*m].is_finite() {
                        standard[i] -= outside[i];
                    }
                }
                outside = self.outside(&standard);
            }
        }
        let mut size = 0.0f64;
        let mut shares = vec![0.0f32; MEMBERS_MAX];
        let mut all = 0.0;
        for (i, r) in outside.iter().enumerate() {
            size = size.max(r.abs() / self.usual[i]);
            let alone = r * r / self.own[i];
            shares[self.members[i]] = alone as f32;
            all += alone;
        }
        if all > 0.0 {
            shares.iter_mut().for_each(|s| *s /= all as f32);
        }
        Some(Residual {
            size: size as f32,
            shares,
        })
    }

    fn outside(&self, standard: &[f64]) -> Vec<f64> {
        let row = ndarray::ArrayView1::from(standard);
        let p = self.members.len();
        let components = ArrayView2::from_shape((p, self.components.len() / p), &self.components)
            .expect("BUG: a fit has whole rows of components");
        let along = components.t().dot(&row);
        let inside = components.dot(&along);
        row.iter().zip(&inside).map(|(x, y)| x - y).collect()
    }
}

/// A member that is missing is at its mean.
fn standardised(value: f32, mean: f64, deviation: f64) -> f64 {
    match value.is_finite() {
        true => ((f64::from(value) - mean) / deviation).clamp(-FAR, FAR),
        false => 0.0,
    }
}

/// Mean and deviation of a member; `None` if it is seldom there, or stands still.
fn moves(rows: &[&[f32]], member: usize) -> Option<(f64, f64)> {
    let there = || rows.iter().map(|row| row[member]).filter(|x| x.is_finite());
    let n = there().count();
    if n < 2 || (n as f32) < PRESENT * rows.len() as f32 {
        return None;
    }
    let mean = there().map(f64::from).sum::<f64>() / n as f64;
    let square = there().map(|x| (f64::from(x) - mean).powi(2)).sum::<f64>() / n as f64;
    let deviation = square.sqrt();
    (deviation >= MOVES_MIN).then_some((mean, deviation))
}

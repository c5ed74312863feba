//! Growing trees: each from rows drawn with replacement, cut at random until every row is alone, all
//! are equal, or the tree is as deep as is worth it.
//!
//! A forest of 100 trees of 256 rows has to be grown in about a millisecond on one core, because
//! thousands of series have theirs renewed every day. So rows lie feature by feature, a tree moves
//! numbers of rows and not rows, and each cut takes two passes over its rows.

use super::node::{NODES_MAX, Node};
use super::random::Random;
use super::reservoir::Packed;
use super::{FEATURES, Forest, ForestSpec};

/// Grows a forest. Without rows it has one leaf a tree and says nothing of any sample.
pub fn grow(rows: &[Packed], spec: &ForestSpec, seed: u64) -> Forest {
    let samples = usize::from(spec.samples).clamp(2, NODES_MAX / 2);
    let depth = samples.next_power_of_two().ilog2();
    let mut columns = vec![0.0; FEATURES * rows.len()];
    for (i, row) in rows.iter().enumerate() {
        for (feature, value) in row.unpack().into_iter().enumerate() {
            columns[feature * rows.len() + i] = value;
        }
    }
    let mut grower = Grower {
        columns,
        rows: rows.len(),
        lengths: usual_lengths(samples),
        nodes: Vec::with_capacity(usize::from(spec.trees) * samples),
        root: 0,
        random: Random::new(seed),
    };
    let mut roots = Vec::with_capacity(usize::from(spec.trees));
    let mut drawn = vec![0; if rows.is_empty() { 0 } else { samples }];
    for _ in 0..spec.trees {
        for row in &mut drawn {
            *row = grower.random.below(rows.len() as u32);
        }
        grower.root = grower.nodes.len();
        roots.push(grower.root as u32);
        grower.branch(&mut drawn, spec.features, 0, depth);
    }
    let usual = grower.lengths[samples] * roots.len().max(1) as f32;
    Forest {
        nodes: grower.nodes.into(),
        roots: roots.into(),
        depth,
        factor: -1.0 / usual,
    }
}

struct Grower {
    /// The values of all rows, feature by feature.
    columns: Vec<f32>,
    rows: usize,
    /// Cuts that it would take to set rows apart, by their number.
    lengths: Vec<f32>,
    nodes: Vec<Node>,
    root: usize,
    random: Random,
}

impl Grower {
    /// Grows what is below one node from the rows that come to it. `features` are those that may
    /// still differ, one bit each.
    fn branch(&mut self, rows: &mut [u32], mut features: u16, depth: u32, depth_max: u32) {
        let at = self.nodes.len();
        let cut = if rows.len() > 1 && depth < depth_max {
            self.choose(rows, &mut features)
        } else {
            None
        };
        let Some((feature, cut)) = cut else {
            let length = depth as f32 + self.lengths[rows.len()];
            self.nodes.push(Node::leaf(at - self.root, length));
            return;
        };
        self.nodes.push(Node::cut(feature, cut));
        let column = &self.columns[feature * self.rows..][..self.rows];
        let left = divide(rows, column, cut);
        let (left, right) = rows.split_at_mut(left);
        self.branch(left, features, depth + 1, depth_max);
        let right_at = self.nodes.len() - self.root;
        self.nodes[at].set_right(right_at);
        self.branch(right, features, depth + 1, depth_max);
    }

    /// A feature in which the rows differ, each as likely as another, and a cut between its least and
    /// its greatest value; `None` if they are all equal.
    fn choose(&mut self, rows: &[u32], features: &mut u16) -> Option<(usize, f32)> {
        while *features != 0 {
            let nth = self.random.below(features.count_ones());
            let feature = nth_bit(*features, nth);
            let column = &self.columns[feature * self.rows..][..self.rows];
            let (low, high) = range(rows, column);
            if low < high {
                let part = self.random.unit();
                // Two products cannot overflow where a difference can.
                let cut = low * (1.0 - part) + high * part;
                // Something is on either side of it.
                let cut = if cut > low && cut <= high { cut } else { high };
                return Some((feature, cut));
            }
            *features &= !(1 << feature);
        }
        None
    }
}

/// Least and greatest value of the rows.
fn range(rows: &[u32], column: &[f32]) -> (f32, f32) {
    let (mut low, mut high) = (f32::INFINITY, f32::NEG_INFINITY);
    for row in rows {
        let value = column[*row as usize];
        low = if value < low { value } else { low };
        high = if value > high { value } else { high };
    }
    (low, high)
}

/// Brings the rows whose value is below the cut to the front, and gives their number. Without a
/// branch: which side a row is on cannot be guessed.
fn divide(rows: &mut [u32], column: &[f32], cut: f32) -> usize {
    let mut left = 0;
    for i in 0..rows.len() {
        let row = rows[i];
        rows.swap(i, left);
        left += usize::from(column[row as usize] < cut);
    }
    left
}

/// The place of the `n`th set bit.
fn nth_bit(mut bits: u16, n: u32) -> usize {
    for _ in 0..n {
        bits &= bits - 1;
    }
    bits.trailing_zeros() as usize
}

/// Mean number of cuts that set one of `k` rows apart, for `k` up to `max`: `c(n)` of Liu et al.,
/// equation 1, with the harmonic numbers themselves.
fn usual_lengths(max: usize) -> Vec<f32> {
    let mut harmonic = 0.0_f64;
    let mut lengths = vec![0.0; max + 1];
    for (k, length) in lengths.iter_mut().enumerate().skip(2) {
        let n = k as f64;
        harmonic += 1.0 / (n - 1.0);
        *length = (2.0 * harmonic - 2.0 * (n - 1.0) / n) as f32;
    }
    lengths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_lengths_are_those_of_the_paper() {
        let lengths = usual_lengths(256);
        assert_eq!(lengths[..3], [0.0, 0.0, 1.0]);
        // 2 (ln 255 + 0.5772) - 2 * 255/256 is an approximation from below.
        assert!((10.24..10.26).contains(&lengths[256]), "{}", lengths[256]);
    }

    #[test]
    fn rows_are_divided_at_the_cut() {
        let column = [5.0, 1.0, 3.0, 4.0, 2.0];
        let mut rows = [0, 1, 2, 3, 4, 1];
        let left = divide(&mut rows, &column, 3.0);
        assert_eq!(left, 3);
        assert!(rows[..3].iter().all(|r| column[*r as usize] < 3.0));
        assert_eq!(range(&rows, &column), (1.0, 5.0));
    }

    #[test]
    fn bits_are_counted_from_the_lowest() {
        assert_eq!([0, 1, 2].map(|n| nth_bit(0b10_0110, n)), [1, 2, 5]);
    }
}

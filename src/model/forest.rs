//! Isolation forest: how few random cuts it takes to set a sample apart from those before it.
//!
//! The second tier of the detectors: it sees what no single feature shows, and costs more memory
//! than all the others together, so not every series has one (see [`tier`]). After Liu, Ting and
//! Zhou, "Isolation Forest" (ICDM 2008), on features of value and residual instead of raw values.
//! What always holds: a forest is a function of its rows, its settings and its seed, and never
//! changes; a score depends on the forest and on the sample alone, never on what is scored with it.
//!
//! [`node`] is the layout, [`fit`] grows trees, [`reservoir`] keeps what they are grown from,
//! [`work`] is a fit that may run elsewhere, [`tier`] is the forest's side of one series.

pub mod fit;
pub mod node;
pub mod random;
pub mod reservoir;
pub mod schedule;
pub mod seat;
pub mod spec;
pub mod tier;
pub mod work;

pub use reservoir::Reservoir;
pub use spec::ForestSpec;
pub use tier::Tier;

use node::{LANES, Node};
use reservoir::Packed;

/// Features of a sample, in the order of [`FEATURE_NAMES`].
pub const FEATURES: usize = 10;

/// What stands for the score of a forest that was not asked: that of an ordinary sample.
pub const NOT_ASKED: f32 = 0.35;

/// The names of the features in the configuration, in the order of [`super::features::row`].
pub const FEATURE_NAMES: [&str; FEATURES] = [
    "value",
    "residual",
    "change_5",
    "change_60",
    "mean_30",
    "mean_60",
    "deviation_5",
    "deviation_10",
    "deviation_30",
    "deviation_60",
];

/// Trees that are walked side by side: with cold memory eight take two thirds of the time of four, and
/// with more the places in them no longer fit into registers.
const SIDE_BY_SIDE: usize = 8;

/// A grown forest.
#[derive(Debug, Clone, PartialEq)]
pub struct Forest {
    nodes: Box<[Node]>,
    /// Where each tree begins.
    roots: Box<[u32]>,
    /// Cuts on the longest way from a root to a leaf.
    depth: u32,
    /// Minus one over the usual length of such a way, and over the number of trees.
    factor: f32,
}

impl Forest {
    /// Grows a forest from rows of features. The same rows, settings and seed give the same forest.
    pub fn fit(rows: &[[f32; FEATURES]], spec: &ForestSpec, seed: u64) -> Self {
        let packed: Vec<Packed> = rows.iter().map(Packed::from).collect();
        fit::grow(&packed, spec, seed)
    }

    /// How easily a sample is set apart, in 0..=1: about 0.35 to 0.5 for an ordinary one, above 0.7
    /// for one that lies alone.
    pub fn score(&self, x: &[f32; FEATURES]) -> f32 {
        // Leaves compare with infinity, and so stay where they are.
        let mut row = [f32::INFINITY; LANES];
        row[..FEATURES].copy_from_slice(&Packed::from(x).unpack());
        let mut length = 0.0;
        let (some, rest) = self.roots.as_chunks::<SIDE_BY_SIDE>();
        for roots in some {
            length += self.ways(*roots, &row);
        }
        for root in rest {
            length += self.way(*root, &row);
        }
        (length * self.factor).exp2().clamp(0.0, 1.0)
    }

    /// Sum of the lengths of the ways through several trees, walked side by side: none waits for the
    /// memory of another.
    fn ways(&self, roots: [u32; SIDE_BY_SIDE], row: &[f32; LANES]) -> f32 {
        let trees = roots.map(|root| &self.nodes[root as usize..]);
        let mut at = [0_usize; SIDE_BY_SIDE];
        for _ in 0..self.depth {
            for (at, tree) in at.iter_mut().zip(trees) {
                *at = tree[*at].next(*at, row);
            }
        }
        at.iter().zip(trees).map(|(at, t)| t[*at].length()).sum()
    }

    fn way(&self, root: u32, row: &[f32; LANES]) -> f32 {
        let tree = &self.nodes[root as usize..];
        let mut at = 0;
        for _ in 0..self.depth {
            at = tree[at].next(at, row);
        }
        tree[at].length()
    }

    /// Trees in it.
    pub fn trees(&self) -> usize {
        self.roots.len()
    }

    /// Bytes that it takes in memory.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.nodes) + size_of_val(&*self.roots) + size_of::<Self>()
    }
}

#[cfg(test)]
mod tests;

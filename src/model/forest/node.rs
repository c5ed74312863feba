//! One node of a tree in eight bytes, so that a cache line holds eight.
//!
//! Nodes of a tree lie in the order in which they were grown: what is left of a cut follows it, and
//! what is right of it is named. A leaf names itself and is told apart by a feature that is always
//! infinite, so a way is walked by the same step from root to leaf and beyond, without a branch that
//! could be guessed wrong.

/// Features of a row while it is scored: a power of two, so that no index is out of it; those behind
/// the real ones are infinite.
pub const LANES: usize = 16;

/// The feature of leaves.
const LEAF: u16 = LANES as u16 - 1;

/// A cut or a leaf.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Node {
    /// Values below this go left. In a leaf: the length of the way to it.
    cut: f32,
    feature: u16,
    /// The node on the right, counted from the root of its tree.
    right: u16,
}

const _: () = assert!(size_of::<Node>() == 8);

/// Most nodes of one tree: twice the rows that it is grown from, and what `right` can name.
pub const NODES_MAX: usize = 1 << 16;

impl Node {
    /// A cut whose right side is not known yet.
    pub fn cut(feature: usize, cut: f32) -> Self {
        Self {
            cut,
            feature: feature as u16,
            right: 0,
        }
    }

    /// The leaf at `at`, at the end of a way of this length.
    pub fn leaf(at: usize, length: f32) -> Self {
        Self {
            cut: length,
            feature: LEAF,
            right: at as u16,
        }
    }

    pub fn set_right(&mut self, at: usize) {
        self.right = at as u16;
    }

    /// The node after this one, at `at`, on the way of `row`.
    #[inline]
    pub fn next(&self, at: usize, row: &[f32; LANES]) -> usize {
        let left = usize::from(row[usize::from(self.feature) % LANES] < self.cut);
        let right = usize::from(self.right);
        // Not a branch: it could not be guessed.
        right.wrapping_add((at + 1).wrapping_sub(right).wrapping_mul(left))
    }

    /// In a leaf, the length of the way to it.
    #[inline]
    pub fn length(&self) -> f32 {
        self.cut
    }
}

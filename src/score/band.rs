//! The band of a sample: the values for which its score would have stayed under the line.
//!
//! Evidence is more than a distance from the expected value: a value may be over the line because it
//! came back too fast, or because the last ten were restless. So the band is searched, outwards from
//! the expected value, up to the first value on each side that is over the line. Whatever came is
//! then put on its right side, so that "at or above 0.7" and "outside the band" are one statement
//! for every sample that came.

use crate::model::VALUE_MAX;

/// Halvings of the search: the edge is then known to about 1e-9 of the distance.
const HALVINGS: u32 = 40;
/// Doublings of the reach before a side counts as open.
const DOUBLINGS: u32 = 400;

/// The values under the line, `lower <= value <= upper`; both bounds at the expected value where
/// the expected value itself would be over the line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Band {
    pub expected: f64,
    pub lower: f64,
    pub upper: f64,
}

impl Band {
    /// Searches the band around `expected`, beginning with steps of `unit` (positive). `over` says
    /// of a value whether it would be over the line. With the value that `came`, the band is exact
    /// for it: an edge is moved to it where it is under the line, and inside of it where it is over.
    pub fn find(expected: f64, unit: f64, over: impl Fn(f64) -> bool, came: Option<f64>) -> Self {
        let mut band = if over(expected) {
            Self {
                expected,
                lower: expected,
                upper: expected,
            }
        } else {
            Self {
                expected,
                lower: edge(expected, -unit, &over),
                upper: edge(expected, unit, &over),
            }
        };
        if let Some(value) = came {
            band.fit(value, over(value));
        }
        band
    }

    /// True if the value lies in the band.
    pub fn contains(&self, value: f64) -> bool {
        self.lower <= value && value <= self.upper
    }

    fn fit(&mut self, value: f64, over: bool) {
        if !over {
            self.lower = self.lower.min(value);
            self.upper = self.upper.max(value);
        } else if self.contains(value) {
            if value > self.expected {
                self.upper = value.next_down();
            } else if value < self.expected {
                self.lower = value.next_up();
            } else {
                // Nothing is left of the band; it shrinks to beside the value.
                self.expected = value.next_down();
                self.lower = self.expected;
                self.upper = self.expected;
            }
        }
    }
}

/// The last value under the line going from `from` in steps of `step`; infinite if there is no line
/// that way.
fn edge(from: f64, step: f64, over: &impl Fn(f64) -> bool) -> f64 {
    let (mut inside, mut reach) = (0.0, step);
    let mut outside = None;
    for _ in 0..DOUBLINGS {
        let at = from + reach;
        if over(at) {
            outside = Some(reach);
            break;
        }
        if at.abs() > VALUE_MAX {
            break;
        }
        inside = reach;
        reach *= 2.0;
    }
    let Some(mut outside) = outside else {
        return f64::INFINITY.copysign(step);
    };
    for _ in 0..HALVINGS {
        let middle = 0.5 * (inside + outside);
        if over(from + middle) {
            outside = middle;
        } else {
            inside = middle;
        }
    }
    from + inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_edges_are_where_the_line_is() {
        let band = Band::find(10.0, 1.0, |v| !(4.0..=13.0).contains(&v), None);
        assert!((band.lower - 4.0).abs() < 1e-8, "{band:?}");
        assert!((band.upper - 13.0).abs() < 1e-8, "{band:?}");
        let open = Band::find(10.0, 1.0, |v| v > 13.0, None);
        assert_eq!(open.lower, f64::NEG_INFINITY);
    }

    #[test]
    fn what_came_is_on_its_right_side() {
        // over everywhere but on an island away from the expected value
        let island = |v: f64| !(20.0..21.0).contains(&v);
        let band = Band::find(10.0, 1.0, island, Some(20.5));
        assert!(band.contains(20.5));
        assert!(!Band::find(10.0, 1.0, island, Some(10.0)).contains(10.0));
        assert!(!Band::find(10.0, 1.0, island, Some(11.0)).contains(11.0));
        // under everywhere but in a hole
        let hole = |v: f64| (12.0..12.1).contains(&v);
        let band = Band::find(10.0, 1.0, hole, Some(12.05));
        assert!(!band.contains(12.05) && band.contains(11.9), "{band:?}");
        assert!(!Band::find(10.0, 1.0, |v| v == 10.0, Some(10.0)).contains(10.0));
    }
}

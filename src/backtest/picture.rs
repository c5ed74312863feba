//! The course of one series in a fixed number of columns, whatever its length.
//!
//! Columns are as wide as they must be: when there are too many, each two become one. What always
//! holds: no extreme of the value or of the score is lost, and the memory does not grow.

/// Columns at most; at least half of that once a series is long enough.
const COLUMNS: usize = 720;

/// What is known of one sample.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) t_ms: i64,
    pub(super) value: f64,
    pub(super) score: Option<f32>,
    pub(super) band: Option<(f64, f64)>,
}

/// Some samples in a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Column {
    pub(super) first_ms: i64,
    pub(super) last_ms: i64,
    pub(super) low: f32,
    pub(super) high: f32,
    /// Highest; NaN before the first.
    pub(super) score: f32,
    /// Of the first sample that had one; NaN without.
    pub(super) lower: f32,
    pub(super) upper: f32,
}

impl Column {
    fn with(self, next: &Self) -> Self {
        Self {
            first_ms: self.first_ms,
            last_ms: next.last_ms,
            low: self.low.min(next.low),
            high: self.high.max(next.high),
            score: self.score.max(next.score),
            lower: if self.lower.is_nan() {
                next.lower
            } else {
                self.lower
            },
            upper: if self.upper.is_nan() {
                next.upper
            } else {
                self.upper
            },
        }
    }
}

/// The picture of a series.
#[derive(Debug, Clone)]
pub(super) struct Picture {
    columns: Vec<Column>,
    /// Samples of a column.
    width: u32,
    /// Samples of the newest one.
    filled: u32,
}

impl Picture {
    pub(super) fn new() -> Self {
        Self {
            columns: Vec::new(),
            width: 1,
            filled: 0,
        }
    }

    /// True if the next sample begins a column: bands are dear, one for each column is enough.
    pub(super) fn wants_band(&self) -> bool {
        self.columns.is_empty() || self.filled >= self.width
    }

    pub(super) fn take(&mut self, seen: Seen) {
        let (lower, upper) = seen.band.unwrap_or((f64::NAN, f64::NAN));
        let one = Column {
            first_ms: seen.t_ms,
            last_ms: seen.t_ms,
            low: seen.value as f32,
            high: seen.value as f32,
            score: seen.score.unwrap_or(f32::NAN),
            lower: lower as f32,
            upper: upper as f32,
        };
        match self.columns.last_mut() {
            Some(last) if self.filled < self.width => {
                *last = last.with(&one);
                self.filled += 1;
            }
            _ => {
                if self.columns.len() == COLUMNS {
                    self.halve();
                }
                self.columns.push(one);
                self.filled = 1;
            }
        }
    }

    fn halve(&mut self) {
        let halved = self.columns.chunks(2).map(|pair| match pair {
            [a, b] => a.with(b),
            [a, ..] => *a,
            [] => unreachable!("BUG: chunks are not empty"),
        });
        self.columns = halved.collect();
        self.width *= 2;
    }

    pub(super) fn columns(&self) -> &[Column] {
        &self.columns
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_stays_small_and_loses_no_extreme() {
        let mut picture = Picture::new();
        for i in 0..1_000_000i64 {
            picture.take(Seen {
                t_ms: i,
                value: if i == 777_777 { 50.0 } else { (i % 7) as f64 },
                score: Some(if i == 333_333 { 0.9 } else { 0.1 }),
                band: picture.wants_band().then_some((0.0, 9.0)),
            });
        }
        let columns = picture.columns();
        assert!(columns.len() <= COLUMNS && columns.len() >= COLUMNS / 2);
        assert_eq!(columns[0].first_ms, 0);
        assert_eq!(columns[columns.len() - 1].last_ms, 999_999);
        assert!(
            columns
                .windows(2)
                .all(|p| p[0].last_ms + 1 == p[1].first_ms)
        );
        let highest = columns.iter().map(|c| c.high).fold(0.0, f32::max);
        assert_eq!(highest, 50.0);
        assert_eq!(columns.iter().filter(|c| c.score == 0.9).count(), 1);
        assert!(columns.iter().all(|c| c.lower == 0.0 && c.upper == 9.0));
    }
}

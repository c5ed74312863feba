//! A stretch of time that is asked for.

use std::time::Duration;

/// Milliseconds since the Unix epoch, both ends included, as remote read has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    pub start_ms: i64,
    pub end_ms: i64,
}

impl Span {
    /// What lies between `range` before `end_ms` and it.
    pub fn until(end_ms: i64, range: Duration) -> Self {
        Self {
            start_ms: end_ms.saturating_sub(millis(range)),
            end_ms,
        }
    }

    pub fn has(self, t_ms: i64) -> bool {
        (self.start_ms..=self.end_ms).contains(&t_ms)
    }

    /// The same in parts of at most `longest` each, oldest first; every millisecond is in exactly one.
    pub fn parts(self, longest: Duration) -> impl Iterator<Item = Self> {
        let step = millis(longest).max(1);
        let mut next = Some(self.start_ms).filter(|start| *start <= self.end_ms);
        std::iter::from_fn(move || {
            let start_ms = next?;
            let end_ms = start_ms.saturating_add(step - 1).min(self.end_ms);
            next = (end_ms < self.end_ms).then(|| end_ms + 1);
            Some(Self { start_ms, end_ms })
        })
    }
}

pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_cover_everything_once() {
        let span = Span {
            start_ms: -5,
            end_ms: 20,
        };
        let parts: Vec<_> = span.parts(Duration::from_millis(10)).collect();
        let ends: Vec<_> = parts.iter().map(|p| (p.start_ms, p.end_ms)).collect();
        assert_eq!(ends, [(-5, 4), (5, 14), (15, 20)]);
        assert_eq!(span.parts(Duration::from_secs(1)).count(), 1);
        let never = Span {
            start_ms: 1,
            end_ms: 0,
        };
        assert_eq!(never.parts(Duration::from_secs(1)).count(), 0);
        let all = Span::until(i64::MAX, Duration::MAX);
        let last = all.parts(Duration::MAX).last();
        assert_eq!(last.map(|p| p.end_ms), Some(i64::MAX));
    }
}

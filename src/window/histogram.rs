//! What was observed between two samples of a histogram: how much, and how large it was.
//!
//! Classic histograms are put together from their series ([`classic::Assembly`]), native ones come
//! whole ([`native::Intervals`]); of both the same four numbers are made, with the quantiles that
//! Prometheus' `histogram_quantile` would give for the same increase. What always holds: a number is
//! finite or is not given; a counter reset gives none; memory is bounded per histogram. What this
//! does not know: which histogram it is, and what is usual for it.

pub mod classic;
pub mod flat;
pub mod native;
pub mod quantile;

/// An interval longer than this says nothing about now, in milliseconds; as for counters.
pub const INTERVAL_MAX_MS: i64 = 3_600_000;

/// What was observed in one interval.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Stats {
    /// Observations per second.
    pub rate: Option<f64>,
    /// Their mean; `None` if there were none.
    pub mean: Option<f64>,
    /// Their median; `None` if there were none.
    pub p50: Option<f64>,
    /// The value that 99 % of them do not exceed; `None` if there were none.
    pub p99: Option<f64>,
}

impl Stats {
    /// Nothing can be said: after a reset, a long silence, or an unusable sample.
    pub const NONE: Self = Self {
        rate: None,
        mean: None,
        p50: None,
        p99: None,
    };

    /// From the increase of the count and of the sum over `ms`, and a function for quantiles of
    /// the increase.
    fn of(count: f64, sum: Option<f64>, ms: i64, mut quantile: impl FnMut(f64) -> f64) -> Self {
        let finite = |x: f64| x.is_finite().then_some(x);
        let mut stats = Self {
            rate: finite(count / (ms.max(1) as f64 / 1000.0)),
            ..Self::NONE
        };
        if count > 0.0 {
            stats.mean = sum.and_then(|sum| finite(sum / count));
            stats.p50 = finite(quantile(0.5));
            stats.p99 = finite(quantile(0.99));
        }
        stats
    }
}

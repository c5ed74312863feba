//! What is counted of the memory of series.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::{Register, Text};

/// One label called `part`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct PartLabel {
    part: Text,
}

/// What series take, by what it is for.
#[derive(Debug)]
pub struct MemoryMetrics {
    /// `saimon_memory_bytes{part}`, in the order of [`MemoryMetrics::PARTS`].
    parts: Vec<Gauge>,
    /// `saimon_model_bytes`: the part `models` by itself.
    models: Gauge,
    /// `saimon_memory_limit_bytes`.
    pub limit: Gauge,
    /// `saimon_series_put_to_sleep_total`.
    pub slept: Counter,
    /// `saimon_series_woken_total`.
    pub woken: Counter,
}

impl MemoryMetrics {
    const PARTS: [&str; 7] = [
        "labels",
        "index",
        "windows",
        "models",
        "histograms",
        "board",
        "asleep",
    ];

    pub(super) fn made(r: &mut Register<'_>) -> Self {
        let parts: Family<PartLabel, Gauge> = r.made(
            "memory_bytes",
            "memory that series take, by what it is for; without what the allocator adds",
        );
        let part = |name| parts.get_or_create(&PartLabel { part: Text(name) }).clone();
        Self {
            parts: Self::PARTS.into_iter().map(part).collect(),
            models: r.made("model_bytes", "memory that models take"),
            limit: r.made(
                "memory_limit_bytes",
                "memory that series may take before the newest are given up",
            ),
            slept: r.made(
                "series_put_to_sleep",
                "idle series whose state was put on disk",
            ),
            woken: r.made("series_woken", "such series that came back with a sample"),
        }
    }

    /// One shard's share of each part has changed.
    pub fn change(&self, before: &[usize; 7], now: &[usize; 7]) {
        let difference = |i: usize| now[i] as i64 - before[i] as i64;
        for (i, gauge) in self.parts.iter().enumerate() {
            gauge.inc_by(difference(i));
            if Self::PARTS[i] == "models" {
                self.models.inc_by(difference(i));
            }
        }
    }

    /// All parts together.
    pub fn total(&self) -> i64 {
        self.parts.iter().map(Gauge::get).sum()
    }
}

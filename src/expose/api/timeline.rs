//! `/api/v1/anomalies/timeline`: how many anomalies were under way, over time.

use schemars::JsonSchema;
use serde::Serialize;

use super::params::Params;
use super::problem::Problem;
use super::{Answered, Api, anomalies, answer, time};
use crate::config::Severity;
use crate::records::index::Bucket;

/// The time that is shown where nobody says, in milliseconds.
const USUAL_MS: i64 = 24 * 3_600_000;

/// Anomalies over time.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Timeline {
    start_time: String,
    end_time: String,
    /// Length of a part.
    part_seconds: f64,
    /// In the order of time, one after the other without a gap.
    parts: Vec<Part>,
}

/// One part of the time.
#[derive(Debug, Serialize, JsonSchema)]
struct Part {
    /// Where it begins.
    time: String,
    /// Anomalies that began in it.
    began: u64,
    /// Anomalies that were under way at some moment of it, by their severity.
    under_way: BySeverity,
}

/// A number for each severity.
#[derive(Debug, Serialize, JsonSchema)]
struct BySeverity {
    low: u64,
    medium: u64,
    high: u64,
    critical: u64,
}

impl BySeverity {
    fn of(bucket: &Bucket) -> Self {
        let of = |severity: Severity| bucket.under_way[severity as usize];
        Self {
            low: of(Severity::Low),
            medium: of(Severity::Medium),
            high: of(Severity::High),
            critical: of(Severity::Critical),
        }
    }
}

/// `GET /api/v1/anomalies/timeline`
pub(super) fn timeline(api: &Api, params: &Params) -> Answered {
    let filter = anomalies::filter(params)?;
    let to_ms = filter.to_ms.unwrap_or_else(|| api.state.clock.now_ms());
    let from_ms = filter
        .from_ms
        .unwrap_or_else(|| to_ms.saturating_sub(USUAL_MS));
    if from_ms >= to_ms {
        let what = "not before the end of the time";
        return Err(Problem::parameter("start_time", what));
    }
    let parts = params.number("parts") as usize;
    let buckets =
        anomalies::records(api)?.look(|index| index.timeline(&filter, from_ms, to_ms, parts));
    let length = (to_ms as f64 - from_ms as f64) / parts as f64;
    answer(&Timeline {
        start_time: time::shown(from_ms),
        end_time: time::shown(to_ms),
        part_seconds: length / 1000.0,
        parts: buckets
            .iter()
            .enumerate()
            .map(|(i, bucket)| Part {
                time: time::shown(from_ms.saturating_add((length * i as f64) as i64)),
                began: bucket.began,
                under_way: BySeverity::of(bucket),
            })
            .collect(),
    })
}

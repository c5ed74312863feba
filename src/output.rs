//! Sending series by remote write, 1.0 and 2.0.
//!
//! The parts: what is sent ([`series`]), how it looks on the wire ([`encode_v1`], [`encode_v2`],
//! [`request`]), and one writer that sends it until it is taken or cannot be ([`sender`]). Scores
//! come from the shards' taps to a queue on disk ([`intake`], [`queue`]), are made series of
//! ([`scores`]), and go to each receiver by a task of its own ([`forward`]). Who has
//! several writers gives each series to one of them, always the same ([`lane_of`]), and hands over a
//! series' samples in order of time: then they arrive in order, whatever fails on the way.
//!
//! What this layer does not know: where samples come from, and what is done with those that were
//! lost; it says what became of each request.

pub mod answer;
pub mod encode_v1;
pub mod encode_v2;
pub mod forward;
pub mod headers;
pub mod intake;
pub mod queue;
pub mod request;
pub mod retry_after;
pub mod scores;
pub mod sender;
pub mod series;
pub mod transport;

use serde::Serialize;

use crate::series::fingerprint::fingerprint;

/// Samples of one request at most, unless somebody orders otherwise: Prometheus' default, which
/// every receiver takes.
pub const BATCH_MAX: usize = 2_000;

/// A version of remote write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, clap::ValueEnum)]
pub enum Protocol {
    /// `prometheus.WriteRequest`
    #[value(name = "1.0")]
    #[serde(rename = "1.0")]
    V1,
    /// `io.prometheus.write.v2.Request`
    #[value(name = "2.0")]
    #[serde(rename = "2.0")]
    V2,
}

impl Protocol {
    /// As the headers of a request say it: `Content-Type` and `X-Prometheus-Remote-Write-Version`.
    pub fn headers(self) -> (&'static str, &'static str) {
        match self {
            Self::V1 => ("application/x-protobuf", "0.1.0"),
            Self::V2 => (
                "application/x-protobuf;proto=io.prometheus.write.v2.Request",
                "2.0.0",
            ),
        }
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1 => "1.0",
            Self::V2 => "2.0",
        }
    }
}

/// Which of `lanes` writers a series belongs to. The same labels go to the same one.
pub fn lane_of(labels: &series::Labels, lanes: usize) -> usize {
    // The high bits choose the shard of a receiver that is a saimon; these here spread its requests.
    (fingerprint(labels.canonical()) % lanes.max(1) as u64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_series_has_one_lane_and_all_lanes_have_series() {
        let mut counts = [0; 7];
        for i in 0..7_000 {
            let i = i.to_string();
            let labels = series::Labels::new([("__name__", "m"), ("i", &*i)]).unwrap();
            let other = series::Labels::new([("i", &*i), ("__name__", "m"), ("x", "")]).unwrap();
            let lane = lane_of(&labels, 7);
            assert_eq!(lane, lane_of(&other, 7));
            counts[lane] += 1;
        }
        assert!(counts.iter().all(|n| (850..1150).contains(n)), "{counts:?}");
        let labels = series::Labels::new([("__name__", "m")]).unwrap();
        assert_eq!(lane_of(&labels, 0), 0);
    }
}

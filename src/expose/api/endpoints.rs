//! Every endpoint of the API.

use super::params::{Param, Params};
use super::{Answered, Api, anomalies};

/// One endpoint: what is asked, and who answers.
pub(super) struct Endpoint {
    /// With parameters in braces.
    pub(super) path: &'static str,
    pub(super) params: &'static [Param],
    /// Runs on a thread that may block.
    pub(super) answer: fn(&Api, &Params) -> Answered,
}

/// All of them.
pub(super) const ALL: &[Endpoint] = &[
    Endpoint {
        path: "/api/v1/anomalies",
        params: anomalies::LIST,
        answer: anomalies::list,
    },
    Endpoint {
        path: "/api/v1/anomalies/stats",
        params: anomalies::STATS,
        answer: anomalies::stats,
    },
    Endpoint {
        path: "/api/v1/anomalies/stats/summary",
        params: anomalies::STATS,
        answer: anomalies::stats,
    },
    Endpoint {
        path: "/api/v1/anomalies/{id}",
        params: anomalies::ONE,
        answer: anomalies::one,
    },
];

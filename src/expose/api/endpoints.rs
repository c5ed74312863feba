//! Every endpoint of the API.

use super::openapi::{self, SchemaOf};
use super::params::{Param, Params};
use super::{Answered, Api, anomalies, explain, series, system, timeline};

/// One endpoint: what is asked, what is answered, and by whom.
pub(in crate::expose) struct Endpoint {
    /// With parameters in braces.
    pub(in crate::expose) path: &'static str,
    /// A name that clients may use for it.
    pub(in crate::expose) name: &'static str,
    pub(super) summary: &'static str,
    pub(in crate::expose) params: &'static [Param],
    pub(super) schema: SchemaOf,
    /// What is asked for may not be there: 404.
    pub(super) may_be_missing: bool,
    /// Runs on a thread that may block.
    pub(super) answer: fn(&Api, &Params) -> Answered,
}

/// All of them.
pub(in crate::expose) const ALL: &[Endpoint] = &[
    Endpoint {
        path: "/api/v1/anomalies",
        name: "listAnomalies",
        summary: "Anomalies, the newest first.",
        params: anomalies::LIST,
        schema: openapi::of::<anomalies::AnomalyList>,
        may_be_missing: true,
        answer: anomalies::list,
    },
    Endpoint {
        path: "/api/v1/anomalies/stats",
        name: "countAnomalies",
        summary: "How many anomalies there are, by what they are.",
        params: anomalies::STATS,
        schema: openapi::of::<anomalies::Stats>,
        may_be_missing: true,
        answer: anomalies::stats,
    },
    Endpoint {
        path: "/api/v1/anomalies/stats/summary",
        name: "summarizeAnomalies",
        summary: "The same as /api/v1/anomalies/stats.",
        params: anomalies::STATS,
        schema: openapi::of::<anomalies::Stats>,
        may_be_missing: true,
        answer: anomalies::stats,
    },
    Endpoint {
        path: "/api/v1/anomalies/timeline",
        name: "timelineOfAnomalies",
        summary: "How many anomalies were under way, over time; of the last day unless asked otherwise.",
        params: anomalies::TIMELINE,
        schema: openapi::of::<timeline::Timeline>,
        may_be_missing: true,
        answer: timeline::timeline,
    },
    Endpoint {
        path: "/api/v1/anomalies/{id}",
        name: "getAnomaly",
        summary: "One anomaly.",
        params: anomalies::ONE,
        schema: openapi::of::<anomalies::Anomaly>,
        may_be_missing: true,
        answer: anomalies::one,
    },
    Endpoint {
        path: "/api/v1/series",
        name: "listSeries",
        summary: "Series, in the order of their ids.",
        params: series::LIST,
        schema: openapi::of::<series::SeriesList>,
        may_be_missing: false,
        answer: series::list,
    },
    Endpoint {
        path: "/api/v1/series/{id}",
        name: "getSeries",
        summary: "One series, its model and its newest anomalies.",
        params: series::ONE,
        schema: openapi::of::<series::SeriesDetail>,
        may_be_missing: true,
        answer: series::one,
    },
    Endpoint {
        path: "/api/v1/series/{id}/window",
        name: "getWindow",
        summary: "Raw samples of one series.",
        params: series::WINDOW,
        schema: openapi::of::<series::WindowShown>,
        may_be_missing: true,
        answer: series::window,
    },
    Endpoint {
        path: "/api/v1/series/{id}/explain",
        name: "explainSample",
        summary: "Why a sample has the score that it has.",
        params: explain::EXPLAIN,
        schema: openapi::of::<explain::Explanation>,
        may_be_missing: true,
        answer: explain::explain,
    },
    Endpoint {
        path: "/api/v1/models",
        name: "listModels",
        summary: "Models of series, in the order of the ids of the series.",
        params: series::MODELS,
        schema: openapi::of::<series::ModelList>,
        may_be_missing: false,
        answer: series::models,
    },
    Endpoint {
        path: "/api/v1/groups",
        name: "listGroups",
        summary: "Groups of series now, the highest score first.",
        params: system::GROUPS,
        schema: openapi::of::<system::GroupList>,
        may_be_missing: false,
        answer: system::groups,
    },
    Endpoint {
        path: "/api/v1/status",
        name: "getStatus",
        summary: "How saimon is.",
        params: &[],
        schema: openapi::of::<system::Status>,
        may_be_missing: false,
        answer: system::status,
    },
    Endpoint {
        path: "/api/v1/config",
        name: "getConfig",
        summary: "The configuration in force, secrets hidden.",
        params: &[],
        schema: openapi::of::<system::ConfigShown>,
        may_be_missing: false,
        answer: system::config,
    },
    Endpoint {
        path: "/openapi.json",
        name: "getDescription",
        summary: "This description.",
        params: &[],
        schema: openapi::of::<serde_json::Value>,
        may_be_missing: false,
        answer: openapi::document,
    },
];

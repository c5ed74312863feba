//! Every endpoint of the API.

use super::openapi::{self, SchemaOf};
use super::params::{Param, Params};
use super::{
    Answered, Api, anomalies, explain, incidents, models, series, system, timeline, window,
};

/// Whether an endpoint looks or changes something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Get,
    Post,
}

impl Verb {
    /// As a path item of OpenAPI names it.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::Get => "get",
            Self::Post => "post",
        }
    }
}

/// One endpoint: what is asked, what is answered, and by whom.
pub(in crate::expose) struct Endpoint {
    /// With parameters in braces.
    pub(in crate::expose) path: &'static str,
    pub(super) verb: Verb,
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
        verb: Verb::Get,
        name: "listAnomalies",
        summary: "Anomalies, the newest first.",
        params: anomalies::LIST,
        schema: openapi::of::<anomalies::AnomalyList>,
        may_be_missing: true,
        answer: anomalies::list,
    },
    Endpoint {
        path: "/api/v1/anomalies/stats",
        verb: Verb::Get,
        name: "countAnomalies",
        summary: "How many anomalies there are, by what they are.",
        params: anomalies::STATS,
        schema: openapi::of::<anomalies::Stats>,
        may_be_missing: true,
        answer: anomalies::stats,
    },
    Endpoint {
        path: "/api/v1/anomalies/stats/summary",
        verb: Verb::Get,
        name: "summarizeAnomalies",
        summary: "The same as /api/v1/anomalies/stats.",
        params: anomalies::STATS,
        schema: openapi::of::<anomalies::Stats>,
        may_be_missing: true,
        answer: anomalies::stats,
    },
    Endpoint {
        path: "/api/v1/anomalies/timeline",
        verb: Verb::Get,
        name: "timelineOfAnomalies",
        summary: "How many anomalies were under way, over time; of the last day unless asked otherwise.",
        params: anomalies::TIMELINE,
        schema: openapi::of::<timeline::Timeline>,
        may_be_missing: true,
        answer: timeline::timeline,
    },
    Endpoint {
        path: "/api/v1/anomalies/{id}",
        verb: Verb::Get,
        name: "getAnomaly",
        summary: "One anomaly.",
        params: anomalies::ONE,
        schema: openapi::of::<anomalies::Anomaly>,
        may_be_missing: true,
        answer: anomalies::one,
    },
    Endpoint {
        path: "/api/v1/incidents",
        verb: Verb::Get,
        name: "listIncidents",
        summary: "Incidents, the newest first.",
        params: incidents::LIST,
        schema: openapi::of::<incidents::IncidentList>,
        may_be_missing: true,
        answer: incidents::list,
    },
    Endpoint {
        path: "/api/v1/incidents/{id}",
        verb: Verb::Get,
        name: "getIncident",
        summary: "One incident with its anomalies.",
        params: incidents::ONE,
        schema: openapi::of::<incidents::IncidentDetail>,
        may_be_missing: true,
        answer: incidents::one,
    },
    Endpoint {
        path: "/api/v1/series",
        verb: Verb::Get,
        name: "listSeries",
        summary: "Series, in the order of their ids.",
        params: series::LIST,
        schema: openapi::of::<series::SeriesList>,
        may_be_missing: false,
        answer: series::list,
    },
    Endpoint {
        path: "/api/v1/series/{id}",
        verb: Verb::Get,
        name: "getSeries",
        summary: "One series, its model and its newest anomalies.",
        params: series::ONE,
        schema: openapi::of::<series::SeriesDetail>,
        may_be_missing: true,
        answer: series::one,
    },
    Endpoint {
        path: "/api/v1/series/{id}/window",
        verb: Verb::Get,
        name: "getWindow",
        summary: "Raw samples of one series.",
        params: window::WINDOW,
        schema: openapi::of::<window::WindowShown>,
        may_be_missing: true,
        answer: window::window,
    },
    Endpoint {
        path: "/api/v1/series/{id}/explain",
        verb: Verb::Get,
        name: "explainSample",
        summary: "Why a sample has the score that it has.",
        params: explain::EXPLAIN,
        schema: openapi::of::<explain::Explanation>,
        may_be_missing: true,
        answer: explain::explain,
    },
    Endpoint {
        path: "/api/v1/models",
        verb: Verb::Get,
        name: "listModels",
        summary: "Models of series, in the order of the ids of the series.",
        params: series::MODELS,
        schema: openapi::of::<series::ModelList>,
        may_be_missing: false,
        answer: series::models,
    },
    Endpoint {
        path: "/api/v1/models/jobs",
        verb: Verb::Get,
        name: "listTrainingJobs",
        summary: "Fits of forests that were handed to the trainers since the start, the newest first.",
        params: models::JOBS,
        schema: openapi::of::<models::JobList>,
        may_be_missing: false,
        answer: models::jobs,
    },
    Endpoint {
        path: "/api/v1/models/{id}",
        verb: Verb::Get,
        name: "getModel",
        summary: "The model of one series.",
        params: models::ONE,
        schema: openapi::of::<series::ModelOfSeries>,
        may_be_missing: true,
        answer: models::one,
    },
    Endpoint {
        path: "/api/v1/models/{id}/retrain",
        verb: Verb::Post,
        name: "retrainModel",
        summary: "Has the forest of a series grown anew, with its next sample.",
        params: models::ONE,
        schema: openapi::of::<series::ModelOfSeries>,
        may_be_missing: true,
        answer: models::retrain,
    },
    Endpoint {
        path: "/api/v1/models/{id}/rollback",
        verb: Verb::Post,
        name: "rollBackModel",
        summary: "Goes back to an earlier version of the forest of a series, and stays with it.",
        params: models::ROLLBACK,
        schema: openapi::of::<series::ModelOfSeries>,
        may_be_missing: true,
        answer: models::roll_back,
    },
    Endpoint {
        path: "/api/v1/models/{id}/pin",
        verb: Verb::Post,
        name: "pinModel",
        summary: "Has the forest of a series stay as it is.",
        params: models::ONE,
        schema: openapi::of::<series::ModelOfSeries>,
        may_be_missing: true,
        answer: models::pin,
    },
    Endpoint {
        path: "/api/v1/models/{id}/unpin",
        verb: Verb::Post,
        name: "unpinModel",
        summary: "Has the forest of a series grown anew again whenever it is due.",
        params: models::ONE,
        schema: openapi::of::<series::ModelOfSeries>,
        may_be_missing: true,
        answer: models::unpin,
    },
    Endpoint {
        path: "/api/v1/models/{id}/reset",
        verb: Verb::Post,
        name: "resetModel",
        summary: "Gives a series a model that has seen nothing. Its samples stay.",
        params: models::ONE,
        schema: openapi::of::<series::ModelOfSeries>,
        may_be_missing: true,
        answer: models::reset,
    },
    Endpoint {
        path: "/api/v1/groups",
        verb: Verb::Get,
        name: "listGroups",
        summary: "Groups of series now, the highest score first.",
        params: system::GROUPS,
        schema: openapi::of::<system::GroupList>,
        may_be_missing: false,
        answer: system::groups,
    },
    Endpoint {
        path: "/api/v1/status",
        verb: Verb::Get,
        name: "getStatus",
        summary: "How saimon is.",
        params: &[],
        schema: openapi::of::<system::Status>,
        may_be_missing: false,
        answer: system::status,
    },
    Endpoint {
        path: "/api/v1/config",
        verb: Verb::Get,
        name: "getConfig",
        summary: "The configuration in force, secrets hidden.",
        params: &[],
        schema: openapi::of::<system::ConfigShown>,
        may_be_missing: false,
        answer: system::config,
    },
    Endpoint {
        path: "/openapi.json",
        verb: Verb::Get,
        name: "getDescription",
        summary: "This description.",
        params: &[],
        schema: openapi::of::<serde_json::Value>,
        may_be_missing: false,
        answer: openapi::document,
    },
];

//! Which path, and which method of gRPC, needs which right.
//!
//! What always holds: a path or method that is not in its table needs `admin`, so one that somebody
//! adds and forgets here is closed, not open; a test then asks for its entry.

use http::Method;

use crate::config::web::Right;

/// What it takes to be answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Need {
    /// Anybody who proved who they are.
    Known,
    /// One right, whatever the method.
    Right(Right),
    /// `read` to look, `admin` to change.
    ReadOrAdmin,
}

/// Paths, and prefixes that end with a slash; the longest that fits counts.
const TABLE: [(&str, Need); 15] = [
    ("/", Need::Known),
    ("/ui/", Need::Known),
    ("/health", Need::Known),
    ("/-/healthy", Need::Known),
    ("/-/ready", Need::Known),
    ("/-/reload", Need::Right(Right::Admin)),
    ("/metrics", Need::Right(Right::Scrape)),
    ("/metrics/scores", Need::Right(Right::Scrape)),
    ("/api/v1/write", Need::Right(Right::Write)),
    ("/api/v1/read", Need::Right(Right::Read)),
    ("/api/v1/config", Need::Right(Right::Admin)),
    ("/api/v1/", Need::ReadOrAdmin),
    ("/openapi.json", Need::Known),
    ("/docs", Need::Known),
    ("/docs/", Need::Known),
];

/// The entry for a path, if there is one.
pub(crate) fn listed(path: &str) -> Option<Need> {
    let fits = |entry: &str| match entry {
        "/" => path == "/",
        _ if entry.ends_with('/') => path.starts_with(entry),
        _ => path == entry,
    };
    TABLE
        .iter()
        .filter(|(entry, _)| fits(entry))
        .max_by_key(|(entry, _)| entry.len())
        .map(|(_, need)| *need)
}

/// The right that a request needs; `None`: to be known is enough.
pub(super) fn needed(method: &Method, path: &str) -> Option<Right> {
    match listed(path) {
        Some(Need::Known) => None,
        Some(Need::Right(right)) => Some(right),
        Some(Need::ReadOrAdmin) if matches!(*method, Method::GET | Method::HEAD) => {
            Some(Right::Read)
        }
        Some(Need::ReadOrAdmin) | None => Some(Right::Admin),
    }
}

/// Methods of gRPC, by their paths.
const METHODS: &[(&str, Need)] = &[
    ("/grpc.health.v1.Health/Check", Need::Known),
    ("/grpc.health.v1.Health/List", Need::Known),
    ("/grpc.health.v1.Health/Watch", Need::Known),
    (
        "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
        Need::Known,
    ),
    (
        "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
        Need::Known,
    ),
    ("/saimon.v1.Saimon/CountAnomalies", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ExplainSample", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/GetAnomaly", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/GetConfig", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/GetSeries", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/GetStatus", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/GetWindow", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ListAnomalies", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ListGroups", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ListModels", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ListSeries", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ScoreSeries", Need::Right(Right::Read)),
    (
        "/saimon.v1.Saimon/TimelineOfAnomalies",
        Need::Right(Right::Read),
    ),
    ("/saimon.v1.Saimon/ListIncidents", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/GetIncident", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/GetModel", Need::Right(Right::Read)),
    (
        "/saimon.v1.Saimon/ListTrainingJobs",
        Need::Right(Right::Read),
    ),
    ("/saimon.v1.Saimon/RetrainModel", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/RollBackModel", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/PinModel", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/UnpinModel", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/ResetModel", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/GetFeedback", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ListFeedback", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ListWindows", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/GetMaintenance", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/ListChanges", Need::Right(Right::Read)),
    ("/saimon.v1.Saimon/GiveFeedback", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/UndoFeedback", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/AddWindow", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/EndWindow", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/SayChange", Need::Right(Right::Admin)),
    ("/saimon.v1.Saimon/WatchAnomalies", Need::Right(Right::Read)),
];

/// The entry for a method of gRPC, if there is one.
pub(crate) fn listed_method(path: &str) -> Option<Need> {
    let entry = METHODS.iter().find(|(entry, _)| *entry == path);
    entry.map(|(_, need)| *need)
}

/// The right that a call needs; `None`: to be known is enough.
pub(crate) fn needed_by(path: &str) -> Option<Right> {
    match listed_method(path) {
        Some(Need::Known) => None,
        Some(Need::Right(right)) => Some(right),
        Some(Need::ReadOrAdmin) | None => Some(Right::Admin),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_path_has_its_right_and_an_unknown_one_needs_all() {
        for (method, path, right) in [
            (Method::POST, "/api/v1/write", Some(Right::Write)),
            (Method::POST, "/api/v1/read", Some(Right::Read)),
            (Method::GET, "/metrics/scores", Some(Right::Scrape)),
            (Method::GET, "/", None),
            (Method::GET, "/-/ready", None),
            (Method::POST, "/-/reload", Some(Right::Admin)),
            (Method::GET, "/api/v1/anomalies/7", Some(Right::Read)),
            (
                Method::POST,
                "/api/v1/anomalies/7/feedback",
                Some(Right::Admin),
            ),
            (Method::GET, "/api/v1/config", Some(Right::Admin)),
            (Method::GET, "/api/v1/write/", Some(Right::Read)),
            (Method::GET, "/metrics/", Some(Right::Admin)),
            (Method::GET, "/something", Some(Right::Admin)),
            (Method::GET, "*", Some(Right::Admin)),
        ] {
            assert_eq!(needed(&method, path), right, "{method} {path}");
        }
    }
}

//! `/api/v1/groups`, `/api/v1/status` and `/api/v1/config`: groups of series, and saimon itself.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::anomalies::shorter;
use super::params::{Kind, Param, Params};
use super::{Answered, Api, answer};
use crate::expose::health::Stage;
use crate::telemetry::{PhaseLabel, Text};

/// Groups of one answer.
const GROUPS_MAX: u64 = 10_000;

/// What [`groups`] takes.
pub(super) const GROUPS: &[Param] = &[
    Param::many(
        "group_by",
        Kind::Text,
        "Only groups by these labels, as they are configured: `job`, or `job,instance`.",
    ),
    Param::query(
        "limit",
        Kind::Integer {
            least: 1,
            most: GROUPS_MAX,
            usual: 1000,
        },
        "Groups at most, those with the highest scores first.",
    ),
];

/// Groups of series now, the highest score first.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct GroupList {
    groups: Vec<GroupShown>,
    /// Groups that are beyond the limit.
    left_out: usize,
}

/// A group of at least two series.
#[derive(Debug, Serialize, JsonSchema)]
struct GroupShown {
    /// The labels that its series share.
    group_by: String,
    labels: BTreeMap<String, String>,
    /// Series that have a score.
    members: u32,
    /// Series with an active anomaly.
    anomalous: u32,
    /// Their share.
    anomaly_ratio: f64,
    /// As the scores of series are; from 0.7 on over the line.
    score: f64,
    /// The evidence in units of the line.
    deviation: f64,
}

/// How saimon is.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Status {
    version: &'static str,
    /// `starting`, `ready` or `stopping`.
    stage: &'static str,
    /// What was kept is still being read.
    recovering: bool,
    /// Series by phase, as in `saimon_series`.
    series: BTreeMap<&'static str, i64>,
    /// Series that there may be.
    series_limit: i64,
    /// Series whose model gives scores.
    active_models: i64,
    /// Anomalies that are under way and confirmed, by severity.
    active_anomalies: BTreeMap<&'static str, u64>,
    /// Anomalies on record; null if none are kept.
    records: Option<usize>,
    store: StoreStatus,
}

/// The store of windows and models.
#[derive(Debug, Serialize, JsonSchema)]
struct StoreStatus {
    ok: bool,
    /// It could not be opened at the start, was moved aside and begun anew.
    moved_aside: bool,
    bytes: i64,
}

/// `GET /api/v1/groups`
pub(super) fn groups(api: &Api, params: &Params) -> Answered {
    let groups = &api.state.groups;
    let now = groups.now(&api.state.board, api.state.clock.now_ms());
    let wanted = params.all("group_by");
    let mut shown: Vec<_> = now
        .groups
        .iter()
        .filter(|s| wanted.is_empty() || wanted.iter().any(|by| by == s.group.by()))
        .map(|s| GroupShown {
            group_by: s.group.by().to_owned(),
            labels: s
                .group
                .names()
                .iter()
                .zip(&*s.group.values)
                .map(|(n, v)| (n.to_string(), v.to_string()))
                .collect(),
            members: s.members,
            anomalous: s.anomalous,
            anomaly_ratio: s.ratio(),
            score: shorter(s.score()),
            deviation: shorter(s.deviation),
        })
        .collect();
    // Stable: groups of equal scores stay in the order of their labels.
    shown.sort_by(|a, b| b.score.total_cmp(&a.score));
    let limit = params.number("limit") as usize;
    let left_out = shown.len().saturating_sub(limit);
    shown.truncate(limit);
    answer(&GroupList {
        groups: shown,
        left_out,
    })
}

/// `GET /api/v1/status`
pub(super) fn status(api: &Api, _: &Params) -> Answered {
    let state = &api.state;
    let metrics = &state.metrics;
    let phases = [
        "warmup", "young", "mature", "ended", "window", "history", "asleep",
    ];
    let phase = |name: &'static str| {
        let label = PhaseLabel { phase: Text(name) };
        (name, metrics.series.get(&label).map_or(0, |g| g.get()))
    };
    let mut active: BTreeMap<_, u64> = crate::config::Severity::ALL
        .iter()
        .map(|s| (s.as_str(), 0))
        .collect();
    for block in state.board.blocks() {
        for alarm in block.iter().filter_map(|e| e.alarm()) {
            if alarm.state == crate::score::board::AlarmState::Active {
                *active.entry(alarm.severity.as_str()).or_default() += 1;
            }
        }
    }
    answer(&Status {
        version: env!("CARGO_PKG_VERSION"),
        stage: match state.health.stage() {
            Stage::Starting => "starting",
            Stage::Ready => "ready",
            Stage::Stopping => "stopping",
        },
        recovering: state.router.is_recovering(),
        series: phases.into_iter().map(phase).collect(),
        series_limit: metrics.series_limit.get(),
        active_models: metrics.active_models.get(),
        active_anomalies: active,
        records: state
            .api
            .records
            .as_ref()
            .map(|r| r.look(|index| index.len())),
        store: StoreStatus {
            ok: metrics.store_ok.get() == 1,
            moved_aside: metrics.store_moved_aside.get() == 1,
            bytes: metrics.store_bytes.get(),
        },
    })
}

/// The configuration with all defaults, secrets hidden: as docs/configuration.md has it.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(transparent)]
pub(super) struct ConfigShown(Value);

/// `GET /api/v1/config`
pub(super) fn config(api: &Api, _: &Params) -> Answered {
    answer(&ConfigShown(api.state.api.config.clone()))
}

//! What is kept of one incident: plain data.
//!
//! What always holds: the id is that of the anomaly that was confirmed first of all that were known
//! when the incident was opened, and never changes after that.

pub mod spec;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::record::RecordId;
use crate::config::Severity;

/// Which incident. Ordered by the beginning of the anomaly that it is named after.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct IncidentId(pub RecordId);

/// As in addresses, and as the label `incident`: `1700000000000-9f86d081884c7d65`.
impl fmt::Display for IncidentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an incident, which looks like 1700000000000-9f86d081884c7d65")]
pub struct NoIncidentId;

impl FromStr for IncidentId {
    type Err = NoIncidentId;

    fn from_str(text: &str) -> Result<Self, NoIncidentId> {
        text.parse().map(Self).map_err(|_| NoIncidentId)
    }
}

/// How far an incident is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum IncidentState {
    /// At least one of its anomalies is active.
    Open = 0,
    /// All have ended. It is open again if one goes on, or another one joins.
    Closed = 1,
    /// It turned out to be the same as another one, which has its anomalies now.
    Merged = 2,
}

impl IncidentState {
    pub const ALL: [Self; 3] = [Self::Open, Self::Closed, Self::Merged];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Closed => "closed",
            Self::Merged => "merged",
        }
    }
}

/// An anomaly of an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Member {
    /// Begins with the time at which the anomaly began.
    pub id: RecordId,
    /// When it was confirmed.
    pub active_ms: i64,
}

/// Anomalies that are one thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    pub id: IncidentId,
    pub state: IncidentState,
    /// In the order of their beginnings.
    pub members: Vec<Member>,
    /// Anomalies that belong to it and found no room among the members.
    pub left_out: u32,
    /// The first of its anomalies began.
    pub start_ms: i64,
    /// The second series of it was confirmed, which made it an incident.
    pub opened_ms: i64,
    /// The last of its anomalies ended; `None` while one lasts.
    pub end_ms: Option<i64>,
    /// The gravest of its anomalies, ever.
    pub severity: Severity,
    /// The highest score of its anomalies.
    pub score: f32,
    /// The anomaly that it likely came from.
    pub origin: RecordId,
    /// What it was merged into.
    pub merged_into: Option<IncidentId>,
    /// What was merged into it, the newest last.
    pub merged: Vec<IncidentId>,
    /// Some of its anomalies are in it because their series were learned to move together, and for
    /// nothing else.
    pub learned: bool,
}

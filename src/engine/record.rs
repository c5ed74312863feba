//! What is kept of one anomaly: plain data.
//!
//! What always holds: the id follows from the series and from the sample at which the anomaly began,
//! so whoever makes the record again from the same samples makes the same one.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::config::Severity;
use crate::score::board::{Reason, Side};

/// Which anomaly: ordered by its beginning, then by its series.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RecordId {
    /// Time of its first sample in milliseconds; of an absence, the millisecond after the last sample.
    pub start_ms: i64,
    /// Of the canonical labels of its series.
    pub fingerprint: u64,
}

impl RecordId {
    /// Bytes that sort as ids do.
    pub fn to_bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        let start = (self.start_ms as u64) ^ (1 << 63);
        bytes[..8].copy_from_slice(&start.to_be_bytes());
        bytes[8..].copy_from_slice(&self.fingerprint.to_be_bytes());
        bytes
    }

    /// The id with these bytes; `None` if they are not 16.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (start, fingerprint) = bytes.split_at_checked(8)?;
        let start = u64::from_be_bytes(start.try_into().ok()?);
        Some(Self {
            start_ms: (start ^ (1 << 63)) as i64,
            fingerprint: u64::from_be_bytes(fingerprint.try_into().ok()?),
        })
    }
}

/// As in addresses: `1700000000000-9f86d081884c7d65`.
impl fmt::Display for RecordId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{:016x}", self.start_ms, self.fingerprint)
    }
}

/// A text that is no id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the id of an anomaly, which looks like 1700000000000-9f86d081884c7d65")]
pub struct NoId;

impl FromStr for RecordId {
    type Err = NoId;

    fn from_str(text: &str) -> Result<Self, NoId> {
        let (start, fingerprint) = text.rsplit_once('-').ok_or(NoId)?;
        let id = Self {
            start_ms: start.parse().map_err(|_| NoId)?,
            fingerprint: u64::from_str_radix(fingerprint, 16).map_err(|_| NoId)?,
        };
        // One anomaly has one address.
        (id.to_string() == text).then_some(id).ok_or(NoId)
    }
}

/// How far an anomaly is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[repr(u8)]
pub enum RecordState {
    /// Over the line and not confirmed yet; becomes active or is gone.
    Pending = 0,
    Active = 1,
    /// Ended.
    Resolved = 2,
}

impl RecordState {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Active, Self::Resolved];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Resolved => "resolved",
        }
    }
}

/// How an anomaly ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum EndedBy {
    /// The samples are usual again, or what they do now has been learned.
    Samples,
    /// The series ended with a staleness marker.
    Stale,
    /// The series sends nothing more; the anomaly goes on should it come back soon.
    Silence,
}

impl EndedBy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Samples => "samples",
            Self::Stale => "stale",
            Self::Silence => "silence",
        }
    }
}

/// The sample of an anomaly that was furthest over the line, the first of several.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Peak {
    pub t_ms: i64,
    /// In the unit of what is scored: of a counter its rate per second.
    pub value: f64,
    /// In [0, 1).
    pub score: f32,
    /// -log10 of how often the series reaches such evidence.
    pub rarity: f64,
    /// The evidence in units of the line.
    pub deviation: f64,
    pub expected: f64,
    /// The values that would have stayed under the line; `None` where it was not looked for.
    pub band: Option<(f64, f64)>,
    /// What said so: part and share, the largest first. Shares of detectors are of all of them, so
    /// they add up to at most 1; a rule that says more than the detectors is alone, with 1.
    pub parts: Vec<(String, f32)>,
}

/// A value that says which trace it came from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Exemplar {
    pub t_ms: i64,
    /// Any value, NaN too.
    pub value: f64,
    /// In the form of canonical label bytes: `trace_id` and the like.
    pub labels: Box<[u8]>,
}

impl Exemplar {
    /// True if both say the same.
    pub fn is(&self, other: &Self) -> bool {
        self.order(other).is_eq()
    }

    /// By time; those of one time in some order that is always the same.
    pub fn order(&self, other: &Self) -> std::cmp::Ordering {
        let key = |e: &Self| (e.t_ms, e.value.to_bits());
        let by_labels = || self.labels.cmp(&other.labels);
        key(self).cmp(&key(other)).then_with(by_labels)
    }
}

/// One anomaly of one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Record {
    pub id: RecordId,
    /// Canonical label bytes.
    pub labels: Box<[u8]>,
    /// Of the series, see [`crate::engine::keep::PARTITIONS`].
    pub partition: u8,
    pub state: RecordState,
    /// The gravest so far.
    pub severity: Severity,
    pub side: Side,
    pub reason: Reason,
    /// The sample at which it became active.
    pub active_ms: Option<i64>,
    /// The sample with which it was over; of one that ended by silence, the last one.
    pub end_ms: Option<i64>,
    pub ended_by: Option<EndedBy>,
    pub peak: Peak,
    /// The newest sample that changed anything of this record. An older state of a record has an
    /// older one.
    pub as_of_ms: i64,
    /// It is a silence, which the clock found and the next sample ends.
    pub absent: bool,
    /// Of the series, near the beginning: see [`crate::engine::exemplars`].
    pub exemplars: Vec<Exemplar>,
}

/// A change of what is kept.
#[derive(Debug, Clone, PartialEq)]
pub enum Update {
    /// The record as it is now.
    Put(Box<Record>),
    /// It was pending, and nothing came of it.
    Forget(RecordId),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_read_back_and_sort_by_time() {
        let id = |start_ms, fingerprint| RecordId {
            start_ms,
            fingerprint,
        };
        let ids = [
            id(i64::MIN, 1),
            id(-5, 0),
            id(3, u64::MAX),
            id(4, 0),
            id(4, 2),
        ];
        assert!(ids.is_sorted_by_key(|id| id.to_bytes()));
        for id in ids {
            assert_eq!(RecordId::from_bytes(&id.to_bytes()), Some(id));
            assert_eq!(id.to_string().parse(), Ok(id));
        }
        for text in ["", "5", "5-", "-", "x-1", "05-0000000000000001", "5-1"] {
            assert_eq!(text.parse::<RecordId>(), Err(NoId), "{text}");
        }
    }
}

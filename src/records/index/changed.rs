//! The index for those who watch records change.

use std::collections::BTreeSet;

use super::{Filter, Index, Row, Sieve, mask};
use crate::engine::record::{RecordId, RecordState};
use crate::series::labels;

impl Index {
    /// What is known of a record, and the labels of its series.
    pub(in crate::records) fn row_with_labels(&self, id: RecordId) -> Option<(Row, Box<[u8]>)> {
        let row = self.get(id)?;
        Some((*row, self.series[row.series as usize].labels.clone()))
    }

    /// Those of some records that are there and wanted.
    pub(in crate::records) fn sift(
        &self,
        filter: &Filter,
        ids: impl Iterator<Item = RecordId>,
    ) -> BTreeSet<RecordId> {
        let mut sieve = Sieve::new(filter, self);
        ids.filter(|id| self.get(*id).is_some_and(|row| sieve.wants(row)))
            .collect()
    }

    /// Records that are wanted and are not over, or of which a sample at this time or after it changed
    /// something: the oldest first.
    pub fn changed_since(&self, filter: &Filter, since_ms: i64) -> Vec<RecordId> {
        let mut sieve = Sieve::new(filter, self);
        let new = |row: &Row| row.state != RecordState::Resolved || row.as_of_ms >= since_ms;
        let rows = self.rows.iter().filter(|(_, row)| new(row));
        let wanted = rows.filter(|(_, row)| sieve.wants(row));
        wanted.map(|(id, _)| *id).collect()
    }

    /// Records that are wanted and not over: the oldest first.
    pub fn under_way(&self, filter: &Filter) -> Vec<RecordId> {
        let mut sieve = Sieve::new(filter, self);
        let rows = self.open.iter().filter_map(|id| Some((id, self.get(*id)?)));
        let wanted = rows.filter(|(_, row)| sieve.wants(row));
        wanted.map(|(id, _)| *id).collect()
    }
}

impl Filter {
    /// True if a record that is in no index is wanted.
    pub(in crate::records) fn wanted(&self, row: &Row, own: &[u8]) -> bool {
        let name = labels::get(own, labels::METRIC_NAME).unwrap_or_default();
        mask(self.severities.iter().map(|s| *s as u32)) >> (row.severity as u32) & 1 == 1
            && mask(self.states.iter().map(|s| *s as u32)) >> (row.state as u32) & 1 == 1
            && mask(self.reasons.iter().map(|r| *r as u32)) >> (row.reason as u32) & 1 == 1
            && (self.metrics.is_empty() || self.metrics.iter().any(|m| m == name))
            && (self.selectors.is_empty() || self.selectors.iter().any(|s| s.matches_labels(own)))
    }
}

//! What a shard has for others: scores that are sent on, records of anomalies, and what samples say to
//! groups.

use super::Shard;
use crate::engine::joint::JointTap;
use crate::engine::records::RecordTap;
use crate::engine::tap::Tap;

/// Where what was made for others ends.
#[derive(Debug, Clone, Copy)]
pub(in crate::engine) struct Mark {
    rows: u64,
    records: u64,
    groups: u64,
}

impl Shard {
    pub(in crate::engine) fn set_tap(&mut self, tap: Tap) {
        self.parts.tap = Some(tap);
    }

    pub(in crate::engine) fn set_records(&mut self, records: RecordTap) {
        self.parts.records = Some(records);
    }

    pub(in crate::engine) fn set_joints(&mut self, joints: JointTap) {
        self.parts.joints = Some(joints);
    }

    /// Hands over what is to be sent on, as far as there is room.
    pub(in crate::engine) fn flush_tap(&mut self) {
        self.parts.resets.flush();
        if let Some(tap) = &mut self.parts.tap {
            self.parts.metrics.output.overloaded(tap.flush());
        }
        if let Some(records) = &mut self.parts.records {
            self.parts.metrics.records.left_out(records.flush());
        }
    }

    /// Where the rows end that were made for others so far.
    pub(in crate::engine) fn tap_mark(&self) -> Mark {
        Mark {
            rows: self.parts.tap.as_ref().map_or(0, Tap::mark),
            records: self.parts.records.as_ref().map_or(0, RecordTap::mark),
            groups: self.parts.joints.as_ref().map_or(0, JointTap::mark),
        }
    }

    /// True if what was made for others up to this mark is dealt with.
    pub(in crate::engine) fn is_tap_settled(&self, mark: Mark) -> bool {
        let (tap, records) = (&self.parts.tap, &self.parts.records);
        let joints = self.parts.joints.as_ref();
        tap.as_ref().is_none_or(|t| t.is_settled(mark.rows))
            && records.as_ref().is_none_or(|r| r.is_settled(mark.records))
            && joints.is_none_or(|j| j.is_settled(mark.groups))
    }
}

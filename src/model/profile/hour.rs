//! Two neighbouring buckets of the profile, and how restless the series is in both: in a day of 24 hours
//! one of them. They are looked at together, so they lie together.

use super::bucket::Bucket;
use crate::model::day::Part;
use crate::model::volatility::Restless;

/// What is kept of one hour: 17 bytes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Hour {
    /// Of a day of an odd number the last hour has one, and the other is never seen.
    pub(super) buckets: [Bucket; 2],
    pub(super) restless: Restless,
}

impl Hour {
    /// Of one or two buckets and the size of short changes, as they are written.
    pub(super) fn of(buckets: &[Bucket], size: f32) -> Self {
        let bucket = |i: usize| buckets.get(i).copied().unwrap_or_default();
        Self {
            buckets: [bucket(0), bucket(1)],
            restless: Restless::of(size),
        }
    }

    /// The bucket with this number in the day.
    #[inline]
    pub(super) fn bucket(&self, at: usize) -> &Bucket {
        &self.buckets[at % 2]
    }

    #[inline]
    pub(super) fn bucket_mut(&mut self, at: usize) -> &mut Bucket {
        &mut self.buckets[at % 2]
    }

    /// How often it was seen.
    #[inline]
    pub(super) fn visits(&self) -> u32 {
        let [a, b] = &self.buckets;
        u32::from(a.visits()) + u32::from(b.visits())
    }
}

impl Part for Hour {
    const BUCKETS: usize = 2;
    const NONE: &'static Self = &Self {
        buckets: [Bucket::NONE; 2],
        restless: Restless::NONE,
    };

    fn is_none(&self) -> bool {
        self == Self::NONE
    }
}

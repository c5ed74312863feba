//! What was handed to the writer and is not safely on disk yet.
//!
//! A partition stays here until a flush has succeeded after it was written, because a disk error takes
//! back everything since the last flush. Newer snapshots of a group replace its state and add to
//! its blocks; a block keeps its key, so that writing it twice is writing it once. What always holds:
//! a partition is written as a whole, so what is on disk of it is of one moment; one of which
//! something was given up is not written again before all of it has come.

mod write;

pub(super) use write::forget;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::ops::Range;
use std::sync::Arc;

use super::block;
use super::disk::{DiskError, Edit};
use super::outline::{BlockRef, Outline};
use super::rollup::Retention;
use super::{position, value};
use crate::engine::keep::{
    ClosedChunk, Cut, GroupId, GroupSnapshot, KeptFor, PARTITIONS, Sleeping, Wholes,
};
use crate::window::decimal::Encoder;
use write::Write;

/// Most bytes that wait for a disk that takes no writes. Beyond it the blocks of the partitions that
/// have waited longest are given up, then those partitions' states; models in memory are not touched.
pub(super) const BACKLOG_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// Bytes of a group here beside its state and blocks, roughly.
const GROUP_BYTES: u64 = 128;

/// Partitions that wait, and the order in which they are written.
#[derive(Debug)]
pub(super) struct Backlog {
    partitions: HashMap<u8, Waiting>,
    /// Partitions that are not written, oldest first.
    queue: VecDeque<u8>,
    bytes: u64,
    queued_bytes: u64,
    arrivals: u64,
    /// Partitions of which something was given up.
    lost: Wholes,
    encoder: Encoder,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            partitions: HashMap::new(),
            queue: VecDeque::new(),
            bytes: 0,
            queued_bytes: 0,
            arrivals: 0,
            lost: [false; PARTITIONS],
            encoder: Encoder::new(),
        }
    }
}

#[derive(Debug, Default)]
struct Waiting {
    /// When its newest cut came, as a count of cuts.
    arrival: u64,
    /// The records up to this one are in it.
    seq: u64,
    groups: BTreeMap<GroupId, Pending>,
    queued: bool,
}

impl Waiting {
    fn bytes(&self) -> u64 {
        self.groups.values().map(Pending::bytes).sum()
    }
}

#[derive(Debug, Default)]
struct Pending {
    newest_ms: i64,
    /// Empty if the group is gone.
    state: Vec<u8>,
    blocks: Vec<Block>,
    /// Empty for one that is no more.
    appendices: BTreeMap<(u16, u8), Vec<u8>>,
    kept_for: Vec<KeptFor>,
    asleep: u128,
    /// States of some of those.
    sleepers: BTreeMap<u16, Arc<Sleeping>>,
}

/// A part of the chunks that came with one snapshot, as they came: the shard shows them to readers
/// until they are let go here.
#[derive(Debug)]
struct Block {
    at: BlockRef,
    chunks: Arc<[ClosedChunk]>,
    /// Which of them.
    run: Range<usize>,
    /// Roughly.
    bytes: usize,
}

impl Block {
    fn seal(&self, key: &[u8], encoder: &mut Encoder) -> Option<Vec<u8>> {
        let (.., payload) = block::encode(&self.chunks[self.run.clone()], encoder)?;
        Some(value::seal(block::VERSION, key, &payload))
    }
}

impl Pending {
    fn bytes(&self) -> u64 {
        let blocks: usize = self.blocks.iter().map(|b| b.bytes).sum();
        let appendices: usize = self.appendices.values().map(|a| a.len() + 64).sum();
        let asleep: usize = self.sleepers.values().map(|s| s.bytes().len()).sum();
        (self.state.len() + blocks + appendices + asleep) as u64 + GROUP_BYTES
    }
}

/// The edits that bring some groups to disk, and what is known of those groups afterwards.
#[derive(Debug, Default)]
pub(super) struct Plan {
    pub(super) edits: Vec<Edit>,
    pub(super) outlines: Vec<(GroupId, Option<Outline>)>,
    /// Blocks that are removed because they are past their retention.
    pub(super) expired: u64,
    /// Blocks past their retention of which not everything could be read.
    pub(super) unreadable: u64,
}

impl Pending {
    /// Takes a newer snapshot in; `outline` is what is on disk of its group.
    fn add(&mut self, group: GroupSnapshot, outline: Option<&Outline>) {
        self.newest_ms = group.newest_ms;
        self.state = group.state;
        self.kept_for = group.kept_for;
        self.asleep = group.asleep;
        self.sleepers.extend(group.sleepers);
        self.sleepers.retain(|p, _| group.asleep >> p & 1 == 1);
        if self.state.is_empty() {
            self.blocks.clear();
            self.appendices.clear();
            return;
        }
        for appendix in group.appendices {
            let of = (appendix.position, appendix.part);
            self.appendices.insert(of, appendix.bytes);
        }
        let on_disk = outline.into_iter().flat_map(|o| &o.blocks);
        let mut sequence = on_disk
            .chain(self.blocks.iter().map(|b| &b.at))
            .map(|b| b.sequence + 1)
            .max()
            .unwrap_or(0);
        let mut from = 0;
        for run in block::runs(&group.chunks) {
            let run_from = from;
            from += run.len();
            let Some((first_ms, last_ms)) = block::span(run) else {
                continue;
            };
            let at = BlockRef {
                first_ms,
                last_ms,
                sequence,
                bytes: run.iter().map(block::size).sum::<usize>() as u32,
            };
            sequence += 1;
            self.blocks.push(Block {
                at,
                chunks: Arc::clone(&group.chunks),
                run: run_from..from,
                bytes: run.iter().map(block::size).sum(),
            });
        }
    }
}

impl Backlog {
    /// Takes a cut in; `outline` says what is on disk of a group. False if it is useless, because
    /// something else of its partition was given up.
    pub(super) fn add(&mut self, cut: Cut, outline: impl Fn(GroupId) -> Option<Outline>) -> bool {
        let lost = &mut self.lost[usize::from(cut.partition)];
        if *lost && !cut.whole {
            return false;
        }
        *lost = false;
        let waiting = self.partitions.entry(cut.partition).or_default();
        let before = waiting.bytes();
        self.bytes -= before;
        if waiting.queued {
            self.queued_bytes -= before;
        }
        self.arrivals += 1;
        waiting.arrival = self.arrivals;
        waiting.seq = cut.seq;
        for group in cut.groups {
            let outline = outline(group.id);
            let pending = waiting.groups.entry(group.id).or_default();
            pending.add(group, outline.as_ref());
        }
        if !waiting.queued {
            waiting.queued = true;
            self.queue.push_back(cut.partition);
        }
        self.bytes += waiting.bytes();
        self.queued_bytes += waiting.bytes();
        true
    }

    /// Bytes that are not written.
    pub(super) fn queued_bytes(&self) -> u64 {
        self.queued_bytes
    }

    /// True if nothing is to be written.
    pub(super) fn is_written(&self) -> bool {
        self.queue.is_empty()
    }

    /// Bytes that are held.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Partitions of which all is to come once more.
    pub(super) fn lost(&self) -> &Wholes {
        &self.lost
    }

    pub(super) fn contains(&self, id: GroupId) -> bool {
        let waiting = self.partitions.get(&id.partition);
        waiting.is_some_and(|w| w.groups.contains_key(&id))
    }

    /// Takes partitions of about `bytes` out of the queue, at least one, and says how to write them;
    /// `None` if nothing waits. They stay in the backlog until [`Backlog::flushed`]. Blocks that
    /// leave are read from disk to be rolled up.
    ///
    /// # Errors
    /// Those of `get`; [`Backlog::failed`] is to follow.
    pub(super) fn plan(
        &mut self,
        bytes: u64,
        retention: Retention,
        outline: impl Fn(GroupId) -> Option<Outline>,
        get: impl Fn(Vec<u8>) -> Result<Option<Vec<u8>>, DiskError>,
    ) -> Result<Option<Plan>, DiskError> {
        let mut plan = Plan::default();
        let mut sum = 0;
        let mut any = false;
        while sum < bytes {
            let Some(partition) = self.queue.pop_front() else {
                break;
            };
            let Some(waiting) = self.partitions.get_mut(&partition) else {
                continue;
            };
            any = true;
            waiting.queued = false;
            self.queued_bytes -= waiting.bytes();
            sum += waiting.bytes();
            for (id, pending) in &waiting.groups {
                let write = Write {
                    id: *id,
                    pending,
                    retention: retention.longest(&pending.kept_for),
                    get: &get,
                };
                write.plan(outline(*id), &mut self.encoder, &mut plan)?;
            }
            plan.edits.push(position::cut(partition, waiting.seq));
        }
        Ok(any.then_some(plan))
    }

    /// Everything that was planned is on disk.
    pub(super) fn flushed(&mut self) {
        let written = self.partitions.values().filter(|w| !w.queued);
        for pending in written.flat_map(|w| w.groups.values()) {
            pending.sleepers.values().for_each(|s| s.keep());
        }
        self.partitions.retain(|_, w| w.queued);
        self.bytes = self.queued_bytes;
    }

    /// Everything since the last flush may be lost: all of it is to be written again.
    pub(super) fn failed(&mut self) {
        let mut waiting: Vec<_> = self.partitions.iter_mut().collect();
        waiting.sort_unstable_by_key(|(_, w)| w.arrival);
        self.queue.clear();
        for (partition, waiting) in waiting {
            waiting.queued = true;
            self.queue.push_back(*partition);
        }
        self.queued_bytes = self.bytes;
    }

    /// Gives up what is beyond `bytes_max`, those that waited longest first. Returns the blocks and
    /// the groups that were given up.
    pub(super) fn shed(&mut self, bytes_max: u64) -> (u64, u64) {
        let (mut blocks, mut states) = (0, 0);
        if self.bytes <= bytes_max {
            return (blocks, states);
        }
        // An eighth more than needed, so that this is not done for every cut that comes.
        let target = bytes_max - bytes_max / 8;
        self.failed();
        for at in 0..self.queue.len() {
            if self.bytes <= target {
                break;
            }
            if let Some(waiting) = self.partitions.get_mut(&self.queue[at]) {
                self.bytes -= waiting.bytes();
                for pending in waiting.groups.values_mut() {
                    blocks += pending.blocks.len() as u64;
                    pending.blocks = Vec::new();
                }
                self.bytes += waiting.bytes();
            }
        }
        while self.bytes > target
            && let Some(partition) = self.queue.pop_front()
        {
            if let Some(waiting) = self.partitions.remove(&partition) {
                self.bytes -= waiting.bytes();
                states += waiting.groups.len() as u64;
                self.lost[usize::from(partition)] = true;
            }
        }
        self.queued_bytes = self.bytes;
        (blocks, states)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::key;

    fn id(number: u32) -> GroupId {
        GroupId {
            partition: 0,
            number,
        }
    }

    /// A cut of partition 0 with one group.
    fn group(number: u32, state: &[u8], chunk: Option<(i64, i64)>) -> Cut {
        cut(0, [snapshot(number, state, chunk)])
    }

    fn cut(partition: u8, groups: impl IntoIterator<Item = GroupSnapshot>) -> Cut {
        let groups: Vec<_> = groups
            .into_iter()
            .map(|g| GroupSnapshot {
                id: GroupId { partition, ..g.id },
                ..g
            })
            .collect();
        Cut {
            partition,
            seq: 7,
            groups,
            whole: false,
        }
    }

    fn snapshot(number: u32, state: &[u8], chunk: Option<(i64, i64)>) -> GroupSnapshot {
        let chunk = chunk.map(|(first_ms, last_ms)| ClosedChunk {
            position: 0,
            first_ms,
            last_ms,
            samples: 2,
            encoding: crate::window::encoding::Encoding::Xor,
            bytes: vec![7; 400],
        });
        GroupSnapshot {
            id: id(number),
            state: state.to_vec(),
            chunks: chunk.into_iter().collect::<Vec<_>>().into(),
            appendices: Vec::new(),
            newest_ms: chunk_end(number),
            kept_for: Vec::new(),
            asleep: 0,
            sleepers: Vec::new(),
        }
    }

    fn chunk_end(number: u32) -> i64 {
        1_000 + i64::from(number)
    }

    /// A plan that reads nothing and makes no rollups.
    fn planned(
        backlog: &mut Backlog,
        bytes: u64,
        window_ms: i64,
        outline: impl Fn(GroupId) -> Option<Outline>,
    ) -> Option<Plan> {
        let retention = Retention {
            window_ms,
            rollups_ms: 0,
        };
        let get = |_| unreachable!("nothing is rolled up");
        backlog.plan(bytes, retention, outline, get).unwrap()
    }

    fn outline_of(plan: &Plan, number: u32) -> Outline {
        let found = plan.outlines.iter().find(|(at, _)| *at == id(number));
        found.unwrap().1.clone().unwrap()
    }

    #[test]
    fn a_group_stays_until_it_is_flushed_and_comes_again_after_a_failure() {
        let mut backlog = Backlog::default();
        backlog.add(group(1, b"one", Some((0, 10))), |_| None);
        let first = planned(&mut backlog, u64::MAX, 1 << 40, |_| None).unwrap();
        assert!(planned(&mut backlog, u64::MAX, 1 << 40, |_| None).is_none());
        backlog.failed();
        let second = planned(&mut backlog, u64::MAX, 1 << 40, |_| None).unwrap();
        assert_eq!(first.edits, second.edits);
        backlog.flushed();
        backlog.failed();
        assert!(planned(&mut backlog, u64::MAX, 1 << 40, |_| None).is_none());
        assert_eq!((backlog.bytes, backlog.queued_bytes), (0, 0));
    }

    #[test]
    fn a_sleeper_may_leave_memory_once_it_is_flushed_and_not_before() {
        let mut backlog = Backlog::default();
        let state = Arc::new(Sleeping::new(b"asleep".to_vec()));
        let mut cut = group(1, b"one", None);
        cut.groups[0].asleep = 1 << 5;
        cut.groups[0].sleepers = vec![(5, Arc::clone(&state))];
        backlog.add(cut, |_| None);
        let plan = planned(&mut backlog, u64::MAX, 1 << 40, |_| None).unwrap();
        assert!(!state.is_on_disk());
        backlog.failed();
        let again = planned(&mut backlog, u64::MAX, 1 << 40, |_| None).unwrap();
        assert_eq!(plan.edits, again.edits);
        backlog.flushed();
        assert!(state.is_on_disk());
        let on_disk = outline_of(&plan, 1);
        assert_eq!(on_disk.sleepers().collect::<Vec<_>>(), [5]);
        // It woke: its key goes with the next cut, as it does with its group.
        backlog.add(group(1, b"two", None), |_| Some(on_disk.clone()));
        let woken = planned(&mut backlog, u64::MAX, 1 << 40, |_| Some(on_disk.clone())).unwrap();
        let gone = Edit::Remove(key::sleeper(id(1), 5));
        assert!(woken.edits.contains(&gone) && outline_of(&woken, 1).asleep == 0);
        backlog.flushed();
        backlog.add(group(1, b"", None), |_| Some(on_disk.clone()));
        let forgotten = planned(&mut backlog, u64::MAX, 1 << 40, |_| Some(on_disk.clone()));
        assert!(forgotten.unwrap().edits.contains(&gone));
        // One that is given up for want of room is not on disk.
        let lost = Arc::new(Sleeping::new(vec![7; 1000]));
        let mut cut = group(2, b"two", None);
        cut.groups[0].asleep = 1;
        cut.groups[0].sleepers = vec![(0, Arc::clone(&lost))];
        backlog.add(cut, |_| None);
        backlog.shed(10);
        backlog.flushed();
        assert!(!lost.is_on_disk());
    }

    #[test]
    fn a_block_written_twice_is_one_block() {
        let mut backlog = Backlog::default();
        backlog.add(group(1, b"one", Some((0, 10))), |_| None);
        let plan = planned(&mut backlog, u64::MAX, 1 << 40, |_| None).unwrap();
        let on_disk = outline_of(&plan, 1);
        // The batch arrived, the flush did not; then a newer snapshot with a block of equal times.
        backlog.failed();
        backlog.add(group(1, b"two", Some((0, 10))), |_| Some(on_disk.clone()));
        let plan = planned(&mut backlog, u64::MAX, 1 << 40, |_| Some(on_disk.clone())).unwrap();
        let blocks = outline_of(&plan, 1).blocks;
        assert_eq!(blocks.len(), 2);
        assert_eq!((blocks[0].sequence, blocks[1].sequence), (0, 1));
    }

    #[test]
    fn a_plan_has_about_the_bytes_asked_for() {
        let mut backlog = Backlog::default();
        for n in 0..10 {
            backlog.add(cut(n, [snapshot(0, &[1; 1000], None)]), |_| None);
        }
        let plan = planned(&mut backlog, 3_000, 0, |_| None).unwrap();
        assert_eq!(plan.outlines.len(), 3);
        assert_eq!(backlog.queue.len(), 7);
        // What was not planned is not taken for flushed.
        backlog.flushed();
        assert_eq!(backlog.partitions.len(), 7);
    }

    #[test]
    fn a_partition_is_written_in_one_step_with_its_record() {
        let mut backlog = Backlog::default();
        let groups = (0..10).map(|n| snapshot(n, &[1; 1000], None));
        backlog.add(cut(3, groups), |_| None);
        let later = Cut {
            seq: 9,
            ..cut(3, [snapshot(4, &[2; 1000], None)])
        };
        backlog.add(later, |_| None);
        let plan = planned(&mut backlog, 1, 0, |_| None).unwrap();
        assert_eq!(plan.outlines.len(), 10);
        assert_eq!(plan.edits.last(), Some(&position::cut(3, 9)));
        assert!(backlog.is_written());
    }

    #[test]
    fn a_full_backlog_gives_up_the_oldest_blocks_then_states() {
        let mut backlog = Backlog::default();
        let one = |n| cut(n, [snapshot(0, &[1; 1000], Some((0, 10)))]);
        for n in 0..10 {
            assert!(backlog.add(one(n), |_| None));
        }
        let full = backlog.bytes;
        assert_eq!(backlog.shed(full), (0, 0));
        let (blocks, states) = backlog.shed(full - 100);
        assert!(
            blocks > 0 && blocks < 10 || states == 0,
            "{blocks} {states}"
        );
        assert!(
            backlog.partitions[&0]
                .groups
                .values()
                .all(|g| g.blocks.is_empty())
        );
        let (blocks, states) = backlog.shed(5_000);
        assert!(blocks > 0 && states > 0);
        assert!(backlog.bytes <= 5_000);
        let of = |partition| GroupId {
            partition,
            number: 0,
        };
        assert!(!backlog.contains(of(0)) && backlog.contains(of(9)));
        let sum: u64 = backlog.partitions.values().map(Waiting::bytes).sum();
        assert_eq!((backlog.bytes, backlog.queued_bytes), (sum, sum));
        // What was given up comes back whole or not at all.
        assert!(backlog.lost()[0] && !backlog.lost()[9]);
        assert!(!backlog.add(one(0), |_| None) && !backlog.contains(of(0)));
        let whole = Cut {
            whole: true,
            ..one(0)
        };
        assert!(backlog.add(whole, |_| None) && backlog.contains(of(0)));
        assert!(!backlog.lost()[0]);
    }

    #[test]
    fn a_group_that_is_gone_takes_its_blocks_with_it() {
        let mut backlog = Backlog::default();
        backlog.add(group(1, b"one", Some((0, 10))), |_| None);
        let plan = planned(&mut backlog, u64::MAX, 1 << 40, |_| None).unwrap();
        let on_disk = outline_of(&plan, 1);
        backlog.flushed();
        backlog.add(group(1, b"", None), |_| Some(on_disk.clone()));
        let plan = planned(&mut backlog, u64::MAX, 0, |_| Some(on_disk.clone())).unwrap();
        assert_eq!(plan.outlines, [(id(1), None)]);
        assert_eq!(plan.edits.len(), 4);
        let (record, removed) = plan.edits.split_last().unwrap();
        assert!(removed.iter().all(|e| matches!(e, Edit::Remove(_))));
        assert_eq!(*record, position::cut(0, 7));
    }

    #[test]
    fn blocks_past_the_window_go_in_the_same_step() {
        let mut backlog = Backlog::default();
        backlog.add(group(1, b"one", Some((0, 500))), |_| None);
        let plan = planned(&mut backlog, u64::MAX, 600, |_| None).unwrap();
        let on_disk = outline_of(&plan, 1);
        assert_eq!((on_disk.blocks.len(), plan.expired), (1, 0));
        let mut next = group(1, b"two", Some((500, 1200)));
        next.groups[0].newest_ms = 1_200;
        backlog.add(next, |_| Some(on_disk.clone()));
        let plan = planned(&mut backlog, u64::MAX, 600, |_| Some(on_disk.clone())).unwrap();
        assert_eq!(plan.expired, 1);
        let removed = Edit::Remove(key::block(id(1), on_disk.blocks[0]));
        assert!(plan.edits.contains(&removed));
        assert_eq!(outline_of(&plan, 1).blocks.len(), 1);
    }
}

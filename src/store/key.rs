//! Keys: one byte for the kind, then fixed-width big-endian fields: group and part of states,
//! time and group of blocks.

use super::outline::BlockRef;
use crate::engine::keep::GroupId;

/// Holds the number of the format that the whole store is in.
pub(super) const FORMAT: &[u8] = &[0];

/// Holds how often the store was flushed.
pub(super) const FLUSHES: &[u8] = &[0, 1];

/// Holds the number of the record up to which the last complete checkpoint has everything.
pub(super) const THROUGH: &[u8] = &[0, 2];

const OUTLINE: u8 = 1;
const STATE: u8 = 2;
const BLOCK: u8 = 3;
const FAMILIES_KIND: u8 = 4;
const CUT: u8 = 5;
const ROLLUP: u8 = 6;
const APPENDIX: u8 = 7;
const SLEEPER: u8 = 8;

/// All parts of the list of families, as a half-open range.
pub(super) const FAMILIES: (&[u8], &[u8]) = (&[FAMILIES_KIND], &[FAMILIES_KIND + 1]);

/// The records that are in each partition, as a half-open range.
pub(super) const CUTS: (&[u8], &[u8]) = (&[CUT], &[CUT + 1]);

/// Holds the number of the record up to which a partition has everything.
pub(super) fn cut(partition: u8) -> Vec<u8> {
    vec![CUT, partition]
}

/// Holds one part of the list of families.
pub(super) fn families(part: u16) -> Vec<u8> {
    let [high, low] = part.to_be_bytes();
    vec![FAMILIES_KIND, high, low]
}

/// All outlines, as a half-open range.
pub(super) const OUTLINES: (&[u8], &[u8]) = (&[OUTLINE], &[OUTLINE + 1]);

/// All parts of all states, as a half-open range.
pub(super) const STATES: (&[u8], &[u8]) = (&[STATE], &[STATE + 1]);

/// All blocks, as a half-open range.
pub(super) const BLOCKS: (&[u8], &[u8]) = (&[BLOCK], &[BLOCK + 1]);

/// All states of series that sleep, as a half-open range.
pub(super) const SLEEPERS: (&[u8], &[u8]) = (&[SLEEPER], &[SLEEPER + 1]);

/// All blocks of rollups, as a half-open range.
pub(super) const ROLLUPS: (&[u8], &[u8]) = (&[ROLLUP], &[ROLLUP + 1]);

/// What lives as long as each other, and lies in files of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Lot {
    /// Rewritten at each checkpoint.
    States,
    /// Written once, and dropped when it is old: blocks of chunks and of rollups.
    Blocks,
}

impl Lot {
    pub(super) const ALL: [Self; 2] = [Self::States, Self::Blocks];

    /// Kinds of keys whose values are of this lot.
    pub(super) fn kinds(self) -> &'static [u8] {
        match self {
            Self::States => &[STATE, APPENDIX, SLEEPER],
            Self::Blocks => &[BLOCK, ROLLUP],
        }
    }

    /// Where the value of `key` lies, if it is in a file.
    pub(super) fn of(key: &[u8]) -> Option<Self> {
        let kind = key.first()?;
        Self::ALL.into_iter().find(|l| l.kinds().contains(kind))
    }
}

/// Added to the kind of a key whose value is in a file: under that, sled has the pointer to it. So a
/// value that sled has itself, from before format 4 or 5, is never taken for one.
const FILED: u8 = 0x10;

/// The key of the pointer to the value of `key`, or the end of their range.
pub(super) fn filed(key: &[u8]) -> Vec<u8> {
    let mut filed = key.to_vec();
    if let Some(kind) = filed.first_mut() {
        *kind += FILED;
    }
    filed
}

/// The key whose value a pointer is to.
pub(super) fn unfiled(filed: &[u8]) -> Vec<u8> {
    let mut key = filed.to_vec();
    if let Some(kind) = key.first_mut() {
        *kind -= FILED;
    }
    key
}

/// Kinds whose keys begin with a group.
pub(super) const OF_GROUP: [u8; 4] = [OUTLINE, STATE, APPENDIX, SLEEPER];

pub(super) fn outline(id: GroupId) -> Vec<u8> {
    prefix(OUTLINE, id)
}

pub(super) fn state(id: GroupId, part: u16) -> Vec<u8> {
    let mut key = prefix(STATE, id);
    key.extend_from_slice(&part.to_be_bytes());
    key
}

/// Holds a large part of the state of one series: its position, and which part.
pub(super) fn appendix(id: GroupId, (position, part): (u16, u8)) -> Vec<u8> {
    let mut key = prefix(APPENDIX, id);
    key.extend_from_slice(&position.to_be_bytes());
    key.push(part);
    key
}

/// The state of a series that sleeps.
pub(super) fn sleeper(id: GroupId, position: u16) -> Vec<u8> {
    let mut key = prefix(SLEEPER, id);
    key.extend_from_slice(&position.to_be_bytes());
    key
}

/// The position that the key of a sleeper belongs to.
pub(super) fn position_of_sleeper(key: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(key.get(6..)?.try_into().ok()?))
}

/// Time comes first, so that the blocks of a checkpoint lie together at the end: a leaf of sled is
/// filled once and then left alone, where blocks in the order of groups would read and rewrite every
/// leaf again and again (a quarter more CPU and a tenth more disk at 100,000 series). The sign bit
/// is flipped so that times before 1970 sort before those after.
pub(super) fn block(id: GroupId, at: BlockRef) -> Vec<u8> {
    timed(BLOCK, id, at)
}

/// As of a block.
pub(super) fn rollup(id: GroupId, at: BlockRef) -> Vec<u8> {
    timed(ROLLUP, id, at)
}

fn timed(kind: u8, id: GroupId, at: BlockRef) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.push(kind);
    key.extend_from_slice(&(at.first_ms.cast_unsigned() ^ (1 << 63)).to_be_bytes());
    key.push(id.partition);
    key.extend_from_slice(&id.number.to_be_bytes());
    key.extend_from_slice(&at.sequence.to_be_bytes());
    key
}

/// The group that the key of a block, raw or of rollups, belongs to; `None` if it is not such a key.
pub(super) fn group_of_block(key: &[u8]) -> Option<GroupId> {
    group(key.get(8..)?)
}

/// Everything of one kind that belongs to a group, as a half-open range.
pub(super) fn range(kind: u8, id: GroupId) -> (Vec<u8>, Vec<u8>) {
    let from = prefix(kind, id);
    // The number carries into the partition and the kind, as it should.
    let mut to = from.clone();
    for byte in to.iter_mut().rev() {
        *byte = byte.wrapping_add(1);
        if *byte != 0 {
            break;
        }
    }
    (from, to)
}

/// The group that a key of an outline or a state belongs to; `None` if it is not such a key.
pub(super) fn group(key: &[u8]) -> Option<GroupId> {
    let (&partition, rest) = key.get(1..)?.split_first()?;
    Some(GroupId {
        partition,
        number: u32::from_be_bytes(rest.get(..4)?.try_into().ok()?),
    })
}

fn prefix(kind: u8, id: GroupId) -> Vec<u8> {
    let mut key = Vec::with_capacity(18);
    key.push(kind);
    key.push(id.partition);
    key.extend_from_slice(&id.number.to_be_bytes());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(first_ms: i64, sequence: u32) -> BlockRef {
        BlockRef {
            first_ms,
            last_ms: first_ms,
            sequence,
            bytes: 0,
        }
    }

    #[test]
    fn blocks_sort_by_time_then_group_then_sequence() {
        let id = |partition, number| GroupId { partition, number };
        let keys = [
            block(id(1, 0), at(i64::MIN, 0)),
            block(id(1, 0), at(-1, 0)),
            block(id(0, 255), at(0, 0)),
            block(id(0, 255), at(0, 256)),
            block(id(0, 256), at(0, 0)),
            block(id(1, 0), at(0, 0)),
            block(id(0, 0), at(i64::MAX, 0)),
        ];
        assert!(keys.is_sorted());
        assert!(keys.windows(2).all(|w| w[0] != w[1]));
        assert_eq!(group_of_block(&keys[4]), Some(id(0, 256)));
        assert_eq!(group_of_block(&keys[4][..12]), None);
    }

    #[test]
    fn a_range_holds_exactly_its_group() {
        for number in [0, 255, u32::MAX] {
            let id = GroupId {
                partition: 63,
                number,
            };
            let (from, to) = range(STATE, id);
            assert!(from <= state(id, 0) && state(id, u16::MAX) < to);
            let next = GroupId {
                partition: id.partition + u8::from(number == u32::MAX),
                number: number.wrapping_add(1),
            };
            assert_eq!(state(next, 0)[..6], to[..]);
        }
    }

    #[test]
    fn keys_name_their_group() {
        let id = GroupId {
            partition: 7,
            number: 0x0102_0304,
        };
        assert_eq!(group(&state(id, 9)), Some(id));
        assert_eq!(group(FORMAT), None);
        assert_eq!(group(&[2, 1, 1]), None);
    }
}

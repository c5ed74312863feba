//! A group's state: opaque bytes, spread over several keys so that no value is large.

use super::disk::Edit;
use super::key;
use super::value::{self, ValueError};
use crate::engine::keep::GroupId;

/// Version of a stored state. What the bytes mean, and which version they have, is the engine's.
pub(super) const VERSION: u8 = 1;

/// Version of a stored appendix. What the bytes mean is the engine's.
pub(super) const APPENDIX_VERSION: u8 = 1;

/// Bytes of a state under one key, for the same reason as [`super::block::BLOCK_BYTES`].
pub(super) const PART_BYTES: usize = 96 * 1024;

/// Writes `state` over a state that had `old_parts` parts. Returns the parts it has now.
///
/// A state has at most [`u16::MAX`] parts (6 GiB); what is beyond is cut off and will be noticed by
/// its checksum when it is read.
pub(super) fn put(id: GroupId, state: &[u8], old_parts: u16, edits: &mut Vec<Edit>) -> u16 {
    let sealed = value::seal(VERSION, &key::state(id, 0), state);
    let mut parts = 0;
    for (part, bytes) in (0..u16::MAX).zip(sealed.chunks(PART_BYTES)) {
        edits.push(Edit::Put(key::state(id, part), bytes.to_vec()));
        parts = part + 1;
    }
    remove_from(id, parts, old_parts, edits);
    parts
}

/// Removes a state of `parts` parts.
pub(super) fn remove(id: GroupId, parts: u16, edits: &mut Vec<Edit>) {
    remove_from(id, 0, parts, edits);
}

/// The state from all its parts, joined in order.
pub(super) fn open(id: GroupId, joined: &[u8]) -> Result<&[u8], ValueError> {
    value::open(VERSION, &key::state(id, 0), joined)
}

fn remove_from(id: GroupId, from: u16, to: u16, edits: &mut Vec<Edit>) {
    edits.extend((from..to).map(|part| Edit::Remove(key::state(id, part))));
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: GroupId = GroupId {
        partition: 1,
        number: 2,
    };

    fn joined(edits: &[Edit]) -> Vec<u8> {
        edits
            .iter()
            .flat_map(|e| match e {
                Edit::Put(_, value) => value.clone(),
                Edit::Remove(_) => Vec::new(),
            })
            .collect()
    }

    #[test]
    fn a_long_state_is_spread_and_joined() {
        let state: Vec<u8> = (0..PART_BYTES * 2 + 5).map(|i| i as u8).collect();
        let mut edits = Vec::new();
        assert_eq!(put(ID, &state, 0, &mut edits), 3);
        assert_eq!(edits.len(), 3);
        assert_eq!(open(ID, &joined(&edits)), Ok(&state[..]));
    }

    #[test]
    fn a_shorter_state_removes_the_parts_it_no_longer_has() {
        let mut edits = Vec::new();
        assert_eq!(put(ID, b"short", 3, &mut edits), 1);
        assert_eq!(
            edits[1..],
            [
                Edit::Remove(key::state(ID, 1)),
                Edit::Remove(key::state(ID, 2))
            ]
        );
    }

    #[test]
    fn parts_of_two_states_do_not_pass_for_one() {
        let mut a = Vec::new();
        let mut b = Vec::new();
        put(ID, &[1; PART_BYTES + 100], 0, &mut a);
        put(ID, &[2; PART_BYTES + 100], 0, &mut b);
        a[1] = b[1].clone();
        assert_eq!(open(ID, &joined(&a)), Err(ValueError::Checksum));
    }
}

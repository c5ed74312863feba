//! Families: series that differ only in labels that churn, as the pods of one deployment do.
//!
//! Of every partition it is known which of its series are of one family, in the order in which they
//! arrived there. What always holds: a family never reaches beyond its partition, and what is known
//! of it follows from labels and places alone; so it is the same with any number of shards and after
//! a restart. Label bytes decide: two families of one hash are told apart.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use smallvec::SmallVec;

use crate::series::fingerprint::fingerprint;
use crate::series::labels;

/// Where a series is: number of its group in the partition, and position there. In order of arrival.
pub type Arrival = (u32, u16);

/// Older series that are looked at for a new one, newest first.
pub const LOOKED_AT: usize = 8;

/// One series of a family.
#[derive(Debug, Clone, Copy)]
struct Member {
    arrival: Arrival,
    /// Its number in the table.
    at: u32,
}

/// The members of one family, in order of arrival. Most have one, and need no list.
#[derive(Debug)]
enum Family {
    One(Member),
    #[allow(
        clippy::box_collection,
        reason = "a family of one should take 16 bytes"
    )]
    More(Box<Vec<Member>>),
}

impl Family {
    fn members(&self) -> &[Member] {
        match self {
            Self::One(member) => std::slice::from_ref(member),
            Self::More(members) => members,
        }
    }

    /// Adds a member, or tells a known one its new number.
    fn add(&mut self, member: Member) {
        let place = |members: &[Member]| {
            members.binary_search_by_key(&member.arrival, |known| known.arrival)
        };
        match self {
            Self::One(only) if only.arrival == member.arrival => *only = member,
            Self::One(only) => {
                let mut both = vec![*only, member];
                both.sort_unstable_by_key(|m| m.arrival);
                *self = Self::More(Box::new(both));
            }
            Self::More(members) => match place(members) {
                Ok(known) => members[known] = member,
                Err(next) => {
                    // Most have few.
                    if members.len() == members.capacity() {
                        members.reserve_exact(members.len() / 2);
                    }
                    members.insert(next, member);
                }
            },
        }
    }

    /// Takes a member out. True if none is left.
    fn remove(&mut self, arrival: Arrival) -> bool {
        match self {
            Self::One(only) => only.arrival == arrival,
            Self::More(members) => {
                members.retain(|m| m.arrival != arrival);
                members.is_empty()
            }
        }
    }

    /// What it points to, in bytes.
    fn heap_bytes(&self) -> usize {
        match self {
            Self::One(_) => 0,
            Self::More(members) => {
                size_of::<Vec<Member>>() + members.capacity() * size_of::<Member>()
            }
        }
    }
}

/// The families of one shard.
#[derive(Debug, Default)]
pub struct Kin {
    /// By hash of partition and labels that stay.
    of: HashMap<u64, Family>,
    /// What all families point to, in bytes.
    heap: usize,
}

/// The labels that stay, as bytes; `None` if none of `churning` is there: such a series has no
/// siblings.
fn staying(canonical: &[u8], churning: &[String]) -> Option<SmallVec<[u8; 512]>> {
    let mut stay = SmallVec::new();
    let mut churns = false;
    for (name, value) in labels::iter(canonical) {
        if churning.iter().any(|c| c == name) {
            churns = true;
        } else {
            labels::push(name, value, |bytes| stay.extend_from_slice(bytes));
        }
    }
    churns.then_some(stay)
}

/// True if two series differ in nothing but these labels.
pub fn are_siblings(a: &[u8], b: &[u8], churning: &[String]) -> bool {
    staying(a, churning).is_some_and(|a| staying(b, churning) == Some(a))
}

fn key(partition: u8, canonical: &[u8], churning: &[String]) -> Option<u64> {
    let mut stay = staying(canonical, churning)?;
    stay.push(partition);
    Some(fingerprint(&stay))
}

impl Kin {
    /// A series is there, if it was not before.
    pub fn add(
        &mut self,
        (partition, arrival): (u8, Arrival),
        canonical: &[u8],
        at: u32,
        churning: &[String],
    ) {
        let Some(key) = key(partition, canonical, churning) else {
            return;
        };
        let member = Member { arrival, at };
        match self.of.entry(key) {
            Entry::Vacant(free) => {
                free.insert(Family::One(member));
            }
            Entry::Occupied(mut known) => {
                let family = known.get_mut();
                self.heap -= family.heap_bytes();
                family.add(member);
                self.heap += family.heap_bytes();
            }
        }
    }

    /// A series is gone.
    pub fn remove(
        &mut self,
        (partition, arrival): (u8, Arrival),
        canonical: &[u8],
        churning: &[String],
    ) {
        let Some(key) = key(partition, canonical, churning) else {
            return;
        };
        if let Some(family) = self.of.get_mut(&key) {
            let held = family.heap_bytes();
            if family.remove(arrival) {
                self.heap -= held;
                self.of.remove(&key);
            }
        }
    }

    /// The newest others of the family of a series, newest first: their numbers in the table. Those
    /// for which `counts` is false have no model any more.
    pub fn others(
        &self,
        partition: u8,
        canonical: &[u8],
        churning: &[String],
        counts: impl Fn(u32) -> bool,
    ) -> SmallVec<[u32; LOOKED_AT]> {
        let family = key(partition, canonical, churning).and_then(|key| self.of.get(&key));
        let others = family
            .map_or(&[][..], Family::members)
            .iter()
            .rev()
            .map(|m| m.at);
        others.filter(|at| counts(*at)).take(LOOKED_AT).collect()
    }

    /// Memory, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let slot = size_of::<(u64, Family)>() + 1;
        self.of.capacity() * slot + self.heap
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn series(name: &str, pod: &str) -> Vec<u8> {
        labels::encode([("__name__", name), ("job", "x"), ("pod", pod)])
    }

    #[test]
    fn a_family_is_of_one_partition_and_in_order_of_arrival() {
        let churning = ["pod".to_owned()];
        let mut kin = Kin::default();
        let all: Vec<_> = (0..20).map(|i| series("a", &format!("web-{i}"))).collect();
        for (i, labels) in all.iter().enumerate().rev() {
            let arrival = (i as u32 / 4, (i % 4) as u16);
            kin.add((3, arrival), labels, i as u32, &churning);
            kin.add((3, arrival), labels, i as u32, &churning);
        }
        kin.add((3, (9, 9)), &series("b", "web-1"), 90, &churning);
        kin.add((4, (9, 9)), &series("a", "web-30"), 91, &churning);
        let others = kin.others(3, &all[19], &churning, |at| at != 19);
        assert_eq!(&others[..], [18, 17, 16, 15, 14, 13, 12, 11]);
        kin.remove((3, (4, 2)), &all[18], &churning);
        assert_eq!(kin.others(3, &all[19], &churning, |at| at != 19)[0], 17);
        let plain = labels::encode([("__name__", "a"), ("job", "x")]);
        assert!(kin.others(3, &plain, &churning, |_| true).is_empty());
        assert!(
            kin.others(3, &all[0], &[], |_| true).is_empty(),
            "switched off"
        );
        for (i, labels) in all.iter().enumerate() {
            let arrival = (i as u32 / 4, (i % 4) as u16);
            kin.remove((3, arrival), labels, &churning);
        }
        assert_eq!(kin.of.len(), 2);
    }

    #[test]
    fn label_bytes_decide_who_is_a_sibling() {
        let churning = ["pod".to_owned()];
        let (a, b) = (series("a", "1"), series("a", "2"));
        assert!(are_siblings(&a, &b, &churning));
        assert!(!are_siblings(&a, &series("b", "2"), &churning));
        assert!(!are_siblings(&a, &b, &[]));
    }
}

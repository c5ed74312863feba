//! Families: series that differ only in labels that churn, as the pods of one deployment do.
//!
//! Of every partition it is known which of its series are of one family, in the order in which they
//! arrived there. What always holds: a family never reaches beyond its partition, and what is known
//! of it follows from labels and places alone; so it is the same with any number of shards and after
//! a restart. Label bytes decide: two families of one hash are told apart.

use std::collections::HashMap;

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

/// The families of one shard.
#[derive(Debug, Default)]
pub struct Kin {
    /// By hash of partition and labels that stay.
    of: HashMap<u64, Vec<Member>>,
    /// Members that there is room for, of all families.
    room: usize,
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
        let family = self.of.entry(key).or_default();
        let member = Member { arrival, at };
        match family.binary_search_by_key(&arrival, |m| m.arrival) {
            Ok(known) => family[known] = member,
            Err(next) => {
                // Most have few.
                if family.len() == family.capacity() {
                    self.room -= family.capacity();
                    family.reserve_exact((family.len() / 2).max(1));
                    self.room += family.capacity();
                }
                family.insert(next, member);
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
            family.retain(|m| m.arrival != arrival);
            if family.is_empty() {
                self.room -= family.capacity();
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
        let others = family.into_iter().flatten().rev().map(|m| m.at);
        others.filter(|at| counts(*at)).take(LOOKED_AT).collect()
    }

    /// Memory, in bytes.
    pub fn heap_bytes(&self) -> usize {
        let slot = size_of::<(u64, Vec<Member>)>() + 1;
        self.of.capacity() * slot + self.room * size_of::<Member>()
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

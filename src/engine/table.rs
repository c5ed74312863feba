//! Finds the slot of a series: guess, then fingerprint, then label bytes.
//!
//! Senders repeat the order of their series, so the series that followed the last one the time
//! before is asked first; only a wrong guess costs a look-up in the hash table. What always holds:
//! two series share a slot only if their label bytes are equal, whatever their fingerprints.

use hashbrown::HashTable;

use crate::series::label_store::{LabelStore, Place};

const NONE: u32 = u32::MAX;

/// Places grow by one in so many, not by doubling: half of them empty would be the labels of a series
/// for each.
const GROWTH: usize = 8;

/// Where the state of a series is, by its number among its like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Home {
    /// A series with a model.
    Tracked(u32),
    /// A series with a window only.
    Plain(u32),
    /// A histogram: native samples, or what classic parts are put together to.
    Histogram(u32),
    /// A series whose state is on disk.
    Asleep(u32),
    /// A series that a rule leaves out, or none at all.
    Nowhere,
}

/// A [`Home`] in 32 bits: the sort above, the number below.
#[derive(Debug, Clone, Copy)]
struct Packed(u32);

const NUMBER_BITS: u32 = 29;

impl From<Home> for Packed {
    fn from(home: Home) -> Self {
        let (sort, number) = match home {
            Home::Tracked(n) => (0, n),
            Home::Plain(n) => (1, n),
            Home::Histogram(n) => (2, n),
            Home::Asleep(n) => (3, n),
            Home::Nowhere => (4, 0),
        };
        debug_assert!(number >> NUMBER_BITS == 0, "BUG: half a billion series");
        Self(sort << NUMBER_BITS | number)
    }
}

impl From<Packed> for Home {
    fn from(Packed(bits): Packed) -> Self {
        let number = bits & ((1 << NUMBER_BITS) - 1);
        match bits >> NUMBER_BITS {
            0 => Self::Tracked(number),
            1 => Self::Plain(number),
            2 => Self::Histogram(number),
            3 => Self::Asleep(number),
            _ => Self::Nowhere,
        }
    }
}

#[derive(Debug, Clone, Copy)]
struct Known {
    fingerprint: u64,
    labels: Place,
    /// Of the labels; 0 if the slot is free.
    len: u32,
    /// The slot that came after this one last time.
    next: u32,
    /// Read with the rest: finding a series finds its state.
    home: Packed,
}

/// Slots by label set. Slot numbers are small, dense and reused.
#[derive(Debug)]
pub struct Table {
    known: Vec<Known>,
    index: HashTable<u32>,
    free: Vec<u32>,
    labels: LabelStore,
    previous: u32,
}

impl Table {
    /// An empty table that keeps labels in `labels`.
    pub fn new(labels: LabelStore) -> Self {
        Self {
            known: Vec::new(),
            index: HashTable::new(),
            free: Vec::new(),
            labels,
            previous: NONE,
        }
    }

    /// Series in the table.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The slot of the series with these label bytes.
    pub fn find(&mut self, fingerprint: u64, labels: &[u8]) -> Option<u32> {
        let guess = self
            .known
            .get(self.previous as usize)
            .map_or(NONE, |k| k.next);
        if guess != NONE && self.is(guess, fingerprint, labels) {
            self.previous = guess;
            return Some(guess);
        }
        let found = self
            .index
            .find(fingerprint, |at| self.is(*at, fingerprint, labels))
            .copied()?;
        self.follow(found);
        Some(found)
    }

    /// The same, for a series that was not sent: the next guess stays as it is.
    pub fn peek(&self, fingerprint: u64, labels: &[u8]) -> Option<u32> {
        self.index
            .find(fingerprint, |at| self.is(*at, fingerprint, labels))
            .copied()
    }

    /// Adds a series that [`Table::find`] did not find; it is at home nowhere yet.
    pub fn insert(&mut self, fingerprint: u64, labels: &[u8]) -> u32 {
        let at = self.insert_aside(fingerprint, labels);
        self.follow(at);
        at
    }

    /// The same, for a series that was not sent.
    pub fn insert_aside(&mut self, fingerprint: u64, labels: &[u8]) -> u32 {
        let known = Known {
            fingerprint,
            labels: self.labels.add(labels),
            len: labels.len() as u32,
            next: NONE,
            home: Home::Nowhere.into(),
        };
        let at = if let Some(at) = self.free.pop() {
            self.known[at as usize] = known;
            at
        } else {
            if self.known.len() == self.known.capacity() {
                let more = (self.known.len() / GROWTH).max(GROWTH);
                self.known.reserve_exact(more);
            }
            self.known.push(known);
            (self.known.len() - 1) as u32
        };
        let known = &self.known;
        self.index
            .insert_unique(fingerprint, at, |at| known[*at as usize].fingerprint);
        at
    }

    /// Where the state of a series is.
    #[inline]
    pub fn home(&self, at: u32) -> Home {
        self.known[at as usize].home.into()
    }

    pub fn settle(&mut self, at: u32, home: Home) {
        self.known[at as usize].home = home.into();
    }

    /// One past the highest slot number; free slots are among those below.
    pub fn end(&self) -> u32 {
        self.known.len() as u32
    }

    /// The label bytes of a slot; `None` if it is free.
    pub fn labels_if_used(&self, at: u32) -> Option<&[u8]> {
        let used = self.known.get(at as usize)?.len > 0;
        used.then(|| self.labels(at))
    }

    /// Forgets a series; its slot number may be given to another.
    pub fn remove(&mut self, at: u32) {
        let k = self.known[at as usize];
        if let Ok(entry) = self.index.find_entry(k.fingerprint, |other| *other == at) {
            entry.remove();
        }
        self.labels.release(k.labels);
        // A guess may still point here; without bytes and with the table's own rules it never hits.
        self.known[at as usize] = Known {
            fingerprint: !k.fingerprint,
            len: 0,
            next: NONE,
            home: Home::Nowhere.into(),
            ..k
        };
        self.free.push(at);
    }

    /// The label bytes of a slot.
    #[inline]
    pub fn labels(&self, at: u32) -> &[u8] {
        match &self.known[at as usize] {
            Known { len: 0, .. } => &[],
            k => self.labels.get(k.labels),
        }
    }

    /// The fingerprint of these.
    #[inline]
    pub fn fingerprint(&self, at: u32) -> u64 {
        self.known[at as usize].fingerprint
    }

    /// Where readers find them.
    pub fn place(&self, at: u32) -> Place {
        self.known[at as usize].labels
    }

    /// Series with a state of their own, histograms aside, in order of arrival from the newest back,
    /// up to `wanted`. Restored ones count as arrived at the start. Looks at all.
    pub fn newest(&self, wanted: usize) -> Vec<u32> {
        let own = |home: Home| !matches!(home, Home::Nowhere | Home::Histogram(_));
        // Labels lie in order of arrival.
        let mut all: Vec<(u64, u32)> = (0..self.end())
            .filter(|at| self.known[*at as usize].len > 0 && own(self.home(*at)))
            .map(|at| (self.place(at).pack(), at))
            .collect();
        let wanted = wanted.min(all.len());
        if wanted > 0 && wanted < all.len() {
            all.select_nth_unstable_by(wanted - 1, |a, b| b.cmp(a));
        }
        all.truncate(wanted);
        all.sort_unstable_by(|a, b| b.cmp(a));
        all.into_iter().map(|(_, at)| at).collect()
    }

    /// Where label bytes of no series of the table are kept; [`Table::drop_labels`] gives them up.
    pub fn keep_labels(&mut self, labels: &[u8]) -> Place {
        self.labels.add(labels)
    }

    /// Label bytes that [`Table::keep_labels`] took.
    pub fn kept_labels(&self, place: Place) -> &[u8] {
        self.labels.get(place)
    }

    pub fn drop_labels(&mut self, place: Place) {
        self.labels.release(place);
    }

    /// Shows readers the labels of new series.
    pub fn publish(&mut self) {
        self.labels.publish();
    }

    /// Memory of the labels.
    pub fn label_bytes(&self) -> usize {
        self.labels.heap_bytes()
    }

    /// Memory of the rest.
    pub fn index_bytes(&self) -> usize {
        self.known.capacity() * size_of::<Known>()
            + self.index.allocation_size()
            + self.free.capacity() * size_of::<u32>()
    }

    fn is(&self, at: u32, fingerprint: u64, labels: &[u8]) -> bool {
        self.known[at as usize].fingerprint == fingerprint && self.labels(at) == labels
    }

    fn follow(&mut self, at: u32) {
        if let Some(previous) = self.known.get_mut(self.previous as usize) {
            previous.next = at;
        }
        self.previous = at;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn a_home_is_kept_and_gone_with_its_series() {
        assert_eq!(size_of::<Known>(), 32);
        let mut t = Table::new(LabelStore::new());
        let a = t.insert(7, b"a");
        assert_eq!(t.home(a), Home::Nowhere);
        for home in [
            Home::Tracked(0),
            Home::Plain((1 << NUMBER_BITS) - 1),
            Home::Histogram(5),
            Home::Asleep(6),
        ] {
            t.settle(a, home);
            assert_eq!(t.home(a), home);
        }
        t.remove(a);
        assert_eq!((t.home(a), t.labels_if_used(a)), (Home::Nowhere, None));
    }

    #[test]
    fn the_newest_are_those_that_arrived_last_whatever_their_numbers() {
        let mut t = Table::new(LabelStore::new());
        let all: Vec<u32> = (0..10u64)
            .map(|i| {
                let at = t.insert(i, format!("s{i}").as_bytes());
                t.settle(at, Home::Tracked(i as u32));
                at
            })
            .collect();
        t.remove(all[2]);
        let again = t.insert(2, b"again");
        assert_eq!(again, all[2]);
        t.settle(again, Home::Plain(0));
        t.settle(all[9], Home::Histogram(0));
        assert_eq!(t.newest(3), [again, all[8], all[7]]);
        assert_eq!(t.newest(100).len(), 9);
        assert_eq!(t.newest(0), [0u32; 0]);
    }

    #[test]
    fn looking_aside_does_not_change_the_guess() {
        let mut t = Table::new(LabelStore::new());
        let (a, b) = (t.insert(1, b"a"), t.insert(2, b"b"));
        let c = t.insert_aside(3, b"c");
        t.find(1, b"a");
        assert_eq!(t.peek(3, b"c"), Some(c));
        assert_eq!(t.known[a as usize].next, b);
        assert_eq!(t.find(2, b"b"), Some(b));
    }

    #[test]
    fn label_bytes_decide_not_the_hash() {
        let mut t = Table::new(LabelStore::new());
        let a = t.insert(7, b"a");
        assert_eq!(t.find(7, b"b"), None);
        let b = t.insert(7, b"b");
        assert_ne!(a, b);
        assert_eq!(t.find(7, b"a"), Some(a));
        assert_eq!(t.find(7, b"b"), Some(b));
    }

    #[test]
    fn behaves_like_a_map_in_any_order_with_removals() {
        let mut rng = fastrand::Rng::with_seed(1);
        let mut t = Table::new(LabelStore::new());
        let mut plain: HashMap<Vec<u8>, u32> = HashMap::new();
        for _ in 0..50_000 {
            let labels = format!("series-{}", rng.u32(..500)).into_bytes();
            let fp = u64::from(labels[labels.len() - 1]); // many collisions
            let found = t.find(fp, &labels);
            assert_eq!(found, plain.get(&labels).copied());
            match found {
                None => {
                    let at = t.insert(fp, &labels);
                    plain.insert(labels, at);
                }
                Some(at) if rng.u8(..) < 40 => {
                    t.remove(at);
                    plain.remove(&labels);
                }
                Some(at) => assert_eq!(t.labels(at), &labels[..]),
            }
            assert_eq!(t.len(), plain.len());
        }
    }
}

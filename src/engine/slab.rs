//! Places for series of one sort, in blocks: in order of first arrival, so that a sender's usual order
//! walks through memory front to back. Where many have left, those at the end fill their places
//! ([`Slab::close_up`]), so that memory goes back.

/// Places that lie together in memory.
const BLOCK: usize = 128;

/// Values by small, dense numbers, which are used again.
#[derive(Debug)]
pub struct Slab<T> {
    blocks: Vec<Vec<Option<T>>>,
    /// Free places; those at or behind `used` are none any more.
    free: Vec<u32>,
    /// One past the last place that may be taken.
    used: u32,
    held: u32,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            used: 0,
            held: 0,
        }
    }

    /// Gives `value` a place.
    pub fn insert(&mut self, value: T) -> u32 {
        let at = self.hole().unwrap_or_else(|| {
            if self.used as usize == self.blocks.len() * BLOCK {
                let mut block = Vec::with_capacity(BLOCK);
                block.resize_with(BLOCK, || None);
                self.blocks.push(block);
            }
            self.used += 1;
            self.used - 1
        });
        self.blocks[at as usize / BLOCK][at as usize % BLOCK] = Some(value);
        self.held += 1;
        at
    }

    /// A free place before the end.
    fn hole(&mut self) -> Option<u32> {
        loop {
            let at = self.free.pop()?;
            if at < self.used {
                return Some(at);
            }
        }
    }

    /// Moves values from the end into free places, up to `most`, if there is a block of them, until one
    /// `stays`; tells `moved` each value and its new place. Gives memory back that nothing lies in.
    pub fn close_up(
        &mut self,
        most: usize,
        stays: impl Fn(&T) -> bool,
        mut moved: impl FnMut(&T, u32),
    ) {
        if ((self.used - self.held) as usize) < BLOCK {
            return;
        }
        for _ in 0..most {
            if self.used == self.held {
                break;
            }
            let last = self.used - 1;
            let (block, at) = (last as usize / BLOCK, last as usize % BLOCK);
            if self.blocks[block][at].as_ref().is_some_and(&stays) {
                break;
            }
            self.used = last;
            let Some(value) = self.blocks[block][at].take() else {
                continue;
            };
            let hole = self
                .hole()
                .expect("BUG: fewer values than places, and no hole");
            moved(&value, hole);
            self.blocks[hole as usize / BLOCK][hole as usize % BLOCK] = Some(value);
        }
        self.blocks.truncate((self.used as usize).div_ceil(BLOCK));
        let end = self.used;
        self.free.retain(|at| *at < end);
        self.free.shrink_to_fit();
    }

    /// Values that have a place.
    pub fn len(&self) -> usize {
        self.held as usize
    }

    /// One past the largest number that may be in use.
    pub fn end(&self) -> u32 {
        self.used
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of the places, in bytes; not what the values point to.
    pub fn heap_bytes(&self) -> usize {
        self.blocks.len() * BLOCK * size_of::<Option<T>>()
            + self.blocks.capacity() * size_of::<Vec<Option<T>>>()
            + self.free.capacity() * size_of::<u32>()
    }

    /// Takes a value out; its number may be given to another.
    pub fn remove(&mut self, at: u32) -> Option<T> {
        let value = self.place_mut(at)?.take();
        if value.is_some() {
            self.free.push(at);
            self.held -= 1;
        }
        value
    }

    #[inline]
    pub fn get(&self, at: u32) -> Option<&T> {
        self.place(at)?.as_ref()
    }

    #[inline]
    pub fn get_mut(&mut self, at: u32) -> Option<&mut T> {
        self.place_mut(at)?.as_mut()
    }

    /// The place itself, to be fetched before it is needed.
    #[inline]
    pub fn place(&self, at: u32) -> Option<&Option<T>> {
        self.blocks
            .get(at as usize / BLOCK)?
            .get(at as usize % BLOCK)
    }

    #[inline]
    fn place_mut(&mut self, at: u32) -> Option<&mut Option<T>> {
        self.blocks
            .get_mut(at as usize / BLOCK)?
            .get_mut(at as usize % BLOCK)
    }
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_at_the_end_fill_the_places_of_those_that_left() {
        let mut slab = Slab::new();
        let mut places: Vec<u32> = (0..5_000).map(|i| slab.insert(i)).collect();
        let full = slab.heap_bytes();
        let left = |i: &u32| i % 10 == 3;
        for i in (0..5_000).filter(|i| !left(i)) {
            slab.remove(places[i as usize]);
        }
        for _ in 0..10 {
            slab.close_up(1_000, |_| false, |value, to| places[*value as usize] = to);
        }
        assert_eq!(slab.len(), 500);
        for i in (0..5_000).filter(left) {
            assert_eq!(slab.get(places[i as usize]), Some(&i));
        }
        assert!(slab.heap_bytes() < full / 3);
        let more: Vec<u32> = (0..600).map(|i| slab.insert(10_000 + i)).collect();
        for (i, at) in more.iter().enumerate() {
            assert_eq!(slab.get(*at), Some(&(10_000 + i as u32)));
        }
        for i in (0..5_000).filter(left) {
            assert_eq!(slab.get(places[i as usize]), Some(&i));
        }
    }

    #[test]
    fn numbers_are_dense_and_used_again() {
        let mut slab = Slab::new();
        let all: Vec<u32> = (0..3000).map(|i| slab.insert(i)).collect();
        assert_eq!(all, (0..3000).collect::<Vec<_>>());
        assert_eq!(slab.remove(1500), Some(1500));
        assert_eq!(slab.remove(1500), None);
        assert_eq!((slab.get(1500), slab.get(9999)), (None, None));
        assert_eq!(slab.insert(7), 1500);
        assert_eq!(slab.insert(8), 3000);
        *slab.get_mut(1500).unwrap() += 1;
        assert_eq!(slab.get(1500), Some(&8));
    }
}

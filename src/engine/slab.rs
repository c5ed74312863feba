//! Places for series of one sort, in blocks that never move: in order of first arrival, so that a
//! sender's usual order walks through memory front to back.

/// Places that lie together in memory.
const BLOCK: usize = 1024;

/// Values by small, dense numbers, which are used again.
#[derive(Debug)]
pub struct Slab<T> {
    blocks: Vec<Vec<Option<T>>>,
    free: Vec<u32>,
    used: u32,
}

impl<T> Slab<T> {
    pub fn new() -> Self {
        Self {
            blocks: Vec::new(),
            free: Vec::new(),
            used: 0,
        }
    }

    /// Gives `value` a place.
    pub fn insert(&mut self, value: T) -> u32 {
        let at = self.free.pop().unwrap_or_else(|| {
            if self.used as usize == self.blocks.len() * BLOCK {
                let mut block = Vec::with_capacity(BLOCK);
                block.resize_with(BLOCK, || None);
                self.blocks.push(block);
            }
            self.used += 1;
            self.used - 1
        });
        self.blocks[at as usize / BLOCK][at as usize % BLOCK] = Some(value);
        at
    }

    /// Values that have a place.
    pub fn len(&self) -> usize {
        self.used as usize - self.free.len()
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

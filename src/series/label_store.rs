//! The label bytes of all series of one shard, once: the shard compares them, scrapes read them.
//!
//! Bytes lie in chunks in order of arrival, so that a sender's usual order reads them front to back. A
//! full chunk never changes and is shared with readers as it is; of the one that is being filled they
//! see a copy, made by [`LabelStore::publish`]. What always holds: bytes at a place never change, and
//! a place is never given to other bytes; a reader that asks for a place that is not published yet, or
//! whose chunk is gone, gets nothing.

use std::sync::Arc;

use arc_swap::ArcSwap;

/// Bytes after which a chunk is closed: two hundred label sets. A closed chunk is held until the last
/// of them is released.
const CHUNK_BYTES: usize = 64 * 1024;

/// Before the bytes of a place is their length.
const PREFIX: usize = 4;

/// Where label bytes are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    chunk: u32,
    offset: u32,
}

impl Place {
    /// In one number, never `u64::MAX`.
    pub fn pack(self) -> u64 {
        u64::from(self.chunk) << 32 | u64::from(self.offset)
    }

    /// The place that [`Place::pack`] made a number of.
    pub fn unpack(bits: u64) -> Self {
        Self {
            chunk: (bits >> 32) as u32,
            offset: bits as u32,
        }
    }
}

type Chunks = Vec<Arc<[u8]>>;

/// The writing side, owned by one shard.
#[derive(Debug)]
pub struct LabelStore {
    published: Arc<ArcSwap<Chunks>>,
    /// Full chunks; one of which everything was released is empty.
    closed: Chunks,
    /// The chunk after the last closed one.
    open: Vec<u8>,
    /// Places in use of each chunk, the open one last.
    live: Vec<u32>,
    bytes: usize,
    changed: bool,
}

impl LabelStore {
    pub fn new() -> Self {
        Self {
            published: Arc::default(),
            closed: Vec::new(),
            open: Vec::new(),
            live: vec![0],
            bytes: 0,
            changed: false,
        }
    }

    /// For readers on any thread.
    pub fn reader(&self) -> LabelReader {
        LabelReader(Arc::clone(&self.published))
    }

    /// Takes label bytes in. Readers see them after the next [`LabelStore::publish`].
    pub fn add(&mut self, labels: &[u8]) -> Place {
        if !self.open.is_empty() && self.open.len() + PREFIX + labels.len() > CHUNK_BYTES {
            self.close();
        }
        if self.open.capacity() == 0 {
            self.open.reserve_exact(CHUNK_BYTES);
        }
        let place = Place {
            chunk: self.closed.len() as u32,
            offset: self.open.len() as u32,
        };
        // Labels have the bounds of a request, 1 GiB.
        self.open
            .extend_from_slice(&(labels.len() as u32).to_le_bytes());
        self.open.extend_from_slice(labels);
        self.live[self.closed.len()] += 1;
        self.changed = true;
        place
    }

    /// The bytes at a place that was not released.
    #[inline]
    pub fn get(&self, place: Place) -> &[u8] {
        let chunk = match self.closed.get(place.chunk as usize) {
            Some(closed) => &closed[..],
            None => &self.open[..],
        };
        at(chunk, place).unwrap_or_default()
    }

    /// Gives a place up.
    pub fn release(&mut self, place: Place) {
        let chunk = place.chunk as usize;
        self.live[chunk] -= 1;
        if self.live[chunk] == 0
            && let Some(closed) = self.closed.get_mut(chunk)
        {
            self.bytes -= closed.len();
            *closed = Arc::default();
            self.changed = true;
        }
    }

    /// Shows readers what came since the last time.
    pub fn publish(&mut self) {
        if std::mem::take(&mut self.changed) {
            let mut chunks = self.closed.clone();
            chunks.push(Arc::from(&self.open[..]));
            self.published.store(Arc::new(chunks));
        }
    }

    /// Memory that is held, published copies included.
    pub fn heap_bytes(&self) -> usize {
        let lists = 2 * self.closed.capacity() * size_of::<Arc<[u8]>>() + 4 * self.live.capacity();
        self.bytes + self.open.capacity() + self.open.len() + lists
    }

    fn close(&mut self) {
        let unused = self.live[self.closed.len()] == 0;
        let closed: Arc<[u8]> = match unused {
            true => Arc::default(),
            false => Arc::from(&self.open[..]),
        };
        self.bytes += closed.len();
        self.closed.push(closed);
        self.live.push(0);
        self.open.clear();
        self.open.shrink_to(CHUNK_BYTES);
    }
}

impl Default for LabelStore {
    fn default() -> Self {
        Self::new()
    }
}

/// The reading side.
#[derive(Debug, Clone)]
pub struct LabelReader(Arc<ArcSwap<Chunks>>);

impl LabelReader {
    /// The bytes at a place; `None` if they are not published yet, or gone.
    pub fn read(&self, place: Place) -> Option<LabelBytes> {
        let chunk = self.0.load().get(place.chunk as usize).cloned()?;
        at(&chunk, place)?;
        Some(LabelBytes { chunk, place })
    }
}

/// Label bytes that stay as long as this.
#[derive(Debug, Clone)]
pub struct LabelBytes {
    chunk: Arc<[u8]>,
    place: Place,
}

impl std::ops::Deref for LabelBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        at(&self.chunk, self.place).unwrap_or_default()
    }
}

fn at(chunk: &[u8], place: Place) -> Option<&[u8]> {
    let (len, rest) = chunk
        .get(place.offset as usize..)?
        .split_first_chunk::<PREFIX>()?;
    rest.get(..u32::from_le_bytes(*len) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(i: usize) -> Vec<u8> {
        vec![i as u8; 100 + i % 300]
    }

    #[test]
    fn readers_see_what_was_published_and_nothing_else() {
        let mut store = LabelStore::new();
        let reader = store.reader();
        let early = store.add(b"early");
        assert!(reader.read(early).is_none());
        store.publish();
        let late = store.add(b"late");
        assert_eq!(&*reader.read(early).unwrap(), b"early");
        assert!(reader.read(late).is_none());
        assert_eq!(
            (store.get(early), store.get(late)),
            (&b"early"[..], &b"late"[..])
        );
        assert_eq!(Place::unpack(late.pack()), late);
    }

    #[test]
    fn thousands_come_back_and_a_chunk_goes_with_its_last() {
        let mut store = LabelStore::new();
        let reader = store.reader();
        let places: Vec<_> = (0..5_000).map(|i| store.add(&labels(i))).collect();
        let large = store.add(&vec![9; 3 * CHUNK_BYTES]);
        store.add(b"after");
        store.publish();
        for (i, place) in places.iter().enumerate() {
            assert_eq!(store.get(*place), labels(i));
            assert_eq!(&*reader.read(*place).unwrap(), labels(i));
        }
        assert_eq!(reader.read(large).unwrap().len(), 3 * CHUNK_BYTES);
        let full = store.heap_bytes();
        let held = reader.read(places[0]).unwrap();
        for place in &places[..4_999] {
            store.release(*place);
        }
        store.publish();
        assert!(store.heap_bytes() < full - 4_000 * 250);
        assert!(reader.read(places[0]).is_none());
        assert_eq!(&*held, labels(0), "as long as somebody reads it");
        assert_eq!(&*reader.read(places[4_999]).unwrap(), labels(4_999));
    }
}

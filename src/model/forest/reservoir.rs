//! The rows that a forest is grown from: a sample of the series' past, each time about as likely as
//! another within its memory, in a fixed number of slots.
//!
//! What always holds: what is kept depends on the rows, their number and the generator alone. The
//! states of the last few fits can be had back ([`Reservoir::rows_at`]), because what a row replaced
//! since is remembered: a forest is a function of its rows, so neither old forests nor the one in
//! use have to be kept anywhere. A new state on disk is the last whole one and the rows that changed
//! since ([`Reservoir::whole`], [`Reservoir::changes`]), not 22 KiB a series each time.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::FEATURES;
use super::random::Random;

/// Values beyond this are taken to be at it; far enough from the end of f32 for every rounding.
const LIMIT: f32 = 1e38;

/// Fits whose rows can be had back: the last five, and the one that is under way.
const MARKS_MAX: usize = 6;

/// Rows that may change before the whole is written anew: they are a sixth of it, and in every
/// snapshot meanwhile.
const CHANGES_MAX: usize = 128;

/// One row in 22 bytes: the value as an f32, because it may be large against its own movements, the
/// features that lie around zero with the eight bits of bfloat16.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "[u8; 22]", into = "[u8; 22]")]
pub struct Packed([u16; FEATURES + 1]);

impl From<&[f32; FEATURES]> for Packed {
    fn from(row: &[f32; FEATURES]) -> Self {
        let finite = |v: f32| {
            if v.is_nan() {
                0.0
            } else {
                v.clamp(-LIMIT, LIMIT)
            }
        };
        let value = finite(row[0]).to_bits();
        let mut packed = [0; FEATURES + 1];
        packed[0] = (value >> 16) as u16;
        packed[1] = value as u16;
        for (to, feature) in packed[2..].iter_mut().zip(&row[1..]) {
            let bits = finite(*feature).to_bits();
            // To the nearest, to even where there are two.
            *to = ((bits + 0x7fff + ((bits >> 16) & 1)) >> 16) as u16;
        }
        Self(packed)
    }
}

impl Packed {
    /// The features, as they were rounded.
    #[inline]
    pub fn unpack(&self) -> [f32; FEATURES] {
        let mut row = [0.0; FEATURES];
        row[0] = f32::from_bits(u32::from(self.0[0]) << 16 | u32::from(self.0[1]));
        for (to, bits) in row[1..].iter_mut().zip(&self.0[2..]) {
            *to = f32::from_bits(u32::from(*bits) << 16);
        }
        row
    }
}

impl From<[u8; 22]> for Packed {
    fn from(bytes: [u8; 22]) -> Self {
        let (pairs, _) = bytes.as_chunks::<2>();
        let mut packed = [0; FEATURES + 1];
        for (to, pair) in packed.iter_mut().zip(pairs) {
            *to = u16::from_le_bytes(*pair);
        }
        // Damage must not make what no row can be.
        Self::from(&Self(packed).unpack())
    }
}

impl From<Packed> for [u8; 22] {
    fn from(row: Packed) -> Self {
        let mut bytes = [0; 22];
        for (to, half) in bytes.as_chunks_mut::<2>().0.iter_mut().zip(row.0) {
            *to = half.to_le_bytes();
        }
        bytes
    }
}

/// Which rows there were when a fit was ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The number of the fit.
    pub version: u32,
    /// Time of the sample at which it was ordered, in milliseconds.
    pub t_ms: i64,
    /// Rows there were.
    rows: u16,
    /// Where the rows begin that were replaced since.
    replaced_from: u32,
}

/// What is written as a whole.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Rows {
    rows: Vec<Packed>,
    /// The rows that were replaced since the oldest mark, each once between two marks.
    replaced: Vec<(u16, Packed)>,
    marks: VecDeque<Mark>,
    /// Slots that `replaced` has since the newest mark, one bit each.
    saved: Vec<u64>,
}

impl Rows {
    /// False if it was damaged: then a slot or a number is out of range.
    fn is_sound(&self) -> bool {
        let rows = self.rows.len();
        let mut from = 0;
        rows <= usize::from(u16::MAX)
            && self
                .replaced
                .iter()
                .all(|(slot, _)| usize::from(*slot) < rows)
            && self.marks.len() <= MARKS_MAX
            && self.marks.iter().all(|m| {
                let rises = m.replaced_from >= from;
                from = m.replaced_from;
                rises && usize::from(m.rows) <= rows && from as usize <= self.replaced.len()
            })
    }
}

/// The rows of one series.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Reservoir {
    state: Rows,
    /// Slots that changed since the whole was last written.
    changed: Vec<u16>,
    /// How often it was written.
    generation: u32,
    /// It must be written again, however little changed.
    stale: bool,
}

impl Reservoir {
    /// One that has these rows, whatever came before them.
    pub fn of(rows: &[Packed]) -> Self {
        let mut new = Self::default();
        new.state.rows = rows.to_vec();
        new
    }

    /// Takes the `n`th row (from 1) of a series: into a free slot of `slots`, else into a random one
    /// with the probability that keeps every row of the last `memory` equally likely to be there.
    pub fn offer(
        &mut self,
        row: &[f32; FEATURES],
        n: u64,
        (slots, memory): (u16, f64),
        random: &mut Random,
    ) {
        let rows = &mut self.state.rows;
        if rows.len() < usize::from(slots) {
            rows.push(Packed::from(row));
            let slot = rows.len() - 1;
            self.changed(slot as u16);
            return;
        }
        let likely = rows.len() as f64 / (n as f64).min(memory).max(1.0);
        if f64::from(random.unit()) < likely {
            let slot = random.below(rows.len() as u32) as u16;
            self.write(slot, Packed::from(row));
        }
    }

    fn write(&mut self, slot: u16, row: Packed) {
        let Rows {
            rows,
            replaced,
            marks,
            saved,
        } = &mut self.state;
        let at = usize::from(slot);
        // A row that came after the mark has nothing to be remembered.
        if marks.back().is_some_and(|m| slot < m.rows) {
            saved.resize(rows.len().div_ceil(64), 0);
            let bit = 1 << (at % 64);
            if saved[at / 64] & bit == 0 {
                saved[at / 64] |= bit;
                replaced.push((slot, rows[at]));
            }
        }
        rows[at] = row;
        self.changed(slot);
    }

    fn changed(&mut self, slot: u16) {
        if !self.stale && !self.changed.contains(&slot) {
            self.changed.push(slot);
            self.stale = self.changed.len() > CHANGES_MAX;
        }
    }

    /// Remembers the rows as they are now as those of fit `version`.
    pub fn mark(&mut self, version: u32, t_ms: i64) {
        let state = &mut self.state;
        state.saved.clear();
        state.marks.push_back(Mark {
            version,
            t_ms,
            rows: state.rows.len() as u16,
            replaced_from: state.replaced.len() as u32,
        });
        if state.marks.len() > MARKS_MAX {
            state.marks.pop_front();
            let first = state.marks.front().map_or(0, |m| m.replaced_from);
            state.replaced.drain(..first as usize);
            for mark in &mut state.marks {
                mark.replaced_from -= first;
            }
        }
        // Then the changes since the whole never span a mark.
        self.stale = true;
    }

    /// The rows of fit `version`; `None` if it is too long ago.
    pub fn rows_at(&self, version: u32) -> Option<Vec<Packed>> {
        let mark = self.marks().find(|m| m.version == version)?;
        let mut rows = self.state.rows.clone();
        // Backwards in time: what was replaced first is put back last.
        for (slot, row) in self.state.replaced[mark.replaced_from as usize..]
            .iter()
            .rev()
        {
            rows[usize::from(*slot)] = *row;
        }
        rows.truncate(usize::from(mark.rows));
        Some(rows)
    }

    /// The fits whose rows can be had back, oldest first.
    pub fn marks(&self) -> impl DoubleEndedIterator<Item = &Mark> {
        self.state.marks.iter()
    }

    /// Rows that it holds now.
    pub fn len(&self) -> usize {
        self.state.rows.len()
    }

    pub fn is_empty(&self) -> bool {
        self.state.rows.is_empty()
    }

    /// Bytes that it takes in memory, besides itself.
    pub fn bytes(&self) -> usize {
        self.state.rows.capacity() * size_of::<Packed>()
            + self.state.replaced.capacity() * size_of::<(u16, Packed)>()
            + self.changed.capacity() * 2
            + self.state.saved.capacity() * 8
            + self.state.marks.capacity() * size_of::<Mark>()
    }

    /// The whole of it for the disk, if it has to be written again or `wanted`; from then on
    /// [`Reservoir::changes`] counts from here.
    pub fn whole(&mut self, wanted: bool) -> Option<Vec<u8>> {
        if !self.stale && !wanted {
            return None;
        }
        self.generation = self.generation.wrapping_add(1);
        self.changed.clear();
        self.stale = false;
        let whole = (self.generation, &self.state);
        // A row and its slot are 25 bytes at the most; young series have few.
        let rows = self.state.rows.len() + self.state.replaced.len();
        let bytes = postcard::to_extend(&whole, Vec::with_capacity(rows * 25 + 256));
        Some(bytes.expect("BUG: plain numbers can be written"))
    }

    /// True if it was ever written whole.
    pub fn is_written(&self) -> bool {
        self.generation > 0
    }

    /// The whole was not written after all.
    pub fn not_written(&mut self) {
        self.stale = true;
    }

    /// What makes the last whole this state: all of it, if the whole is yet to be written.
    pub fn changes(&self) -> ChangesRef<'_> {
        let row = |slot: &u16| (*slot, self.state.rows[usize::from(*slot)]);
        let rows = if self.stale { &[] } else { &*self.changed };
        ChangesRef {
            generation: if self.stale { 0 } else { self.generation },
            whole: self.stale.then_some(&self.state),
            rows: rows.iter().map(row).collect(),
        }
    }

    /// The state that had these changes since `whole`; `None` if that is damaged or another one.
    pub fn restore(whole: Option<&[u8]>, changes: Changes) -> Option<Self> {
        let mut restored = Self {
            generation: changes.generation,
            ..Self::default()
        };
        if let Some(state) = changes.whole {
            restored.state = state;
            restored.stale = true;
        } else if changes.generation > 0 {
            let (generation, state): (u32, Rows) = postcard::from_bytes(whole?).ok()?;
            if generation != changes.generation {
                return None;
            }
            restored.state = state;
        }
        if !restored.state.is_sound() {
            return None;
        }
        for (slot, row) in &changes.rows {
            match usize::from(*slot).cmp(&restored.state.rows.len()) {
                std::cmp::Ordering::Less => restored.write(*slot, *row),
                std::cmp::Ordering::Equal => {
                    restored.state.rows.push(*row);
                    restored.changed(*slot);
                }
                std::cmp::Ordering::Greater => return None,
            }
        }
        Some(restored)
    }
}

/// The rows that changed since the whole was written, or the whole.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Changes {
    /// Which whole; 0: none was written yet.
    generation: u32,
    whole: Option<Rows>,
    rows: Vec<(u16, Packed)>,
}

/// The same, borrowed for writing.
#[derive(Debug, Serialize)]
pub struct ChangesRef<'a> {
    generation: u32,
    whole: Option<&'a Rows>,
    rows: Vec<(u16, Packed)>,
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn row(i: u64) -> [f32; FEATURES] {
        std::array::from_fn(|f| (i * 10 + f as u64) as f32)
    }

    fn filled(n: u64, slots: u16) -> Reservoir {
        let mut reservoir = Reservoir::default();
        let mut random = Random::new(5);
        for i in 1..=n {
            reservoir.offer(&row(i), i, (slots, 1e9), &mut random);
        }
        reservoir
    }

    #[test]
    fn a_row_keeps_the_value_and_eight_bits_of_the_rest() {
        let exact = [
            1.234_567_8e9,
            1.0,
            -0.5,
            3.0,
            0.0,
            255.0,
            -2e-9,
            1e38,
            -1e38,
            0.1,
        ];
        let back = Packed::from(&exact).unpack();
        assert_eq!(back[..6], exact[..6]);
        for (back, exact) in back.iter().zip(exact) {
            assert!(
                (back - exact).abs() <= exact.abs() / 256.0,
                "{back} {exact}"
            );
        }
        assert_eq!(Packed::from(&back).unpack(), back);
        let odd = Packed::from(&[
            f32::NAN,
            f32::INFINITY,
            f32::NEG_INFINITY,
            0.,
            0.,
            0.,
            0.,
            0.,
            0.,
            0.,
        ]);
        let odd = odd.unpack();
        assert_eq!(odd[0], 0.0);
        assert!(odd.iter().all(|v| v.is_finite()), "{odd:?}");
    }

    #[test]
    fn rows_of_all_times_are_equally_likely_to_be_kept() {
        let reservoir = filled(40_000, 1000);
        assert_eq!(reservoir.len(), 1000);
        let mut quarters = [0; 4];
        for row in &reservoir.state.rows {
            quarters[((row.unpack()[0] / 10.0 - 1.0) / 10_000.0) as usize] += 1;
        }
        assert!(
            quarters.iter().all(|q| (190..310).contains(q)),
            "{quarters:?}"
        );
    }

    #[test]
    fn a_short_memory_forgets() {
        let mut reservoir = Reservoir::default();
        let mut random = Random::new(5);
        for i in 1..=40_000 {
            reservoir.offer(&row(i), i, (500, 2_000.0), &mut random);
        }
        let old = |r: &&Packed| r.unpack()[0] < 200_000.0;
        assert!(reservoir.state.rows.iter().filter(old).count() < 10);
    }

    #[test]
    fn earlier_rows_can_be_had_back() {
        let mut reservoir = Reservoir::default();
        let mut random = Random::new(9);
        let mut was = Vec::new();
        for i in 1..=3_000 {
            reservoir.offer(&row(i), i, (200, 1e9), &mut random);
            if i % 150 == 100 {
                let version = (i / 150) as u32;
                reservoir.mark(version, i as i64);
                was.push((version, reservoir.state.rows.clone()));
            }
        }
        let kept = was.len() - MARKS_MAX;
        for (version, rows) in &was[kept..] {
            assert_eq!(reservoir.rows_at(*version).as_ref(), Some(rows));
        }
        assert_eq!(reservoir.rows_at(was[kept - 1].0), None);
        assert!(reservoir.state.replaced.len() <= MARKS_MAX * 200);
    }

    proptest! {
        /// Whatever is written when: what comes back is what there was, and goes on the same way.
        #[test]
        fn whole_and_changes_bring_it_back(steps in prop::collection::vec((1_u64..200, 0..4), 1..12)) {
            let mut here = Reservoir::default();
            let mut random = Random::new(3);
            let (mut n, mut version) = (0, 0);
            let mut disk: Option<Vec<u8>> = None;
            for (rows, what) in steps {
                for _ in 0..rows {
                    n += 1;
                    here.offer(&row(n), n, (100, 1e9), &mut random);
                }
                if what == 0 {
                    version += 1;
                    here.mark(version, n as i64);
                }
                if what != 1 {
                    disk = here.whole(what == 2).or(disk);
                }
                let light = postcard::to_allocvec(&here.changes()).unwrap();
                let light = postcard::from_bytes(&light).unwrap();
                let back = Reservoir::restore(disk.as_deref(), light).unwrap();
                prop_assert_eq!(&back.state, &here.state);
                if !here.stale {
                    prop_assert_eq!(&back, &here);
                }
            }
        }

        /// Damage is noticed or harmless.
        #[test]
        fn damage_never_panics(at in 0_usize..5_000, bit in 0_u8..8) {
            let mut reservoir = filled(300, 200);
            reservoir.mark(1, 0);
            let mut random = Random::new(1);
            for i in 300..400 {
                reservoir.offer(&row(i), i, (200, 1e9), &mut random);
            }
            let mut whole = reservoir.whole(true).unwrap();
            let at = at % whole.len();
            whole[at] ^= 1 << bit;
            let light = postcard::to_allocvec(&reservoir.changes()).unwrap();
            let light = postcard::from_bytes(&light).unwrap();
            if let Some(mut back) = Reservoir::restore(Some(&whole), light) {
                let _ = back.rows_at(1);
                back.mark(2, 0);
                back.offer(&row(1), 500, (200, 1e9), &mut random);
                let _ = back.rows_at(2);
            }
        }
    }
}

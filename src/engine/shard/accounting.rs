//! What the series of a shard take in memory, and which go when it is too much.

use super::Shard;
use super::histogram::Slot as HistogramSlot;
use super::tracked::Tracked;
use crate::engine::memory::Memory;
use crate::engine::table::Home;
use crate::score::judge::Judge;
use crate::window::head::Head;

/// Series that are given up in one tick.
const SHEDS_A_TICK: usize = 4096;

/// Series that are moved in one tick, of each sort: about a millisecond's work.
const MOVES_A_TICK: usize = 2048;

/// What was counted.
#[derive(Debug, Default)]
pub(super) struct Account {
    /// What the series of this round point to, so far.
    counting: Memory,
    /// What is published.
    shown: Memory,
    /// Births before this round.
    births: u64,
}

impl Shard {
    /// What everything here takes now, all series counted at once.
    pub fn memory(&self) -> Memory {
        let mut memory = Memory::default();
        for at in 0..self.table.end() {
            self.add_series(at, &mut memory);
        }
        self.with_structures(memory)
    }

    /// What one series takes beside its labels and what finds it: (window, model).
    pub fn memory_of(&self, at: u32) -> (usize, usize) {
        let mut memory = Memory::default();
        self.add_series(at, &mut memory);
        match self.table.home(at) {
            Home::Tracked(_) => (
                memory.windows + size_of::<Head>(),
                memory.models + size_of::<Judge>(),
            ),
            Home::Plain(_) => (memory.windows + size_of::<Head>(), 0),
            _ => (memory.windows + memory.histograms, memory.models),
        }
    }

    /// Counts one series of this round.
    pub(super) fn count(&mut self, at: u32) {
        let mut memory = std::mem::take(&mut self.account.counting);
        self.add_series(at, &mut memory);
        self.account.counting = memory;
    }

    /// All series were counted once.
    pub(super) fn end_of_round(&mut self) {
        let heaps = std::mem::take(&mut self.account.counting);
        self.groups.let_go();
        let now = self.with_structures(heaps);
        let index = self.parts.index;
        let budget = &self.parts.budget;
        budget.counted(index, now.total() as u64, self.account.births);
        self.account.births = budget.births(index);
        let before = std::mem::replace(&mut self.account.shown, now);
        self.parts
            .metrics
            .memory
            .change(&before.parts(), &now.parts());
    }

    /// Moves series together where many have left, so that memory goes back.
    pub(super) fn close_up(&mut self) {
        let (groups, table, histograms) = (&self.groups, &mut self.table, &mut self.histograms);
        let number = |group: u32, position: u16| {
            groups.get(group).members[usize::from(position)]
                .expect("BUG: a series that is here is a member of its group")
        };
        // What is under way for a forest knows its series by its place.
        let stays = |slot: &Tracked| slot.track.judge().forest().is_some();
        self.tracked.close_up(MOVES_A_TICK, stays, |slot, to| {
            let at = number(slot.group, slot.position);
            match table.home(at) {
                // The floats of a native histogram.
                Home::Histogram(h) => {
                    if let Some(histogram) = histograms.get_mut(h) {
                        histogram.floats = Some(to);
                    }
                }
                _ => table.settle(at, Home::Tracked(to)),
            }
        });
        self.plain.close_up(
            MOVES_A_TICK,
            |_| false,
            |slot, to| {
                table.settle(number(slot.group, slot.position), Home::Plain(to));
            },
        );
        self.asleep.close_up(
            MOVES_A_TICK,
            |_| false,
            |slot, to| {
                table.settle(number(slot.group, slot.position), Home::Asleep(to));
            },
        );
    }

    /// Gives up the newest series while memory is beyond its bound.
    pub(super) fn shed(&mut self) {
        let excess = self.parts.budget.excess(self.parts.index);
        if excess == 0 || self.is_empty() {
            return;
        }
        let held = self.account.shown.total() as u64;
        let each = (held / self.len() as u64).max(1);
        let wanted = usize::try_from(excess.div_ceil(each)).unwrap_or(usize::MAX);
        let newest = self.table.newest(wanted.min(SHEDS_A_TICK));
        let shed = newest.into_iter().filter(|at| self.give_up(*at)).count() as u64;
        self.tally.shed += shed;
        // Until they are counted again.
        let left = held.saturating_sub(shed * each);
        self.parts.budget.counted(self.parts.index, left, 0);
    }

    /// Room for series, if there is any.
    pub(super) fn admit(&mut self, n: u32) -> bool {
        if !self.parts.budget.has_room() {
            self.tally.shed += 1;
            return false;
        }
        if !self.parts.admission.admit_all(n) {
            self.tally.dropped += 1;
            return false;
        }
        self.parts.budget.born(self.parts.index);
        true
    }

    /// Forgets a series, whatever it knows. A histogram goes with its parts.
    fn give_up(&mut self, at: u32) -> bool {
        match self.table.home(at) {
            Home::Tracked(n) => {
                let Some(slot) = self.take_tracked(at, n) else {
                    return false;
                };
                self.vacate(at, slot.group, slot.position, 1);
            }
            Home::Plain(n) => self.forget_plain(at, n),
            Home::Asleep(n) => self.forget_sleeper(at, n),
            Home::Histogram(_) | Home::Nowhere => return false,
        }
        true
    }

    /// Adds what a series points to.
    fn add_series(&self, at: u32, memory: &mut Memory) {
        match self.table.home(at) {
            Home::Tracked(n) => self.add_tracked_memory(n, memory),
            Home::Plain(n) => {
                let head = self.plain.get(n).map(|s| s.head.heap_bytes());
                memory.windows += head.unwrap_or(0);
            }
            Home::Histogram(h) => {
                if let Some(slot) = self.histograms.get(h) {
                    memory.histograms += size_of::<HistogramSlot>();
                    slot.add_memory(memory);
                    if let Some(n) = slot.floats {
                        self.add_tracked_memory(n, memory);
                    }
                }
            }
            Home::Asleep(n) => {
                let state = self.asleep.get(n).and_then(|s| s.state.as_ref());
                memory.asleep += state.map_or(0, |s| s.bytes().len() + 40);
            }
            Home::Nowhere => {}
        }
    }

    fn add_tracked_memory(&self, n: u32, memory: &mut Memory) {
        if let Some(slot) = self.tracked.get(n) {
            memory.windows += slot.track.head().heap_bytes();
            memory.models += slot.track.judge().heap_bytes();
        }
    }

    /// Adds what is there for all of them.
    fn with_structures(&self, mut memory: Memory) -> Memory {
        let (tracked, plain) = (self.tracked.len(), self.plain.len());
        let models = tracked * size_of::<Judge>();
        let windows = (tracked + plain) * size_of::<Head>();
        memory.models += models;
        memory.windows += windows + self.groups.chunk_bytes();
        let slabs = self.tracked.heap_bytes()
            + self.plain.heap_bytes()
            + self.histograms.heap_bytes()
            + self.asleep.heap_bytes();
        memory.index += (slabs - models - windows)
            + self.table.index_bytes()
            + self.groups.heap_bytes()
            + self.kin.heap_bytes()
            + self.births.capacity() * size_of::<super::warm::Birth>();
        memory.labels += self.table.label_bytes();
        memory.board += self.parts.board.heap_bytes();
        memory
    }
}

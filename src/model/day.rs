//! What is kept for each part of a day, from the first part that a series was seen in.
//!
//! Half of what a model takes are its parts of a day, and pods live for an hour: only the parts from
//! the first to the last that anything is known of are held, around midnight too. What always holds:
//! a part that is not held is as one of which nothing is known, and neither what is said nor what is
//! written depends on what is held. It does not know what a part is.

use std::ops::Index;

/// Parts that are added at a time.
const GROWTH: usize = 2;

/// One part of a day.
pub(super) trait Part: Copy + 'static {
    /// Buckets of the day in one of it.
    const BUCKETS: usize;
    /// Of which nothing is known.
    const NONE: &'static Self;

    /// It is that, to the last bit.
    fn is_none(&self) -> bool;
}

/// The parts of a day of at most 255 buckets.
#[derive(Debug, Clone)]
pub(super) struct Day<T> {
    /// Those from `first` on, in the order of the day, midnight between them or not.
    held: Box<[T]>,
    first: u8,
    buckets: u8,
}

impl<T: Part> Day<T> {
    /// A day of so many buckets, at most 255.
    pub(super) fn of(buckets: usize) -> Self {
        Self {
            held: Box::default(),
            first: 0,
            buckets: u8::try_from(buckets).expect("BUG: a day has at most 48 buckets"),
        }
    }

    /// A day of which all parts are given.
    pub(super) fn of_all(buckets: u8, all: &[T]) -> Self {
        let mut day = Self {
            buckets,
            ..Self::default()
        };
        // Everything but the longest stretch of which nothing is known.
        let (mut gap_end, mut gap, mut run) = (0, 0, 0);
        for at in 0..2 * all.len() {
            run = if all[at % all.len()].is_none() {
                run + 1
            } else {
                0
            };
            if run > gap {
                (gap, gap_end) = (run, at + 1);
            }
        }
        if gap < all.len() {
            let first = match gap {
                0 => 0,
                _ => gap_end % all.len(),
            };
            let held = (first..first + all.len() - gap).map(|at| all[at % all.len()]);
            (day.held, day.first) = (held.collect(), first as u8);
        }
        day
    }

    /// Buckets of the day.
    #[inline]
    pub(super) fn buckets(&self) -> usize {
        usize::from(self.buckets)
    }

    /// Parts of the day, held or not.
    #[inline]
    pub(super) fn len(&self) -> usize {
        self.buckets().div_ceil(T::BUCKETS)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.buckets == 0
    }

    /// A part, to be changed.
    #[inline]
    pub(super) fn get_mut(&mut self, at: usize) -> Option<&mut T> {
        if at >= self.len() {
            return None;
        }
        if self.offset(at) >= self.held.len() {
            self.hold(at);
        }
        let offset = self.offset(at);
        self.held.get_mut(offset)
    }

    /// The parts of which anything may be known.
    pub(super) fn held(&self) -> impl Iterator<Item = &T> {
        self.held.iter()
    }

    /// Bytes apart from its own size.
    pub(super) fn heap_bytes(&self) -> usize {
        size_of_val(&*self.held)
    }

    /// All parts in the order of the day.
    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
        (0..self.len()).map(|at| &self[at])
    }

    /// Place of a part among those that are held, if it is.
    #[inline]
    fn offset(&self, at: usize) -> usize {
        let first = usize::from(self.first);
        if at >= first {
            at - first
        } else {
            at + self.len() - first
        }
    }

    /// Holds a part too, and what lies between it and the others, on the shorter way.
    #[cold]
    fn hold(&mut self, at: usize) {
        let (count, len) = (self.len(), self.held.len());
        if len == 0 {
            self.first = at as u8;
        }
        let offset = self.offset(at);
        let (behind, before) = (offset + 1 - len, count - offset);
        let mut held = Vec::with_capacity(count.min((len + behind).next_multiple_of(GROWTH)));
        if len > 0 && before < behind {
            held.resize(before, *T::NONE);
            held.extend_from_slice(&self.held);
            self.first = at as u8;
        } else {
            held.extend_from_slice(&self.held);
            held.resize(held.capacity().min(count), *T::NONE);
        }
        self.held = held.into_boxed_slice();
    }
}

/// A part of which nothing is known. Apart, so that the processor guesses that it is not asked for and
/// reads those that are held at once.
#[cold]
#[inline(never)]
fn unknown<T: Part>() -> &'static T {
    T::NONE
}

impl<T> Default for Day<T> {
    fn default() -> Self {
        Self {
            held: Box::default(),
            first: 0,
            buckets: 0,
        }
    }
}

impl<T: Part> Index<usize> for Day<T> {
    type Output = T;

    #[inline]
    fn index(&self, at: usize) -> &T {
        match self.held.get(self.offset(at)) {
            Some(part) => part,
            None => unknown(),
        }
    }
}

impl<T: Part + PartialEq> PartialEq for Day<T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Part for f32 {
        const BUCKETS: usize = 1;
        const NONE: &'static Self = &0.0;

        fn is_none(&self) -> bool {
            self.to_bits() == 0
        }
    }

    fn back(day: &Day<f32>) -> Day<f32> {
        Day::of_all(day.buckets, &all(day))
    }

    fn all(day: &Day<f32>) -> Vec<f32> {
        day.iter().copied().collect()
    }

    #[test]
    fn it_is_a_list_of_which_only_the_part_that_was_used_is_held() {
        let mut rng = fastrand::Rng::with_seed(3);
        for count in [1, 5, 24, 48] {
            for _ in 0..200 {
                let mut day = Day::<f32>::of(count);
                let mut plain = vec![0.0f32; count];
                for _ in 0..rng.usize(0..2 * count) {
                    let at = match rng.u8(0..3) {
                        0 => rng.usize(0..count),
                        n => (count - 1 + usize::from(n)) % count,
                    };
                    let value = rng.f32() - 0.5;
                    *day.get_mut(at).unwrap() += value;
                    plain[at] += value;
                    assert_eq!(all(&day), plain);
                }
                assert!(day.held.len() <= count);
                let mut back = back(&day);
                assert!(back == day && back.held.len() <= day.held.len().max(1));
                let at = rng.usize(0..count);
                *back.get_mut(at).unwrap() = 7.0;
                plain[at] = 7.0;
                assert_eq!(all(&back), plain);
                assert!(back.get_mut(count).is_none());
            }
        }
    }

    #[test]
    fn an_hour_around_midnight_takes_little() {
        let mut day = Day::<f32>::of(48);
        for at in [46, 47, 0, 1] {
            *day.get_mut(at).unwrap() = 1.0;
        }
        assert_eq!(day.heap_bytes(), 16);
        let back = back(&day);
        assert_eq!((back.heap_bytes(), back.first), (16, 46));
        // One far away the other way round.
        *day.get_mut(40).unwrap() = 1.0;
        assert_eq!((day.heap_bytes(), day.first), (40, 40));
        assert_eq!(all(&day).iter().filter(|v| **v == 1.0).count(), 5);
    }

    #[test]
    fn no_day_has_no_parts() {
        let mut none = Day::<f32>::default();
        assert!(none.is_empty() && none.get_mut(0).is_none());
        assert!(back(&none) == none);
    }
}

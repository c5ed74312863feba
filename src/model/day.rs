//! What is kept for each part of a day, from the first part that a series was seen in.
//!
//! Most of what a model takes are its 48 buckets of a day, and pods live for an hour: only the parts from
//! the first to the last that anything is known of are held, around midnight too. What always holds:
//! a part that is not held is as one of which nothing is known, and neither what is said nor what is
//! written depends on what is held. It does not know what a part is.

use std::ops::Index;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Parts that are added at a time.
const GROWTH: usize = 4;

/// One part of a day.
pub(super) trait Part: Copy + Serialize + 'static {
    /// Of which nothing is known.
    const NONE: &'static Self;

    /// It is that, to the last bit.
    fn is_none(&self) -> bool;
}

impl Part for f32 {
    const NONE: &'static Self = &0.0;

    fn is_none(&self) -> bool {
        self.to_bits() == 0
    }
}

/// The parts of a day, of which there are at most 255.
#[derive(Debug, Clone)]
pub(super) struct Day<T> {
    /// Those from `first` on, in the order of the day, midnight between them or not.
    held: Box<[T]>,
    first: u8,
    count: u8,
}

impl<T: Part> Day<T> {
    /// A day of so many parts, at most 255.
    pub(super) fn of(count: usize) -> Self {
        Self {
            held: Box::default(),
            first: 0,
            count: u8::try_from(count).expect("BUG: a day has at most 48 parts"),
        }
    }

    /// Parts of the day, held or not.
    #[inline]
    pub(super) fn len(&self) -> usize {
        usize::from(self.count)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.count == 0
    }

    #[inline]
    pub(super) fn get(&self, at: usize) -> Option<&T> {
        (at < self.len()).then(|| &self[at])
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

    fn iter(&self) -> impl ExactSizeIterator<Item = &T> {
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
            count: 0,
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

/// As a list of all parts.
impl<T: Part> Serialize for Day<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.iter())
    }
}

impl<'de, T: Part + Deserialize<'de>> Deserialize<'de> for Day<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let all = Vec::<T>::deserialize(deserializer)?;
        let count = u8::try_from(all.len()).map_err(serde::de::Error::custom)?;
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
        if gap >= all.len() {
            return Ok(Self {
                count,
                ..Self::default()
            });
        }
        let first = match gap {
            0 => 0,
            _ => gap_end % all.len(),
        };
        let held = (first..first + all.len() - gap).map(|at| all[at % all.len()]);
        Ok(Self {
            held: held.collect(),
            first: first as u8,
            count,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
                let written = postcard::to_stdvec(&day).unwrap();
                assert_eq!(written, postcard::to_stdvec(&plain).unwrap());
                let mut back: Day<f32> = postcard::from_bytes(&written).unwrap();
                assert!(back == day && back.held.len() <= day.held.len().max(1));
                let at = rng.usize(0..count);
                *back.get_mut(at).unwrap() = 7.0;
                plain[at] = 7.0;
                assert_eq!(all(&back), plain);
                assert!(back.get(count).is_none() && back.get_mut(count).is_none());
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
        let back: Day<f32> = postcard::from_bytes(&postcard::to_stdvec(&day).unwrap()).unwrap();
        assert_eq!((back.heap_bytes(), back.first), (16, 46));
        // One far away the other way round.
        *day.get_mut(40).unwrap() = 1.0;
        assert_eq!((day.heap_bytes(), day.first), (40, 40));
        assert_eq!(all(&day).iter().filter(|v| **v == 1.0).count(), 5);
    }

    #[test]
    fn no_day_has_no_parts() {
        let mut none = Day::<f32>::default();
        assert!(none.is_empty() && none.get(0).is_none() && none.get_mut(0).is_none());
        let back: Day<f32> = postcard::from_bytes(&postcard::to_stdvec(&none).unwrap()).unwrap();
        assert!(back == none);
    }
}

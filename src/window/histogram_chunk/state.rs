//! What the next sample of a histogram chunk is written and read relative to.

use super::bits::{Reader, Writer, Wrong, Xor};
use super::layout::Layout;
use crate::wire::histogram::{Counts, NativeHistogram, ResetHint};
use crate::wire::write;

/// A whole number, and by how much it last changed.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Change {
    last: i64,
    delta: i64,
}

impl Change {
    /// By how much the change changes if `value` is next.
    fn to(&mut self, value: i64) -> i64 {
        let delta = value.wrapping_sub(self.last);
        let change = delta.wrapping_sub(self.delta);
        *self = Self { last: value, delta };
        change
    }

    fn by(&mut self, change: i64) {
        self.delta = self.delta.wrapping_add(change);
        self.last = self.last.wrapping_add(self.delta);
    }
}

/// The newest counts, in one of the two forms. Buckets are those of the positive side and then those
/// of the negative.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    Integer {
        count: Change,
        zero: Change,
        buckets: Vec<Change>,
    },
    Float {
        count: Xor,
        zero: Xor,
        buckets: Vec<Xor>,
    },
}

/// The newest sample.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct State {
    pub(super) layout: Layout,
    /// Buckets of the positive side.
    split: usize,
    time: Change,
    sum: Xor,
    values: Values,
}

impl State {
    pub(super) fn is_float(&self) -> bool {
        matches!(self.values, Values::Float { .. })
    }

    pub(super) fn t_ms(&self) -> i64 {
        self.time.last
    }

    pub(super) fn is_stale(&self) -> bool {
        write::is_stale(f64::from_bits(self.sum.bits))
    }

    /// Memory beyond the struct itself, in bytes.
    pub(super) fn heap_bytes(&self) -> usize {
        self.layout.heap_bytes()
            + match &self.values {
                Values::Integer { buckets, .. } => buckets.capacity() * size_of::<Change>(),
                Values::Float { buckets, .. } => buckets.capacity() * size_of::<Xor>(),
            }
    }

    /// True if `h`, of the same layout and form, counts less anywhere.
    pub(super) fn fell(&self, h: &NativeHistogram) -> bool {
        match (&self.values, &h.counts) {
            (
                Values::Integer {
                    count,
                    zero,
                    buckets,
                },
                Counts::Integer {
                    count: new_count,
                    zero: new_zero,
                    positive,
                    negative,
                },
            ) => {
                let (old_positive, old_negative) = buckets.split_at(self.split);
                *new_count < count.last as u64
                    || *new_zero < zero.last as u64
                    || any_fell(old_positive, positive)
                    || any_fell(old_negative, negative)
            }
            (
                Values::Float {
                    count,
                    zero,
                    buckets,
                },
                Counts::Float {
                    count: new_count,
                    zero: new_zero,
                    positive,
                    negative,
                },
            ) => {
                *new_count < f64::from_bits(count.bits)
                    || *new_zero < f64::from_bits(zero.bits)
                    || (positive.iter().chain(negative))
                        .zip(buckets)
                        .any(|(new, old)| *new < f64::from_bits(old.bits))
            }
            _ => false,
        }
    }

    /// True if the count of `h` is less, whatever its layout.
    pub(super) fn count_fell(&self, h: &NativeHistogram) -> bool {
        match (&self.values, &h.counts) {
            (Values::Integer { count, .. }, Counts::Integer { count: new, .. }) => {
                *new < count.last as u64
            }
            (Values::Float { count, .. }, Counts::Float { count: new, .. }) => {
                *new < f64::from_bits(count.bits)
            }
            _ => false,
        }
    }

    /// Writes the first sample of a chunk, with its layout.
    pub(super) fn write_first(h: &NativeHistogram, out: &mut Writer) -> Self {
        let layout = Layout::of(h);
        let (split, buckets) = layout.buckets();
        layout.write(out);
        out.int(h.timestamp_ms);
        let sum = Xor::new(h.sum.to_bits());
        let stale = h.is_stale();
        let values = match &h.counts {
            Counts::Integer {
                count,
                zero,
                positive,
                negative,
            } => {
                let (count, zero) = if stale { (0, 0) } else { (*count, *zero) };
                out.uint(count);
                out.uint(zero);
                out.bits(sum.bits, 64);
                let change = |last: i64| Change { last, delta: 0 };
                let sent = positive.iter().chain(negative).take(buckets);
                let sent: Vec<_> = sent.map(|b| change(*b)).collect();
                for bucket in &sent {
                    out.int(bucket.last);
                }
                Values::Integer {
                    count: change(count as i64),
                    zero: change(zero as i64),
                    buckets: sent,
                }
            }
            Counts::Float {
                count,
                zero,
                positive,
                negative,
            } => {
                let (count, zero) = if stale { (0.0, 0.0) } else { (*count, *zero) };
                for value in [count, zero, h.sum] {
                    out.bits(value.to_bits(), 64);
                }
                let sent = positive.iter().chain(negative).take(buckets);
                let sent: Vec<_> = sent.map(|b| Xor::new(b.to_bits())).collect();
                for bucket in &sent {
                    out.bits(bucket.bits, 64);
                }
                Values::Float {
                    count: Xor::new(count.to_bits()),
                    zero: Xor::new(zero.to_bits()),
                    buckets: sent,
                }
            }
        };
        Self {
            layout,
            split,
            time: Change {
                last: h.timestamp_ms,
                delta: 0,
            },
            sum,
            values,
        }
    }

    /// Writes a later sample: of this layout and form, or a stale marker, which has no buckets and
    /// leaves those of before as they are.
    pub(super) fn write_next(&mut self, h: &NativeHistogram, out: &mut Writer) {
        out.int(self.time.to(h.timestamp_ms));
        match (&mut self.values, &h.counts) {
            (Values::Integer { .. }, _) if h.is_stale() => {
                out.int(0);
                out.int(0);
                out.xor(&mut self.sum, h.sum.to_bits());
            }
            (Values::Float { count, zero, .. }, _) if h.is_stale() => {
                out.xor(count, 0);
                out.xor(zero, 0);
                out.xor(&mut self.sum, h.sum.to_bits());
            }
            (
                Values::Integer {
                    count,
                    zero,
                    buckets,
                },
                Counts::Integer {
                    count: new_count,
                    zero: new_zero,
                    positive,
                    negative,
                },
            ) => {
                out.int(count.to(*new_count as i64));
                out.int(zero.to(*new_zero as i64));
                out.xor(&mut self.sum, h.sum.to_bits());
                for (bucket, new) in buckets.iter_mut().zip(positive.iter().chain(negative)) {
                    out.int(bucket.to(*new));
                }
            }
            (
                Values::Float {
                    count,
                    zero,
                    buckets,
                },
                Counts::Float {
                    count: new_count,
                    zero: new_zero,
                    positive,
                    negative,
                },
            ) => {
                out.xor(count, new_count.to_bits());
                out.xor(zero, new_zero.to_bits());
                out.xor(&mut self.sum, h.sum.to_bits());
                for (bucket, new) in buckets.iter_mut().zip(positive.iter().chain(negative)) {
                    out.xor(bucket, new.to_bits());
                }
            }
            _ => {
                unreachable!("BUG: a histogram of the other form was not found to need a new chunk")
            }
        }
    }

    /// Reads the first sample of a chunk, with its layout.
    pub(super) fn read_first(from: &mut Reader<'_>, float: bool) -> Result<Self, Wrong> {
        let layout = Layout::read(from)?;
        let (split, buckets) = layout.buckets();
        let time = Change {
            last: from.int()?,
            delta: 0,
        };
        let (sum, values);
        if float {
            let mut next = || from.bits(64).map(Xor::new);
            let (count, zero) = (next()?, next()?);
            sum = next()?;
            values = Values::Float {
                count,
                zero,
                buckets: (0..buckets).map(|_| next()).collect::<Result<_, _>>()?,
            };
        } else {
            let change = |last: i64| Change { last, delta: 0 };
            let (count, zero) = (from.uint()? as i64, from.uint()? as i64);
            sum = Xor::new(from.bits(64)?);
            let buckets = (0..buckets).map(|_| from.int().map(change));
            values = Values::Integer {
                count: change(count),
                zero: change(zero),
                buckets: buckets.collect::<Result<_, _>>()?,
            };
        }
        Ok(Self {
            layout,
            split,
            time,
            sum,
            values,
        })
    }

    pub(super) fn read_next(&mut self, from: &mut Reader<'_>) -> Result<(), Wrong> {
        self.time.by(from.int()?);
        match &mut self.values {
            Values::Integer {
                count,
                zero,
                buckets,
            } => {
                let (count_change, zero_change) = (from.int()?, from.int()?);
                from.xor(&mut self.sum)?;
                if write::is_stale(f64::from_bits(self.sum.bits)) {
                    return Ok(());
                }
                count.by(count_change);
                zero.by(zero_change);
                for bucket in buckets {
                    bucket.by(from.int()?);
                }
            }
            Values::Float {
                count,
                zero,
                buckets,
            } => {
                from.xor(count)?;
                from.xor(zero)?;
                from.xor(&mut self.sum)?;
                if write::is_stale(f64::from_bits(self.sum.bits)) {
                    return Ok(());
                }
                for bucket in buckets {
                    from.xor(bucket)?;
                }
            }
        }
        Ok(())
    }

    /// Puts the newest sample into `out`. A stale marker comes out as Prometheus gives it: nothing
    /// but its time and its sum.
    pub(super) fn put(&self, reset_hint: ResetHint, out: &mut NativeHistogram) {
        out.positive_spans.clear();
        out.negative_spans.clear();
        out.custom_values.clear();
        out.timestamp_ms = self.time.last;
        out.start_ms = 0;
        out.sum = f64::from_bits(self.sum.bits);
        let stale = self.is_stale();
        if stale {
            out.schema = 0;
            out.zero_threshold = 0.0;
            out.reset_hint = ResetHint::Unknown;
        } else {
            let layout = &self.layout;
            out.schema = layout.schema;
            out.zero_threshold = layout.zero_threshold;
            out.reset_hint = reset_hint;
            out.positive_spans.extend_from_slice(&layout.positive);
            out.negative_spans.extend_from_slice(&layout.negative);
            out.custom_values.extend_from_slice(&layout.custom);
        }
        match &self.values {
            Values::Integer {
                count,
                zero,
                buckets,
            } => {
                let buckets = if stale { &[][..] } else { buckets };
                let (p, n) = buckets.split_at(self.split.min(buckets.len()));
                let (out_count, out_zero, positive, negative) = out.counts.as_integer();
                *out_count = if stale { 0 } else { count.last as u64 };
                *out_zero = if stale { 0 } else { zero.last as u64 };
                positive.extend(p.iter().map(|b| b.last));
                negative.extend(n.iter().map(|b| b.last));
            }
            Values::Float {
                count,
                zero,
                buckets,
            } => {
                let buckets = if stale { &[][..] } else { buckets };
                let (p, n) = buckets.split_at(self.split.min(buckets.len()));
                let (out_count, out_zero, positive, negative) = out.counts.as_float();
                *out_count = if stale {
                    0.0
                } else {
                    f64::from_bits(count.bits)
                };
                *out_zero = if stale {
                    0.0
                } else {
                    f64::from_bits(zero.bits)
                };
                positive.extend(p.iter().map(|b| f64::from_bits(b.bits)));
                negative.extend(n.iter().map(|b| f64::from_bits(b.bits)));
            }
        }
    }
}

/// True if any bucket's count is less; both are written as differences to the bucket before.
fn any_fell(old: &[Change], new: &[i64]) -> bool {
    let (mut old_count, mut new_count) = (0i64, 0i64);
    old.iter().zip(new).any(|(old, new)| {
        old_count = old_count.wrapping_add(old.last);
        new_count = new_count.wrapping_add(*new);
        new_count < old_count
    })
}

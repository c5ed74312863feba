//! A finished chunk as decimal numbers, where that is exact and smaller than XOR.
//!
//! What is measured was mostly printed as a decimal: counts, bytes, percentages, prices, seconds with
//! a few digits. Such a value is `m / 10^e` with whole `m` below 2^53, and then (both `m` and `10^e`
//! for `e` up to 22 being exact as f64) dividing gives back the very float, because IEEE 754 division
//! is correctly rounded (Clinger, "How to Read Floating Point Numbers Accurately", PLDI 1990,
//! section 3). The `m` of a chunk are written as whole numbers (`ints.rs`), and so are the
//! timestamps.
//!
//! What always holds: [`decode`] gives back every sample of the XOR chunk, bit for bit; values
//! that are no such decimal (NaN, infinity, -0.0, stale markers, results of divisions) are kept
//! beside as they are, and if there are many there is no decimal form; bytes from outside never
//! panic and never give more samples than a chunk may have.

pub(super) mod bits;
pub(super) mod ints;

use self::bits::{BitReader, BitWriter};
use self::ints::Scratch;
use super::chunk::{self, ChunkAppender, ChunkError};

/// Version of the format, in the first four bits.
const VERSION: u64 = 1;
const VERSION_BITS: u32 = 4;
const COUNT_BITS: u32 = 16;
const EXPONENT_BITS: u32 = 5;

/// `10^22` is the largest power of ten that is exact as f64.
pub(super) const EXPONENT_MAX: usize = 22;
pub(super) const POWERS: [f64; EXPONENT_MAX + 1] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16,
    1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
];

/// Whole numbers below it are exact as f64.
const WHOLE_MAX: f64 = 9_007_199_254_740_992.0;

/// One value in so many may be an exception before a chunk is given up: at 8 bytes each, more make
/// it no smaller.
const EXCEPTION_SHARE: usize = 4;

/// An exponent that is needed by no more than one value in so many is tried without: one odd value
/// with many digits makes all the others long.
const ODD_SHARE: usize = 16;

/// Why bytes are not a decimal chunk.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    #[error("decimal chunk has version {found}, this saimon reads {VERSION}")]
    Version { found: u8 },
    #[error("decimal chunk is cut short or damaged")]
    Malformed,
}

/// Turns chunks into decimal form; keeps its memory from one to the next.
#[derive(Debug, Default)]
pub struct Encoder {
    times: Vec<i64>,
    values: Vec<f64>,
    /// Exponents that the values need; [`NONE`] for exceptions.
    exponents: Vec<u8>,
    whole: Vec<i64>,
    scratch: Scratch,
}

const NONE: u8 = u8::MAX;

impl Encoder {
    pub fn new() -> Self {
        Self::default()
    }

    /// The decimal form of an XOR chunk; `None` if it would not be smaller.
    ///
    /// # Errors
    /// If `xor` is no XOR chunk.
    pub fn encode(&mut self, xor: &[u8]) -> Result<Option<Vec<u8>>, ChunkError> {
        self.times.clear();
        self.values.clear();
        for sample in chunk::Reader::new(xor)? {
            let (t_ms, value) = sample?;
            self.times.push(t_ms);
            self.values.push(value);
        }
        Ok(self.smallest().filter(|bytes| bytes.len() < xor.len()))
    }

    fn smallest(&mut self) -> Option<Vec<u8>> {
        let [all, most] = self.look()?;
        let first = self.write(all);
        if most == all {
            return Some(first);
        }
        let second = self.write(most);
        Some(if second.len() < first.len() {
            second
        } else {
            first
        })
    }

    /// Finds the exponent that every value needs; gives the largest, and the one that is enough for
    /// all but a few values. `None` if too many values are no decimals.
    fn look(&mut self) -> Option<[usize; 2]> {
        self.exponents.clear();
        let mut left = self.values.len() / EXCEPTION_SHARE + 1;
        let mut needed = [0usize; EXPONENT_MAX + 1];
        let mut hint = 0;
        let mut odd = None;
        for value in &self.values {
            let exponent = exponent(*value, hint);
            let same = odd == Some(value.to_bits());
            match exponent {
                Some(e) => {
                    needed[e] += 1;
                    hint = hint.max(e);
                }
                // One that is like the one before costs next to nothing.
                None if same => {}
                None => {
                    left = left.checked_sub(1)?;
                    odd = Some(value.to_bits());
                }
            }
            self.exponents.push(exponent.map_or(NONE, |e| e as u8));
        }
        let all = needed.iter().rposition(|n| *n > 0).unwrap_or(0);
        let mut few = self.values.len() / ODD_SHARE;
        let most = (0..=all).rev().find(|e| {
            let rest = few.checked_sub(needed[*e]);
            few = rest.unwrap_or(0);
            rest.is_none()
        });
        Some([all, most.unwrap_or(all)])
    }

    fn write(&mut self, exponent: usize) -> Vec<u8> {
        let mut out = BitWriter::default();
        out.write(VERSION, VERSION_BITS);
        out.write(self.times.len() as u64, COUNT_BITS);
        ints::write_times(&self.times, &mut out, &mut self.scratch);

        out.write(exponent as u64, EXPONENT_BITS);
        self.whole.clear();
        let mut exceptions = Vec::new();
        for (i, (value, needed)) in self.values.iter().zip(&self.exponents).enumerate() {
            match whole(*value, exponent) {
                Some(m) if usize::from(*needed) <= exponent => self.whole.push(m),
                _ => add_exception(&mut exceptions, i, value.to_bits()),
            }
        }
        write_exceptions(&exceptions, &mut out);
        let (step, rest) = common_step(&self.whole);
        out.write(u64::from(step > 1), 1);
        if step > 1 {
            out.write_grouped(step as u64, 7);
            out.write_grouped(rest as u64, 7);
            for m in &mut self.whole {
                *m = (*m - rest) / step;
            }
        }
        ints::write(&self.whole, &mut out, &mut self.scratch);
        out.finish()
    }
}

/// The decimal form of an XOR chunk; `None` if it would not be smaller.
///
/// # Errors
/// If `xor` is no XOR chunk.
pub fn encode(xor: &[u8]) -> Result<Option<Vec<u8>>, ChunkError> {
    Encoder::new().encode(xor)
}

/// All samples of a decimal chunk: (milliseconds, value).
///
/// # Errors
/// If `bytes` are not exactly one decimal chunk.
pub fn decode(bytes: &[u8]) -> Result<Vec<(i64, f64)>, DecimalError> {
    let mut bits = BitReader::new(bytes);
    let found = bits.read(VERSION_BITS).ok_or(DecimalError::Malformed)?;
    if found != VERSION {
        return Err(DecimalError::Version { found: found as u8 });
    }
    read(&mut bits)
        .filter(|_| bits.at_end())
        .ok_or(DecimalError::Malformed)
}

/// The XOR chunk that a decimal chunk was made from.
///
/// # Errors
/// If `bytes` are not exactly one decimal chunk.
pub fn to_xor(bytes: &[u8]) -> Result<Vec<u8>, DecimalError> {
    let mut chunk = ChunkAppender::new();
    for (t_ms, value) in decode(bytes)? {
        chunk.append(t_ms, value);
    }
    Ok(chunk.finish())
}

fn read(bits: &mut BitReader<'_>) -> Option<Vec<(i64, f64)>> {
    let count = bits.read(COUNT_BITS)? as usize;
    let mut times = Vec::with_capacity(count);
    ints::read(bits, count, &mut times)?;
    let power = *POWERS.get(bits.read(EXPONENT_BITS)? as usize)?;
    let exceptions = read_exceptions(bits, count)?;
    let odd: usize = exceptions.iter().map(|e| e.len).sum();
    let (step, rest) = match bits.read(1)? {
        0 => (1, 0),
        _ => (bits.read_grouped(7)? as i64, bits.read_grouped(7)? as i64),
    };
    let mut whole = Vec::with_capacity(count - odd);
    ints::read(bits, count - odd, &mut whole)?;

    let mut exceptions = exceptions.iter().peekable();
    let mut whole = whole.into_iter();
    let mut samples = Vec::with_capacity(count);
    for (i, t_ms) in times.into_iter().enumerate() {
        exceptions.next_if(|e| e.at + e.len <= i);
        let value = match exceptions.peek() {
            Some(e) if e.at <= i => f64::from_bits(e.bits),
            _ => whole.next()?.wrapping_mul(step).wrapping_add(rest) as f64 / power,
        };
        samples.push((t_ms, value));
    }
    Some(samples)
}

/// `len` samples from `at` on that have these bits.
#[derive(Debug, Clone, Copy)]
struct Exception {
    at: usize,
    len: usize,
    bits: u64,
}

fn add_exception(exceptions: &mut Vec<Exception>, at: usize, bits: u64) {
    match exceptions.last_mut() {
        Some(last) if last.at + last.len == at && last.bits == bits => last.len += 1,
        _ => exceptions.push(Exception { at, len: 1, bits }),
    }
}

fn write_exceptions(exceptions: &[Exception], out: &mut BitWriter) {
    out.write_grouped(exceptions.len() as u64, 4);
    let mut last: Option<Exception> = None;
    for e in exceptions {
        let from = last.map_or(0, |last| last.at + last.len);
        out.write_grouped((e.at - from) as u64, 4);
        out.write_grouped((e.len - 1) as u64, 4);
        let same = last.is_some_and(|last| last.bits == e.bits);
        out.write(u64::from(same), 1);
        if !same {
            out.write(e.bits, 64);
        }
        last = Some(*e);
    }
}

/// In order and apart, all of them below `count`.
fn read_exceptions(bits: &mut BitReader<'_>, count: usize) -> Option<Vec<Exception>> {
    let runs = usize::try_from(bits.read_grouped(4)?).ok()?;
    if runs > count {
        return None;
    }
    let mut found: Vec<Exception> = Vec::with_capacity(runs);
    for _ in 0..runs {
        let last = found.last().copied();
        let from = last.map_or(0, |last| last.at + last.len);
        let gap = usize::try_from(bits.read_grouped(4)?).ok()?;
        let len = usize::try_from(bits.read_grouped(4)?)
            .ok()?
            .checked_add(1)?;
        let at = from.checked_add(gap)?;
        if at.checked_add(len)? > count {
            return None;
        }
        let same = bits.read(1)? == 1;
        let bits = match last {
            Some(last) if same => last.bits,
            _ => bits.read(64)?,
        };
        found.push(Exception { at, len, bits });
    }
    Some(found)
}

/// The whole `m` with `m / 10^exponent == value`, to the bit.
#[inline]
pub(super) fn whole(value: f64, exponent: usize) -> Option<i64> {
    let m = (value * POWERS[exponent]).round();
    // False for NaN, too.
    let exact = m.abs() < WHOLE_MAX && {
        // -0.0 becomes 0 and is then no longer the same.
        let m = m as i64;
        (m as f64 / POWERS[exponent]).to_bits() == value.to_bits()
    };
    exact.then_some(m as i64)
}

/// The smallest exponent that makes a value whole; `hint` is one that likely does.
pub(super) fn exponent(value: f64, hint: usize) -> Option<usize> {
    if let Some(mut m) = whole(value, hint) {
        // Digits behind the point that are zero are not needed.
        let mut e = hint;
        while e > 0 && m % 10 == 0 {
            m /= 10;
            e -= 1;
        }
        return Some(e);
    }
    if !value.is_finite() {
        return None;
    }
    (0..=EXPONENT_MAX)
        .take_while(|e| *e <= hint || value.abs() * POWERS[*e] < WHOLE_MAX)
        .find(|e| whole(value, *e).is_some())
}

/// The largest number that all distances are multiples of, and what every number leaves when
/// divided by it. Memory comes in pages, time in ticks.
pub(super) fn common_step(whole: &[i64]) -> (i64, i64) {
    let Some((first, others)) = whole.split_first() else {
        return (1, 0);
    };
    let mut step = 0u64;
    for m in others {
        step = gcd(step, (m - first).unsigned_abs());
        if step == 1 {
            break;
        }
    }
    let step = step.max(1) as i64;
    (step, first.rem_euclid(step))
}

fn gcd(mut a: u64, mut b: u64) -> u64 {
    while b != 0 {
        (a, b) = (b, a % b);
    }
    a
}

#[cfg(test)]
mod tests;

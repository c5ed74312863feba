//! Many rows of one series in few bytes.
//!
//! Column by column, each as a run of whole numbers: times as slots; least, greatest and last as
//! `m / 10^e` if all of them are exactly that, else as the bits of the floats in the order of
//! floats; greatest and last relative to least and greatest, because that is where they are.
//!
//! What always holds: rows come back as they were; bytes from outside never panic and never give
//! more than [`ROWS_MAX`] rows.

use super::{LEVEL_MAX, Row, STEP_MS};
use crate::window::decimal::bits::{BitReader, BitWriter};
use crate::window::decimal::ints::{self, Scratch};
use crate::window::decimal::{EXPONENT_MAX, POWERS, common_step, exponent, whole};

/// Version of the format, in the first four bits.
const VERSION: u64 = 1;
const VERSION_BITS: u32 = 4;
const COUNT_BITS: u32 = 16;
const EXPONENT_BITS: u32 = 5;

/// Written instead of an exponent if the values are kept as bits.
const AS_BITS: u64 = 31;

/// Rows that a block can hold: 227 days.
pub const ROWS_MAX: usize = u16::MAX as usize;

/// Why bytes are not a block of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RollupError {
    #[error("rollups have version {found}, this saimon reads {VERSION}")]
    Version { found: u8 },
    #[error("rollups are cut short or damaged")]
    Malformed,
}

/// A block of `rows`; of those behind [`ROWS_MAX`] nothing is written.
pub fn encode(rows: &[Row]) -> Vec<u8> {
    let rows = &rows[..rows.len().min(ROWS_MAX)];
    let mut scratch = Scratch::default();
    let mut out = BitWriter::default();
    out.write(VERSION, VERSION_BITS);
    out.write(rows.len() as u64, COUNT_BITS);
    let mut column = |out: &mut BitWriter, values: &mut dyn Iterator<Item = i64>| {
        let values: Vec<i64> = values.collect();
        ints::write(&values, out, &mut scratch);
    };
    column(&mut out, &mut rows.iter().map(|r| r.slot));
    column(&mut out, &mut rows.iter().map(|r| i64::from(r.count)));

    let exponent = common_exponent(rows);
    out.write(exponent.map_or(AS_BITS, |e| e as u64), EXPONENT_BITS);
    let number = |value: f64| match exponent {
        Some(e) => whole(value, e).unwrap_or_default(),
        None => ordered(value),
    };
    let mut numbers: Vec<i64> = rows
        .iter()
        .flat_map(|r| [r.min, r.max, r.last].map(number))
        .collect();
    let (step, rest) = match exponent {
        Some(_) => common_step(&numbers),
        None => (1, 0),
    };
    out.write(u64::from(step > 1), 1);
    if step > 1 {
        out.write_grouped(step as u64, 7);
        out.write_grouped(rest as u64, 7);
        for n in &mut numbers {
            *n = (*n - rest) / step;
        }
    }
    let triples = || numbers.as_chunks::<3>().0.iter();
    // A counter goes on where it was: its least is the last one of the row before, and a bit.
    let mut after_last = BitWriter::default();
    let mut by_itself = BitWriter::default();
    let mut last = 0i64;
    column(
        &mut after_last,
        &mut triples().map(|n| n[0].wrapping_sub(std::mem::replace(&mut last, n[2]))),
    );
    column(&mut by_itself, &mut triples().map(|n| n[0]));
    let chained = after_last.bits() < by_itself.bits();
    out.write(u64::from(chained), 1);
    out.extend(if chained { after_last } else { by_itself });
    column(&mut out, &mut triples().map(|n| n[1].wrapping_sub(n[0])));
    column(&mut out, &mut triples().map(|n| n[1].wrapping_sub(n[2])));
    column(
        &mut out,
        &mut rows
            .iter()
            .filter(|r| r.min.to_bits() != r.max.to_bits())
            .map(|r| i64::from(r.level)),
    );
    out.finish()
}

/// All rows of a block.
///
/// # Errors
/// If `bytes` are not exactly one block.
pub fn decode(bytes: &[u8]) -> Result<Vec<Row>, RollupError> {
    let mut bits = begin(bytes)?;
    rows(&mut bits)
        .filter(|_| bits.at_end())
        .ok_or(RollupError::Malformed)
}

/// The rows of a block that have any of `[from_ms, to_ms]`.
///
/// # Errors
/// If `bytes` are not exactly one block.
pub fn between(bytes: &[u8], from_ms: i64, to_ms: i64) -> Result<Vec<Row>, RollupError> {
    let wanted = from_ms.div_euclid(STEP_MS)..=to_ms.div_euclid(STEP_MS);
    let mut rows = decode(bytes)?;
    rows.retain(|row| from_ms <= to_ms && wanted.contains(&row.slot));
    Ok(rows)
}

/// Beginnings of the first and the last row of a block, from its head alone; `None` if it has none.
///
/// # Errors
/// If `bytes` are not the beginning of a block.
pub fn span(bytes: &[u8]) -> Result<Option<(i64, i64)>, RollupError> {
    let mut bits = begin(bytes)?;
    let slots = slots(&mut bits).ok_or(RollupError::Malformed)?;
    let start_ms = |slot: &i64| slot.saturating_mul(STEP_MS);
    Ok(slots.first().map(start_ms).zip(slots.last().map(start_ms)))
}

fn begin(bytes: &[u8]) -> Result<BitReader<'_>, RollupError> {
    let mut bits = BitReader::new(bytes);
    match bits.read(VERSION_BITS).ok_or(RollupError::Malformed)? {
        VERSION => Ok(bits),
        found => Err(RollupError::Version { found: found as u8 }),
    }
}

fn slots(bits: &mut BitReader<'_>) -> Option<Vec<i64>> {
    let count = bits.read(COUNT_BITS)? as usize;
    let mut slots = Vec::new();
    ints::read(bits, count, &mut slots)?;
    Some(slots)
}

fn rows(bits: &mut BitReader<'_>) -> Option<Vec<Row>> {
    let slots = slots(bits)?;
    let column = |bits: &mut BitReader<'_>, count: usize| {
        let mut values = Vec::new();
        ints::read(bits, count, &mut values).map(|()| values)
    };
    let n = slots.len();
    let counts = column(bits, n)?;
    let exponent = match bits.read(EXPONENT_BITS)? {
        AS_BITS => None,
        e => Some(*POWERS.get(e as usize)?),
    };
    let (step, rest) = match bits.read(1)? {
        0 => (1, 0),
        _ => (bits.read_grouped(7)? as i64, bits.read_grouped(7)? as i64),
    };
    let chained = bits.read(1)? == 1;
    let (least, above, below) = (column(bits, n)?, column(bits, n)?, column(bits, n)?);
    let value = |number: i64| {
        let number = number.wrapping_mul(step).wrapping_add(rest);
        match exponent {
            Some(power) => number as f64 / power,
            None => unordered(number),
        }
    };
    let mut before = 0i64;
    let mut rows = Vec::with_capacity(n);
    for (i, slot) in slots.into_iter().enumerate() {
        let min = if chained {
            before.wrapping_add(least[i])
        } else {
            least[i]
        };
        let max = min.wrapping_add(above[i]);
        before = max.wrapping_sub(below[i]);
        rows.push(Row {
            slot,
            count: u32::try_from(counts[i]).ok().filter(|n| *n > 0)?,
            min: value(min),
            max: value(max),
            last: value(before),
            level: 0,
        });
    }
    let sane =
        |r: &Row| r.min.is_finite() && r.max.is_finite() && (r.min..=r.max).contains(&r.last);
    if !rows.iter().all(sane) {
        return None;
    }
    let wide = |r: &&mut Row| r.min.to_bits() != r.max.to_bits();
    let levels = column(bits, rows.iter_mut().filter(wide).count())?;
    for (row, level) in rows.iter_mut().filter(wide).zip(levels) {
        row.level = u16::try_from(level).ok().filter(|l| *l <= LEVEL_MAX)?;
    }
    Some(rows)
}

/// The exponent with which all values are whole; `None` if there is none.
fn common_exponent(rows: &[Row]) -> Option<usize> {
    let mut needed = 0;
    let values = || rows.iter().flat_map(|r| [r.min, r.max, r.last]);
    for value in values() {
        needed = needed.max(exponent(value, needed)?);
    }
    debug_assert!(needed <= EXPONENT_MAX);
    values()
        .all(|value| whole(value, needed).is_some())
        .then_some(needed)
}

/// A float's bits as a number that is larger for a larger float.
fn ordered(value: f64) -> i64 {
    let bits = value.to_bits() as i64;
    bits ^ ((bits >> 63) as u64 >> 1) as i64
}

fn unordered(number: i64) -> f64 {
    f64::from_bits((number ^ ((number >> 63) as u64 >> 1) as i64) as u64)
}

//! A row as bytes: flags, time, labels, then what the flags say. Little-endian.
//!
//! Rows go to disk as they are (in the segments of `output::queue`, whose version counts for them).

/// Flags: what follows the labels.
const SCORE: u8 = 1;
const EXTRA: u8 = 2;
const BOUNDS: u8 = 4;

/// A judged sample, or the end of a series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Row<'a> {
    /// Canonical label bytes of the series that was judged.
    pub labels: &'a [u8],
    /// Milliseconds since the Unix epoch.
    pub t_ms: i64,
    /// In [0, 1); `None`: the series ended.
    pub score: Option<f32>,
    pub extra: Option<Extra>,
    /// Lower and upper bound of the band; possibly infinite.
    pub bounds: Option<(f64, f64)>,
}

/// What is known with the score.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Extra {
    /// In the unit of the scored value.
    pub expected: f64,
    /// In units of the line.
    pub deviation: f64,
    /// -log10 of how often.
    pub rarity: f64,
}

/// Bytes that are no rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the rows end in the middle of one")]
pub struct RowError;

pub(super) fn put(out: &mut Vec<u8>, row: &Row<'_>) {
    let flag = |is: bool, flag: u8| if is { flag } else { 0 };
    out.push(
        flag(row.score.is_some(), SCORE)
            | flag(row.extra.is_some(), EXTRA)
            | flag(row.bounds.is_some(), BOUNDS),
    );
    out.extend_from_slice(&row.t_ms.to_le_bytes());
    // Labels have the bounds of a request, 1 GiB.
    out.extend_from_slice(&(row.labels.len() as u32).to_le_bytes());
    out.extend_from_slice(row.labels);
    if let Some(score) = row.score {
        out.extend_from_slice(&score.to_le_bytes());
    }
    let extra = row.extra.map(|e| [e.expected, e.deviation, e.rarity]);
    let bounds = row.bounds.map(|(lower, upper)| [lower, upper]);
    for number in extra.iter().flatten().chain(bounds.iter().flatten()) {
        out.extend_from_slice(&number.to_le_bytes());
    }
}

/// The rows in these bytes.
pub fn rows(bytes: &[u8]) -> impl Iterator<Item = Result<Row<'_>, RowError>> {
    raw_rows(bytes).map(|row| row.map(|(row, _)| row))
}

/// The rows in these bytes, each with its own bytes.
pub fn raw_rows(bytes: &[u8]) -> impl Iterator<Item = Result<(Row<'_>, &[u8]), RowError>> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let before = rest;
        let row = row(&mut rest).ok_or(RowError);
        if row.is_err() {
            rest = &[];
        }
        Some(row.map(|row| (row, &before[..before.len() - rest.len()])))
    })
}

fn row<'a>(rest: &mut &'a [u8]) -> Option<Row<'a>> {
    let [flags] = take(rest)?;
    let t_ms = i64::from_le_bytes(take(rest)?);
    let len = u32::from_le_bytes(take(rest)?) as usize;
    let (labels, after) = rest.split_at_checked(len)?;
    *rest = after;
    let has = |flag: u8| flags & flag != 0;
    let number = |rest: &mut &[u8]| Some(f64::from_le_bytes(take(rest)?));
    Some(Row {
        labels,
        t_ms,
        score: match has(SCORE) {
            true => Some(f32::from_le_bytes(take(rest)?)),
            false => None,
        },
        extra: match has(EXTRA) {
            true => Some(Extra {
                expected: number(rest)?,
                deviation: number(rest)?,
                rarity: number(rest)?,
            }),
            false => None,
        },
        bounds: match has(BOUNDS) {
            true => Some((number(rest)?, number(rest)?)),
            false => None,
        },
    })
}

fn take<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    let (taken, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(*taken)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_come_back_and_a_cut_is_an_error_and_no_panic() {
        let score = Row {
            labels: b"labels",
            t_ms: -5,
            score: Some(0.25),
            extra: Some(Extra {
                expected: 1.5,
                deviation: 2.5,
                rarity: 3.5,
            }),
            bounds: Some((f64::NEG_INFINITY, 4.5)),
        };
        let end = Row {
            labels: b"",
            t_ms: i64::MAX,
            score: None,
            extra: None,
            bounds: None,
        };
        let plain = Row {
            extra: None,
            bounds: None,
            ..score
        };
        let mut bytes = Vec::new();
        let all = [score, end, plain];
        for row in &all {
            put(&mut bytes, row);
        }
        let read: Vec<_> = rows(&bytes).map(Result::unwrap).collect();
        assert_eq!(read, all);
        for cut in 1..bytes.len() {
            let read: Vec<_> = rows(&bytes[..cut]).collect();
            let whole = read.iter().filter(|r| r.is_ok()).count();
            assert!(whole < 3, "{cut}");
        }
    }
}

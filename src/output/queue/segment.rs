//! A file of the queue as bytes: a header, then records. Little-endian.

use std::fs::{self, File};
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use super::{QueueError, Segment};
use crate::engine::keep::PARTITIONS;
use crate::engine::tap::Rows;

const MAGIC: &[u8; 8] = b"saimonsq";
/// Of the header, the records, and the rows in them (`engine::tap::row`).
const VERSION: u16 = 1;
const ENDING: &str = ".scores";
/// Magic, version, number, first row, records that each partition has, checksum.
pub(super) const HEADER: usize = 8 + 2 + 8 + 8 + 8 * PARTITIONS + 4;
/// Length, checksum, shard, shards, record of the log, rows, length before compression.
pub(super) const RECORD: usize = 4 + 4 + 2 + 2 + 8 + 4 + 4;
/// Bytes of rows in one record at most: what a shard hands over is far smaller.
const ROWS_MAX: usize = 256 << 20;

/// What a folder holds.
pub(super) struct Found {
    pub(super) segments: Vec<Segment>,
    pub(super) end_row: u64,
    pub(super) next_number: u64,
    pub(super) have: Box<[u64; PARTITIONS]>,
}

pub(super) fn name(number: u64) -> String {
    format!("{number:016}{ENDING}")
}

pub(super) fn header(number: u64, first_row: u64, have: &[u64; PARTITIONS]) -> Vec<u8> {
    let mut out = Vec::with_capacity(HEADER);
    out.extend_from_slice(MAGIC);
    out.extend_from_slice(&VERSION.to_le_bytes());
    out.extend_from_slice(&number.to_le_bytes());
    out.extend_from_slice(&first_row.to_le_bytes());
    for seq in have {
        out.extend_from_slice(&seq.to_le_bytes());
    }
    out.extend_from_slice(&crc32c::crc32c(&out).to_le_bytes());
    out
}

/// Makes `out` one record of these rows.
pub(super) fn seal(rows: &Rows, level: i32, out: &mut Vec<u8>) -> std::io::Result<()> {
    out.clear();
    out.resize(RECORD, 0);
    let packed = zstd::bulk::compress(&rows.bytes, level)?;
    out.extend_from_slice(&packed);
    out[0..4].copy_from_slice(&(packed.len() as u32).to_le_bytes());
    out[8..10].copy_from_slice(&rows.shard.to_le_bytes());
    out[10..12].copy_from_slice(&rows.shards.to_le_bytes());
    out[12..20].copy_from_slice(&rows.seq.to_le_bytes());
    out[20..24].copy_from_slice(&(rows.count as u32).to_le_bytes());
    out[24..28].copy_from_slice(&(rows.bytes.len() as u32).to_le_bytes());
    let sum = checksum(&out[..RECORD], &packed);
    out[4..8].copy_from_slice(&sum.to_le_bytes());
    Ok(())
}

/// The head of a record.
#[derive(Debug, Clone, Copy)]
pub(super) struct Head {
    pub(super) len: usize,
    sum: u32,
    shard: u16,
    shards: u16,
    seq: u64,
    pub(super) rows: u64,
    raw: usize,
}

impl Head {
    pub(super) fn parse(bytes: &[u8; RECORD]) -> Self {
        let part = |at: usize| {
            let four = [bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]];
            u32::from_le_bytes(four)
        };
        let short = |at: usize| u16::from_le_bytes([bytes[at], bytes[at + 1]]);
        Self {
            len: part(0) as usize,
            sum: part(4),
            shard: short(8),
            shards: short(10),
            seq: u64::from(part(12)) | u64::from(part(16)) << 32,
            rows: part(20).into(),
            raw: part(24) as usize,
        }
    }

    /// The rows of the record; `None` if it is damaged.
    pub(super) fn open(&self, head: &[u8; RECORD], packed: &[u8]) -> Option<Vec<u8>> {
        if checksum(head, packed) != self.sum || self.raw > ROWS_MAX {
            return None;
        }
        let rows = zstd::bulk::decompress(packed, self.raw).ok()?;
        (rows.len() == self.raw).then_some(rows)
    }
}

/// Of all but the checksum itself.
fn checksum(head: &[u8], packed: &[u8]) -> u32 {
    let sum = crc32c::crc32c(&head[..4]);
    crc32c::crc32c_append(crc32c::crc32c_append(sum, &head[8..]), packed)
}

/// Reads a folder: headers of all segments, and the newest to its end, of which a torn one is cut.
pub(super) fn find(dir: &Path) -> Result<Found, QueueError> {
    let io = |source| QueueError::Io {
        path: dir.to_owned(),
        source,
    };
    let mut numbers: Vec<u64> = fs::read_dir(dir)
        .map_err(io)?
        .filter_map(|entry| {
            let name = entry.ok()?.file_name().into_string().ok()?;
            name.strip_suffix(ENDING)?.parse().ok()
        })
        .collect();
    numbers.sort_unstable();
    let mut found = Found {
        segments: Vec::new(),
        end_row: 0,
        next_number: numbers.last().map_or(1, |n| n + 1),
        have: Box::new([0; PARTITIONS]),
    };
    for number in numbers {
        let path = dir.join(name(number));
        let mut bytes = Vec::new();
        let read = File::open(&path).and_then(|f| f.take(HEADER as u64).read_to_end(&mut bytes));
        read.map_err(io)?;
        let Some((first_row, have)) = parse_header(&path, number, &bytes)? else {
            tracing::warn!(file = %path.display(), "a file of the queue of scores has no readable head and is removed");
            fs::remove_file(&path).map_err(io)?;
            continue;
        };
        found.segments.push(Segment {
            number,
            first_row,
            bytes: fs::metadata(&path).map_err(io)?.len(),
        });
        found.end_row = found.end_row.max(first_row);
        for (newest, seq) in found.have.iter_mut().zip(have) {
            *newest = seq.max(*newest);
        }
    }
    if let Some(last) = found.segments.last_mut() {
        let path = dir.join(name(last.number));
        let (bytes, rows) = survey(&path, &mut found.have).map_err(io)?;
        last.bytes = bytes;
        found.end_row = last.first_row + rows;
    }
    Ok(found)
}

fn parse_header(
    path: &Path,
    number: u64,
    bytes: &[u8],
) -> Result<Option<(u64, Vec<u64>)>, QueueError> {
    if bytes.len() < 10 || !bytes.starts_with(MAGIC) {
        return Ok(None);
    }
    let version = u16::from_le_bytes([bytes[8], bytes[9]]);
    if version > VERSION {
        return Err(QueueError::Newer {
            path: path.to_owned(),
            found: version,
            known: VERSION,
        });
    }
    let Some((content, sum)) = bytes.split_last_chunk::<4>() else {
        return Ok(None);
    };
    if bytes.len() != HEADER || crc32c::crc32c(content) != u32::from_le_bytes(*sum) {
        return Ok(None);
    }
    let mut numbers = content[10..].chunks_exact(8).map(|bytes| {
        let mut number = [0; 8];
        number.copy_from_slice(bytes);
        u64::from_le_bytes(number)
    });
    let (named, first_row) = (numbers.next(), numbers.next());
    Ok(first_row
        .filter(|_| named == Some(number))
        .map(|first| (first, numbers.collect())))
}

/// Reads a segment to its last whole record and cuts it there: (bytes, rows).
fn survey(path: &Path, have: &mut [u64; PARTITIONS]) -> std::io::Result<(u64, u64)> {
    let file = File::options().read(true).write(true).open(path)?;
    let all = file.metadata()?.len();
    let (mut at, mut rows) = (HEADER as u64, 0);
    while let Some((head, bytes)) = read_head(&file, at, all)? {
        let mut packed = vec![0; head.len];
        file.read_exact_at(&mut packed, at + RECORD as u64)?;
        if head.open(&bytes, &packed).is_none() {
            break;
        }
        for partition in
            (usize::from(head.shard)..PARTITIONS).step_by(usize::from(head.shards).max(1))
        {
            have[partition] = have[partition].max(head.seq);
        }
        rows += head.rows;
        at += (RECORD + head.len) as u64;
    }
    if at < all {
        file.set_len(at)?;
    }
    Ok((at, rows))
}

/// The head of the record at this place, if all of it is before `end`.
pub(super) fn read_head(
    file: &File,
    at: u64,
    end: u64,
) -> std::io::Result<Option<(Head, [u8; RECORD])>> {
    if at + RECORD as u64 > end {
        return Ok(None);
    }
    let mut bytes = [0; RECORD];
    file.read_exact_at(&mut bytes, at)?;
    let head = Head::parse(&bytes);
    let whole = at + (RECORD + head.len) as u64 <= end;
    Ok(whole.then_some((head, bytes)))
}

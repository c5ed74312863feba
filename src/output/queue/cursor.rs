//! Where a receiver has got to, on disk: two slots that are written in turn, so that one of them is
//! whole whatever happens.

use std::fs::{self, File};
use std::os::unix::fs::FileExt as _;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

const ENDING: &str = ".cursor";
const VERSION: u8 = 1;
/// Version, turn, place, row up to which a request is under way, lanes that it was made for.
const CONTENT: usize = 1 + 8 + 24 + 8 + 4;
const SLOT: u64 = 64;

/// A place between two records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Place {
    pub segment: u64,
    pub offset: u64,
    /// Number of the row that comes next.
    pub row: u64,
}

/// What a slot says.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Saved {
    pub(super) place: Place,
    /// What lies between the place and this row was being sent, by so many lanes. 0: nothing was.
    pub(super) until_row: u64,
    pub(super) lanes: u32,
}

/// The file of one receiver.
#[derive(Debug)]
pub(super) struct Cursor {
    file: File,
    turn: u64,
}

/// What the file of a receiver is called: names are free text.
pub(super) fn file_name(receiver: &str) -> String {
    format!("{:016x}{ENDING}", xxh3_64(receiver.as_bytes()))
}

impl Cursor {
    /// The cursor and what it said last; nothing for a receiver that is new.
    pub(super) fn open(dir: &Path, receiver: &str) -> std::io::Result<(Self, Option<Saved>)> {
        let file = File::options()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(dir.join(file_name(receiver)))?;
        let slots = [read(&file, 0), read(&file, 1)];
        let newest = slots.into_iter().flatten().max_by_key(|(turn, _)| *turn);
        let turn = newest.map_or(0, |(turn, _)| turn);
        Ok((Self { file, turn }, newest.map(|(_, saved)| saved)))
    }

    pub(super) fn save(&mut self, saved: &Saved) -> std::io::Result<()> {
        self.turn += 1;
        let mut bytes = vec![VERSION];
        for number in [
            self.turn,
            saved.place.segment,
            saved.place.offset,
            saved.place.row,
            saved.until_row,
        ] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&saved.lanes.to_le_bytes());
        bytes.extend_from_slice(&crc32c::crc32c(&bytes).to_le_bytes());
        self.file.write_all_at(&bytes, self.turn % 2 * SLOT)
    }
}

fn read(file: &File, slot: u64) -> Option<(u64, Saved)> {
    let mut bytes = [0; CONTENT + 4];
    file.read_exact_at(&mut bytes, slot * SLOT).ok()?;
    let (content, sum) = bytes.split_last_chunk::<4>()?;
    if content[0] != VERSION || crc32c::crc32c(content) != u32::from_le_bytes(*sum) {
        return None;
    }
    let number = |at: usize| {
        let mut eight = [0; 8];
        eight.copy_from_slice(&content[at..at + 8]);
        u64::from_le_bytes(eight)
    };
    let place = Place {
        segment: number(9),
        offset: number(17),
        row: number(25),
    };
    let (_, lanes) = content.split_last_chunk::<4>()?;
    let saved = Saved {
        place,
        until_row: number(33),
        lanes: u32::from_le_bytes(*lanes),
    };
    Some((number(1), saved))
}

/// Removes the files of receivers that are no more.
pub(super) fn remove_others(dir: &Path, keep: impl Iterator<Item = String>) -> std::io::Result<()> {
    let keep: Vec<String> = keep.collect();
    for entry in fs::read_dir(dir)? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if name.ends_with(ENDING) && !keep.contains(&name) {
            fs::remove_file(entry.path())?;
        }
    }
    Ok(())
}

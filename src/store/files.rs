//! Files of values: what is large, beside sled and not in it.
//!
//! In sled a value that is replaced leaves a hole in its log, which is filled by copying what is live
//! around it: most of the disk, of the bytes written and of the memory of a store were states. A value
//! that stays is written again with its leaf, each time the leaf grows: blocks of chunks took twice
//! their size. Here each atomic step writes its values into one new file, which is never changed; sled
//! holds pointers. Values that live as long as each other have a folder of their own, so that a file
//! goes as a whole. What always holds: a file is on the disk before sled points to it, and stays until
//! a second flush after the last pointer to it has gone, so that neither a power cut nor the loss of
//! sled's newest flush leads to a value that is no more; a record that is missing, cut or flipped is no
//! value. This does not know what a value means, nor where its pointer is.

pub(super) mod record;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use zstd::bulk::{Compressor, Decompressor};

pub(super) use self::record::Pointer;
use self::record::{Record, append, compressor};

/// How a file begins: what it is, and the version of its records.
const MAGIC: [u8; 8] = *b"\x89smnsts1";

/// Files that are held open for reading: what lies together is read together, and those who sleep lie
/// where they fell asleep.
const OPEN_MAX: usize = 8;

/// What one [`Files::wasteful`] gives has at most so many bytes: moving them takes a fraction of the
/// time that a job on the disk may.
const MOVED_BYTES: u64 = 16 * 1024 * 1024;

/// Small files are made one when there are more of them than this ...
const SMALL_FILES: usize = 64;
/// ... that hold less than this.
const SMALL_BYTES: u64 = 256 * 1024;

/// Bytes gathered for one write.
const BUFFER: usize = 256 * 1024;

/// An error of the device itself: no other error says that this place, and only this, is bad.
const EIO: i32 = 5;

/// What is known of one file.
#[derive(Debug, Clone, Copy, Default)]
struct Extent {
    bytes: u64,
    /// In records that are pointed to.
    live: u64,
    /// Its live records cannot all be read: it stays as it is.
    stuck: bool,
}

/// All files of one folder.
pub(super) struct Files {
    dir: PathBuf,
    files: BTreeMap<u64, Extent>,
    next: u64,
    /// Nothing points to them any more, since the last flush.
    dead: Vec<u64>,
    /// The same, since before the last flush.
    doomed: Vec<u64>,
    open: Vec<(u64, File)>,
    compressor: Compressor<'static>,
    decompressor: Decompressor<'static>,
}

impl std::fmt::Debug for Files {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} files of values", self.files.len())
    }
}

/// A record that may be moved: its key, where it is, and its bytes.
pub(super) type Moved = (Vec<u8>, Pointer, Vec<u8>);

impl Files {
    /// Makes the folder if it is not there and looks which files are in it. [`Files::point`] for every
    /// pointer, then [`Files::settle`], are to follow.
    pub(super) fn open(dir: PathBuf) -> io::Result<Self> {
        if !dir.try_exists()? {
            fs::create_dir_all(&dir)?;
            if let Some(parent) = dir.parent() {
                sync_folder(parent)?;
            }
        }
        let mut files = BTreeMap::new();
        for entry in fs::read_dir(&dir)? {
            let entry = entry?;
            if let Some(number) = number_of(&entry.path()) {
                let extent = Extent {
                    bytes: entry.metadata()?.len(),
                    ..Extent::default()
                };
                files.insert(number, extent);
            }
        }
        Ok(Self {
            next: files.last_key_value().map_or(1, |(n, _)| n + 1),
            dir,
            files,
            dead: Vec::new(),
            doomed: Vec::new(),
            open: Vec::new(),
            compressor: compressor()?,
            decompressor: Decompressor::new()?,
        })
    }

    /// There is such a pointer.
    pub(super) fn point(&mut self, to: Pointer) {
        // One that is missing is counted, so that its number is not used again.
        self.files.entry(to.file).or_default().live += u64::from(to.length);
        self.next = self.next.max(to.file.saturating_add(1));
    }

    /// All pointers are known: what nobody points to is left over from a process that was killed.
    pub(super) fn settle(&mut self) {
        let orphans = self.files.iter().filter(|(_, e)| e.live == 0);
        self.doomed = orphans.map(|(n, _)| *n).collect();
    }

    /// Bytes of all files.
    pub(super) fn bytes(&self) -> u64 {
        self.files.values().map(|e| e.bytes).sum()
    }

    /// Writes values under their keys into a new file; gives where they are, in the same order. They
    /// are on the disk then. Whoever gets an error must open everything anew.
    pub(super) fn write(&mut self, values: &[(&[u8], &[u8])]) -> io::Result<Vec<Pointer>> {
        let mut values = values.iter();
        self.fill(|compressor, out| {
            let Some((key, value)) = values.next() else {
                return Ok(false);
            };
            match append(key, value, compressor, out) {
                true => Ok(true),
                false => Err(io::Error::other("a value is too large to be written")),
            }
        })
    }

    /// The same of records as they are.
    pub(super) fn write_moved(&mut self, records: &[Moved]) -> io::Result<Vec<Pointer>> {
        let mut records = records.iter();
        self.fill(|_, out| {
            let Some((.., bytes)) = records.next() else {
                return Ok(false);
            };
            out.extend_from_slice(bytes);
            Ok(true)
        })
    }

    /// Writes what `next` appends, a record a call, until it says that there is no more.
    fn fill(
        &mut self,
        mut next: impl FnMut(&mut Compressor<'static>, &mut Vec<u8>) -> io::Result<bool>,
    ) -> io::Result<Vec<Pointer>> {
        let number = self.next;
        self.next += 1;
        let path = self.path(number);
        let mut file = File::options().write(true).create_new(true).open(&path)?;
        let too_large = |_| io::Error::other("a file of values is too large");
        let mut pointers = Vec::new();
        let mut out = MAGIC.to_vec();
        let (mut written, mut live) = (0u64, 0u64);
        let mut all = || {
            loop {
                let from = out.len();
                let more = next(&mut self.compressor, &mut out)?;
                if more {
                    let length = out.len() - from;
                    live += length as u64;
                    pointers.push(Pointer {
                        file: number,
                        offset: u32::try_from(written + from as u64).map_err(too_large)?,
                        length: u32::try_from(length).map_err(too_large)?,
                    });
                }
                if !more || out.len() >= BUFFER {
                    file.write_all(&out)?;
                    written += out.len() as u64;
                    out.clear();
                }
                if !more {
                    break;
                }
            }
            file.sync_data()?;
            sync_folder(&self.dir)
        };
        if let Err(error) = all() {
            // Room for the next try; if this fails too, it is an orphan.
            let _ = fs::remove_file(&path);
            return Err(error);
        }
        let extent = Extent {
            bytes: written,
            live,
            stuck: false,
        };
        self.files.insert(number, extent);
        Ok(pointers)
    }

    /// A pointer has gone.
    pub(super) fn unpoint(&mut self, from: Pointer) {
        if let Some(extent) = self.files.get_mut(&from.file) {
            extent.live = extent.live.saturating_sub(u64::from(from.length));
            if extent.live == 0 {
                self.dead.push(from.file);
            }
        }
    }

    /// Everything that was pointed to is on the disk: what nothing has pointed to since the flush
    /// before is deleted.
    pub(super) fn flushed(&mut self) {
        for number in std::mem::replace(&mut self.doomed, std::mem::take(&mut self.dead)) {
            self.open.retain(|(open, _)| *open != number);
            match fs::remove_file(self.path(number)) {
                Err(e) if e.kind() != io::ErrorKind::NotFound => self.doomed.push(number),
                _ => {
                    self.files.remove(&number);
                }
            }
        }
    }

    /// The value of `key`; `None` if what is there is not that.
    ///
    /// # Errors
    /// If nothing can be read for now, wherever it is.
    pub(super) fn read(&mut self, key: &[u8], at: Pointer) -> io::Result<Option<Vec<u8>>> {
        if at.length as usize > record::LENGTH_MAX {
            return Ok(None);
        }
        let mut bytes = vec![0; at.length as usize];
        let read = self.file(at.file);
        let read = read.and_then(|f| f.read_exact_at(&mut bytes, u64::from(at.offset)));
        match read {
            Ok(()) => {}
            Err(e) if is_of_the_place(&e) => return Ok(None),
            Err(e) => return Err(e),
        }
        let record = Record::first(&bytes).filter(|r| r.key == key);
        Ok(record.and_then(|r| r.value(&mut self.decompressor)))
    }

    /// Files of which too little is live, or too many that are small: what is live in them is to be
    /// moved.
    pub(super) fn wasteful(&self) -> Vec<u64> {
        let movable = self.files.iter().filter(|(_, e)| e.live > 0 && !e.stuck);
        let is_small = |e: &Extent| e.live < SMALL_BYTES;
        let small = movable.clone().filter(|(_, e)| is_small(e)).count();
        let mut sum = 0;
        movable
            .filter(|(_, e)| e.live * 2 < e.bytes || small > SMALL_FILES && is_small(e))
            .take_while(|(_, e)| {
                sum += e.live;
                sum <= MOVED_BYTES
            })
            .map(|(n, _)| *n)
            .collect()
    }

    /// The records of a file that `is_live` says yes to. What cannot be read stays where it is, and the
    /// file with it.
    pub(super) fn live<E>(
        &mut self,
        number: u64,
        mut is_live: impl FnMut(&[u8], Pointer) -> Result<bool, E>,
    ) -> Result<Vec<Moved>, E> {
        let mut found: Vec<Moved> = Vec::new();
        let mut bytes = Vec::new();
        // What is read of one that fails may do.
        let _ = File::open(self.path(number)).and_then(|mut f| f.read_to_end(&mut bytes));
        let mut at = MAGIC.len();
        while let Some(record) = bytes.get(at..).and_then(Record::first)
            && let (Ok(offset), Ok(length)) = (u32::try_from(at), u32::try_from(record.bytes.len()))
        {
            let pointer = Pointer {
                file: number,
                offset,
                length,
            };
            if is_live(record.key, pointer)? {
                found.push((record.key.to_vec(), pointer, record.bytes.to_vec()));
            }
            at += record.bytes.len();
        }
        if let Some(extent) = self.files.get_mut(&number) {
            let sum: u64 = found.iter().map(|(_, p, _)| u64::from(p.length)).sum();
            extent.stuck = sum < extent.live;
        }
        Ok(found)
    }

    fn file(&mut self, number: u64) -> io::Result<&File> {
        match self.open.iter().position(|(n, _)| *n == number) {
            Some(at) => self.open[..=at].rotate_right(1),
            None => {
                let file = File::open(self.path(number))?;
                self.open.truncate(OPEN_MAX - 1);
                self.open.insert(0, (number, file));
            }
        }
        Ok(&self.open[0].1)
    }

    fn path(&self, number: u64) -> PathBuf {
        self.dir.join(format!("{number:020}"))
    }
}

/// True for an error that is of this file and place, and not of the whole machine.
fn is_of_the_place(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::NotFound | io::ErrorKind::UnexpectedEof | io::ErrorKind::IsADirectory
    ) || error.raw_os_error() == Some(EIO)
}

fn number_of(path: &Path) -> Option<u64> {
    path.file_name()?.to_str()?.parse().ok()
}

/// Makes sure that the names in a folder are on the disk.
fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

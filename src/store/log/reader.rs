//! Reading one segment, whatever has become of it.
//!
//! What always holds: only bytes whose checksums are right are handed out; memory is bounded by a
//! block and the largest record that is really there; damage costs the records that it touches. It
//! does not know which sequence number should come.

use std::io;

use super::record::{self, Header, SYNC};

/// Bytes asked for at once: large enough for a spinning disk, small enough to keep some ahead.
pub(super) const BLOCK: usize = 1 << 20;

/// Where the bytes of a segment come from, in order.
pub(super) trait Source {
    /// Appends the next bytes to `to`; false at the end of the file.
    fn more(&mut self, to: &mut Vec<u8>) -> io::Result<bool>;
}

/// Damage between two records, or behind the last one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Damage {
    /// Stretches of damage; one may have been several records.
    pub(super) stretches: u64,
    pub(super) bytes: u64,
}

impl Damage {
    fn add(&mut self, other: Self) {
        self.stretches += other.stretches;
        self.bytes += other.bytes;
    }
}

/// Walks over the records of one segment.
#[derive(Debug)]
pub(super) struct Scanner<S> {
    source: S,
    salt: u64,
    /// Length of the file.
    len: u64,
    /// What was read and is still needed; its first byte is that of the file at `base`.
    bytes: Vec<u8>,
    base: u64,
    /// Where in `bytes` the next record begins.
    at: usize,
    /// Where in `bytes` the payload of the newest record is.
    payload: (usize, usize),
    ended: bool,
    searching: bool,
    /// Damage since the newest record.
    open: Damage,
    between: Damage,
    good_end: u64,
}

impl<S: Source> Scanner<S> {
    /// `skip` bytes at the beginning are the segment's header; `buffer` is memory to reuse.
    pub(super) fn new(source: S, salt: u64, len: u64, skip: usize, mut buffer: Vec<u8>) -> Self {
        buffer.clear();
        Self {
            source,
            salt,
            len,
            bytes: buffer,
            base: 0,
            at: skip,
            payload: (0, 0),
            ended: false,
            searching: false,
            open: Damage::default(),
            between: Damage::default(),
            good_end: skip as u64,
        }
    }

    /// The next whole record; its payload is [`Self::payload`]. `None` behind the last one.
    ///
    /// # Errors
    /// As the source says.
    pub(super) fn next(&mut self) -> io::Result<Option<Header>> {
        loop {
            self.need(record::HEADER)?;
            let rest = self.bytes.get(self.at..).unwrap_or_default();
            if rest.is_empty() {
                return Ok(None);
            }
            let Some(header) = Header::parse(self.salt, rest) else {
                self.search();
                continue;
            };
            self.searching = false;
            let begin = self.base + self.at as u64;
            if begin + header.size() as u64 > self.len || !self.need(header.size())? {
                // Its end was never written. What is there of it holds no other record.
                self.open.stretches += 1;
                self.open.bytes += self.len.saturating_sub(begin);
                self.at = self.bytes.len();
                while self.fill()? {
                    self.at = self.bytes.len();
                }
                return Ok(None);
            }
            let payload = self.at + record::HEADER..self.at + header.size();
            if !header.matches(self.salt, &self.bytes[payload.clone()]) {
                self.at = payload.end;
                self.open.stretches += 1;
                self.open.bytes += header.size() as u64;
                continue;
            }
            self.at = payload.end;
            self.payload = (payload.start, payload.end);
            self.between.add(std::mem::take(&mut self.open));
            self.good_end = self.base + self.at as u64;
            return Ok(Some(header));
        }
    }

    /// The payload of the record that [`Self::next`] gave last.
    pub(super) fn payload(&self) -> &[u8] {
        &self.bytes[self.payload.0..self.payload.1]
    }

    /// Where the newest whole record ends in the file.
    pub(super) fn good_end(&self) -> u64 {
        self.good_end
    }

    /// Damage before the newest record, and behind it.
    pub(super) fn damage(&self) -> (Damage, Damage) {
        (self.between, self.open)
    }

    /// The source, at its end, and the buffer.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.source, self.bytes)
    }

    /// Goes on to where the next record could begin.
    fn search(&mut self) {
        let rest = &self.bytes[self.at..];
        let step = match rest[1..].windows(SYNC.len()).position(|w| *w == SYNC) {
            Some(n) => n + 1,
            // The word may begin in the last bytes that are here.
            None if !self.ended => (rest.len() - (SYNC.len() - 1).min(rest.len() - 1)).max(1),
            None => rest.len(),
        };
        self.open.stretches += u64::from(!self.searching);
        self.open.bytes += step as u64;
        self.searching = true;
        self.at += step;
    }

    /// Reads until `n` bytes from `at` on are here; false if the file ends before.
    fn need(&mut self, n: usize) -> io::Result<bool> {
        while self.bytes.len() < self.at + n {
            if !self.fill()? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Lets go of what is behind and reads a block.
    fn fill(&mut self) -> io::Result<bool> {
        if self.ended {
            return Ok(false);
        }
        let done = self.at.min(self.bytes.len());
        self.bytes.drain(..done);
        self.base += done as u64;
        self.at -= done;
        self.ended = !self.source.more(&mut self.bytes)?;
        Ok(!self.ended)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives `step` bytes at a time.
    struct Slow<'a> {
        bytes: &'a [u8],
        step: usize,
    }

    impl Source for Slow<'_> {
        fn more(&mut self, to: &mut Vec<u8>) -> io::Result<bool> {
            let (now, later) = self.bytes.split_at(self.step.min(self.bytes.len()));
            to.extend_from_slice(now);
            self.bytes = later;
            Ok(!now.is_empty())
        }
    }

    const SALT: u64 = 99;

    fn segment(payloads: &[&[u8]]) -> Vec<u8> {
        let mut out = vec![0xaa; 5];
        for (i, payload) in payloads.iter().enumerate() {
            out.extend(Header::seal(SALT, 1, i as u64, &[payload]));
            out.extend_from_slice(payload);
        }
        out
    }

    type Read = (Vec<(u64, Vec<u8>)>, Damage, Damage, u64);

    fn read(bytes: &[u8], step: usize) -> Read {
        let source = Slow { bytes, step };
        let mut scanner = Scanner::new(source, SALT, bytes.len() as u64, 5, Vec::new());
        let mut found = Vec::new();
        while let Some(header) = scanner.next().unwrap() {
            found.push((header.seq, scanner.payload().to_vec()));
        }
        let (between, behind) = scanner.damage();
        (found, between, behind, scanner.good_end())
    }

    #[test]
    fn records_come_back_however_the_bytes_come() {
        let bytes = segment(&[b"one", b"", &[7; 300]]);
        for step in [1, 2, 27, 28, 29, 1000] {
            let (found, between, behind, end) = read(&bytes, step);
            assert_eq!(
                found,
                [(0, b"one".to_vec()), (1, vec![]), (2, vec![7; 300])]
            );
            assert_eq!((between, behind), (Damage::default(), Damage::default()));
            assert_eq!(end, bytes.len() as u64);
        }
    }

    #[test]
    fn a_flipped_bit_costs_one_record_and_a_cut_the_last() {
        let bytes = segment(&[b"first", b"second", b"third"]);
        for step in [1, 13, 1000] {
            for bit in 40..bytes.len() * 8 {
                let mut bad = bytes.clone();
                bad[bit / 8] ^= 1 << (bit % 8);
                let (found, between, behind, _) = read(&bad, step);
                assert_eq!(found.len(), 2, "bit {bit}");
                assert_eq!(between.stretches + behind.stretches, 1, "bit {bit}");
            }
            for len in 5..bytes.len() {
                let (found, between, behind, end) = read(&bytes[..len], step);
                assert_eq!(between, Damage::default());
                assert_eq!(end + behind.bytes, len as u64, "cut to {len}");
                let whole = [38, 72, 105].iter().filter(|end| **end <= len).count();
                assert_eq!(found.len(), whole, "cut to {len}");
            }
        }
    }

    #[test]
    fn a_forged_record_in_a_broken_payload_is_not_taken_for_one() {
        let forged = Header::seal(SALT + 1, 1, 7, &[b"forged"]);
        let mut bytes = segment(&[&[&forged[..], b"forged"].concat(), b"good"]);
        // The header of the outer record is gone, so the next one is searched for.
        bytes[5] ^= 1;
        let (found, between, _, _) = read(&bytes, 1000);
        assert_eq!(found, [(1, b"good".to_vec())]);
        assert_eq!(between.bytes, 28 + 34);
    }
}

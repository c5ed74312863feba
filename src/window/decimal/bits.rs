//! Bits in order, most significant first.

/// Where bits are written.
#[derive(Debug, Default)]
pub(in crate::window) struct BitWriter {
    bytes: Vec<u8>,
    /// Bits that are no whole byte yet, lowest last.
    open: u64,
    count: u32,
}

impl BitWriter {
    /// Writes the lowest `n` bits of `value`, at most 64.
    pub(in crate::window) fn write(&mut self, value: u64, n: u32) {
        if n > 32 {
            self.write(value >> 32, n - 32);
            return self.write(value, 32);
        }
        let value = value & ((1u64 << n) - 1);
        self.open = (self.open << n) | value;
        self.count += n;
        while self.count >= 8 {
            self.count -= 8;
            self.bytes.push((self.open >> self.count) as u8);
        }
    }

    /// A number in groups of `group` bits, each behind a bit that says that it is there.
    pub(in crate::window) fn write_grouped(&mut self, mut value: u64, group: u32) {
        while value != 0 {
            self.write(1, 1);
            self.write(value, group);
            value >>= group;
        }
        self.write(0, 1);
    }

    /// Bits written so far.
    pub(in crate::window) fn bits(&self) -> usize {
        self.bytes.len() * 8 + self.count as usize
    }

    /// Writes all that was written to `other`.
    pub(in crate::window) fn extend(&mut self, other: Self) {
        for byte in other.bytes {
            self.write(byte.into(), 8);
        }
        self.write(other.open, other.count);
    }

    /// What was written; the last byte is filled with zeros.
    pub(in crate::window) fn finish(mut self) -> Vec<u8> {
        if self.count > 0 {
            self.write(0, 8 - self.count);
        }
        self.bytes
    }
}

/// Where bits are read. Behind the end there is nothing: every read says so.
#[derive(Debug, Clone)]
pub(in crate::window) struct BitReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> BitReader<'a> {
    pub(in crate::window) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The next `n` bits, at most 64.
    pub(in crate::window) fn read(&mut self, n: u32) -> Option<u64> {
        if n > 56 {
            let high = self.read(n - 32)?;
            return Some(high << 32 | self.read(32)?);
        }
        if self.at + n as usize > self.bytes.len() * 8 {
            return None;
        }
        let word = self.word();
        self.at += n as usize;
        Some(if n == 0 { 0 } else { word >> (64 - n) })
    }

    /// Counts ones up to `most` and reads the zero behind them, if there are fewer.
    pub(in crate::window) fn ones(&mut self, most: u32) -> Option<u32> {
        let ones = (!self.word()).leading_zeros().min(most);
        self.read(ones + u32::from(ones < most))?;
        Some(ones)
    }

    /// As [`BitWriter::write_grouped`] wrote it.
    pub(in crate::window) fn read_grouped(&mut self, group: u32) -> Option<u64> {
        let (mut value, mut shift) = (0u64, 0);
        while self.read(1)? == 1 {
            if shift >= 64 {
                return None;
            }
            value |= self.read(group)? << shift;
            shift += group;
        }
        Some(value)
    }

    /// Fewer than eight bits are left, all of them zero.
    pub(in crate::window) fn at_end(&self) -> bool {
        let left = self.bytes.len() * 8 - self.at;
        left < 8 && (left == 0 || self.clone().read(left as u32) == Some(0))
    }

    /// At least the next 57 bits, from the top; zeros behind the end.
    fn word(&self) -> u64 {
        let rest = &self.bytes[self.at / 8..];
        let bytes = rest.first_chunk::<8>().copied().unwrap_or_else(|| {
            let mut padded = [0; 8];
            padded[..rest.len()].copy_from_slice(rest);
            padded
        });
        u64::from_be_bytes(bytes) << (self.at % 8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_come_back_at_every_length_and_the_end_is_noticed() {
        let mut w = BitWriter::default();
        for n in 1..=64 {
            w.write(u64::MAX, n);
            w.write(1 << (n - 1), n);
        }
        for value in [0, 1, 127, 128, u64::MAX] {
            w.write_grouped(value, 7);
        }
        let bytes = w.finish();
        let mut r = BitReader::new(&bytes);
        for n in 1..=64 {
            assert_eq!(r.read(n), Some(u64::MAX >> (64 - n)));
            assert_eq!(r.read(n), Some(1 << (n - 1)));
        }
        for value in [0, 1, 127, 128, u64::MAX] {
            assert_eq!(r.read_grouped(7), Some(value));
        }
        assert!(r.at_end());
        assert_eq!(r.read(8), None);
    }

    #[test]
    fn ones_are_counted_as_far_as_asked() {
        let mut r = BitReader::new(&[0b1110_1111, 0b1111_0000]);
        assert_eq!(r.ones(12), Some(3));
        assert_eq!(r.ones(5), Some(5));
        assert_eq!(r.ones(12), Some(3));
    }
}

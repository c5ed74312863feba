//! Bits of histogram chunks, most significant first, and the numbers made of them.

/// The sizes of the number behind 1 to 7 ones and a zero; behind 8 ones it has 64 bits.
const VARBIT_SIZES: [u32; 7] = [3, 6, 9, 12, 18, 25, 56];

/// The leading zeros of an XOR window are written in five bits.
const LEADING_MAX: u32 = 31;

/// A value as it was last written, and where its newest XOR lay.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Xor {
    pub(super) bits: u64,
    leading: u8,
    /// 0 before the first window.
    significant: u8,
}

impl Xor {
    pub(super) fn new(bits: u64) -> Self {
        Self {
            bits,
            leading: 0,
            significant: 0,
        }
    }
}

/// Appends bits to bytes. The last byte is filled up with zeros at any time.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Writer {
    pub(super) bytes: Vec<u8>,
    /// Unused bits of the last byte.
    pub(super) free: u8,
}

impl Writer {
    /// Writes the lowest `n` bits of `value`, 1 to 64.
    pub(super) fn bits(&mut self, value: u64, n: u32) {
        let mut left = n;
        while left > 0 {
            if self.free == 0 {
                self.bytes.push(0);
                self.free = 8;
            }
            let free = u32::from(self.free);
            let take = free.min(left);
            let part = (value >> (left - take)) & ((1 << take) - 1);
            if let Some(byte) = self.bytes.last_mut() {
                *byte |= (part << (free - take)) as u8;
            }
            self.free -= take as u8;
            left -= take;
        }
    }

    /// `varbit_int` of the format. Its ranges reach one further up than down.
    pub(super) fn int(&mut self, value: i64) {
        let fits = |n: u32| (-(1i64 << (n - 1)) + 1..=1i64 << (n - 1)).contains(&value);
        self.varbit(value as u64, value == 0, fits);
    }

    /// `varbit_uint` of the format.
    pub(super) fn uint(&mut self, value: u64) {
        self.varbit(value, value == 0, |n| value >> n == 0);
    }

    fn varbit(&mut self, value: u64, zero: bool, fits: impl Fn(u32) -> bool) {
        if zero {
            self.bits(0, 1);
            return;
        }
        for (ones, size) in (1..).zip(VARBIT_SIZES) {
            if fits(size) {
                // So many ones, and a zero.
                self.bits((1 << (ones + 1)) - 2, ones + 1);
                self.bits(value, size);
                return;
            }
        }
        self.bits(0xff, 8);
        self.bits(value, 64);
    }

    /// `<xor>` of the format.
    pub(super) fn xor(&mut self, last: &mut Xor, bits: u64) {
        let xor = bits ^ last.bits;
        last.bits = bits;
        if xor == 0 {
            self.bits(0, 1);
            return;
        }
        let leading = xor.leading_zeros().min(LEADING_MAX);
        let trailing = xor.trailing_zeros();
        let (old_leading, old_significant) = (u32::from(last.leading), u32::from(last.significant));
        if old_significant != 0
            && leading >= old_leading
            && trailing >= 64 - old_leading - old_significant
        {
            self.bits(0b10, 2);
            self.bits(xor >> (64 - old_leading - old_significant), old_significant);
            return;
        }
        let significant = 64 - leading - trailing;
        last.leading = leading as u8;
        last.significant = significant as u8;
        self.bits(0b11, 2);
        self.bits(u64::from(leading), 5);
        // 64 significant bits are written as 0.
        self.bits(u64::from(significant & 63), 6);
        self.bits(xor >> trailing, significant);
    }
}

/// Why bits could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wrong {
    /// The bytes end.
    End,
    /// The format has no such number.
    Number,
}

/// Reads bits of a slice, never behind its end.
#[derive(Debug, Clone)]
pub(super) struct Reader<'a> {
    pub(super) bytes: &'a [u8],
    /// Next bit to read.
    pub(super) at: usize,
}

impl Reader<'_> {
    /// Bits that are left.
    pub(super) fn left(&self) -> usize {
        self.bytes.len() * 8 - self.at
    }

    /// The next `n` bits, 1 to 64.
    pub(super) fn bits(&mut self, n: u32) -> Result<u64, Wrong> {
        if self.left() < n as usize {
            return Err(Wrong::End);
        }
        let end = self.at + n as usize;
        let mut value = 0u64;
        while self.at < end {
            let free = 8 - self.at % 8;
            let take = free.min(end - self.at);
            let part = (u32::from(self.bytes[self.at / 8]) >> (free - take)) & ((1 << take) - 1);
            value = (value << take) | u64::from(part);
            self.at += take;
        }
        Ok(value)
    }

    /// `varbit_int` of the format.
    pub(super) fn int(&mut self) -> Result<i64, Wrong> {
        let (value, size) = self.varbit()?;
        // Not two's complement: the half itself is positive.
        if (1..64).contains(&size) && value > 1 << (size - 1) {
            return Ok(value as i64 - (1 << size));
        }
        Ok(value as i64)
    }

    /// `varbit_uint` of the format.
    pub(super) fn uint(&mut self) -> Result<u64, Wrong> {
        self.varbit().map(|(value, _)| value)
    }

    fn varbit(&mut self) -> Result<(u64, u32), Wrong> {
        if self.bits(1)? == 0 {
            return Ok((0, 0));
        }
        for size in VARBIT_SIZES {
            if self.bits(1)? == 0 {
                return Ok((self.bits(size)?, size));
            }
        }
        Ok((self.bits(64)?, 64))
    }

    /// `<xor>` of the format.
    pub(super) fn xor(&mut self, last: &mut Xor) -> Result<(), Wrong> {
        if self.bits(1)? == 0 {
            return Ok(());
        }
        if self.bits(1)? == 1 {
            last.leading = self.bits(5)? as u8;
            last.significant = match self.bits(6)? as u8 {
                0 => 64,
                n => n,
            };
            if last.leading + last.significant > 64 {
                return Err(Wrong::Number);
            }
        } else if last.significant == 0 {
            // A Prometheus that goes on with a chunk it has read has no window yet, and takes it
            // for one of all bits.
            last.significant = 64;
        }
        let xor = self.bits(u32::from(last.significant))?;
        last.bits ^= xor << (64 - last.leading - last.significant);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reader(writer: &Writer) -> Reader<'_> {
        Reader {
            bytes: &writer.bytes,
            at: 0,
        }
    }

    #[test]
    fn numbers_at_the_edge_of_every_size_come_back_in_their_size() {
        for (edge, bits) in [
            (4, 5),
            (32, 9),
            (256, 13),
            (2048, 17),
            (131_072, 24),
            (16_777_216, 32),
            (1 << 55, 64),
        ] {
            for (value, in_size) in [
                (edge, true),
                (1 - edge, true),
                (edge + 1, false),
                (-edge, false),
            ] {
                let mut w = Writer::default();
                w.int(value);
                let used = w.bytes.len() * 8 - usize::from(w.free);
                assert_eq!(used == bits, in_size, "{value} in {used} bits");
                assert_eq!(reader(&w).int(), Ok(value));
            }
            let top = (edge as u64) * 2 - 1;
            for (value, in_size) in [(top, true), (top + 1, false)] {
                let mut w = Writer::default();
                w.uint(value);
                assert_eq!(w.bytes.len() * 8 - usize::from(w.free) == bits, in_size);
                assert_eq!(reader(&w).uint(), Ok(value));
            }
        }
        for value in [0, 1, -1, i64::MIN, i64::MAX] {
            let mut w = Writer::default();
            w.int(value);
            w.uint(value as u64);
            let mut r = reader(&w);
            assert_eq!((r.int(), r.uint()), (Ok(value), Ok(value as u64)));
            assert!(r.left() < 8 && r.bits(8) == Err(Wrong::End));
        }
    }

    #[test]
    fn xor_without_a_window_is_read_as_one_of_all_bits() {
        let mut w = Writer::default();
        w.bits(0b10, 2);
        w.bits(7, 64);
        let mut last = Xor::new(1);
        assert_eq!(reader(&w).xor(&mut last), Ok(()));
        assert_eq!(last.bits, 6);
        // A window of more than 64 bits.
        let mut w = Writer::default();
        w.bits(0b11, 2);
        w.bits(31, 5);
        w.bits(40, 6);
        w.bits(0, 64);
        assert_eq!(reader(&w).xor(&mut last), Err(Wrong::Number));
    }
}

//! Reading XOR chunks.
//!
//! What always holds: nothing is read outside the bytes, whatever is in them; after the last sample
//! the reader knows all that an appender needs to go on.

use super::{ChunkError, Last, Window};

/// The samples of a chunk, one by one. After an error there are no more.
#[derive(Debug, Clone)]
pub struct Reader<'a> {
    bytes: &'a [u8],
    /// Next bit to read.
    bit: usize,
    samples: u16,
    pub(super) last: Last,
    done: bool,
}

impl<'a> Reader<'a> {
    /// # Errors
    /// If there is not even a count.
    pub fn new(bytes: &'a [u8]) -> Result<Self, ChunkError> {
        let Some(samples) = bytes.first_chunk::<2>() else {
            return Err(ChunkError::Truncated {
                sample: 0,
                samples: 0,
            });
        };
        Ok(Self {
            bytes,
            bit: 16,
            samples: u16::from_be_bytes(*samples),
            last: Last::default(),
            done: false,
        })
    }

    fn sample(&mut self) -> Result<(i64, f64), ChunkError> {
        let sample = self.last.samples + 1;
        match sample {
            1 => {
                let zigzag = self.varint()?;
                self.last.t_ms = (zigzag >> 1) as i64 ^ -((zigzag & 1) as i64);
                self.last.bits = self.read(64)?;
            }
            2 => {
                self.last.delta = self.varint()?;
                self.last.t_ms = self.last.t_ms.wrapping_add(self.last.delta as i64);
                self.value()?;
            }
            _ => {
                let dod = self.delta_of_delta()?;
                self.last.delta = self.last.delta.wrapping_add(dod as u64);
                self.last.t_ms = self.last.t_ms.wrapping_add(self.last.delta as i64);
                self.value()?;
            }
        }
        self.last.samples = sample;
        Ok((self.last.t_ms, f64::from_bits(self.last.bits)))
    }

    fn delta_of_delta(&mut self) -> Result<i64, ChunkError> {
        for bits in [0, 14, 17, 20] {
            if self.read(1)? == 0 {
                if bits == 0 {
                    return Ok(0);
                }
                let x = self.read(bits)? as i64;
                // Not two's complement: the half itself is positive.
                return Ok(if x > 1 << (bits - 1) {
                    x - (1 << bits)
                } else {
                    x
                });
            }
        }
        Ok(self.read(64)? as i64)
    }

    fn value(&mut self) -> Result<(), ChunkError> {
        if self.read(1)? == 0 {
            return Ok(());
        }
        if self.read(1)? == 1 {
            let leading = self.read(5)? as u8;
            let significant = match self.read(6)? as u8 {
                0 => 64,
                n => n,
            };
            if leading + significant > 64 {
                return Err(self.malformed());
            }
            self.last.window = Window {
                leading,
                significant,
            };
        }
        if self.last.window.significant == 0 {
            // A Prometheus that goes on with a chunk it has read has no window yet, and takes it for
            // one of all bits.
            self.last.window.significant = 64;
        }
        let Window {
            leading,
            significant,
        } = self.last.window;
        let xor = self.read(u32::from(significant))?;
        self.last.bits ^= xor << (64 - leading - significant);
        Ok(())
    }

    fn varint(&mut self) -> Result<u64, ChunkError> {
        let mut value = 0;
        for i in 0..10 {
            let byte = self.read(8)?;
            if i == 9 && byte > 1 {
                break;
            }
            value |= (byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(self.malformed())
    }

    /// The next `n` bits, 1 to 64.
    fn read(&mut self, n: u32) -> Result<u64, ChunkError> {
        let end = self.bit + n as usize;
        if end > self.bytes.len() * 8 {
            return Err(ChunkError::Truncated {
                sample: self.last.samples + 1,
                samples: self.samples,
            });
        }
        let mut value = 0u64;
        while self.bit < end {
            let free = 8 - self.bit % 8;
            let take = free.min(end - self.bit);
            let part = (u32::from(self.bytes[self.bit / 8]) >> (free - take)) & ((1 << take) - 1);
            value = (value << take) | u64::from(part);
            self.bit += take;
        }
        Ok(value)
    }

    fn malformed(&self) -> ChunkError {
        ChunkError::Malformed {
            sample: self.last.samples + 1,
        }
    }
}

impl Iterator for Reader<'_> {
    type Item = Result<(i64, f64), ChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        if self.last.samples == self.samples {
            self.done = true;
            self.last.free = (self.bytes.len() * 8 - self.bit).min(255) as u8;
            // Prometheus' writer begins the next byte as soon as it has filled one, so a chunk that
            // ends with a whole byte has an empty one behind it.
            let begun = self.last.free == 8 && self.bytes.last() == Some(&0);
            return (self.last.free >= 8 && !begun).then_some(Err(ChunkError::Trailing));
        }
        let sample = self.sample();
        self.done = sample.is_err();
        Some(sample)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        let left = usize::from(self.samples - self.last.samples);
        (if self.done { 0 } else { left }, Some(left + 1))
    }
}

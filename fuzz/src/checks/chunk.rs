//! XOR chunks against a plain reading of the format (protocol notes, section 9), one bit at a time.

use saimon::window::chunk::{self, ChunkAppender};

/// Bits, the most significant of each byte first.
pub struct Bits<'a> {
    pub bytes: &'a [u8],
    pub at: usize,
}

impl Bits<'_> {
    pub fn bit(&mut self) -> Option<u64> {
        let byte = *self.bytes.get(self.at / 8)?;
        let bit = byte >> (7 - self.at % 8) & 1;
        self.at += 1;
        Some(u64::from(bit))
    }

    pub fn number(&mut self, bits: u32) -> Option<u64> {
        let mut number = 0;
        for _ in 0..bits {
            number = number << 1 | self.bit()?;
        }
        Some(number)
    }

    pub fn varint(&mut self) -> Option<u64> {
        let mut number: u128 = 0;
        for i in 0..10 {
            let byte = self.number(8)?;
            number |= u128::from(byte & 0x7f) << (7 * i);
            if byte < 0x80 {
                return u64::try_from(number).ok();
            }
        }
        None
    }

    /// A number in two's complement whose range reaches one further up than down.
    pub fn signed(&mut self, bits: u32) -> Option<i64> {
        let number = i128::from(self.number(bits)?);
        let half = 1i128 << (bits - 1);
        let signed = if number > half {
            number - 2 * half
        } else {
            number
        };
        Some(if bits == 64 {
            number as i64
        } else {
            signed as i64
        })
    }
}

/// All samples; `None` if this is no chunk.
fn plain(bytes: &[u8]) -> Option<Vec<(i64, u64)>> {
    let mut bits = Bits { bytes, at: 0 };
    let count = bits.number(16)?;
    let mut samples: Vec<(i64, u64)> = Vec::new();
    // All bits, until there is another: so Prometheus' reader has it, and a Prometheus that goes on
    // with a chunk that it has read writes so.
    let (mut delta, mut window) = (0u64, (64, 0));
    for i in 0..count {
        let Some(&(last_ms, last)) = samples.last() else {
            let t = bits.varint()?;
            let t_ms = (t >> 1) as i64 ^ -((t & 1) as i64);
            samples.push((t_ms, bits.number(64)?));
            continue;
        };
        if i == 1 {
            delta = bits.varint()?;
        } else {
            let mut ones = 0;
            while ones < 4 && bits.bit()? == 1 {
                ones += 1;
            }
            let change = match ones {
                0 => 0,
                1 => bits.signed(14)?,
                2 => bits.signed(17)?,
                3 => bits.signed(20)?,
                _ => bits.signed(64)?,
            };
            delta = delta.wrapping_add(change as u64);
        }
        let mut value = last;
        if bits.bit()? == 1 {
            if bits.bit()? == 1 {
                let leading = bits.number(5)?;
                let significant = match bits.number(6)? {
                    0 => 64,
                    n => n,
                };
                let trailing = 64u64.checked_sub(leading + significant)?;
                window = (significant, trailing);
            }
            let (significant, trailing) = window;
            value ^= bits.number(significant as u32)? << trailing;
        }
        samples.push((last_ms.wrapping_add(delta as i64), value));
    }
    // Prometheus' writer begins a byte as soon as it has filled the one before.
    let free = bytes.len() * 8 - bits.at;
    (free < 8 || free == 8 && bytes.last() == Some(&0)).then_some(samples)
}

fn read(bytes: &[u8]) -> Option<Vec<(i64, u64)>> {
    let samples = chunk::decode(bytes).ok()?;
    Some(samples.iter().map(|(t, v)| (*t, v.to_bits())).collect())
}

/// Samples made of the input: near and far in time, alike and not alike in value.
fn made(data: &[u8]) -> Vec<(i64, u64)> {
    let mut samples = Vec::new();
    let (mut t_ms, mut step, mut value) = (0i64, 15_000i64, 0u64);
    let mut rest = data;
    while let [op, tail @ ..] = rest {
        let wide = |n: usize| {
            let mut word = [0; 8];
            let n = n.min(tail.len());
            word[..n].copy_from_slice(&tail[..n]);
            (u64::from_le_bytes(word), n)
        };
        let mut used = 0;
        match op & 3 {
            0 => {}
            1 => {
                let (change, n) = wide(2);
                step = step.wrapping_add(i64::from(change as u16 as i16) * 64);
                used = n;
            }
            _ => {
                let (change, n) = wide(if op & 3 == 2 { 3 } else { 8 });
                step = step.wrapping_add(change as i64);
                used = n;
            }
        }
        t_ms = t_ms.wrapping_add(step);
        match op >> 2 & 3 {
            0 => {}
            1 => value ^= u64::from(*op) << (op >> 4),
            2 => value = f64::from_bits(value).mul_add(1.5, 1.0).to_bits(),
            _ => {
                let (word, n) = wide(8);
                value = word;
                used = used.max(n);
            }
        }
        samples.push((t_ms, value));
        rest = &tail[used..];
    }
    samples
}

pub fn check(data: &[u8]) {
    // Bytes of a stranger: the same samples, or no chunk to either.
    assert!(read(data) == plain(data));
    if let Some(samples) = plain(data) {
        let resumed = ChunkAppender::resume(data.to_vec()).expect("it was read");
        assert!(resumed.len() == samples.len());
    }
    // What is appended comes back, also after a stop half-way.
    let samples = made(data);
    let mut chunk = ChunkAppender::new();
    let stop = data.len() % (samples.len() + 1);
    for (i, (t_ms, value)) in samples.iter().enumerate() {
        if i == stop {
            chunk = ChunkAppender::resume(chunk.bytes().to_vec()).expect("its own bytes");
        }
        assert!(chunk.append(*t_ms, f64::from_bits(*value)));
    }
    assert!(plain(chunk.bytes()).as_ref() == Some(&samples));
    assert!(read(chunk.bytes()) == Some(samples));
}

//! The frames of a streamed answer: uvarint length, CRC-32C of the message, big-endian, message
//! (protocol.md, section 8).
//!
//! What always holds: a message is given only when its checksum is right; no more is held than one
//! frame and what came with its end.

use crate::backfill::source::ANSWER_BYTES_MAX;

/// Bytes of one message: Prometheus' `chunked_read_limit`.
pub const FRAME_BYTES_MAX: usize = 50 * 1000 * 1000;
/// A length of 64 bits.
const VARINT_BYTES_MAX: usize = 10;
const CRC_BYTES: usize = 4;

/// Why frames cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame {frame} has {bytes} bytes, more than {FRAME_BYTES_MAX}")]
    TooLarge { frame: u64, bytes: u64 },
    #[error("frame {frame} has an impossible length")]
    Length { frame: u64 },
    #[error("frame {frame} does not have its checksum: {found:08x} instead of {declared:08x}")]
    Checksum {
        frame: u64,
        declared: u32,
        found: u32,
    },
    #[error("it ends within frame {frame}")]
    Truncated { frame: u64 },
}

/// Bytes in, messages out.
#[derive(Debug, Default)]
pub struct Frames {
    held: Vec<u8>,
    /// Where the next frame begins in `held`.
    at: usize,
    /// Its number, from 0.
    frame: u64,
}

impl Frames {
    pub fn push(&mut self, bytes: &[u8]) {
        if self.at > 0 {
            self.held.drain(..self.at);
            self.at = 0;
        }
        self.held.extend_from_slice(bytes);
    }

    /// The next whole message; `None` if more bytes are needed.
    ///
    /// # Errors
    /// If what there is can be no frame.
    pub fn message(&mut self) -> Result<Option<&[u8]>, FrameError> {
        const { assert!(FRAME_BYTES_MAX < ANSWER_BYTES_MAX) };
        let frame = self.frame;
        let rest = &self.held[self.at..];
        let Some((bytes, header)) = length(rest).map_err(|()| FrameError::Length { frame })? else {
            return Ok(None);
        };
        let size = usize::try_from(bytes)
            .ok()
            .filter(|size| *size <= FRAME_BYTES_MAX)
            .ok_or(FrameError::TooLarge { frame, bytes })?;
        let Some(whole) = rest.get(header..header + CRC_BYTES + size) else {
            return Ok(None);
        };
        let (crc, message) = whole.split_at(CRC_BYTES);
        let declared = u32::from_be_bytes([crc[0], crc[1], crc[2], crc[3]]);
        let found = crc32c::crc32c(message);
        if declared != found {
            return Err(FrameError::Checksum {
                frame,
                declared,
                found,
            });
        }
        self.frame += 1;
        let start = self.at + header + CRC_BYTES;
        self.at = start + size;
        Ok(Some(&self.held[start..self.at]))
    }

    /// To be called at the end of the answer.
    ///
    /// # Errors
    /// If it is not the end of a frame.
    pub fn finish(&self) -> Result<(), FrameError> {
        if self.at < self.held.len() {
            return Err(FrameError::Truncated { frame: self.frame });
        }
        Ok(())
    }
}

/// A uvarint and its size; `None` if it is not all there.
fn length(bytes: &[u8]) -> Result<Option<(u64, usize)>, ()> {
    let mut value = 0u64;
    for (i, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        let bits = u64::from(byte & 0x7f);
        if i == VARINT_BYTES_MAX - 1 && *byte > 1 {
            return Err(());
        }
        value |= bits << (7 * i);
        if byte & 0x80 == 0 {
            return Ok(Some((value, i + 1)));
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX {
        return Err(());
    }
    Ok(None)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(message: &[u8]) -> Vec<u8> {
        let mut out = Vec::new();
        crate::wire::field::put_varint(&mut out, message.len() as u64);
        out.extend(crc32c::crc32c(message).to_be_bytes());
        out.extend(message);
        out
    }

    #[test]
    fn messages_come_out_however_the_bytes_come_in() {
        let long = vec![7; 300];
        let messages: [&[u8]; 4] = [b"one", b"", &long, b"four"];
        let bytes: Vec<u8> = messages.iter().flat_map(|m| frame(m)).collect();
        for step in [1, 2, 3, 7, 100, bytes.len()] {
            let mut frames = Frames::default();
            let mut got = Vec::new();
            for some in bytes.chunks(step) {
                frames.push(some);
                while let Some(message) = frames.message().unwrap() {
                    got.push(message.to_vec());
                }
            }
            assert_eq!(got, messages);
            assert_eq!(frames.finish(), Ok(()));
        }
    }

    #[test]
    fn damage_is_found() {
        let good = frame(b"message");
        for cut in 1..good.len() {
            let mut frames = Frames::default();
            frames.push(&good[..cut]);
            assert_eq!(frames.message(), Ok(None));
            assert_eq!(frames.finish(), Err(FrameError::Truncated { frame: 0 }));
        }
        for bit in 8..good.len() * 8 {
            let mut bad = good.clone();
            bad[bit / 8] ^= 1 << (bit % 8);
            let mut frames = Frames::default();
            frames.push(&bad);
            assert!(matches!(frames.message(), Err(FrameError::Checksum { .. })));
        }
        for (bytes, error) in [
            (&[0xff; 12][..], FrameError::Length { frame: 0 }),
            (
                &[0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1],
                FrameError::TooLarge {
                    frame: 0,
                    bytes: u64::MAX,
                },
            ),
            (
                &[0x81, 0xe1, 0xeb, 0x17],
                FrameError::TooLarge {
                    frame: 0,
                    bytes: 50_000_001,
                },
            ),
        ] {
            let mut frames = Frames::default();
            frames.push(bytes);
            assert_eq!(frames.message(), Err(error));
        }
    }
}

//! Reading histogram chunks.

use super::bits::{self, Wrong};
use super::state::State;
use super::{FLAGS, GAUGE, HEADER_BYTES, HistogramChunkError, RESET};
use crate::window::encoding::Encoding;
use crate::wire::histogram::{NativeHistogram, ResetHint};

/// The histograms of a chunk, one by one. After an error there are no more.
#[derive(Debug, Clone)]
pub struct HistogramReader<'a> {
    bits: bits::Reader<'a>,
    float: bool,
    flags: u8,
    samples: u16,
    pub(super) read: u16,
    pub(super) state: Option<State>,
    pub(super) first_ms: i64,
    done: bool,
}

impl<'a> HistogramReader<'a> {
    /// # Errors
    /// If there is not even a header, or if it is no chunk of histograms.
    pub fn new(bytes: &'a [u8], encoding: Encoding) -> Result<Self, HistogramChunkError> {
        if encoding == Encoding::Xor {
            return Err(HistogramChunkError::Encoding);
        }
        let Some([high, low, flags]) = bytes.first_chunk::<HEADER_BYTES>() else {
            return Err(HistogramChunkError::Truncated {
                sample: 0,
                samples: 0,
            });
        };
        Ok(Self {
            bits: bits::Reader {
                bytes,
                at: HEADER_BYTES * 8,
            },
            float: encoding == Encoding::FloatHistogram,
            flags: flags & FLAGS,
            samples: u16::from_be_bytes([*high, *low]),
            read: 0,
            state: None,
            first_ms: 0,
            done: false,
        })
    }

    /// Puts the next histogram into `out`, whose memory is used again; `None` after the last.
    pub fn next_into(
        &mut self,
        out: &mut NativeHistogram,
    ) -> Option<Result<(), HistogramChunkError>> {
        if self.done {
            return None;
        }
        if self.read == self.samples {
            self.done = true;
            // An empty byte that Prometheus' writer had begun, as in an XOR chunk.
            let begun = self.bits.left() == 8 && self.bits.bytes.last() == Some(&0);
            let trailing = self.bits.left() >= 8 && !begun;
            return trailing.then_some(Err(HistogramChunkError::Trailing));
        }
        let read = match &mut self.state {
            None => State::read_first(&mut self.bits, self.float).map(|state| {
                self.first_ms = state.t_ms();
                self.state = Some(state);
            }),
            Some(state) => state.read_next(&mut self.bits),
        };
        if let Err(wrong) = read {
            self.done = true;
            let sample = self.read + 1;
            return Some(Err(match wrong {
                Wrong::End => HistogramChunkError::Truncated {
                    sample,
                    samples: self.samples,
                },
                Wrong::Number => HistogramChunkError::Malformed { sample },
            }));
        }
        self.read += 1;
        // As Prometheus has it: that the chunk before had no reset is not known here.
        let hint = match (self.flags, self.read) {
            (GAUGE, _) => ResetHint::Gauge,
            (RESET, 1) => ResetHint::Yes,
            (_, 1) => ResetHint::Unknown,
            _ => ResetHint::No,
        };
        if let Some(state) = &self.state {
            state.put(hint, out);
        }
        Some(Ok(()))
    }

    /// Samples that the header claims; a sample takes four bits at least.
    pub fn claimed(&self) -> u16 {
        self.samples
    }

    /// Unused bits of the last byte.
    pub(super) fn free(&self) -> u8 {
        self.bits.left() as u8
    }
}

impl Iterator for HistogramReader<'_> {
    type Item = Result<NativeHistogram, HistogramChunkError>;

    fn next(&mut self) -> Option<Self::Item> {
        let mut out = NativeHistogram::default();
        self.next_into(&mut out).map(|read| read.map(|()| out))
    }
}

//! Answers in samples: decoded, cut to the range, one snappy block.
//!
//! Such a block cannot be begun before it is complete, so it is bounded: by samples, by bytes, and by
//! the room for all such answers together.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::Reading;
use super::answer::ReadError;
use super::select::Selected;
use super::source::Source;
use super::windows::Windows;
use crate::engine::ask::WindowChunk;
use crate::window::chunk;
use crate::window::encoding::Encoding;
use crate::window::histogram_chunk::HistogramReader;
use crate::wire::histogram::NativeHistogram;
use crate::wire::read_histogram;
use crate::wire::read_samples::SamplesAnswer;

/// Answers up to this size are compressed where they are; larger ones on a thread that may block.
const INLINE_MAX: usize = 256 * 1024;

/// Room is taken in steps of this many bytes.
const UNIT: usize = 64 * 1024;

/// Room for the answers that are being made, in [`UNIT`]s of uncompressed bytes.
#[derive(Debug)]
pub(super) struct Room {
    units: Arc<Semaphore>,
    answer_max: usize,
}

impl Room {
    /// For answers of up to `answer_max` bytes, two of the largest at once.
    pub(super) fn new(answer_max: usize) -> Self {
        let units = answer_max.div_ceil(UNIT).saturating_mul(2);
        Self {
            units: Arc::new(Semaphore::new(units.clamp(1, Semaphore::MAX_PERMITS))),
            answer_max,
        }
    }
}

/// A finished answer and its share of the room.
#[derive(Debug)]
pub(super) struct Packed {
    pub(super) bytes: Vec<u8>,
    pub(super) _room: Option<OwnedSemaphorePermit>,
}

/// An answer that is being made.
struct Making<'a, S: Source> {
    reading: &'a Reading<S>,
    answer: SamplesAnswer,
    room: Option<OwnedSemaphorePermit>,
    samples: usize,
}

/// Makes the answer to all queries.
pub(super) async fn make<S: Source>(
    reading: &Reading<S>,
    queries: &[Selected<S::Series>],
) -> Result<Packed, ReadError> {
    let mut making = Making {
        reading,
        answer: SamplesAnswer::new(),
        room: None,
        samples: 0,
    };
    for selected in queries {
        making.query(selected).await?;
    }
    let Making { answer, room, .. } = making;
    let raw = answer.into_bytes();
    let bytes = if raw.len() <= INLINE_MAX {
        compressed(&raw)?
    } else {
        match tokio::task::spawn_blocking(move || compressed(&raw)).await {
            Ok(bytes) => bytes?,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    };
    Ok(Packed { bytes, _room: room })
}

fn compressed(raw: &[u8]) -> Result<Vec<u8>, ReadError> {
    snap::raw::Encoder::new()
        .compress_vec(raw)
        .map_err(|e| ReadError::Broken(format!("an answer cannot be compressed: {e}")))
}

impl<S: Source> Making<'_, S> {
    async fn query(&mut self, selected: &Selected<S::Series>) -> Result<(), ReadError> {
        self.answer.begin_query();
        self.samples = 0;
        if selected.labels_only {
            for i in 0..selected.series.len() {
                self.answer.begin_series(selected.labels::<S>(i));
                self.answer.end_series(true);
                self.take_room()?;
            }
        } else {
            let mut windows = Windows::new(&self.reading.source, selected);
            while let Some(batch) = windows.next().await? {
                for (i, chunks) in batch {
                    self.answer.begin_series(selected.labels::<S>(i));
                    for chunk in &chunks {
                        self.chunk(chunk, selected.from_ms, selected.to_ms)?;
                    }
                    self.answer.end_series(false);
                    self.take_room()?;
                }
                // Whoever else is on this thread gets a turn after some milliseconds of decoding.
                tokio::task::yield_now().await;
            }
        }
        self.answer.end_query();
        let samples = self.samples as u64;
        self.reading.metrics.read_samples.inc_by(samples);
        Ok(())
    }

    /// Adds what a chunk has in the range.
    fn chunk(&mut self, chunk: &WindowChunk, from_ms: i64, to_ms: i64) -> Result<(), ReadError> {
        let broken = |why: String| ReadError::Broken(format!("a chunk is damaged: {why}"));
        match chunk.encoding {
            Encoding::Xor => {
                let reader = chunk::Reader::new(&chunk.bytes).map_err(|e| broken(e.to_string()))?;
                for sample in reader {
                    let (t_ms, value) = sample.map_err(|e| broken(e.to_string()))?;
                    if (from_ms..=to_ms).contains(&t_ms) {
                        self.count_sample()?;
                        self.answer.sample(t_ms, value);
                    }
                }
            }
            Encoding::Histogram | Encoding::FloatHistogram => {
                let mut reader = HistogramReader::new(&chunk.bytes, chunk.encoding)
                    .map_err(|e| broken(e.to_string()))?;
                let mut histogram = NativeHistogram::default();
                while let Some(read) = reader.next_into(&mut histogram) {
                    read.map_err(|e| broken(e.to_string()))?;
                    if (from_ms..=to_ms).contains(&histogram.timestamp_ms) {
                        self.count_sample()?;
                        self.answer.histogram(&read_histogram::encode(&histogram));
                    }
                }
            }
            Encoding::Anchor => {}
        }
        self.take_room()
    }

    fn count_sample(&mut self) -> Result<(), ReadError> {
        self.samples += 1;
        if self.samples > self.reading.limits.samples {
            return Err(ReadError::Samples(self.reading.limits.samples));
        }
        Ok(())
    }

    /// Takes room for what the answer has grown.
    fn take_room(&mut self) -> Result<(), ReadError> {
        let Room { units, answer_max } = &self.reading.room;
        if self.answer.len() > *answer_max {
            return Err(ReadError::AnswerTooLarge(*answer_max));
        }
        let held = self
            .room
            .as_ref()
            .map_or(0, OwnedSemaphorePermit::num_permits);
        let wanted = self.answer.len().div_ceil(UNIT);
        if wanted > held {
            let more = u32::try_from(wanted - held).unwrap_or(u32::MAX);
            let permit = Arc::clone(units)
                .try_acquire_many_owned(more)
                .map_err(|_| ReadError::NoRoom)?;
            match &mut self.room {
                Some(room) => room.merge(permit),
                None => self.room = Some(permit),
            }
        }
        Ok(())
    }
}

//! Answers in chunks: the windows as they are, framed, sent while they are read.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::Reading;
use super::answer::ReadError;
use super::feed::{Feed, Gone};
use super::select::Selected;
use super::source::Source;
use super::windows::Windows;
use crate::wire::read_chunks::{ChunkRef, FrameWriter};

/// Frames are handed on once there are this many bytes of them.
const SEND_BYTES: usize = 64 * 1024;

/// Why an answer was not sent to its end.
#[derive(Debug)]
pub(super) enum Cut {
    Gone,
    Failed(ReadError),
}

impl From<Gone> for Cut {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

impl From<ReadError> for Cut {
    fn from(e: ReadError) -> Self {
        Self::Failed(e)
    }
}

/// Whether there is something to send.
#[derive(Debug)]
pub(super) enum Begun {
    /// The first frames are there, or it is clear that there are none.
    Sending,
    /// It failed before that, so the answer can still be a status.
    Failed(ReadError),
}

/// An answer in chunks, as far as it is.
pub(super) struct ChunksAnswer<S: Source> {
    reading: Arc<Reading<S>>,
    frames: FrameWriter,
    feed: Feed,
    begun: Option<oneshot::Sender<Begun>>,
}

impl<S: Source> ChunksAnswer<S> {
    /// An answer into this feed, which says when it has begun.
    pub(super) fn new(reading: Arc<Reading<S>>, feed: Feed, begun: oneshot::Sender<Begun>) -> Self {
        let frames = FrameWriter::new(reading.limits.frame);
        Self {
            reading,
            frames,
            feed,
            begun: Some(begun),
        }
    }

    /// Sends the answers of all queries. Only `Ok` has ended the body; an error that could still be
    /// told as a status is none here.
    pub(super) async fn run(mut self, queries: &[Selected<S::Series>]) -> Result<(), Cut> {
        for (index, selected) in queries.iter().enumerate() {
            let sent = self.query(index, selected).await;
            match (sent, self.begun.take()) {
                (Err(Cut::Failed(error)), Some(begun)) => {
                    let _ = begun.send(Begun::Failed(error));
                    return Ok(());
                }
                (sent, begun) => {
                    self.begun = begun;
                    sent?;
                }
            }
        }
        self.send(0).await?;
        self.feed.end().await?;
        Ok(())
    }

    async fn query(&mut self, index: usize, selected: &Selected<S::Series>) -> Result<(), Cut> {
        if selected.labels_only {
            for i in 0..selected.series.len() {
                self.frames.begin_series(index, selected.labels::<S>(i));
                self.frames.end_series(true);
                self.send(SEND_BYTES).await?;
            }
            return Ok(());
        }
        let reading = Arc::clone(&self.reading);
        let mut windows = Windows::new(&reading.source, selected);
        while let Some(batch) = reading.in_time(windows.next()).await? {
            for (i, chunks) in batch {
                self.frames.begin_series(index, selected.labels::<S>(i));
                let mut samples = 0;
                for chunk in &chunks {
                    self.frames.chunk(ChunkRef {
                        first_ms: chunk.first_ms,
                        last_ms: chunk.last_ms,
                        kind: chunk.encoding as u8,
                        data: &chunk.bytes,
                    });
                    samples += u64::from(chunk.samples);
                    self.send(SEND_BYTES).await?;
                }
                self.frames.end_series(false);
                self.send(SEND_BYTES).await?;
                reading.metrics.read_samples.inc_by(samples);
            }
        }
        Ok(())
    }

    /// Sends the frames that are ready if they are at least so many bytes.
    async fn send(&mut self, at_least: usize) -> Result<(), Gone> {
        if self.frames.ready() < at_least {
            return Ok(());
        }
        if let Some(begun) = self.begun.take() {
            // Nobody listens if the request was dropped; the feed notices.
            let _ = begun.send(Begun::Sending);
        }
        let bytes = self.frames.take();
        self.feed.send(&bytes).await?;
        self.reading.metrics.read_bytes.inc_by(bytes.len() as u64);
        Ok(())
    }
}

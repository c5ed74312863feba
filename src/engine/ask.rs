//! Questions about windows: which series there are, and what samples they have.
//!
//! A shard answers between two batches, a bounded number of series at a time, so that a question
//! over all series delays no sample by more than a few milliseconds; what is no longer in memory is
//! read from the store on a thread that may block. What always holds: an answer has every sample of
//! the window that was accepted before the question reached its shard, and each once. Nothing older
//! than `store.window` is promised.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

use super::keep::{ClosedChunk, GroupId, PastChunks};
use super::long_past::{LongPast, LongPasts, Wanted};
use super::recall::Live;
use super::recall::statistic::LiveStatistic;
use super::resets::Resets;
use super::shard::Message;
use super::training::{FitListed, Training};
use crate::series::fingerprint::fingerprint;
use crate::series::matcher::Selector;
use crate::window::encoding::Encoding;

/// How long a question waits for room in the queue of a shard, and then again for its answer.
const WAIT: Duration = Duration::from_secs(20);

/// Why there is no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum AskError {
    #[error("more than {limit} series match")]
    TooMany { limit: usize },
    /// A shard did not take the question, or did not get to it in time.
    #[error("saimon is too busy to answer, try again")]
    Busy,
    #[error("more than {limit} series would have to be scored again")]
    TooManyAgain { limit: usize },
    #[error("more than {limit} samples would have to be scored again")]
    TooMuch { limit: usize },
    #[error("saimon is shutting down")]
    Closed,
    #[error("the store cannot be read: {0}")]
    Store(String),
}

/// Where a series' window is. Positions in groups are never given to another series, so an old place
/// is empty, never somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Place {
    pub(super) shard: u32,
    /// The group's number within its shard.
    pub(super) group: u32,
    pub(super) position: u16,
    pub(super) id: GroupId,
}

/// A series that was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Found {
    /// Its canonical label bytes.
    pub labels: Box<[u8]>,
    /// It is modelled as a counter.
    pub counter: bool,
    pub(super) place: Place,
    /// Which statistic, if it is one of the histogram at this place.
    pub(super) statistic: Option<u8>,
}

impl Found {
    /// Where its window is in its shard.
    pub fn group_and_position(&self) -> (u32, u16) {
        (self.place.group, self.place.position)
    }
}

/// Some samples of one series, neighbours in time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowChunk {
    /// Time of the first sample, in milliseconds.
    pub first_ms: i64,
    /// Time of the last sample, in milliseconds.
    pub last_ms: i64,
    pub samples: u16,
    pub encoding: Encoding,
    /// A chunk as in Prometheus' TSDB (`tsdb/docs/format/chunks.md`).
    pub bytes: Arc<[u8]>,
}

impl From<ClosedChunk> for WindowChunk {
    fn from(c: ClosedChunk) -> Self {
        Self {
            first_ms: c.first_ms,
            last_ms: c.last_ms,
            samples: c.samples,
            encoding: c.encoding,
            bytes: c.bytes.into(),
        }
    }
}

/// What a shard is asked. It answers in slices, see [`super::jobs`].
#[derive(Debug)]
pub enum Question {
    /// Series that match and may have samples in the range.
    Select {
        selector: Arc<Selector>,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
        /// Statistics of histograms are wanted as well.
        statistics: bool,
        answer: oneshot::Sender<Result<Vec<Found>, AskError>>,
    },
    /// What is in memory of the series at these places: (group, position).
    Windows {
        of: Vec<(u32, u16)>,
        from_ms: i64,
        to_ms: i64,
        answer: oneshot::Sender<Vec<Vec<ClosedChunk>>>,
    },
    /// The series at these places as they are now.
    Lives {
        of: Vec<(u32, u16)>,
        answer: oneshot::Sender<Vec<Option<Live>>>,
    },
    /// The statistics of histograms at these places as they are now: (group, position), and which.
    Statistics {
        of: Vec<((u32, u16), u8)>,
        answer: oneshot::Sender<Vec<Option<LiveStatistic>>>,
    },
    /// Something about history.
    History(super::history::Order),
    /// What series there are.
    Series(super::catalogue::Asked),
}

/// Answers questions about windows; cheap to clone.
#[derive(Debug, Clone)]
pub struct Reader {
    shards: Arc<[mpsc::Sender<Message>]>,
    past: Option<Arc<dyn PastChunks>>,
    training: Arc<Training>,
    long: Arc<LongPasts>,
    resets: Arc<Resets>,
}

impl Reader {
    /// A reader of these shards, and of the chunks that `past` has of their series.
    pub fn new(shards: Vec<mpsc::Sender<Message>>, past: Option<Arc<dyn PastChunks>>) -> Self {
        Self {
            shards: shards.into(),
            past,
            training: Arc::default(),
            long: Arc::default(),
            resets: Arc::default(),
        }
    }

    /// The same, of a process whose fits are in this list and whose long pasts are these.
    #[must_use]
    pub fn with_training(self, training: &Arc<Training>, long: &Arc<LongPasts>) -> Self {
        Self {
            training: Arc::clone(training),
            long: Arc::clone(long),
            ..self
        }
    }

    /// The same, of a process whose shards note resets here.
    #[must_use]
    pub fn with_resets(self, resets: &Arc<Resets>) -> Self {
        Self {
            resets: Arc::clone(resets),
            ..self
        }
    }

    /// Targets some of whose counters began anew.
    pub fn resets(&self) -> &Arc<Resets> {
        &self.resets
    }

    /// Fits that were handed to the trainers, the newest first.
    pub fn training(&self) -> Vec<FitListed> {
        self.training.list()
    }

    pub(super) fn shards(&self) -> &[mpsc::Sender<Message>] {
        &self.shards
    }

    /// All series that match and may have samples in `[from_ms, to_ms]`, unsorted. Series that are
    /// derived (the statistics of a histogram) are not among them.
    ///
    /// # Errors
    /// [`AskError::TooMany`] if they are more than `limit`; if a shard cannot answer.
    pub async fn select(
        &self,
        selector: Arc<Selector>,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
    ) -> Result<Vec<Found>, AskError> {
        self.find(selector, (from_ms, to_ms), limit, false).await
    }

    /// The same with the statistics of histograms, of which there are scores and no samples:
    /// [`Reader::recall`] knows them, [`Reader::windows`] has nothing of them.
    ///
    /// # Errors
    /// As [`Reader::select`].
    pub async fn select_scored(
        &self,
        selector: Arc<Selector>,
        from_ms: i64,
        to_ms: i64,
        limit: usize,
    ) -> Result<Vec<Found>, AskError> {
        self.find(selector, (from_ms, to_ms), limit, true).await
    }

    async fn find(
        &self,
        selector: Arc<Selector>,
        (from_ms, to_ms): (i64, i64),
        limit: usize,
        statistics: bool,
    ) -> Result<Vec<Found>, AskError> {
        let mut answers = Vec::with_capacity(self.shards.len());
        for sender in self.shards.iter() {
            let (answer, answered) = oneshot::channel();
            let question = Question::Select {
                selector: Arc::clone(&selector),
                from_ms,
                to_ms,
                limit,
                statistics,
                answer,
            };
            ask(sender, question).await?;
            answers.push(answered);
        }
        let mut found = Vec::new();
        for (shard, answered) in answers.into_iter().enumerate() {
            let mut more = answer(answered).await??;
            for one in &mut more {
                one.place.shard = shard as u32;
            }
            found.append(&mut more);
            if found.len() > limit {
                return Err(AskError::TooMany { limit });
            }
        }
        Ok(found)
    }

    /// The chunks of each of these series that have samples in `[from_ms, to_ms]`, in order of time
    /// and never overlapping, those in memory and those in the store. They may reach beyond the
    /// range. A series that is gone has none.
    ///
    /// # Errors
    /// If a shard cannot answer or the store cannot be read.
    pub async fn windows(
        &self,
        of: &[Found],
        from_ms: i64,
        to_ms: i64,
    ) -> Result<Vec<Vec<WindowChunk>>, AskError> {
        let in_order = |windows: Vec<Vec<ClosedChunk>>| {
            windows.into_iter().map(super::merge::in_order).collect()
        };
        self.gather(of, from_ms, to_ms, in_order).await
    }

    /// What the long past of a series says of it, fitted by a trainer if that is a day ago or never
    /// was. `None` while it waits for one, and for a past that is too short or never changes.
    ///
    /// # Errors
    /// If a shard cannot answer.
    pub async fn long_past(
        &self,
        found: &Found,
        wanted: Wanted,
    ) -> Result<Option<Arc<LongPast>>, AskError> {
        let id = fingerprint(&found.labels);
        if !self.long.is_due(id, wanted.now_ms) {
            return Ok(self.long.get(id));
        }
        let of = std::slice::from_ref(found);
        let chunks = self.windows(of, i64::MIN, i64::MAX).await?.concat();
        let (place, past) = (found.place, self.past.clone());
        let rows = move || past.map_or(Ok(Vec::new()), |p| p.rows(place.id, place.position));
        Ok(self.long.fit(id, wanted, chunks, rows).await)
    }

    /// Everything that there is of these series in `[from_ms, to_ms]`, anchors among it, for `then` on
    /// a thread that may block.
    pub(super) async fn gather<T: Send + 'static>(
        &self,
        of: &[Found],
        from_ms: i64,
        to_ms: i64,
        then: impl FnOnce(Vec<Vec<ClosedChunk>>) -> T + Send + 'static,
    ) -> Result<T, AskError> {
        let question = |of, answer| Question::Windows {
            of,
            from_ms,
            to_ms,
            answer,
        };
        let mut windows = self.each(of, question).await?;
        // Only now the store: what it did not have yet when memory was read, memory still had.
        let places: Vec<_> = of.iter().map(|f| f.place).collect();
        let past = self.past.clone();
        tokio::task::spawn_blocking(move || {
            if let Some(past) = past {
                super::merge::add_past(&*past, &places, from_ms, to_ms, &mut windows)?;
            }
            Ok(then(windows))
        })
        .await
        .unwrap_or(Err(AskError::Closed))
    }

    /// Each of these series as it is now; `None` for one without a model of its own.
    pub(super) async fn lives(&self, of: &[Found]) -> Result<Vec<Option<Live>>, AskError> {
        self.each(of, |of, answer| Question::Lives { of, answer })
            .await
    }

    /// Each of these statistics as it is now; `None` for one that is not there.
    pub(super) async fn statistics(
        &self,
        of: &[Found],
    ) -> Result<Vec<Option<LiveStatistic>>, AskError> {
        let place = |f: &Found| ((f.place.group, f.place.position), f.statistic.unwrap_or(0));
        let question = |of, answer| Question::Statistics { of, answer };
        self.each_by(of, place, question).await
    }

    /// Asks the shards of these series about their places; answers in the order of the series.
    async fn each<T: Default>(
        &self,
        of: &[Found],
        question: impl Fn(Vec<(u32, u16)>, oneshot::Sender<Vec<T>>) -> Question,
    ) -> Result<Vec<T>, AskError> {
        self.each_by(of, Found::group_and_position, question).await
    }

    async fn each_by<P, T: Default>(
        &self,
        of: &[Found],
        place: impl Fn(&Found) -> P,
        question: impl Fn(Vec<P>, oneshot::Sender<Vec<T>>) -> Question,
    ) -> Result<Vec<T>, AskError> {
        let mut by_shard = vec![Vec::new(); self.shards.len()];
        for (i, found) in of.iter().enumerate() {
            if let Some(asked) = by_shard.get_mut(found.place.shard as usize) {
                asked.push(i);
            }
        }
        let mut answers = Vec::new();
        for (sender, asked) in self.shards.iter().zip(by_shard) {
            if asked.is_empty() {
                continue;
            }
            let (answer, answered) = oneshot::channel();
            let places = asked.iter().map(|i| place(&of[*i])).collect();
            ask(sender, question(places, answer)).await?;
            answers.push((asked, answered));
        }
        let mut all: Vec<T> = of.iter().map(|_| T::default()).collect();
        for (asked, answered) in answers {
            for (i, one) in asked.into_iter().zip(answer(answered).await?) {
                all[i] = one;
            }
        }
        Ok(all)
    }
}

/// Puts a question into the queue of a shard.
pub(super) async fn ask(
    sender: &mpsc::Sender<Message>,
    question: Question,
) -> Result<(), AskError> {
    let room = tokio::time::timeout_at(Instant::now() + WAIT, sender.reserve()).await;
    match room {
        Ok(Ok(permit)) => {
            permit.send(Message::Ask(question));
            Ok(())
        }
        Ok(Err(_)) => Err(AskError::Closed),
        Err(_) => Err(AskError::Busy),
    }
}

/// Waits for the answer of a shard; one that has too many questions drops them.
pub(super) async fn answer<T>(answered: oneshot::Receiver<T>) -> Result<T, AskError> {
    match tokio::time::timeout(WAIT, answered).await {
        Ok(Ok(answer)) => Ok(answer),
        Ok(Err(_)) | Err(_) => Err(AskError::Busy),
    }
}

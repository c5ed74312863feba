//! Questions under way in one shard: each is answered a slice at a time, between batches.
//!
//! What always holds: a slice takes a few milliseconds at most, whatever was asked; a question whose
//! asker has gone is dropped at its next slice.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::ask::{AskError, Found, Question};
use super::history::{Given, Order};
use super::keep::ClosedChunk;
use super::shard::Shard;
use super::shard::warm::Warming;
use crate::series::matcher::Selector;

/// Questions that wait in a shard; one more is dropped, which tells whoever asked that saimon is
/// busy.
const JOBS_MAX: usize = 64;
/// Series whose labels are looked at in one slice. A regular expression takes up to a microsecond.
const SELECT_SLICE: u32 = 2048;
/// Series whose chunks are copied in one slice.
const WINDOWS_SLICE: usize = 128;
/// Units of history that are given out at once.
const WANTING_MAX: usize = 1024;

/// One question under way.
#[derive(Debug)]
enum Job {
    Select {
        selector: Arc<Selector>,
        range: (i64, i64),
        limit: usize,
        next: u32,
        found: Vec<Found>,
        answer: oneshot::Sender<Result<Vec<Found>, AskError>>,
    },
    Windows {
        of: Vec<(u32, u16)>,
        range: (i64, i64),
        chunks: Vec<Vec<ClosedChunk>>,
        answer: oneshot::Sender<Vec<Vec<ClosedChunk>>>,
    },
    Wanting {
        limit: usize,
        answer: oneshot::Sender<Vec<super::history::Unit>>,
    },
    Give {
        warming: Warming,
        answer: oneshot::Sender<Given>,
    },
}

/// The questions of one shard, first come, first served.
#[derive(Debug, Default)]
pub struct Jobs {
    waiting: VecDeque<Job>,
}

impl Jobs {
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    pub fn add(&mut self, question: Question) {
        if self.waiting.len() < JOBS_MAX {
            self.waiting.push_back(Job::from(question));
        }
    }

    /// Does one slice of the oldest.
    pub fn step(&mut self, shard: &mut Shard, now_ms: i64) {
        let next = self.waiting.pop_front();
        if let Some(more) = next.and_then(|job| job.step(shard, now_ms)) {
            self.waiting.push_front(more);
        }
    }
}

impl From<Question> for Job {
    fn from(question: Question) -> Self {
        match question {
            Question::Select {
                selector,
                from_ms,
                to_ms,
                limit,
                answer,
            } => Self::Select {
                selector,
                range: (from_ms, to_ms),
                limit,
                next: 0,
                found: Vec::new(),
                answer,
            },
            Question::Windows {
                of,
                from_ms,
                to_ms,
                answer,
            } => Self::Windows {
                chunks: Vec::with_capacity(of.len()),
                of,
                range: (from_ms, to_ms),
                answer,
            },
            Question::History(Order::Wanting { limit, answer }) => Self::Wanting {
                limit: limit.min(WANTING_MAX),
                answer,
            },
            Question::History(Order::Give {
                members,
                history,
                plant,
                answer,
            }) => Self::Give {
                warming: Warming::new(members, history, plant),
                answer,
            },
        }
    }
}

impl Job {
    /// Does one slice; gives what is left, if anything.
    fn step(self, shard: &mut Shard, now_ms: i64) -> Option<Self> {
        let left_alone = match &self {
            Self::Select { answer, .. } => answer.is_closed(),
            Self::Windows { answer, .. } => answer.is_closed(),
            Self::Wanting { answer, .. } => answer.is_closed(),
            // Once begun it is brought to its end, whoever waits for it.
            Self::Give { .. } => false,
        };
        if left_alone {
            return None;
        }
        match self {
            Self::Select {
                selector,
                range,
                limit,
                next,
                mut found,
                answer,
            } => {
                let next = shard.select(&selector, range, next, SELECT_SLICE, &mut found);
                if found.len() > limit {
                    let _ = answer.send(Err(AskError::TooMany { limit }));
                    return None;
                }
                let Some(next) = next else {
                    let _ = answer.send(Ok(found));
                    return None;
                };
                Some(Self::Select {
                    selector,
                    range,
                    limit,
                    next,
                    found,
                    answer,
                })
            }
            Self::Windows {
                of,
                range,
                mut chunks,
                answer,
            } => {
                let done = chunks.len();
                for place in of.iter().skip(done).take(WINDOWS_SLICE) {
                    chunks.push(shard.chunks(*place, range.0, range.1));
                }
                if chunks.len() == of.len() {
                    let _ = answer.send(chunks);
                    return None;
                }
                Some(Self::Windows {
                    of,
                    range,
                    chunks,
                    answer,
                })
            }
            Self::Wanting { limit, answer } => {
                let _ = answer.send(shard.wanting(limit, now_ms));
                None
            }
            Self::Give {
                mut warming,
                answer,
            } => match shard.warm(&mut warming, now_ms) {
                Some(given) => {
                    let _ = answer.send(given);
                    None
                }
                None => Some(Self::Give { warming, answer }),
            },
        }
    }
}

//! Questions under way in one shard: each is answered a slice at a time, between batches.
//!
//! What always holds: a slice takes a few milliseconds at most, whatever was asked (but for what one
//! series costs); a question whose asker has gone is dropped at its next slice.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::oneshot;

use super::ask::{AskError, Found, Question};
use super::catalogue::{self, Asked};
use super::history::{Given, Order};
use super::keep::ClosedChunk;
use super::recall::Live;
use super::recall::statistic::LiveStatistic;
use super::shard::Shard;
use super::shard::warm::Warming;
use crate::clock::Clock;
use crate::series::matcher::Selector;

/// Questions that wait in a shard; one more is dropped, which tells whoever asked that saimon is
/// busy.
const JOBS_MAX: usize = 64;
/// Series whose labels are looked at in one slice.
const SELECT_SLICE: u32 = 2048;
/// A regular expression usually takes a microsecond, and can take milliseconds: with one, a slice ends
/// after this time, in milliseconds ...
const SELECT_MS: i64 = 2;
/// ... which is looked at after so many series.
const SELECT_FEW: u32 = 4;
/// Series whose chunks are copied in one slice.
const WINDOWS_SLICE: usize = 128;
/// Series that are looked at as they are now in one slice; one with a forest is copied with its rows.
const LIVES_SLICE: usize = 16;
/// Units of history that are given out at once.
const WANTING_MAX: usize = 1024;

/// One question under way.
#[derive(Debug)]
enum Job {
    Select {
        selector: Arc<Selector>,
        range: (i64, i64),
        limit: usize,
        statistics: bool,
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
    Lives {
        of: Vec<(u32, u16)>,
        lives: Vec<Option<Live>>,
        answer: oneshot::Sender<Vec<Option<Live>>>,
    },
    Statistics {
        of: Vec<((u32, u16), u8)>,
        lives: Vec<Option<LiveStatistic>>,
        answer: oneshot::Sender<Vec<Option<LiveStatistic>>>,
    },
    Wanting {
        limit: usize,
        answer: oneshot::Sender<Vec<super::history::Unit>>,
    },
    Give {
        warming: Warming,
        answer: oneshot::Sender<Given>,
    },
    Series(Asked),
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
    pub fn step(&mut self, shard: &mut Shard, clock: &dyn Clock) {
        let next = self.waiting.pop_front();
        if let Some(more) = next.and_then(|job| job.step(shard, clock)) {
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
                statistics,
                answer,
            } => Self::Select {
                selector,
                range: (from_ms, to_ms),
                limit,
                statistics,
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
            Question::Lives { of, answer } => Self::Lives {
                lives: Vec::with_capacity(of.len()),
                of,
                answer,
            },
            Question::Statistics { of, answer } => Self::Statistics {
                lives: Vec::with_capacity(of.len()),
                of,
                answer,
            },
            Question::Series(asked) => Self::Series(asked),
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
    fn step(self, shard: &mut Shard, clock: &dyn Clock) -> Option<Self> {
        let now_ms = clock.now_ms();
        let left_alone = match &self {
            Self::Select { answer, .. } => answer.is_closed(),
            Self::Windows { answer, .. } => answer.is_closed(),
            Self::Lives { answer, .. } => answer.is_closed(),
            Self::Statistics { answer, .. } => answer.is_closed(),
            Self::Wanting { answer, .. } => answer.is_closed(),
            Self::Series(asked) => asked.answer.is_closed(),
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
                statistics,
                next,
                mut found,
                answer,
            } => {
                let (few, until) = if selector.has_regex() {
                    (SELECT_FEW, next.saturating_add(SELECT_SLICE))
                } else {
                    (SELECT_SLICE, 0)
                };
                let mut next = shard.select((&selector, statistics), range, next, few, &mut found);
                while let Some(from) = next
                    && from < until
                    && found.len() <= limit
                    && clock.now_ms().saturating_sub(now_ms) < SELECT_MS
                {
                    next = shard.select((&selector, statistics), range, from, few, &mut found);
                }
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
                    statistics,
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
            Self::Lives {
                of,
                mut lives,
                answer,
            } => {
                let done = lives.len();
                for place in of.iter().skip(done).take(LIVES_SLICE) {
                    lives.push(shard.live(*place));
                }
                if lives.len() == of.len() {
                    let _ = answer.send(lives);
                    return None;
                }
                Some(Self::Lives { of, lives, answer })
            }
            Self::Statistics {
                of,
                mut lives,
                answer,
            } => {
                let done = lives.len();
                for (place, which) in of.iter().skip(done).take(LIVES_SLICE) {
                    lives.push(shard.live_statistic(*place, usize::from(*which)));
                }
                if lives.len() == of.len() {
                    let _ = answer.send(lives);
                    return None;
                }
                Some(Self::Statistics { of, lives, answer })
            }
            Self::Series(mut asked) => {
                let (few, slices) = match asked.wanted.has_regex() {
                    true => (SELECT_FEW, catalogue::SLICE / SELECT_FEW),
                    false => (catalogue::SLICE, 1),
                };
                for _ in 0..slices {
                    asked = asked.step(shard, few)?;
                    if clock.now_ms().saturating_sub(now_ms) >= SELECT_MS {
                        break;
                    }
                }
                Some(Self::Series(asked))
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

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering};

    use super::*;
    use crate::config::DetectConfig;
    use crate::engine::batch::Families;
    use crate::engine::history::History;
    use crate::engine::pool::{EngineSpec, Pool};
    use crate::engine::rules::Rules;
    use crate::series::kind::Kind;
    use crate::series::labels;
    use crate::telemetry::Metrics;
    use crate::wire::write::MetricType;

    /// A clock that goes on by a millisecond whenever it is looked at.
    #[derive(Debug, Default)]
    struct Ticking(AtomicI64);

    impl Clock for Ticking {
        fn now_ms(&self) -> i64 {
            self.0.fetch_add(1, Ordering::Relaxed)
        }
    }

    fn shard(series: usize) -> Shard {
        let spec = EngineSpec {
            shards: 1,
            series_max: 1000,
            queue_max: 2,
            families_max: 10,
            forget_ms: i64::MAX,
            keeps: false,
            wants_history: false,
        };
        let rules = Rules::try_from(&DetectConfig::default()).unwrap();
        let pool = Pool::new(&spec, rules, &Arc::new(Metrics::new()));
        let mut shard = pool.into_shards().remove(0);
        let history = (0..series).map(|i| History {
            labels: labels::encode([("__name__", "up"), ("i", &*i.to_string())]).into(),
            floats: vec![(1, 1.0)],
            histograms: Vec::new(),
        });
        let mut warming = Warming::new(Vec::new(), history.collect(), true);
        while shard.warm(&mut warming, 0).is_none() {}
        assert_eq!(shard.len(), series);
        shard
    }

    #[test]
    fn metadata_that_comes_while_a_history_is_taken_in_is_heard() {
        let mut shard = shard(1);
        let labels = labels::encode([("__name__", "jobs_done")]);
        let history = History {
            labels: labels.clone().into(),
            floats: (0..5_000).map(|i| (i * 1000, i as f64 % 7.0)).collect(),
            histograms: Vec::new(),
        };
        let mut warming = Warming::new(Vec::new(), vec![history], true);
        assert_eq!(shard.warm(&mut warming, 0), None);
        let said = (Box::from("jobs_done"), MetricType::Counter);
        shard.families(&Families {
            all: [said].into(),
            seq: 0,
        });
        while shard.warm(&mut warming, 0).is_none() {}
        let track = shard.track(&labels).unwrap();
        assert_eq!(track.kind(), Kind::Counter);
        assert_eq!(track.head().last_ms(), Some(4_999_000));
    }

    /// Steps until a question for all series of `selector` is answered, and how many those are.
    fn steps(shard: &mut Shard, selector: &str) -> (usize, usize) {
        let (answer, mut answered) = oneshot::channel();
        let mut jobs = Jobs::default();
        jobs.add(Question::Select {
            selector: Arc::new(Selector::parse(selector).unwrap()),
            from_ms: 0,
            to_ms: 10,
            limit: 1000,
            statistics: false,
            answer,
        });
        let clock = Ticking::default();
        let mut steps = 0;
        while !jobs.is_empty() {
            jobs.step(shard, &clock);
            steps += 1;
        }
        (steps, answered.try_recv().unwrap().unwrap().len())
    }

    /// A pattern can be made so that a series takes milliseconds; samples must not wait for 2,048.
    #[test]
    fn a_slice_with_a_pattern_ends_by_time() {
        let mut shard = shard(100);
        assert_eq!(steps(&mut shard, "up"), (1, 100));
        let two_looks = 2 * SELECT_FEW as usize;
        let wanted = (100usize.div_ceil(two_looks), 100);
        assert_eq!(steps(&mut shard, "{i=~\".+\"}"), wanted);
    }
}

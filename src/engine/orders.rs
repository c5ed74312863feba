//! What is ordered for which series, and how shards hear of it: as a message, taken between two batches.
//!
//! The [`Desk`] has the book of the moment and hands each new one to all shards. What always holds: a
//! series that is born, restored or woken goes by the newest book that its shard has heard of; orders
//! count by the time of samples, so when exactly a shard hears of them decides nothing as long as it
//! is before the first sample that they are about.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::mpsc;

use super::shard::Message;
use crate::model::orders::{Lines, Orders, Pause};
use crate::series::fingerprint::fingerprint;
use crate::series::labels;
use crate::series::matcher::Selector;

/// Moved lines of one series, in the order of time.
pub type Moved = Arc<[(i64, Lines)]>;

/// All orders.
#[derive(Debug, Clone, Default)]
pub struct Book {
    lines: Arc<HashMap<u64, Moved>>,
    pauses: Arc<Vec<(Selector, Arc<Pause>)>>,
}

impl Book {
    /// With the lines of these series, by the fingerprints of their canonical labels.
    #[must_use]
    pub fn with_lines(self, lines: HashMap<u64, Moved>) -> Self {
        Self {
            lines: Arc::new(lines),
            ..self
        }
    }

    /// With these pauses, each for the series that its selector matches.
    #[must_use]
    pub fn with_pauses(self, pauses: Vec<(Selector, Arc<Pause>)>) -> Self {
        Self {
            pauses: Arc::new(pauses),
            ..self
        }
    }

    /// What is ordered for the series with these canonical label bytes.
    pub fn of(&self, canonical: &[u8]) -> Option<Arc<Orders>> {
        if self.lines.is_empty() && self.pauses.is_empty() {
            return None;
        }
        let lines = match self.lines.is_empty() {
            true => None,
            false => self.lines.get(&fingerprint(canonical)).cloned(),
        };
        let holds = |s: &Selector| s.matches(|name| labels::get(canonical, name));
        let pauses: Vec<_> = self
            .pauses
            .iter()
            .filter(|(selector, _)| holds(selector))
            .map(|(_, pause)| Arc::clone(pause))
            .collect();
        if lines.is_none() && pauses.is_empty() {
            return None;
        }
        Some(Arc::new(Orders {
            lines: lines.unwrap_or_else(|| [].into()),
            pauses,
        }))
    }
}

/// A new book for a shard.
#[derive(Debug, Clone)]
pub struct NewOrders {
    pub book: Book,
    /// It is new for the series with these canonical label bytes alone; `None`: for any.
    pub only: Option<Arc<[u8]>>,
}

/// Where orders are given.
#[derive(Debug)]
pub struct Desk {
    /// Held while shards are told, so that all of them hear the same last.
    book: Mutex<Book>,
    shards: Vec<mpsc::Sender<Message>>,
}

impl Desk {
    /// For shards that have this book already.
    pub fn new(book: Book, shards: Vec<mpsc::Sender<Message>>) -> Self {
        Self {
            book: Mutex::new(book),
            shards,
        }
    }

    /// Moves the lines of one series. Blocks until every shard has the order in its queue.
    pub fn move_lines(&self, canonical: &[u8], moved: Moved) {
        let fp = fingerprint(canonical);
        self.tell(Some(&canonical.into()), |book| {
            Arc::make_mut(&mut book.lines).insert(fp, moved);
        });
    }

    /// Other pauses than before. Blocks as [`Desk::move_lines`] does.
    pub fn pause(&self, pauses: Vec<(Selector, Arc<Pause>)>) {
        self.tell(None, |book| book.pauses = Arc::new(pauses));
    }

    fn tell(&self, only: Option<&Arc<[u8]>>, change: impl FnOnce(&mut Book)) {
        let mut book = self.book.lock().unwrap_or_else(PoisonError::into_inner);
        change(&mut book);
        for shard in &self.shards {
            let order = NewOrders {
                book: book.clone(),
                only: only.cloned(),
            };
            // Fails only if the shard has ended.
            let _ = shard.blocking_send(Message::Order(order));
        }
    }
}

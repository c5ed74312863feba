//! What people said, read before the first sample and told to the shards.

use std::path::Path;
use std::sync::Arc;

use crate::clock::Clock;
use crate::engine::orders::Book;
use crate::engine::pool::{Engine, Pool};
use crate::feedback::Feedbacks;
use crate::store::notes::NotesError;

/// The folder of what people said, below the data directory.
const FOLDER: &str = "said";

/// What people said.
pub(super) struct Said {
    /// `None` if it cannot be kept: scoring goes on without.
    pub(super) feedback: Option<Arc<Feedbacks>>,
    book: Book,
}

impl Said {
    /// Reads it and has the shards go by it.
    ///
    /// # Errors
    /// If a newer saimon wrote it.
    pub(super) fn open(
        data_dir: &Path,
        pool: &mut Pool,
        clock: &dyn Clock,
    ) -> anyhow::Result<Self> {
        let feedback = match Feedbacks::open(&data_dir.join(FOLDER), clock.now_ms()) {
            Ok(feedback) => Some(Arc::new(feedback)),
            Err(error @ NotesError::Unavailable { .. }) => {
                tracing::error!(%error, "what people said of anomalies cannot be read, scoring goes on without");
                None
            }
            Err(error) => return Err(error.into()),
        };
        let mut book = Book::default();
        if let Some(feedback) = &feedback {
            book = book.with_lines(feedback.lines());
        }
        pool.order(&book);
        Ok(Self { feedback, book })
    }

    /// What is said from now on is told to the shards.
    pub(super) fn start(&self, engine: &Engine) {
        let desk = Arc::new(engine.desk(self.book.clone()));
        if let Some(feedback) = &self.feedback {
            feedback.tell(Arc::clone(&desk));
        }
    }
}

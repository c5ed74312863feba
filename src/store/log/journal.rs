//! The log as the engine's journal.

use super::options::SyncMode;
use super::{Log, LogError};
use crate::engine::journal::{Journal, JournalError, Synced};

impl Journal for Log {
    fn append(&self, kind: u8, parts: &[&[u8]]) -> Result<u64, JournalError> {
        Ok(Log::append(self, kind, parts)?)
    }

    fn waits(&self) -> bool {
        self.inner.options.sync == SyncMode::Always
    }

    fn synced(&self, seq: u64) -> Synced<'_> {
        Box::pin(async move { Ok(Log::synced(self, seq).await?) })
    }
}

impl From<LogError> for JournalError {
    fn from(error: LogError) -> Self {
        match error {
            LogError::Full { .. } | LogError::NoSpace { .. } => Self::Full(error.to_string()),
            _ => Self::Failed(error.to_string()),
        }
    }
}

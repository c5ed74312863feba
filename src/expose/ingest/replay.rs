//! Kept requests, taken once more at a start.
//!
//! They go the way that they went when they arrived, with the time at which they did; so what becomes
//! of them is what became of them then.

use super::decode::Decoder;
use crate::config::LimitsConfig;
use crate::engine::journal::{ORDER, REQUEST};
use crate::engine::keep::PARTITIONS;
use crate::engine::router::{RouteError, Router};

/// The largest body that `limits.body_raw` can allow. What was taken is read whatever it allows today.
const BODY_RAW_MAX: bytesize::ByteSize = bytesize::ByteSize::gib(1);

/// Takes kept requests, in the order of their numbers.
#[derive(Debug)]
pub struct Replay<'a> {
    decoder: Decoder,
    router: &'a Router,
    covered: &'a [u64; PARTITIONS],
}

/// Why a record was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It is passed over.
    #[error("record {seq} of the write-ahead log cannot be read: {why}")]
    Unreadable { seq: u64, why: String },
    #[error(transparent)]
    Closed(#[from] RouteError),
}

impl<'a> Replay<'a> {
    /// Of requests whose labels are within `limits`. Partitions have the records up to their number in
    /// `covered` already.
    pub fn new(limits: &LimitsConfig, router: &'a Router, covered: &'a [u64; PARTITIONS]) -> Self {
        let at_once = router.shards() * limits.queue_batches as usize;
        let limits = LimitsConfig {
            body_raw: BODY_RAW_MAX,
            ..limits.clone()
        };
        Self {
            decoder: Decoder::new(&limits, at_once),
            router,
            covered,
        }
    }

    /// Takes one record. Blocks while the queues of shards are full.
    ///
    /// # Errors
    /// See [`ReplayError`].
    pub fn take(&self, seq: u64, kind: u8, payload: &[u8]) -> Result<(), ReplayError> {
        let unreadable = |why: String| ReplayError::Unreadable { seq, why };
        if kind == ORDER {
            return match self.router.replay_order(payload, seq, self.covered)? {
                true => Ok(()),
                false => Err(unreadable("an order of another version".to_owned())),
            };
        }
        if kind != REQUEST {
            self.router.passed(seq);
            return Err(unreadable(format!(
                "it is of kind {kind}, made by another version"
            )));
        }
        match self.decoder.decode_kept(payload) {
            Ok((plain, received_ms)) => {
                self.router
                    .replay(plain.body, &plain.arena, received_ms, seq, self.covered)?;
                Ok(())
            }
            Err(e) => {
                self.router.passed(seq);
                Err(unreadable(e.to_string()))
            }
        }
    }
}

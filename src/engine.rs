//! Moves batches to the shard that owns each series, and runs the shards.
//!
//! A series lives in exactly one shard; a [`shard::Shard`] is an ordinary struct with `&mut self`
//! methods, tested without a thread. Requests reach it as one bounded send per shard.

pub mod anchor;
pub mod ask;
pub mod batch;
pub mod catalogue;
pub mod churn;
pub mod feed;
pub mod groups;
pub mod history;
pub mod incident;
pub mod jobs;
pub mod joint;
pub mod journal;
pub mod keep;
pub mod kin;
pub mod long_past;
pub mod memory;
mod merge;
pub mod models;
pub mod orders;
pub mod pool;
pub mod prefetch;
pub mod presence;
pub mod recall;
pub mod record;
pub mod records;
pub mod resets;
pub mod router;
pub mod rules;
pub mod shard;
pub mod slab;
pub mod state;
pub mod table;
pub mod tally;
pub mod tap;
pub mod trainer;
pub mod training;
pub mod worker;

//! What was acknowledged is kept, and what is scored after a crash is what would have been scored
//! without it.
//!
//! `process` is a saimon whose shards, store and crashes are in the hands of the test: real HTTP, real
//! write-ahead log. `killed` and `faults` are about the program itself.

#[path = "support/client.rs"]
mod client;
#[path = "durability/faults.rs"]
mod faults;
#[path = "durability/killed.rs"]
mod killed;
#[path = "durability/log_full.rs"]
mod log_full;
#[path = "durability/process.rs"]
mod process;
#[path = "support/reading.rs"]
mod reading;
#[path = "durability/same.rs"]
mod same;
#[path = "support/serving.rs"]
mod serving;
#[path = "durability/stream.rs"]
mod stream;

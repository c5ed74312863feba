//! What was acknowledged is kept, and what is scored after a crash is what would have been scored
//! without it.
//!
//! `process` is a saimon whose shards, store and crashes are in the hands of the test: real HTTP, real
//! write-ahead log. `killed`, `twin`, `faults` and `ready` are about the program itself.

#[path = "support/client.rs"]
mod client;
#[path = "durability/clock.rs"]
mod clock;
#[path = "durability/faults.rs"]
mod faults;
#[path = "durability/formats.rs"]
mod formats;
#[path = "durability/killed.rs"]
mod killed;
#[path = "support/listening.rs"]
mod listening;
#[path = "durability/log_full.rs"]
mod log_full;
#[path = "durability/newer.rs"]
mod newer;
#[path = "durability/power.rs"]
mod power;
#[path = "durability/process.rs"]
mod process;
#[path = "support/reading.rs"]
mod reading;
#[path = "durability/ready.rs"]
mod ready;
#[path = "durability/same.rs"]
mod same;
#[path = "support/serving.rs"]
mod serving;
#[path = "durability/stream.rs"]
mod stream;
#[path = "durability/twin.rs"]
mod twin;

//! One check for each target. None of them shares code with what it checks: the judge is prost, the
//! library that saimon does not use for it, or a plain reading of the format bit by bit.

#[path = "checks/chunk.rs"]
pub mod chunk;
#[path = "checks/config.rs"]
pub mod config;
#[path = "checks/frames.rs"]
pub mod frames;
#[path = "checks/histogram.rs"]
pub mod histogram;
#[path = "checks/histogram_chunk.rs"]
pub mod histogram_chunk;
#[path = "checks/message.rs"]
pub mod message;
#[path = "checks/read.rs"]
pub mod read;
#[path = "checks/selector.rs"]
pub mod selector;
#[path = "checks/snappy.rs"]
pub mod snappy;
#[path = "checks/wire_v1.rs"]
pub mod wire_v1;
#[path = "checks/wire_v2.rs"]
pub mod wire_v2;
#[path = "checks/zstd.rs"]
pub mod zstd;

/// Every target by its name.
pub const ALL: [(&str, fn(&[u8])); 11] = [
    ("chunk", chunk::check),
    ("config", config::check),
    ("frames", frames::check),
    ("histogram", histogram::check),
    ("histogram_chunk", histogram_chunk::check),
    ("read", read::check),
    ("selector", selector::check),
    ("snappy", snappy::check),
    ("wire_v1", wire_v1::check),
    ("wire_v2", wire_v2::check),
    ("zstd", zstd::check),
];

//! The past of series, read from a server that remembers it: remote read as a client.
//!
//! New series wait in the engine (`engine::history`); here they are gathered into few requests, read
//! from `history.url` and given back. What always holds: nothing here is on the way of a live sample
//! or of a start, and nothing is used of an answer that broke off; what a server can make grow has a
//! bound. What it does not know: what a sample means.

pub mod external;
pub mod fetch;
pub mod gather;
pub mod live;
pub mod once;
pub mod pace;
pub mod plan;
pub mod progress;
pub mod source;
pub mod span;

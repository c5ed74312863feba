//! The conformance checklist of remote write, remote read, exposition and forwarding, one test for
//! each of its items. What each item says in short, and what is known about it, is in
//! docs/conformance.md.
//!
//! The server is the one that `saimon serve` runs, with all its shards, behind a real socket; only
//! its clock is the test's. Nothing here looks at how the code does it.

#[path = "../support/client.rs"]
mod client;
#[path = "../support/listening.rs"]
mod listening;
#[path = "../support/peer.rs"]
mod peer;
#[path = "../support/reading.rs"]
mod reading;
#[path = "../support/serving.rs"]
mod serving;
mod support;

mod complete;
mod conformance_a;
mod conformance_b;
mod conformance_c;
mod conformance_d;
mod conformance_e;
mod conformance_f;
mod conformance_g;
mod conformance_h;
#[allow(
    dead_code,
    reason = "tests/outputs.rs kills programs and starts them again"
)]
mod outside;
mod page;
mod receiver;

//! Scores by remote write: what receivers have in the end is each score once, in order, whatever
//! happened to them or to saimon.

#[path = "support/client.rs"]
mod client;
#[path = "outputs/feed.rs"]
mod feed;
#[path = "outputs/hashmod.rs"]
mod hashmod;
#[path = "outputs/killed.rs"]
mod killed;
#[allow(dead_code, reason = "the conformance tests use all of it")]
#[path = "conformance/outside.rs"]
mod outside;
#[path = "support/reading.rs"]
mod reading;
#[allow(dead_code, reason = "the conformance tests use all of it")]
#[path = "conformance/receiver.rs"]
mod receiver;
#[path = "outputs/receivers.rs"]
mod receivers;
#[path = "support/serving.rs"]
mod serving;

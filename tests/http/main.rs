//! The HTTP surface from outside: bytes over real sockets, shards played by the test.

#[path = "../support/client.rs"]
mod client;
mod connections;
#[path = "../support/listening.rs"]
mod listening;
mod pages;
mod read;
mod server;
mod write;
mod write_v2;

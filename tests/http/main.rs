//! The HTTP surface from outside: bytes over real sockets, shards played by the test.

mod connections;
mod read;
mod server;
mod write;
mod write_v2;

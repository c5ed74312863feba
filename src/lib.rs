//! saimon scores every Prometheus sample in the write path.
//!
//! The layers, each of which may use those to its left and none to its right:
//!
//! ```text
//! wire -> series -> window -> model -> score -> engine
//!      -> store -> records -> { expose, output, backfill } -> app -> main
//! ```
//!
//! `config`, `clock` and `telemetry` stand at the side: everyone may use them, they use none of
//! the layers; `client` (HTTP towards others) too, and only what does I/O may use it. `tls` is what both ends of an
//! encrypted connection have in common, for `client` and `expose`. `backtest`, `config_file`,
//! `estimate`, `eval`, `generate`, `inspect` and `rules` are tools that ship in the same binary and use the
//! layers from outside. `tests/layers.rs` enforces the direction.
//!
//! From `wire` to `score` nothing is async, does I/O or reads a clock: benches, backtests and tests
//! drive these layers directly, with the very code that serves.

pub mod allocator;
pub mod client;
pub mod clock;
pub mod config;
pub mod telemetry;
pub mod tls;

pub mod wire;

pub mod series;

pub mod window;

pub mod model;

pub mod score;

pub mod engine;

pub mod store;

pub mod feedback;
pub mod maintenance;
pub mod records;

pub mod expose;

pub mod backfill;
pub mod output;

pub mod backtest;
pub mod config_file;
pub mod estimate;
pub mod eval;
pub mod generate;
pub mod inspect;
pub mod rules;

pub mod app;
pub mod cli;

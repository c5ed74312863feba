//! The configuration as a file: read, checked, documented.
//!
//! A tool beside the layers: it knows the types of [`crate::config`] and, for selectors, how
//! `series` reads them; no layer knows it. A file either means exactly one configuration or is
//! refused with every mistake in it.

pub mod check;
pub mod docs;
pub mod load;
pub mod preset;
pub mod prometheus;
pub mod report;
pub mod shape;
pub mod unit;
pub mod web;
pub mod yaml;

pub use load::{LoadError, load, parse};

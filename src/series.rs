//! What a series is: its labels, its fingerprint, which selectors match it, what kind it has.

pub mod family;
pub mod fingerprint;
pub mod kind;
pub mod label_store;
pub mod labels;
pub mod matcher;
pub mod md5;
mod re2;
pub mod relabel;

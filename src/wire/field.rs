//! Varints and tags.

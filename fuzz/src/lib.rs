//! What the fuzz targets check. Each check is a function of bytes that panics if something is wrong,
//! so that the same functions run as ordinary tests over the corpus (`tests/fuzz_corpus.rs`).

pub mod checks;

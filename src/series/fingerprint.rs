//! A series' 64-bit fingerprint: xxh3-64 of its canonical label bytes.
//!
//! Stable across versions and machines, so it may be stored. It finds a candidate; the label bytes
//! decide, because labels are chosen by strangers.

/// The fingerprint of canonical label bytes (see [`crate::wire::write::SeriesSpan`]).
pub fn fingerprint(labels: &[u8]) -> u64 {
    xxhash_rust::xxh3::xxh3_64(labels)
}

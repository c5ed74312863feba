//! What a series is scored as: its value or its rate, or nothing at all.

/// True for series that are received and never modelled, by the bytes of their name: histogram
/// buckets, `_info`, `_created`, timestamps, alerts, scrape bookkeeping, and saimon's own.
pub fn never_modelled(name: &[u8]) -> bool {
    name.ends_with(b"_bucket")
        || name.ends_with(b"_info")
        || name.ends_with(b"_created")
        || name.ends_with(b"_timestamp_seconds")
        || name.starts_with(b"ALERTS")
        || name.starts_with(b"saimon_")
        || name.starts_with(b"scrape_")
}

//! Durations and sizes as a user writes them.
//!
//! The configuration file and the rule files of Prometheus name durations alike (`12h`, `1m30s`), so
//! one way of printing serves both. What always holds: what is printed here is read back as the
//! same value.

use std::time::Duration;

use bytesize::ByteSize;

/// Largest unit first, with its length in milliseconds.
const DURATION_UNITS: [(&str, u128); 5] = [
    ("d", 86_400_000),
    ("h", 3_600_000),
    ("m", 60_000),
    ("s", 1_000),
    ("ms", 1),
];

/// Largest unit first, with its length in bytes.
const SIZE_UNITS: [(&str, u64); 4] = [
    ("GiB", 1 << 30),
    ("MiB", 1 << 20),
    ("KiB", 1 << 10),
    ("B", 1),
];

/// A duration as the configuration file and Prometheus write it, for example `1d12h`; whole
/// milliseconds, less is cut off.
pub fn duration(d: Duration) -> String {
    let mut left = d.as_millis();
    if left == 0 {
        return "0s".to_owned();
    }
    let mut text = String::new();
    for (name, length) in DURATION_UNITS {
        if left >= length {
            text.push_str(&format!("{}{name}", left / length));
            left %= length;
        }
    }
    text
}

/// A size as the configuration file writes it: the largest unit that leaves no rest, for example
/// `32MiB`.
pub fn size(s: ByteSize) -> String {
    let bytes = s.as_u64();
    let (name, length) = SIZE_UNITS
        .into_iter()
        .find(|(_, length)| bytes.is_multiple_of(*length) && bytes >= *length)
        .unwrap_or(("B", 1));
    format!("{}{name}", bytes / length)
}

/// Reads a duration such as `30s`, `12h` or `1h30m`; `None` if it is none.
pub fn parse_duration(text: &str) -> Option<Duration> {
    humantime::parse_duration(text).ok()
}

/// Reads a size such as `32MiB`, `1GB` or `65536`; `None` if it is none.
pub fn parse_size(text: &str) -> Option<ByteSize> {
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_back_as_they_are_printed() {
        for (ms, text) in [
            (0, "0s"),
            (10, "10ms"),
            (1_500, "1s500ms"),
            (90_000, "1m30s"),
            (86_400_000, "1d"),
            (130_000_000, "1d12h6m40s"),
        ] {
            let d = Duration::from_millis(ms);
            assert_eq!(duration(d), text);
            assert_eq!(parse_duration(text), Some(d));
        }
    }

    #[test]
    fn sizes_are_read_back_as_they_are_printed() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1KiB"),
            (32 << 20, "32MiB"),
            (3 << 30, "3GiB"),
            ((1 << 30) + 1, "1073741825B"),
        ] {
            assert_eq!(size(ByteSize::b(bytes)), text);
            assert_eq!(parse_size(text), Some(ByteSize::b(bytes)));
        }
    }
}

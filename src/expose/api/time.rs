//! Times of the API: RFC 3339 out; RFC 3339 or seconds since 1970 in.

use jiff::Timestamp;

use super::problem::shortened;

/// Milliseconds since 1970 of what a client sent; a date alone is its midnight in UTC.
pub(super) fn parse(text: &str) -> Option<i64> {
    if let Ok(seconds) = text.parse::<f64>() {
        let ms = (seconds * 1000.0).round();
        // What RFC 3339 can say: the years up to 9999.
        return (ms.abs() <= 253_402_300_799_000.0).then_some(ms as i64);
    }
    if let Ok(time) = text.parse::<Timestamp>() {
        return Some(time.as_millisecond());
    }
    let date: jiff::civil::Date = text.parse().ok()?;
    let midnight = date.to_zoned(jiff::tz::TimeZone::UTC).ok()?;
    Some(midnight.timestamp().as_millisecond())
}

/// What is said of a text that is no time.
pub(super) fn not_a_time(text: &str) -> String {
    let text = shortened(text);
    format!(
        "{text:?} is not a time: 2026-01-31T12:00:00Z or seconds since 1970 (a + in a URL is %2B)"
    )
}

/// As answers have it: `2023-11-14T22:13:20Z`, with milliseconds if there are any. A time that no
/// calendar has is the nearest that one has.
pub(in crate::expose) fn shown(ms: i64) -> String {
    let clamped = ms.clamp(
        Timestamp::MIN.as_millisecond() + 1,
        Timestamp::MAX.as_millisecond() - 1,
    );
    Timestamp::from_millisecond(clamped)
        .unwrap_or(Timestamp::UNIX_EPOCH)
        .to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_as_people_write_them() {
        for (text, ms) in [
            ("1700000000", Some(1_700_000_000_000)),
            ("1700000000.5", Some(1_700_000_000_500)),
            ("2023-11-14T22:13:20Z", Some(1_700_000_000_000)),
            ("2023-11-14T23:13:20.25+01:00", Some(1_700_000_000_250)),
            ("2023-11-14", Some(1_699_920_000_000)),
            ("yesterday", None),
            ("NaN", None),
            ("1e300", None),
            ("", None),
        ] {
            assert_eq!(parse(text), ms, "{text}");
        }
        assert_eq!(shown(1_700_000_000_000), "2023-11-14T22:13:20Z");
        assert_eq!(shown(1_700_000_000_250), "2023-11-14T22:13:20.25Z");
        assert!(!shown(i64::MIN).is_empty() && !shown(i64::MAX).is_empty());
    }
}

//! How long an answer asks to wait: `Retry-After`, seconds or a date (RFC 9110, section 10.2.3).

use std::time::Duration;

use jiff::civil::DateTime;
use jiff::fmt::strtime;
use jiff::tz::TimeZone;

/// The longest that is waited, whatever is asked for: a receiver's mistake must not silence us.
pub const RETRY_AFTER_MAX: Duration = Duration::from_secs(3600);

/// The three forms of a date that a recipient must read (RFC 9110, section 5.6.7).
const DATES: [&str; 3] = [
    "%a, %d %b %Y %H:%M:%S GMT",
    "%A, %d-%b-%y %H:%M:%S GMT",
    "%a %b %e %H:%M:%S %Y",
];

/// The wait from now on; none if the date has passed. `None` if it cannot be read.
pub fn parse(value: &str, now_ms: i64) -> Option<Duration> {
    let value = value.trim();
    let wait = if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        // More digits than fit mean for ever.
        value.parse().map_or(RETRY_AFTER_MAX, Duration::from_secs)
    } else {
        let at_ms = DATES.iter().find_map(|form| date(form, value))?;
        Duration::from_millis(u64::try_from(at_ms.saturating_sub(now_ms)).unwrap_or(0))
    };
    Some(wait.min(RETRY_AFTER_MAX))
}

fn date(form: &str, value: &str) -> Option<i64> {
    let civil: DateTime = strtime::parse(form, value).ok()?.to_datetime().ok()?;
    let at = civil.to_zoned(TimeZone::UTC).ok()?;
    Some(at.timestamp().as_millisecond())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seconds_and_every_form_of_a_date() {
        let now_ms = 784_111_747_000;
        let secs = |n| Some(Duration::from_secs(n));
        for (value, wait) in [
            (" 7", secs(7)),
            ("0", secs(0)),
            ("99999999999999999999999", Some(RETRY_AFTER_MAX)),
            ("Sun, 06 Nov 1994 08:49:37 GMT", secs(30)),
            ("Sunday, 06-Nov-94 08:49:37 GMT", secs(30)),
            ("Sun Nov  6 08:49:37 1994", secs(30)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", secs(0)),
            ("Sun, 06 Nov 2094 08:49:37 GMT", None),
            ("Sat, 06 Nov 2094 08:49:37 GMT", Some(RETRY_AFTER_MAX)),
            ("-1", None),
            ("1.5", None),
            ("soon", None),
            ("", None),
        ] {
            assert_eq!(parse(value, now_ms), wait, "{value}");
        }
    }
}

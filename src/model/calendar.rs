//! The wall clock that people live by: their time zone, with its changes of summer and winter time.
//!
//! A rush hour is at eight by the clock on the wall, not by UTC. What always holds: a time is turned
//! into local time without asking the zone; its changes are looked up once, up to 2100, and what is
//! beyond keeps the last one.

use std::sync::Arc;

use jiff::Timestamp;
use jiff::tz::TimeZone;

/// Changes of a zone's clocks that are looked up; two a year from 1970 to 2100 are 260, and no zone
/// had many more.
const CHANGES_MAX: usize = 1000;

/// A zone's distance from UTC, at all times. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Calendar {
    /// Times in milliseconds from which on an offset holds, rising, the first one before all times;
    /// and the offset in milliseconds, positive east of Greenwich.
    spans: Arc<[(i64, i64)]>,
}

/// There is no time zone of that name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no time zone {0:?}, use a name such as Europe/Berlin or UTC")]
pub struct NoZone(pub String);

/// The zone of this name in the database of time zones.
///
/// # Errors
/// If there is none.
pub fn zone(name: &str) -> Result<TimeZone, NoZone> {
    TimeZone::get(name).map_err(|_| NoZone(name.to_owned()))
}

impl Calendar {
    pub fn new(zone: &TimeZone) -> Self {
        let offset_ms = |offset: jiff::tz::Offset| i64::from(offset.seconds()) * 1000;
        let epoch = Timestamp::UNIX_EPOCH;
        let end: Timestamp = "2100-01-01T00:00:00Z"
            .parse()
            .expect("BUG: a time that is none");
        let mut spans = vec![(i64::MIN, offset_ms(zone.to_offset(epoch)))];
        let changes = zone.following(epoch).take_while(|t| t.timestamp() < end);
        for change in changes.take(CHANGES_MAX) {
            let offset = offset_ms(change.offset());
            // Some changes are of a name only.
            if spans.last().is_none_or(|(_, last)| *last != offset) {
                spans.push((change.timestamp().as_millisecond(), offset));
            }
        }
        Self {
            spans: spans.into(),
        }
    }

    /// A time, both in milliseconds since 1970: from UTC to what the clock on the wall shows.
    #[inline]
    pub fn local_ms(&self, t_ms: i64) -> i64 {
        let at = match self.spans.len() {
            1 => 0,
            _ => self.spans.partition_point(|(from, _)| *from <= t_ms) - 1,
        };
        t_ms.saturating_add(self.spans[at].1)
    }
}

impl Default for Calendar {
    fn default() -> Self {
        Self::new(&TimeZone::UTC)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn calendar(name: &str) -> Calendar {
        Calendar::new(&zone(name).unwrap())
    }

    #[test]
    fn noon_stays_noon_when_the_clocks_change() {
        let berlin = calendar("Europe/Berlin");
        let day = 86_400_000;
        for (time, hour) in [
            ("2026-03-28T11:00:00Z", 12),
            ("2026-03-29T10:00:00Z", 12),
            ("2026-10-24T10:00:00Z", 12),
            ("2026-10-25T11:00:00Z", 12),
            ("2026-03-29T00:59:59Z", 1),
            ("2026-03-29T01:00:00Z", 3),
        ] {
            let local = berlin.local_ms(crate::clock::parse_time(time).unwrap());
            assert_eq!(local.rem_euclid(day) / 3_600_000, hour, "{time}");
        }
        assert_eq!(Calendar::default().local_ms(12_345), 12_345);
        assert_eq!(calendar("Asia/Kolkata").local_ms(0), 19_800_000);
        assert_eq!(zone("Middle/Earth"), Err(NoZone("Middle/Earth".into())));
    }

    proptest! {
        /// The table says what the zone says, at any time until it ends.
        #[test]
        fn it_is_what_the_zone_says(
            name in prop::sample::select(vec![
                "UTC", "Europe/Berlin", "America/New_York", "America/Sao_Paulo", "Asia/Tehran",
                "Australia/Lord_Howe", "Pacific/Apia", "Africa/Casablanca",
            ]),
            t_ms in 0_i64..4_102_444_800_000,
        ) {
            let zone = zone(name).unwrap();
            let at = Timestamp::from_millisecond(t_ms).unwrap();
            let offset = i64::from(zone.to_offset(at).seconds()) * 1000;
            prop_assert_eq!(Calendar::new(&zone).local_ms(t_ms), t_ms + offset);
        }
    }
}

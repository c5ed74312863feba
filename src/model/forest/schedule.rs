//! When a forest is grown anew: once a day at a time of the series' own, or by a cron expression.
//!
//! Times are those of samples, never of a clock, so that a backtest has the same fits.

use std::str::FromStr;
use std::sync::Arc;

use chrono::{DateTime, Datelike, Timelike, Utc};
use croner::Cron;
use jiff::Timestamp;
use jiff::civil;
use jiff::tz::TimeZone;

/// When fits are due, once a series is older than a day.
#[derive(Debug, Clone, Default)]
pub enum Schedule {
    /// Once a day, spread over the day by the series' seed: they are many.
    #[default]
    Daily,
    /// When the expression says so in this zone.
    Cron(Arc<Expression>),
}

/// A cron expression in a time zone.
#[derive(Debug)]
pub struct Expression {
    text: String,
    cron: Cron,
    zone: TimeZone,
}

/// Why there is no such schedule.
#[derive(Debug, Clone, thiserror::Error, PartialEq, Eq)]
pub enum ScheduleError {
    #[error("{text:?} is no cron expression, use five fields such as \"0 3 * * *\": {why}")]
    Cron { text: String, why: String },
    #[error("{text:?} is never due: there is no such time")]
    Never { text: String },
}

/// Compares what the user wrote: two equal expressions are due at the same times.
impl PartialEq for Schedule {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Daily, Self::Daily) => true,
            (Self::Cron(a), Self::Cron(b)) => a.text == b.text && a.zone == b.zone,
            _ => false,
        }
    }
}

impl Schedule {
    /// The schedule that a user wrote: `daily`, or a cron expression in a zone.
    ///
    /// # Errors
    /// If it is neither, or of times that never come, such as 31 February.
    pub fn parse(text: &str, zone: &TimeZone) -> Result<Self, ScheduleError> {
        if text == "daily" {
            return Ok(Self::Daily);
        }
        let cron = Cron::from_str(text).map_err(|error| ScheduleError::Cron {
            text: text.to_owned(),
            why: error.to_string(),
        })?;
        let expression = Expression {
            text: text.to_owned(),
            cron,
            zone: zone.clone(),
        };
        if expression.after(0).is_none() {
            return Err(ScheduleError::Never {
                text: text.to_owned(),
            });
        }
        Ok(Self::Cron(Arc::new(expression)))
    }

    /// When the next fit is due after one at `t_ms`. Days have `day_ms`; `seed` spreads them.
    pub fn after(&self, t_ms: i64, day_ms: i64, seed: u64) -> i64 {
        match self {
            Self::Daily => {
                let slot = (seed % day_ms.max(1).unsigned_abs()) as i64;
                // The slot that lies nearest to a day from now.
                let from = t_ms.saturating_add(day_ms / 2);
                from.saturating_add((slot - from).rem_euclid(day_ms.max(1)))
            }
            Self::Cron(expression) => expression.after(t_ms).unwrap_or(i64::MAX),
        }
    }
}

impl Expression {
    /// The first time after `t_ms`. The expression is about wall-clock time, which is handed to the
    /// library as if it were UTC; what a change of clocks leaves out happens right after it, what it
    /// repeats happens once.
    fn after(&self, t_ms: i64) -> Option<i64> {
        let local = Timestamp::from_millisecond(t_ms)
            .ok()?
            .to_zoned(self.zone.clone())
            .datetime();
        let mut at = as_utc(local)?;
        loop {
            at = self.cron.find_next_occurrence(&at, false).ok()?;
            let zoned = as_civil(&at)?.to_zoned(self.zone.clone()).ok()?;
            let ms = zoned.timestamp().as_millisecond();
            // In an hour that comes twice, the first one may lie before.
            if ms > t_ms {
                return Some(ms);
            }
        }
    }
}

fn as_utc(local: civil::DateTime) -> Option<DateTime<Utc>> {
    let seconds = local.to_zoned(TimeZone::UTC).ok()?.timestamp().as_second();
    DateTime::from_timestamp(seconds, 0)
}

fn as_civil(at: &DateTime<Utc>) -> Option<civil::DateTime> {
    let part = |n: u32| i8::try_from(n).ok();
    civil::DateTime::new(
        i16::try_from(at.year()).ok()?,
        part(at.month())?,
        part(at.day())?,
        part(at.hour())?,
        part(at.minute())?,
        part(at.second())?,
        0,
    )
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: &str) -> i64 {
        crate::clock::parse_time(time).unwrap()
    }

    fn zone(name: &str) -> TimeZone {
        TimeZone::get(name).unwrap()
    }

    /// The next times of a schedule after another.
    fn times(schedule: &Schedule, from: &str, n: usize) -> Vec<String> {
        let mut at = ms(from);
        let next = || {
            at = schedule.after(at, 86_400_000, 7);
            Timestamp::from_millisecond(at).unwrap().to_string()
        };
        std::iter::repeat_with(next).take(n).collect()
    }

    #[test]
    fn an_expression_is_about_wall_clock_time() {
        let three = Schedule::parse("0 3 * * *", &zone("Europe/Berlin")).unwrap();
        // Clocks went on on 29 March 2026 and back on 25 October.
        assert_eq!(
            times(&three, "2026-03-27T12:00:00Z", 3),
            [
                "2026-03-28T02:00:00Z",
                "2026-03-29T01:00:00Z",
                "2026-03-30T01:00:00Z"
            ]
        );
        let sundays = Schedule::parse("30 2 * * SUN", &zone("Europe/Berlin")).unwrap();
        assert_eq!(
            times(&sundays, "2026-03-23T00:00:00Z", 2),
            // There was no half past two.
            ["2026-03-29T01:30:00Z", "2026-04-05T00:30:00Z"]
        );
        // There were two of them.
        assert_eq!(
            times(&sundays, "2026-10-24T00:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-11-01T01:30:00Z"]
        );
    }

    #[test]
    fn an_hour_that_comes_twice_does_not_hold_an_expression_up() {
        let often = Schedule::parse("*/15 * * * *", &zone("Europe/Berlin")).unwrap();
        let all = times(&often, "2026-10-24T23:50:00Z", 12);
        assert!(all.windows(2).all(|w| w[0] < w[1]), "{all:?}");
        assert!(all.contains(&"2026-10-25T02:15:00Z".to_owned()), "{all:?}");
    }

    #[test]
    fn daily_fits_are_a_day_apart_and_spread_over_it() {
        let day = 86_400_000;
        let first = Schedule::Daily.after(1_000, day, 12_345_678);
        assert!((day / 2..=3 * day / 2 + 1_000).contains(&first));
        assert_eq!(Schedule::Daily.after(first, day, 12_345_678), first + day);
        assert_ne!(Schedule::Daily.after(1_000, day, 12_345_679), first);
        // A sample that comes late does not move the slot.
        assert_eq!(
            Schedule::Daily.after(first + 60_000, day, 12_345_678),
            first + day
        );
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        let parse = |text| Schedule::parse(text, &TimeZone::UTC);
        assert_eq!(parse("daily"), Ok(Schedule::Daily));
        assert!(matches!(
            parse("now and then"),
            Err(ScheduleError::Cron { .. })
        ));
        let never = parse("0 0 31 2 *");
        assert!(
            matches!(never, Err(ScheduleError::Never { .. })),
            "{never:?}"
        );
    }
}

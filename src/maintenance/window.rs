//! One window of maintenance: which series, when, and what does not happen in it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::config::maintenance::WindowConfig;
use crate::model::calendar;
use crate::model::forest::schedule::Schedule;
use crate::series::matcher::Selector;

/// Longest time of one occurrence, in milliseconds: what is longer is no maintenance.
pub(super) const LONGEST_MS: i64 = 400 * 86_400_000;
/// Longest and shortest time of one that recurs.
const RECURRING_MS: std::ops::RangeInclusive<i64> = 60_000..=30 * 86_400_000;
/// Occurrences that one window may have between the past that is looked back at and the future that is
/// known ahead, some 50 days.
const OCCURRENCES_MAX: usize = 4096;
/// Characters of a comment, and of an author's name.
pub(super) const COMMENT_MAX: usize = 2000;
pub(super) const AUTHOR_MAX: usize = 200;

/// What somebody asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    pub selector: String,
    /// Milliseconds.
    pub start_ms: Option<i64>,
    pub end_ms: Option<i64>,
    pub schedule: Option<String>,
    /// Milliseconds.
    pub duration_ms: Option<i64>,
    pub time_zone: Option<String>,
    pub alert: bool,
    pub learn: bool,
    pub author: Option<String>,
    pub comment: Option<String>,
}

/// Where a window comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Source {
    Api,
    Config,
    /// A silence of the Alertmanager.
    Alertmanager,
}

impl Source {
    pub const ALL: [Self; 3] = [Self::Api, Self::Config, Self::Alertmanager];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Config => "config",
            Self::Alertmanager => "alertmanager",
        }
    }
}

/// Whether a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It will.
    Pending,
    Active,
    /// It never will again.
    Expired,
}

impl Stage {
    pub const ALL: [Self; 3] = [Self::Pending, Self::Active, Self::Expired];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Active => "active",
            Self::Expired => "expired",
        }
    }
}

/// Why there is no such window; which field says so.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {what}")]
pub struct WindowError {
    pub field: &'static str,
    pub what: String,
}

/// A window that there is, or was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Window {
    /// Never given to another.
    pub number: u64,
    pub wanted: Wanted,
    pub source: Source,
    pub created_ms: i64,
    /// Samples before this were judged without it.
    pub counts_ms: i64,
    /// It was ended, and holds for no sample from this time on.
    pub ended_ms: Option<i64>,
    /// The id of the silence that it was made of.
    #[serde(default)]
    pub silence: Option<String>,
}

fn wrong<T>(field: &'static str, what: impl Into<String>) -> Result<T, WindowError> {
    Err(WindowError {
        field,
        what: what.into(),
    })
}

impl Wanted {
    /// What a configuration asks for; fields have its names.
    ///
    /// # Errors
    /// If it makes no sense.
    pub fn read(config: &WindowConfig) -> Result<Self, WindowError> {
        let time = |field, text: &Option<String>| match text {
            None => Ok(None),
            Some(text) => match text.parse::<Timestamp>() {
                Ok(time) => Ok(Some(time.as_millisecond())),
                Err(_) => wrong(field, "not a time such as 2026-12-24T18:00:00Z"),
            },
        };
        let wanted = Self {
            selector: config.selector.clone(),
            start_ms: time("start", &config.start)?,
            end_ms: time("end", &config.end)?,
            schedule: config.schedule.clone(),
            duration_ms: config
                .duration
                .map(|d| i64::try_from(d.as_millis()).unwrap_or(i64::MAX)),
            time_zone: config.time_zone.clone(),
            alert: config.alert,
            learn: config.learn,
            author: None,
            comment: config.comment.clone(),
        };
        wanted.check(["start", "end"])?;
        Ok(wanted)
    }

    /// True if it makes sense; `names` are those of the times.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self, [start, end]: [&'static str; 2]) -> Result<(), WindowError> {
        if self.selector.is_empty() {
            return wrong("selector", "it is missing: which series is it for?");
        }
        if let Err(e) = Selector::parse(&self.selector) {
            return wrong("selector", e.to_string());
        }
        if self.alert && self.learn {
            return wrong("alert", "with `learn` too there is nothing that it changes");
        }
        for (field, text, max) in [
            ("comment", &self.comment, COMMENT_MAX),
            ("author", &self.author, AUTHOR_MAX),
        ] {
            if text.as_ref().is_some_and(|t| t.chars().count() > max) {
                return wrong(field, format!("more than {max} characters"));
            }
        }
        if let (Some(from), Some(to)) = (self.start_ms, self.end_ms)
            && from >= to
        {
            return wrong(end, format!("not after {start}"));
        }
        match (&self.schedule, self.duration_ms) {
            (None, Some(_)) => wrong("duration", "without a schedule: give an end"),
            (None, None) if self.time_zone.is_some() => {
                wrong("time_zone", "without a schedule: times have theirs")
            }
            (None, None) if self.end_ms.is_none() => wrong(end, "it is missing: when is it over?"),
            (None, None) => {
                let (from, to) = (self.start_ms.unwrap_or(0), self.end_ms.unwrap_or(0));
                if self.start_ms.is_some() && to.saturating_sub(from) > LONGEST_MS {
                    return wrong(end, "more than 400 days after the start");
                }
                Ok(())
            }
            (Some(_), None) => wrong("duration", "it is missing: how long is each?"),
            (Some(_), Some(ms)) if !RECURRING_MS.contains(&ms) => {
                wrong("duration", "it is outside 1m to 30d")
            }
            (Some(_), Some(_)) => self.schedule().map(|_| ()),
        }
    }

    fn schedule(&self) -> Result<Option<Schedule>, WindowError> {
        let Some(text) = &self.schedule else {
            return Ok(None);
        };
        let zone = self.time_zone.as_deref().unwrap_or("UTC");
        let zone = match calendar::zone(zone) {
            Ok(zone) => zone,
            Err(e) => return wrong("time_zone", e.to_string()),
        };
        match Schedule::parse(text, &zone) {
            Ok(Schedule::Daily) => wrong("schedule", "no cron expression such as `0 2 * * SUN`"),
            Ok(schedule) => Ok(Some(schedule)),
            Err(e) => wrong("schedule", e.to_string()),
        }
    }
}

impl Window {
    /// What a path calls it.
    pub fn id(&self) -> String {
        self.number.to_string()
    }

    /// Its times between two, disjoint and in order; from (included) and to (excluded).
    ///
    /// # Errors
    /// If there are too many of them.
    pub fn spans(&self, from_ms: i64, to_ms: i64) -> Result<Vec<(i64, i64)>, WindowError> {
        let wanted = &self.wanted;
        let first = self.counts_ms.max(wanted.start_ms.unwrap_or(i64::MIN));
        let last = (self.ended_ms.unwrap_or(i64::MAX)).min(wanted.end_ms.unwrap_or(i64::MAX));
        let schedule = wanted.schedule()?;
        let Some((schedule, long)) = schedule.zip(wanted.duration_ms) else {
            return Ok((first < last)
                .then_some((first, last))
                .into_iter()
                .collect());
        };
        let mut spans: Vec<(i64, i64)> = Vec::new();
        let mut at = from_ms.saturating_sub(long).saturating_sub(1);
        for count in 0.. {
            at = schedule.after(at, 86_400_000, 0);
            if at >= to_ms {
                break;
            }
            if count == OCCURRENCES_MAX {
                return wrong("schedule", "more often than about 80 times a day");
            }
            let (from, to) = (at.max(first), at.saturating_add(long).min(last));
            match spans.last_mut() {
                _ if from >= to => {}
                Some((_, end)) if *end >= from => *end = to.max(*end),
                _ => spans.push((from, to)),
            }
        }
        Ok(spans)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(time: &str) -> i64 {
        crate::clock::parse_time(time).unwrap()
    }

    fn window(wanted: Wanted) -> Window {
        Window {
            number: 1,
            wanted,
            source: Source::Api,
            created_ms: 0,
            counts_ms: 0,
            ended_ms: None,
            silence: None,
        }
    }

    fn sundays() -> Wanted {
        Wanted {
            selector: "{job=\"db\"}".to_owned(),
            schedule: Some("0 2 * * SUN".to_owned()),
            duration_ms: Some(2 * 3_600_000),
            time_zone: Some("Europe/Berlin".to_owned()),
            ..Wanted::default()
        }
    }

    #[test]
    fn a_recurring_one_follows_the_clock_on_the_wall() {
        let mut window = window(sundays());
        let (from, to) = (ms("2026-10-17T00:00:00Z"), ms("2026-10-26T00:00:00Z"));
        let sunday = |t: &str| (ms(t), ms(t) + 2 * 3_600_000);
        // Clocks went back in the second of these nights, after two o'clock came for the first time.
        let both = [
            sunday("2026-10-18T00:00:00Z"),
            sunday("2026-10-25T00:00:00Z"),
        ];
        assert_eq!(window.spans(from, to).unwrap(), both);
        // One that is under way at the beginning is among them.
        let late = ms("2026-10-18T01:00:00Z");
        assert_eq!(window.spans(late, late + 1).unwrap(), both[..1]);
        window.counts_ms = ms("2026-10-18T00:30:00Z");
        window.ended_ms = Some(ms("2026-10-25T01:00:00Z"));
        let cut = [
            (window.counts_ms, both[0].1),
            (both[1].0, ms("2026-10-25T01:00:00Z")),
        ];
        assert_eq!(window.spans(from, to).unwrap(), cut);
    }

    #[test]
    fn one_that_is_longer_than_its_distance_is_one() {
        let often = Wanted {
            schedule: Some("0 * * * *".to_owned()),
            duration_ms: Some(2 * 3_600_000),
            ..sundays()
        };
        let (from, to) = (ms("2026-10-17T00:00:00Z"), ms("2026-10-17T06:00:00Z"));
        assert_eq!(window(often).spans(from, to).unwrap().len(), 1);
    }

    #[test]
    fn what_makes_no_sense_names_its_field() {
        let once = Wanted {
            selector: "up".to_owned(),
            end_ms: Some(5),
            ..Wanted::default()
        };
        assert_eq!(once.check(["s", "e"]), Ok(()));
        assert_eq!(sundays().check(["s", "e"]), Ok(()));
        let text = |t: &str| Some(t.to_owned());
        for (wanted, field) in [
            (
                Wanted {
                    selector: String::new(),
                    ..once.clone()
                },
                "selector",
            ),
            (
                Wanted {
                    selector: "{".to_owned(),
                    ..once.clone()
                },
                "selector",
            ),
            (
                Wanted {
                    start_ms: Some(5),
                    ..once.clone()
                },
                "e",
            ),
            (
                Wanted {
                    end_ms: None,
                    ..once.clone()
                },
                "e",
            ),
            (
                Wanted {
                    duration_ms: Some(60_000),
                    ..once.clone()
                },
                "duration",
            ),
            (
                Wanted {
                    alert: true,
                    learn: true,
                    ..once.clone()
                },
                "alert",
            ),
            (
                Wanted {
                    time_zone: text("UTC"),
                    ..once
                },
                "time_zone",
            ),
            (
                Wanted {
                    time_zone: text("Middle/Earth"),
                    ..sundays()
                },
                "time_zone",
            ),
            (
                Wanted {
                    schedule: text("now and then"),
                    ..sundays()
                },
                "schedule",
            ),
            (
                Wanted {
                    schedule: text("daily"),
                    ..sundays()
                },
                "schedule",
            ),
            (
                Wanted {
                    duration_ms: None,
                    ..sundays()
                },
                "duration",
            ),
            (
                Wanted {
                    duration_ms: Some(1),
                    ..sundays()
                },
                "duration",
            ),
            (
                Wanted {
                    comment: Some("x".repeat(2001)),
                    ..sundays()
                },
                "comment",
            ),
        ] {
            let error = wanted.check(["s", "e"]).unwrap_err();
            assert_eq!(error.field, field, "{wanted:?}");
        }
        let minutely = Wanted {
            schedule: text("* * * * *"),
            duration_ms: Some(60_000),
            ..sundays()
        };
        assert!(window(minutely).spans(0, 50 * 86_400_000).is_err());
    }
}

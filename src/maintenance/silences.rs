//! Silences of an Alertmanager as windows in which nothing is learned.
//!
//! A silence is about labels of alerts; a window is about labels of series. What saimon's own alerts
//! add to those of a series is looked at here and left out of the window. What always holds: a silence
//! that cannot be said of series, or of all series at once, makes no window; what an answer can make
//! of memory has a bound. What it does not know: how silences are read.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};

use super::window::{AUTHOR_MAX, COMMENT_MAX, LONGEST_MS, Wanted};
use crate::series::labels;
use crate::series::matcher::{MatchOp, Matcher, Selector};

/// Windows that silences may make: half of all there may be.
pub const SILENCES_MAX: usize = super::WINDOWS_MAX / 2;
/// Matchers of one silence, and bytes of a name or a value. An alert has some ten labels.
const MATCHERS_MAX: usize = 64;
const TEXT_MAX: usize = 4096;
/// Memory for the regular expressions of one silence, in bytes.
const COMPILED_MAX: usize = 1 << 20;
/// The label by which an alert about a series has the name of the series' metric.
const METRIC: &str = "source_metric";
/// The label that has a whole series in one piece; what it says is in the others.
const SERIES: &str = "series";

/// Labels that alerts about series have besides those of the series, with the values that occur.
pub type AlertLabels = BTreeMap<String, Vec<String>>;

/// A silence, as `GET /api/v2/silences` has it (Alertmanager's `api/v2/openapi.yaml`).
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Silence {
    pub id: String,
    status: Status,
    #[serde(deserialize_with = "time")]
    starts_at: Timestamp,
    #[serde(deserialize_with = "time")]
    ends_at: Timestamp,
    #[serde(default)]
    created_by: String,
    #[serde(default)]
    comment: String,
    matchers: Vec<SilenceMatcher>,
}

#[derive(Debug, Clone, Deserialize)]
struct Status {
    state: String,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
struct SilenceMatcher {
    name: String,
    value: String,
    is_regex: bool,
    /// Alertmanagers before 0.22 have equality alone.
    #[serde(default = "yes")]
    is_equal: bool,
}

fn time<'a, D: Deserializer<'a>>(from: D) -> Result<Timestamp, D::Error> {
    let text = String::deserialize(from)?;
    text.parse().map_err(D::Error::custom)
}

fn yes() -> bool {
    true
}

/// What an answer makes.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Taken {
    /// By the id of the silence.
    pub windows: Vec<(String, Wanted)>,
    /// Silences that are active or will be, and make none.
    pub left_out: usize,
}

/// The windows of the silences in an answer, those of the newest silences if there are too many.
///
/// # Errors
/// If it is not an answer of an Alertmanager.
pub fn read(body: &[u8], alerts: &AlertLabels) -> Result<Taken, serde_json::Error> {
    let mut silences: Vec<Silence> = serde_json::from_slice(body)?;
    silences.retain(|s| s.status.state != "expired");
    silences.sort_by(|a, b| (b.starts_at, &b.id).cmp(&(a.starts_at, &a.id)));
    let mut taken = Taken::default();
    for silence in silences {
        match silence.window(alerts) {
            Some(window) if taken.windows.len() < SILENCES_MAX => {
                taken.windows.push((silence.id, window));
            }
            _ => taken.left_out += 1,
        }
    }
    Ok(taken)
}

impl Silence {
    fn window(&self, alerts: &AlertLabels) -> Option<Wanted> {
        let selector = self.selector(alerts)?;
        let short = |text: &str, max: usize| {
            let text: String = text.chars().take(max).collect();
            (!text.is_empty()).then_some(text)
        };
        let start_ms = self.starts_at.as_millisecond();
        let end_ms = self.ends_at.as_millisecond();
        let wanted = Wanted {
            selector: selector.to_string(),
            start_ms: Some(start_ms),
            end_ms: Some(end_ms.min(start_ms.saturating_add(LONGEST_MS))),
            // Who silenced alerts is not told of them anyway; records and scores stay as they are.
            alert: true,
            learn: false,
            author: short(&self.created_by, AUTHOR_MAX),
            comment: short(&self.comment, COMMENT_MAX),
            ..Wanted::default()
        };
        wanted.check(["start", "end"]).is_ok().then_some(wanted)
    }

    /// `None` if it is not about some series.
    fn selector(&self, alerts: &AlertLabels) -> Option<Selector> {
        if self.matchers.len() > MATCHERS_MAX || self.id.len() > TEXT_MAX {
            return None;
        }
        let mut left = COMPILED_MAX;
        let names_metric = self.matchers.iter().any(|m| m.name == METRIC);
        let mut matchers = Vec::new();
        for said in &self.matchers {
            if said.name.len().max(said.value.len()) > TEXT_MAX {
                return None;
            }
            let matcher = said.matcher(&mut left)?;
            match alerts.get(&said.name) {
                // It is about alerts of saimon, or about others alone.
                Some(values) if values.iter().any(|v| matcher.matches(v)) => {}
                Some(_) => return None,
                None if said.name == SERIES && names_metric => {}
                None if said.name == METRIC => {
                    matchers.insert(0, matcher.of_label(labels::METRIC_NAME));
                }
                None => matchers.push(matcher),
            }
        }
        let all = matchers.iter().all(|m| m.matches(""));
        (!all).then(|| Selector::from(matchers))
    }
}

impl SilenceMatcher {
    fn matcher(&self, left: &mut usize) -> Option<Matcher> {
        let op = match (self.is_regex, self.is_equal) {
            (false, true) => MatchOp::Equal,
            (false, false) => MatchOp::NotEqual,
            (true, true) => MatchOp::Regex,
            (true, false) => MatchOp::NotRegex,
        };
        Matcher::within(&self.name, op, &self.value, left).ok()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn alerts() -> AlertLabels {
        let texts = |all: &[&str]| all.iter().map(|t| (*t).to_owned()).collect();
        AlertLabels::from([
            ("alertname".to_owned(), texts(&["SaimonAnomaly"])),
            ("severity".to_owned(), texts(&["high", "critical"])),
        ])
    }

    /// One matcher: `name`, `op`, `value`.
    fn matcher((name, op, value): &(&str, &str, &str)) -> Value {
        let (regex, equal) = (op.contains('~'), !op.starts_with('!'));
        json!({"name": name, "value": value, "isRegex": regex, "isEqual": equal})
    }

    fn silence(id: &str, matchers: &[(&str, &str, &str)]) -> Value {
        json!({
            "id": id, "status": {"state": "active"}, "updatedAt": "2026-11-01T10:00:00.000Z",
            "startsAt": "2026-11-01T10:00:00.123Z", "endsAt": "2026-11-01T12:00:00.000Z",
            "createdBy": "ada", "comment": "disks",
            "matchers": matchers.iter().map(matcher).collect::<Vec<_>>(),
        })
    }

    fn selector(matchers: &[(&str, &str, &str)]) -> Option<String> {
        let answer = json!([silence("x", matchers)]).to_string();
        let taken = read(answer.as_bytes(), &alerts()).unwrap();
        assert_eq!(taken.windows.len() + taken.left_out, 1);
        let mut windows = taken.windows.into_iter();
        windows.next().map(|(_, wanted)| wanted.selector)
    }

    #[test]
    fn matchers_of_alerts_become_matchers_of_series() {
        for (matchers, wanted) in [
            (&[("job", "=", "db")][..], Some("{job=\"db\"}")),
            (
                &[
                    ("job", "=~", "db|web"),
                    ("zone", "!=", "a"),
                    ("rack", "!~", "r.*"),
                ],
                Some("{job=~\"db|web\", zone!=\"a\", rack!~\"r.*\"}"),
            ),
            // As the page of an Alertmanager fills it in for an alert.
            (
                &[
                    ("alertname", "=", "SaimonAnomaly"),
                    ("instance", "=", "a:1"),
                    ("series", "=", "up{instance=\"a:1\"}"),
                    ("severity", "=", "high"),
                    ("source_metric", "=", "up"),
                ],
                Some("up{instance=\"a:1\"}"),
            ),
            (
                &[("alertname", "!=", "Other"), ("job", "=", "x")],
                Some("{job=\"x\"}"),
            ),
            // Of other alerts, of no series, of all, or not to be understood.
            (&[("alertname", "=", "NodeDown"), ("job", "=", "x")], None),
            (&[("severity", "=", "page"), ("job", "=", "x")], None),
            (&[("alertname", "=~", "Saimon.*")], None),
            (&[("job", "!=", "x")], None),
            (&[("job", "=~", ".*")], None),
            (&[("job", "=~", "(")], None),
            (&[("job", "=", &"x".repeat(TEXT_MAX + 1))], None),
            (&[("job", "=", "x"); MATCHERS_MAX + 1], None),
        ] {
            assert_eq!(selector(matchers).as_deref(), wanted, "{matchers:?}");
        }
    }

    #[test]
    fn what_is_over_is_no_window_and_there_are_never_too_many() {
        let mut old = silence("old", &[("job", "=", "x")]);
        old["status"]["state"] = json!("expired");
        // One of before there was `!=`, and one that never ends.
        let mut odd = silence("odd", &[("job", "=", "x")]);
        odd["matchers"] = json!([{"name": "job", "value": "x", "isRegex": false}]);
        odd["endsAt"] = json!("2126-11-01T12:00:00Z");
        let taken = read(json!([old, odd]).to_string().as_bytes(), &alerts()).unwrap();
        let start_ms = crate::clock::parse_time("2026-11-01T10:00:00.123Z").unwrap();
        let wanted = Wanted {
            selector: "{job=\"x\"}".to_owned(),
            start_ms: Some(start_ms),
            end_ms: Some(start_ms + LONGEST_MS),
            alert: true,
            author: Some("ada".to_owned()),
            comment: Some("disks".to_owned()),
            ..Wanted::default()
        };
        assert_eq!(taken.windows, [("odd".to_owned(), wanted)]);
        assert_eq!(taken.left_out, 0);
        let many: Vec<_> = (0..SILENCES_MAX + 5)
            .map(|n| silence(&format!("{n:04}"), &[("job", "=", "x")]))
            .collect();
        let taken = read(json!(many).to_string().as_bytes(), &alerts()).unwrap();
        assert_eq!((taken.windows.len(), taken.left_out), (SILENCES_MAX, 5));
        assert_eq!(taken.windows[0].0, format!("{:04}", SILENCES_MAX + 4));
        assert!(read(b"{}", &alerts()).is_err());
    }
}

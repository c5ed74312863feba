//! Labelled faults: what can go wrong with a series, and how a user asks for it.
//!
//! A fault is written as `kind:series:at=2m:for=30s:size=8` on the command line and as an object
//! with the same names in a file or in `POST /faults`. All three end in one [`FaultSpec`], checked
//! here; the world decides which series it meets.

use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value;

use super::instrument::Effect;
use crate::series::matcher::Selector;

/// Faults a world remembers: beyond them new ones are refused, because the truth must not forget.
pub const FAULTS_MAX: usize = 1_000;
/// Longest time that a fault may last or lie ahead.
pub const FAULT_TIME_MAX: Duration = Duration::from_secs(30 * 24 * 3600);
/// Largest size of a fault.
pub const FAULT_SIZE_MAX: f64 = 1e6;

/// What goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultKind {
    /// Up by `size` standard deviations of the series' own noise, briefly.
    Spike,
    /// Down by `size` standard deviations, briefly.
    Drop,
    /// Up by `size` standard deviations (down if negative) for longer.
    LevelShift,
    /// Slowly away, to `size` standard deviations at the end.
    Leak,
    /// Noise `size` times as wide.
    Variance,
    /// The peak of the day does not come.
    MissingPeak,
    /// The value stands still.
    Flatline,
    /// A counter starts again from zero.
    CounterReset,
    /// The series are not there.
    Vanish,
}

impl FaultKind {
    pub const ALL: [Self; 9] = [
        Self::Spike,
        Self::Drop,
        Self::LevelShift,
        Self::Leak,
        Self::Variance,
        Self::MissingPeak,
        Self::Flatline,
        Self::CounterReset,
        Self::Vanish,
    ];

    /// The name in requests and answers.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spike => "spike",
            Self::Drop => "drop",
            Self::LevelShift => "level_shift",
            Self::Leak => "leak",
            Self::Variance => "variance",
            Self::MissingPeak => "missing_peak",
            Self::Flatline => "flatline",
            Self::CounterReset => "counter_reset",
            Self::Vanish => "vanish",
        }
    }

    /// The size if none is asked for; `None` for kinds that have no size.
    pub fn default_size(self) -> Option<f64> {
        match self {
            Self::Spike | Self::Drop | Self::LevelShift => Some(8.0),
            Self::Leak => Some(12.0),
            Self::Variance => Some(5.0),
            _ => None,
        }
    }

    /// How long it lasts if nothing is asked for: a share of the day, but long enough for a scrape
    /// every few seconds to see it. A missing peak lasts as long as the peak.
    pub(super) fn default_length(self, day: Duration) -> Duration {
        let (share, least_s) = match self {
            Self::Spike | Self::Drop => (480, 5),
            Self::LevelShift | Self::Variance | Self::Flatline | Self::Vanish => (24, 30),
            Self::Leak => (8, 60),
            Self::MissingPeak => (6, 1),
            Self::CounterReset => return Duration::ZERO,
        };
        (day / share).max(Duration::from_secs(least_s))
    }
}

impl FromStr for FaultKind {
    type Err = FaultError;

    fn from_str(name: &str) -> Result<Self, FaultError> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.name() == name)
            .ok_or_else(|| {
                let known: Vec<&str> = Self::ALL.iter().map(|kind| kind.name()).collect();
                field("kind", format!("{name} is none of {}", known.join(", ")))
            })
    }
}

/// Why a fault cannot be had.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FaultError {
    #[error("{field}: {what}")]
    Field { field: String, what: String },
    #[error("already {FAULTS_MAX} faults: start again to forget them")]
    TooMany,
}

impl FaultError {
    /// The part of the request that is wrong, if it is one.
    pub fn field(&self) -> Option<&str> {
        match self {
            Self::Field { field, .. } => Some(field),
            Self::TooMany => None,
        }
    }
}

pub(super) fn field(field: impl Into<String>, what: impl Into<String>) -> FaultError {
    FaultError::Field {
        field: field.into(),
        what: what.into(),
    }
}

/// A fault as asked for.
#[derive(Debug, Clone)]
pub struct FaultSpec {
    pub kind: FaultKind,
    /// The selector as written.
    pub series: String,
    pub(super) selector: Selector,
    /// In the unit of the kind; `None` for kinds that have no size.
    pub size: Option<f64>,
    /// How long after it was asked for it starts: at once if `None`, but a missing peak at the next
    /// peak.
    pub at: Option<Duration>,
    /// How long it lasts; see [`FaultKind`] for `None`.
    pub length: Option<Duration>,
}

impl FaultSpec {
    /// Reads an object `{"kind": .., "series": .., "size": .., "for": .., "at": ..}`. Times are
    /// numbers of seconds or texts like `"90s"` and `"2m 30s"`.
    pub fn from_json(value: &Value) -> Result<Self, FaultError> {
        let object = value
            .as_object()
            .ok_or_else(|| field("fault", "must be an object with kind and series"))?;
        for name in object.keys() {
            if !["kind", "series", "size", "for", "at"].contains(&name.as_str()) {
                return Err(field(
                    name,
                    "unknown, must be kind, series, size, for or at",
                ));
            }
        }
        let text = |name: &str| match object.get(name) {
            Some(Value::String(text)) => Ok(text.as_str()),
            Some(_) => Err(field(name, "must be a text")),
            None => Err(field(name, "missing")),
        };
        let size = match object.get("size") {
            None | Some(Value::Null) => None,
            Some(Value::Number(number)) => number.as_f64(),
            Some(_) => return Err(field("size", "must be a number")),
        };
        Self::new(
            text("kind")?.parse()?,
            text("series")?,
            size,
            time("at", object.get("at"))?,
            time("for", object.get("for"))?,
        )
    }

    /// Checks the parts and fills in the default size.
    pub fn new(
        kind: FaultKind,
        series: &str,
        size: Option<f64>,
        at: Option<Duration>,
        length: Option<Duration>,
    ) -> Result<Self, FaultError> {
        let selector = Selector::parse(series).map_err(|err| field("series", err.to_string()))?;
        if size.is_some() && kind.default_size().is_none() {
            return Err(field("size", format!("{} has no size", kind.name())));
        }
        let size = size.or(kind.default_size());
        if let Some(size) = size {
            let signed = matches!(kind, FaultKind::LevelShift | FaultKind::Leak);
            if !size.is_finite() || size.abs() > FAULT_SIZE_MAX || size == 0.0 {
                let what = format!("{size} is not a number other than 0 up to {FAULT_SIZE_MAX}");
                return Err(field("size", what));
            }
            if size < 0.0 && !signed {
                return Err(field("size", format!("{size} is negative")));
            }
            if kind == FaultKind::Variance && size <= 1.0 {
                return Err(field("size", format!("{size} is not above 1")));
            }
        }
        if kind == FaultKind::CounterReset && length.is_some() {
            return Err(field("for", "a counter_reset takes no time"));
        }
        for (name, duration) in [("at", at), ("for", length)] {
            if duration.is_some_and(|d| d > FAULT_TIME_MAX) {
                return Err(field(name, "longer than 30 days"));
            }
        }
        if length.is_some_and(|length| length.is_zero()) {
            return Err(field("for", "must be longer than 0"));
        }
        Ok(Self {
            kind,
            series: series.to_owned(),
            selector,
            size,
            at,
            length,
        })
    }
}

/// `kind:series:at=2m:for=30s:size=8`, all after the series optional and in any order. The series
/// may contain colons.
impl FromStr for FaultSpec {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let (kind, mut rest) = text
            .split_once(':')
            .ok_or_else(|| field("fault", "must be kind:series, for example spike:demo_load1"))?;
        let mut object = serde_json::Map::new();
        while let Some((before, part)) = rest.rsplit_once(':') {
            let Some((name, value)) = part.split_once('=') else {
                break;
            };
            if !name.bytes().all(|b| b.is_ascii_lowercase()) || name.is_empty() {
                break;
            }
            let value = match value.parse::<f64>() {
                Ok(number) if name == "size" => Value::from(number),
                _ => Value::from(value),
            };
            if ["kind", "series"].contains(&name) || object.insert(name.into(), value).is_some() {
                return Err(field(name, "given twice"));
            }
            rest = before;
        }
        object.insert("kind".into(), Value::from(kind));
        object.insert("series".into(), Value::from(rest));
        Self::from_json(&Value::Object(object))
    }
}

/// Reads a file of faults: a list of objects as [`FaultSpec::from_json`] takes them, in YAML or JSON.
pub fn parse_file(text: &str) -> Result<Vec<FaultSpec>, FaultError> {
    let list: Vec<Value> =
        serde_saphyr::from_str(text).map_err(|err| field("file", err.to_string()))?;
    if list.len() > FAULTS_MAX {
        return Err(FaultError::TooMany);
    }
    list.iter()
        .enumerate()
        .map(|(i, value)| {
            FaultSpec::from_json(value).map_err(|err| match err {
                FaultError::Field { field: name, what } => field(format!("[{i}].{name}"), what),
                FaultError::TooMany => err,
            })
        })
        .collect()
}

fn time(name: &str, value: Option<&Value>) -> Result<Option<Duration>, FaultError> {
    match value {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Number(number)) => number
            .as_f64()
            .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
            .map(Some)
            .ok_or_else(|| field(name, format!("{number} is not a number of seconds"))),
        Some(Value::String(text)) => match text.parse::<f64>() {
            Ok(seconds) => Duration::try_from_secs_f64(seconds).map_err(|err| err.to_string()),
            Err(_) => humantime::parse_duration(text).map_err(|err| err.to_string()),
        }
        .map(Some)
        .map_err(|err| field(name, format!("{text} is not a time like 30s or 2m ({err})"))),
        Some(_) => Err(field(
            name,
            "must be a time like \"30s\" or a number of seconds",
        )),
    }
}

/// Where a fault stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FaultState {
    Planned,
    Active,
    Over,
}

/// A fault with its place in time and its series.
#[derive(Debug, Clone)]
pub struct Fault {
    pub id: u64,
    pub kind: FaultKind,
    /// The selector as written.
    pub series: String,
    pub size: Option<f64>,
    /// Unix time in milliseconds at which it starts.
    pub start_ms: i64,
    /// The first moment at which it no longer holds. A fault that fell between two steps is carried
    /// to the step after it, and ends there.
    pub end_ms: i64,
    /// Whether a step has carried it.
    pub(super) seen: bool,
    /// Instruments by number.
    pub(super) targets: Vec<usize>,
}

impl Fault {
    pub fn state(&self, now_ms: i64) -> FaultState {
        if now_ms < self.start_ms && !self.seen {
            FaultState::Planned
        } else if self.holds(now_ms) {
            FaultState::Active
        } else {
            FaultState::Over
        }
    }

    /// True from its start to its end, and until the first step that carries it.
    pub(super) fn holds(&self, now_ms: i64) -> bool {
        self.start_ms <= now_ms && (now_ms < self.end_ms || !self.seen)
    }

    /// Adds what this fault does at `now_ms` to what others do.
    pub(super) fn add_to(&self, effect: &mut Effect, now_ms: i64) {
        let size = self.size.unwrap_or(0.0);
        match self.kind {
            FaultKind::Spike | FaultKind::LevelShift => effect.offset += size,
            FaultKind::Drop => effect.offset -= size,
            FaultKind::Leak => {
                let length = (self.end_ms - self.start_ms).max(1) as f64;
                effect.offset += size * ((now_ms - self.start_ms) as f64 / length).min(1.0);
            }
            FaultKind::Variance => effect.spread *= size,
            FaultKind::MissingPeak => effect.no_peak = true,
            FaultKind::Flatline => effect.frozen = true,
            FaultKind::CounterReset => effect.reset = true,
            FaultKind::Vanish => effect.gone = true,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn fault_field(value: &Value) -> String {
        let err = FaultSpec::from_json(value).unwrap_err();
        err.field().unwrap_or("none").to_owned()
    }

    #[test]
    fn the_short_form_reads_like_the_long_one() {
        let short: FaultSpec = "spike:demo_load1{node=\"a:1\"}:at=2m:for=30s:size=8.5"
            .parse()
            .unwrap();
        assert_eq!(short.kind, FaultKind::Spike);
        assert_eq!(short.series, "demo_load1{node=\"a:1\"}");
        assert_eq!(short.at, Some(Duration::from_secs(120)));
        assert_eq!(short.length, Some(Duration::from_secs(30)));
        assert_eq!(short.size, Some(8.5));
        let bare: FaultSpec = "leak:demo_load1".parse().unwrap();
        assert_eq!((bare.at, bare.length, bare.size), (None, None, Some(12.0)));
    }

    #[test]
    fn bad_faults_name_their_field() {
        for (value, name) in [
            (json!([]), "fault"),
            (json!({"series": "demo_load1"}), "kind"),
            (json!({"kind": "boom", "series": "demo_load1"}), "kind"),
            (json!({"kind": 7, "series": "demo_load1"}), "kind"),
            (json!({"kind": "spike"}), "series"),
            (json!({"kind": "spike", "series": "demo_load1{"}), "series"),
            (
                json!({"kind": "spike", "series": "a", "size": "big"}),
                "size",
            ),
            (json!({"kind": "spike", "series": "a", "size": -1}), "size"),
            (json!({"kind": "spike", "series": "a", "size": 0}), "size"),
            (json!({"kind": "spike", "series": "a", "size": 1e9}), "size"),
            (json!({"kind": "vanish", "series": "a", "size": 2}), "size"),
            (
                json!({"kind": "variance", "series": "a", "size": 0.5}),
                "size",
            ),
            (
                json!({"kind": "spike", "series": "a", "for": "soon"}),
                "for",
            ),
            (json!({"kind": "spike", "series": "a", "for": 0}), "for"),
            (
                json!({"kind": "counter_reset", "series": "a", "for": 5}),
                "for",
            ),
            (json!({"kind": "spike", "series": "a", "at": -3}), "at"),
            (json!({"kind": "spike", "series": "a", "at": "40d"}), "at"),
            (
                json!({"kind": "spike", "series": "a", "colour": 1}),
                "colour",
            ),
        ] {
            assert_eq!(fault_field(&value), name, "{value}");
        }
        for (text, name) in [
            ("spike", "fault"),
            ("spike:a:at=2m:at=3m", "at"),
            ("spike:a:speed=1", "speed"),
            ("spike:a:size=many", "size"),
        ] {
            let err = text.parse::<FaultSpec>().unwrap_err();
            assert_eq!(err.field(), Some(name), "{text}");
        }
    }

    #[test]
    fn a_file_is_a_list_in_yaml_or_json() {
        let yaml = "- {kind: spike, series: demo_load1, at: 2m}\n- kind: vanish\n  series: '{node=\"n1\"}'\n  for: 45\n";
        let faults = parse_file(yaml).unwrap();
        assert_eq!(faults.len(), 2);
        assert_eq!(faults[1].length, Some(Duration::from_secs(45)));
        assert_eq!(
            parse_file("[{\"kind\":\"drop\",\"series\":\"a\"}]")
                .unwrap()
                .len(),
            1
        );
        let err = parse_file("- {kind: spike, series: a}\n- {kind: spike, series: a, size: -2}\n");
        assert_eq!(err.unwrap_err().field(), Some("[1].size"));
    }
}

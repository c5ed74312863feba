//! The label text of a series' scores, rendered from its labels for each page.
//!
//! All labels of the source series stay; `source_metric` is added. A source label that clashes with
//! one of ours, or with one that a gauge may not have, moves to `exported_<name>`, as Prometheus does
//! with clashes; so does a label that already is such a name, hence two names never become one.
//! Names that are no identifiers are escaped ([`Names`]); an escaped name that meets another label of
//! the series moves to `exported_` too.
//!
//! What always holds: the names in a text are unique, and two series without odd names never have the
//! same text. Of two series that differ only in odd names that does not hold (`a.b` and `a_b`): who
//! makes a page has to look.

pub mod names;
pub mod read;

use std::borrow::Cow;

use smallvec::SmallVec;

pub use self::names::Names;
use super::board::{LabelText, OtherText};
use crate::series::labels::{self, METRIC_NAME, is_plain_label_name};

/// The label that names the metric a score is of.
pub const SOURCE: &str = "source_metric";
/// Labels that the exposition formats keep for histograms and summaries, which a gauge may not have.
const FORMAT: [&str; 2] = ["le", "quantile"];
/// Labels of `saimon_anomaly` and of `saimon_incident_member` beyond those of the score: both name a
/// series in the same way.
const ANOMALY: [&str; 5] = ["state", "severity", "direction", "reason", "incident"];
/// The label of `saimon_anomaly_contribution` beyond those of the score.
pub const PART: &str = "part";
/// Where a label goes that cannot keep its name.
const MOVED: &str = "exported_";

/// Which metric's labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// `saimon_anomaly_score`
    Score,
    /// `saimon_anomaly`, which has more labels of its own.
    Anomaly,
    /// `saimon_anomaly_contribution`, which has another one.
    Contribution,
}

impl Family {
    /// True for our names and for those that clashes with them moved to.
    fn claims(self, name: &str) -> bool {
        let mut stem = name;
        while let Some(rest) = stem.strip_prefix(MOVED) {
            stem = rest;
        }
        let ours = stem == SOURCE || FORMAT.contains(&stem);
        match self {
            Self::Score => ours,
            Self::Anomaly => ours || ANOMALY.contains(&stem),
            Self::Contribution => ours || stem == PART,
        }
    }
}

/// True if a series has names that are not the same in every form.
pub fn is_odd(canonical: &[u8]) -> bool {
    labels::iter(canonical).any(|(name, _)| !is_plain_label_name(name))
}

/// True if a series' own labels are shown as they are: plain names that clash with nothing.
pub fn is_plain(canonical: &[u8]) -> bool {
    let claimed = |name| Family::Anomaly.claims(name) || Family::Contribution.claims(name);
    labels::iter(canonical).all(|(name, _)| is_plain_label_name(name) && !claimed(name))
}

/// The labels of a series' scores, with names as the source has them: all of its own but its name,
/// clashes moved, then `source_metric`.
pub fn score_labels(canonical: &[u8]) -> impl Iterator<Item = (Cow<'_, str>, &str)> {
    let metric = labels::get(canonical, METRIC_NAME).unwrap_or_default();
    labels::iter(canonical)
        .filter(|(name, _)| *name != METRIC_NAME)
        .map(|(name, value)| match Family::Score.claims(name) {
            true => (Cow::Owned(format!("{MOVED}{name}")), value),
            false => (Cow::Borrowed(name), value),
        })
        .chain([(Cow::Borrowed(SOURCE), metric)])
}

/// The text for canonical label bytes in one form. [`render`] makes several, and has none of
/// contributions, which few series have.
pub fn form(canonical: &[u8], names: Names, family: Family) -> Box<str> {
    let metric = labels::get(canonical, METRIC_NAME).unwrap_or_default();
    let own = labels::iter(canonical).filter(|(name, _)| *name != METRIC_NAME);
    text(own, metric, names, family)
}

/// The text for canonical label bytes.
pub fn render(canonical: &[u8]) -> LabelText {
    let (mut odd, mut clashes) = (false, false);
    for (name, _) in labels::iter(canonical) {
        odd |= !is_plain_label_name(name);
        clashes |= Family::Anomaly.claims(name) && !Family::Score.claims(name);
    }
    let form = |names, family| form(canonical, names, family);
    let other = (odd || clashes).then(|| OtherText {
        anomaly: clashes.then(|| form(Names::Underscores, Family::Anomaly)),
        utf8: odd.then(|| form(Names::Utf8, Family::Score)),
    });
    LabelText {
        score: form(Names::Underscores, Family::Score),
        other: other.map(Box::new),
    }
}

impl LabelText {
    /// The text as a page shows it, of scores or anomalies. Made on the spot only for a series with odd
    /// names, and then only for forms that are seldom asked for.
    pub fn shown(&self, names: Names, family: Family) -> Cow<'_, str> {
        let Some(other) = self.other.as_deref() else {
            return Cow::Borrowed(&self.score);
        };
        let utf8 = other
            .utf8
            .as_deref()
            .filter(|_| names != Names::Underscores);
        match (utf8, family, &other.anomaly) {
            (None, Family::Anomaly, Some(anomaly)) => Cow::Borrowed(anomaly),
            (None, ..) => Cow::Borrowed(&self.score),
            (Some(utf8), Family::Score, _) | (Some(utf8), _, None) if names == Names::Utf8 => {
                Cow::Borrowed(utf8)
            }
            (Some(utf8), ..) => Cow::Owned(derive(utf8, names, family).into()),
        }
    }

    /// True if the series has names that are not the same in every form.
    pub fn is_odd(&self) -> bool {
        self.other.as_ref().is_some_and(|o| o.utf8.is_some())
    }

    /// Text of the score with the source's own names, clashes moved.
    pub fn utf8(&self) -> &str {
        let other = self.other.as_deref();
        other.and_then(|o| o.utf8.as_deref()).unwrap_or(&self.score)
    }
}

/// Another form of the text that [`Names::Utf8`] gave.
fn derive(utf8: &str, names: Names, family: Family) -> Box<str> {
    let mut labels = read::labels(utf8);
    let metric = labels.pop().map_or(Cow::Borrowed(""), |(_, value)| value);
    let own = labels.iter().map(|(name, value)| {
        // Back to what it was, or it would move a second time.
        let was = name
            .strip_prefix(MOVED)
            .filter(|_| Family::Score.claims(name));
        (was.unwrap_or(name), &**value)
    });
    text(own, &metric, names, family)
}

/// Labels in the order of their names, `source_metric` last.
fn text<'a>(
    own: impl Iterator<Item = (&'a str, &'a str)>,
    metric: &str,
    names: Names,
    family: Family,
) -> Box<str> {
    let mut shown: SmallVec<[(Cow<'a, str>, &'a str); 16]> = SmallVec::new();
    let mut odd: Vec<(&str, &str)> = Vec::new();
    let mut moved = false;
    for (name, value) in own {
        if names != Names::Utf8 && !is_plain_label_name(name) {
            odd.push((name, value));
        } else if family.claims(name) {
            moved = true;
            shown.push((Cow::Owned(format!("{MOVED}{name}")), value));
        } else {
            shown.push((Cow::Borrowed(name), value));
        }
    }
    for (name, value) in &odd {
        let mut name = names.escape(name).into_owned();
        if family.claims(&name) {
            name.insert_str(0, MOVED);
        }
        while shown.iter().any(|(other, _)| *other == name) {
            name.insert_str(0, MOVED);
        }
        shown.push((Cow::Owned(name), value));
    }
    if moved || !odd.is_empty() {
        shown.sort_by(|a, b| a.0.cmp(&b.0));
    }
    let room: usize = shown.iter().map(|(n, v)| n.len() + v.len() + 4).sum();
    let mut out = String::with_capacity(room + metric.len() + SOURCE.len() + 8);
    out.push('{');
    for (name, value) in &shown {
        push(&mut out, name, value);
        out.push(',');
    }
    push(&mut out, SOURCE, metric);
    out.into_boxed_str()
}

/// Appends one label as the exposition formats have it.
pub fn push(out: &mut String, name: &str, value: &str) {
    if is_plain_label_name(name) {
        out.push_str(name);
    } else {
        push_quoted(out, name);
    }
    out.push('=');
    push_quoted(out, value);
}

/// With the three escapes that both formats know, and no other.
fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '"' => out.push_str("\\\""),
            '\n' => out.push_str("\\n"),
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests;

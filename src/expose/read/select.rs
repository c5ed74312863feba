//! From the matchers of a query to series in the order of an answer, external labels included.
//!
//! A series is matched as it is shown: with the configured external labels where it has none of that
//! name itself. So a reader with our external labels finds everything, one with others finds nothing
//! (protocol notes, section 8), and labels that senders sent along match as they are.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::answer::ReadError;
use super::source::Source;
use crate::config::ReadConfig;
use crate::series::labels;
use crate::series::matcher::{MatchOp, Matcher, Selector};
use crate::wire::read::{LabelMatcher, MatchKind, Query};

/// Series up to this number are sorted where they are; more of them on a thread that may block.
const SORT_INLINE_MAX: usize = 2_000;

/// Labels that readers and answers have besides those of the series.
#[derive(Debug, Default)]
pub(super) struct OuterLabels {
    external: BTreeMap<String, String>,
    ignored: Vec<String>,
}

impl OuterLabels {
    pub(super) fn new(config: &ReadConfig) -> Self {
        Self {
            external: config.external_labels.clone(),
            ignored: config.ignore_labels.clone(),
        }
    }

    /// The labels of a series in an answer, if they are not just its own.
    fn added(&self, own: &[u8]) -> Option<Box<[u8]>> {
        if self.external.is_empty() {
            return None;
        }
        let external = self.external.iter().map(|(n, v)| (&**n, &**v));
        // Of two with one name the first is taken: the series' own.
        Some(labels::encode(labels::iter(own).chain(external)).into())
    }

    /// The matchers of a query as a selector of stored series.
    pub(super) fn selector(&self, matchers: &[LabelMatcher]) -> Result<Selector, ReadError> {
        // All of a query together: each series is compared with all of them.
        let mut left = Selector::PATTERNS_BYTES_MAX;
        let matchers: Result<Vec<_>, _> = matchers
            .iter()
            .map(|m| self.matcher(m, &mut left))
            .collect();
        let mut matchers = matchers?;
        // What costs little first.
        matchers.sort_by_key(|m| matches!(m.op(), MatchOp::Regex | MatchOp::NotRegex));
        Ok(Selector::from(matchers))
    }

    fn matcher(&self, asked: &LabelMatcher, left: &mut usize) -> Result<Matcher, ReadError> {
        let op = match asked.kind {
            MatchKind::Equal => MatchOp::Equal,
            MatchKind::NotEqual => MatchOp::NotEqual,
            MatchKind::Regex => MatchOp::Regex,
            MatchKind::NotRegex => MatchOp::NotRegex,
        };
        let matcher = Matcher::within(&asked.name, op, &asked.value, left).map_err(|why| {
            ReadError::Regex {
                label: asked.name.clone(),
                why,
                pattern: asked.value.clone(),
            }
        })?;
        Ok(if let Some(value) = self.external.get(&asked.name) {
            matcher.taking_absent_as(value)
        } else if self.ignored.contains(&asked.name) {
            matcher.holding_if_absent()
        } else {
            matcher
        })
    }
}

/// The series that answer one query, sorted by their labels as Prometheus compares them.
#[derive(Debug)]
pub(super) struct Selected<T> {
    pub(super) series: Vec<T>,
    /// Their labels in the answer, if they are not their own.
    shown: Vec<Option<Box<[u8]>>>,
    pub(super) from_ms: i64,
    pub(super) to_ms: i64,
    /// Only the labels are wanted.
    pub(super) labels_only: bool,
}

impl<T> Selected<T> {
    /// The labels that the answer has for a series.
    pub(super) fn labels<S: Source<Series = T>>(&self, index: usize) -> &[u8] {
        let own = S::labels(&self.series[index]);
        self.shown[index].as_deref().unwrap_or(own)
    }
}

/// Finds the series of one query.
pub(super) async fn select<S: Source>(
    source: &S,
    outer: &Arc<OuterLabels>,
    query: &Query,
    limit: usize,
) -> Result<Selected<S::Series>, ReadError> {
    let mut found = Vec::new();
    let selector = compiled(outer, &query.matchers).await?;
    // Without any matcher nothing is meant, as in Prometheus: everything would be a mistake.
    if query.start_ms <= query.end_ms && !query.matchers.is_empty() {
        found = source
            .select(Arc::new(selector), query.start_ms, query.end_ms, limit)
            .await?;
    }
    let mut rows: Vec<_> = found
        .into_iter()
        .map(|series| (outer.added(S::labels(&series)), series))
        .collect();
    if rows.len() <= SORT_INLINE_MAX {
        sort::<S>(&mut rows);
    } else {
        let sorted = tokio::task::spawn_blocking(move || {
            sort::<S>(&mut rows);
            rows
        });
        rows = match sorted.await {
            Ok(rows) => rows,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        };
    }
    let (shown, series) = rows.into_iter().unzip();
    Ok(Selected {
        series,
        shown,
        from_ms: query.start_ms,
        to_ms: query.end_ms,
        labels_only: query.labels_only,
    })
}

/// Regular expressions are compiled on a thread that may block: a long one takes some 50 ms.
async fn compiled(
    outer: &Arc<OuterLabels>,
    matchers: &[LabelMatcher],
) -> Result<Selector, ReadError> {
    let is_regex = |m: &LabelMatcher| matches!(m.kind, MatchKind::Regex | MatchKind::NotRegex);
    if !matchers.iter().any(is_regex) {
        return outer.selector(matchers);
    }
    let (outer, matchers) = (Arc::clone(outer), matchers.to_vec());
    match tokio::task::spawn_blocking(move || outer.selector(&matchers)).await {
        Ok(selector) => selector,
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

/// A series and its labels in the answer, if they are not its own.
type Row<T> = (Option<Box<[u8]>>, T);

/// Name by name and value by value; a series whose labels are the beginning of another's is first.
fn sort<S: Source>(rows: &mut [Row<S::Series>]) {
    fn shown<S: Source>(row: &Row<S::Series>) -> &[u8] {
        row.0.as_deref().unwrap_or_else(|| S::labels(&row.1))
    }
    rows.sort_unstable_by(|a, b| labels::iter(shown::<S>(a)).cmp(labels::iter(shown::<S>(b))));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn outer(external: &[(&str, &str)], ignored: &[&str]) -> OuterLabels {
        OuterLabels::new(&ReadConfig {
            external_labels: external
                .iter()
                .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
                .collect(),
            ignore_labels: ignored.iter().map(|n| (*n).to_owned()).collect(),
            ..ReadConfig::default()
        })
    }

    fn matches(
        outer: &OuterLabels,
        matcher: (MatchKind, &str, &str),
        own: &[(&str, &str)],
    ) -> bool {
        let asked = LabelMatcher {
            kind: matcher.0,
            name: matcher.1.into(),
            value: matcher.2.into(),
        };
        let selector = outer.selector(&[asked]).unwrap();
        selector.matches_labels(&labels::encode(own.iter().copied()))
    }

    /// Conformance 83.
    #[test]
    fn a_series_is_matched_as_it_is_shown() {
        use MatchKind::{Equal, NotEqual, NotRegex, Regex};
        let outer = outer(&[("cluster", "x")], &[]);
        for (matcher, bare, of_x, of_y) in [
            ((Equal, "cluster", "x"), true, true, false),
            ((Equal, "cluster", "y"), false, false, true),
            ((Equal, "cluster", ""), false, false, false),
            ((NotEqual, "cluster", "x"), false, false, true),
            ((NotEqual, "cluster", ""), true, true, true),
            ((Regex, "cluster", "x|z"), true, true, false),
            ((NotRegex, "cluster", "x|z"), false, false, true),
            ((Equal, "other", ""), true, true, true),
            ((Equal, "other", "x"), false, false, false),
        ] {
            let got = [
                matches(&outer, matcher, &[("a", "b")]),
                matches(&outer, matcher, &[("a", "b"), ("cluster", "x")]),
                matches(&outer, matcher, &[("a", "b"), ("cluster", "y")]),
            ];
            assert_eq!(got, [bare, of_x, of_y], "{matcher:?}");
        }
    }

    #[test]
    fn an_ignored_label_is_satisfied_where_it_is_absent_and_compared_where_it_is_not() {
        use MatchKind::{Equal, NotEqual, Regex};
        let outer = outer(&[], &["reader"]);
        for kind in [Equal, NotEqual, Regex] {
            assert!(matches(&outer, (kind, "reader", "b"), &[("a", "b")]));
        }
        assert!(matches(&outer, (Equal, "reader", "b"), &[("reader", "b")]));
        assert!(!matches(&outer, (Equal, "reader", "b"), &[("reader", "c")]));
        assert!(!matches(&outer, (Equal, "writer", "b"), &[("a", "b")]));
    }

    #[test]
    fn external_labels_are_added_in_order_and_never_over_own_ones() {
        let outer = outer(&[("a", "1"), ("m", "2"), ("z", "3")], &[]);
        let own = labels::encode([("__name__", "up"), ("m", "own"), ("n", "x")]);
        let shown = outer.added(&own).unwrap();
        let wanted = [
            ("__name__", "up"),
            ("a", "1"),
            ("m", "own"),
            ("n", "x"),
            ("z", "3"),
        ];
        assert_eq!(labels::iter(&shown).collect::<Vec<_>>(), wanted);
        assert_eq!(OuterLabels::default().added(&own), None);
    }

    #[test]
    fn the_patterns_of_one_query_share_their_memory() {
        let asked = |pattern: &str| LabelMatcher {
            kind: MatchKind::Regex,
            name: "job".into(),
            value: pattern.into(),
        };
        let outer = OuterLabels::default();
        let usual = vec![asked("node|demo.*"); crate::wire::read::MATCHERS_MAX];
        assert!(outer.selector(&usual).is_ok());
        let large = asked("(a?){9000}");
        assert!(outer.selector(&vec![large.clone(); 4]).is_ok());
        let error = outer.selector(&vec![large; 5]);
        assert!(matches!(error, Err(ReadError::Regex { .. })), "{error:?}");
    }

    #[test]
    fn a_bad_pattern_is_named() {
        let asked = LabelMatcher {
            kind: MatchKind::Regex,
            name: "job".into(),
            value: "(".into(),
        };
        let error = OuterLabels::default().selector(&[asked]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "matcher of label \"job\": bad regular expression: unclosed group: \"(\""
        );
    }
}

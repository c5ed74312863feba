//! Which series are read together, and by which matchers.
//!
//! One request for each of a hundred thousand series would take hours and one for all would not be
//! answered. Series of one metric and job are asked for by one query: every label that all of them
//! have is named, with one value or with a regular expression of the values. What comes back besides
//! is left out when it is gathered. Several queries travel in one request.

use std::collections::{BTreeMap, BTreeSet};

use super::external::External;
use crate::series::labels::{self, METRIC_NAME};
use crate::series::matcher::MatchOp;

/// Bytes of one regular expression. Longer ones are left out: the other labels narrow enough.
const REGEX_BYTES_MAX: usize = 8 << 10;
/// Queries in one request; a server answers them one after the other.
pub const QUERIES_MAX: usize = 32;
/// Suffixes that the parts of a histogram have beyond its name.
const PARTS: [&str; 3] = ["_bucket", "_count", "_sum"];

/// What belongs together, by canonical labels: one series, or the parts of one histogram.
pub type Members = [Box<[u8]>];

/// A comparison of a label with a value or a regular expression.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Condition {
    pub name: String,
    pub op: MatchOp,
    pub value: String,
}

/// All conditions hold for the series of a query.
pub type Query = Vec<Condition>;

/// Puts units into batches of at most `series_max` series (or of one unit), each to be read by one
/// request. Gives the indexes of the units.
pub fn batches<'a>(
    units: impl IntoIterator<Item = &'a Members>,
    series_max: usize,
) -> Vec<Vec<usize>> {
    let mut sorted: Vec<_> = units
        .into_iter()
        .enumerate()
        .filter(|(_, members)| !members.is_empty())
        .map(|(i, members)| (group(members), i, members))
        .collect();
    sorted.sort_by(|a, b| (&a.0, a.2).cmp(&(&b.0, b.2)));
    let mut batches = Vec::new();
    let mut batch: Vec<usize> = Vec::new();
    let (mut series, mut queries) = (0, 0);
    let mut before = None;
    for (group, i, members) in sorted {
        let new_query = before.as_ref() != Some(&group);
        let full = series + members.len() > series_max || new_query && queries >= QUERIES_MAX;
        if full && !batch.is_empty() {
            batches.push(std::mem::take(&mut batch));
            (series, queries) = (0, 0);
        }
        queries += usize::from(new_query || queries == 0);
        series += members.len();
        batch.push(i);
        before = Some(group);
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

/// The queries that find these units, one for each metric and job.
pub fn queries<'a>(
    units: impl IntoIterator<Item = &'a Members>,
    external: &External,
) -> Vec<Query> {
    let mut groups: BTreeMap<_, Vec<&'a [u8]>> = BTreeMap::new();
    for members in units {
        if !members.is_empty() {
            let series = members.iter().map(|labels| &**labels);
            groups.entry(group(members)).or_default().extend(series);
        }
    }
    groups
        .values()
        .map(|series| query(series, external))
        .collect()
}

/// Metric (of a histogram, without its parts' suffixes) and job.
fn group(members: &Members) -> (String, String) {
    let first = &members[0];
    let mut name = labels::get(first, METRIC_NAME).unwrap_or_default();
    if members.len() > 1 {
        name = PARTS
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .unwrap_or(name);
    }
    let job = labels::get(first, "job").unwrap_or_default();
    (name.to_owned(), job.to_owned())
}

fn query(series: &[&[u8]], external: &External) -> Query {
    // Of each label: its values, and how many series have it.
    let mut found: BTreeMap<&str, (BTreeSet<&str>, usize)> = BTreeMap::new();
    for labels in series {
        for (name, value) in labels::iter(labels) {
            let (values, n) = found.entry(name).or_default();
            values.insert(value);
            *n += 1;
        }
    }
    let mut query = Vec::new();
    for (name, (values, n)) in found {
        // A label that a Prometheus adds is none that it could be asked for.
        let added = values.iter().any(|value| external.has(name, value));
        if n < series.len() || added {
            continue;
        }
        let (op, value) = match values.first() {
            Some(only) if values.len() == 1 => (MatchOp::Equal, (*only).to_owned()),
            _ => {
                let values: Vec<_> = values.iter().map(|v| regex::escape(v)).collect();
                (MatchOp::Regex, values.join("|"))
            }
        };
        if op == MatchOp::Regex && value.len() > REGEX_BYTES_MAX && name != METRIC_NAME {
            continue;
        }
        query.push(Condition {
            name: name.to_owned(),
            op,
            value,
        });
    }
    query
}

/// A query as a selector of PromQL.
pub fn selector(query: &[Condition]) -> String {
    let mut text = String::from("{");
    for (i, condition) in query.iter().enumerate() {
        if i > 0 {
            text.push(',');
        }
        labels::push_label_name(&mut text, &condition.name);
        text.push_str(condition.op.as_str());
        labels::push_quoted(&mut text, &condition.value);
    }
    text.push('}');
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn unit(members: &[&[(&str, &str)]]) -> Vec<Box<[u8]>> {
        members
            .iter()
            .map(|labels| labels::encode(labels.iter().copied()).into())
            .collect()
    }

    fn load(instance: &str) -> Vec<Box<[u8]>> {
        unit(&[&[
            ("__name__", "load1"),
            ("cluster", "eu"),
            ("instance", instance),
            ("job", "node"),
        ]])
    }

    #[test]
    fn series_of_a_metric_are_one_query() {
        let units = [load("a.b:1"), load("c:1"), load("a.b:1")];
        let queries = queries(units.iter().map(|u| &u[..]), &External::default());
        let text: Vec<_> = queries.iter().map(|q| selector(q)).collect();
        assert_eq!(
            text,
            [r#"{__name__="load1",cluster="eu",instance=~"a\\.b:1|c:1",job="node"}"#]
        );
        let external = External::new([("cluster".to_owned(), "eu".to_owned())]);
        let queries = super::queries([&units[0][..]], &external);
        assert_eq!(
            selector(&queries[0]),
            r#"{__name__="load1",instance="a.b:1",job="node"}"#
        );
    }

    #[test]
    fn the_parts_of_a_histogram_are_one_query() {
        let parts: [&[(&str, &str)]; 3] = [
            &[("__name__", "d_bucket"), ("le", "1")],
            &[("__name__", "d_count")],
            &[("__name__", "d_sum")],
        ];
        let histogram = unit(&parts);
        let queries = queries([&histogram[..]], &External::default());
        assert_eq!(
            selector(&queries[0]),
            r#"{__name__=~"d_bucket|d_count|d_sum"}"#
        );
    }

    #[test]
    fn batches_have_a_bound_of_series_and_of_queries_and_no_unit_is_lost() {
        let mut units: Vec<_> = (0..450).map(|i| load(&format!("n{i:03}"))).collect();
        for i in 0..50 {
            units.push(unit(&[&[("__name__", &format!("m{i}"))]]));
        }
        units.push(Vec::new());
        let batches = batches(units.iter().map(|u| &u[..]), 200);
        let mut all: Vec<_> = batches.concat();
        all.sort_unstable();
        assert_eq!(all, (0..500).collect::<Vec<_>>());
        for batch in &batches {
            assert!(batch.len() <= 200, "{}", batch.len());
            let members = batch.iter().map(|i| &units[*i][..]);
            assert!(queries(members, &External::default()).len() <= QUERIES_MAX);
        }
        assert!(batches.len() <= 6, "{}", batches.len());
        let huge = unit(&[&[("__name__", "a")], &[("__name__", "b")]]);
        assert_eq!(super::batches([&huge[..]], 1), [[0]]);
    }

    #[test]
    fn a_regular_expression_that_is_too_long_is_left_out() {
        let units: Vec<_> = (0..200)
            .map(|i| load(&format!("{}{i}", "x".repeat(100))))
            .collect();
        let queries = queries(units.iter().map(|u| &u[..]), &External::default());
        assert_eq!(
            selector(&queries[0]),
            r#"{__name__="load1",cluster="eu",job="node"}"#
        );
    }
}

//! What an endpoint takes: declared once, for the parser and for the description of the API.
//!
//! What always holds: a handler sees only parameters that are declared, of the declared type and
//! within their bounds; everything else is a [`Problem`] that names the parameter.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::problem::{Problem, shortened};
use super::time;
use crate::series::matcher::Selector;

/// Values of one request. A list that needs more is better asked for without.
const VALUES_MAX: usize = 64;
/// Bytes of one value.
const VALUE_BYTES_MAX: usize = 16 << 10;

/// What a parameter is.
#[derive(Debug, Clone, Copy)]
pub(super) enum Kind {
    Text,
    /// A PromQL selector.
    Selector,
    /// RFC 3339 or seconds since 1970.
    Time,
    /// One of these.
    OneOf(&'static [&'static str]),
    /// A whole number in these bounds.
    Integer {
        least: u64,
        most: u64,
        usual: u64,
    },
}

/// One parameter of an endpoint.
#[derive(Debug, Clone, Copy)]
pub(in crate::expose) struct Param {
    pub(in crate::expose) name: &'static str,
    pub(super) kind: Kind,
    /// It may be given several times (or, for one of a list, as a list with commas), and any of the
    /// values counts.
    pub(super) many: bool,
    /// It is a part of the path, in braces there.
    pub(in crate::expose) in_path: bool,
    pub(super) doc: &'static str,
}

impl Param {
    pub(super) const fn query(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            name,
            kind,
            many: false,
            in_path: false,
            doc,
        }
    }

    pub(super) const fn many(name: &'static str, kind: Kind, doc: &'static str) -> Self {
        Self {
            many: true,
            ..Self::query(name, kind, doc)
        }
    }

    pub(super) const fn path(name: &'static str, doc: &'static str) -> Self {
        Self {
            in_path: true,
            ..Self::query(name, Kind::Text, doc)
        }
    }
}

/// Parameters that several endpoints take, each in the same words.
pub(super) mod shared {
    use super::{Kind, Param};

    pub(in super::super) const METRIC: Param = Param::many(
        "metric_name",
        Kind::Text,
        "Only what is of series of this name. Any of several.",
    );
    pub(in super::super) const MATCH: Param = Param::many(
        "match[]",
        Kind::Selector,
        "Only what is of series that this selector matches, as in PromQL: `{job=\"node\", instance=~\"db.*\"}`. Any of several.",
    );
    pub(in super::super) const TOKEN: Param = Param::query(
        "page_token",
        Kind::Text,
        "Where the page before ended: its `next_page_token`. The other parameters must be the same; what has come or gone since does not move what comes after.",
    );
    pub(in super::super) const SERIES: Param =
        Param::path("id", "The id of a series: 16 hexadecimal digits.");

    /// How many of a list are on one page.
    pub(in super::super) const fn limit(most: u64) -> Param {
        let kind = Kind::Integer {
            least: 1,
            most,
            usual: 100,
        };
        Param::query("limit", kind, "How many are on one page, at most.")
    }
}

/// The parameters of one request, checked.
#[derive(Debug, Clone, Default)]
pub(in crate::expose) struct Params {
    declared: &'static [Param],
    values: BTreeMap<&'static str, Vec<String>>,
    selectors: BTreeMap<&'static str, Vec<Selector>>,
}

impl Params {
    /// Checks what was sent against what is declared.
    pub(in crate::expose) fn check(
        declared: &'static [Param],
        path: &[(String, String)],
        query: &[(String, String)],
    ) -> Result<Self, Problem> {
        let mut params = Self {
            declared,
            ..Self::default()
        };
        let mut patterns_left = Selector::PATTERNS_BYTES_MAX;
        if query.len() > VALUES_MAX {
            let last = &query[VALUES_MAX].0;
            let what = format!("more than {VALUES_MAX} parameters in one request");
            return Err(Problem::parameter(last, what));
        }
        for (sent, in_path) in [(path, true), (query, false)] {
            for (name, value) in sent {
                let known = declared
                    .iter()
                    .find(|p| p.name == name && p.in_path == in_path);
                let Some(param) = known else {
                    return Err(unknown(declared, name));
                };
                params.take(param, value, &mut patterns_left)?;
            }
        }
        Ok(params)
    }

    fn take(
        &mut self,
        param: &'static Param,
        value: &str,
        patterns_left: &mut usize,
    ) -> Result<(), Problem> {
        let bad = |what: String| Problem::parameter(param.name, what);
        if value.len() > VALUE_BYTES_MAX {
            return Err(bad(format!("longer than {VALUE_BYTES_MAX} bytes")));
        }
        let all = self.values.entry(param.name).or_default();
        if !param.many && !all.is_empty() {
            return Err(bad("given more than once".to_owned()));
        }
        match param.kind {
            Kind::Text => all.push(value.to_owned()),
            Kind::Selector => {
                let read = Selector::parse_within(value, patterns_left);
                let read = read.map_err(|e| bad(e.to_string()))?;
                self.selectors.entry(param.name).or_default().push(read);
                all.push(value.to_owned());
            }
            Kind::Time => {
                let ms = time::parse(value).ok_or_else(|| bad(time::not_a_time(value)))?;
                all.push(ms.to_string());
            }
            Kind::OneOf(names) => {
                for one in value.split(',').map(str::trim) {
                    if !names.contains(&one) {
                        let one = shortened(one);
                        let names = names.join(", ");
                        return Err(bad(format!("{one:?} is not one of {names}")));
                    }
                    if !param.many && !all.is_empty() {
                        return Err(bad("more than one value".to_owned()));
                    }
                    all.push(one.to_owned());
                }
            }
            Kind::Integer { least, most, .. } => {
                let number = value.parse::<u64>().ok();
                let number = number.filter(|n| (least..=most).contains(n));
                let number = number.ok_or_else(|| {
                    let value = shortened(value);
                    bad(format!(
                        "{value:?} is not a whole number from {least} to {most}"
                    ))
                })?;
                all.push(number.to_string());
            }
        }
        Ok(())
    }

    /// All values of a parameter.
    pub(super) fn all(&self, name: &str) -> &[String] {
        debug_assert!(
            self.declared.iter().any(|p| p.name == name),
            "BUG: {name} is not declared"
        );
        self.values.get(name).map_or(&[], Vec::as_slice)
    }

    /// The value of a parameter that is given at most once.
    pub(super) fn one(&self, name: &str) -> Option<&str> {
        self.all(name).first().map(String::as_str)
    }

    pub(super) fn selectors(&self, name: &str) -> &[Selector] {
        self.selectors.get(name).map_or(&[], Vec::as_slice)
    }

    /// A number; what is usual without one.
    pub(super) fn number(&self, name: &str) -> u64 {
        let usual = self.declared.iter().find_map(|p| match p.kind {
            Kind::Integer { usual, .. } if p.name == name => Some(usual),
            _ => None,
        });
        let given = self.one(name).and_then(|n| n.parse().ok());
        given.or(usual).unwrap_or_default()
    }

    /// A time in milliseconds.
    pub(super) fn time_of(&self, name: &str) -> Option<i64> {
        self.one(name).and_then(|ms| ms.parse().ok())
    }

    /// The same, under either of two names.
    pub(super) fn time(
        &self,
        name: &'static str,
        other: &'static str,
    ) -> Result<Option<i64>, Problem> {
        match (self.time_of(name), self.time_of(other)) {
            (Some(_), Some(_)) => {
                let what = format!("the same as {name}: give one of them");
                Err(Problem::parameter(other, what))
            }
            (a, b) => Ok(a.or(b)),
        }
    }

    /// Those of a closed list, as what they are.
    pub(super) fn named<T: Copy>(
        &self,
        name: &str,
        all: &[T],
        text: fn(T) -> &'static str,
    ) -> Vec<T> {
        let given = self.all(name);
        let wanted = |t: &&T| given.iter().any(|g| g == text(**t));
        all.iter().filter(wanted).copied().collect()
    }

    /// The parameter as another type.
    pub(super) fn parsed<T: FromStr<Err: std::fmt::Display>>(
        &self,
        name: &str,
    ) -> Result<Option<T>, Problem> {
        let read = |text: &str| text.parse().map_err(|e| Problem::parameter(name, e));
        self.one(name).map(read).transpose()
    }

    /// Tells requests apart that differ in anything but these parameters.
    pub(super) fn key_without(&self, left_out: &[&str]) -> u64 {
        let mut hash = xxhash_rust::xxh3::Xxh3::new();
        for (name, values) in &self.values {
            if !left_out.contains(name) {
                for part in std::iter::once(*name).chain(values.iter().map(String::as_str)) {
                    hash.update(&(part.len() as u64).to_le_bytes());
                    hash.update(part.as_bytes());
                }
            }
        }
        hash.digest()
    }
}

fn unknown(declared: &[Param], name: &str) -> Problem {
    let known: Vec<_> = declared
        .iter()
        .filter(|p| !p.in_path)
        .map(|p| p.name)
        .collect();
    let what = match known.is_empty() {
        true => "unknown: there are no parameters here".to_owned(),
        false => format!("unknown: there are {}", known.join(", ")),
    };
    Problem::parameter(name, what)
}

#[cfg(test)]
mod tests {
    use super::*;

    const DECLARED: &[Param] = &[
        Param::query(
            "n",
            Kind::Integer {
                least: 1,
                most: 10,
                usual: 5,
            },
            "",
        ),
        Param::many("kind", Kind::OneOf(&["a", "b"]), ""),
        Param::many("match[]", Kind::Selector, ""),
        Param::query("start_time", Kind::Time, ""),
        Param::query("start_date", Kind::Time, ""),
    ];

    fn check(query: &[(&str, &str)]) -> Result<Params, Problem> {
        let query: Vec<_> = query
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        Params::check(DECLARED, &[], &query)
    }

    #[test]
    fn values_are_what_they_are_declared_as() {
        let params = check(&[
            ("kind", "a,b"),
            ("kind", "a"),
            ("match[]", "x{y=~\"z\"}"),
            ("start_date", "2023-11-14T22:13:20Z"),
        ])
        .unwrap();
        assert_eq!(params.all("kind"), ["a", "b", "a"]);
        assert_eq!(params.number("n"), 5);
        assert_eq!(params.selectors("match[]").len(), 1);
        let start = params.time("start_time", "start_date");
        assert_eq!(start, Ok(Some(1_700_000_000_000)));
    }

    #[test]
    fn what_is_wrong_names_the_parameter() {
        for (query, said) in [
            (&[("m", "1")][..], "m: unknown: there are n, kind, match[]"),
            (&[("n", "0")], "n: \"0\" is not a whole number from 1 to 10"),
            (&[("n", "-1")], "n: \"-1\" is not a whole number"),
            (&[("n", "1"), ("n", "1")], "n: given more than once"),
            (&[("kind", "a,c")], "kind: \"c\" is not one of a, b"),
            (&[("match[]", "{")], "match[]: selector {: "),
            (
                &[("start_time", "soon")],
                "start_time: \"soon\" is not a time",
            ),
        ] {
            let problem = check(query).unwrap_err();
            assert!(problem.detail().starts_with(said), "{problem:?}");
        }
        let both = check(&[("start_time", "1"), ("start_date", "1")]).unwrap();
        assert!(both.time("start_time", "start_date").is_err());
    }
}

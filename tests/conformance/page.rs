//! A strict reader of exposition pages, of its own making: it refuses what the formats forbid even
//! where scrapers are lenient.

use std::collections::{BTreeMap, BTreeSet};

pub(crate) type Labels = BTreeMap<String, String>;

/// One family: its lines stand together, its type and help come first and once.
#[derive(Debug, Default)]
pub(crate) struct Family {
    pub(crate) kind: String,
    help: Option<String>,
    unit: Option<String>,
    pub(crate) samples: Vec<(String, Labels, f64)>,
}

pub(crate) type Page = BTreeMap<String, Family>;

/// Suffixes that samples of a family may have, by type and format.
fn suffixes(kind: &str, openmetrics: bool) -> &'static [&'static str] {
    match (kind, openmetrics) {
        ("counter", true) => &["_total", "_created"],
        ("info", true) => &["_info"],
        ("histogram", _) => &["_bucket", "_sum", "_count"],
        ("summary", _) => &["", "_sum", "_count"],
        _ => &[""],
    }
}

/// Reads a page or panics with what is wrong with it.
pub(crate) fn read(text: &str, openmetrics: bool) -> Page {
    assert!(!text.contains('\r') || text.contains('"'), "line ends");
    let body = if openmetrics {
        let body = text.strip_suffix("# EOF\n").expect("ends with # EOF");
        assert!(!body.contains("\n# EOF"), "ends twice");
        body
    } else {
        assert!(!text.contains("# EOF"), "an end that text does not have");
        text
    };
    assert!(body.is_empty() || body.ends_with('\n'), "an unended line");
    let mut page = Page::new();
    let mut current = String::new();
    let mut seen = BTreeSet::new();
    for line in body.split_terminator('\n') {
        if let Some(rest) = line.strip_prefix("# ") {
            let mut words = rest.splitn(3, ' ');
            let (what, name) = (words.next().unwrap(), words.next().expect(line));
            let text = words.next().unwrap_or_default().to_owned();
            if name != current {
                assert!(!page.contains_key(name), "{name} begins a second time");
                name.clone_into(&mut current);
            }
            let family = page.entry(name.to_owned()).or_default();
            assert!(family.samples.is_empty(), "{line} comes after a sample");
            let again = match what {
                "TYPE" => !std::mem::replace(&mut family.kind, text).is_empty(),
                "HELP" => {
                    escaped(&text, openmetrics);
                    family.help.replace(text).is_some()
                }
                "UNIT" => {
                    assert!(openmetrics, "text has no units");
                    assert!(name.ends_with(&format!("_{text}")), "{line}");
                    family.unit.replace(text).is_some()
                }
                _ => panic!("{line}"),
            };
            assert!(!again, "{line} comes twice");
            continue;
        }
        let (name, labels, value) = sample(line);
        let family = page.get_mut(&current).expect("a family before its samples");
        let suffix = name.strip_prefix(&current);
        let known = suffixes(&family.kind, openmetrics);
        assert!(
            suffix.is_some_and(|s| known.contains(&s)),
            "{name} in family {current} of type {}",
            family.kind
        );
        assert!(seen.insert((name.clone(), labels.clone())), "twice: {line}");
        family.samples.push((name, labels, value));
    }
    for (name, family) in &page {
        assert!(!family.kind.is_empty() && family.help.is_some(), "{name}");
        assert!(!openmetrics || family.kind != "untyped", "{name}");
        assert!(!(openmetrics && name.ends_with("_total")), "{name}");
    }
    page
}

/// Only the escapes that the format has.
fn escaped(help: &str, openmetrics: bool) {
    let mut chars = help.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => {
                let next = chars.next();
                let fine = matches!(next, Some('\\' | 'n')) || (openmetrics && next == Some('"'));
                assert!(fine, "{help}");
            }
            '"' => assert!(!openmetrics, "{help}"),
            _ => {}
        }
    }
}

/// Name, labels and value of a line. A timestamp or an exemplar is not taken.
pub(crate) fn sample(line: &str) -> (String, Labels, f64) {
    let mut rest = line;
    let name_end = rest.find(['{', ' ']).expect(line);
    let name = identifier(&rest[..name_end], true);
    rest = &rest[name_end..];
    let mut labels = Labels::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        while !rest.starts_with('}') {
            let label;
            if rest.starts_with('"') {
                (label, rest) = quoted(rest);
            } else {
                let end = rest.find('=').expect(line);
                label = identifier(&rest[..end], false);
                rest = &rest[end..];
            }
            let value;
            (value, rest) = quoted(rest.strip_prefix('=').expect(line));
            assert!(labels.insert(label, value).is_none(), "label twice: {line}");
            let more = rest.strip_prefix(',');
            assert!(more.is_some() || rest.starts_with('}'), "{line}");
            rest = more.unwrap_or(rest);
        }
        rest = &rest[1..];
    }
    let value = rest.strip_prefix(' ').expect(line);
    assert!(!value.contains(' '), "more than a value: {line}");
    (name, labels, number(value))
}

fn identifier(text: &str, metric: bool) -> String {
    let fits = |c: char| c.is_ascii_alphanumeric() || c == '_' || (metric && c == ':');
    let begins = !text.starts_with(|c: char| c.is_ascii_digit());
    assert!(
        !text.is_empty() && begins && text.chars().all(fits),
        "{text}"
    );
    text.to_owned()
}

/// A quoted string, and what follows it.
fn quoted(text: &str) -> (String, &str) {
    let inner = text.strip_prefix('"').expect("a quote");
    let mut out = String::new();
    let mut chars = inner.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (out, &inner[at + 1..]),
            '\\' => out.push(match chars.next() {
                Some((_, 'n')) => '\n',
                Some((_, c @ ('\\' | '"'))) => c,
                other => panic!("escape {other:?} in {text}"),
            }),
            c => out.push(c),
        }
    }
    panic!("no end: {text}")
}

/// A number as Go prints one; what is not finite in exactly three spellings.
fn number(text: &str) -> f64 {
    match text {
        "NaN" => f64::NAN,
        "+Inf" => f64::INFINITY,
        "-Inf" => f64::NEG_INFINITY,
        _ => {
            let fits = |c: char| c.is_ascii_digit() || "+-.eE".contains(c);
            assert!(text.chars().all(fits), "{text}");
            text.parse().unwrap()
        }
    }
}

//! Reading canonical label bytes (see [`crate::wire::write::SeriesSpan`]).
//!
//! What always holds: bytes that are not canonical, which only a defect or a damaged file can bring
//! here, end an iteration early instead of a panic.

use crate::wire::field;

/// The label that holds the metric's name.
pub const METRIC_NAME: &str = "__name__";

/// The labels of canonical label bytes, in order: (name, value).
pub fn iter(labels: &[u8]) -> impl Iterator<Item = (&str, &str)> {
    let mut at = 0;
    std::iter::from_fn(move || {
        let label = next(labels, &mut at);
        if label.is_none() {
            at = labels.len();
        }
        label
    })
}

/// The value of one label, or `None` if it is absent.
pub fn get<'a>(labels: &'a [u8], name: &str) -> Option<&'a str> {
    iter(labels)
        .take_while(|(n, _)| *n <= name)
        .find(|(n, _)| *n == name)
        .map(|(_, value)| value)
}

/// Canonical label bytes of these labels, which need not be sorted. For tests, tools and restores.
///
/// Labels with empty values are left out; of several with one name the first is taken.
pub fn encode<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut labels: Vec<_> = labels
        .into_iter()
        .filter(|(_, value)| !value.is_empty())
        .collect();
    labels.sort_by_key(|(name, _)| *name);
    labels.dedup_by_key(|(name, _)| *name);
    let mut out = Vec::new();
    for (name, value) in labels {
        push(name, value, |bytes| out.extend_from_slice(bytes));
    }
    out
}

/// Gives the canonical bytes of one label to `put`, piece by piece. The order of labels is the
/// caller's business.
pub fn push(name: &str, value: &str, mut put: impl FnMut(&[u8])) {
    let (name_len, value_len) = (name.len() as u64, value.len() as u64);
    let inner = 2
        + field::varint_len(name_len) as u64
        + field::varint_len(value_len) as u64
        + name_len
        + value_len;
    put(&[0x0a]);
    put_varint(inner, &mut put);
    put(&[0x0a]);
    put_varint(name_len, &mut put);
    put(name.as_bytes());
    put(&[0x12]);
    put_varint(value_len, &mut put);
    put(value.as_bytes());
}

fn put_varint(mut value: u64, put: &mut impl FnMut(&[u8])) {
    while value >= 0x80 {
        put(&[value as u8 | 0x80]);
        value >>= 7;
    }
    put(&[value as u8]);
}

/// As PromQL prints it: `node_load1{instance="a:9100", job="node"}`; names that are no plain
/// identifiers are quoted: `{"my.metric", "a.b"="v"}`.
pub fn display(labels: &[u8]) -> String {
    let mut text = String::new();
    let metric = get(labels, METRIC_NAME);
    let plain = metric.is_some_and(is_plain_metric_name);
    if let Some(name) = metric.filter(|_| plain) {
        text.push_str(name);
    }
    let mut inner = String::new();
    if let Some(name) = metric.filter(|_| !plain) {
        push_quoted(&mut inner, name);
    }
    for (name, value) in iter(labels).filter(|(name, _)| *name != METRIC_NAME) {
        if !inner.is_empty() {
            inner.push_str(", ");
        }
        push_label_name(&mut inner, name);
        inner.push('=');
        push_quoted(&mut inner, value);
    }
    if !inner.is_empty() || metric.is_none() {
        text.push('{');
        text.push_str(&inner);
        text.push('}');
    }
    text
}

/// True for a metric name that PromQL takes without quotes: `[a-zA-Z_:][a-zA-Z0-9_:]*`.
pub fn is_plain_metric_name(name: &str) -> bool {
    is_identifier(name, |c| c == b':')
}

/// True for a label name that PromQL takes without quotes: `[a-zA-Z_][a-zA-Z0-9_]*`.
pub fn is_plain_label_name(name: &str) -> bool {
    is_identifier(name, |_| false)
}

/// Appends a label name, quoted if it must be.
pub fn push_label_name(out: &mut String, name: &str) {
    if is_plain_label_name(name) {
        out.push_str(name);
    } else {
        push_quoted(out, name);
    }
}

/// Appends a string in double quotes with the escapes that PromQL reads.
pub fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c.is_control() => out.push_str(&format!("\\u{:04x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
}

fn is_identifier(name: &str, extra: impl Fn(u8) -> bool) -> bool {
    !name.is_empty()
        && !name.as_bytes()[0].is_ascii_digit()
        && name
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || c == b'_' || extra(c))
}

fn next<'a>(labels: &'a [u8], at: &mut usize) -> Option<(&'a str, &'a str)> {
    if *at >= labels.len() {
        return None;
    }
    *at += 1;
    field::len(labels, at).ok()?;
    let mut part = || {
        *at += 1;
        let start_end = (field::len(labels, at).ok()?, *at);
        let text = std::str::from_utf8(&labels[start_end.1..start_end.0]).ok()?;
        *at = start_end.0;
        Some(text)
    };
    Some((part()?, part()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_come_back_sorted_and_without_empty_ones() {
        let long = "v".repeat(300);
        let bytes = encode([
            ("z", "1"),
            ("__name__", "up"),
            ("gone", ""),
            ("job", &long),
            ("z", "2"),
        ]);
        let got: Vec<_> = iter(&bytes).collect();
        assert_eq!(got, [("__name__", "up"), ("job", &*long), ("z", "1")]);
        assert_eq!(get(&bytes, "job"), Some(&*long));
        assert_eq!(get(&bytes, "gone"), None);
        assert_eq!(get(&bytes, "zz"), None);
        assert!(bytes.starts_with(
            b"\x0a\x0e\x0a\x08__name__\x12\x02up\x0a\xb4\x02\x0a\x03job\x12\xac\x02v"
        ));
    }

    #[test]
    fn damaged_bytes_end_the_iteration() {
        let bytes = encode([("__name__", "up"), ("job", "n\u{f6}de")]);
        for cut in 0..bytes.len() {
            assert!(iter(&bytes[..cut]).count() <= 1);
        }
        for at in 0..bytes.len() {
            let mut bad = bytes.clone();
            bad[at] = 0xff;
            assert!(iter(&bad).count() <= 2);
        }
    }

    #[test]
    fn display_is_what_promql_prints() {
        for (labels, text) in [
            (&[("__name__", "up")][..], "up"),
            (&[], "{}"),
            (
                &[("job", "a\"b\\c\nd\u{7}")],
                "{job=\"a\\\"b\\\\c\\nd\\u0007\"}",
            ),
            (
                &[
                    ("__name__", "node_load1"),
                    ("job", "node"),
                    ("instance", "a:9100"),
                ],
                "node_load1{instance=\"a:9100\", job=\"node\"}",
            ),
            (
                &[("__name__", "job:up:sum"), ("1st", "\u{fc}")],
                "job:up:sum{\"1st\"=\"\u{fc}\"}",
            ),
            (
                &[("__name__", "my.metric"), ("a.b", "v")],
                "{\"my.metric\", \"a.b\"=\"v\"}",
            ),
        ] {
            assert_eq!(display(&encode(labels.iter().copied())), text);
        }
    }
}

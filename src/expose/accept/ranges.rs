//! The media ranges of an `Accept` header (RFC 9110, sections 5.6.6 and 12.5.1).
//!
//! A range that cannot be read is passed over; a weight that cannot be read is 0, because nothing
//! tells how much the client meant.

use std::borrow::Cow;

use smallvec::SmallVec;

/// One media range with its parameters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct MediaRange<'a> {
    pub(super) kind: &'a str,
    pub(super) subtype: &'a str,
    /// In thousandths, 0 to 1,000.
    pub(super) q: u16,
    parameters: SmallVec<[(&'a str, Cow<'a, str>); 4]>,
}

impl MediaRange<'_> {
    /// The first parameter of this name, without quotes.
    pub(super) fn parameter(&self, name: &str) -> Option<&str> {
        let mut named = self.parameters.iter();
        let found = named.find(|(n, _)| n.eq_ignore_ascii_case(name))?;
        Some(&found.1)
    }
}

/// The ranges of one header line, in order.
pub(super) fn ranges(line: &str) -> impl Iterator<Item = MediaRange<'_>> {
    split(line, b',').filter_map(range)
}

fn range(text: &str) -> Option<MediaRange<'_>> {
    let mut parts = split(text, b';');
    let (kind, subtype) = parts.next()?.trim().split_once('/')?;
    let mut range = MediaRange {
        kind,
        subtype,
        q: 1000,
        parameters: SmallVec::new(),
    };
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let (name, value) = (name.trim(), unquoted(value.trim()));
        if name.eq_ignore_ascii_case("q") {
            range.q = thousandths(&value);
        } else {
            range.parameters.push((name, value));
        }
    }
    Some(range)
}

/// A weight: 0 to 1 with up to three decimals. Also takes `.5`, which old clients send.
fn thousandths(text: &str) -> u16 {
    let fits = text.len() <= 5 && text.bytes().all(|b| b.is_ascii_digit() || b == b'.');
    let q = text.parse::<f32>().ok().filter(|_| fits);
    q.filter(|q| *q <= 1.0)
        .map_or(0, |q| (q * 1000.0).round() as u16)
}

fn unquoted(value: &str) -> Cow<'_, str> {
    let inner = value
        .strip_prefix('"')
        .and_then(|rest| rest.strip_suffix('"'));
    let Some(inner) = inner else {
        return Cow::Borrowed(value);
    };
    if !inner.contains('\\') {
        return Cow::Borrowed(inner);
    }
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        out.extend(if c == '\\' { chars.next() } else { Some(c) });
    }
    Cow::Owned(out)
}

/// Parts between separators that stand outside quotes.
fn split(text: &str, separator: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    std::iter::from_fn(move || {
        let text = rest?;
        let (mut quoted, mut escaped) = (false, false);
        let end = text.bytes().position(|byte| {
            let ends = byte == separator && !quoted;
            quoted ^= byte == b'"' && !escaped;
            escaped = quoted && byte == b'\\' && !escaped;
            ends
        });
        let (part, after) = end.map_or((text, None), |at| (&text[..at], Some(&text[at + 1..])));
        rest = after;
        Some(part)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_range() {
        let line = "a/b ; Q=0.5;X=\"c,\\\"d;\" , */*;q=.25,nonsense, e/f;q=1.000;g";
        let all: Vec<_> = ranges(line).collect();
        assert_eq!(all.len(), 3);
        assert_eq!((all[0].kind, all[0].subtype, all[0].q), ("a", "b", 500));
        assert_eq!(all[0].parameter("x"), Some("c,\"d;"));
        assert_eq!((all[1].kind, all[1].subtype, all[1].q), ("*", "*", 250));
        assert_eq!((all[2].q, all[2].parameter("g")), (1000, None));
    }

    #[test]
    fn weights() {
        for (text, q) in [
            ("1", 1000),
            ("0", 0),
            ("0.001", 1),
            ("1.0", 1000),
            ("1.001", 0),
            ("2", 0),
            ("-1", 0),
            ("nan", 0),
            ("inf", 0),
            ("1e-2", 0),
            ("", 0),
            ("0.1234", 0),
        ] {
            assert_eq!(thousandths(text), q, "{text}");
        }
    }
}

//! Reads label text back into names and values, for selectors.

use std::borrow::Cow;

use smallvec::SmallVec;

/// Labels of one series: few enough to be looked through.
pub(super) type Labels<'a> = SmallVec<[(&'a str, Cow<'a, str>); 16]>;

/// The labels of text as [`crate::score::board::LabelText`] has it: `{a="b",c="d"`.
pub(super) fn parse(text: &str) -> Labels<'_> {
    let mut labels = Labels::new();
    let mut rest = text.strip_prefix('{').unwrap_or(text);
    while let Some((name, after)) = rest.split_once("=\"") {
        let Some(end) = closing_quote(after) else {
            break;
        };
        labels.push((name, unescape(&after[..end])));
        rest = after[end + 1..].trim_start_matches(',');
    }
    labels
}

fn closing_quote(text: &str) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| match byte {
        _ if escaped => {
            escaped = false;
            false
        }
        b'\\' => {
            escaped = true;
            false
        }
        byte => byte == b'"',
    })
}

fn unescape(value: &str) -> Cow<'_, str> {
    if !value.contains('\\') {
        return Cow::Borrowed(value);
    }
    let mut out = String::with_capacity(value.len());
    let mut chars = value.chars();
    while let Some(c) = chars.next() {
        match (c, c == '\\') {
            (_, true) => match chars.next() {
                Some('n') => out.push('\n'),
                Some(c) => out.push(c),
                None => {}
            },
            (c, false) => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_values_come_back_as_they_were() {
        let text = r#"{a="x\"y,b=\"z",c="\\",d="",e="1\n2",source_metric="m""#;
        let labels = parse(text);
        let expected = [
            ("a", "x\"y,b=\"z"),
            ("c", "\\"),
            ("d", ""),
            ("e", "1\n2"),
            ("source_metric", "m"),
        ];
        assert_eq!(labels.len(), expected.len());
        for ((name, value), expected) in labels.iter().zip(expected) {
            assert_eq!((*name, &**value), expected);
        }
        assert!(parse("{").is_empty());
        assert!(parse("").is_empty());
    }
}

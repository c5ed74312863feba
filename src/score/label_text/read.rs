//! Reads label text back into names and values, for selectors and for other forms of the text.

use std::borrow::Cow;

use smallvec::SmallVec;

/// Labels of one series: few enough to be looked through.
pub type Labels<'a> = SmallVec<[(Cow<'a, str>, Cow<'a, str>); 16]>;

/// The labels of text as [`crate::score::board::LabelText`] has it: `{a="b","c.d"="e"`.
pub fn labels(text: &str) -> Labels<'_> {
    let mut labels = Labels::new();
    let mut rest = text.strip_prefix('{').unwrap_or(text);
    while let Some(label) = next(&mut rest) {
        labels.push(label);
    }
    labels
}

fn next<'a>(rest: &mut &'a str) -> Option<(Cow<'a, str>, Cow<'a, str>)> {
    let text = *rest;
    let (name, after) = match text.strip_prefix('"') {
        Some(quoted) => {
            let (name, after) = quoted_part(quoted)?;
            (name, after.strip_prefix("=\"")?)
        }
        None => {
            let (name, after) = text.split_once("=\"")?;
            (Cow::Borrowed(name), after)
        }
    };
    let (value, after) = quoted_part(after)?;
    *rest = after.strip_prefix(',').unwrap_or(after);
    Some((name, value))
}

/// What stands before the closing quote, unescaped, and what follows it.
fn quoted_part(text: &str) -> Option<(Cow<'_, str>, &str)> {
    let mut escaped = false;
    let end = text.bytes().position(|byte| {
        let closes = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        closes
    })?;
    Some((unescape(&text[..end]), &text[end + 1..]))
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
    fn hostile_names_and_values_come_back_as_they_were() {
        let text = r#"{a="x\"y,b=\"z","c=\"\\d"="\\","e."="",f="1\n2",source_metric="m""#;
        let expected = [
            ("a", "x\"y,b=\"z"),
            ("c=\"\\d", "\\"),
            ("e.", ""),
            ("f", "1\n2"),
            ("source_metric", "m"),
        ];
        let labels = labels(text);
        assert_eq!(labels.len(), expected.len());
        for ((name, value), expected) in labels.iter().zip(expected) {
            assert_eq!((&**name, &**value), expected);
        }
    }

    #[test]
    fn text_that_is_cut_short_ends_the_reading() {
        let text = r#"{a="1","b.c"="2""#;
        for cut in 0..text.len() {
            assert!(labels(&text[..cut]).len() < 2);
        }
    }
}

//! Selectors and regular expressions of strangers: no panic, and what negation and absence mean
//! holds whatever the pattern is.

use saimon::series::matcher::{MatchOp, Matcher, Selector};

pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(selector) = Selector::parse(&text) {
        let _ = selector.matches(|name| (name == "job").then_some("a"));
        let _ = selector.matches_labels(b"\x0a\x0e\x0a\x08__name__\x12\x02up");
    }
    let (pattern, value) = text.split_once('\0').unwrap_or((&text, "a"));
    let is = |op, pattern: &str| Matcher::new("job", op, pattern);
    if let (Ok(yes), Ok(no)) = (is(MatchOp::Regex, pattern), is(MatchOp::NotRegex, pattern)) {
        assert!(yes.matches(value) != no.matches(value));
        // A group around it changes nothing: expressions are anchored at both ends.
        if let Ok(grouped) = is(MatchOp::Regex, &format!("(?:{pattern})")) {
            assert!(grouped.matches(value) == yes.matches(value), "{pattern:?}");
        }
    }
    let equal = is(MatchOp::Equal, pattern).expect("any text is a value");
    let not = is(MatchOp::NotEqual, pattern).expect("any text is a value");
    assert!(
        equal.matches(value) == (pattern == value) && not.matches(value) != equal.matches(value)
    );
    // A text that is quoted stands for itself.
    let quoted: String = pattern
        .chars()
        .flat_map(|c| {
            let escape = c.is_ascii_punctuation() && c != '_';
            escape.then_some('\\').into_iter().chain([c])
        })
        .collect();
    if let Ok(literal) = is(MatchOp::Regex, &quoted) {
        assert!(literal.matches(pattern), "{quoted:?}");
    }
}

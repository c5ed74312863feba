use super::*;

fn parse(text: &str) -> Selector {
    Selector::parse(text).unwrap_or_else(|e| panic!("{e}"))
}

fn series(labels: &[(&str, &str)]) -> Vec<u8> {
    labels::encode(labels.iter().copied())
}

#[test]
fn all_spellings_mean_the_same_and_print_alike() {
    for (text, printed) in [
        ("up", "up"),
        (" job:up:sum { } ", "job:up:sum"),
        ("{}", "{}"),
        ("{__name__=\"up\"}", "up"),
        ("{\"up\"}", "up"),
        ("{job='a', \"up\",}", "up{job=\"a\"}"),
        ("{__name__=~\"a|b\"}", "{__name__=~\"a|b\"}"),
        (
            "up{a=\"b\",c!=\"d\",e=~\"x|y\",f!~\"z\"}",
            "up{a=\"b\", c!=\"d\", e=~\"x|y\", f!~\"z\"}",
        ),
        (
            "{\"my.metric\", \"a.b\"=\"v\"}",
            "{\"my.metric\", \"a.b\"=\"v\"}",
        ),
        (
            "up{a=`x\\n\"`, b='\\'\\x41\\102\\u00fc\\U0001F600\\t'}",
            "up{a=\"x\\\\n\\\"\", b=\"'AB\u{fc}\u{1f600}\\t\"}",
        ),
        ("{a=\"\\xc3\\xbc\"}", "{a=\"\u{fc}\"}"),
        ("{a!=\"\u{1}\"}", "{a!=\"\\u0001\"}"),
    ] {
        let selector = parse(text);
        assert_eq!(selector.to_string(), printed, "{text}");
        assert_eq!(parse(printed), selector);
    }
    assert_eq!(parse("up{a=\"1\"}").metric_name(), Some("up"));
    assert_eq!(parse("{a=\"1\"}").metric_name(), None);
    assert_eq!(parse("{a!~\"1\"}").matchers()[0].op(), MatchOp::NotRegex);
}

/// Conformance 79 and 81.
#[test]
fn matchers_hold_as_in_promql() {
    let node = series(&[
        ("__name__", "node_load1"),
        ("job", "node"),
        ("instance", "a:9100"),
    ]);
    for (text, holds) in [
        ("node_load1", true),
        ("node_load", false),
        ("{}", true),
        ("{job=\"node\"}", true),
        ("{job!=\"node\"}", false),
        ("{job=~\"nod\"}", false),
        ("{job=~\"nod.|x\"}", true),
        ("{job!~\"nod\"}", true),
        ("{env=\"\"}", true),
        ("{env!=\"\"}", false),
        ("{env=~\".*\"}", true),
        ("{env=~\".+\"}", false),
        ("{env!~\".+\"}", true),
        ("{env!=\"x\", job=~\"node|demo\"}", true),
        ("node_load1{instance=\"b\"}", false),
    ] {
        assert_eq!(parse(text).matches_labels(&node), holds, "{text}");
    }
}

#[test]
fn mistakes_are_named_with_their_place() {
    for (text, what, at) in [
        ("", "expected a metric name or {, found the end", 1),
        ("  ", "expected a metric name or {, found the end", 3),
        ("1up", "expected a metric name or {, found '1'", 1),
        ("up{", "expected a label name or }, found the end", 4),
        ("up{job}", "expected =, !=, =~ or !~, found '}'", 7),
        ("up{a:b=\"1\"}", "expected a label name or }, found 'a'", 4),
        ("up{job=node}", "expected a quoted value, found 'n'", 8),
        (
            "up{job=\"a\" env=\"b\"}",
            "expected a comma or }, found 'e'",
            12,
        ),
        ("up{,}", "expected a label name or }, found ','", 4),
        (
            "{\u{fc}=\"a\"}",
            "expected a label name or }, found '\u{fc}'",
            2,
        ),
        ("{a=\"\u{fc}", "string without an end", 4),
        ("{a=\"\u{fc}\\q\"}", "unknown escape sequence", 6),
        ("{a='\\\"'}", "unknown escape sequence", 5),
        ("{a=\"\\u12\"}", "unknown escape sequence", 5),
        ("{a=\"\\400\"}", "unknown escape sequence", 5),
        ("{a=\"\\ud800\"}", "unknown escape sequence", 5),
        ("{a=\"\\x\u{fc}\"}", "unknown escape sequence", 5),
        ("{a=\"\\xff\"}", "string that is not utf-8", 4),
        ("{a=\"b\nc\"}", "line break in a string", 6),
        ("{a=~\"(\"}", "bad regular expression: unclosed group", 5),
        ("up{__name__=\"x\"}", "second metric name", 4),
        ("up{\"x\"}", "second metric name", 4),
        ("up[5m]", "expected the end, found '['", 3),
        ("up{} or down", "expected the end, found 'o'", 6),
    ] {
        let error = Selector::parse(text).unwrap_err();
        assert_eq!((error.what.as_str(), error.at), (what, at), "{text}");
    }
    let message = Selector::parse("up{").unwrap_err().to_string();
    assert!(message.starts_with("selector up{: expected") && message.ends_with("at character 4"));
}

#[test]
fn a_stranger_cannot_make_a_selector_large() {
    assert!(Selector::parse(&"a".repeat(SELECTOR_BYTES_MAX + 1)).is_err());
    assert!(Selector::parse(&format!("{{{}}}", "a=\"\",".repeat(65))).is_err());
    assert!(Selector::parse("{a=~\"(?:.{1000}){1000}\"}").is_err());
}

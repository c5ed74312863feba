//! What each action does; the cases are those that Prometheus' own documentation and tests describe.

use super::*;

type Pairs = Vec<(&'static str, &'static str)>;

fn rule(yaml: serde_json::Value) -> RelabelConfig {
    serde_json::from_value(yaml).unwrap()
}

/// Labels after the rules, sorted; `None` if the series is left out.
fn relabelled(pairs: &Pairs, rules: &[serde_json::Value]) -> Option<Vec<(String, String)>> {
    let rules: Vec<_> = rules.iter().cloned().map(rule).collect();
    let relabel = Relabel::new(&rules).unwrap();
    let mut labels: LabelList<'_> = pairs
        .iter()
        .map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v)))
        .collect();
    let kept = relabel.apply(&mut labels);
    let mut labels: Vec<_> = labels
        .into_iter()
        .map(|(n, v)| (n.into_owned(), v.into_owned()))
        .collect();
    labels.sort();
    kept.then_some(labels)
}

fn owned(pairs: &Pairs) -> Vec<(String, String)> {
    let own = |(n, v): &(&str, &str)| ((*n).to_owned(), (*v).to_owned());
    pairs.iter().map(own).collect()
}

#[test]
fn every_action() {
    let abc = vec![("a", "foo"), ("b", "bar"), ("c", "baz")];
    let cases: Vec<(Pairs, serde_json::Value, Option<Pairs>)> = vec![
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a"], "regex": "f(.*)", "target_label": "d", "separator": ";", "replacement": "ch${1}-ch${1}"}),
            Some(vec![
                ("a", "foo"),
                ("b", "bar"),
                ("c", "baz"),
                ("d", "choo-choo"),
            ]),
        ),
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a", "b"], "regex": "f(.*);(.*)r", "target_label": "a", "replacement": "b${1}${2}m"}),
            Some(vec![("a", "boobam"), ("b", "bar"), ("c", "baz")]),
        ),
        // A match is of the whole value.
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a"], "regex": "fo", "target_label": "a", "replacement": "x"}),
            Some(abc.clone()),
        ),
        // An empty result removes the label.
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a"], "target_label": "b", "replacement": ""}),
            Some(vec![("a", "foo"), ("c", "baz")]),
        ),
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["missing"], "target_label": "b"}),
            Some(vec![("a", "foo"), ("c", "baz")]),
        ),
        // No source: a fixed label.
        (
            abc.clone(),
            serde_json::json!({"target_label": "d", "replacement": "fixed"}),
            Some(vec![
                ("a", "foo"),
                ("b", "bar"),
                ("c", "baz"),
                ("d", "fixed"),
            ]),
        ),
        // A target made of what matched; one that is no name changes nothing.
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a"], "regex": "(f)(.*)", "target_label": "${1}_x", "replacement": "$2"}),
            Some(vec![
                ("a", "foo"),
                ("b", "bar"),
                ("c", "baz"),
                ("f_x", "oo"),
            ]),
        ),
        (
            vec![("a", "some-name")],
            serde_json::json!({"source_labels": ["a"], "regex": "(.*)", "target_label": "${1}", "replacement": "x"}),
            Some(vec![("a", "some-name")]),
        ),
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a"], "regex": ".*o.*", "action": "drop"}),
            None,
        ),
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a"], "regex": "o", "action": "drop"}),
            Some(abc.clone()),
        ),
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a"], "regex": "f.*", "action": "keep"}),
            Some(abc.clone()),
        ),
        (
            abc.clone(),
            serde_json::json!({"source_labels": ["a"], "regex": "no-match", "action": "keep"}),
            None,
        ),
        (
            vec![("a", "1"), ("b", "1")],
            serde_json::json!({"source_labels": ["a"], "target_label": "b", "action": "dropequal"}),
            None,
        ),
        (
            vec![("a", "1"), ("b", "2")],
            serde_json::json!({"source_labels": ["a"], "target_label": "b", "action": "keepequal"}),
            None,
        ),
        (
            vec![("a", "1"), ("b", "1")],
            serde_json::json!({"source_labels": ["a"], "target_label": "b", "action": "keepequal"}),
            Some(vec![("a", "1"), ("b", "1")]),
        ),
        (
            vec![("a", "Foo\u{c4}"), ("b", "x")],
            serde_json::json!({"source_labels": ["a"], "target_label": "b", "action": "lowercase"}),
            Some(vec![("a", "Foo\u{c4}"), ("b", "foo\u{e4}")]),
        ),
        (
            vec![("a", "Foo")],
            serde_json::json!({"source_labels": ["a"], "target_label": "a", "action": "uppercase"}),
            Some(vec![("a", "FOO")]),
        ),
        (
            vec![("__meta_a", "1"), ("__meta_b", "2"), ("b", "3")],
            serde_json::json!({"regex": "__meta_(.*)", "action": "labelmap"}),
            Some(vec![
                ("__meta_a", "1"),
                ("__meta_b", "2"),
                ("a", "1"),
                ("b", "2"),
            ]),
        ),
        (
            abc.clone(),
            serde_json::json!({"regex": "a|b", "action": "labeldrop"}),
            Some(vec![("c", "baz")]),
        ),
        (
            abc.clone(),
            serde_json::json!({"regex": "a|b", "action": "labelkeep"}),
            Some(vec![("a", "foo"), ("b", "bar")]),
        ),
        // The numbers that Prometheus 2.42 gives (its TestRelabel).
        (
            vec![("a", "foo"), ("b", "bar"), ("c", "baz")],
            serde_json::json!({"source_labels": ["c"], "target_label": "d", "action": "hashmod", "modulus": 1000}),
            Some(vec![("a", "foo"), ("b", "bar"), ("c", "baz"), ("d", "976")]),
        ),
        (
            vec![("a", "foo\nbar")],
            serde_json::json!({"source_labels": ["a"], "target_label": "b", "action": "hashmod", "modulus": 1000}),
            Some(vec![("a", "foo\nbar"), ("b", "734")]),
        ),
    ];
    for (before, rule, after) in cases {
        let got = relabelled(&before, std::slice::from_ref(&rule));
        assert_eq!(got, after.as_ref().map(owned), "{before:?} {rule}");
    }
}

#[test]
fn rules_follow_each_other() {
    let rules = [
        serde_json::json!({"source_labels": ["a"], "target_label": "tmp"}),
        serde_json::json!({"source_labels": ["tmp"], "regex": "x.*", "target_label": "b", "replacement": "yes"}),
        serde_json::json!({"regex": "tmp", "action": "labeldrop"}),
        serde_json::json!({"source_labels": ["b"], "regex": "yes", "action": "keep"}),
    ];
    let after = owned(&vec![("a", "xy"), ("b", "yes")]);
    assert_eq!(relabelled(&vec![("a", "xy")], &rules), Some(after));
    assert_eq!(relabelled(&vec![("a", "y")], &rules), None);
}

#[test]
fn what_prometheus_refuses_is_refused_by_its_key() {
    for (config, key) in [
        (serde_json::json!({}), "target_label"),
        (
            serde_json::json!({"action": "hashmod", "target_label": "a"}),
            "modulus",
        ),
        (
            serde_json::json!({"action": "hashmod", "modulus": 2}),
            "target_label",
        ),
        (
            serde_json::json!({"action": "hashmod", "modulus": 2, "target_label": "a$1"}),
            "target_label",
        ),
        (serde_json::json!({"target_label": "0a"}), "target_label"),
        (serde_json::json!({"target_label": "a$"}), "target_label"),
        (serde_json::json!({"target_label": "a${1"}), "target_label"),
        (
            serde_json::json!({"action": "lowercase", "target_label": "a", "replacement": "x"}),
            "replacement",
        ),
        (
            serde_json::json!({"action": "keepequal", "target_label": "a", "regex": "x"}),
            "regex",
        ),
        (
            serde_json::json!({"action": "labeldrop", "source_labels": ["a"]}),
            "source_labels",
        ),
        (
            serde_json::json!({"action": "labelmap", "replacement": "a-b"}),
            "replacement",
        ),
        (serde_json::json!({"action": "keep", "regex": "("}), "regex"),
    ] {
        let error = Relabel::new(&[rule(config.clone())]).unwrap_err();
        assert_eq!(error.key, key, "{config}: {error}");
    }
    for target in ["a", "$1", "${1}_a", "a_${b}c", "_"] {
        let config = serde_json::json!({"target_label": target});
        assert!(Relabel::new(&[rule(config)]).is_ok(), "{target}");
    }
}

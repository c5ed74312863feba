//! Each form of the text, and that no two labels or plain series ever become one.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn rendered(labels: &[(&str, &str)]) -> LabelText {
    render(&labels::encode(labels.iter().copied()))
}

fn score(labels: &[(&str, &str)]) -> String {
    String::from(rendered(labels).score)
}

#[test]
fn labels_stay_and_the_metric_name_becomes_source_metric() {
    let text = rendered(&[
        ("__name__", "node_load1"),
        ("job", "node"),
        ("instance", "a:1"),
    ]);
    let expected = r#"{instance="a:1",job="node",source_metric="node_load1""#;
    for names in [Names::Underscores, Names::Dots, Names::Values, Names::Utf8] {
        for family in [Family::Score, Family::Anomaly] {
            assert_eq!(text.shown(names, family), expected);
        }
    }
    assert!(text.other.is_none(), "costs nothing more");
    let text = score(&[("__name__", "gr\u{f6}\u{df}e"), ("job", "q\"\\\n")]);
    assert_eq!(
        text,
        "{job=\"q\\\"\\\\\\n\",source_metric=\"gr\u{f6}\u{df}e\""
    );
}

#[test]
fn clashes_move_and_make_room_for_those_that_moved() {
    assert_eq!(
        score(&[
            ("__name__", "x"),
            ("le", "1"),
            ("quantile", "0.5"),
            ("a", "b")
        ]),
        r#"{a="b",exported_le="1",exported_quantile="0.5",source_metric="x""#
    );
    assert_eq!(
        score(&[
            ("__name__", "m"),
            ("source_metric", "1"),
            ("exported_source_metric", "2"),
            ("exported_job", "3"),
        ]),
        r#"{exported_exported_source_metric="2",exported_job="3",exported_source_metric="1",source_metric="m""#
    );
    let text = rendered(&[("__name__", "unit"), ("state", "failed")]);
    assert_eq!(&*text.score, r#"{state="failed",source_metric="unit""#);
    for names in [Names::Underscores, Names::Utf8] {
        assert_eq!(
            text.shown(names, Family::Anomaly),
            r#"{exported_state="failed",source_metric="unit""#
        );
    }
    assert!(!text.is_odd());
}

#[test]
fn odd_names_in_every_form() {
    let text = rendered(&[
        ("__name__", "m"),
        ("a.b", "1"),
        ("le", "2"),
        ("state", "3"),
        ("z", "4"),
    ]);
    assert!(text.is_odd());
    for (names, family, expected) in [
        (
            Names::Underscores,
            Family::Score,
            r#"{a_b="1",exported_le="2",state="3",z="4",source_metric="m""#,
        ),
        (
            Names::Underscores,
            Family::Anomaly,
            r#"{a_b="1",exported_le="2",exported_state="3",z="4",source_metric="m""#,
        ),
        (
            Names::Utf8,
            Family::Score,
            r#"{"a.b"="1",exported_le="2",state="3",z="4",source_metric="m""#,
        ),
        (
            Names::Utf8,
            Family::Anomaly,
            r#"{"a.b"="1",exported_le="2",exported_state="3",z="4",source_metric="m""#,
        ),
        (
            Names::Dots,
            Family::Score,
            r#"{a_dot_b="1",exported_le="2",state="3",z="4",source_metric="m""#,
        ),
        (
            Names::Values,
            Family::Anomaly,
            r#"{U__a_2e_b="1",exported_le="2",exported_state="3",z="4",source_metric="m""#,
        ),
    ] {
        assert_eq!(text.shown(names, family), expected);
    }
    assert_eq!(text.utf8(), text.shown(Names::Utf8, Family::Score));
}

#[test]
fn names_that_meet_after_escaping_move_in_order() {
    let text = rendered(&[("__name__", "m"), ("a.b", "1"), ("a/b", "2"), ("a_b", "3")]);
    assert_eq!(
        &*text.score,
        r#"{a_b="3",exported_a_b="1",exported_exported_a_b="2",source_metric="m""#
    );
    assert_eq!(
        text.shown(Names::Dots, Family::Score),
        r#"{a__b="2",a_b="3",a_dot_b="1",source_metric="m""#
    );
    assert_eq!(
        score(&[
            ("__name__", "m"),
            ("source.metric", "1"),
            ("source_metric", "2"),
        ]),
        r#"{exported_exported_source_metric="1",exported_source_metric="2",source_metric="m""#
    );
}

/// Names that like to meet: of few characters, ours, and moved ones.
fn name() -> impl Strategy<Value = String> {
    let stem = prop_oneof![
        "[a.:_/]{1,3}",
        Just("le".to_owned()),
        Just("source_metric".to_owned()),
        Just("source.metric".to_owned()),
        Just("state".to_owned()),
        Just("st.te".to_owned()),
    ];
    (0..3_usize, stem).prop_map(|(moved, stem)| MOVED.repeat(moved) + &stem)
}

fn series(labels: &HashMap<String, String>) -> LabelText {
    let named = labels.iter().map(|(n, v)| (n.as_str(), v.as_str()));
    render(&labels::encode(named.chain([("__name__", "m")])))
}

proptest! {
    #[test]
    fn no_label_is_lost_or_doubled_in_any_form(
        labels in proptest::collection::hash_map(name(), "[xy]", 0..8)
    ) {
        let text = series(&labels);
        for names in [Names::Underscores, Names::Dots, Names::Values, Names::Utf8] {
            for family in [Family::Score, Family::Anomaly] {
                let shown = text.shown(names, family);
                let read = read::labels(&shown);
                let unique: HashMap<_, _> = read.iter().cloned().collect();
                prop_assert_eq!(unique.len(), read.len(), "{}", shown);
                prop_assert_eq!(read.len(), labels.len() + 1);
                prop_assert_eq!(&*read[read.len() - 1].0, SOURCE);
                let ours = read.iter().filter(|(n, _)| FORMAT.contains(&&**n) || &**n == SOURCE);
                prop_assert_eq!(ours.count(), 1);
                if names != Names::Utf8 {
                    prop_assert!(read.iter().all(|(n, _)| is_plain_label_name(n)));
                }
            }
        }
    }

    #[test]
    fn two_series_never_have_one_text_with_their_own_names(
        a in proptest::collection::hash_map(name(), "[xy]", 0..5),
        b in proptest::collection::hash_map(name(), "[xy]", 0..5),
    ) {
        let (text_a, text_b) = (series(&a), series(&b));
        for family in [Family::Score, Family::Anomaly] {
            let same = text_a.shown(Names::Utf8, family) == text_b.shown(Names::Utf8, family);
            prop_assert_eq!(same, a == b);
        }
    }
}

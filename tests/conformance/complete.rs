//! That no item of the list is left out or tested twice.

/// The sections, as they stand.
const SECTIONS: [(&str, &str); 11] = [
    ("a", include_str!("conformance_a.rs")),
    ("a", include_str!("conformance_a/bodies.rs")),
    ("b", include_str!("conformance_b.rs")),
    ("b", include_str!("conformance_b/labels.rs")),
    ("c", include_str!("conformance_c.rs")),
    ("c", include_str!("conformance_c/histograms.rs")),
    ("d", include_str!("conformance_d.rs")),
    ("e", include_str!("conformance_e.rs")),
    ("f", include_str!("conformance_f.rs")),
    ("g", include_str!("conformance_g.rs")),
    ("h", include_str!("conformance_h.rs")),
];

/// The items of the sections above.
const ITEMS: std::ops::RangeInclusive<u32> = 1..=106;

/// Names of all tests in a source: functions that follow `#[test]`.
fn tests(source: &str) -> impl Iterator<Item = &str> {
    source.split("#[test]").skip(1).filter_map(|rest| {
        rest.split_once("fn ")?
            .1
            .split_once('(')
            .map(|(name, _)| name)
    })
}

#[test]
fn every_item_has_exactly_one_test() {
    let mut items = Vec::new();
    for (section, source) in SECTIONS {
        for name in tests(source) {
            let item = name
                .strip_prefix("item_")
                .and_then(|rest| rest.get(..3)?.parse::<u32>().ok())
                .unwrap_or_else(|| panic!("section {section}: {name} has no number"));
            items.push(item);
        }
    }
    assert_eq!(items, ITEMS.collect::<Vec<_>>(), "in the order of the list");
}

#[test]
fn every_test_is_in_the_documentation() {
    let documentation = include_str!("../../docs/conformance.md");
    for name in SECTIONS.into_iter().flat_map(|(_, source)| tests(source)) {
        assert!(documentation.contains(&format!("| `{name}` |")), "{name}");
    }
}

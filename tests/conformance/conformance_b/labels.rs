//! B. Labels of 1.0 (items 36 to 43).

use super::*;

#[test]
fn item_036_a_series_with_a_label_twice_is_refused_alone() {
    let saimon = Saimon::start();
    let bad = [
        raw::series(
            &[(b"__name__", b"x"), (b"a", b"1"), (b"a", b"2")],
            NOW_MS,
            1.0,
        ),
        raw::series(
            &[(b"__name__", b"x"), (b"a", b"1"), (b"a", b"1")],
            NOW_MS,
            1.0,
        ),
        raw::series(
            &[
                (b"a", b"1"),
                (b"__name__", b"x"),
                (b"b", b"1"),
                (b"a", b"2"),
            ],
            NOW_MS,
            1.0,
        ),
        raw::series(&[(b"__name__", b"x"), (b"__name__", b"y")], NOW_MS, 1.0),
    ];
    let response = refused_between_good_ones(&saimon, &bad);
    assert!(
        response.text().contains("duplicate label"),
        "{}",
        response.text()
    );
    assert_eq!(saimon.counters().outcome("refused"), 4);
}

#[test]
fn item_037_a_series_without_a_name_is_refused_alone() {
    let saimon = Saimon::start();
    let bad = [
        raw::series(&[(b"job", b"nameless")], NOW_MS, 1.0),
        raw::series(&[(b"__name__", b""), (b"job", b"a")], NOW_MS, 1.0),
        raw::series(&[], NOW_MS, 1.0),
    ];
    let response = refused_between_good_ones(&saimon, &bad);
    assert!(
        response.text().contains("metric name"),
        "{}",
        response.text()
    );
    assert!(response.text().contains("nameless"), "{}", response.text());
}

#[test]
fn item_038_the_order_of_labels_does_not_matter() {
    let saimon = Saimon::start();
    let mut rng = fastrand::Rng::with_seed(38);
    let mut set: Vec<(String, String)> = (0..20)
        .map(|i| (format!("l{i}"), format!("v{i}")))
        .chain([("__name__".to_owned(), "up".to_owned())])
        .chain([
            ("Zone".to_owned(), "z".to_owned()),
            ("l1_".to_owned(), "x".to_owned()),
        ])
        .collect();
    for i in 0..50 {
        rng.shuffle(&mut set);
        let set: Vec<_> = set.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        let request = v1::Request::new().series(&set, &[(NOW_MS + i, i as f64)]);
        assert_eq!(saimon.write(&request).status, 204);
    }
    let held = saimon.held();
    assert_eq!(held.len(), 1);
    assert_eq!(held.values().next().unwrap().samples.len(), 50);
}

#[test]
fn item_039_labels_with_empty_values_are_as_if_absent() {
    let saimon = Saimon::start();
    let sets: [&[(&str, &str)]; 5] = [
        &[("__name__", "up"), ("b", "1")],
        &[("__name__", "up"), ("a", ""), ("b", "1")],
        &[("a", ""), ("__name__", "up"), ("b", "1"), ("c", "")],
        &[("__name__", "up"), ("a", ""), ("a", ""), ("b", "1")],
        &[("", ""), ("__name__", "up"), ("b", "1")],
    ];
    for (i, set) in sets.into_iter().enumerate() {
        let request = v1::Request::new().series(set, &[(NOW_MS + i as i64, 1.0)]);
        let status = saimon.write(&request).status;
        // Twice the same empty label, and one without a name, may also be refused.
        assert!(
            status == 204 || (i > 2 && status == 400),
            "{set:?}: {status}"
        );
    }
    let held = saimon.held();
    assert_eq!(held.keys().collect::<Vec<_>>(), ["up{b=\"1\"}"]);
    assert!(held["up{b=\"1\"}"].samples.len() >= 3);
    // A label without a name and with a value is no label.
    let request = v1::Request::new().series(&[("__name__", "up"), ("", "x")], &[(NOW_MS, 1.0)]);
    assert_eq!(saimon.write(&request).status, 400);
    assert_eq!(saimon.held().len(), 1);
}

#[test]
fn item_040_names_are_any_utf8() {
    let saimon = Saimon::start();
    let sets: [&[(&str, &str)]; 6] = [
        &[("__name__", "resource.cpu.usage"), ("service.name", "a b")],
        &[("__name__", "my metric"), ("job name", "x")],
        &[
            ("__name__", "up"),
            ("path", "/über☃"),
            ("multi", "a\nb\tc\"d\\e\0f"),
        ],
        &[("__name__", "温度"), ("\u{1F600}", "\u{10FFFF}")],
        &[("__name__", "0digit-first"), ("9", "9")],
        &[
            ("__name__", "a:b"),
            ("__type__", "counter"),
            ("__unit__", "s"),
        ],
    ];
    for set in sets {
        let request = v1::Request::new().series(set, &[(NOW_MS, 1.0)]);
        let response = saimon.write(&request);
        assert_eq!(response.status, 204, "{set:?}: {}", response.text());
        assert_eq!(saimon.samples(&labels(set)), bits(&[(NOW_MS, 1.0)]));
    }
    assert_eq!(saimon.held().len(), sets.len());
}

#[test]
fn item_041_what_is_not_utf8_is_refused_alone_and_never_replaced() {
    let wrong: [&[u8]; 7] = [
        b"\xff",
        b"a\xfe",
        b"\x80",
        b"\xc3",
        b"\xc0\x80",
        b"\xed\xa0\x80",
        b"\xf4\x90\x80\x80",
    ];
    for wrong in wrong {
        let saimon = Saimon::start();
        let bad = [
            raw::series(&[(b"__name__", b"x"), (b"a", wrong)], NOW_MS, 1.0),
            raw::series(&[(b"__name__", b"x"), (wrong, b"a")], NOW_MS, 1.0),
            raw::series(&[(b"__name__", wrong)], NOW_MS, 1.0),
        ];
        let response = refused_between_good_ones(&saimon, &bad);
        assert!(response.text().contains("utf-8"), "{}", response.text());
    }
}

#[test]
fn item_042_labels_beyond_the_limits_are_refused_with_the_reason() {
    let saimon = Saimon::with(|setup| {
        setup.limits.labels_per_series = 10;
        setup.limits.label_name = 20;
        setup.limits.label_value = 100;
    });
    let many = |n: usize| {
        let rest: Vec<_> = (1..n).map(|i| format!("l{i:03}")).collect();
        let mut set: Vec<(&[u8], &[u8])> = vec![(b"__name__", b"x")];
        set.extend(rest.iter().map(|name| (name.as_bytes(), &b"v"[..])));
        raw::series(&set, NOW_MS, 1.0)
    };
    let long = |name: usize, value: usize| {
        let (name, value) = (vec![b'n'; name], vec![b'v'; value]);
        raw::series(&[(b"__name__", b"x"), (&name, &value)], NOW_MS, 1.0)
    };
    for entry in [many(10), long(20, 100)] {
        let body = Raw::new().message(1, &entry);
        assert_eq!(
            saimon
                .connect()
                .post(WRITE_HEADERS, &snappy(&body.0))
                .status,
            204
        );
    }
    assert_eq!(saimon.held().len(), 2, "at the limits");
    for (entry, reason) in [
        (many(11), "too many labels"),
        (many(100_000), "too many labels"),
        (long(21, 1), "too long"),
        (long(1, 101), "too long"),
        (long(1 << 20, 1 << 20), "too long"),
    ] {
        let body = Raw::new().message(1, &entry);
        let response = saimon.connect().post(WRITE_HEADERS, &snappy(&body.0));
        assert_eq!(response.status, 400);
        assert!(response.text().contains(reason), "{}", response.text());
        assert!(response.body.len() < 1024, "however long the labels are");
    }
    assert_eq!(saimon.held().len(), 2);
    // The name of the metric is a value too.
    let name = vec![b'n'; 101];
    let body = Raw::new().message(1, &raw::series(&[(b"__name__", &name)], NOW_MS, 1.0));
    assert_eq!(
        saimon
            .connect()
            .post(WRITE_HEADERS, &snappy(&body.0))
            .status,
        400
    );
}

#[test]
fn item_043_external_labels_are_part_of_the_identity() {
    let saimon = Saimon::start();
    let of = |replica| [("__name__", "up"), ("cluster", "eu"), ("replica", replica)];
    let request = v1::Request::new()
        .series(&of("a"), &[(NOW_MS, 1.0)])
        .series(&of("b"), &[(NOW_MS, 2.0)]);
    assert_eq!(saimon.write(&request).status, 204);
    assert_eq!(saimon.samples(&labels(&of("a"))), bits(&[(NOW_MS, 1.0)]));
    assert_eq!(saimon.samples(&labels(&of("b"))), bits(&[(NOW_MS, 2.0)]));
}

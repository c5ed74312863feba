use super::*;
use crate::wire::write::Refusal;

const LIMITS: LabelLimits = LabelLimits {
    labels_per_series: 8,
    name_bytes: 130,
    value_bytes: 300,
};

/// One length-delimited field.
fn field(number: u8, parts: &[&[u8]]) -> Vec<u8> {
    let inner = parts.concat();
    let mut out = vec![number << 3 | 2];
    field::put_varint(&mut out, inner.len() as u64);
    out.extend(inner);
    out
}

fn label(name: &str, value: &str) -> Vec<u8> {
    field(
        1,
        &[
            &field(1, &[name.as_bytes()]),
            &field(2, &[value.as_bytes()]),
        ],
    )
}

fn sample(value: f64, timestamp_ms: i64) -> Vec<u8> {
    let mut inner = vec![0x09];
    inner.extend(value.to_le_bytes());
    inner.push(0x10);
    field::put_varint(&mut inner, timestamp_ms as u64);
    field(2, &[&inner])
}

fn decoded(body: &[u8]) -> Result<(Vec<u8>, WriteArena), DecodeError> {
    let mut body = body.to_vec();
    // As a request before would have left it.
    let mut arena = WriteArena {
        exemplars: 9,
        ..WriteArena::default()
    };
    let result = decode(&mut body, &LIMITS, &mut arena);
    if result.is_err() {
        assert!(arena.series.is_empty() && arena.samples.is_empty());
        assert_eq!((arena.exemplars, arena.metadata.len()), (0, 0));
    }
    result.map(|()| (body, arena))
}

fn up() -> Vec<u8> {
    [label("__name__", "up"), label("job", "node")].concat()
}

#[test]
fn canonical_labels_are_used_where_they_lie() {
    let sent = field(1, &[&up(), &sample(1.5, 1_795_341_631_372)]);
    let (body, arena) = decoded(&sent).unwrap();
    assert_eq!(body, sent);
    assert_eq!(arena.series[0].labels.of(&body), up());
    assert_eq!(arena.series[0].name.of(&body), b"up");
    assert_eq!(
        arena.samples,
        [Sample {
            timestamp_ms: 1_795_341_631_372,
            value: 1.5
        }]
    );
}

/// Conformance 38, 39 and protobuf's freedoms: the canonical bytes are always the same.
#[test]
fn every_other_shape_of_the_same_labels_is_rebuilt_to_the_same_bytes() {
    let (name, job) = (label("__name__", "up"), label("job", "node"));
    let s = sample(1.0, 1);
    let long = b"\x0a\x8c\x00\x0a\x03job\x12\x04node\x32\x00".map(|b| b);
    let long = [&long[..1], b"\x8d\x00", &long[3..]].concat();
    let twice = field(
        1,
        &[
            &field(2, &[b"later wins"]),
            &field(1, &[b"x"]),
            &field(2, &[b"node"]),
            &field(1, &[b"job"]),
        ],
    );
    let unknown_inside = field(
        1,
        &[&field(1, &[b"job"]), &field(2, &[b"node"]), b"\x1d1234"],
    );
    for parts in [
        vec![&job[..], &name, &s],
        vec![&name, &s, &job],
        vec![&name, &label("env", ""), &job, &s],
        vec![&name, b"\x28\x05", &job, &s],
        vec![b"\x28\x05", &name, &job, &s],
        vec![&name, &long, &s],
        vec![&name, &twice, &s],
        vec![&name, &unknown_inside, &s],
        vec![&name, b"\x8a\x00\x0b\x0a\x03job\x12\x04node", &s],
    ] {
        let sent = field(1, &parts);
        let (body, arena) = decoded(&sent).unwrap();
        assert!(body.len() > sent.len() && body.len() <= 2 * sent.len());
        assert_eq!(arena.series.len(), 1, "{parts:?}");
        assert_eq!(arena.series[0].labels.of(&body), up(), "{parts:?}");
        assert_eq!(arena.series[0].name.of(&body), b"up");
        assert_eq!(arena.samples.len(), 1);
    }
}

/// Conformance 25, 26, 32, 35.
#[test]
fn samples_absent_zero_repeated_and_extreme() {
    let sent = field(
        1,
        &[
            &up(),
            b"\x12\x00",
            &sample(f64::NAN, i64::MIN),
            &sample(-0.0, i64::MAX),
            &sample(5e-324, -1),
            b"\x12\x04\x10\x07\x10\x08",
        ],
    );
    let (_, arena) = decoded(&[&sent[..], &sent].concat()).unwrap();
    let got: Vec<_> = arena.samples[..5]
        .iter()
        .map(|s| (s.value.to_bits(), s.timestamp_ms))
        .collect();
    assert_eq!(
        got,
        [
            (0, 0),
            (f64::NAN.to_bits(), i64::MIN),
            ((-0.0f64).to_bits(), i64::MAX),
            (1, -1),
            (0, 8)
        ]
    );
    assert_eq!(
        (arena.series[1].samples_start, arena.series[1].samples_end),
        (5, 10)
    );
}

/// Conformance 36, 37, 41, 42.
#[test]
fn a_refused_series_is_named_and_the_rest_is_kept() {
    let bad = field(
        1,
        &[
            &label("job", "x\ny"),
            &sample(1.0, 1),
            &sample(1.0, 2),
            b"\x1a\x00\x22\x00",
        ],
    );
    let bytes = field(1, &[&field(1, &[b"__name__"]), &field(2, &[b"\xff"])]);
    let not_utf8 = field(1, &[&bytes, &sample(1.0, 1)]);
    let good = field(1, &[&label("__name__", "\u{fc}ber"), &sample(1.0, 1)]);
    let (body, arena) = decoded(&[bad, not_utf8, good].concat()).unwrap();
    assert_eq!((arena.refused.series, arena.refused.samples), (2, 3));
    assert_eq!(
        arena.refused.named,
        [
            (Refusal::MissingName, "{job=\"x\\ny\"}".to_owned()),
            (Refusal::InvalidUtf8, "\u{fffd}{}".to_owned())
        ]
    );
    assert_eq!((arena.exemplars, arena.histograms.len()), (0, 0));
    assert_eq!((arena.series.len(), arena.samples.len()), (1, 1));
    assert_eq!(arena.series[0].samples_start, 0);
    assert_eq!(arena.series[0].name.of(&body), "\u{fc}ber".as_bytes());
}

#[test]
fn limits_hold_for_labels_that_are_canonical_otherwise() {
    let many: Vec<u8> = ('a'..='h')
        .flat_map(|c| label(&c.to_string(), "1"))
        .collect();
    for (labels, why) in [
        (
            [label("__name__", "up"), many].concat(),
            Refusal::TooManyLabels,
        ),
        (label("__name__", &"x".repeat(301)), Refusal::LabelTooLong),
        (
            [up(), label(&"n".repeat(131), "1")].concat(),
            Refusal::LabelTooLong,
        ),
        (
            [up(), label("job", "node")].concat(),
            Refusal::DuplicateLabel,
        ),
    ] {
        let (_, arena) = decoded(&field(1, &[&labels])).unwrap();
        assert_eq!(arena.refused.named[0].0, why);
    }
    let long = label("__name__", &"x".repeat(300));
    let (body, arena) = decoded(&field(1, &[&long])).unwrap();
    assert_eq!(arena.series[0].labels.of(&body), long);
}

/// Conformance 27, 28, 30, 31, 17.
#[test]
fn metadata_exemplars_histograms_and_unknown_fields() {
    let meta = |kind: u8, family: &[u8]| {
        field(
            3,
            &[&[0x08, kind], &field(2, &[family]), &field(4, &[b"help"])],
        )
    };
    let exemplar = field(3, &[&label("trace_id", "1"), b"\x1112345678\x18\x05"]);
    let histogram = field(
        4,
        &[b"\x08\x02\x1912345678\x5a\x04\x08\x02\x10\x02\x62\x02\x02\x00\x78\x05"],
    );
    let sent = [
        meta(1, b"http_requests"),
        meta(2, b"http_requests"),
        meta(99, b"odd"),
        meta(1, b""),
        meta(1, b"\xff"),
        field(1, &[&up(), &exemplar]),
        field(
            1,
            &[&up(), &histogram, b"\x28\x01\x3112345678\x3a\x02xx\x3d1234"],
        ),
        b"\x10\x01\x2112345678\x2a\x02xx\x351234\x2b\x08\x01\x2c".to_vec(),
    ]
    .concat();
    let (body, arena) = decoded(&sent).unwrap();
    let families: Vec<_> = arena
        .metadata
        .iter()
        .map(|m| (m.family.of(&body), m.kind))
        .collect();
    assert_eq!(
        families,
        [
            (&b"http_requests"[..], MetricType::Counter),
            (b"http_requests", MetricType::Gauge),
            (b"odd", MetricType::Unknown)
        ]
    );
    assert_eq!((arena.exemplars, arena.histograms.len()), (1, 1));
    assert_eq!((arena.series.len(), arena.samples.len()), (2, 0));
}

/// Conformance 56, and 55 where it needs 2.0.
#[test]
fn a_bad_histogram_costs_its_series_alone() {
    let bad_count = field(4, &[b"\x08\x09\x78\x05"]);
    let custom = field(4, &[b"\x20\x69\x78\x05"]);
    let good = field(4, &[b"\x08\x00\x78\x05"]);
    for bad in [bad_count, custom] {
        let sent = [
            field(1, &[&up(), &good]),
            field(1, &[&up(), &sample(1.0, 1), &bad, &good, b"\x1a\x00"]),
            field(1, &[&sample(2.0, 2), &up()]),
        ];
        let (_, arena) = decoded(&sent.concat()).unwrap();
        assert_eq!((arena.series.len(), arena.samples.len()), (2, 1));
        assert_eq!((arena.histograms.len(), arena.exemplars), (1, 0));
        let refused = &arena.refused;
        assert_eq!((refused.series, refused.samples), (1, 1));
        assert_eq!((refused.histograms, refused.exemplars), (2, 1));
        let (why, text) = &refused.named[0];
        assert!(matches!(why, Refusal::BadHistogram(_)), "{why:?}");
        assert_eq!(text, "up{job=\"node\"}");
    }
}

/// Conformance 16 and 24.
#[test]
fn a_broken_message_leaves_nothing() {
    let good = field(
        1,
        &[
            &label("job", "z"),
            &label("__name__", "up"),
            &sample(1.0, 1),
        ],
    );
    for bad in [
        &b"\x0a"[..],
        b"\x0a\x05",
        b"\x08\x01",
        b"\x1d1234",
        b"\x0a\x02\x08\x01",
        b"\x0a\x03\x0a\x02\x0a",
        b"\x0a\x03\x0a\x02\x08\x01",
        b"\x0a\x03\x12\x01\x09",
        b"\x0a\x02\x12\x05\x00\x00\x00\x00\x00",
        b"\x0a\x04\x12\x02\x08\x01",
        b"\x0a\x04\x1a\x02\x08\x01",
        b"\x0a\x04\x22\x02\x10\x01",
        b"\x1a\x02\x0a\x00",
        b"\x1a\x01\x12",
        b"\x2b\x34",
        b"\x2b",
        b"\x0b\x0c",
        b"\x00",
        b"\x80",
    ] {
        let body = [&good, bad].concat();
        assert!(decoded(&body).is_err(), "{bad:?}");
    }
    for cut in 1..good.len() {
        assert!(decoded(&good[..cut]).is_err(), "{cut}");
    }
    assert!(decoded(&good).is_ok());
    assert!(decoded(b"").unwrap().1.series.is_empty());
}

#[test]
fn empty_messages_cannot_fill_the_arena() {
    let sent = field(1, &[&up(), &b"\x12\x00".repeat(ENTRIES_MAX + 1)]);
    assert_eq!(
        decoded(&sent).unwrap_err(),
        DecodeError::TooMany {
            what: "samples",
            limit: ENTRIES_MAX
        }
    );
    let (_, arena) = decoded(&b"\x0a\x00".repeat(ENTRIES_MAX)).unwrap();
    assert_eq!(arena.refused.series as usize, ENTRIES_MAX);
    assert_eq!(arena.refused.named.len(), 3);
}

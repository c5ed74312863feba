use super::*;

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

/// Canonical label bytes of these labels.
fn encode<'a>(labels: impl IntoIterator<Item = (&'a str, &'a str)>) -> Vec<u8> {
    let mut labels: Vec<_> = labels.into_iter().collect();
    labels.sort_unstable();
    let label = |(name, value): &(&str, &str)| {
        field(
            1,
            &[
                &field(1, &[name.as_bytes()]),
                &field(2, &[value.as_bytes()]),
            ],
        )
    };
    labels.iter().flat_map(label).collect()
}

fn table(symbols: &[&str]) -> Vec<u8> {
    symbols
        .iter()
        .flat_map(|symbol| field(4, &[symbol.as_bytes()]))
        .collect()
}

const SYMBOLS: [&str; 9] = [
    "",
    "__name__",
    "up",
    "job",
    "node",
    "http_total",
    "env",
    "prod",
    "h_count",
];

fn refs(refs: &[u8]) -> Vec<u8> {
    field(1, &[refs])
}

fn up() -> Vec<u8> {
    refs(&[1, 2, 3, 4])
}

fn number(tag: u8, value: i64) -> Vec<u8> {
    let mut out = vec![tag];
    field::put_varint(&mut out, value as u64);
    out
}

fn sample(value: f64, timestamp_ms: i64) -> Vec<u8> {
    let value = [&[0x09][..], &value.to_le_bytes()].concat();
    field(2, &[&value, &number(0x10, timestamp_ms)])
}

fn decoded_within(body: &[u8], rebuilt_max: usize) -> Result<(Vec<u8>, WriteArena), DecodeError> {
    let mut body = body.to_vec();
    let sent = body.len();
    // As a request before would have left it.
    let mut arena = WriteArena {
        exemplars: 9,
        ..WriteArena::default()
    };
    let result = decode(&mut body, &LIMITS, rebuilt_max, &mut arena);
    assert_eq!(arena.protocol, Protocol::V2);
    if result.is_err() {
        assert!(arena.series.is_empty() && arena.samples.is_empty());
        assert_eq!((arena.exemplars, arena.metadata.len()), (0, 0));
        assert_eq!(body.len(), sent);
    }
    result.map(|()| (body, arena))
}

fn decoded(body: &[u8]) -> Result<(Vec<u8>, WriteArena), DecodeError> {
    decoded_within(body, 1 << 20)
}

/// A request of these entries over [`SYMBOLS`].
fn request(entries: &[&[&[u8]]]) -> (Vec<u8>, WriteArena) {
    let entries = entries.iter().flat_map(|parts| field(5, parts));
    let sent: Vec<u8> = table(&SYMBOLS).into_iter().chain(entries).collect();
    decoded(&sent).unwrap()
}

/// The only refusal of a request of one entry.
fn refusal(parts: &[&[u8]]) -> (Refusal, String) {
    let (_, mut arena) = request(&[parts]);
    assert_eq!((arena.series.len(), arena.refused.series), (0, 1));
    arena.refused.named.remove(0)
}

/// Conformance 3, 44.
#[test]
fn labels_are_written_out_as_1_0_would_have_sent_them() {
    let (body, arena) = request(&[&[&up(), &sample(1.5, 1_795_341_631_372)]]);
    let series = arena.series[0];
    let wanted = encode([("__name__", "up"), ("job", "node")]);
    assert_eq!(series.labels.of(&body), wanted);
    assert_eq!(series.name.of(&body), b"up");
    let sample = Sample {
        timestamp_ms: 1_795_341_631_372,
        value: 1.5,
    };
    assert_eq!(arena.samples, [sample]);
    assert_eq!((series.samples_start, series.samples_end), (0, 1));
}

/// Conformance 38, 39, 46 and protobuf's freedoms: the canonical bytes are always the same.
#[test]
fn every_shape_of_the_same_references_gives_the_same_bytes() {
    let s = sample(1.0, 1);
    for parts in [
        vec![&refs(&[3, 4, 1, 2])[..], &s],
        vec![&s, b"\x08\x01\x08\x02\x08\x03\x08\x04"],
        vec![&refs(&[1, 2, 3]), &s, b"\x08\x04"],
        vec![&refs(&[1]), &refs(&[]), b"\x08\x02", &refs(&[3, 4]), &s],
        vec![&refs(&[1, 2, 6, 0, 3, 4]), &s],
        vec![&refs(&[1, 2, 0, 0, 3, 4]), &s],
        vec![&refs(b"\x81\x00\x82\x80\x00\x03\x84\x80\x80\x80\x10"), &s],
        vec![b"\x3b\x08\x01\x3c", &up(), b"\x3d1234", &s],
    ] {
        let (body, arena) = request(&[&parts]);
        assert_eq!(arena.series.len(), 1, "{parts:?}");
        let wanted = encode([("__name__", "up"), ("job", "node")]);
        assert_eq!(arena.series[0].labels.of(&body), wanted, "{parts:?}");
        assert_eq!(arena.series[0].name.of(&body), b"up");
        assert_eq!(arena.samples.len(), 1);
    }
}

#[test]
fn neighbours_share_what_they_have_in_common() {
    let sets: [&[u8]; 9] = [
        &[1, 2, 3, 4],
        &[1, 2, 3, 4],
        &[1, 5, 3, 4],
        &[1, 5, 6, 7],
        &[1, 5, 3, 4, 6, 7],
        &[1, 2, 6, 7, 3, 4],
        &[1, 2],
        &[1, 2, 3, 7],
        &[6, 7, 1, 5, 3, 7],
    ];
    let entries: Vec<_> = sets.iter().map(|set| refs(set)).collect();
    let parts: Vec<[&[u8]; 1]> = entries.iter().map(|e| [e.as_slice()]).collect();
    let parts: Vec<&[&[u8]]> = parts.iter().map(|p| p.as_slice()).collect();
    let (body, arena) = request(&parts);
    assert_eq!(arena.series.len(), sets.len());
    for (series, set) in arena.series.iter().zip(sets) {
        let labels = set
            .as_chunks::<2>()
            .0
            .iter()
            .map(|[n, v]| (SYMBOLS[usize::from(*n)], SYMBOLS[usize::from(*v)]));
        assert_eq!(series.labels.of(&body), encode(labels.clone()), "{set:?}");
        let name = labels.clone().find(|l| l.0 == "__name__").unwrap().1;
        assert_eq!(series.name.of(&body), name.as_bytes(), "{set:?}");
    }
    assert_eq!(arena.series[0].labels, arena.series[1].labels);
}

/// Conformance 24.
#[test]
fn nothing_of_a_request_is_left_for_the_next() {
    let mut arena = WriteArena::default();
    let long = table(&["m", "__name__", &"v".repeat(300)]);
    let long = [long, field(5, &[&refs(&[1, 2])])].concat();
    let short = [table(&["x", "__name__", "up"]), field(5, &[&refs(&[1, 2])])].concat();
    for (sent, value) in [
        (&long, "v".repeat(300)),
        (&short, "up".into()),
        (&long, "v".repeat(300)),
    ] {
        let mut body = sent.clone();
        decode(&mut body, &LIMITS, 1 << 20, &mut arena).unwrap();
        assert_eq!(
            arena.series[0].labels.of(&body),
            encode([("__name__", &*value)])
        );
        assert_eq!(arena.series[0].name.of(&body), value.as_bytes());
    }
}

/// Conformance 44, 47: symbols behind series, twice, none empty at 0, none at all.
#[test]
fn symbols_may_lie_anywhere_and_mean_what_their_index_says() {
    let entry = field(5, &[&refs(&[0, 1, 2, 3]), &sample(1.0, 1)]);
    let symbols: Vec<_> = ["__name__", "up", "job", "node", "up", "job"]
        .iter()
        .map(|s| table(&[s]))
        .collect();
    for order in [
        [&symbols[..].concat()[..], &entry].concat(),
        [&entry[..], &symbols.concat()].concat(),
        [&symbols[..1].concat()[..], &entry, &symbols[1..].concat()].concat(),
    ] {
        let (body, arena) = decoded(&order).unwrap();
        assert_eq!((arena.series.len(), arena.samples.len()), (1, 1));
        let wanted = encode([("__name__", "up"), ("job", "node")]);
        assert_eq!(arena.series[0].labels.of(&body), wanted);
    }
    let (_, arena) = decoded(&entry).unwrap();
    assert_eq!(arena.refused.named[0].0, Refusal::BadReference);
    assert_eq!((arena.series.len(), arena.samples.len()), (0, 0));
}

/// Conformance 45.
#[test]
fn references_to_nothing_cost_their_series_alone() {
    let bad_exemplar = field(4, &[&refs(&[3, 99])]);
    let odd_exemplar = field(4, &[&refs(&[3])]);
    let help = field(5, &[b"\x18\x63"]);
    let unit = field(5, &[b"\x20\x63"]);
    for parts in [
        &[&refs(&[1, 2, 3, 99])[..]][..],
        &[&refs(&[1, 2, 99, 4])],
        &[&refs(&[1, 2, 3])],
        &[&refs(&[1, 2, 0xff, 0xff, 0xff, 0xff, 0x0f, 4])],
        &[&up(), &bad_exemplar],
        &[&up(), &odd_exemplar],
        &[&up(), &help],
        &[&up(), &unit],
    ] {
        let (why, text) = refusal(parts);
        assert_eq!(why, Refusal::BadReference, "{parts:?}");
        assert!(text.starts_with("up{"), "{text}");
        let s = sample(1.0, 1);
        let histogram = field(3, &[b"\x78\x01"]);
        let all = [parts, &[&s, &histogram]].concat();
        let (body, arena) = request(&[&[&up(), &s], &all, &[&up(), &s, &s]]);
        assert_eq!((arena.series.len(), arena.samples.len()), (2, 3));
        let wanted = encode([("__name__", "up"), ("job", "node")]);
        assert_eq!(arena.series[1].labels.of(&body), wanted);
        let refused = &arena.refused;
        assert_eq!(
            (refused.series, refused.samples, refused.histograms),
            (1, 1, 1)
        );
        assert_eq!(arena.exemplars, 0);
    }
}

/// Conformance 36, 37, 41, 42.
#[test]
fn what_is_no_label_set_is_refused_with_its_reason() {
    let long_name = "n".repeat(131);
    let long_value = "v".repeat(301);
    let mut sent = table(&["", "__name__", "up", "job", "node", &long_name, &long_value]);
    sent.extend(field(4, &[b"\xff"]));
    let cases: [(&[u8], Refusal); 10] = [
        (&[], Refusal::MissingName),
        (&[3, 4], Refusal::MissingName),
        (&[1, 0], Refusal::MissingName),
        (&[1, 2, 3, 4, 3, 2], Refusal::DuplicateLabel),
        (&[1, 2, 1, 4], Refusal::DuplicateLabel),
        (&[1, 2, 0, 4], Refusal::EmptyLabelName),
        (&[1, 2, 3, 7], Refusal::InvalidUtf8),
        (&[1, 2, 7, 4], Refusal::InvalidUtf8),
        (&[1, 2, 5, 4], Refusal::LabelTooLong),
        (&[1, 2, 3, 6], Refusal::LabelTooLong),
    ];
    for (set, why) in cases {
        let body = [&sent[..], &field(5, &[&refs(set), &sample(1.0, 1)])].concat();
        let (_, arena) = decoded(&body).unwrap();
        assert_eq!((arena.series.len(), arena.refused.samples), (0, 1));
        assert_eq!(arena.refused.named[0].0, why, "{set:?}");
    }
    let many: Vec<u8> = [1u8, 2].into_iter().chain((0..16).map(|_| 4)).collect();
    assert_eq!(refusal(&[&refs(&many)]).0, Refusal::TooManyLabels);
    let giant = refs(&vec![3; 1 << 20]);
    assert_eq!(refusal(&[&giant]).0, Refusal::TooManyLabels);
}

#[test]
fn long_names_and_values_are_written_out_whole() {
    let name = "n".repeat(130);
    for len in [1, 31, 32, 62, 63, 64, 127, 128, 300] {
        let value = "v".repeat(len);
        let short = "n".repeat(len.min(130));
        let sent = [
            table(&["__name__", &value, &short, &name]),
            field(5, &[&refs(&[0, 1, 2, 1])]),
            field(5, &[&refs(&[0, 1, 3, 1])]),
        ];
        let (body, arena) = decoded(&sent.concat()).unwrap();
        let wanted = encode([("__name__", &*value), (&short, &value)]);
        assert_eq!(arena.series[0].labels.of(&body), wanted);
        let wanted = encode([("__name__", &*value), (&name, &value)]);
        assert_eq!(arena.series[1].labels.of(&body), wanted);
        assert_eq!(arena.series[1].name.of(&body), value.as_bytes());
    }
}

/// Conformance 52, 53.
#[test]
fn start_timestamps_are_read_in_both_places() {
    let with_start = |timestamp_ms, start_ms| {
        let numbers = [number(0x10, timestamp_ms), number(0x18, start_ms)].concat();
        field(2, &[&numbers])
    };
    let histogram = |timestamp_ms, start_ms| {
        let start = [&b"\x88\x01"[..], &number(0, start_ms)[1..]].concat();
        field(3, &[&number(0x78, timestamp_ms), &start])
    };
    let starts = |parts: &[&[u8]]| {
        let first: &[&[u8]] = &[&up(), &sample(1.0, 1)];
        let (_, arena) = request(&[first, parts]);
        let samples: Vec<_> = arena
            .starts
            .iter()
            .map(|s| (s.sample, s.start_ms))
            .collect();
        let histograms: Vec<_> = arena.histograms.iter().map(|h| h.start_ms).collect();
        (samples, histograms)
    };
    let created = number(0x30, 40);
    let (own, none, late) = (with_start(50, 10), with_start(60, 0), with_start(70, 71));
    let (h_own, h_none, h_late) = (histogram(50, 10), histogram(60, 0), histogram(70, 71));
    let parts = [&up()[..], &own, &none, &late, &h_own, &h_none, &h_late];
    assert_eq!(starts(&parts), (vec![(1, 10)], vec![10, 0, 0]));
    let both = (vec![(1, 10), (2, 40), (3, 40)], vec![10, 40, 40]);
    let all = [&created, &parts[..].concat()[..]];
    assert_eq!(starts(&all), both);
    let all = [&parts[..].concat()[..], &created];
    assert_eq!(starts(&all), both);
    let all = [&up()[..], &sample(1.0, 39), &sample(1.0, 40), &created];
    assert_eq!(starts(&all), (vec![(2, 40)], vec![]));
    let refused = [&refs(&[3, 4])[..], &own, &created];
    assert_eq!(starts(&refused), (vec![], vec![]));
}

/// Conformance 52, 55, 56.
#[test]
fn samples_and_histograms_of_one_entry_are_taken_and_a_bad_one_costs_its_series_alone() {
    let s = sample(1.0, 1);
    let good = field(3, &[b"\x08\x00\x78\x05"]);
    let custom = field(3, &[b"\x20\x69\x78\x05"]);
    let bad = field(3, &[b"\x08\x09\x78\x05"]);
    let (_, arena) = request(&[
        &[&up(), &s, &good, &custom],
        &[&up(), &s, &s, &good, &bad, b"\x22\x00"],
        &[&up(), &s],
    ]);
    assert_eq!((arena.series.len(), arena.samples.len()), (2, 2));
    assert_eq!((arena.histograms.len(), arena.exemplars), (2, 0));
    let ranges = (
        arena.series[0].histograms_end,
        arena.series[1].histograms_start,
    );
    assert_eq!(ranges, (2, 2));
    let refused = &arena.refused;
    assert_eq!((refused.series, refused.samples), (1, 2));
    assert_eq!((refused.histograms, refused.exemplars), (2, 1));
    assert!(matches!(refused.named[0].0, Refusal::BadHistogram(_)));
}

/// Conformance 48, 49, 51.
#[test]
fn metadata_is_noted_once_and_for_the_family() {
    let meta = |kind: u8| field(5, &[&[0x08, kind, 0x18, 4, 0x20, 0]]);
    let (total, h_count) = (refs(&[1, 5, 3, 4]), refs(&[1, 8, 3, 4]));
    let histogram = field(3, &[b"\x78\x01"]);
    let entries: [&[&[u8]]; 12] = [
        &[&total, &meta(1), &sample(1.0, 1)],
        &[&total, &meta(1)],
        &[&refs(&[1, 5, 6, 7]), &meta(1)],
        &[&total, &meta(2)],
        &[&up(), b"\x2a\x00"],
        &[&up(), &meta(0)],
        &[&up(), &meta(99)],
        &[&h_count, &meta(3)],
        &[&h_count, &meta(5)],
        &[&h_count, &meta(1)],
        &[&refs(&[1, 8, 6, 7]), &meta(3), &histogram],
        &[&up(), b"\x2a\x02\x08\x07", b"\x2a\x02\x08\x06"],
    ];
    let (body, arena) = request(&entries);
    let families: Vec<_> = arena
        .metadata
        .iter()
        .map(|m| (m.family.of(&body), m.kind))
        .collect();
    assert_eq!(
        families,
        [
            (&b"http_total"[..], MetricType::Counter),
            (b"http_total", MetricType::Gauge),
            (b"h", MetricType::Histogram),
            (b"h", MetricType::Summary),
            (b"h_count", MetricType::Counter),
            (b"h_count", MetricType::Histogram),
            (b"up", MetricType::Info),
        ]
    );
    assert_eq!(arena.series.len(), 12);
    assert!(arena.refused.is_empty());
}

/// Conformance 50, 54.
#[test]
fn an_exemplar_needs_no_sample_and_no_labels() {
    let nan = [&b"\x11"[..], &f64::NAN.to_le_bytes(), b"\x18\x05"].concat();
    let (_, arena) = request(&[
        &[&up(), &field(4, &[&refs(&[3, 4]), &nan])],
        &[&up(), &field(4, &[b"\x08\x03\x08\x04"]), &field(4, &[])],
    ]);
    assert_eq!((arena.exemplars, arena.samples.len()), (3, 0));
    assert_eq!((arena.series.len(), arena.refused.series), (2, 0));
}

/// Conformance 16, 24.
#[test]
fn a_broken_message_leaves_nothing() {
    let good = [table(&SYMBOLS), field(5, &[&up(), &sample(1.0, 1)])].concat();
    for bad in [
        &b"\x2a"[..],
        b"\x2a\x05",
        b"\x22\x05",
        b"\x20\x01",
        b"\x28\x01",
        b"\x0b",
        b"\x2a\x01\x0a",
        b"\x2a\x03\x0a\x02\x80",
        b"\x2a\x03\x0a\x02\x80\x80",
        b"\x2a\x02\x09\x00",
        b"\x2a\x03\x12\x01\x09",
        b"\x2a\x04\x12\x02\x08\x01",
        b"\x2a\x04\x12\x02\x19\x01",
        b"\x2a\x04\x1a\x02\x10\x01",
        b"\x2a\x05\x1a\x03\x8a\x01\x00",
        b"\x2a\x04\x22\x02\x10\x01",
        b"\x2a\x04\x22\x02\x0a\x05",
        b"\x2a\x04\x2a\x02\x0a\x00",
        b"\x2a\x02\x32\x00",
        b"\x00",
        b"\x80",
    ] {
        let body = [&good, bad].concat();
        assert!(decoded(&body).is_err(), "{bad:?}");
    }
    assert!(decoded(&good).is_ok());
    assert!(decoded(b"").unwrap().1.series.is_empty());
    // A 1.0 request is one of unknown fields here.
    assert!(decoded(b"\x0a\x02\x12\x00").unwrap().1.series.is_empty());
}

#[test]
fn few_references_cannot_fill_the_memory() {
    let value = "v".repeat(300);
    let mut sent = table(&["__name__", "m", "a", &value, "b"]);
    for i in 0..200 {
        // No two neighbours are alike.
        let last = if i % 2 == 0 { 2 } else { 4 };
        sent.extend(field(5, &[&refs(&[0, 1, last, 3])]));
    }
    let (body, arena) = decoded(&sent).unwrap();
    assert_eq!(arena.series.len(), 200);
    let rebuilt = body.len() - sent.len();
    assert!(rebuilt > 200 * 300);
    assert!(decoded_within(&sent, rebuilt).is_ok());
    let limit = rebuilt - 1;
    let refused = decoded_within(&sent, limit).unwrap_err();
    assert_eq!(refused, DecodeError::LabelsTooLarge { limit });
    // Also where labels are not sorted.
    sent.extend(field(5, &[&refs(&[2, 3, 0, 1])]));
    let refused = decoded_within(&sent, rebuilt).unwrap_err();
    assert_eq!(refused, DecodeError::LabelsTooLarge { limit: rebuilt });
}

#[test]
fn series_that_are_refused_cannot_fill_the_time() {
    let value = "v".repeat(300);
    let mut sent = table(&["__name__", "m", "a", &value, "b"]);
    for _ in 0..200 {
        sent.extend(field(5, &[&refs(&[0, 1, 2, 3, 2, 3])]));
    }
    let (_, arena) = decoded_within(&sent, 200 * 700).unwrap();
    assert_eq!(arena.refused.series, 200);
    let limit = 100 * 700;
    let refused = decoded_within(&sent, limit).unwrap_err();
    assert_eq!(refused, DecodeError::LabelsTooLarge { limit });
}

/// References of two bytes beside those of one, which may end with the same byte.
#[test]
fn what_only_looks_alike_is_told_apart() {
    let names: Vec<String> = (0..600).map(|i| format!("v{i:03}")).collect();
    let mut symbols = vec!["__name__", "up", "a", "b", "c"];
    symbols.extend(names.iter().map(String::as_str));
    let sets: [&[u32]; 9] = [
        &[0, 1, 2, 3],
        &[0, 1, 2, 3 << 7 | 5],
        &[0, 1, 2, 3 << 7 | 6],
        &[0, 1, 2, 3],
        &[0, 1, 2, 300, 3, 301],
        &[0, 1, 2, 301, 3, 301],
        &[0, 1, 2, 45, 3, 301],
        &[0, 1, 2, 301, 3, 301, 4, 301],
        &[0, 301],
    ];
    let mut sent = table(&symbols);
    for set in sets {
        let mut packed = Vec::new();
        for reference in set {
            field::put_varint(&mut packed, u64::from(*reference));
        }
        sent.extend(field(5, &[&refs(&packed)]));
    }
    let (body, arena) = decoded(&sent).unwrap();
    for (series, set) in arena.series.iter().zip(sets) {
        let labels = set.as_chunks::<2>().0.iter();
        let labels = labels.map(|[n, v]| (symbols[*n as usize], symbols[*v as usize]));
        assert_eq!(series.labels.of(&body), encode(labels), "{set:?}");
    }
    assert_eq!(arena.series.len(), sets.len());
}

#[test]
fn empty_messages_cannot_fill_the_arena() {
    let too_many = |sent: &[u8], what| {
        let limit = ENTRIES_MAX;
        let refused = decoded_within(sent, usize::MAX).unwrap_err();
        assert_eq!(refused, DecodeError::TooMany { what, limit });
    };
    let of = |part: &[u8]| {
        let parts = part.repeat(ENTRIES_MAX + 1);
        [table(&SYMBOLS), field(5, &[&up(), &parts])].concat()
    };
    too_many(&of(b"\x12\x00"), "samples");
    too_many(&of(b"\x1a\x00"), "histograms");
    too_many(&b"\x22\x00".repeat(ENTRIES_MAX + 1), "symbols");
    let (_, arena) = decoded(&b"\x2a\x00".repeat(ENTRIES_MAX)).unwrap();
    assert_eq!(arena.refused.series as usize, ENTRIES_MAX);
    assert_eq!(arena.refused.named.len(), 3);
}

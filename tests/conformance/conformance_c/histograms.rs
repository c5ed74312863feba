//! C. Native histograms of 2.0 (items 55 to 58).

use super::*;

#[test]
fn item_055_every_form_of_native_histogram_is_accepted_and_counted() {
    let saimon = Saimon::start();
    let forms: [fn(i64) -> Histogram; 6] = [
        histogram::integer,
        histogram::float,
        histogram::custom,
        histogram::empty,
        histogram::only_negative,
        histogram::stale,
    ];
    let mut request = Request::new();
    for (i, form) in forms.into_iter().enumerate() {
        let name = format!("form_{i}");
        let one = Request::new().histogram(&[("__name__", &name)], form(NOW_MS));
        let response = saimon.write_v2(&one);
        assert_eq!(response.status, 204, "{i}: {}", response.text());
        assert_eq!(written(&response), Some((0, 1, 0)), "{i}");
        // Again, later, and twice in one entry.
        request = request.entry(&[("__name__", &name)], |_, entry| {
            entry.histograms = vec![form(NOW_MS + 1), form(NOW_MS + 2)];
        });
    }
    let response = saimon.write_v2(&request);
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(written(&response), Some((0, 12, 0)));
    assert_eq!(saimon.counters().histograms(), 18);
}

#[test]
fn item_056_a_bad_histogram_gets_400_and_the_others_are_written() {
    for (what, bad) in histogram::bad(NOW_MS) {
        let saimon = Saimon::start();
        let request = Request::new()
            .series(GOOD, &[(NOW_MS, 1.0)])
            .histogram(&[("__name__", "bad")], bad.clone())
            .histogram(H, histogram::integer(NOW_MS));
        let response = saimon.write_v2(&request);
        assert_eq!(response.status, 400, "{what}");
        assert_eq!(written(&response), Some((1, 1, 0)), "{what}");
        assert!(response.text().contains("histogram"), "{}", response.text());
        assert_eq!(saimon.samples("good").len(), 1);
        let counters = saimon.counters();
        let outcomes = ["accepted", "refused"].map(|o| counters.histogram_outcome(o));
        assert_eq!(outcomes, [1, 1], "{what}");
        if bad.schema != -53 {
            let mut v1 = crate::support::v1::Request::new()
                .series(GOOD, &[(NOW_MS + 1, 1.0)])
                .histogram(&[("__name__", "bad")], histogram::v1(&bad));
            v1 = v1.histogram(H, histogram::v1(&histogram::integer(NOW_MS + 1)));
            assert_eq!(saimon.write(&v1).status, 400, "{what} in 1.0");
            assert_eq!(saimon.samples("good").len(), 2);
            let counters = saimon.counters();
            let outcomes = ["accepted", "refused"].map(|o| counters.histogram_outcome(o));
            assert_eq!(outcomes, [2, 2], "{what}");
        }
    }
}

#[test]
fn item_057_huge_spans_cost_nothing() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let send = |client: &mut Client, histogram: Histogram| {
        let request = Request::new().histogram(H, histogram);
        client.post(v2::HEADERS, &request.body()).status
    };
    let spans: [&[_]; 5] = [
        &[span(0, u32::MAX)],
        &[span(i32::MIN, u32::MAX), span(i32::MAX, u32::MAX)],
        &[span(0, 1 << 31), span(0, 1 << 31), span(0, 3)],
        &[span(0, u32::MAX), span(0, 4)],
        &[span(0, 1 << 20)],
    ];
    for spans in spans {
        let mut bad = histogram::integer(NOW_MS);
        bad.positive_spans = spans.to_vec();
        assert_eq!(send(&mut client, bad), 400, "{spans:?}");
        let mut bad = histogram::float(NOW_MS);
        bad.negative_spans = spans.to_vec();
        assert_eq!(send(&mut client, bad), 400, "{spans:?}");
    }
    // As many buckets as there are, wherever they lie; and very many empty spans. Several of each,
    // so that differences are taken.
    let mut far = histogram::integer(NOW_MS);
    far.positive_spans = vec![span(i32::MAX, 1), span(i32::MAX, 1), span(i32::MAX, 1)];
    let mut deep = histogram::integer(NOW_MS);
    deep.negative_spans = vec![span(i32::MIN, 1)];
    let mut many = histogram::integer(NOW_MS);
    many.positive_spans = vec![span(1, 0); 100_000];
    many.positive_spans.push(span(0, 3));
    for (i, of) in [far, deep, many].into_iter().enumerate() {
        for step in 0..4 {
            let mut next = of.clone();
            next.timestamp = NOW_MS + (10 * i + step) as i64;
            next.count = Some(Count::CountInt(9 + 10 * step as u64));
            next.positive_deltas[0] += 10 * step as i64;
            next.positive_deltas[1] -= 10 * step as i64;
            assert!([204, 400].contains(&send(&mut client, next)));
        }
    }
    let good = Request::new().series(GOOD, &[(NOW_MS, 1.0)]);
    assert_eq!(client.post(v2::HEADERS, &good.body()).status, 204);
    assert_eq!(saimon.samples("good").len(), 1, "all shards are alive");
}

#[test]
fn item_058_integer_or_float_is_decided_by_the_field_that_is_there() {
    let saimon = Saimon::start();
    let buckets = |histogram: Histogram| Histogram {
        positive_spans: vec![span(0, 1)],
        timestamp: NOW_MS,
        ..histogram
    };
    // Each would be refused if it were read as the other: its buckets would be missing.
    let float = buckets(Histogram {
        count: Some(Count::CountFloat(0.0)),
        zero_count: Some(ZeroCount::ZeroCountFloat(0.0)),
        positive_counts: vec![0.0],
        ..Histogram::default()
    });
    let integer = buckets(Histogram {
        count: Some(Count::CountInt(0)),
        zero_count: Some(ZeroCount::ZeroCountInt(0)),
        positive_deltas: vec![0],
        ..Histogram::default()
    });
    assert!(float.encode_to_vec().starts_with(&[0x11, 0, 0, 0, 0]));
    assert!(integer.encode_to_vec().starts_with(&[0x08, 0]));
    let crossed = [
        Histogram {
            positive_counts: vec![],
            positive_deltas: vec![0],
            ..float.clone()
        },
        Histogram {
            positive_counts: vec![0.0],
            positive_deltas: vec![],
            ..integer.clone()
        },
    ];
    for (i, good) in [&float, &integer].into_iter().enumerate() {
        let request = Request::new().histogram(&[("__name__", &format!("h{i}"))], good.clone());
        let response = saimon.write_v2(&request);
        assert_eq!(response.status, 204, "{i}: {}", response.text());
        let v1 = crate::support::v1::Request::new()
            .histogram(&[("__name__", &format!("v{i}"))], histogram::v1(good));
        assert_eq!(saimon.write(&v1).status, 204, "{i} in 1.0");
    }
    for bad in crossed {
        let response = saimon.write_v2(&Request::new().histogram(H, bad));
        assert_eq!(response.status, 400);
    }
    // Of two the last is there.
    let symbols = ["", "__name__", "both"];
    let last_is = |first: &[u8], last: &Histogram| {
        let message = Raw::new().then(first).then(&last.encode_to_vec());
        let entry = Raw::new().packed(1, &[1, 2]).message(3, &message);
        post(&saimon, &by_hand(&symbols, &[entry])).status
    };
    let (count_int, count_float) = ([0x08, 7], [&[0x11][..], &7f64.to_le_bytes()].concat());
    assert_eq!(last_is(&count_int, &float), 204);
    assert_eq!(last_is(&count_float, &integer), 204);
}

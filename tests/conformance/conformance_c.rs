//! C. What is in a request of remote write 2.0.

mod histograms;

use prost::Message as _;
use saimon::series::kind::Kind;

use crate::support::histogram::{self, Histogram, span};
use crate::support::raw::Raw;
use crate::support::v2::{self, Request, TimeSeries, written};
use crate::support::{Client, NOW_MS, Response, Saimon, bits, labels, snappy};
use saimon::wire::proto::v2::histogram::{Count, ZeroCount};
use saimon::wire::write::{LabelLimits, WriteArena};
use saimon::wire::write_v2;

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];
const GOOD: &[(&str, &str)] = &[("__name__", "good")];
const H: &[(&str, &str)] = &[("__name__", "request_seconds")];

/// Sends a message built by hand.
fn post(saimon: &Saimon, message: &Raw) -> Response {
    saimon.connect().post(v2::HEADERS, &snappy(&message.0))
}

/// A request of these symbols and entries, in this order.
fn by_hand(symbols: &[&str], entries: &[Raw]) -> Raw {
    let request = symbols.iter().fold(Raw::new(), |request, symbol| {
        request.bytes(4, symbol.as_bytes())
    });
    entries
        .iter()
        .fold(request, |request, entry| request.message(5, entry))
}

fn sample(t_ms: i64, value: f64) -> Raw {
    Raw::new().double(1, value).int(2, t_ms)
}

/// Sends an entry between two good ones: it is refused, they are written.
#[track_caller]
fn refused_alone(what: &str, bad: impl FnOnce(&mut Request) -> TimeSeries) {
    let saimon = Saimon::start();
    let mut request = Request::new().series(&[("__name__", "before")], &[(NOW_MS, 1.0)]);
    let entry = bad(&mut request);
    request.message.timeseries.push(entry);
    let request = request.series(&[("__name__", "behind")], &[(NOW_MS, 2.0)]);
    let response = saimon.write_v2(&request);
    assert_eq!(response.status, 400, "{what}");
    assert_eq!(written(&response), Some((2, 0, 0)), "{what}");
    assert!(!response.text().trim().is_empty() && response.body.len() < 1024);
    let held: Vec<_> = saimon.held().into_keys().collect();
    assert_eq!(held, ["before", "behind"], "{what}");
}

#[test]
fn item_044_symbols_are_in_any_order_and_may_be_there_twice() {
    let saimon = Saimon::start();
    let symbols = ["", "a", "job", "up", "__name__", "up", "__name__", "a"];
    let entry = |refs: &[u64], t_ms: i64| {
        Raw::new()
            .packed(1, refs)
            .message(2, &sample(t_ms, t_ms as f64))
    };
    let entries = [
        entry(&[4, 3, 2, 1], NOW_MS),
        entry(&[6, 5, 2, 7], NOW_MS + 1),
        // Labels in another order.
        entry(&[2, 1, 6, 3], NOW_MS + 2),
    ];
    let response = post(&saimon, &by_hand(&symbols, &entries));
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(written(&response), Some((3, 0, 0)));
    // Protobuf has no order of fields: the table may come last, or in pieces.
    let message = by_hand(&symbols[..5], &[])
        .message(5, &entry(&[6, 5, 2, 7], NOW_MS + 3))
        .then(&by_hand(&symbols[5..], &[entry(&[4, 3, 2, 1], NOW_MS + 4)]).0);
    let response = post(&saimon, &message);
    assert_eq!(response.status, 204, "{}", response.text());
    let message = Raw::new()
        .message(5, &entry(&[4, 3, 2, 1], NOW_MS + 5))
        .then(&by_hand(&symbols, &[]).0);
    assert_eq!(post(&saimon, &message).status, 204);
    let all: Vec<_> = (NOW_MS..NOW_MS + 6).map(|t| (t, t as f64)).collect();
    assert_eq!(saimon.samples(&labels(UP)), bits(&all));
    assert_eq!(saimon.held().len(), 1);
}

#[test]
fn item_045_odd_and_wild_references_refuse_their_series_alone() {
    let of = |labels_refs: Vec<u32>| TimeSeries {
        labels_refs,
        samples: v2::sampled(&[(NOW_MS, 9.0)]),
        ..TimeSeries::default()
    };
    refused_alone("an odd number of references", |request| {
        let mut refs = request.refs(UP);
        refs.pop();
        of(refs)
    });
    refused_alone("one reference", |request| {
        of(vec![request.symbol("__name__")])
    });
    for beyond in [1_000, u32::MAX, 1 << 31] {
        refused_alone("a label value outside the table", |request| {
            let mut refs = request.refs(UP);
            refs[3] = beyond;
            of(refs)
        });
        refused_alone("a label name outside the table", |request| {
            let mut refs = request.refs(UP);
            refs[2] = beyond;
            of(refs)
        });
        refused_alone("an exemplar's label outside the table", |request| {
            let mut entry = of(request.refs(UP));
            let mut exemplar = request.an_exemplar(&[("trace_id", "x")], NOW_MS, 1.0);
            exemplar.labels_refs[1] = beyond;
            entry.exemplars.push(exemplar);
            entry
        });
        refused_alone("help outside the table", |request| {
            let mut entry = of(request.refs(UP));
            entry.metadata = Some(v2::Metadata {
                help_ref: beyond,
                ..v2::Metadata::default()
            });
            entry
        });
        refused_alone("unit outside the table", |request| {
            let mut entry = of(request.refs(UP));
            entry.metadata = Some(v2::Metadata {
                unit_ref: beyond,
                ..v2::Metadata::default()
            });
            entry
        });
    }
    refused_alone("an exemplar's odd references", |request| {
        let mut entry = of(request.refs(UP));
        let mut exemplar = request.an_exemplar(&[("trace_id", "x")], NOW_MS, 1.0);
        exemplar.labels_refs.pop();
        entry.exemplars.push(exemplar);
        entry
    });
    // One past the end, exactly; and a table that is not there at all.
    let saimon = Saimon::start();
    let entry = Raw::new()
        .packed(1, &[1, 3])
        .message(2, &sample(NOW_MS, 1.0));
    let response = post(
        &saimon,
        &by_hand(&["", "__name__", "up"], std::slice::from_ref(&entry)),
    );
    assert_eq!(
        (response.status, written(&response)),
        (400, Some((0, 0, 0)))
    );
    let response = post(&saimon, &by_hand(&[], &[entry]));
    assert_eq!(
        (response.status, written(&response)),
        (400, Some((0, 0, 0)))
    );
    // A number of more than 32 bits is no reference; which of protobuf's readings of it is taken
    // does not matter as long as nothing falls over.
    let entry = Raw::new()
        .packed(1, &[1, u64::MAX - 7])
        .message(2, &sample(NOW_MS, 1.0));
    assert_eq!(
        post(&saimon, &by_hand(&["", "__name__", "up"], &[entry])).status,
        400
    );
    assert!(saimon.held().is_empty());
}

#[test]
fn item_046_references_are_read_packed_or_not() {
    let saimon = Saimon::start();
    let symbols = ["", "__name__", "up", "job", "a"];
    let entries = [
        Raw::new().packed(1, &[1, 2, 3, 4]),
        Raw::new()
            .varint(1, 1)
            .varint(1, 2)
            .varint(1, 3)
            .varint(1, 4),
        Raw::new().packed(1, &[1, 2]).packed(1, &[3, 4]),
        Raw::new()
            .packed(1, &[1])
            .varint(1, 2)
            .packed(1, &[])
            .packed(1, &[3, 4]),
        // Samples between them.
        Raw::new()
            .varint(1, 1)
            .varint(1, 2)
            .message(2, &sample(NOW_MS + 40, 0.5))
            .varint(1, 3)
            .varint(1, 4),
        // Longer than a number has to be.
        Raw::new().bytes(1, &[0x81, 0, 0x82, 0x80, 0, 3, 4]),
    ];
    for (i, entry) in entries.into_iter().enumerate() {
        let t_ms = NOW_MS + 10 * i as i64;
        let exemplar = Raw::new().varint(1, 3).varint(1, 4).double(2, 1.0);
        let entry = entry
            .message(2, &sample(t_ms + 5, 1.0))
            .message(4, &exemplar);
        let response = post(&saimon, &by_hand(&symbols, &[entry]));
        assert_eq!(response.status, 204, "{i}: {}", response.text());
        let samples = saimon.samples(&labels(UP));
        assert_eq!(samples.last(), Some(&(t_ms + 5, 1f64.to_bits())), "{i}");
    }
    assert_eq!(saimon.held().len(), 1);
    assert_eq!(saimon.samples(&labels(UP)).len(), 7);
    assert_eq!(saimon.counters().exemplars(), 6);
}

#[test]
fn item_047_a_table_without_the_empty_symbol_is_never_read_wrongly() {
    let saimon = Saimon::start();
    let entry = Raw::new()
        .packed(1, &[0, 1])
        .message(2, &sample(NOW_MS, 1.0));
    let response = post(&saimon, &by_hand(&["__name__", "up"], &[entry]));
    let held: Vec<_> = saimon.held().into_keys().collect();
    match response.status {
        204 => assert_eq!(
            (held, written(&response)),
            (vec!["up".to_owned()], Some((1, 0, 0)))
        ),
        400 => assert_eq!((held, written(&response)), (vec![], Some((0, 0, 0)))),
        other => panic!("{other}"),
    }
}

/// One counter-like series with this metadata.
fn with_metadata(name: &str, metadata: Option<v2::Metadata>) -> Request {
    Request::new().entry(&[("__name__", name)], |_, entry| {
        entry.samples = v2::sampled(&[(NOW_MS, 1.0)]);
        entry.metadata = metadata;
    })
}

#[test]
fn item_048_metadata_may_say_nothing() {
    let saimon = Saimon::start();
    let some = |r#type| v2::Metadata {
        r#type,
        ..v2::Metadata::default()
    };
    for (name, metadata) in [
        ("without", None),
        ("unspecified", Some(some(0))),
        ("without_help", Some(some(1))),
        ("from_the_future_total", Some(some(99))),
    ] {
        let response = saimon.write_v2(&with_metadata(name, metadata));
        assert_eq!(response.status, 204, "{name}: {}", response.text());
        assert_eq!(written(&response), Some((1, 0, 0)), "{name}");
    }
    let held = saimon.held();
    assert_eq!(held["without"].kind, Some(Kind::Gauge));
    assert_eq!(held["unspecified"].kind, Some(Kind::Gauge));
    assert_eq!(held["without_help"].kind, Some(Kind::Counter));
    assert_eq!(
        held["from_the_future_total"].kind,
        Some(Kind::Counter),
        "by its name"
    );
}

#[test]
fn item_049_all_eight_types_are_accepted() {
    let saimon = Saimon::start();
    for r#type in 0..8 {
        let name = format!("type_{type}");
        let mut request = Request::new();
        let (help_ref, unit_ref) = (request.symbol("what it is"), request.symbol("seconds"));
        let request = request.entry(&[("__name__", &name)], |_, entry| {
            entry.samples = v2::sampled(&[(NOW_MS, 1.0)]);
            entry.metadata = Some(v2::Metadata {
                r#type,
                help_ref,
                unit_ref,
            });
        });
        let response = saimon.write_v2(&request);
        assert_eq!(response.status, 204, "{type}: {}", response.text());
    }
    let held = saimon.held();
    assert_eq!(held.len(), 8);
    assert_eq!(held["type_1"].kind, Some(Kind::Counter));
    assert_eq!(held["type_2"].kind, Some(Kind::Gauge));
}

#[test]
fn item_050_an_exemplar_alone_is_accepted_and_counted() {
    let saimon = Saimon::start();
    let request = Request::new().exemplar(UP, &[("trace_id", "abc")], NOW_MS, 0.5);
    let response = saimon.write_v2(&request);
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(written(&response), Some((0, 0, 1)));
    assert!(saimon.held().is_empty(), "no phantom sample");
    assert_eq!(saimon.counters().exemplars(), 1);
    // As Prometheus sends them: each in an entry of its own beside the samples.
    let request = Request::new()
        .series(UP, &[(NOW_MS, 1.0)])
        .exemplar(UP, &[("trace_id", "a")], NOW_MS, 0.5)
        .exemplar(UP, &[("trace_id", "b")], NOW_MS, 0.6);
    assert_eq!(written(&saimon.write_v2(&request)), Some((1, 0, 2)));
    assert_eq!(saimon.samples(&labels(UP)).len(), 1);
}

#[test]
fn item_051_metadata_alone_is_taken_with_zeros_or_refused() {
    let saimon = Saimon::start();
    let request = Request::new().entry(&[("__name__", "queue")], |_, entry| {
        entry.metadata = Some(v2::Metadata {
            r#type: 1,
            ..v2::Metadata::default()
        });
    });
    let response = saimon.write_v2(&request);
    assert!([200, 204, 400].contains(&response.status));
    assert_eq!(written(&response), Some((0, 0, 0)));
    assert!(saimon.held().is_empty());
    if response.status != 400 {
        let request = Request::new().series(&[("__name__", "queue")], &[(NOW_MS, 1.0)]);
        assert_eq!(saimon.write_v2(&request).status, 204);
        assert_eq!(
            saimon.held()["queue"].kind,
            Some(Kind::Counter),
            "it was kept"
        );
    }
}

#[test]
fn item_052_samples_and_histograms_in_one_entry_are_taken_or_refused_together() {
    let saimon = Saimon::start();
    let request = Request::new().entry(H, |_, entry| {
        entry.samples = v2::sampled(&[(NOW_MS, 1.0)]);
        entry.histograms.push(histogram::integer(NOW_MS));
    });
    let response = saimon.write_v2(&request);
    let counters = saimon.counters();
    let received: u64 = counters.outcomes().iter().map(|(_, n)| n).sum();
    match response.status {
        204 => {
            assert_eq!(written(&response), Some((1, 1, 0)));
            assert_eq!((received, counters.histograms()), (1, 1));
        }
        400 => {
            assert_eq!(written(&response), Some((0, 0, 0)));
            assert!(saimon.held().is_empty());
        }
        other => panic!("{other}: {}", response.text()),
    }
}

#[test]
fn item_053_start_timestamps_are_read_in_both_places() {
    // A counter that starts to count again is lower than before. If it says when it started, it
    // need not be taken for a reset: what was counted since is known.
    type Fill = fn(&mut TimeSeries);
    let cases: [(&str, u64, Fill); 9] = [
        ("unset", 1, |_| {}),
        ("of the sample", 0, |e| {
            e.samples[1].start_timestamp = NOW_MS + 5_000;
        }),
        ("of the entry", 0, |e| e.created_timestamp = NOW_MS + 5_000),
        ("of both", 0, |e| {
            e.created_timestamp = NOW_MS - 1;
            e.samples[1].start_timestamp = NOW_MS + 5_000;
        }),
        ("0, which is unset", 1, |e| {
            e.created_timestamp = 0;
            e.samples[1].start_timestamp = 0;
        }),
        ("after the sample", 1, |e| {
            e.samples[1].start_timestamp = NOW_MS + 20_000;
        }),
        ("after the entry's samples", 1, |e| {
            e.created_timestamp = NOW_MS + 20_000;
        }),
        ("before the sample before", 1, |e| {
            e.samples[1].start_timestamp = NOW_MS - 5_000;
        }),
        ("at the ends of time", 1, |e| {
            e.created_timestamp = i64::MAX;
            e.samples[1].start_timestamp = i64::MIN;
        }),
    ];
    let saimon = Saimon::start();
    let mut resets = 0;
    for (i, (what, reset, fill)) in cases.into_iter().enumerate() {
        let name = format!("started_{i}_total");
        let request = Request::new().entry(&[("__name__", &name)], |_, entry| {
            entry.samples = v2::sampled(&[(NOW_MS, 1_000.0), (NOW_MS + 15_000, 10.0)]);
            fill(entry);
        });
        let response = saimon.write_v2(&request);
        assert_eq!(response.status, 204, "{what}: {}", response.text());
        assert_eq!(written(&response), Some((2, 0, 0)), "{what}");
        assert_eq!(saimon.samples(&name).len(), 2, "{what}");
        resets += reset;
        let seen = saimon.counters().sum("saimon_resets_total");
        assert_eq!(seen, resets, "{what}");
    }
    // Histograms have theirs in field 17, or the entry's.
    for (own, created, taken) in [
        (NOW_MS - 7, 0, NOW_MS - 7),
        (0, NOW_MS - 9, NOW_MS - 9),
        (NOW_MS - 7, NOW_MS - 9, NOW_MS - 7),
        (0, 0, 0),
        (NOW_MS + 1, 0, 0),
    ] {
        let request = Request::new().entry(H, |_, entry| {
            entry.created_timestamp = created;
            entry.histograms.push(Histogram {
                start_timestamp: own,
                ..histogram::integer(NOW_MS)
            });
        });
        assert_eq!(saimon.write_v2(&request).status, 204);
        let mut arena = WriteArena::default();
        let limits = LabelLimits {
            labels_per_series: 10,
            name_bytes: 100,
            value_bytes: 100,
        };
        write_v2::decode(&mut request.raw(), &limits, 10_000, &mut arena).unwrap();
        assert_eq!(arena.histograms[0].start_ms, taken, "{own} {created}");
    }
}

#[test]
fn item_054_odd_exemplars_are_accepted() {
    let saimon = Saimon::start();
    type Labels<'a> = &'a [(&'a str, &'a str)];
    let cases: [(Labels<'_>, i64, f64); 8] = [
        (&[], NOW_MS, 1.0),
        (&[("trace_id", "x")], NOW_MS, f64::NAN),
        (&[("trace_id", "x")], NOW_MS, f64::INFINITY),
        (&[("trace_id", "x")], NOW_MS, f64::NEG_INFINITY),
        (&[("über", "☃\u{1F600}")], NOW_MS, 1.0),
        (&[("trace_id", "x")], 0, 0.0),
        (
            &[("trace_id", "x"), ("span_id", "y"), ("empty", "")],
            -1,
            1.0,
        ),
        (&[("trace id", "x\ny")], NOW_MS - 3_600_000, 5e-324),
    ];
    for (of, t_ms, value) in cases {
        let request = Request::new().entry(UP, |request, entry| {
            entry.samples = v2::sampled(&[(NOW_MS, 1.0)]);
            let exemplar = request.an_exemplar(of, t_ms, value);
            entry.exemplars.push(exemplar);
        });
        let response = saimon.write_v2(&request);
        assert_eq!(response.status, 204, "{of:?} {value}: {}", response.text());
        assert_eq!(written(&response), Some((1, 0, 1)), "{of:?} {value}");
    }
    assert_eq!(saimon.counters().exemplars(), 8);
}

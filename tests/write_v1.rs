//! The walk decoder of remote write 1.0 against prost: on requests of every odd shape that protobuf
//! allows, on damaged ones, and on noise.

use std::cell::RefCell;

use proptest::prelude::*;
use prost::Message;
use saimon::wire::field::put_varint;
use saimon::wire::proto::WriteRequest;
use saimon::wire::write::{DecodeError, LabelLimits, WriteArena};
use saimon::wire::write_v1;

#[path = "support/oracle.rs"]
mod oracle;
#[path = "support/shapes.rs"]
mod shapes;

use shapes::{LIMITS, Odd, WIDE, message, odd, text};

fn label() -> impl Strategy<Value = Vec<u8>> {
    let usual =
        (text(), text(), odd(), odd()).prop_map(|(n, v, a, b)| vec![(1, 2, n, a), (2, 2, v, b)]);
    let any_fields = prop::collection::vec((1..3u32, Just(2u8), text(), odd()), 0..4);
    prop_oneof![6 => usual, 1 => any_fields].prop_map(|fields| message(&fields))
}

fn sample() -> impl Strategy<Value = Vec<u8>> {
    let value = (
        Just(1u32),
        Just(1u8),
        any::<u64>().prop_map(|v| v.to_le_bytes().to_vec()),
        odd(),
    );
    let time = any::<i64>().prop_map(|t| {
        let mut out = Vec::new();
        put_varint(&mut out, t as u64);
        out
    });
    let time = (Just(2u32), Just(0u8), time, odd());
    prop::collection::vec(prop_oneof![value, time], 0..4).prop_map(|fields| message(&fields))
}

fn exemplar() -> impl Strategy<Value = Vec<u8>> {
    (label(), odd(), odd()).prop_map(|(label, a, b)| {
        message(&vec![
            (1, 2, label, a),
            (2, 1, 2.5f64.to_le_bytes().to_vec(), b),
            (3, 0, vec![7], a),
        ])
    })
}

/// One that may be taken, but for its count now and then.
fn histogram() -> impl Strategy<Value = Vec<u8>> {
    let count = prop_oneof![5 => Just(6u8), 1 => 0..9u8];
    (count, odd(), odd()).prop_map(|(count, a, b)| {
        message(&vec![
            (1, 0, vec![count], a),
            (3, 1, 2.5f64.to_le_bytes().to_vec(), b),
            (11, 2, b"\x08\x01\x10\x03".to_vec(), a),
            (12, 2, b"\x02\x02".to_vec(), b),
            (12, 0, vec![2], a),
            (15, 0, vec![7], b),
        ])
    })
}

fn series() -> impl Strategy<Value = Vec<u8>> {
    let field =
        |number: u32, payload: BoxedStrategy<Vec<u8>>| (Just(number), Just(2u8), payload, odd());
    let labels = prop::collection::vec(field(1, label().boxed()), 0..6);
    let rest = prop::collection::vec(
        prop_oneof![
            6 => field(2, sample().boxed()),
            1 => field(1, label().boxed()),
            1 => field(3, exemplar().boxed()),
            1 => field(4, histogram().boxed()),
        ],
        0..5,
    );
    let name = prop_oneof![5 => Just(true), 1 => Just(false)];
    let sorted = any::<bool>();
    (labels, rest, name, sorted, odd()).prop_map(|(mut labels, rest, name, sorted, odd)| {
        if name {
            let mut metric = b"\x0a\x08__name__\x12\x02".to_vec();
            metric.extend(b"up");
            labels.insert(labels.len() / 2, (1, 2, metric, odd));
        }
        if sorted {
            labels.sort_by(|a, b| a.2.get(2..).cmp(&b.2.get(2..)));
        }
        labels.extend(rest);
        message(&labels)
    })
}

fn metadata() -> impl Strategy<Value = Vec<u8>> {
    (0..10u8, text(), text(), odd(), odd()).prop_map(|(kind, family, help, a, b)| {
        message(&vec![
            (1, 0, vec![kind], a),
            (2, 2, family, b),
            (4, 2, help, a),
        ])
    })
}

fn request() -> impl Strategy<Value = Vec<u8>> {
    let field =
        |number: u32, payload: BoxedStrategy<Vec<u8>>| (Just(number), Just(2u8), payload, odd());
    prop::collection::vec(
        prop_oneof![
            8 => field(1, series().boxed()),
            1 => field(3, metadata().boxed()),
        ],
        0..6,
    )
    .prop_map(|fields| message(&fields))
}

thread_local! {
    /// One for all requests, so that what one of them leaves behind would show in the next.
    static ARENA: RefCell<WriteArena> = RefCell::default();
}

/// Decodes with both and compares, under both sets of limits; gives what the walk said.
fn compare(sent: &[u8]) -> Result<(), DecodeError> {
    let strict = compare_within(sent, &LIMITS);
    assert_eq!(compare_within(sent, &WIDE), strict);
    strict
}

fn compare_within(sent: &[u8], limits: &LabelLimits) -> Result<(), DecodeError> {
    ARENA.with_borrow_mut(|arena| compare_in(sent, limits, arena))
}

fn compare_in(
    sent: &[u8],
    limits: &LabelLimits,
    arena: &mut WriteArena,
) -> Result<(), DecodeError> {
    let mut body = sent.to_vec();
    let ours = write_v1::decode(&mut body, limits, arena);
    assert_eq!(&body[..sent.len()], sent, "what was sent stays as it is");
    assert!(body.len() <= 2 * sent.len());
    let prosts = WriteRequest::decode(sent);
    match (&ours, prosts) {
        (Ok(()), Ok(request)) => oracle::assert_same(&body, arena, limits, &request),
        (Ok(()), Err(e)) => {
            // prost refuses the whole request for one bad name.
            let why = e.to_string();
            assert!(why.contains("UTF-8"), "only prost refuses: {why}");
        }
        (Err(e), Ok(_)) => panic!("only the walk refuses: {e}"),
        (Err(_), Err(_)) => {}
    }
    if ours.is_err() {
        assert!(arena.series.is_empty() && arena.samples.is_empty() && arena.metadata.is_empty());
        assert_eq!((arena.exemplars, arena.histograms.len()), (0, 0));
        assert!(arena.refused.is_empty());
        assert_eq!(body, sent);
    }
    ours
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Conformance 17, 25, 26, 32, 36 to 40, 42.
    #[test]
    fn every_shape_of_a_request_is_read_as_prost_reads_it(sent in request()) {
        prop_assert_eq!(compare(&sent), Ok(()));
        prop_assert!(WriteRequest::decode(&*sent).is_ok());
    }

    /// Conformance 16.
    #[test]
    fn damaged_requests_are_refused_when_prost_refuses_them(
        sent in request(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3u8), 1..4),
    ) {
        let mut sent = sent;
        for (at, byte, how) in damage {
            if sent.is_empty() {
                break;
            }
            let at = at.index(sent.len());
            match how {
                0 => sent[at] = byte,
                1 => sent.insert(at, byte),
                _ => { sent.remove(at); }
            }
        }
        let _ = compare(&sent);
    }

    #[test]
    fn noise_is_read_as_prost_reads_it(sent in prop::collection::vec(any::<u8>(), 0..60)) {
        let _ = compare(&sent);
    }

    /// Noise where it hurts: within the labels of a series.
    #[test]
    fn noise_within_a_series_is_read_as_prost_reads_it(
        inner in prop::collection::vec(prop_oneof![Just(0x0au8), Just(0x12), 0..6u8, any::<u8>()], 0..24),
    ) {
        let mut sent = vec![0x0a, inner.len() as u8];
        sent.extend(inner);
        let _ = compare(&sent);
    }

    /// Conformance 41: prost refuses the request, we the series.
    #[test]
    fn invalid_utf8_costs_its_series_alone(good in series(), bad in "[a-z]{1,4}", in_name: bool) {
        let not_utf8 = [bad.as_bytes(), b"\xc3"].concat();
        let (name, value): (&[u8], &[u8]) = if in_name { (&not_utf8, b"v") } else { (b"zz", &not_utf8) };
        let plain = Odd { padding: (0, 0), unknown: None };
        let pair = |name: &[u8], value: &[u8]| {
            (1, 2, message(&vec![(1, 2, name.to_vec(), plain), (2, 2, value.to_vec(), plain)]), plain)
        };
        let bad = message(&vec![
            pair(b"__name__", b"up"),
            pair(name, value),
            (2, 2, vec![0x10, 1], plain),
        ]);
        let with_bad = message(&vec![(1, 2, bad, plain), (1, 2, good.clone(), plain)]);
        let alone = message(&vec![(1, 2, good, plain)]);

        let decode = |sent: &[u8]| {
            let (mut body, mut arena) = (sent.to_vec(), WriteArena::default());
            write_v1::decode(&mut body, &WIDE, &mut arena).unwrap();
            arena
        };
        prop_assert!(WriteRequest::decode(&*with_bad).is_err());
        let (with_bad, alone) = (decode(&with_bad), decode(&alone));
        prop_assert_eq!(with_bad.refused.series, alone.refused.series + 1);
        prop_assert_eq!(with_bad.refused.samples, alone.refused.samples + 1);
        prop_assert_eq!(with_bad.series.len(), alone.series.len());
        prop_assert_eq!(with_bad.samples.len(), alone.samples.len());
    }
}

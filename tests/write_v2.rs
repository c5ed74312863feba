//! The walk decoder of remote write 2.0 against prost: on requests of every odd shape that protobuf
//! allows, on damaged ones, and on noise.

use std::cell::RefCell;

use proptest::prelude::*;
use prost::Message;
use saimon::wire::field::put_varint;
use saimon::wire::proto::v2::Request;
use saimon::wire::write::{DecodeError, LabelLimits, WriteArena};
use saimon::wire::write_v2;

#[path = "support/oracle_v2.rs"]
mod oracle;
#[path = "support/shapes.rs"]
mod shapes;

use shapes::{Fields, LIMITS, Odd, WIDE, message, odd, text};

const REBUILT_MAX: usize = 1 << 20;

type Field = (u32, u8, Vec<u8>, Odd);

fn field(number: u32, payload: impl Strategy<Value = Vec<u8>>) -> impl Strategy<Value = Field> {
    (Just(number), Just(2u8), payload, odd())
}

fn varint(value: u64) -> Vec<u8> {
    let mut out = Vec::new();
    put_varint(&mut out, value);
    out
}

/// A reference that is mostly to one of ten symbols from `first` on.
fn reference(first: u32) -> impl Strategy<Value = u32> {
    let known = (first..first + 10).boxed();
    prop_oneof![30 => known, 2 => first + 10..first + 14, 1 => any::<u32>()]
}

/// References in as many fields as there are parts, each packed or one by one.
fn references(refs: &[u32], packed: bool, odd: Odd) -> Fields {
    if !packed {
        return refs
            .iter()
            .map(|r| (1, 0, varint(u64::from(*r)), odd))
            .collect();
    }
    let (front, back) = refs.split_at(refs.len() / 3);
    let all = |part: &[u32]| part.iter().flat_map(|r| varint(u64::from(*r))).collect();
    if odd.unknown.is_some() {
        vec![(1, 2, all(front), odd), (1, 2, all(back), odd)]
    } else {
        vec![(1, 2, all(refs), odd)]
    }
}

/// References of a label set: mostly as senders write them, with the metric's name in front.
fn label_refs(first: u32) -> impl Strategy<Value = Fields> {
    let usual = prop::collection::btree_map(1..6u32, 1..10u32, 0..5).prop_map(move |labels| {
        let labels = labels.into_iter().flat_map(|(name, value)| [name, value]);
        let refs = [0, 6].into_iter().chain(labels);
        refs.map(|r| r + first).collect::<Vec<_>>()
    });
    let any = prop::collection::vec(reference(first), 0..12);
    let refs = prop_oneof![4 => usual, 1 => any];
    let packed = prop_oneof![4 => Just(true), 1 => Just(false)];
    (refs, packed, odd()).prop_map(|(refs, packed, odd)| references(&refs, packed, odd))
}

fn time() -> impl Strategy<Value = i64> {
    prop_oneof![4 => 0..100i64, 1 => any::<i64>()]
}

fn sample() -> impl Strategy<Value = Vec<u8>> {
    let value = any::<u64>().prop_map(|v| v.to_le_bytes().to_vec());
    let value = (Just(1u32), Just(1u8), value, odd());
    let number = |number: u32| {
        let time = time().prop_map(|t| varint(t as u64));
        (Just(number), Just(0u8), time, odd())
    };
    let fields = prop_oneof![3 => value, 3 => number(2), 1 => number(3)];
    prop::collection::vec(fields, 0..4).prop_map(|fields| message(&fields))
}

fn exemplar(first: u32) -> impl Strategy<Value = Vec<u8>> {
    let refs = prop_oneof![
        4 => Just(vec![first + 2, first + 3]),
        1 => prop::collection::vec(reference(first), 0..4),
    ];
    (refs, any::<bool>(), odd()).prop_map(|(refs, packed, odd)| {
        let mut fields = references(&refs, packed, odd);
        fields.push((2, 1, 2.5f64.to_le_bytes().to_vec(), odd));
        fields.push((3, 0, vec![7], odd));
        message(&fields)
    })
}

/// One that may be taken, but for its count now and then.
fn histogram() -> impl Strategy<Value = Vec<u8>> {
    let count = prop_oneof![5 => Just(6u8), 1 => 0..9u8];
    (count, odd(), odd(), time(), time()).prop_map(|(count, a, b, time, start)| {
        message(&vec![
            (1, 0, vec![count], a),
            (3, 1, 2.5f64.to_le_bytes().to_vec(), b),
            (11, 2, b"\x08\x01\x10\x03".to_vec(), a),
            (12, 2, b"\x02\x02\x02".to_vec(), b),
            (15, 0, varint(time as u64), b),
            (17, 0, varint(start as u64), a),
        ])
    })
}

fn metadata(first: u32) -> impl Strategy<Value = Vec<u8>> {
    (0..10u8, reference(first), reference(first), odd()).prop_map(|(kind, help, unit, odd)| {
        message(&vec![
            (1, 0, vec![kind], odd),
            (3, 0, varint(u64::from(help)), odd),
            (4, 0, varint(u64::from(unit)), odd),
        ])
    })
}

fn series(first: u32) -> impl Strategy<Value = Vec<u8>> {
    let created = time().prop_map(|t| varint(t as u64));
    let rest = prop::collection::vec(
        prop_oneof![
            8 => field(2, sample()),
            1 => field(3, histogram()),
            1 => field(4, exemplar(first)),
            1 => field(5, metadata(first)),
            1 => (Just(6u32), Just(0u8), created, odd()),
        ],
        0..5,
    );
    let place = prop_oneof![4 => Just(0), 1 => 0..5usize];
    (label_refs(first), rest, place).prop_map(|(refs, mut rest, place)| {
        let place = place.min(rest.len());
        rest.splice(place..place, refs);
        message(&rest)
    })
}

/// A table that has from `first` on the names that the usual label sets use, in their order.
fn symbols(first: u32) -> impl Strategy<Value = Vec<Vec<u8>>> {
    let others = (0..first).map(|i| format!("other {i}").into_bytes());
    let others: Vec<_> = others.collect();
    let mixed = prop::collection::vec(text(), 0..11);
    prop_oneof![
        4 => prop::collection::vec(text(), 4).prop_map(|values| {
            let names = ["__name__", "a", "b", "c", "long_one", "long_two", "up"];
            let names = names.iter().map(|n| n.as_bytes().to_vec());
            names.chain(values).collect()
        }),
        1 => mixed,
    ]
    .prop_map(move |symbols| others.iter().cloned().chain(symbols).collect())
}

/// References take one byte, or two, or one or two.
fn request() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![2 => Just(0), 1 => Just(123), 1 => Just(300)].prop_flat_map(request_from)
}

fn request_from(first: u32) -> impl Strategy<Value = Vec<u8>> {
    let entries = prop::collection::vec(field(5, series(first)), 0..8);
    let late = prop_oneof![6 => Just(0), 1 => 0..8usize];
    (symbols(first), odd(), entries, late).prop_map(|(symbols, plain, mut fields, late)| {
        let symbols = symbols.into_iter().map(|s| (4, 2, s, plain));
        let place = late.min(fields.len());
        fields.splice(place..place, symbols);
        message(&fields)
    })
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
    let ours = write_v2::decode(&mut body, limits, REBUILT_MAX, arena);
    assert_eq!(&body[..sent.len()], sent, "what was sent stays as it is");
    match (&ours, Request::decode(sent)) {
        (Ok(()), Ok(request)) => oracle::assert_same(&body, arena, limits, &request),
        (Ok(()), Err(e)) => {
            // prost refuses the whole request for one bad symbol, used or not.
            let why = e.to_string();
            assert!(why.contains("UTF-8"), "only prost refuses: {why}");
        }
        (Err(e), Ok(_)) => panic!("only the walk refuses: {e}"),
        (Err(_), Err(_)) => {}
    }
    if ours.is_err() {
        assert!(arena.series.is_empty() && arena.samples.is_empty() && arena.metadata.is_empty());
        assert_eq!((arena.exemplars, arena.histograms.len()), (0, 0));
        assert!(arena.refused.is_empty() && arena.starts.is_empty());
        assert_eq!(body, sent);
    }
    ours
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Conformance 17, 25, 26, 32, 36 to 40, 42, 44 to 54.
    #[test]
    fn every_shape_of_a_request_is_read_as_prost_reads_it(sent in request()) {
        prop_assert_eq!(compare(&sent), Ok(()));
        prop_assert!(Request::decode(&*sent).is_ok());
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

    /// Noise where it hurts: within a series.
    #[test]
    fn noise_within_a_series_is_read_as_prost_reads_it(
        inner in prop::collection::vec(prop_oneof![Just(0x0au8), Just(0x12), 0..9u8, any::<u8>()], 0..24),
    ) {
        let mut sent = b"\x22\x08__name__\x22\x02up".to_vec();
        sent.extend([0x2a, inner.len() as u8]);
        sent.extend(inner);
        let _ = compare(&sent);
    }
}

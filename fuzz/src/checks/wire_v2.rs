//! The decoder of remote write 2.0 against prost, the table of symbols looked up plainly.

use std::sync::OnceLock;

use prost::Message as _;
use saimon::wire::proto::v2::{Exemplar, Histogram, Sample};
use saimon::wire::write::{DecodeError, WriteArena};
use saimon::wire::write_v2;

use super::histogram;
use super::message::{self, LIMITS, Metadata2, Pairs, Request, TimeSeries2};

static BEFORE: OnceLock<Vec<u8>> = OnceLock::new();

/// A request before the one at hand, whose labels lie far behind; nothing of it may show.
fn before() -> Vec<u8> {
    let entry = |labels_refs| TimeSeries2 {
        labels_refs,
        samples: vec![Sample::default(); 20],
        histograms: vec![Vec::new(); 3],
        exemplars: vec![Exemplar::default(); 3],
        metadata: Some(Metadata2 {
            kind: 1,
            ..Metadata2::default()
        }),
        created: 1,
    };
    let symbols = [
        "",
        "__name__",
        "a_metric_with_a_name_that_is_rather_long",
        "job",
        "a",
        "b",
    ];
    let refs: [&[u32]; 5] = [
        &[1, 2, 3, 4],
        &[1, 2, 3, 5],
        &[3, 4],
        &[3, 4, 1, 2],
        &[1, 2, 3, 4],
    ];
    let request = Request {
        symbols: symbols.map(|s| s.as_bytes().to_vec()).into(),
        timeseries: refs.into_iter().map(|refs| entry(refs.to_vec())).collect(),
    };
    request.encode_to_vec()
}

const REBUILT_MAX: usize = 1 << 22;

fn judged(data: &[u8]) -> Option<(Request, Vec<Vec<Histogram>>)> {
    let request = Request::decode(data).ok()?;
    let histograms = request.timeseries.iter().map(|t| {
        let read = |bytes: &Vec<u8>| histogram::read(bytes, 2);
        t.histograms.iter().map(read).collect::<Option<Vec<_>>>()
    });
    let histograms = histograms.collect::<Option<Vec<_>>>()?;
    Some((request, histograms))
}

pub fn check(data: &[u8]) {
    let judged = judged(data);
    let mut arena = WriteArena::default();
    let before = write_v2::decode(
        &mut BEFORE.get_or_init(before).clone(),
        &LIMITS,
        REBUILT_MAX,
        &mut arena,
    );
    debug_assert!(before.is_ok(), "{before:?}");
    for _ in 0..2 {
        let mut body = data.to_vec();
        let decoded = write_v2::decode(&mut body, &LIMITS, REBUILT_MAX, &mut arena);
        assert!(body.starts_with(data));
        match (&decoded, &judged) {
            (Ok(()), Some((request, histograms))) => same(&body, &arena, request, histograms),
            (Err(DecodeError::LabelsTooLarge { .. }), _) => return,
            (Err(_), None) => {
                assert!(arena.series.is_empty() && arena.samples.is_empty());
                assert!(arena.refused.is_empty() && body.len() == data.len());
            }
            _ => panic!("ours: {decoded:?}, prost's: {judged:?}"),
        }
    }
}

/// The labels that references stand for; `None` if one of them is to nothing or a value is missing.
fn resolved(refs: &[u32], request: &Request) -> Option<Pairs> {
    let symbol = |at: u32| request.symbols.get(at as usize).cloned();
    let (pairs, rest) = refs.as_chunks::<2>();
    let pairs = pairs.iter().map(|[n, v]| Some((symbol(*n)?, symbol(*v)?)));
    pairs.collect::<Option<_>>().filter(|_| rest.is_empty())
}

/// Whether what belongs to a series refers to symbols that there are.
fn refers_well(entry: &TimeSeries2, request: &Request) -> bool {
    let there = |at: u32| at == 0 || (at as usize) < request.symbols.len();
    let metadata = entry.metadata.clone().unwrap_or_default();
    let exemplars = &entry.exemplars;
    there(metadata.help_ref)
        && there(metadata.unit_ref)
        && exemplars
            .iter()
            .all(|e| resolved(&e.labels_refs, request).is_some())
}

/// When counting started, as it is taken: a sample's own word, else the entry's; what is after the
/// sample is ignored.
fn start(own: i64, created: i64, t_ms: i64) -> i64 {
    let usable = |start: &i64| *start != 0 && *start <= t_ms;
    [own, created].into_iter().find(usable).unwrap_or(0)
}

fn same(body: &[u8], arena: &WriteArena, request: &Request, histograms: &[Vec<Histogram>]) {
    let mut kept = arena.series.iter();
    let mut starts = arena.starts.iter();
    let mut announced = Vec::new();
    let (mut samples, mut native, mut exemplars) = (0, 0, 0);
    let (mut refused, mut lost) = (0, (0, 0, 0));
    for (entry, entry_histograms) in request.timeseries.iter().zip(histograms) {
        let good = refers_well(entry, request)
            && entry_histograms.iter().all(|h| histogram::is_valid(h, 2));
        let found = resolved(&entry.labels_refs, request)
            .filter(|_| good)
            .and_then(|pairs| message::canonical(&pairs));
        let Some((labels, metric)) = found else {
            refused += 1;
            lost.0 += entry.samples.len();
            lost.1 += entry.histograms.len();
            lost.2 += entry.exemplars.len();
            continue;
        };
        let series = kept.next().expect("a series is missing");
        assert!(series.labels.of(body) == labels && series.name.of(body) == metric);
        assert!(series.samples_start as usize == samples);
        for sent in &entry.samples {
            let got = arena.samples[samples];
            assert!(got.timestamp_ms == sent.timestamp);
            assert!(got.value.to_bits() == sent.value.to_bits());
            let start_ms = start(sent.start_timestamp, entry.created, sent.timestamp);
            if start_ms != 0 {
                let got = starts.next().expect("a start is missing");
                assert!(got.sample as usize == samples && got.start_ms == start_ms);
            }
            samples += 1;
        }
        assert!(series.samples_end as usize == samples);
        assert!(series.histograms_start as usize == native);
        for (sent, read) in entry.histograms.iter().zip(entry_histograms) {
            let got = arena.histograms[native];
            assert!(got.message.of(body) == sent && got.timestamp_ms == read.timestamp);
            let start_ms = start(read.start_timestamp, entry.created, read.timestamp);
            assert!(got.start_ms == start_ms);
            native += 1;
        }
        assert!(series.histograms_end as usize == native);
        exemplars += entry.exemplars.len();
        let kind = entry.metadata.as_ref().map_or(0, |m| message::kind(m.kind));
        if kind != 0 {
            announced.push((metric, kind));
        }
    }
    assert!(kept.next().is_none() && starts.next().is_none());
    assert!(arena.samples.len() == samples && arena.histograms.len() == native);
    assert!(arena.exemplars as usize == exemplars);
    let counted = &arena.refused;
    assert!(counted.series == refused && counted.samples as usize == lost.0);
    assert!(counted.histograms as usize == lost.1 && counted.exemplars as usize == lost.2);
    // Metadata is of families, and noted once or more.
    let of = |m: &saimon::wire::write::MetadataSpan, (metric, kind): &(Vec<u8>, i32)| {
        m.kind as i32 == *kind && metric.starts_with(m.family.of(body))
    };
    for metadata in &arena.metadata {
        assert!(metadata.family.len > 0 && announced.iter().any(|a| of(metadata, a)));
    }
    for announced in &announced {
        assert!(arena.metadata.iter().any(|m| of(m, announced)));
    }
}

//! The decoder of remote write 1.0 against prost and the rules for series written out plainly.

use std::sync::OnceLock;

use prost::Message as _;
use saimon::wire::proto::v2::Histogram;
use saimon::wire::write::WriteArena;
use saimon::wire::write_v1;

use super::histogram;
use super::message::{
    self, Exemplar, LIMITS, Label, MetricMetadata, Sample, TimeSeries, WriteRequest,
};

static BEFORE: OnceLock<Vec<u8>> = OnceLock::new();

/// A request before the one at hand, with more of everything: nothing of it may show.
fn before() -> Vec<u8> {
    let label = |name: &str, value: &str| Label {
        name: name.into(),
        value: value.into(),
    };
    let entry = |labels| TimeSeries {
        labels,
        samples: vec![Sample::default(); 20],
        exemplars: vec![Exemplar::default(); 3],
        histograms: vec![Vec::new(); 3],
    };
    let name = label("__name__", "a_metric_with_a_name_that_is_rather_long");
    let sorted = entry(vec![
        name.clone(),
        label("zone", "a long way off, or further"),
    ]);
    let unsorted = entry(vec![label("zone", "b"), name, label("job", "x")]);
    let request = WriteRequest {
        timeseries: vec![sorted, entry(vec![label("nameless", "1")]), unsorted],
        metadata: vec![MetricMetadata {
            family: b"a_metric".to_vec(),
            ..MetricMetadata::default()
        }],
    };
    request.encode_to_vec()
}

/// A request as prost has it, and its histograms; `None` if it is none.
fn judged(data: &[u8]) -> Option<(WriteRequest, Vec<Vec<Histogram>>)> {
    let request = WriteRequest::decode(data).ok()?;
    let histograms = request.timeseries.iter().map(|t| {
        let read = |bytes: &Vec<u8>| histogram::read(bytes, 1);
        t.histograms.iter().map(read).collect::<Option<Vec<_>>>()
    });
    let histograms = histograms.collect::<Option<Vec<_>>>()?;
    Some((request, histograms))
}

pub fn check(data: &[u8]) {
    let judged = judged(data);
    let mut arena = WriteArena::default();
    let before = write_v1::decode(&mut BEFORE.get_or_init(before).clone(), &LIMITS, &mut arena);
    debug_assert!(before.is_ok(), "{before:?}");
    for _ in 0..2 {
        let mut body = data.to_vec();
        let decoded = write_v1::decode(&mut body, &LIMITS, &mut arena);
        assert!(body.starts_with(data) && body.len() <= 2 * data.len());
        match (&decoded, &judged) {
            (Ok(()), Some((request, histograms))) => same(&body, &arena, request, histograms),
            (Err(_), None) => {
                assert!(arena.series.is_empty() && arena.samples.is_empty());
                assert!(arena.refused.is_empty() && body.len() == data.len());
            }
            _ => panic!("ours: {decoded:?}, prost's: {judged:?}"),
        }
    }
}

fn same(body: &[u8], arena: &WriteArena, request: &WriteRequest, histograms: &[Vec<Histogram>]) {
    let mut kept = arena.series.iter();
    let (mut samples, mut native, mut exemplars) = (0, 0, 0);
    let (mut refused, mut lost) = (0, (0, 0, 0));
    for (entry, entry_histograms) in request.timeseries.iter().zip(histograms) {
        let pairs = entry
            .labels
            .iter()
            .map(|l| (l.name.clone(), l.value.clone()))
            .collect();
        let good = entry_histograms.iter().all(|h| histogram::is_valid(h, 1));
        let Some((labels, metric)) = message::canonical(&pairs).filter(|_| good) else {
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
            samples += 1;
        }
        assert!(series.samples_end as usize == samples);
        assert!(series.histograms_start as usize == native);
        for (sent, read) in entry.histograms.iter().zip(entry_histograms) {
            let got = arena.histograms[native];
            assert!(got.message.of(body) == sent && got.timestamp_ms == read.timestamp);
            native += 1;
        }
        assert!(series.histograms_end as usize == native);
        exemplars += entry.exemplars.len();
    }
    assert!(kept.next().is_none(), "a series too many");
    assert!(arena.samples.len() == samples && arena.histograms.len() == native);
    assert!(arena.exemplars as usize == exemplars && arena.starts.is_empty());
    let counted = &arena.refused;
    assert!(counted.series == refused && counted.samples as usize == lost.0);
    assert!(counted.histograms as usize == lost.1 && counted.exemplars as usize == lost.2);
    let announced = request
        .metadata
        .iter()
        .filter(|m| !m.family.is_empty() && std::str::from_utf8(&m.family).is_ok())
        .map(|m| (&m.family[..], message::kind(m.kind)));
    let got = arena
        .metadata
        .iter()
        .map(|m| (m.family.of(body), m.kind as i32));
    assert!(got.eq(announced));
}

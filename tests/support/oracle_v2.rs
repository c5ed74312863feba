//! prost's reading of a remote-write 2.0 body as the judge of the hand-written walk.

use prost::Message as _;
use saimon::series::labels;
use saimon::wire::histogram::{self, HistogramError};
use saimon::wire::proto::v2::{Request, TimeSeries};
use saimon::wire::write::{LabelLimits, Lost, MetricType, Refusal, WriteArena};

/// Panics unless `arena`, filled from `body`, has what prost found in the same bytes.
pub(crate) fn assert_same(
    body: &[u8],
    arena: &WriteArena,
    limits: &LabelLimits,
    request: &Request,
) {
    let mut kept = arena.series.iter();
    let mut lost = Lost::default();
    let mut refused = Vec::new();
    let (mut samples, mut histograms, mut exemplars) = (0, 0, 0);
    let mut starts = Vec::new();
    let mut announced = Vec::new();
    for entry in &request.timeseries {
        let sent = match labels_of(entry, &request.symbols, limits) {
            Ok(sent) => sent,
            Err(any_of) => {
                refused.push(any_of);
                lost.samples += entry.samples.len() as u32;
                lost.histograms += entry.histograms.len() as u32;
                lost.exemplars += entry.exemplars.len() as u32;
                continue;
            }
        };
        let series = kept.next().expect("a series is missing");
        let name = sent.iter().find(|l| l.0 == labels::METRIC_NAME).unwrap().1;
        assert_eq!(
            series.labels.of(body),
            labels::encode(sent.iter().copied()),
            "{sent:?}"
        );
        assert_eq!(series.name.of(body), name.as_bytes());
        assert_eq!(series.samples_start as usize, samples);
        assert_eq!(series.histograms_start as usize, histograms);
        for sent in &entry.samples {
            let got = &arena.samples[samples];
            assert_eq!(got.timestamp_ms, sent.timestamp);
            assert_eq!(got.value.to_bits(), sent.value.to_bits());
            let start = start_of(
                sent.start_timestamp,
                entry.created_timestamp,
                sent.timestamp,
            );
            if start != 0 {
                starts.push((samples as u32, start));
            }
            samples += 1;
        }
        for sent in &entry.histograms {
            let got = &arena.histograms[histograms];
            assert_eq!(got.timestamp_ms, sent.timestamp);
            let start = start_of(
                sent.start_timestamp,
                entry.created_timestamp,
                sent.timestamp,
            );
            assert_eq!(got.start_ms, start);
            histograms += 1;
        }
        assert_eq!(series.samples_end as usize, samples);
        assert_eq!(series.histograms_end as usize, histograms);
        exemplars += entry.exemplars.len();
        let kind = entry.metadata.map_or(0, |m| m.r#type);
        if (1..8).contains(&kind) {
            let family = family(name, kind, entry.histograms.is_empty());
            announced.push((family.to_owned(), kind));
        }
    }
    assert!(kept.next().is_none(), "a series too many");
    assert_eq!(arena.samples.len(), samples);
    assert_eq!(arena.histograms.len(), histograms);
    assert_eq!(arena.exemplars as usize, exemplars);
    let got: Vec<_> = arena
        .starts
        .iter()
        .map(|s| (s.sample, s.start_ms))
        .collect();
    assert_eq!(got, starts);
    assert_eq!(arena.refused.series as usize, refused.len());
    assert_eq!(arena.refused.named.len(), refused.len().min(3));
    for ((why, _), any_of) in arena.refused.named.iter().zip(refused) {
        assert!(any_of.contains(why), "{why:?} instead of one of {any_of:?}");
    }
    assert_eq!(arena.refused.samples, lost.samples);
    assert_eq!(arena.refused.histograms, lost.histograms);
    assert_eq!(arena.refused.exemplars, lost.exemplars);
    assert_metadata(body, arena, announced);
}

/// The same pairs of family and type, however often each.
fn assert_metadata(body: &[u8], arena: &WriteArena, mut announced: Vec<(String, i32)>) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut got: Vec<_> = arena
        .metadata
        .iter()
        .map(|m| (text(m.family.of(body)), m.kind as i32))
        .collect();
    let first = announced.first().cloned();
    assert_eq!(got.first().cloned(), first, "the first one wins");
    got.sort();
    got.dedup();
    announced.sort();
    announced.dedup();
    assert_eq!(got, announced);
}

fn start_of(own: i64, created: i64, timestamp: i64) -> i64 {
    let usable = |start: &i64| *start != 0 && *start <= timestamp;
    [own, created].into_iter().find(usable).unwrap_or(0)
}

fn family(name: &str, kind: i32, classic: bool) -> &str {
    let of_parts = kind == MetricType::Histogram as i32 || kind == MetricType::Summary as i32;
    if !classic || !of_parts {
        return name;
    }
    let parts = ["_bucket", "_sum", "_count"];
    let stem = parts.iter().find_map(|part| name.strip_suffix(part));
    stem.filter(|stem| !stem.is_empty()).unwrap_or(name)
}

/// The labels of a series that may be taken, by the rules written out once more; or the reasons not
/// to take it that may be given.
fn labels_of<'a>(
    entry: &TimeSeries,
    symbols: &'a [String],
    limits: &LabelLimits,
) -> Result<Vec<(&'a str, &'a str)>, Vec<Refusal>> {
    let mut wrong = Vec::new();
    for exemplar in &entry.exemplars {
        let refs = &exemplar.labels_refs;
        if refs.len() % 2 == 1 || refs.iter().any(|r| *r as usize >= symbols.len()) {
            wrong.push(Refusal::BadReference);
        }
    }
    for histogram in &entry.histograms {
        match histogram::check(&histogram.encode_to_vec(), 2) {
            Ok(_) => {}
            Err(HistogramError::Invalid(why)) => wrong.push(Refusal::BadHistogram(why)),
            Err(e) => panic!("prost wrote what cannot be read: {e}"),
        }
    }
    if wrong.is_empty() {
        label_set(entry, symbols, limits).map_err(|why| vec![why])
    } else {
        Err(wrong)
    }
}

fn label_set<'a>(
    entry: &TimeSeries,
    symbols: &'a [String],
    limits: &LabelLimits,
) -> Result<Vec<(&'a str, &'a str)>, Refusal> {
    let known = |reference: u32| symbols.get(reference as usize).map(String::as_str);
    if let Some(metadata) = &entry.metadata {
        let refs = [metadata.help_ref, metadata.unit_ref];
        if refs.iter().any(|r| *r != 0 && known(*r).is_none()) {
            return Err(Refusal::BadReference);
        }
    }
    let mut sent = Vec::new();
    for pair in entry.labels_refs.chunks(2) {
        let [name, value] = pair else {
            return Err(Refusal::BadReference);
        };
        match (known(*name), known(*value)) {
            (Some(name), Some(value)) => sent.push((name, value)),
            _ => return Err(Refusal::BadReference),
        }
    }
    sent.retain(|(_, value)| !value.is_empty());
    if sent.len() > limits.labels_per_series {
        return Err(Refusal::TooManyLabels);
    }
    sent.sort_by_key(|(name, _)| *name);
    for (i, (name, value)) in sent.iter().enumerate() {
        if name.is_empty() {
            return Err(Refusal::EmptyLabelName);
        }
        if name.len() > limits.name_bytes || value.len() > limits.value_bytes {
            return Err(Refusal::LabelTooLong);
        }
        if i > 0 && sent[i - 1].0 == *name {
            return Err(Refusal::DuplicateLabel);
        }
    }
    if sent.iter().all(|(name, _)| *name != labels::METRIC_NAME) {
        return Err(Refusal::MissingName);
    }
    Ok(sent)
}

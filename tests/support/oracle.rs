//! prost's reading of a remote-write body as the judge of the hand-written walk.

use prost::Message as _;
use saimon::series::labels;
use saimon::wire::histogram::{self, HistogramError};
use saimon::wire::proto::{TimeSeries, WriteRequest};
use saimon::wire::write::{LabelLimits, Lost, WriteArena};

/// Panics unless `arena`, filled from `body`, has what prost found in the same bytes.
pub(crate) fn assert_same(
    body: &[u8],
    arena: &WriteArena,
    limits: &LabelLimits,
    request: &WriteRequest,
) {
    let mut kept = arena.series.iter();
    let (mut refused, mut lost) = (0, Lost::default());
    let (mut exemplars, mut histograms, mut samples) = (0, 0, 0);
    for entry in &request.timeseries {
        let Some(name) = metric_name(entry, limits) else {
            refused += 1;
            lost.samples += entry.samples.len() as u32;
            lost.histograms += entry.histograms.len() as u32;
            lost.exemplars += entry.exemplars.len() as u32;
            continue;
        };
        let series = kept.next().expect("a series is missing");
        let sent = entry.labels.iter().map(|l| (&*l.name, &*l.value));
        assert_eq!(series.labels.of(body), labels::encode(sent));
        assert_eq!(series.name.of(body), name.as_bytes());
        assert_eq!(series.samples_start as usize, samples);
        samples += entry.samples.len();
        assert_eq!(series.samples_end as usize, samples);
        let got = &arena.samples[series.samples_start as usize..samples];
        for (got, sent) in got.iter().zip(&entry.samples) {
            assert_eq!(got.timestamp_ms, sent.timestamp);
            assert_eq!(got.value.to_bits(), sent.value.to_bits());
        }
        exemplars += entry.exemplars.len();
        histograms += entry.histograms.len();
    }
    assert!(kept.next().is_none(), "a series too many");
    assert_eq!(arena.samples.len(), samples);
    assert_eq!(arena.exemplars as usize, exemplars);
    assert_eq!(arena.histograms.len(), histograms);
    assert_eq!(arena.refused.series, refused);
    assert_eq!(lost_of(arena), lost);
    let metadata = arena
        .metadata
        .iter()
        .map(|m| (m.family.of(body), m.kind as i32));
    let sent = request
        .metadata
        .iter()
        .filter(|m| !m.metric_family_name.is_empty())
        .map(|m| {
            let known = (0..8).contains(&m.r#type);
            let kind = if known { m.r#type } else { 0 };
            (m.metric_family_name.as_bytes(), kind)
        });
    assert!(metadata.eq(sent));
}

fn lost_of(arena: &WriteArena) -> Lost {
    Lost {
        samples: arena.refused.samples,
        histograms: arena.refused.histograms,
        exemplars: arena.refused.exemplars,
    }
}

/// The name of a series that may be taken, by the rules written out once more; `None` for one that
/// must be refused.
fn metric_name<'a>(entry: &'a TimeSeries, limits: &LabelLimits) -> Option<&'a str> {
    let mut labels: Vec<_> = entry
        .labels
        .iter()
        .filter(|l| !l.value.is_empty())
        .collect();
    let all = labels.len();
    labels.sort_by_key(|l| &l.name);
    labels.dedup_by_key(|l| &l.name);
    let fits = labels.iter().all(|l| {
        !l.name.is_empty()
            && l.name.len() <= limits.name_bytes
            && l.value.len() <= limits.value_bytes
    });
    if !fits || labels.len() < all || all > limits.labels_per_series {
        return None;
    }
    let histograms = entry.histograms.iter().map(|h| h.encode_to_vec());
    for message in histograms {
        match histogram::check(&message, 1) {
            Ok(_) => {}
            Err(HistogramError::Invalid(_)) => return None,
            Err(e) => panic!("prost wrote what cannot be read: {e}"),
        }
    }
    labels
        .iter()
        .find(|l| l.name == labels::METRIC_NAME)
        .map(|l| &*l.value)
}

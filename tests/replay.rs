//! Every recorded request of Prometheus 2.42 and vmagent 1.79, through socket, decoder, router and
//! shards: in clean order, in the original order with its retries, twice each, shuffled, on one shard
//! and on eight.
//!
//! What "the same" means: of every series the same samples with the same bits, and the same
//! serialized state (window, interval, kind, models, verdict) byte for byte. That is promised wherever the
//! samples of each series, and metadata, arrive in the same order. Where they do not, samples that
//! are older than the newest of their series are counted as late and left out, so what is held can
//! only be a part; then it is promised that the series are the same, that each ends with the same
//! sample, and that every sample has one outcome.
//!
//! The recordings lie beside the project. Without them the choice in `tests/data` is taken.

#[path = "support/client.rs"]
mod client;
#[path = "support/listening.rs"]
mod listening;
#[path = "conformance/support.rs"]
mod support;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::path::{Path, PathBuf};

use prost::Message as _;
use saimon::series::labels;
use saimon::wire::proto::WriteRequest;
use saimon::wire::snappy::BodyPool;
use saimon::wire::write::STALE_NAN_BITS;
use support::{Counters, Held, Saimon, WRITE_HEADERS, snappy, v1};

/// One recorded request.
#[derive(Clone)]
struct Body {
    sent: Vec<u8>,
    message: WriteRequest,
    /// What the recorder answered.
    replied: u64,
    counts: Counts,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Counts {
    series: u64,
    samples: u64,
    exemplars: u64,
    histograms: u64,
    metadata: u64,
    stale_samples: u64,
    stale_histograms: u64,
    nan_samples: u64,
}

impl Counts {
    fn plus(self, other: Self) -> Self {
        Self {
            series: self.series + other.series,
            samples: self.samples + other.samples,
            exemplars: self.exemplars + other.exemplars,
            histograms: self.histograms + other.histograms,
            metadata: self.metadata + other.metadata,
            stale_samples: self.stale_samples + other.stale_samples,
            stale_histograms: self.stale_histograms + other.stale_histograms,
            nan_samples: self.nan_samples + other.nan_samples,
        }
    }

    /// By prost's reading.
    fn of(message: &WriteRequest) -> Self {
        let entries = &message.timeseries;
        let values = || entries.iter().flat_map(|t| &t.samples).map(|s| s.value);
        let histograms = || entries.iter().flat_map(|t| &t.histograms);
        let stale = |value: &f64| value.to_bits() == STALE_NAN_BITS;
        Self {
            series: entries.len() as u64,
            samples: values().count() as u64,
            exemplars: entries.iter().map(|t| t.exemplars.len() as u64).sum(),
            histograms: histograms().count() as u64,
            metadata: message.metadata.len() as u64,
            stale_samples: values().filter(stale).count() as u64,
            stale_histograms: histograms().filter(|h| stale(&h.sum)).count() as u64,
            nan_samples: values().filter(|v| v.is_nan() && !stale(v)).count() as u64,
        }
    }
}

/// A recording: all its requests in order of arrival.
struct Recording {
    bodies: Vec<Body>,
    whole: bool,
}

impl Recording {
    fn read(folder: &Path, only: &str, whole: bool) -> Self {
        let index = std::fs::read_to_string(folder.join("index.jsonl")).unwrap();
        let rows = index
            .lines()
            .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap());
        let pool = BodyPool::new(1);
        let bodies = rows
            .filter(|row| row["file"].as_str().unwrap().starts_with(only))
            .map(|row| {
                let sent = std::fs::read(folder.join(row["file"].as_str().unwrap())).unwrap();
                let raw = pool.decompress(&sent, 32 << 20).unwrap();
                let count = |name: &str| row["counts"][name].as_u64().unwrap();
                let message = WriteRequest::decode(&*raw).unwrap();
                let counts = Counts {
                    series: count("series"),
                    samples: count("samples"),
                    exemplars: count("exemplars"),
                    histograms: count("histograms"),
                    metadata: count("metadata"),
                    stale_samples: count("stale_samples"),
                    stale_histograms: count("stale_histograms"),
                    nan_samples: count("nan_samples"),
                };
                assert_eq!(counts, Counts::of(&message), "{}", row["file"]);
                Body {
                    sent,
                    message,
                    replied: row["replied"].as_u64().unwrap_or(204),
                    counts,
                }
            })
            .collect();
        Self { bodies, whole }
    }

    fn of(folder: &str, chosen: &str) -> Self {
        let root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
        let all = root.join("../shared/captures").join(folder);
        if all.try_exists().unwrap() {
            Self::read(&all, "", true)
        } else {
            Self::read(&root.join("tests/data/write-1.0"), chosen, false)
        }
    }

    fn prometheus() -> Self {
        let recording = Self::of("prom-2.42/write", "prom-2.42");
        assert!(!recording.whole || recording.bodies.len() == 208);
        recording
    }

    fn vmagent() -> Self {
        let recording = Self::of("vmagent-1.79", "vmagent-1.79");
        assert!(!recording.whole || recording.bodies.len() == 300);
        recording
    }

    /// What a receiver has that lost nothing and was sent nothing twice.
    fn clean(&self) -> Vec<Body> {
        let taken = |b: &&Body| b.replied < 300;
        self.bodies.iter().filter(taken).cloned().collect()
    }

    /// What was sent and, where it was refused for the time being, sent again later. What the sender
    /// dropped for good (after 429, or 400) is left out, as it is in the clean order.
    fn with_retries(&self) -> Vec<Body> {
        let clean = self.clean();
        let again = |body: &Body| clean.iter().any(|c| c.sent == body.sent);
        let sent = |b: &&Body| b.replied < 300 || again(b);
        self.bodies.iter().filter(sent).cloned().collect()
    }
}

fn total(bodies: &[Body]) -> Counts {
    bodies
        .iter()
        .fold(Counts::default(), |sum, b| sum.plus(b.counts))
}

/// All that is left after a replay.
struct Outcome {
    held: BTreeMap<String, Held>,
    counters: Counters,
    scores: Vec<String>,
}

fn start(shards: usize, bodies: &[Body]) -> Saimon {
    let saimon = Saimon::with(|setup| {
        setup.shards = shards;
        // So that models have something to say within five minutes.
        setup.detect.warmup = 20;
        setup.detect.young = 40;
        // Which series have a forest when there are too few depends on who asks first.
        setup.detect.forest.memory = bytesize::ByteSize::mib(128);
    });
    let samples = bodies
        .iter()
        .flat_map(|b| &b.message.timeseries)
        .flat_map(|t| &t.samples);
    saimon
        .clock
        .set(samples.map(|s| s.timestamp).max().unwrap());
    saimon
}

fn outcome(saimon: &Saimon) -> Outcome {
    let mut scores: Vec<_> = saimon.scores().lines().map(str::to_owned).collect();
    scores.sort();
    Outcome {
        held: saimon.held(),
        counters: saimon.counters(),
        scores,
    }
}

fn replay(shards: usize, bodies: &[Body]) -> Outcome {
    let saimon = start(shards, bodies);
    send(&saimon, bodies);
    outcome(&saimon)
}

fn send(saimon: &Saimon, bodies: &[Body]) {
    let mut client = saimon.connect();
    for body in bodies {
        let response = client.post(WRITE_HEADERS, &body.sent);
        assert_eq!(response.status, 204, "{}", response.text());
    }
}

/// Panics, naming a few, unless both have the same series with the same samples and state.
#[track_caller]
fn same_state(a: &Outcome, b: &Outcome) {
    let names = |o: &Outcome| o.held.keys().cloned().collect::<Vec<_>>();
    assert!(names(a) == names(b), "the series are not the same");
    let differ: Vec<_> = a
        .held
        .iter()
        .filter(|(name, held)| b.held[*name] != **held)
        .map(|(name, held)| {
            let (a, b) = (held, &b.held[name]);
            format!(
                "{name}: {} and {} samples",
                a.samples.len(),
                b.samples.len()
            )
        })
        .collect();
    assert!(
        differ.is_empty(),
        "{} of {} differ, such as {:#?}",
        differ.len(),
        a.held.len(),
        &differ[..differ.len().min(5)]
    );
    assert!(a.scores == b.scores, "the pages of scores differ");
}

/// Samples received, by all outcomes together.
fn received(counters: &Counters) -> u64 {
    counters.outcomes().iter().map(|(_, n)| n).sum()
}

/// The samples that bodies bring for each series, in order, by names as in [`Outcome::held`].
fn brought(bodies: &[Body]) -> HashMap<String, Vec<(i64, u64)>> {
    let mut all: HashMap<_, Vec<_>> = HashMap::new();
    for entry in bodies.iter().flat_map(|b| &b.message.timeseries) {
        let samples = entry.samples.iter();
        all.entry(name(entry))
            .or_default()
            .extend(samples.map(|s| (s.timestamp, s.value.to_bits())));
    }
    all
}

fn name(entry: &v1::TimeSeries) -> String {
    let pairs = entry.labels.iter().map(|l| (&*l.name, &*l.value));
    labels::display(&labels::encode(pairs))
}

/// Sends body after body; after each, the counters must have grown by what the index says.
fn counts_are_exact(recording: &Recording) {
    let saimon = start(3, &recording.bodies);
    let mut client = saimon.connect();
    let mut sum = Counts::default();
    for body in &recording.bodies {
        assert_eq!(client.post(WRITE_HEADERS, &body.sent).status, 204);
        sum = sum.plus(body.counts);
        let counters = saimon.counters();
        assert_eq!(received(&counters), sum.samples);
        assert_eq!(counters.exemplars(), sum.exemplars);
        assert_eq!(counters.histograms(), sum.histograms);
    }
}

#[test]
fn counts_are_those_of_the_index() {
    counts_are_exact(&Recording::prometheus());
    counts_are_exact(&Recording::vmagent());
}

/// What is held after the clean order is exactly what was brought: nothing missing, nothing more,
/// but for late samples, which are counted.
fn everything_is_held(recording: &Recording) -> Outcome {
    let clean = recording.clean();
    let after = replay(3, &clean);
    let (mut late, mut seen) = (0, Counts::default());
    let (brought, mut natives) = (brought(&clean), brought_histograms(&clean));
    for (series, held) in &after.held {
        let mut newest = i64::MIN;
        // A classic histogram has no samples under its own name.
        let all = brought.get(series).map_or(&[][..], |all| all);
        let (kept, old): (Vec<_>, Vec<_>) = all.iter().partition(|(t, _)| {
            let newer = *t > newest;
            newest = newest.max(*t);
            newer
        });
        late += old.len() as u64;
        assert!(held.samples == kept, "{series}");
        let times: Vec<_> = held.histograms.iter().map(|h| h.timestamp_ms).collect();
        assert_eq!(
            times,
            natives.remove(series).unwrap_or_default(),
            "{series}"
        );
        let values = || held.samples.iter().map(|s| f64::from_bits(s.1));
        let stale = |v: &f64| v.to_bits() == STALE_NAN_BITS;
        seen.samples += held.samples.len() as u64;
        seen.stale_samples += values().filter(stale).count() as u64;
        seen.nan_samples += values().filter(|v| v.is_nan() && !stale(v)).count() as u64;
        seen.histograms += held.histograms.len() as u64;
        let ends = held.histograms.iter().filter(|h| h.stale);
        seen.stale_histograms += ends.count() as u64;
    }
    assert!(natives.is_empty());
    let sum = total(&clean);
    assert_eq!(received(&after.counters), sum.samples);
    assert_eq!(after.counters.outcome("late"), late);
    assert_eq!(seen.samples + late, sum.samples);
    if late == 0 {
        assert_eq!(seen.stale_samples, sum.stale_samples);
        assert_eq!(seen.nan_samples, sum.nan_samples);
    }
    assert_eq!(seen.histograms, sum.histograms);
    assert_eq!(seen.stale_histograms, sum.stale_histograms);
    after
}

/// The times of the native histograms that bodies bring for each series, in order.
fn brought_histograms(bodies: &[Body]) -> HashMap<String, Vec<i64>> {
    let mut all: HashMap<_, Vec<_>> = HashMap::new();
    for entry in bodies.iter().flat_map(|b| &b.message.timeseries) {
        if !entry.histograms.is_empty() {
            let times = entry.histograms.iter().map(|h| h.timestamp);
            all.entry(name(entry)).or_default().extend(times);
        }
    }
    all
}

#[test]
fn in_clean_order_every_sample_is_held_bit_for_bit() {
    let after = everything_is_held(&Recording::prometheus());
    assert_eq!(after.counters.outcome("late"), 0);
    assert_eq!(after.counters.outcome("duplicate"), 0);
    let recording = Recording::vmagent();
    let after = everything_is_held(&recording);
    if recording.whole {
        assert_eq!(after.counters.outcome("late"), 1_861);
    }
}

#[test]
fn retries_change_nothing() {
    let recording = Recording::prometheus();
    let (clean, retried) = (recording.clean(), recording.with_retries());
    assert!(!recording.whole || retried.len() > clean.len() + 5);
    let (a, b) = (replay(3, &clean), replay(3, &retried));
    same_state(&a, &b);
    let twice = total(&retried).samples - total(&clean).samples;
    assert_eq!(received(&b.counters), received(&a.counters) + twice);
    // vmagent's queues go on in parallel, so what it sends again comes after newer samples: who took
    // it the first time has more than who took it the second time.
    let recording = Recording::vmagent();
    let (clean, retried) = (recording.clean(), recording.with_retries());
    let (a, b) = (replay(3, &clean), replay(3, &retried));
    assert_eq!(received(&b.counters), total(&retried).samples);
    same_ends(&a, &b);
    let held = |o: &Outcome| o.held.values().map(|h| h.samples.len()).sum::<usize>();
    assert!(held(&b) >= held(&a));
    assert_eq!(received(&b.counters), total(&retried).samples);
}

#[test]
fn every_body_twice_changes_nothing() {
    for recording in [Recording::prometheus(), Recording::vmagent()] {
        let clean = recording.clean();
        let twice: Vec<_> = clean.iter().flat_map(|b| [b.clone(), b.clone()]).collect();
        let (a, b) = (replay(3, &clean), replay(3, &twice));
        same_state(&a, &b);
        assert_eq!(received(&b.counters), 2 * received(&a.counters));
        assert_eq!(
            b.counters.outcome("accepted"),
            a.counters.outcome("accepted")
        );
    }
}

/// The same entries in another order, those of one series in theirs.
fn shuffled_within(body: &Body, rng: &mut fastrand::Rng) -> Body {
    let mut message = body.message.clone();
    let mut by_series: HashMap<String, Vec<_>> = HashMap::new();
    for entry in message.timeseries.iter().rev() {
        by_series
            .entry(name(entry))
            .or_default()
            .push(entry.clone());
    }
    let mut order: Vec<_> = message.timeseries.iter().map(name).collect();
    rng.shuffle(&mut order);
    message.timeseries = order
        .iter()
        .map(|series| by_series.get_mut(series).unwrap().pop().unwrap())
        .collect();
    for entry in &mut message.timeseries {
        rng.shuffle(&mut entry.labels);
    }
    Body {
        sent: snappy(&message.encode_to_vec()),
        message,
        ..body.clone()
    }
}

/// Bodies in a random order in which no two that share a series have changed places; a body with
/// metadata stays where it is, because it says what the series are from there on.
fn interleaved(bodies: &[Body], rng: &mut fastrand::Rng) -> Vec<Body> {
    let mut last: HashMap<String, usize> = HashMap::new();
    let mut barrier = None;
    let mut waits = vec![0; bodies.len()];
    let mut then: Vec<Vec<usize>> = vec![Vec::new(); bodies.len()];
    for (i, body) in bodies.iter().enumerate() {
        let mut before: Vec<usize> = barrier.into_iter().collect();
        if body.message.metadata.is_empty() {
            for entry in &body.message.timeseries {
                before.extend(last.insert(name(entry), i).filter(|b| *b != i));
            }
        } else {
            before.extend(0..i);
            barrier = Some(i);
        }
        before.sort_unstable();
        before.dedup();
        waits[i] = before.len();
        for b in before {
            then[b].push(i);
        }
    }
    let mut ready: Vec<_> = (0..bodies.len()).filter(|i| waits[*i] == 0).collect();
    let mut order = Vec::new();
    while !ready.is_empty() {
        let next = ready.swap_remove(rng.usize(..ready.len()));
        order.push(bodies[next].clone());
        for after in &then[next] {
            waits[*after] -= 1;
            if waits[*after] == 0 {
                ready.push(*after);
            }
        }
    }
    assert_eq!(order.len(), bodies.len());
    order
}

#[test]
fn another_order_that_keeps_that_of_each_series_changes_nothing() {
    let mut rng = fastrand::Rng::with_seed(3);
    for recording in [Recording::prometheus(), Recording::vmagent()] {
        let clean = recording.clean();
        let shuffled: Vec<_> = interleaved(&clean, &mut rng)
            .iter()
            .map(|body| shuffled_within(body, &mut rng))
            .collect();
        assert!(shuffled.iter().zip(&clean).any(|(a, b)| a.sent != b.sent));
        let (a, b) = (replay(3, &clean), replay(3, &shuffled));
        same_state(&a, &b);
        assert_eq!(a.counters.outcomes(), b.counters.outcomes());
    }
}

/// The same series, each with the same newest sample.
#[track_caller]
fn same_ends(a: &Outcome, b: &Outcome) {
    let ends = |o: &Outcome| -> Vec<_> {
        let of = |(name, held): (&String, &Held)| (name.clone(), held.samples.last().copied());
        o.held.iter().map(of).collect()
    };
    assert!(ends(a) == ends(b));
}

#[test]
fn in_any_order_at_all_series_end_alike_and_nothing_is_lost_unseen() {
    for recording in [Recording::prometheus(), Recording::vmagent()] {
        let clean = recording.clean();
        let saimon = start(3, &clean);
        send(&saimon, &clean);
        let ordered = outcome(&saimon);
        let kinds = announced_kinds(&saimon, &clean);
        let brought: HashMap<_, HashSet<_>> = brought(&clean)
            .into_iter()
            .map(|(series, samples)| (series, samples.into_iter().collect()))
            .collect();
        for seed in [1, 2] {
            let mut rng = fastrand::Rng::with_seed(seed);
            let mut bodies = clean.clone();
            rng.shuffle(&mut bodies);
            let saimon = start(3, &clean);
            send(&saimon, &bodies);
            let shuffled = outcome(&saimon);
            same_ends(&ordered, &shuffled);
            assert_eq!(received(&shuffled.counters), total(&clean).samples);
            let sum = total(&clean);
            assert_eq!(shuffled.counters.exemplars(), sum.exemplars);
            assert_eq!(shuffled.counters.histograms(), sum.histograms);
            for (series, held) in &shuffled.held {
                assert!(held.samples.windows(2).all(|w| w[0].0 < w[1].0), "{series}");
                let came = |s| brought[series].contains(s);
                assert!(
                    held.samples.iter().all(came),
                    "{series} has what nobody sent"
                );
            }
            assert!(
                kinds == announced_kinds(&saimon, &clean),
                "metadata is the same"
            );
        }
    }
}

/// As what a new series of each announced family would be taken.
fn announced_kinds(saimon: &Saimon, bodies: &[Body]) -> Vec<(String, String)> {
    let families: std::collections::BTreeSet<_> = bodies
        .iter()
        .flat_map(|b| &b.message.metadata)
        .map(|m| m.metric_family_name.as_str())
        .collect();
    let request = families.iter().fold(v1::Request::new(), |request, family| {
        request.series(&[("__name__", family), ("probe", "1")], &[(1, 1.0)])
    });
    assert_eq!(saimon.write(&request).status, 204);
    let held = saimon.held();
    let probes = held.iter().filter(|(name, _)| name.contains("probe=\"1\""));
    probes
        .map(|(name, held)| (name.clone(), format!("{:?}", held.kind)))
        .collect()
}

#[test]
fn one_shard_and_eight_hold_the_same() {
    for recording in [Recording::prometheus(), Recording::vmagent()] {
        let clean = recording.clean();
        let (a, b) = (replay(1, &clean), replay(8, &clean));
        same_state(&a, &b);
        assert_eq!(a.counters.outcomes(), b.counters.outcomes());
    }
}

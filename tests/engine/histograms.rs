//! Histograms: parts in any order, four statistics, native ones, ends, and what `_sum` and `_count`
//! are without buckets.

use saimon::config::{DetectConfig, RuleConfig};
use saimon::series::labels;
use saimon::telemetry::Outcome;
use saimon::window::encoding::Encoding;
use saimon::wire::histogram::{BucketSpan, Counts, NativeHistogram};
use saimon::wire::write::STALE_NAN_BITS;

use crate::driver::Driver;

const STEP_MS: i64 = 15_000;
const LES: [&str; 5] = ["0.1", "0.5", "1", "5", "+Inf"];

pub(crate) fn detect() -> DetectConfig {
    DetectConfig {
        warmup: 20,
        ..DetectConfig::default()
    }
}

/// The parts of the histogram `name` of one instance: buckets, sum, count.
pub(crate) fn parts(name: &str, instance: usize) -> Vec<Vec<u8>> {
    let instance = format!("host-{instance}:80");
    let series = |suffix: &str, le: &str| {
        labels::encode([
            ("__name__", format!("{name}{suffix}").as_str()),
            ("instance", &instance),
            ("job", "web"),
            ("le", le),
        ])
    };
    let mut all: Vec<_> = LES.iter().map(|le| series("_bucket", le)).collect();
    all.push(series("_sum", ""));
    all.push(series("_count", ""));
    all
}

/// What they count at step `i`.
pub(crate) fn counts(i: i64) -> Vec<f64> {
    let n = 100 * (i + 1) + (i * 7) % 13;
    let slow = i + (i / 5);
    let shares = [n / 2, n - n / 5, n - n / 10 - slow / 4, n - slow / 8, n];
    let mut all: Vec<f64> = shares.iter().map(|n| *n as f64).collect();
    all.push(n as f64 * 0.3 + slow as f64);
    all.push(n as f64);
    all
}

pub(crate) fn scrape(parts: &[Vec<u8>], i: i64) -> Vec<(&[u8], i64, f64)> {
    parts
        .iter()
        .zip(counts(i))
        .map(|(labels, v)| (&labels[..], i * STEP_MS, v))
        .collect()
}

fn stats_shown(d: &Driver) -> Vec<String> {
    d.shown().into_keys().collect()
}

#[test]
fn a_classic_histogram_becomes_four_series_and_its_parts_none() {
    let mut d = Driver::new(1, &detect(), 100);
    let parts = parts("http_seconds", 0);
    for i in 0..60 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    let labels = |stat: &str| {
        format!(
            "{{instance=\"host-0:80\",job=\"web\",stat=\"{stat}\",source_metric=\"http_seconds\""
        )
    };
    let mut want: Vec<_> = ["rate", "mean", "p50", "p99"].map(labels).into();
    want.sort();
    assert_eq!(stats_shown(&d), want);
    // Five buckets by their names; sum and count as any counter.
    assert_eq!(d.outcome(Outcome::Window), 5 * 60);
    assert_eq!(d.outcome(Outcome::Accepted), 2 * 60);
    assert_eq!((d.phase("window"), d.phase("young")), (7, 4));
    // All parts are in the window under their own names, the statistics are not.
    let windows = d.chunks("{}");
    assert_eq!(windows.len(), 7);
    let samples: usize = windows
        .iter()
        .flat_map(|(_, c)| c)
        .map(|c| usize::from(c.samples))
        .sum();
    assert_eq!(samples, 7 * 60);
}

#[test]
fn a_jump_of_the_latency_is_an_anomaly_of_its_statistics() {
    let mut d = Driver::new(1, &detect(), 100);
    let parts = parts("http_seconds", 0);
    let mut extra = 0.0;
    for i in 0..1500 {
        let mut now = scrape(&parts, i);
        if i >= 1495 {
            // Everything of these intervals is slow.
            extra += 300.0;
            now[4].2 += extra;
            now[5].2 += extra * 8.0;
            now[6].2 += extra;
        }
        d.send(&now, i * STEP_MS);
    }
    let anomalous: Vec<_> = d
        .shown()
        .into_iter()
        .filter(|(_, (_, alarm))| alarm.contains("Active"))
        .map(|(text, _)| text)
        .collect();
    assert!(
        anomalous.iter().any(|t| t.contains("stat=\"mean\"")),
        "{anomalous:?}"
    );
    assert!(
        anomalous.iter().any(|t| t.contains("stat=\"rate\"")),
        "{anomalous:?}"
    );
}

/// Every split of scrapes into requests and every order within them, a scrape late at most.
#[test]
fn the_statistics_do_not_depend_on_how_the_parts_come() {
    let families: Vec<_> = (0..4).map(|n| parts("http_seconds", n)).collect();
    let mut whole = Driver::new(1, &detect(), 1000);
    for i in 0..80 {
        let all: Vec<_> = families.iter().flat_map(|f| scrape(f, i)).collect();
        whole.send(&all, i * STEP_MS);
    }
    let want = whole.shown();
    assert_eq!(want.len(), 16);
    for seed in 0..6 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let mut d = Driver::new(if seed % 2 == 0 { 1 } else { 8 }, &detect(), 1000);
        let mut held: Vec<(&[u8], i64, f64)> = Vec::new();
        for i in 0..80 {
            let mut now: Vec<_> = families.iter().flat_map(|f| scrape(f, i)).collect();
            rng.shuffle(&mut now);
            // Some parts come with the next scrape, those held back first.
            let keep = if i == 79 || i == 0 {
                0
            } else {
                rng.usize(0..now.len() / 2)
            };
            let later = now.split_off(now.len() - keep);
            let mut request = std::mem::replace(&mut held, later);
            request.append(&mut now);
            let cut = rng.usize(0..=request.len());
            d.send(&request[..cut], i * STEP_MS);
            d.send(&request[cut..], i * STEP_MS);
        }
        assert_eq!(d.shown(), want, "seed {seed}");
    }
}

#[test]
fn several_scrapes_in_one_request_are_put_together_one_by_one() {
    let parts = parts("http_seconds", 0);
    let (mut one, mut many) = (
        Driver::new(1, &detect(), 100),
        Driver::new(1, &detect(), 100),
    );
    for i in 0..60 {
        one.send(&scrape(&parts, i), i * STEP_MS);
    }
    for block in 0..6 {
        let mut samples: Vec<_> = (block * 10..block * 10 + 10)
            .flat_map(|i| scrape(&parts, i))
            .collect();
        // As a sender with one entry for each series has them.
        samples.sort_by_key(|(labels, ..)| *labels);
        many.send(&samples, block * 10 * STEP_MS);
    }
    assert_eq!(one.shown(), many.shown());
    assert_eq!(one.shown().len(), 4);
}

#[test]
fn sum_and_count_without_buckets_are_counters_until_buckets_come() {
    let mut d = Driver::new(1, &detect(), 100);
    let parts = parts("http_seconds", 0);
    for i in 0..30 {
        d.send(&scrape(&parts, i)[5..], i * STEP_MS);
    }
    assert_eq!(d.shown().len(), 2, "{:?}", d.shown());
    assert!(d.shards[0].track(&parts[5]).is_some());
    for i in 30..60 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    let shown = stats_shown(&d);
    assert_eq!(shown.len(), 4);
    assert!(shown.iter().all(|t| t.contains("stat=")), "{shown:?}");
    assert!(d.shards[0].track(&parts[5]).is_none());
    let windows = d.chunks("http_seconds_sum");
    assert_eq!(windows[0].1[0].samples, 60, "its window went on");
}

#[test]
fn a_histogram_ends_with_its_last_part_and_returns_without_a_new_warm_up() {
    let mut d = Driver::new(1, &detect(), 100);
    let parts = parts("http_seconds", 0);
    let stale = f64::from_bits(STALE_NAN_BITS);
    for i in 0..40 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    let mark: Vec<_> = parts
        .iter()
        .map(|l| (&l[..], 40 * STEP_MS, stale))
        .collect();
    d.send(&mark[..6], 40 * STEP_MS);
    assert_eq!(d.shown().len(), 4, "its count is still there");
    d.send(&mark[6..], 40 * STEP_MS);
    assert_eq!(d.shown().len(), 0);
    assert_eq!(d.outcome(Outcome::Stale), 7);
    for i in 41..44 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    assert_eq!(d.shown().len(), 4);
}

#[test]
fn a_bucket_that_ends_leaves_the_rest_to_go_on() {
    let mut d = Driver::new(1, &detect(), 100);
    let parts = parts("http_seconds", 0);
    for i in 0..40 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    let stale = f64::from_bits(STALE_NAN_BITS);
    let before = d.shown();
    for i in 40..60 {
        let mut now = scrape(&parts, i);
        if i == 40 {
            now[1].2 = stale;
        } else {
            now.remove(1);
        }
        d.send(&now, i * STEP_MS);
    }
    assert_ne!(d.shown(), before);
    assert_eq!(d.shown().len(), 4);
}

#[test]
fn rules_apply_to_the_statistics_by_their_labels() {
    let config = DetectConfig {
        rules: vec![RuleConfig {
            selector: "http_seconds{stat=~\"p50|mean\"}".to_owned(),
            model: Some(false),
            ..RuleConfig::default()
        }],
        ..detect()
    };
    let mut d = Driver::new(1, &config, 100);
    let parts = parts("http_seconds", 0);
    for i in 0..60 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    let shown = stats_shown(&d);
    assert_eq!(shown.len(), 2);
    assert!(shown[0].contains("stat=\"p99\"") && shown[1].contains("stat=\"rate\""));
}

#[test]
fn a_histogram_takes_the_room_of_four_and_gives_it_back() {
    let mut d = Driver::new(1, &detect(), 10);
    let parts = parts("http_seconds", 0);
    for i in 0..30 {
        d.send(&scrape(&parts, i), i * STEP_MS);
    }
    // Five buckets and four; then one more.
    assert_eq!(d.outcome(Outcome::Limit), 30);
    assert!(d.shown().is_empty() || d.shown().len() == 4);
    let later = 30 * STEP_MS + 8 * 86_400_000;
    (0..60).for_each(|_| d.shards[0].tick(later));
    assert_eq!(d.shards[0].len(), 0);
    for phase in ["warmup", "young", "mature", "ended", "window", "history"] {
        assert_eq!(d.phase(phase), 0, "{phase}");
    }
    let snapshots = d.snapshots();
    assert!(snapshots.iter().all(|g| g.state.is_empty()));
    let others: Vec<_> = (0..10)
        .map(|i| labels::encode([("__name__", "up"), ("instance", format!("{i}").as_str())]))
        .collect();
    let round: Vec<_> = others.iter().map(|l| (&l[..], later, 1.0)).collect();
    d.send(&round, later);
    assert_eq!(d.outcome(Outcome::Accepted), 30 + 10);
}

/// An integer histogram with three buckets that grow.
pub(crate) fn native(i: i64) -> NativeHistogram {
    let n = [
        40 * (i + 1),
        50 * (i + 1) + i % 3,
        10 * (i + 1) + (i * 7) % 5,
    ];
    NativeHistogram {
        schema: 0,
        zero_threshold: 1e-128,
        sum: n[0] as f64 * 0.4 + n[1] as f64 * 0.8 + n[2] as f64 * 1.7,
        positive_spans: vec![BucketSpan {
            offset: -1,
            length: 3,
        }],
        counts: Counts::Integer {
            count: n.iter().sum::<i64>() as u64,
            zero: 0,
            positive: vec![n[0], n[1] - n[0], n[2] - n[1]],
            negative: Vec::new(),
        },
        timestamp_ms: i * STEP_MS,
        ..NativeHistogram::default()
    }
}

/// A stranger chooses how many buckets a histogram has, and each is memory.
#[test]
fn many_native_buckets_take_room_and_give_it_back() {
    let wide = |i: i64, buckets: u32| NativeHistogram {
        positive_spans: vec![BucketSpan {
            offset: 0,
            length: buckets,
        }],
        counts: Counts::Integer {
            count: u64::from(buckets),
            zero: 0,
            positive: (0..i64::from(buckets)).map(|b| i64::from(b == 0)).collect(),
            negative: Vec::new(),
        },
        ..native(i)
    };
    let mut d = Driver::new(1, &detect(), 10);
    let labels = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    let others = labels::encode([("__name__", "size_bytes"), ("job", "web")]);
    for (i, buckets) in [3, 240, 800, 240, 3].into_iter().enumerate() {
        let i = i as i64;
        d.native(&labels, &wide(i, buckets), i * STEP_MS);
    }
    // Four and three; 800 would be ten.
    assert_eq!(d.histograms(Outcome::Accepted), 4);
    assert_eq!(d.histograms(Outcome::Limit), 1);
    d.native(&others, &wide(0, 3), 0);
    assert_eq!(d.histograms(Outcome::Limit), 2);

    let later = 8 * 86_400_000;
    (0..60).for_each(|_| d.shards[0].tick(later));
    assert_eq!(d.shards[0].len(), 0);
    // One that has no room for its first sample leaves nothing.
    d.native(&others, &wide(0, 800), later);
    assert_eq!((d.histograms(Outcome::Limit), d.shards[0].len()), (3, 0));
    d.native(&others, &wide(0, 480), later);
    assert_eq!(d.histograms(Outcome::Accepted), 5);
}

#[test]
fn a_native_histogram_becomes_the_same_four_series() {
    let mut d = Driver::new(2, &detect(), 100);
    let labels = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    for i in 0..300 {
        d.native(&labels, &native(i), i * STEP_MS);
    }
    let shown = stats_shown(&d);
    assert_eq!(shown.len(), 4, "{shown:?}");
    assert!(shown[0].starts_with("{job=\"web\",stat=\"mean\",source_metric=\"rpc_seconds\""));
    assert_eq!(d.histograms(Outcome::Accepted), 300);
    d.native(&labels, &native(299), 0);
    let mut other = native(299);
    other.sum += 1.0;
    d.native(&labels, &other, 0);
    d.native(&labels, &native(200), 0);
    assert_eq!(d.histograms(Outcome::Duplicate), 1);
    assert_eq!(d.histograms(Outcome::Conflict), 1);
    assert_eq!(d.histograms(Outcome::Late), 1);
    let windows = d.chunks("{}");
    let kept: usize = windows[0].1.iter().map(|c| usize::from(c.samples)).sum();
    assert_eq!((windows.len(), kept), (1, 300));
    assert!(
        windows[0]
            .1
            .iter()
            .all(|c| c.encoding == Encoding::Histogram)
    );

    let stale = NativeHistogram {
        sum: f64::from_bits(STALE_NAN_BITS),
        timestamp_ms: 300 * STEP_MS,
        ..NativeHistogram::default()
    };
    d.native(&labels, &stale, 300 * STEP_MS);
    assert_eq!((d.shown().len(), d.histograms(Outcome::Stale)), (0, 1));
    for i in 301..304 {
        d.native(&labels, &native(i), i * STEP_MS);
    }
    assert_eq!(d.shown().len(), 4, "it returns without a new warm-up");
}

#[test]
fn a_float_staleness_marker_ends_a_native_histogram() {
    let mut d = Driver::new(1, &detect(), 100);
    let labels = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    for i in 0..30 {
        d.native(&labels, &native(i), i * STEP_MS);
    }
    assert_eq!(d.shown().len(), 4);
    d.one(&labels, 30 * STEP_MS, f64::from_bits(STALE_NAN_BITS));
    assert_eq!((d.shown().len(), d.outcome(Outcome::Stale)), (0, 1));
}

#[test]
fn native_samples_win_over_classic_ones_of_the_same_histogram() {
    let own = labels::encode([
        ("__name__", "http_seconds"),
        ("instance", "host-0:80"),
        ("job", "web"),
    ]);
    let parts = parts("http_seconds", 0);
    let (mut both, mut alone) = (
        Driver::new(1, &detect(), 100),
        Driver::new(1, &detect(), 100),
    );
    for i in 0..50 {
        let h = native(i);
        alone.native(&own, &h, i * STEP_MS);
        both.request(&scrape(&parts, i), &[], &[(&own, &h)], i * STEP_MS);
    }
    assert_eq!(alone.shown().len(), 4);
    assert_eq!(both.shown(), alone.shown());
}

#[test]
fn one_label_set_may_have_floats_and_histograms_and_one_order_of_time() {
    let mut d = Driver::new(1, &detect(), 100);
    let labels = labels::encode([("__name__", "mixed"), ("job", "web")]);
    for i in 0..60 {
        if i % 20 < 10 {
            d.one(&labels, i * STEP_MS, i as f64);
        } else {
            d.native(&labels, &native(i), i * STEP_MS);
        }
    }
    assert_eq!(d.outcome(Outcome::Accepted), 30);
    assert_eq!(d.histograms(Outcome::Accepted), 30);
    d.native(&labels, &native(45), 0);
    d.one(&labels, 50 * STEP_MS, 0.0);
    assert_eq!(
        (d.histograms(Outcome::Late), d.outcome(Outcome::Late)),
        (1, 1)
    );
    let (_, mut chunks) = d.chunks("{}").remove(0);
    chunks.sort_by_key(|c| c.first_ms);
    assert_eq!(chunks.len(), 6);
    for pair in chunks.windows(2) {
        assert!(pair[0].last_ms < pair[1].first_ms && pair[0].encoding != pair[1].encoding);
    }
    let stored = d.snapshots();
    let mut again = Driver::restored(1, &detect(), 100, &stored);
    again.one(&labels, 60 * STEP_MS, 1.0);
    again.native(&labels, &native(61), 61 * STEP_MS);
    assert_eq!(
        again.outcome(Outcome::Accepted) + again.histograms(Outcome::Accepted),
        2
    );
}

#[test]
fn a_known_start_makes_a_rate_of_the_first_sample() {
    let mut d = Driver::new(1, &detect(), 100);
    let c = labels::encode([("__name__", "jobs_total"), ("job", "x")]);
    let gauge = labels::encode([("__name__", "jobs"), ("job", "x")]);
    for i in 0..25 {
        // A process for every sample: each starts to count anew.
        let t = (i + 1) * STEP_MS;
        let rows = [(&gauge[..], t, 5.0), (&c[..], t, 30.0 + (i % 3) as f64)];
        d.request(&rows, &[(1, t - 10_000)], &[], t);
    }
    assert_eq!(d.metrics.resets.get(), 0);
    assert!(
        d.shown().keys().any(|t| t.contains("jobs_total")),
        "25 rates"
    );
}

//! What is said again of the statistics of histograms is what was said of them when they came.

use std::sync::Arc;

use saimon::config::{DetectConfig, RuleConfig};
use saimon::engine::keep::{ClosedChunk, GroupSnapshot};
use saimon::engine::pool::Engine;
use saimon::engine::rules::Rules;
use saimon::engine::shard::Renewal;
use saimon::series::labels;
use saimon::window::encoding::Encoding;
use saimon::wire::write::STALE_NAN_BITS;

use crate::histograms::{detect, native, parts, scrape};
use crate::recall::Live;
use crate::windows::Given;

const STEP_MS: i64 = 15_000;

/// A step when what was observed is far from usual.
fn is_odd(i: i64) -> bool {
    i % 170 == 120
}

/// Three classic histograms and a native one. Of the first a bucket ends now and then and comes back,
/// and some parts come late; the second ends and comes back; of the third nothing is observed for
/// long; the native one begins to count anew.
fn play(live: &mut Live, steps: std::ops::Range<i64>) {
    let classic: Vec<_> = (0..3).map(|n| parts("http_seconds", n)).collect();
    let name = labels::encode([("__name__", "rpc_seconds"), ("job", "web")]);
    let stale = f64::from_bits(STALE_NAN_BITS);
    let end = steps.end;
    let mut late: Vec<(&[u8], i64, f64)> = Vec::new();
    for i in steps {
        let t_ms = i * STEP_MS;
        let mut now = std::mem::take(&mut late);
        let mut first = scrape(&classic[0], i);
        if is_odd(i) {
            first[5].2 += 500.0;
        }
        if i % 90 == 70 {
            first[1].2 = stale;
        } else if i % 90 == 71 {
            first.remove(1);
        }
        if i % 7 == 3 && i + 1 < end {
            late = first.split_off(4);
        }
        now.extend(first);
        let mut second = scrape(&classic[1], i);
        match i % 200 {
            160 => second.iter_mut().for_each(|s| s.2 = stale),
            161..170 => second.clear(),
            _ => {}
        }
        now.extend(second);
        // It stays as it was for two thirds of the time.
        let at = i - i % 150 + (i % 150).min(50);
        now.extend(
            scrape(&classic[2], at)
                .into_iter()
                .map(|s| (s.0, t_ms, s.2)),
        );
        live.send(&now, &[], t_ms);
        let mut histogram = native(i % 260);
        histogram.timestamp_ms = t_ms;
        if i % 260 == 0 {
            histogram.start_ms = t_ms - STEP_MS / 2;
        }
        live.running.request(&[], &[(&name, &histogram)], t_ms);
        if i % 10 == 9 {
            live.listen();
        }
    }
    live.settle(end * STEP_MS);
}

/// Bytes of anchors as a store packs them.
fn anchored(groups: &[GroupSnapshot]) -> usize {
    let chunks = groups.iter().flat_map(|g| g.chunks.iter());
    let anchors = chunks.filter(|c| c.encoding == Encoding::Anchor);
    let packed = |c: &ClosedChunk| zstd::bulk::compress(&c.bytes, 3).unwrap().len();
    anchors.map(packed).sum()
}

fn statistics(live: &Live) -> usize {
    let of = |text: &&String| text.contains("stat=");
    live.spoken.keys().filter(of).count()
}

#[test]
fn what_is_said_again_of_statistics_is_what_was_said_over_checkpoints_and_restarts() {
    let past = Arc::new(Given::default());
    let mut live = Live::start(&detect(), &past, &[]);
    play(&mut live, 0..60);
    live.same((i64::MIN, i64::MAX));
    play(&mut live, 60..400);
    let groups = live.checkpoint();
    live.same((0, 400 * STEP_MS));
    // What comes after the checkpoint is lost, and taken again.
    let spoken = live.spoken.clone();
    play(&mut live, 400..430);
    drop(live);
    let mut live = Live::start(&detect(), &past, &groups);
    live.spoken = spoken;
    play(&mut live, 400..1150);
    live.same((0, i64::MAX));
    let bytes = anchored(&groups) + anchored(&live.checkpoint());
    // Seven parts of each of three, and a native one.
    let samples = 1150 * (3 * 7 + 1);
    assert!(bytes < 2 * samples, "{bytes} bytes for {samples} samples");
    live.same((590 * STEP_MS, 700 * STEP_MS));
    live.same((1140 * STEP_MS, i64::MAX));
    assert_eq!(statistics(&live), 16, "{:?}", live.spoken.keys());
    let mean = labels_of("mean", 0);
    let mean = &live.spoken[&mean];
    assert!(
        mean.iter()
            .any(|(_, b)| b.is_some_and(|b| f64::from_bits(b[0]) >= 0.7))
    );
    let ended = live.spoken[&labels_of("rate", 1)].iter();
    assert_eq!(ended.filter(|(_, b)| b.is_none()).count(), 5);
}

fn labels_of(stat: &str, instance: usize) -> String {
    format!("http_seconds{{instance=\"host-{instance}:80\", job=\"web\", stat=\"{stat}\"}}")
}

#[test]
fn what_other_rules_said_of_statistics_is_said_again_under_them() {
    let other = DetectConfig {
        rules: vec![RuleConfig {
            selector: "http_seconds{stat=\"mean\"}".to_owned(),
            min_deviation: Some(0.5),
            ..RuleConfig::default()
        }],
        ..detect()
    };
    let past = Arc::new(Given::default());
    let mut live = Live::start(&detect(), &past, &[]);
    play(&mut live, 0..130);
    let renewal = Renewal {
        rules: Arc::new(Rules::try_from(&other).unwrap()),
        series_max: 1000,
        memory_max: None,
        wants_history: true,
    };
    let senders = &live.running.engine().senders;
    live.running
        .runtime
        .block_on(Engine::renew(senders, &renewal));
    play(&mut live, 130..260);
    live.same((i64::MIN, i64::MAX));
    let (groups, spoken) = (live.checkpoint(), live.spoken.clone());
    drop(live);
    let strict = DetectConfig {
        line: detect().line * 2.0,
        ..detect()
    };
    let mut live = Live::told(&strict, &past, &groups, false, |pool| {
        let rules = |d: &DetectConfig| Rules::try_from(d).unwrap();
        pool.rules_before(vec![rules(&other), rules(&detect())]);
        pool.rules_were(Some(rules(&other)));
    });
    live.spoken = spoken;
    play(&mut live, 260..390);
    live.same((i64::MIN, i64::MAX));
}

#[test]
fn the_band_of_a_statistic_is_the_one_that_was_there() {
    let past = Arc::new(Given::default());
    let mut live = Live::with_bands(&detect(), &past, &[], true);
    play(&mut live, 0..60);
    live.same((30 * STEP_MS, i64::MAX));
}

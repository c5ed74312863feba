//! saimon killed again and again while it sends.

use std::collections::{BTreeMap, HashSet};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};

use crate::feed::{Feed, config, eventually};
use crate::receiver::{Does, Labels, Received, Receiver};
use crate::serving::Serving;

const KILLS: usize = 6;
const ROUNDS: i64 = 240;
const SERIES: usize = 60;
const LANES: usize = 3;

type All = BTreeMap<Labels, Vec<(i64, u64)>>;

/// Samples by series in order of arrival. A request that was taken twice, byte for byte, counts once:
/// the first time saimon did not live to hear the answer.
fn by_series(taken: &[Received]) -> (All, usize) {
    let (mut all, mut again, mut seen) = (All::new(), 0, HashSet::new());
    for request in taken {
        if !seen.insert(request.body.clone()) {
            again += 1;
            continue;
        }
        for (labels, t_ms, bits) in request.samples() {
            all.entry(labels).or_default().push((t_ms, bits));
        }
    }
    (all, again)
}

fn outputs(receiver: &Receiver) -> String {
    format!(
        "    - url: {}\n      name: r\n      series: [score, expected, bounds, deviation, rarity]\n      queue_config: {{max_shards: {LANES}, max_samples_per_send: 500, batch_send_deadline: 20ms, max_backoff: 50ms}}\n      metadata_config: {{send: false}}\n",
        receiver.url()
    )
}

/// Six series for each that is fed, five of them whole and one with an end, all in order.
fn complete(receiver: &Receiver, feed: &Feed) -> Result<(All, usize), String> {
    let (all, again) = by_series(&receiver.taken());
    let expected = feed.times(ROUNDS);
    let got: usize = all.values().map(Vec::len).sum();
    if all.len() < SERIES * 6 || got < SERIES * 6 * expected.len() {
        return Err(format!("{} series, {got} samples", all.len()));
    }
    Ok((all, again))
}

#[test]
fn nothing_is_lost_doubled_or_out_of_order_over_kills_and_failures() {
    let base_ms = SystemClock.now_ms() - 3 * 3_600_000;
    let feed = Feed {
        series: SERIES,
        base_ms,
    };
    // One that fails now and then, before saimon that is killed ...
    let flaky = Receiver::start(|number, _| match number % 23 {
        3 => Does::Answers(503, "retry-after: 0\r\n"),
        7 => Does::Closes,
        11 => Does::Answers(429, ""),
        _ => Does::Writes,
    });
    let folder = tempfile::tempdir().unwrap();
    let path = config(folder.path(), &outputs(&flaky));
    let data = folder.path().join("data");
    let start = || Serving::start_with(&data, "127.0.0.1:0", &["--config", &path]);
    let sent = AtomicI64::new(0);
    let mut rng = fastrand::Rng::with_seed(7);
    let mut saimon = start();
    for kill in 0..=KILLS {
        let last = kill == KILLS;
        let address: SocketAddr = saimon.address;
        std::thread::scope(|scope| {
            let feeding = scope.spawn(|| {
                while sent.load(Ordering::Relaxed) < ROUNDS {
                    let round = sent.load(Ordering::Relaxed);
                    let fed = std::panic::catch_unwind(|| feed.send(address, round, None));
                    if !fed.unwrap_or(false) {
                        return;
                    }
                    sent.store(round + 1, Ordering::Relaxed);
                    std::thread::sleep(Duration::from_millis(10));
                }
            });
            if last {
                feeding.join().unwrap();
            } else {
                std::thread::sleep(Duration::from_millis(rng.u64(300..900)));
                // Dropping it kills it.
                let old = std::mem::replace(&mut saimon, placeholder());
                drop(old);
                feeding.join().unwrap();
            }
        });
        if !last {
            saimon = start();
        }
    }
    let (all, again) = eventually("all there", || complete(&flaky, &feed));
    assert!(again <= KILLS * LANES, "{again} requests sent again");
    let expected = feed.times(ROUNDS);
    for (labels, samples) in &all {
        let times: Vec<i64> = samples.iter().map(|(t, _)| *t).collect();
        assert_eq!(times, expected, "{labels:?}");
    }
    for reason in ["refused", "full", "damaged", "overload", "disk", "labels"] {
        let begins = format!("saimon_output_dropped_total{{receiver=\"r\",reason=\"{reason}\"}}");
        assert_eq!(saimon.sum(&begins), 0, "{reason}");
    }
    // ... and one that never was gives the same, bit for bit.
    let steady = Receiver::start(|_, _| Does::Writes);
    let other = tempfile::tempdir().unwrap();
    let path = config(other.path(), &outputs(&steady));
    let twin = Serving::start_with(
        &other.path().join("data"),
        "127.0.0.1:0",
        &["--config", &path, "--shards", "3"],
    );
    for round in 0..ROUNDS {
        assert!(feed.send(twin.address, round, None));
    }
    let (twins, again) = eventually("all there", || complete(&steady, &feed));
    assert_eq!(again, 0);
    assert!(twins == all, "scores differ");
}

/// Something to put in the place of one that is killed.
fn placeholder() -> Serving {
    let folder = tempfile::tempdir().unwrap();
    Serving::start(folder.path())
}

/// What is there at a stop is sent at the next start, if nobody took it before.
#[test]
fn a_stop_sends_what_it_can_and_a_start_the_rest() {
    let base_ms = SystemClock.now_ms() - 3 * 3_600_000;
    let feed = Feed { series: 5, base_ms };
    let folder = tempfile::tempdir().unwrap();
    let down = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = down.local_addr().unwrap();
    drop(down);
    let output = |url: String| {
        format!(
            "    - url: {url}\n      name: r\n      queue_config: {{batch_send_deadline: 1m}}\n"
        )
    };
    let data = folder.path().join("data");
    let path = config(
        folder.path(),
        &output(format!("http://{address}/api/v1/write")),
    );
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &path]);
    for round in 0..30 {
        assert!(feed.send(saimon.address, round, None));
    }
    saimon.settled(150);
    let (code, log) = saimon.terminate();
    assert_eq!(code, 0, "{log:?}");
    let receiver = Receiver::start(|_, _| Does::Writes);
    let path = config(folder.path(), &output(receiver.url()));
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &path]);
    // The series end: that is sent too, by the stop, long before the deadline of a minute.
    assert!(feed.send(saimon.address, 30, Some(2)));
    saimon.settled(5);
    let (code, log) = saimon.terminate();
    assert_eq!(code, 0, "{log:?}");
    let (all, again) = by_series(&receiver.taken());
    assert_eq!((all.len(), again), (5, 0));
    for (i, (labels, samples)) in all.iter().enumerate() {
        let times: Vec<i64> = samples.iter().map(|(t, _)| *t).collect();
        assert_eq!(times, feed.times(31), "{labels:?}");
        let ends = samples
            .iter()
            .filter(|(_, bits)| *bits == 0x7ff0_0000_0000_0002);
        assert_eq!(ends.count(), usize::from(i < 2), "{labels:?}");
        assert_eq!(
            labels,
            &[
                ("__name__".to_owned(), "saimon_anomaly_score".to_owned()),
                ("n".to_owned(), format!("{i:04}")),
                ("source_metric".to_owned(), "fed".to_owned()),
            ]
        );
    }
}

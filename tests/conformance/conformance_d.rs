//! D. Answers to remote write, and what became of the samples.

use std::time::Duration;

use saimon::config::RuleConfig;

use crate::serving::Serving;
use crate::support::raw::{self, Raw};
use crate::support::{
    NOW_MS, Response, Saimon, Setup, WRITE_HEADERS, bits, histogram, labels, snappy, v1, v2,
};

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];
const H: &[(&str, &str)] = &[("__name__", "request_seconds")];
const NAMELESS: &[(&str, &str)] = &[("job", "nameless")];

fn up(samples: &[(i64, f64)]) -> v1::Request {
    v1::Request::new().series(UP, samples)
}

fn is_without_counts(response: &Response) -> bool {
    let written = |(name, _): &(String, String)| name.contains("-written");
    !response.headers.iter().any(written)
}

#[test]
fn item_059_the_2_0_answer_says_exactly_how_much_was_written() {
    let saimon = Saimon::start();
    let request = v2::Request::new()
        .series(UP, &[(NOW_MS, 1.0), (NOW_MS + 1, 2.0)])
        .histogram(H, histogram::integer(NOW_MS))
        .histogram(H, histogram::integer(NOW_MS + 1))
        .histogram(H, histogram::float(NOW_MS + 2))
        .exemplar(UP, &[("trace_id", "x")], NOW_MS, 1.0)
        .series(&[("__name__", "load")], &[(NOW_MS, 1.0)]);
    let response = saimon.write_v2(&request);
    assert_eq!(response.status, 204);
    assert_eq!(v2::written(&response), Some((3, 3, 1)));
    // With one series that cannot be taken, with all that it carries.
    let request = request
        .entry(NAMELESS, |request, entry| {
            entry.samples = v2::sampled(&[(NOW_MS, 1.0)]);
            let exemplar = request.an_exemplar(&[("trace_id", "x")], NOW_MS, 1.0);
            entry.exemplars.push(exemplar);
        })
        .histogram(NAMELESS, histogram::integer(NOW_MS));
    let response = saimon.write_v2(&request);
    assert_eq!(response.status, 400);
    assert_eq!(v2::written(&response), Some((3, 3, 1)));
    // Nothing was written of what cannot be read.
    let broken = saimon.connect().post(v2::HEADERS, &snappy(&[0x2a, 0x7f]));
    assert_eq!(broken.status, 400);
    assert!([None, Some((0, 0, 0))].contains(&v2::written(&broken)));
}

#[test]
fn item_060_the_1_0_answer_has_no_counts() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let good = up(&[(NOW_MS, 1.0)]).histogram(H, histogram::v1(&histogram::integer(NOW_MS)));
    let partial = good.clone().series(NAMELESS, &[(NOW_MS, 1.0)]);
    for (body, status) in [
        (good.body(), 204),
        (b"\0".to_vec(), 204),
        (partial.body(), 400),
        (b"\xff".to_vec(), 400),
    ] {
        // Whatever version the sender claims.
        for version in ["", "x-prometheus-remote-write-version: 2.0.0\r\n"] {
            let headers = format!("content-encoding: snappy\r\n{version}");
            let response = client.post(&headers, &body);
            assert_eq!(response.status, status);
            assert!(is_without_counts(&response), "{:?}", response.headers);
        }
    }
}

#[test]
fn item_061_what_is_ignored_on_purpose_counts_as_written() {
    let ignoring = |setup: &mut Setup| {
        setup.limits.series = 2;
        setup.detect.rules = vec![RuleConfig {
            selector: "{job=\"ignored\"}".to_owned(),
            model: Some(false),
            ..RuleConfig::default()
        }];
    };
    let saimon = Saimon::with(ignoring);
    let ignored: [&[(&str, &str)]; 7] = [
        &[("__name__", "load"), ("job", "ignored")],
        &[("__name__", "saimon_anomaly_score"), ("job", "a")],
        &[("__name__", "x_bucket"), ("le", "1")],
        &[("__name__", "node_info")],
        &[("__name__", "ALERTS"), ("alertname", "x")],
        &[("__name__", "scrape_duration_seconds")],
        &[("__name__", "x_created")],
    ];
    for series in ignored {
        let request = v2::Request::new().series(series, &[(NOW_MS, 1.0), (NOW_MS + 1, 2.0)]);
        let response = saimon.write_v2(&request);
        assert_eq!(response.status, 204, "{series:?}: {}", response.text());
        assert_eq!(v2::written(&response), Some((2, 0, 0)), "{series:?}");
        // The same again, and older ones: nothing new in them, but nothing wrong either.
        let response = saimon.write_v2(&request);
        assert_eq!(v2::written(&response), Some((2, 0, 0)), "{series:?} again");
    }
    // More series than there is room for.
    for i in 0..5 {
        let name = format!("m{i}");
        let request = v2::Request::new().series(&[("__name__", &name)], &[(NOW_MS, 1.0)]);
        let response = saimon.write_v2(&request);
        assert_eq!(
            (response.status, v2::written(&response)),
            (204, Some((1, 0, 0)))
        );
    }
    assert!(saimon.counters().outcome("limit") > 0);
    let request = v2::Request::new().histogram(
        &[("__name__", "seconds"), ("job", "ignored")],
        histogram::integer(NOW_MS),
    );
    assert_eq!(v2::written(&saimon.write_v2(&request)), Some((0, 1, 0)));
}

#[test]
fn item_062_of_a_request_with_a_bad_series_the_rest_is_ingested() {
    let saimon = Saimon::start();
    let series = |i: usize| [("__name__", "m"), ("i", ["0", "1", "2", "3"][i])];
    let request = v2::Request::new()
        .series(&series(0), &[(NOW_MS, 1.0)])
        .series(&series(1), &[(NOW_MS, 2.0)])
        .series(NAMELESS, &[(NOW_MS, 3.0)])
        .series(&series(2), &[(NOW_MS, 4.0)]);
    let response = saimon.write_v2(&request);
    assert_eq!(response.status, 400);
    assert_eq!(v2::written(&response), Some((3, 0, 0)));
    for (i, value) in [(0, 1.0), (1, 2.0), (2, 4.0)] {
        let held = saimon.samples(&labels(&series(i)));
        assert_eq!(held, bits(&[(NOW_MS, value)]), "{i}");
    }
    assert_eq!(saimon.held().len(), 3);
    // 1.0 has no notion of it, and the same happens.
    let request = v1::Request::new()
        .series(NAMELESS, &[(NOW_MS, 1.0)])
        .series(&series(0), &[(NOW_MS + 1, 5.0)]);
    assert_eq!(saimon.write(&request).status, 400);
    assert_eq!(saimon.samples(&labels(&series(0))).len(), 2);
    let counters = saimon.counters();
    assert_eq!(counters.outcomes(), [("accepted", 4), ("refused", 2)]);
}

/// Entries that cannot be taken, by what is wrong with them.
fn invalid() -> Vec<(&'static str, Raw)> {
    let entry = |labels: &[(&[u8], &[u8])]| raw::series(labels, NOW_MS, 1.0);
    vec![
        ("no name", entry(&[(b"job", b"x")])),
        ("no labels", entry(&[])),
        (
            "a label twice",
            entry(&[(b"__name__", b"x"), (b"a", b"1"), (b"a", b"2")]),
        ),
        ("not utf-8", entry(&[(b"__name__", b"x"), (b"a", b"\xff")])),
        (
            "a label without a name",
            entry(&[(b"__name__", b"x"), (b"", b"1")]),
        ),
        (
            "a long name",
            entry(&[(b"__name__", b"x"), (&[b'n'; 70_000], b"1")]),
        ),
        (
            "a long value",
            entry(&[(b"__name__", b"x"), (b"a", &[b'v'; 70_000])]),
        ),
        (
            "the future",
            raw::series(&[(b"__name__", b"x")], NOW_MS + 3_600_000, 1.0),
        ),
        (
            "the end of time",
            raw::series(&[(b"__name__", b"x")], i64::MAX, 1.0),
        ),
    ]
}

#[test]
fn item_063_a_request_of_which_something_is_refused_never_gets_2xx() {
    let saimon = Saimon::start();
    let good = raw::series(&[(b"__name__", b"good")], NOW_MS, 1.0);
    for (what, bad) in invalid() {
        for order in [[&good, &bad], [&bad, &good]] {
            let body = order
                .into_iter()
                .fold(Raw::new(), |body, entry| body.message(1, entry));
            let response = saimon.connect().post(WRITE_HEADERS, &snappy(&body.0));
            assert_eq!(response.status, 400, "{what}");
        }
    }
    for (what, bad) in histogram::bad(NOW_MS) {
        let request = v2::Request::new()
            .series(UP, &[(NOW_MS, 1.0)])
            .histogram(H, bad);
        assert_eq!(saimon.write_v2(&request).status, 400, "{what}");
    }
    let far = v2::Request::new().histogram(H, histogram::integer(NOW_MS + 3_600_000));
    assert_eq!(
        saimon.write_v2(&far).status,
        400,
        "a histogram from the future"
    );
    let held: Vec<_> = saimon.held().into_keys().collect();
    assert_eq!(held, ["good", "up{job=\"a\"}"]);
}

#[test]
fn item_064_errors_are_short_plain_text_with_names_and_totals_and_quiet_in_the_log() {
    let saimon = Saimon::start();
    let long = "x".repeat(8_000);
    let many = (0..500).fold(up(&[(NOW_MS, 1.0)]), |request, i| {
        let job = format!("nameless-{i}-\"ü\n{long}");
        let cut = if i < 10 { &job[..] } else { &job[..40] };
        request.series(&[("job", cut)], &[(NOW_MS, 1.0), (NOW_MS + 1, 1.0)])
    });
    let v2_many = (0..500).fold(v2::Request::new(), |request, i| {
        request.series(&[("job", &format!("nameless-{i}"))], &[(NOW_MS, 1.0)])
    });
    let mut client = saimon.connect();
    for (response, total) in [
        (client.post(WRITE_HEADERS, &many.body()), "1000"),
        (client.post(v2::HEADERS, &v2_many.body()), "500"),
    ] {
        assert_eq!(response.status, 400);
        let content_type = response.header("content-type").unwrap();
        assert!(content_type.starts_with("text/plain"), "{content_type}");
        assert!(response.body.len() <= 1024, "{}", response.body.len());
        let text = response.text();
        assert_eq!(text.trim_end().lines().count(), 1, "one line: {text}");
        assert!(
            text.contains("nameless-0") && text.contains("500"),
            "{text}"
        );
        assert!(text.contains(total), "{text}");
        assert!(text.contains("metric name"), "{text}");
    }
    // A sender that goes on like this does not fill the log.
    let data = tempfile::tempdir().unwrap();
    let saimon = Serving::start(data.path());
    let mut client = saimon.connect();
    for _ in 0..200 {
        assert_eq!(client.post(WRITE_HEADERS, &many.body()).status, 400);
        assert_eq!(client.post("content-encoding: gzip\r\n", b"x").status, 415);
    }
    drop(client);
    let (_, log) = saimon.terminate();
    let warned = log.iter().filter(|l| l.contains("WARN")).count();
    assert!((1..20).contains(&warned), "{warned} warnings");
    assert!(log.iter().all(|l| l.len() < 2_000));
}

#[test]
fn item_065_bad_data_is_never_the_servers_fault_nor_the_reverse() {
    let saimon = Saimon::with(|setup| {
        setup.shards = 1;
        setup.limits.queue_batches = 2;
        setup.limits.queue_wait = Duration::from_millis(20);
        setup.limits.request = Duration::from_millis(300);
    });
    let mut client = saimon.connect();
    for (what, bad) in invalid() {
        let body = snappy(&Raw::new().message(1, &bad).0);
        assert_eq!(client.post(WRITE_HEADERS, &body).status, 400, "{what}");
    }
    for body in [&b""[..], b"\xff\xff", b"\xff\xff\xff\xff\x0f\x00"] {
        for headers in [WRITE_HEADERS, v2::HEADERS] {
            assert_eq!(client.post(headers, body).status, 400);
        }
    }
    // A shard that stands still is our trouble: the data was good, the sender must keep it.
    saimon.clock.close(&[0]);
    let statuses: Vec<_> = (0..8)
        .map(|i| {
            client
                .post(WRITE_HEADERS, &up(&[(NOW_MS + i, 1.0)]).body())
                .status
        })
        .collect();
    assert!(
        statuses.iter().all(|s| [204, 503].contains(s)),
        "{statuses:?}"
    );
    assert_eq!(statuses.last(), Some(&503));
    // What is wrong stays wrong, however busy we are.
    let body = snappy(&Raw::new().message(1, &invalid()[0].1).0);
    assert!([400, 503].contains(&client.post(WRITE_HEADERS, &body).status));
    assert_eq!(client.post(WRITE_HEADERS, b"\xff\xff").status, 400);
    assert_eq!(client.post("content-encoding: gzip\r\n", b"x").status, 415);
    saimon.clock.open();
    // So is a connection that is too slow: to a sender any 4xx is final.
    let mut slow = saimon.connect();
    let head = format!("POST /api/v1/write HTTP/1.1\r\nhost: x\r\n{WRITE_HEADERS}");
    slow.send(format!("{head}content-length: 100\r\n\r\nabc").as_bytes());
    assert_eq!(slow.response().status, 503);
}

#[test]
fn item_066_the_same_request_twice_does_no_harm() {
    let saimon = Saimon::start();
    let series: Vec<_> = (0..20).map(|i| format!("m{i}_total")).collect();
    for step in 0..60 {
        let t_ms = NOW_MS - 3_600_000 + step * 15_000;
        let value = (step * 100) as f64;
        let (mut v1, mut v2) = (v1::Request::new(), v2::Request::new());
        for name in &series {
            v1 = v1.series(&[("__name__", name)], &[(t_ms, value)]);
            v2 = v2.series(&[("__name__", name)], &[(t_ms, value)]).exemplar(
                &[("__name__", name)],
                &[],
                t_ms,
                1.0,
            );
        }
        v2 = v2.histogram(H, histogram::integer(t_ms));
        let once = if step % 2 == 0 {
            assert_eq!(saimon.write_v2(&v2).status, 204);
            saimon.held()
        } else {
            assert_eq!(saimon.write(&v1).status, 204);
            saimon.held()
        };
        for _ in 0..2 {
            if step % 2 == 0 {
                let again = saimon.write_v2(&v2);
                assert_eq!(again.status, 204);
                assert_eq!(v2::written(&again), Some((20, 1, 20)));
            }
            assert_eq!(saimon.write(&v1).status, 204);
            assert!(saimon.held() == once, "nothing changes at step {step}");
        }
    }
    let counters = saimon.counters();
    assert_eq!(counters.outcome("accepted"), 60 * 20);
    assert_eq!(counters.sum("saimon_resets_total"), 0);
    assert!(counters.outcome("duplicate") >= 60 * 20 * 2);
}

#[test]
fn item_067_late_samples_are_counted_and_do_no_harm() {
    let saimon = Saimon::start();
    let live: Vec<_> = (0..50).map(|i| (NOW_MS + i * 1_000, i as f64)).collect();
    for sample in &live {
        assert_eq!(saimon.write(&up(&[*sample])).status, 204);
    }
    let before = saimon.held();
    let late = [
        (NOW_MS - 3_600_000, 9.0),
        (NOW_MS + 500, 9.0),
        (0, 9.0),
        (-5, 9.0),
    ];
    let request = v1::Request::new()
        .series(UP, &late)
        .series(&[("__name__", "other")], &[(NOW_MS, 1.0)]);
    assert_eq!(
        saimon.write(&request).status,
        204,
        "the batch does not fail"
    );
    let v2 = v2::Request::new().series(UP, &late);
    let response = saimon.write_v2(&v2);
    assert_eq!(
        (response.status, v2::written(&response)),
        (204, Some((4, 0, 0)))
    );
    let held = saimon.held();
    assert!(
        held[&labels(UP)] == before[&labels(UP)],
        "as if they had not come"
    );
    assert_eq!(held["other"].samples.len(), 1);
    assert_eq!(saimon.counters().outcome("late"), 8);
    let next = (NOW_MS + 50_000, 50.0);
    assert_eq!(saimon.write(&up(&[next])).status, 204);
    let all: Vec<_> = live.into_iter().chain([next]).collect();
    assert_eq!(saimon.samples(&labels(UP)), bits(&all));
}

#[test]
fn item_068_what_is_more_than_ten_minutes_ahead_is_refused_and_moves_no_clock() {
    let saimon = Saimon::start();
    let limit = NOW_MS + 600_000;
    let samples = [
        (NOW_MS, 1.0),
        (limit + 1, 2.0),
        (i64::MAX, 2.0),
        (NOW_MS + 1, 3.0),
    ];
    assert_eq!(saimon.write(&up(&samples)).status, 400);
    let response = saimon.write_v2(
        &v2::Request::new()
            .series(UP, &[(limit + 1, 2.0), (NOW_MS + 2, 4.0)])
            .histogram(H, histogram::integer(limit + 1))
            .histogram(H, histogram::integer(NOW_MS)),
    );
    assert_eq!(response.status, 400);
    assert_eq!(v2::written(&response), Some((1, 1, 0)));
    let kept = [(NOW_MS, 1.0), (NOW_MS + 1, 3.0), (NOW_MS + 2, 4.0)];
    assert_eq!(saimon.samples(&labels(UP)), bits(&kept));
    assert_eq!(saimon.counters().outcome("future"), 3);
    // At the limit it is taken; as the clock goes on, so does the limit.
    assert_eq!(saimon.write(&up(&[(limit, 5.0)])).status, 204);
    saimon.clock.set(NOW_MS + 1);
    assert_eq!(saimon.write(&up(&[(limit + 1, 6.0)])).status, 204);
    assert_eq!(saimon.samples(&labels(UP)).len(), 5);
}

#[test]
fn item_069_of_two_values_at_one_time_the_first_wins() {
    let saimon = Saimon::start();
    assert_eq!(saimon.write(&up(&[(NOW_MS, 1.0)])).status, 204);
    let before = saimon.held();
    assert_eq!(saimon.write(&up(&[(NOW_MS, 2.0)])).status, 204);
    let nan = |bits: u64| up(&[(NOW_MS, f64::from_bits(bits))]);
    assert_eq!(saimon.write(&nan(0x7ff8_0000_0000_0001)).status, 204);
    let response = saimon.write_v2(&v2::Request::new().series(UP, &[(NOW_MS, 3.0)]));
    assert_eq!(
        (response.status, v2::written(&response)),
        (204, Some((1, 0, 0)))
    );
    assert!(saimon.held() == before);
    // Within one request likewise.
    let both = up(&[(NOW_MS + 1, 5.0), (NOW_MS + 1, 6.0), (NOW_MS + 1, 5.0)]);
    assert_eq!(saimon.write(&both).status, 204);
    assert_eq!(
        saimon.samples(&labels(UP)),
        bits(&[(NOW_MS, 1.0), (NOW_MS + 1, 5.0)])
    );
    let outcomes = [("accepted", 2), ("duplicate", 1), ("conflict", 4)];
    assert_eq!(saimon.counters().outcomes(), outcomes);
}

#[test]
fn item_070_hours_of_old_samples_at_high_speed_raise_no_flood() {
    const STEP_MS: i64 = 15_000;
    const HOUR: i64 = 3_600_000 / STEP_MS;
    let saimon = Saimon::with(|setup| {
        setup.detect.warmup = 60;
        setup.detect.young = 120;
    });
    let names: Vec<_> = (0..40).map(|i| format!("m{i}")).collect();
    let mut rng = fastrand::Rng::with_seed(70);
    // A request of all series at one step: gauges with noise, counters with a steady rate.
    let mut at = |step: i64| {
        names
            .iter()
            .enumerate()
            .fold(v1::Request::new(), |request, (i, name)| {
                let noise = rng.f64() + rng.f64() + rng.f64();
                let (name, value) = if i % 2 == 0 {
                    (name.clone(), 100.0 + 10.0 * noise)
                } else {
                    (
                        format!("{name}_total"),
                        1_000.0 * step as f64 + 100.0 * noise,
                    )
                };
                let t_ms = NOW_MS + step * STEP_MS;
                request.series(&[("__name__", &name)], &[(t_ms, value)])
            })
    };
    let shown = |saimon: &Saimon| {
        let page = saimon.scores();
        let lines = page
            .lines()
            .filter(|l| l.starts_with("saimon_anomaly_score{"));
        lines
            .map(|l| l.rsplit(' ').next().unwrap().parse::<f64>().unwrap())
            .collect::<Vec<_>>()
    };
    let mut client = saimon.connect();
    for step in 0..2 * HOUR {
        saimon.clock.set(NOW_MS + step * STEP_MS);
        assert_eq!(client.post(WRITE_HEADERS, &at(step).body()).status, 204);
    }
    saimon.tick();
    assert_eq!(shown(&saimon).len(), 40);
    let calm = saimon.counters().sum("saimon_anomalies_total");
    // The sender was away for four hours and sends all of it as fast as it can.
    let now = 6 * HOUR;
    saimon.clock.set(NOW_MS + now * STEP_MS);
    for step in 2 * HOUR..now {
        assert_eq!(client.post(WRITE_HEADERS, &at(step).body()).status, 204);
        if step % 60 == 0 {
            saimon.tick();
            let scores = shown(&saimon);
            assert_eq!(scores.len(), 40, "none is taken for silent at {step}");
            let high = scores.iter().filter(|s| **s > 0.9).count();
            assert!(high <= 2, "{high} of 40 at step {step}");
        }
    }
    let counters = saimon.counters();
    assert_eq!(counters.outcomes(), [("accepted", 40 * now as u64)]);
    assert_eq!(counters.sum("saimon_series{phase=\"ended\"}"), 0);
    let alarms = counters.sum("saimon_anomalies_total") - calm;
    assert!(alarms <= 2, "{alarms} anomalies began among 40 calm series");
}

#[test]
fn item_071_different_series_go_in_parallel_and_each_in_order() {
    let saimon = Saimon::with(|setup| {
        setup.shards = 2;
        setup.limits.queue_batches = 64;
    });
    // One connection that never ends its body holds up nobody.
    let mut stuck = saimon.connect();
    let head = format!("POST /api/v1/write HTTP/1.1\r\nhost: x\r\n{WRITE_HEADERS}");
    stuck.send(format!("{head}content-length: 100\r\n\r\nabc").as_bytes());
    // Nor does a shard that stands still hold up the other one.
    saimon.clock.close(&[0]);
    for i in 0..64 {
        let i = i.to_string();
        let request = v1::Request::new().series(&[("__name__", "m"), ("i", &i)], &[(NOW_MS, 1.0)]);
        assert_eq!(saimon.write(&request).status, 204);
    }
    let accepted = || {
        let page = saimon.get("/metrics", "");
        crate::support::Counters::read(page.text()).outcome("accepted")
    };
    let mut seen = 0;
    for _ in 0..400 {
        seen = accepted();
        if seen > 10 {
            break;
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(
        (11..64).contains(&seen),
        "{seen} of 64 with one shard of two"
    );
    saimon.clock.open();
    assert_eq!(saimon.held().len(), 64);
    // Senders side by side, each with series of its own and two connections in turn, as a sender
    // whose connection was cut uses them.
    std::thread::scope(|scope| {
        for sender in 0..4 {
            let saimon = &saimon;
            scope.spawn(move || {
                let mut connections = [saimon.connect(), saimon.connect()];
                for step in 0..100 {
                    let request = (0..8).fold(v1::Request::new(), |request, i| {
                        let name = format!("sender_{sender}_{i}");
                        let sample = (NOW_MS + step, step as f64);
                        request.series(&[("__name__", &name)], &[sample])
                    });
                    let client = &mut connections[step as usize % 2];
                    assert_eq!(client.post(WRITE_HEADERS, &request.body()).status, 204);
                }
            });
        }
    });
    let all: Vec<_> = (0..100).map(|i| (NOW_MS + i, i as f64)).collect();
    for sender in 0..4 {
        assert!(saimon.samples(&format!("sender_{sender}_7")) == bits(&all));
    }
    assert_eq!(
        saimon.counters().outcomes(),
        [("accepted", 64 + 4 * 8 * 100)]
    );
}

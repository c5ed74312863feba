//! Section H: sending by remote write. `saimon generate --push` is the sender.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::outside::{self, Program};
use crate::receiver::{Does, Labels, Received, Receiver, push, report};
use crate::support::Saimon;

const STALE: u64 = 0x7ff0_0000_0000_0002;

type Series = BTreeMap<Labels, Vec<(i64, u64)>>;

/// All samples by series, in order of arrival.
fn by_series(requests: &[Received]) -> Series {
    let mut all = Series::new();
    for (labels, t, bits) in requests.iter().flat_map(Received::samples) {
        all.entry(labels).or_default().push((t, bits));
    }
    all
}

/// Every series is whole: so many samples in order of time, then its end.
fn assert_whole(all: &Series, series: usize, samples: usize) {
    assert_eq!(all.len(), series);
    for (labels, points) in all {
        assert_eq!(points.len(), samples + 1, "{labels:?}");
        assert!(points.windows(2).all(|w| w[0].0 < w[1].0), "{labels:?}");
        let ends = points.iter().filter(|p| p.1 == STALE).count();
        assert_eq!((ends, points[samples].1), (1, STALE), "{labels:?}");
    }
}

fn prometheus() -> Program {
    Program::prometheus("global: {scrape_interval: 1h}\n")
}

#[test]
fn item_102_sorted_labels_one_writer_for_a_series_order_of_time_and_all_of_it_lands() {
    for protocol in ["1.0", "2.0"] {
        let receiver = Receiver::start(|_, _| Does::Writes);
        let words = format!("--series 5000 --samples 25000 --connections 3 --protocol {protocol}");
        let output = push(&receiver.url(), &words);
        assert!(output.status.success(), "{output:?}");
        let taken = receiver.taken();
        assert_whole(&by_series(&taken), 5000, 5);
        let mut writers: HashMap<Labels, usize> = HashMap::new();
        for request in &taken {
            let samples = request.samples();
            assert!(samples.len() <= 2_000, "{} samples", samples.len());
            for (labels, ..) in samples {
                let names: Vec<_> = labels.iter().map(|(name, _)| name).collect();
                assert!(names.windows(2).all(|w| w[0] < w[1]), "{names:?}");
                assert!(labels.iter().all(|(n, v)| !n.is_empty() && !v.is_empty()));
                let writer = *writers.entry(labels).or_insert(request.connection);
                assert_eq!(writer, request.connection, "a second writer");
            }
        }
        assert_eq!(writers.values().collect::<HashSet<_>>().len(), 3);
    }
    for program in [prometheus(), Program::victoria_metrics()] {
        let words = "--series 3000 --samples 60000 --interval 15s --connections 2";
        let output = push(&program.write_url(), words);
        let said = report(&output);
        assert!(output.status.success(), "{said}");
        assert_eq!(said["samples_acknowledged"], 60_000);
        // A query does not see stale markers: what is counted are the samples.
        let count = || -> f64 {
            let of = |name: &String| {
                program.number(&format!("sum(count_over_time({name}[1h]))"), outside::now())
            };
            program
                .names()
                .iter()
                .filter(|n| n.starts_with("load_"))
                .map(of)
                .sum()
        };
        program.eventually("all samples there", || (count() == 60_000.0).then_some(()));
    }
}

#[test]
fn item_103_5xx_and_lost_connections_are_repeated_4xx_are_not_429_by_setting() {
    let receiver = Receiver::start(|number, _| match number % 5 {
        0 => Does::Answers(503, "retry-after: 0\r\n"),
        1 => Does::Answers(500, ""),
        2 => Does::Closes,
        3 => Does::Answers(429, "retry-after: Thu, 01 Jan 1970 00:00:00 GMT\r\n"),
        _ => Does::Writes,
    });
    let output = push(
        &receiver.url(),
        "--series 100 --samples 500 --retry-for 30s",
    );
    let said = report(&output);
    assert!(output.status.success(), "{said}");
    assert_whole(&by_series(&receiver.taken()), 100, 5);
    // The metadata, five rounds and the end, each at the fifth attempt with the same bytes.
    let received = receiver.received();
    assert_eq!(received.len(), 7 * 5);
    for attempts in received.chunks(5) {
        assert!(attempts.iter().all(|a| a.body == attempts[0].body));
        let numbers: Vec<_> = attempts.iter().map(|a| a.header("retry-attempt")).collect();
        assert_eq!(
            numbers,
            [vec![], vec!["1"], vec!["2"], vec!["3"], vec!["4"]]
        );
    }
    // Waits that the receiver asks for are kept, also when they are too long.
    let asks = Receiver::start(|_, _| Does::Answers(503, "retry-after: 3600\r\n"));
    let output = push(&asks.url(), "--series 1 --samples 1 --retry-for 30s");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(report(&output)["retries"], 0);

    for status in [400, 401, 404, 413, 415, 422] {
        let receiver = Receiver::start(move |number, _| match number {
            2 => Does::Answers(status, "retry-after: 1\r\n"),
            _ => Does::Writes,
        });
        let output = push(&receiver.url(), "--series 10 --samples 50");
        let said = report(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said["samples_dropped"], 10);
        assert_eq!(said["samples_acknowledged"], 40);
        assert_eq!(said["retries"], 0);
        let logged = String::from_utf8_lossy(&output.stderr);
        assert_eq!(logged.matches("samples lost").count(), 1, "{logged}");
    }
    let receiver = Receiver::start(|_, _| Does::Answers(429, ""));
    let output = push(&receiver.url(), "--series 10 --samples 50 --drop-on-429");
    let said = report(&output);
    assert_eq!(
        (&said["retries"], &said["samples_dropped"]),
        (&0.into(), &50.into())
    );
}

#[test]
fn item_104_stale_markers_end_what_was_sent() {
    for program in [prometheus(), Program::victoria_metrics()] {
        let alive = |at: f64| program.number("count({__name__=~\"load_.*\"})", at);
        // The newest sample lies one interval before now, so the marker may lie at now.
        let words = "--series 500 --samples 2500 --interval 10s";
        let left_open = push(&program.write_url(), &format!("{words} --leave-open"));
        assert!(left_open.status.success());
        program.eventually("series without an end are alive", || {
            (alive(outside::now()) == 500.0).then_some(())
        });
        let ended = push(&program.write_url(), &format!("{words} --seed 2"));
        assert_eq!(report(&ended)["stale_markers"], 500);
        let of = |seed: u32, at: f64| {
            let query = format!("count({{__name__=~\"load_.*\",cluster=\"prod-{seed}\"}})");
            program.number(&query, at)
        };
        program.eventually("series were there before their end", || {
            (of(2, outside::now() - 25.0) == 500.0).then_some(())
        });
        program.eventually("series have ended", || {
            (of(2, outside::now()) == 0.0).then_some(())
        });
        assert_eq!(of(1, outside::now()), 500.0, "the others go on");
    }
}

#[test]
fn item_105_snappy_the_required_headers_and_none_of_them_overridden() {
    for (protocol, content_type, version) in [
        ("1.0", "application/x-protobuf", "0.1.0"),
        (
            "2.0",
            "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            "2.0.0",
        ),
    ] {
        let receiver = Receiver::start(|_, _| Does::Writes);
        let words =
            format!("--series 5 --samples 10 --protocol {protocol} --header X-Scope-OrgID:team");
        assert!(push(&receiver.url(), &words).status.success());
        for request in receiver.received() {
            assert_eq!(request.header("content-type"), [content_type]);
            assert_eq!(request.header("content-encoding"), ["snappy"]);
            assert_eq!(
                request.header("x-prometheus-remote-write-version"),
                [version]
            );
            assert_eq!(request.header("x-scope-orgid"), ["team"]);
            let agent = request.header("user-agent");
            assert!(
                agent.len() == 1 && agent[0].starts_with("saimon"),
                "{agent:?}"
            );
            assert!(
                !request.body.starts_with(b"\xff\x06\x00\x00sNaPpY"),
                "framed"
            );
            // A block of snappy, or this would not read it.
            request.samples();
        }
    }
    for name in [
        "Content-Type",
        "content-encoding",
        "CONTENT-LENGTH",
        "User-Agent",
        "X-Prometheus-Remote-Write-Version",
        "Host",
        "Retry-Attempt",
        "Transfer-Encoding",
    ] {
        let output = push(
            "http://127.0.0.1:1/api/v1/write",
            &format!("--header {name}:x"),
        );
        assert_eq!(output.status.code(), Some(2));
        let said = String::from_utf8_lossy(&output.stderr).to_lowercase();
        assert!(said.contains(&name.to_lowercase()), "{said}");
    }
}

#[test]
fn item_106_symbols_written_counts_and_what_415_leads_to() {
    let receiver = Receiver::start(|_, _| Does::Writes);
    let output = push(&receiver.url(), "--series 300 --samples 900 --protocol 2.0");
    assert!(output.status.success(), "{output:?}");
    assert_whole(&by_series(&receiver.taken()), 300, 3);
    for request in receiver.received() {
        let request = request.v2();
        assert_eq!(request.symbols[0], "");
        let unique: HashSet<_> = request.symbols.iter().collect();
        assert_eq!(unique.len(), request.symbols.len());
        for series in &request.timeseries {
            assert_eq!((series.labels_refs.len() % 2, series.samples.len()), (0, 1));
            let metadata = series.metadata.as_ref().unwrap();
            assert!(metadata.r#type == 1 || metadata.r#type == 2);
            assert!(!request.symbols[metadata.help_ref as usize].is_empty());
        }
    }
    // saimon's own receiver, which counts what it has written.
    let saimon = Saimon::start();
    saimon.clock.set(outside::now() as i64 * 1000 + 1000);
    let url = format!("http://{}/api/v1/write", saimon.address);
    let output = push(&url, "--series 300 --samples 900 --protocol 2.0");
    assert!(output.status.success(), "{output:?}");
    let counters = saimon.counters();
    assert_eq!(
        counters.outcomes(),
        [("accepted", 900), ("stale", 300)],
        "of 2.0"
    );
    // 2xx is not enough.
    for (headers, lost) in [
        ("", 100),
        ("x-prometheus-remote-write-samples-written: 0\r\n", 100),
        ("x-prometheus-remote-write-samples-written: 97\r\n", 3),
    ] {
        let receiver = Receiver::start(move |number, _| match number {
            1 => Does::Answers(204, headers),
            _ => Does::Writes,
        });
        let output = push(&receiver.url(), "--series 100 --samples 300 --protocol 2.0");
        let said = report(&output);
        assert_eq!(output.status.code(), Some(1), "{said}");
        assert_eq!(said["samples_dropped"], lost, "{said}");
        assert_eq!(said["retries"], 0);
        let logged = String::from_utf8_lossy(&output.stderr);
        assert!(logged.contains("samples lost"), "{logged}");
    }
    // A receiver of 1.0 alone, as the headers say.
    let old = || {
        Receiver::start(|_, request| match request.is_v2() {
            true => Does::Answers(415, ""),
            false => Does::Answers(204, ""),
        })
    };
    let strict = old();
    let output = push(&strict.url(), "--series 10 --samples 30 --protocol 2.0");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("--protocol 1.0"), "{said}");
    let lenient = old();
    let output = push(
        &lenient.url(),
        "--series 300 --samples 900 --connections 2 --protocol 2.0 --fall-back",
    );
    assert!(output.status.success(), "{output:?}");
    assert_whole(&by_series(&lenient.taken()), 300, 3);
}

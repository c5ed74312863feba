//! E. Remote read, as server: items 72 to 86.

use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use prost::Message as _;
use saimon::wire::proto;

use crate::reading::{
    self, CHUNKS, READ_HEADERS, READ_PATH, SAMPLES, Series, ask, chunks, frames, query, request,
    samples,
};
use crate::support::raw::Raw;
use crate::support::{Client, NOW_MS, Response, Saimon, bits, snappy, v1};

/// Before all, and after all that is written here.
const ALWAYS: (i64, i64) = (0, i64::MAX);

/// The answer to one query, in both forms, which are the same.
#[track_caller]
fn read(saimon: &Saimon, matchers: &[(&str, &str, &str)], range: (i64, i64)) -> Vec<Series> {
    let query = query(matchers, range.0, range.1);
    let mut client = saimon.connect();
    let streamed = ask(&mut client, &request(&[CHUNKS], vec![query.clone()]));
    let streamed = chunks(&streamed, std::slice::from_ref(&query)).remove(0);
    let whole = samples(&ask(&mut client, &request(&[], vec![query]))).remove(0);
    assert_eq!(whole, streamed, "{matchers:?}");
    whole
}

/// The names of what matches, as PromQL prints them.
#[track_caller]
fn found(saimon: &Saimon, matchers: &[(&str, &str, &str)]) -> Vec<String> {
    let series = read(saimon, matchers, ALWAYS).into_iter();
    series.map(|(labels, _)| labels).collect()
}

#[track_caller]
fn write(saimon: &Saimon, sent: &v1::Request) {
    let answer = saimon.write(sent);
    assert_eq!(answer.status, 204, "{}", answer.text());
}

/// `up` of three jobs with one sample each, one of them with an `env`.
fn ups() -> Saimon {
    let saimon = Saimon::start();
    let mut sent = v1::Request::new();
    for (job, env) in [("node", "test"), ("prometheus", ""), ("a\nb", "")] {
        let labels = [("__name__", "up"), ("env", env), ("job", job)];
        let labels: Vec<_> = labels.into_iter().filter(|l| !l.1.is_empty()).collect();
        sent = sent.series(&labels, &[(NOW_MS, 1.0)]);
    }
    write(&saimon, &sent);
    saimon
}

const NODE: &str = "up{env=\"test\", job=\"node\"}";
const PROMETHEUS: &str = "up{job=\"prometheus\"}";
const BROKEN: &str = "up{job=\"a\\nb\"}";

/// `m` of one series, so many samples, one a second, the last one now.
fn long(tune: impl FnOnce(&mut crate::support::Setup), samples: i64) -> Saimon {
    let saimon = Saimon::with(tune);
    let sample = |i: i64| (NOW_MS - (samples - 1 - i) * 1000, (i as f64 * 0.37).sin());
    let all: Vec<_> = (0..samples).map(sample).collect();
    for part in all.chunks(2_000) {
        write(
            &saimon,
            &v1::Request::new().series(&[("__name__", "m")], part),
        );
    }
    saimon
}

fn all_of(name: &str, accepted: &[i32]) -> proto::ReadRequest {
    request(
        accepted,
        vec![query(&[("__name__", "=", name)], ALWAYS.0, ALWAYS.1)],
    )
}

fn refused(answer: &Response, text: &str) {
    assert_eq!(answer.status, 400, "{text}");
    assert!(
        answer.text().contains(text),
        "{} has no {text}",
        answer.text()
    );
    assert_eq!(
        answer.header("content-encoding"),
        None,
        "an error is plain text"
    );
}

#[test]
fn item_072_only_a_post_of_a_snappy_block_is_read() {
    let saimon = Saimon::start();
    let get = saimon.get(READ_PATH, "");
    assert_eq!((get.status, get.header("allow")), (405, Some("POST")));
    let good = snappy(&all_of("up", &[]).encode_to_vec());
    let post = |body: &[u8]| saimon.connect().post_to(READ_PATH, READ_HEADERS, body);
    assert_eq!(post(&good).status, 200);
    refused(&post(b""), "empty");
    refused(&post(&good[..good.len() - 1]), "snappy");
    refused(&post(b"{\"queries\":[]}"), "snappy");
    // Four gigabytes declared, ten bytes sent.
    refused(&post(b"\xff\xff\xff\xff\x0f12345"), "limit");
    refused(&post(&snappy(b"\x0a\xff")), "prometheus.ReadRequest");
    // What Prometheus does not look at either.
    let bare = saimon.connect().post_to(READ_PATH, "", &good);
    assert_eq!(bare.status, 200);
}

#[test]
fn item_073_samples_are_the_default_and_have_their_two_headers() {
    let saimon = ups();
    for accepted in [&[][..], &[SAMPLES]] {
        let answer = ask(&mut saimon.connect(), &all_of("up", accepted));
        assert_eq!(
            answer.header("content-type"),
            Some("application/x-protobuf")
        );
        assert_eq!(answer.header("content-encoding"), Some("snappy"));
        assert_eq!(samples(&answer)[0].len(), 3);
    }
}

#[test]
fn item_074_the_first_supported_type_of_the_client_wins() {
    let saimon = ups();
    let kind = |accepted: &[i32]| {
        let answer = ask(&mut saimon.connect(), &all_of("up", accepted));
        answer.header("content-encoding").is_none()
    };
    assert!(kind(&[CHUNKS, SAMPLES]) && kind(&[9, CHUNKS, SAMPLES]));
    assert!(!kind(&[SAMPLES, CHUNKS]) && !kind(&[9, 7, SAMPLES]));
    let none = ask(&mut saimon.connect(), &all_of("up", &[9]));
    refused(&none, "none of the accepted response types [9]");
}

#[test]
fn item_075_one_result_for_each_query_in_order() {
    let saimon = ups();
    let job = |job| {
        query(
            &[("__name__", "=", "up"), ("job", "=", job)],
            ALWAYS.0,
            ALWAYS.1,
        )
    };
    let asked = vec![job("prometheus"), job("none"), job("node"), job("node")];
    let answer = ask(&mut saimon.connect(), &request(&[], asked));
    let names: Vec<Vec<_>> = samples(&answer)
        .into_iter()
        .map(|r| r.into_iter().map(|(labels, _)| labels).collect())
        .collect();
    assert_eq!(names, [vec![PROMETHEUS], vec![], vec![NODE], vec![NODE]]);
    let nothing = ask(&mut saimon.connect(), &all_of("none", &[]));
    assert_eq!(reading::unpacked(&nothing.body), b"\x0a\x00");
}

#[test]
fn item_076_a_streamed_answer_has_its_type_and_checked_frames() {
    let saimon = ups();
    let answer = ask(&mut saimon.connect(), &all_of("up", &[CHUNKS]));
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
    );
    assert_eq!(answer.header("content-encoding"), None);
    let frames = frames(&answer);
    assert_eq!(frames.len(), 3);
    let first = frames[0].encode_to_vec();
    let mut wanted = Vec::new();
    prost::encode_length_delimiter(first.len(), &mut wanted).unwrap();
    wanted.extend(crc32c::crc32c(&first).to_be_bytes());
    wanted.extend(&first);
    assert!(answer.body.starts_with(&wanted));
}

#[test]
fn item_077_streamed_series_are_sorted_and_long_ones_split() {
    let saimon = long(|setup| setup.read.frame = bytesize::ByteSize::kib(4), 4_000);
    let mut sent = v1::Request::new();
    let sorted = [
        &[("__name__", "s")][..],
        &[("__name__", "s"), ("a", "1")],
        &[("__name__", "s"), ("a", "1"), ("b", "1")],
        &[("__name__", "s"), ("a", "10")],
        &[("__name__", "s"), ("a", "9")],
        &[("__name__", "s"), ("aa", "0")],
        &[("__name__", "s"), ("b", "0")],
    ];
    for labels in sorted.iter().rev() {
        sent = sent.series(labels, &[(NOW_MS, 1.0)]);
    }
    write(&saimon, &sent);
    let of = |name| query(&[("__name__", "=", name)], ALWAYS.0, ALWAYS.1);
    let queries = vec![of("m"), of("none"), of("s")];
    let answer = ask(&mut saimon.connect(), &request(&[CHUNKS], queries.clone()));
    let frames = frames(&answer);
    let of_m: Vec<_> = frames.iter().filter(|f| f.query_index == 0).collect();
    assert!(of_m.len() > 3 && of_m.iter().all(|f| f.encoded_len() <= 4096));
    let results = chunks(&answer, &queries);
    assert_eq!(results[0][0].1.len(), 4_000);
    assert_eq!(results[1], []);
    let names: Vec<_> = results[2].iter().map(|(labels, _)| &**labels).collect();
    let wanted = sorted.map(crate::support::labels);
    assert_eq!(names, wanted);
    let nothing = ask(&mut saimon.connect(), &all_of("none", &[CHUNKS]));
    assert!(reading::frames(&nothing).is_empty() && nothing.body.is_empty());
}

#[test]
fn item_078_chunks_keep_every_bit_and_are_those_of_prometheus() {
    let odd = [
        f64::from_bits(0x7ff8_0000_0000_0001),
        f64::INFINITY,
        f64::NEG_INFINITY,
        5e-324,
        f64::MAX,
        -0.0,
        0.0,
        f64::from_bits(0x7ff0_0000_0000_0002),
    ];
    let saimon = Saimon::start();
    let values: Vec<_> = (0..40)
        .map(|i| (NOW_MS - 400_000 + i * 10_000, odd[i as usize % odd.len()]))
        .collect();
    let mut series = Raw::new().message(1, &crate::support::raw::label(b"__name__", b"odd"));
    for (t_ms, value) in &values {
        series = series.message(2, &Raw::new().double(1, *value).int(2, *t_ms));
    }
    let body = snappy(&Raw::new().message(1, &series).0);
    let answer = saimon.connect().post(crate::support::WRITE_HEADERS, &body);
    assert_eq!(answer.status, 204);
    let got = read(&saimon, &[("__name__", "=", "odd")], ALWAYS);
    assert_eq!(got, [("odd".to_owned(), bits(&values))]);

    // The second chunk of each recorded series, sent on its own, comes back byte for byte.
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/read-server");
    for name in ["specials-chunks", "stale-chunks", "long-chunks"] {
        let recorded = std::fs::read(folder.join(format!("{name}.resp"))).unwrap();
        for frame in reading::frames_of(&recorded) {
            let series = &frame.chunked_series[0];
            let saimon = Saimon::start();
            let chunk = &series.chunks[1];
            saimon.clock.set(chunk.max_time_ms);
            let decoded = saimon::window::chunk::decode(&chunk.data).unwrap();
            let mut raw = Raw::new();
            for label in &series.labels {
                raw = raw.message(
                    1,
                    &crate::support::raw::label(label.name.as_bytes(), label.value.as_bytes()),
                );
            }
            for (t_ms, value) in &decoded {
                raw = raw.message(2, &Raw::new().double(1, *value).int(2, *t_ms));
            }
            let body = snappy(&Raw::new().message(1, &raw).0);
            let sent = saimon.connect().post(crate::support::WRITE_HEADERS, &body);
            assert_eq!(sent.status, 204, "{}", sent.text());
            let metric = &series.labels[0].value;
            let answer = ask(&mut saimon.connect(), &all_of(metric, &[CHUNKS]));
            let got = &frames(&answer)[0].chunked_series[0];
            assert_eq!(got.labels, series.labels);
            assert_eq!(
                got.chunks,
                std::slice::from_ref(chunk),
                "{name} {:?}",
                series.labels
            );
        }
    }
}

#[test]
fn item_079_regexes_are_anchored() {
    let saimon = ups();
    let jobs = |op, value| found(&saimon, &[("__name__", "=", "up"), ("job", op, value)]);
    assert_eq!(jobs("=~", "pro"), [""; 0]);
    assert_eq!(jobs("=~", "pro.*"), [PROMETHEUS]);
    assert_eq!(jobs("=~", "node|prometheus"), [NODE, PROMETHEUS]);
    assert_eq!(jobs("!~", "no.*|x"), [BROKEN, PROMETHEUS]);
    assert_eq!(jobs("!~", "pro"), [NODE, BROKEN, PROMETHEUS]);
}

#[test]
fn item_080_classes_are_those_of_re2() {
    let saimon = Saimon::start();
    let values = ["7", "\u{664}", "\u{fc}", "a b", "a\u{a0}b", "a&b", "x\ny"];
    let mut sent = v1::Request::new();
    for value in values {
        sent = sent.series(&[("__name__", "m"), ("v", value)], &[(NOW_MS, 1.0)]);
    }
    write(&saimon, &sent);
    let of = |value: &str| crate::support::labels(&[("__name__", "m"), ("v", value)]);
    for (regex, wanted) in [
        (r"\d", &["7"][..]),
        (r"\w", &["7"]),
        (r"a\sb", &["a b"]),
        (r".\b", &["7"]),
        (r"[a&&b]+", &["a&b"]),
        (r"x.y", &["x\ny"]),
        (r"\QA\E|(?i)\x{DC}", &["\u{fc}"]),
    ] {
        let mut wanted: Vec<_> = wanted.iter().map(|v| of(v)).collect();
        wanted.sort();
        assert_eq!(found(&saimon, &[("v", "=~", regex)]), wanted, "{regex}");
    }
    let bad = query(&[("v", "=~", "(a")], ALWAYS.0, ALWAYS.1);
    let answer = ask(&mut saimon.connect(), &request(&[], vec![bad]));
    refused(&answer, "\"(a\"");
    // Exponential for an engine that backtracks.
    let slow = format!("(x+x+)+{}", "y".repeat(30));
    assert_eq!(found(&saimon, &[("v", "=~", &slow)]), [""; 0]);
}

#[test]
fn item_081_an_absent_label_is_the_empty_one() {
    let saimon = ups();
    let env = |op, value| found(&saimon, &[("__name__", "=", "up"), ("env", op, value)]);
    assert_eq!(env("=", ""), [BROKEN, PROMETHEUS]);
    assert_eq!(env("!=", ""), [NODE]);
    assert_eq!(env("=~", ".*"), [NODE, BROKEN, PROMETHEUS]);
    assert_eq!(env("=~", "test|"), [NODE, BROKEN, PROMETHEUS]);
    assert_eq!(env("=~", ".+"), [NODE]);
    assert_eq!(env("!~", ".+"), [BROKEN, PROMETHEUS]);
    assert_eq!(env("!~", ".*"), [""; 0]);
    assert_eq!(env("!=", "test"), [BROKEN, PROMETHEUS]);
}

#[test]
fn item_082_the_range_has_both_ends_and_no_sample_comes_twice() {
    // More than one chunk, the newest of them open.
    let saimon = long(|_| {}, 300);
    let first = NOW_MS - 299_000;
    let times = |from, to| {
        let series = read(&saimon, &[("__name__", "=", "m")], (from, to));
        series
            .into_iter()
            .flat_map(|(_, s)| s)
            .map(|(t, _)| t)
            .collect::<Vec<_>>()
    };
    let all: Vec<_> = (0..300).map(|i| first + i * 1000).collect();
    assert_eq!(times(first, NOW_MS), all);
    assert_eq!(times(first + 1, NOW_MS - 1), all[1..299]);
    assert_eq!(times(first + 119_000, first + 120_000), all[119..121]);
    assert_eq!(times(NOW_MS, NOW_MS), [NOW_MS]);
    assert_eq!(times(NOW_MS + 1, i64::MAX), [0; 0]);
    assert_eq!(times(NOW_MS, first), [0; 0], "start after end");
}

#[test]
fn item_083_external_labels_match_and_are_added_as_configured() {
    let saimon = Saimon::with(|setup| {
        let external = [("cluster".to_owned(), "x".to_owned())];
        setup.read.external_labels = external.into();
        setup.read.ignore_labels = vec!["reader".to_owned()];
    });
    let sent = v1::Request::new()
        .series(&[("__name__", "up"), ("job", "bare")], &[(NOW_MS, 1.0)])
        .series(
            &[("__name__", "up"), ("cluster", "y"), ("job", "far")],
            &[(NOW_MS, 1.0)],
        );
    write(&saimon, &sent);
    let bare = "up{cluster=\"x\", job=\"bare\"}";
    let far = "up{cluster=\"y\", job=\"far\"}";
    let with = |more| found(&saimon, &[("__name__", "=", "up"), more]);
    assert_eq!(
        with(("job", "!=", "")),
        [bare, far],
        "ours is added, theirs is kept"
    );
    assert_eq!(with(("cluster", "=", "x")), [bare]);
    assert_eq!(with(("cluster", "=", "y")), [far]);
    assert_eq!(with(("cluster", "=", "z")), [""; 0]);
    assert_eq!(with(("reader", "=", "b")), [bare, far], "ignored");
    assert_eq!(with(("writer", "=", "b")), [""; 0]);
}

#[test]
fn item_084_samples_and_requests_at_once_are_limited() {
    let saimon = long(
        |setup| {
            setup.read.samples = 200;
            setup.read.at_once = 1;
            setup.read.wait = Duration::from_millis(50);
        },
        201,
    );
    refused(
        &ask(&mut saimon.connect(), &all_of("m", &[])),
        "read.samples",
    );
    let mut fewer = all_of("m", &[]);
    fewer.queries[0].end_timestamp_ms = NOW_MS - 1;
    assert_eq!(
        samples(&ask(&mut saimon.connect(), &fewer))[0][0].1.len(),
        200
    );

    // Shards that do not get on keep the one turn: of two requests one is turned away at once, the
    // other gets its answer when they go on.
    let mut sent = v1::Request::new();
    for i in 0..30 {
        sent = sent.series(
            &[("__name__", "s"), ("i", &i.to_string())],
            &[(NOW_MS, 1.0)],
        );
    }
    saimon.clock.close(&[0, 1, 2]);
    write(&saimon, &sent);
    std::thread::scope(|scope| {
        let (answered, answers) = std::sync::mpsc::channel();
        for _ in 0..2 {
            let (mut client, answered) = (saimon.connect(), answered.clone());
            scope.spawn(move || answered.send(ask(&mut client, &all_of("s", &[]))).unwrap());
        }
        let turned_away = answers.recv().unwrap();
        saimon.clock.open();
        assert_eq!(turned_away.status, 503);
        assert!(turned_away.header("retry-after").is_some());
        assert_eq!(samples(&answers.recv().unwrap())[0].len(), 30);
    });
    assert_eq!(ask(&mut saimon.connect(), &all_of("s", &[])).status, 200);
}

#[test]
fn item_085_a_failure_half_way_is_an_error_for_the_client() {
    let saimon = Saimon::start();
    // Labels so long that the first series alone fill all buffers between the two.
    let long = "v".repeat(8_000);
    let names: Vec<_> = (0..40).map(|i| format!("l{i:02}")).collect();
    for i in 0..40 {
        let number = i.to_string();
        let mut labels = vec![("__name__", "wide"), ("i", &*number)];
        labels.extend(names.iter().map(|name| (&**name, &*long)));
        write(
            &saimon,
            &v1::Request::new().series(&labels, &[(NOW_MS, 1.0)]),
        );
    }
    let whole = ask(&mut saimon.connect(), &all_of("wide", &[CHUNKS]));
    assert_eq!(frames(&whole).len(), 40);

    let mut client: Client = saimon.connect();
    let body = snappy(&all_of("wide", &[CHUNKS]).encode_to_vec());
    let head = format!(
        "POST {READ_PATH} HTTP/1.1\r\nhost: x\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    client.send(&[head.as_bytes(), &body].concat());
    let head = String::from_utf8(client.until(b"\r\n\r\n")).unwrap();
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    saimon.stop_shards();
    let mut rest = Vec::new();
    let ended = client.stream.read_to_end(&mut rest);
    assert!(
        rest.len() < whole.body.len(),
        "all of it was on its way already"
    );
    assert!(
        ended.is_err() || !rest.ends_with(b"0\r\n\r\n"),
        "a part of the answer looks like the whole"
    );
}

#[test]
fn item_086_for_the_hint_series_labels_are_enough() {
    let saimon = ups();
    for accepted in [SAMPLES, CHUNKS] {
        let mut asked = all_of("up", &[accepted]);
        asked.queries[0].hints = Some(proto::ReadHints {
            func: "series".to_owned(),
            start_ms: NOW_MS - 1,
            end_ms: NOW_MS,
            ..Default::default()
        });
        let answer = ask(&mut saimon.connect(), &asked);
        let series = if accepted == SAMPLES {
            samples(&answer).remove(0)
        } else {
            chunks(&answer, &asked.queries).remove(0)
        };
        let names: Vec<_> = series.iter().map(|(labels, _)| &**labels).collect();
        assert_eq!(names, [NODE, BROKEN, PROMETHEUS]);
    }
}

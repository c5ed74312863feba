//! What a real Prometheus wrote is written to saimon, and what was asked of that Prometheus is asked of
//! saimon: the answers are the recorded ones. Where the folder with the recordings is there.
//!
//! `tests/data/read-server` has a part of them, which `src/expose/read/tests.rs` compares byte for
//! byte over chunks as Prometheus had cut them.

#[path = "support/client.rs"]
mod client;
#[path = "support/listening.rs"]
mod listening;
#[path = "support/reading.rs"]
mod reading;
#[path = "conformance/support.rs"]
#[allow(unused_imports, reason = "the conformance tests use the rest of it")]
mod support;

use std::fs;
use std::path::{Path, PathBuf};

use prost::Message as _;
use saimon::window::encoding::Encoding;
use saimon::window::histogram_chunk;
use saimon::wire::histogram::{NativeHistogram, ResetHint};
use saimon::wire::proto;
use serde_json::Value;

use client::{Response, WRITE_HEADERS};
use reading::{READ_HEADERS, READ_PATH, chunks, unpacked};
use support::Saimon;

/// Answers that differ, and why. All others are equal.
const DIFFERENT: [(&str, &str); 4] = [
    ("read-00025", "2.42 has no native histograms in samples"),
    ("native-samples", "2.42 has no native histograms in samples"),
    ("specials-chunks", "its writer loses the sign of -0.0"),
    ("bad-regex", "500 there, 400 here"),
];

fn captures() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/captures/prom-2.42")
}

/// A saimon that was sent every recorded body, those answered with an error, too, so that nothing of
/// what Prometheus had is missing.
fn written() -> Saimon {
    let saimon = Saimon::start();
    let folder = captures().join("write");
    let index = fs::read_to_string(folder.join("index.jsonl")).unwrap();
    let mut client = saimon.connect();
    for line in index.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        if let Some(newest) = row["counts"]["max_ts"].as_i64() {
            saimon.clock.set(newest);
        }
        let body = fs::read(folder.join(row["file"].as_str().unwrap())).unwrap();
        let answer = client.post(WRITE_HEADERS, &body);
        assert_eq!(answer.status, 204, "{}", answer.text());
    }
    saimon
}

/// Names, requests and recorded answers.
fn reads() -> Vec<(String, Vec<u8>, Response)> {
    let mut all = Vec::new();
    for (folder, index, name) in [
        ("read-client", "read-index.jsonl", "request"),
        ("read-server", "direct-index.jsonl", "name"),
    ] {
        let folder = captures().join(folder);
        for line in fs::read_to_string(folder.join(index)).unwrap().lines() {
            let row: Value = serde_json::from_str(line).unwrap();
            let name = row[name]
                .as_str()
                .unwrap()
                .trim_end_matches(".req")
                .to_owned();
            let headers = row["response_headers"].as_object().unwrap().iter();
            let headers =
                headers.map(|(n, v)| (n.to_ascii_lowercase(), v.as_str().unwrap().to_owned()));
            let answer = Response {
                status: row["status"].as_u64().unwrap() as u16,
                headers: headers.collect(),
                body: fs::read(folder.join(format!("{name}.resp"))).unwrap(),
            };
            let request = fs::read(folder.join(format!("{name}.req"))).unwrap();
            all.push((name, request, answer));
        }
    }
    all
}

#[test]
fn recorded_questions_get_the_recorded_answers() {
    if !captures().try_exists().unwrap() {
        eprintln!("skipped: the recorded traffic is not beside this checkout");
        return;
    }
    let saimon = written();
    let (mut samples, mut streamed, mut native) = (0, 0, 0);
    for (name, request, wanted) in reads() {
        let got = saimon.connect().post_to(READ_PATH, READ_HEADERS, &request);
        if DIFFERENT.iter().any(|(different, _)| *different == name) {
            let code = if name == "bad-regex" { 400 } else { 200 };
            assert_eq!(got.status, code, "{name}");
            continue;
        }
        assert_eq!(got.status, wanted.status, "{name}");
        if wanted.status != 200 {
            continue;
        }
        let request = proto::ReadRequest::decode(&unpacked(&request)[..]).unwrap();
        assert_eq!(
            got.header("content-type"),
            wanted.header("content-type"),
            "{name}"
        );
        if wanted.header("content-encoding").is_some() {
            let (got, wanted) = (unpacked(&got.body), unpacked(&wanted.body));
            if got != wanted {
                let read = |bytes: &[u8]| proto::ReadResponse::decode(bytes).unwrap();
                assert_eq!(read(&got), read(&wanted), "{name}");
            }
            assert_eq!(got, wanted, "{name}");
            samples += 1;
        } else if name.starts_with("native-") {
            let query = &request.queries[0];
            let histograms = [&got, &wanted].map(|answer| histograms(answer, query));
            assert!(histograms[0].len() > 10);
            assert_eq!(histograms[0], histograms[1], "{name}");
            native += 1;
        } else {
            let cut = |answer| chunks(answer, &request.queries);
            assert_eq!(cut(&got), cut(&wanted), "{name}");
            streamed += 1;
        }
    }
    assert_eq!((samples, streamed, native), (44, 6, 2));
}

/// Times and histograms of an answer in chunks, in the range. What is known of the one before is left
/// out: it depends on where chunks begin.
fn histograms(answer: &Response, query: &proto::Query) -> Vec<NativeHistogram> {
    let mut found = Vec::new();
    let series = reading::frames(answer)
        .into_iter()
        .flat_map(|f| f.chunked_series);
    for part in series.flat_map(|s| s.chunks) {
        let encoding = match part.r#type {
            2 => Encoding::Histogram,
            3 => Encoding::FloatHistogram,
            other => panic!("a chunk of type {other}"),
        };
        found.extend(histogram_chunk::decode(&part.data, encoding).unwrap());
    }
    let range = query.start_timestamp_ms..=query.end_timestamp_ms;
    found.retain(|h| range.contains(&h.timestamp_ms));
    for histogram in &mut found {
        histogram.reset_hint = ResetHint::Unknown;
    }
    found
}

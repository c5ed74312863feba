//! Remote-read requests, and their answers taken apart by other means than those that made them:
//! prost, and a walk over the frames.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use prost::Message as _;
use saimon::series::labels;
use saimon::window::chunk;
use saimon::wire::proto;

use crate::client::{Client, Response, snappy};

pub(crate) const READ_PATH: &str = "/api/v1/read";

/// What Prometheus sends with a read request.
pub(crate) const READ_HEADERS: &str = "content-type: application/x-protobuf\r\ncontent-encoding: snappy\r\naccept-encoding: snappy\r\nx-prometheus-remote-read-version: 0.1.0\r\nuser-agent: test\r\n";

pub(crate) const SAMPLES: i32 = 0;
pub(crate) const CHUNKS: i32 = 1;

/// How a label is compared, as PromQL writes it.
const OPS: [&str; 4] = ["=", "!=", "=~", "!~"];

/// One query: matchers as (name, operator, value), both ends of its range included.
pub(crate) fn query(matchers: &[(&str, &str, &str)], from_ms: i64, to_ms: i64) -> proto::Query {
    let matchers = matchers
        .iter()
        .map(|(name, op, value)| proto::LabelMatcher {
            r#type: OPS.iter().position(|o| o == op).unwrap() as i32,
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
    proto::Query {
        start_timestamp_ms: from_ms,
        end_timestamp_ms: to_ms,
        matchers: matchers.collect(),
        hints: None,
    }
}

pub(crate) fn request(accepted: &[i32], queries: Vec<proto::Query>) -> proto::ReadRequest {
    proto::ReadRequest {
        queries,
        accepted_response_types: accepted.to_vec(),
    }
}

/// Asks as Prometheus does.
pub(crate) fn ask(client: &mut Client, request: &proto::ReadRequest) -> Response {
    let body = snappy(&request.encode_to_vec());
    client.post_to(READ_PATH, READ_HEADERS, &body)
}

/// A series of an answer: its labels as PromQL prints them, and (milliseconds, bits of the value).
pub(crate) type Series = (String, Vec<(i64, u64)>);

fn shown(of: &[proto::Label]) -> String {
    assert!(
        of.is_sorted_by(|a, b| a.name < b.name),
        "labels are sorted and once: {of:?}"
    );
    labels::display(&labels::encode(of.iter().map(|l| (&*l.name, &*l.value))))
}

/// A whole answer in samples.
pub(crate) fn response(answer: &Response) -> proto::ReadResponse {
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-protobuf")
    );
    assert_eq!(answer.header("content-encoding"), Some("snappy"));
    proto::ReadResponse::decode(&unpacked(&answer.body)[..]).unwrap()
}

/// The block without its compression; from our own server, so that its size may be believed.
pub(crate) fn unpacked(block: &[u8]) -> Vec<u8> {
    let pool = saimon::wire::snappy::BodyPool::new(1);
    pool.decompress(block, 1 << 30).unwrap().to_vec()
}

/// The results of an answer in samples, one for each query.
pub(crate) fn samples(answer: &Response) -> Vec<Vec<Series>> {
    let series = |s: &proto::TimeSeries| {
        let samples = s.samples.iter().map(|s| (s.timestamp, s.value.to_bits()));
        (shown(&s.labels), samples.collect())
    };
    let results = response(answer).results;
    results
        .iter()
        .map(|r| r.timeseries.iter().map(series).collect())
        .collect()
}

/// The messages of an answer in chunks; their checksums are right.
pub(crate) fn frames(answer: &Response) -> Vec<proto::ChunkedReadResponse> {
    assert_eq!(
        answer.status,
        200,
        "{}",
        String::from_utf8_lossy(&answer.body)
    );
    assert_eq!(
        answer.header("content-type"),
        Some("application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse")
    );
    assert_eq!(answer.header("content-encoding"), None);
    frames_of(&answer.body)
}

/// The messages of these frames; their checksums are right.
pub(crate) fn frames_of(mut rest: &[u8]) -> Vec<proto::ChunkedReadResponse> {
    let mut found = Vec::new();
    while !rest.is_empty() {
        let len = prost::decode_length_delimiter(rest).unwrap();
        let (sum, message) = rest[prost::length_delimiter_len(len)..].split_at(4);
        let (message, behind) = message.split_at(len);
        assert_eq!(crc32c::crc32c(message).to_be_bytes(), sum);
        found.push(proto::ChunkedReadResponse::decode(message).unwrap());
        rest = behind;
    }
    found
}

/// The results of an answer in chunks, one for each query, cut to the range as every client does.
/// Frames of one series are neighbours, queries come in order.
pub(crate) fn chunks(answer: &Response, queries: &[proto::Query]) -> Vec<Vec<Series>> {
    let mut results: Vec<Vec<Series>> = vec![Vec::new(); queries.len()];
    let mut query = 0;
    for frame in frames(answer) {
        assert!(frame.query_index as usize >= query && frame.chunked_series.len() == 1);
        query = frame.query_index as usize;
        let range = queries[query].start_timestamp_ms..=queries[query].end_timestamp_ms;
        for series in &frame.chunked_series {
            let name = shown(&series.labels);
            if results[query].last().is_none_or(|(last, _)| *last != name) {
                assert!(results[query].iter().all(|(other, _)| *other != name));
                results[query].push((name, Vec::new()));
            }
            for part in &series.chunks {
                assert_eq!(part.r#type, 1, "an XOR chunk");
                let read = chunk::Reader::new(&part.data).unwrap().map(Result::unwrap);
                let read: Vec<_> = read.collect();
                assert_eq!(
                    (read[0].0, read[read.len() - 1].0),
                    (part.min_time_ms, part.max_time_ms)
                );
                let (_, samples) = results[query].last_mut().unwrap();
                let inside = read.iter().filter(|(t, _)| range.contains(t));
                samples.extend(inside.map(|(t, v)| (*t, v.to_bits())));
            }
        }
    }
    for (_, samples) in results.iter().flatten() {
        assert!(samples.is_sorted_by(|a, b| a.0 < b.0), "by time and once");
    }
    results
}

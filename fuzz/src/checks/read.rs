//! Remote-read requests against prost's reading; and frames of the streamed answer, taken apart again
//! plainly.

use prost::Message as _;
use saimon::wire::proto;
use saimon::wire::read::{self, ReadRequestError};
use saimon::wire::read_chunks::{ChunkRef, FrameWriter};

/// As `prometheus.ReadRequest`, with of the hints only what is looked at: the others may be anything.
#[derive(Clone, PartialEq, prost::Message)]
struct ReadRequest {
    #[prost(message, repeated, tag = "1")]
    queries: Vec<Query>,
    #[prost(int32, repeated, tag = "2")]
    accepted: Vec<i32>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Query {
    #[prost(int64, tag = "1")]
    start_ms: i64,
    #[prost(int64, tag = "2")]
    end_ms: i64,
    #[prost(message, repeated, tag = "3")]
    matchers: Vec<Matcher>,
    #[prost(message, optional, tag = "4")]
    hints: Option<Hints>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Matcher {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(string, tag = "2")]
    name: String,
    #[prost(string, tag = "3")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Hints {
    #[prost(bytes = "vec", tag = "2")]
    func: Vec<u8>,
}

fn requests(data: &[u8]) {
    match (read::decode(data), ReadRequest::decode(data)) {
        (Ok(ours), Ok(theirs)) => {
            assert!(ours.accepted == theirs.accepted);
            assert!(ours.queries.len() == theirs.queries.len());
            for (ours, theirs) in ours.queries.iter().zip(&theirs.queries) {
                assert!(ours.start_ms == theirs.start_ms && ours.end_ms == theirs.end_ms);
                let func = theirs.hints.as_ref().map(|h| &h.func[..]);
                assert!(ours.labels_only == (func == Some(b"series")));
                let plain = ours
                    .matchers
                    .iter()
                    .map(|m| (m.kind as i32, &m.name, &m.value));
                assert!(plain.eq(theirs.matchers.iter().map(|m| (m.kind, &m.name, &m.value))));
            }
        }
        (Err(ReadRequestError::TooMany { .. } | ReadRequestError::MatchType(_)), _) => {}
        (Err(_), Err(_)) => {}
        (ours, theirs) => panic!("ours: {ours:?}, prost's: {theirs:?}"),
    }
}

/// One frame: its message, and what follows.
fn frame(bytes: &[u8]) -> (proto::ChunkedReadResponse, &[u8]) {
    let mut rest = bytes;
    let len = prost::encoding::decode_varint(&mut rest).expect("a length") as usize;
    let (sum, rest) = rest.split_at(4);
    let (message, rest) = rest.split_at(len);
    assert!(crc32c::crc32c(message).to_be_bytes() == sum);
    let message = proto::ChunkedReadResponse::decode(message).expect("a message");
    (message, rest)
}

/// Series of chunks made of the input come back whole, whatever the limit of a frame.
fn frames(data: &[u8]) {
    let [limit, rest @ ..] = data else { return };
    let labels = b"\x0a\x0e\x0a\x08__name__\x12\x02up";
    let mut writer = FrameWriter::new(usize::from(*limit) * 8);
    let mut sent: Vec<(i64, Vec<(i64, Vec<u8>)>)> = Vec::new();
    for (query, series) in rest.split(|b| *b == 0xff).enumerate() {
        writer.begin_series(query, labels);
        let mut chunks = Vec::new();
        for (i, data) in series.split(|b| *b == 0xfe).enumerate() {
            let first_ms = i as i64 - 3;
            writer.chunk(ChunkRef {
                first_ms,
                last_ms: first_ms + 1,
                kind: 1 + (i % 3) as u8,
                data,
            });
            chunks.push((first_ms, data.to_vec()));
        }
        writer.end_series(true);
        sent.push((query as i64, chunks));
    }
    assert!(writer.ready() > 0);
    let bytes = writer.take();
    let mut rest = &bytes[..];
    let mut got: Vec<(i64, Vec<(i64, Vec<u8>)>)> = Vec::new();
    while !rest.is_empty() {
        let (message, behind) = frame(rest);
        let whole = rest.len() - behind.len();
        rest = behind;
        let [series] = &message.chunked_series[..] else {
            panic!("one series in a frame");
        };
        assert!(whole <= usize::from(*limit) * 8 || series.chunks.len() <= 1);
        assert!(series.labels.len() == 1 && series.labels[0].value == "up");
        let chunks = series.chunks.iter().map(|c| {
            assert!(c.max_time_ms == c.min_time_ms + 1);
            (c.min_time_ms, c.data.clone())
        });
        match got.last_mut() {
            Some((query, have)) if *query == message.query_index => have.extend(chunks),
            _ => got.push((message.query_index, chunks.collect())),
        }
    }
    assert!(got == sent);
}

pub fn check(data: &[u8]) {
    requests(data);
    frames(data);
}

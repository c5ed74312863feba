//! Remote-read requests against prost's reading.

use prost::Message as _;
use saimon::wire::read::{self, ReadRequestError};

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

pub fn check(data: &[u8]) {
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

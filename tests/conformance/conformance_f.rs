//! Section F: remote read, as client. The peer is scripted; what it says is what Prometheus 2.42 was
//! recorded to say, or built to be wrong in one way.

use std::sync::Arc;
use std::time::{Duration, Instant};

use prost::Message as _;
use saimon::backfill::external::{External, Wanted};
use saimon::backfill::fetch::Fetcher;
use saimon::backfill::plan;
use saimon::backfill::source::{Ask, Source};
use saimon::backfill::span::Span;
use saimon::config::HistoryConfig;
use saimon::config::client::Address;
use saimon::engine::history::History;
use saimon::series::labels;
use saimon::telemetry::Metrics;
use saimon::window::chunk::ChunkAppender;
use saimon::wire::proto;
use saimon::wire::snappy::BodyPool;

use crate::client::{WRITE_HEADERS, snappy};
use crate::peer::{Asked, Peer, Reply};
use crate::serving::Serving;

const CHUNKS: &str = "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse";
const SAMPLES: &str = "application/x-protobuf";
const ALWAYS: Span = Span {
    start_ms: 0,
    end_ms: i64::MAX,
};

/// A series of an answer: canonical labels, and (milliseconds, bits) in order of time.
type Series = (Vec<u8>, Vec<(i64, u64)>);

fn file(name: &str) -> Vec<u8> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/read-answers");
    std::fs::read(format!("{folder}/{name}")).unwrap()
}

/// What a recorded answer decodes to, as another decoder has it.
fn expected(name: &str) -> Vec<Series> {
    let mut all: Vec<Series> = decoded(name)
        .iter()
        .map(|row| {
            let samples = row["samples"].as_array().unwrap().iter().map(|s| {
                let bits = u64::from_str_radix(s[1].as_str().unwrap(), 16).unwrap();
                (s[0].as_i64().unwrap(), bits)
            });
            (series_labels(row), samples.collect())
        })
        .collect();
    all.sort();
    all
}

fn decoded(name: &str) -> Vec<serde_json::Value> {
    String::from_utf8(file("decoded.jsonl"))
        .unwrap()
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|row| row["name"] == name)
        .collect()
}

fn series_labels(row: &serde_json::Value) -> Vec<u8> {
    let labels = row["labels"].as_object().unwrap();
    labels::encode(
        labels
            .iter()
            .map(|(n, v)| (n.as_str(), v.as_str().unwrap())),
    )
}

fn named(name: &str) -> Vec<u8> {
    labels::encode([("__name__", name), ("job", "x")])
}

fn config() -> HistoryConfig {
    HistoryConfig {
        requests_per_second: 1000.0,
        ..HistoryConfig::default()
    }
}

fn block_on<T>(what: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(what)
}

fn source(peer: &Peer) -> Source {
    let address = Address::parse(&peer.url).unwrap();
    Source::new(&address, &config(), &Metrics::new().history).unwrap()
}

/// Asks once for these series; the answer, or the error in words.
fn read(peer: &Peer, wanted: &[Vec<u8>], span: Span) -> Result<Vec<History>, String> {
    let units: Vec<[Box<[u8]>; 1]> = wanted.iter().map(|l| [l.clone().into()]).collect();
    let queries = plan::queries(units.iter().map(|u| &u[..]), &External::default());
    let wanted = Arc::new(Wanted::new(units.iter().flatten(), &External::default()));
    let source = source(peer);
    let got = block_on(source.fetch(&Ask {
        queries: &queries,
        wanted: &wanted,
        span,
        samples_max: 1_000_000,
    }));
    let mut got = got.map_err(|e| e.to_string())?.finish();
    got.sort_by(|a, b| a.labels.cmp(&b.labels));
    Ok(got)
}

fn floats(of: &[History]) -> Vec<Series> {
    let bits = |h: &History| h.floats.iter().map(|(t, v)| (*t, v.to_bits())).collect();
    of.iter().map(|h| (h.labels.to_vec(), bits(h))).collect()
}

fn request(asked: &Asked) -> proto::ReadRequest {
    let raw = BodyPool::new(1).decompress(&asked.body, 1 << 20).unwrap();
    proto::ReadRequest::decode(&raw[..]).unwrap()
}

fn chunk(samples: &[(i64, f64)]) -> proto::Chunk {
    let mut chunk = ChunkAppender::new();
    for (t, v) in samples {
        chunk.append(*t, *v);
    }
    proto::Chunk {
        min_time_ms: samples.first().map_or(0, |s| s.0),
        max_time_ms: samples.last().map_or(0, |s| s.0),
        r#type: 1,
        data: chunk.finish(),
    }
}

/// A message with these chunks of one series.
fn message(name: &str, chunks: &[proto::Chunk]) -> Vec<u8> {
    let series = proto::ChunkedSeries {
        labels: labels::iter(&named(name))
            .map(|(name, value)| proto::Label {
                name: name.to_owned(),
                value: value.to_owned(),
            })
            .collect(),
        chunks: chunks.to_vec(),
    };
    proto::ChunkedReadResponse {
        chunked_series: vec![series],
        query_index: 0,
    }
    .encode_to_vec()
}

fn frame(message: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    prost::encoding::encode_varint(message.len() as u64, &mut out);
    out.extend(crc32c::crc32c(message).to_be_bytes());
    out.extend(message);
    out
}

fn streamed(body: Vec<u8>) -> Reply {
    Reply::new(200, body).with("content-type", CHUNKS)
}

/// Two good series, the second changed by `damage`.
fn damaged(damage: impl Fn(&mut Vec<u8>)) -> Vec<u8> {
    let mut second = frame(&message("b", &[chunk(&[(1, 1.0), (2, 2.0)])]));
    damage(&mut second);
    [frame(&message("a", &[chunk(&[(1, 1.0)])])), second].concat()
}

#[test]
fn item_087_asks_for_chunks_first_and_takes_either_answer_by_its_content_type() {
    for (name, kind, encoding) in [
        ("prefer-chunks", CHUNKS, None),
        ("prefer-samples", SAMPLES, Some("snappy")),
    ] {
        let body = file(&format!("{name}.resp"));
        let peer = Peer::start(move |_, _| {
            let reply = Reply::new(200, body.clone()).with("content-type", kind);
            match encoding {
                Some(encoding) => reply.with("content-encoding", encoding),
                None => reply,
            }
        });
        let want = expected(name);
        assert_eq!(want.len(), 16);
        let wanted: Vec<_> = want.iter().map(|(labels, _)| labels.clone()).collect();
        let got = read(&peer, &wanted, ALWAYS).unwrap();
        assert_eq!(floats(&got), want, "{name}");

        let asked = &peer.asked()[0];
        assert_eq!((&*asked.method, &*asked.path), ("POST", "/api/v1/read"));
        let header = |name| asked.header(name).unwrap_or_default();
        assert_eq!(header("x-prometheus-remote-read-version"), "0.1.0");
        assert_eq!(header("content-type"), "application/x-protobuf");
        assert_eq!(header("content-encoding"), "snappy");
        assert!(header("user-agent").starts_with("saimon/"));
        let request = request(asked);
        assert_eq!(request.accepted_response_types, [1, 0]);
        for query in &request.queries {
            let names = query.matchers.iter().filter(|m| m.name == "__name__");
            assert_eq!(names.count(), 1, "every query has a name matcher");
        }
    }
    // By prefix, with exactly that one space.
    for kind in [
        "application/x-streamed-protobuf;proto=prometheus.ChunkedReadResponse",
        "text/html",
        "",
    ] {
        let peer = Peer::start(move |_, _| Reply::new(200, *b"").with("content-type", kind));
        let error = read(&peer, &[named("a")], ALWAYS).unwrap_err();
        assert!(error.contains("Content-Type"), "{error}");
    }
}

#[test]
fn item_088_looks_at_the_status_first_and_shows_the_error_whatever_its_encoding() {
    let peer = Peer::start(|_, _| {
        Reply::new(500, file("bad-regex.resp"))
            .with("content-encoding", "snappy")
            .with("content-type", "text/plain; charset=utf-8")
    });
    let error = read(&peer, &[named("a")], ALWAYS).unwrap_err();
    assert!(error.contains("500"), "{error}");
    assert!(
        error.contains("error parsing regexp: missing closing ): `^(?:()$`"),
        "{error}"
    );
    assert!(error.contains(&peer.url), "{error}");
    // Also when the type says that it is an answer.
    let peer = Peer::start(|_, _| Reply::new(503, *b"not now").with("content-type", SAMPLES));
    let error = read(&peer, &[named("a")], ALWAYS).unwrap_err();
    assert!(
        error.contains("503") && error.contains("not now"),
        "{error}"
    );
}

#[test]
fn item_089_a_broken_answer_is_a_clear_error_and_nothing_of_it_is_used() {
    type Damage = fn(&mut Vec<u8>);
    let cases: [(&str, Damage); 4] = [
        ("checksum", |frame| frame[1] ^= 1),
        ("checksum", |frame| *frame.last_mut().unwrap() ^= 1),
        ("ends within frame 1", |frame| frame.truncate(9)),
        ("more than 50000000", |frame| {
            *frame = vec![0x81, 0xe1, 0xeb, 0x17, 0, 0, 0, 0];
        }),
    ];
    let wanted = [named("a"), named("b")];
    for (what, damage) in cases {
        let body = damaged(damage);
        let peer = Peer::start(move |_, _| streamed(body.clone()));
        let error = read(&peer, &wanted, ALWAYS).unwrap_err();
        assert!(error.contains(what), "{what}: {error}");
    }
    // The connection breaks between two frames, which no frame can tell.
    let peer = Peer::start(|_, _| streamed(damaged(|_| {})).cut());
    let error = read(&peer, &wanted, ALWAYS).unwrap_err();
    assert!(error.contains("broke off"), "{error}");
    // The same, whole, is fine.
    let peer = Peer::start(|_, _| streamed(damaged(|_| {})));
    assert_eq!(read(&peer, &wanted, ALWAYS).unwrap().len(), 2);
    // A chunk of a type from the future: asked again for samples, and then an error if that is
    // no better.
    let future = || {
        let chunk = proto::Chunk {
            r#type: 4,
            ..chunk(&[(1, 1.0)])
        };
        frame(&message("a", &[chunk]))
    };
    let peer = Peer::start(move |n, _| match n {
        0 => streamed(future()),
        _ => Reply::new(200, file("prefer-samples.resp")).with("content-type", SAMPLES),
    });
    let wanted: Vec<_> = expected("prefer-samples")
        .into_iter()
        .map(|s| s.0)
        .collect();
    assert_eq!(read(&peer, &wanted, ALWAYS).unwrap().len(), 16);
    let accepted: Vec<_> = peer
        .asked()
        .iter()
        .map(|asked| request(asked).accepted_response_types)
        .collect();
    assert_eq!(accepted, [vec![1, 0], vec![0]]);
    let peer = Peer::start(move |_, _| streamed(future()));
    let error = read(&peer, &wanted, ALWAYS).unwrap_err();
    assert!(error.contains("type 4"), "{error}");
}

#[test]
fn item_090_samples_are_cut_to_the_range_and_overlapping_chunks_are_merged() {
    let chunks = [
        chunk(&[(900, 9.0), (1000, 1.0), (1100, 2.0), (1200, 3.0)]),
        chunk(&[
            (1100, 2.0),
            (1200, 3.0),
            (1300, 4.0),
            (2000, 5.0),
            (2001, 6.0),
        ]),
        chunk(&[(1150, 2.5)]),
    ];
    let body = [
        frame(&message("a", &chunks[..2])),
        frame(&message("a", &chunks[2..])),
    ]
    .concat();
    let peer = Peer::start(move |_, _| streamed(body.clone()));
    let span = Span {
        start_ms: 1000,
        end_ms: 2000,
    };
    let got = read(&peer, &[named("a")], span).unwrap();
    assert_eq!(
        got[0].floats,
        [
            (1000, 1.0),
            (1100, 2.0),
            (1150, 2.5),
            (1200, 3.0),
            (1300, 4.0),
            (2000, 5.0)
        ]
    );
    let asked = &request(&peer.asked()[0]).queries[0];
    assert_eq!(
        (asked.start_timestamp_ms, asked.end_timestamp_ms),
        (1000, 2000)
    );
}

#[test]
fn item_091_the_upper_edge_of_a_delta_of_deltas_range_is_positive() {
    // Written bit by bit, so that no encoder of ours can agree with a mistake of ours.
    for (prefix, bits, raw, dod) in [
        ("10", 14, 0x2000u64, 8192i64),
        ("10", 14, 0x2001, -8191),
        ("110", 17, 0x10000, 65536),
        ("110", 17, 0x10001, -65535),
        ("1110", 20, 0x80000, 524_288),
        ("1110", 20, 0x80001, -524_287),
    ] {
        let mut text = format!("{:016b}", 3);
        // 1,000,000 in zigzag, as a varint
        for byte in [0x80u8, 0x89, 0x7a] {
            text.push_str(&format!("{byte:08b}"));
        }
        text.push_str(&format!("{:064b}", 1.0f64.to_bits()));
        // a delta of 1,000,000, and the same value
        for byte in [0xc0u8, 0x84, 0x3d] {
            text.push_str(&format!("{byte:08b}"));
        }
        text.push('0');
        text.push_str(&format!("{prefix}{raw:0bits$b}0"));
        while text.len() % 8 != 0 {
            text.push('0');
        }
        let data: Vec<u8> = text
            .as_bytes()
            .chunks(8)
            .map(|b| u8::from_str_radix(std::str::from_utf8(b).unwrap(), 2).unwrap())
            .collect();
        let chunk = proto::Chunk {
            data,
            ..chunk(&[(0, 0.0)])
        };
        let body = frame(&message("a", &[chunk]));
        let peer = Peer::start(move |_, _| streamed(body.clone()));
        let got = read(&peer, &[named("a")], ALWAYS).unwrap();
        let times: Vec<_> = got[0].floats.iter().map(|(t, _)| *t).collect();
        assert_eq!(
            times,
            [1_000_000, 2_000_000, 3_000_000 + dod],
            "{prefix} {raw:x}"
        );
    }
}

#[test]
fn item_092_histogram_chunks_and_empty_series_do_not_fail_the_rest() {
    for name in ["native-chunks", "native-float-chunks"] {
        let rows = decoded(name);
        let (row, labels) = (&rows[0], series_labels(&rows[0]));
        // Another series after it in the same answer.
        let body = [
            file(&format!("{name}.resp")),
            frame(&message("a", &[chunk(&[(7, 1.0)])])),
        ]
        .concat();
        let peer = Peer::start(move |_, _| streamed(body.clone()));
        let got = read(&peer, &[labels.clone(), named("a")], ALWAYS).unwrap();
        let float = got.iter().find(|h| *h.labels == named("a")[..]).unwrap();
        assert_eq!(float.floats, [(7, 1.0)]);
        let histogram = got.iter().find(|h| *h.labels == labels[..]).unwrap();
        assert!(histogram.floats.is_empty());
        let points = row["histogram_points"].as_array().unwrap();
        let want: Vec<_> = points
            .iter()
            .map(|p| (p[0].as_i64().unwrap(), p[3].as_f64().unwrap()))
            .collect();
        let got: Vec<_> = histogram
            .histograms
            .iter()
            .map(|h| (h.timestamp_ms, h.sum))
            .collect();
        assert_eq!(got, want, "{name}");
    }
    // A histogram chunk that cannot be read is left out, alone.
    let broken = proto::Chunk {
        r#type: 2,
        data: vec![0, 9, 0xff],
        ..chunk(&[(1, 1.0)])
    };
    let body = frame(&message("a", &[broken, chunk(&[(7, 1.0)])]));
    let peer = Peer::start(move |_, _| streamed(body.clone()));
    let got = read(&peer, &[named("a")], ALWAYS).unwrap();
    assert_eq!(got[0].floats, [(7, 1.0)]);
    // Prometheus 2.42 leaves histograms out of the form SAMPLES: a series without samples.
    let peer = Peer::start(|_, _| {
        Reply::new(200, file("native-samples.resp")).with("content-type", SAMPLES)
    });
    let labels = series_labels(&decoded("native-samples")[0]);
    assert!(read(&peer, &[labels], ALWAYS).unwrap().is_empty());
}

#[test]
fn item_093_long_ranges_are_split_failures_back_off_and_a_start_never_waits() {
    // The first request for samples fails, and the peer asks to be left alone for a second.
    let peer = Peer::start(|n, asked| match (n, &*asked.path) {
        (_, "/api/v1/status/config") => Reply::new(404, *b"no such page"),
        (1, _) => Reply::new(503, *b"busy").with("retry-after", "1"),
        _ => streamed(Vec::new()),
    });
    let config = HistoryConfig {
        request_range: Duration::from_secs(3600),
        ..config()
    };
    let address = Address::parse(&peer.url).unwrap();
    let history = Metrics::new().history;
    let fetcher = Fetcher::new(&address, &config, &history, fastrand::Rng::with_seed(1)).unwrap();
    let span = Span {
        start_ms: 0,
        end_ms: 3 * 3_600_000 + 1,
    };
    let unit: [Box<[u8]>; 1] = [named("a").into()];
    let since = Instant::now();
    assert!(block_on(fetcher.read(&[&unit], span)).unwrap().is_empty());
    assert!(since.elapsed() >= Duration::from_secs(1), "Retry-After");
    let spans: Vec<_> = peer
        .asked()
        .iter()
        .filter(|asked| asked.path == "/api/v1/read")
        .map(|asked| {
            let query = &request(asked).queries[0];
            (query.start_timestamp_ms, query.end_timestamp_ms)
        })
        .collect();
    let hour = 3_600_000;
    assert_eq!(
        spans,
        [
            (0, hour - 1),
            (0, hour - 1),
            (hour, 2 * hour - 1),
            (2 * hour, 3 * hour - 1),
            (3 * hour, 3 * hour + 1)
        ]
    );

    // A number of tries, and no more.
    let peer = Peer::start(|_, _| Reply::new(500, *b"boom"));
    let config = HistoryConfig { tries: 2, ..config };
    let address = Address::parse(&peer.url).unwrap();
    let fetcher = Fetcher::new(&address, &config, &history, fastrand::Rng::with_seed(1)).unwrap();
    let error = block_on(fetcher.read(&[&unit], span))
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("boom") && error.contains("2 tries"),
        "{error}"
    );
    assert_eq!(peer.asked().len(), 2);

    // A peer that takes connections and never answers: saimon is ready, takes samples, and stops.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", silent.local_addr().unwrap());
    let folder = tempfile::tempdir().unwrap();
    let args = ["--history-url", &url];
    let saimon = Serving::start_with(&folder.path().join("data"), "127.0.0.1:0", &args);
    let body = proto::WriteRequest {
        timeseries: vec![proto::TimeSeries {
            labels: labels::iter(&named("up"))
                .map(|(name, value)| proto::Label {
                    name: name.to_owned(),
                    value: value.to_owned(),
                })
                .collect(),
            samples: vec![proto::Sample {
                value: 1.0,
                timestamp: 1_000,
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let mut client = saimon.connect();
    let answer = client.post(WRITE_HEADERS, &snappy(&body.encode_to_vec()));
    assert_eq!(answer.status, 204, "{answer:?}");
    let (code, log) = saimon.terminate();
    assert_eq!(code, 0, "{log:?}");
}

//! `POST /api/v1/write` from outside, as remote write 2.0 has it, and bodies in zstd.

use prost::Message as _;
use saimon::engine::shard::Message;
use saimon::telemetry::Outcome;
use saimon::wire::proto::v2;
use saimon::wire::write::{MetricType, Protocol};

use crate::server::{Client, NOW_MS, Response, Server, WRITE_HEADERS, request, snappy};

const V2_HEADERS: &str = "content-type: application/x-protobuf;proto=io.prometheus.write.v2.Request\r\ncontent-encoding: snappy\r\nx-prometheus-remote-write-version: 2.0.0\r\nuser-agent: test\r\n";

const ZSTD_HEADERS: &str = "content-type: application/x-protobuf\r\ncontent-encoding: zstd\r\nx-victoriametrics-remote-write-version: 1\r\n";

/// Builds a request: labels become references.
#[derive(Default)]
struct Builder(v2::Request);

impl Builder {
    fn refer(&mut self, text: &str) -> u32 {
        let symbols = &mut self.0.symbols;
        if symbols.is_empty() {
            symbols.push(String::new());
        }
        let known = symbols.iter().position(|s| s == text);
        known.unwrap_or_else(|| {
            symbols.push(text.to_owned());
            symbols.len() - 1
        }) as u32
    }

    /// Adds an entry that `fill` completes.
    fn entry(mut self, labels: &[(&str, &str)], fill: impl FnOnce(&mut v2::TimeSeries)) -> Self {
        let labels_refs = labels
            .iter()
            .flat_map(|(name, value)| [self.refer(name), self.refer(value)])
            .collect();
        let mut entry = v2::TimeSeries {
            labels_refs,
            ..v2::TimeSeries::default()
        };
        fill(&mut entry);
        self.0.timeseries.push(entry);
        self
    }

    fn samples(self, labels: &[(&str, &str)], samples: &[(i64, f64)]) -> Self {
        self.entry(labels, |entry| entry.samples = samples_of(samples))
    }
}

fn samples_of(samples: &[(i64, f64)]) -> Vec<v2::Sample> {
    let sample = |&(timestamp, value): &(i64, f64)| v2::Sample {
        value,
        timestamp,
        start_timestamp: 0,
    };
    samples.iter().map(sample).collect()
}

fn histogram(timestamp: i64) -> v2::Histogram {
    v2::Histogram {
        timestamp,
        ..v2::Histogram::default()
    }
}

fn metadata(kind: MetricType) -> v2::Metadata {
    v2::Metadata {
        r#type: kind as i32,
        ..v2::Metadata::default()
    }
}

fn write(client: &mut Client, sent: &Builder) -> Response {
    client.post(V2_HEADERS, &snappy(&sent.0.encode_to_vec()))
}

/// The three counts of an answer, in the order of the specification; `None` if it has none at all.
fn written(response: &Response) -> Option<[u64; 3]> {
    let count = |what: &str| {
        let header = response.header(&format!("x-prometheus-remote-write-{what}-written"))?;
        Some(header.parse().unwrap())
    };
    let counts = ["samples", "histograms", "exemplars"].map(count);
    match counts {
        [Some(s), Some(h), Some(e)] => Some([s, h, e]),
        [None, None, None] => None,
        some => panic!("all or none: {some:?}"),
    }
}

fn up() -> [(&'static str, &'static str); 2] {
    [("__name__", "up"), ("job", "a")]
}

/// Conformance 3, 59, 61.
#[test]
fn a_good_request_is_taken_and_what_was_written_is_told() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let sent = Builder::default()
        .samples(&up(), &[(1, 1.0), (2, 2.0)])
        .samples(&[("__name__", "saimon_x")], &[(1, 1.0)])
        .entry(&up(), |entry| {
            entry.exemplars.push(v2::Exemplar::default());
        })
        .entry(&up(), |entry| {
            entry.samples = samples_of(&[(3, 3.0)]);
            entry.histograms = vec![histogram(3), histogram(4)];
        });
    let response = write(&mut client, &sent);
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert_eq!(written(&response), Some([4, 2, 1]));
    let values: Vec<_> = server.received().iter().map(|r| (r.1, r.2)).collect();
    assert_eq!(values, [(1, 1.0), (2, 2.0), (3, 3.0)]);
    assert_eq!(server.histograms, 2);
    let metrics = &server.metrics;
    assert_eq!(metrics.exemplars.get(), 1);
    assert_eq!(metrics.ingest_v2.get(Outcome::Skipped), 1);
    assert_eq!(metrics.ingest_v1.get(Outcome::Skipped), 0);
    let empty = client.post(V2_HEADERS, b"\0");
    assert_eq!((empty.status, written(&empty)), (204, Some([0, 0, 0])));
}

#[test]
fn shards_are_told_what_a_batch_was_sent_in() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    write(&mut client, &Builder::default().samples(&up(), &[(1, 1.0)]));
    client.write(&request(&[(&up(), &[(2, 1.0)])]));
    let mut protocols = Vec::new();
    for shard in &mut server.shards {
        while let Ok(message) = shard.try_recv() {
            if let Message::Batch(batch) = message {
                protocols.extend(
                    batch
                        .rows
                        .iter()
                        .map(|row| (row.timestamp_ms, batch.protocol)),
                );
            }
        }
    }
    assert_eq!(protocols, [(1, Protocol::V2), (2, Protocol::V1)]);
}

/// Conformance 45, 56, 59, 62, 63, 64, 68.
#[test]
fn what_is_refused_is_not_counted_as_written_and_the_rest_is_kept() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let limit = NOW_MS + 600_000;
    let sent = Builder::default()
        .samples(&up(), &[(NOW_MS, 1.0), (limit + 1, 2.0), (limit, 3.0)])
        .samples(&[("job", "nameless")], &[(1, 1.0)])
        .entry(&up(), |entry| {
            entry.labels_refs.push(2);
            entry.samples = samples_of(&[(1, 1.0), (2, 1.0)]);
            entry.exemplars.push(v2::Exemplar::default());
        })
        .entry(&up(), |entry| {
            let too_much = v2::Histogram {
                count: Some(v2::histogram::Count::CountInt(7)),
                ..histogram(1)
            };
            entry.histograms = vec![histogram(1), too_much];
        })
        .entry(&up(), |entry| {
            entry.histograms = vec![histogram(limit), histogram(limit + 1)];
            entry.exemplars.push(v2::Exemplar::default());
        });
    let response = write(&mut client, &sent);
    assert_eq!(response.status, 400);
    assert_eq!(written(&response), Some([2, 1, 1]));
    let text = response.text();
    assert!(response.body.len() < 1024, "{text}");
    let totals = "refused 4 samples, 3 histograms, 1 exemplars of 5 series, \
                  kept 2, 1 histograms, 1 exemplars: ";
    assert!(text.starts_with(totals), "{text}");
    for part in [
        "missing metric name: {job=",
        "reference to no symbol: up{",
        "2 more",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!((server.received().len(), server.histograms), (2, 1));
    let (samples, histograms) = (&server.metrics.ingest_v2, &server.metrics.histograms_v2);
    assert_eq!(samples.get(Outcome::Refused), 3);
    assert_eq!(samples.get(Outcome::Future), 1);
    assert_eq!(histograms.get(Outcome::Refused), 2);
    assert_eq!(histograms.get(Outcome::Future), 1);
}

/// Conformance 16, 24.
#[test]
fn a_body_that_cannot_be_decoded_is_told_no_counts() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let good = Builder::default().samples(&up(), &[(1, 1.0)]);
    let mut broken = good.0.encode_to_vec();
    broken.truncate(broken.len() - 3);
    for body in [&snappy(&broken)[..], b"\xff\xff corrupt"] {
        let response = client.post(V2_HEADERS, body);
        assert_eq!((response.status, written(&response)), (400, None));
        assert_eq!(write(&mut client, &good).status, 204);
        assert_eq!(server.received().len(), 1);
    }
}

#[test]
fn few_bytes_that_stand_for_many_labels_are_refused() {
    let server = Server::start(|limits| limits.body_raw = bytesize::ByteSize::kib(64));
    let mut client = server.connect();
    let value = "v".repeat(8000);
    let mut sent = Builder::default();
    for i in 0..20 {
        let name = format!("m{i}");
        sent = sent.samples(&[("__name__", &name), ("a", &value)], &[(1, 1.0)]);
    }
    let response = write(&mut client, &sent);
    assert_eq!(response.status, 400);
    let text = response.text();
    assert!(
        text.contains("limits.body_raw") && text.contains("65536 bytes"),
        "{text}"
    );
}

/// What the shards have heard of families since they were last asked.
fn families(server: &mut Server) -> Vec<(String, MetricType)> {
    let mut of_first = Vec::new();
    for (i, shard) in server.shards.iter_mut().enumerate() {
        while let Ok(message) = shard.try_recv() {
            if let Message::Families(families) = message
                && i == 0
            {
                let heard = families.all.iter().map(|(f, kind)| (f.to_string(), *kind));
                of_first.extend(heard);
            }
        }
    }
    of_first
}

/// Conformance 29, 48, 49.
#[test]
fn metadata_of_series_goes_to_the_shards_when_it_is_new() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let with = |kind, count_kind| {
        Builder::default()
            .entry(&up(), |entry| {
                entry.samples = samples_of(&[(1, 1.0)]);
                entry.metadata = Some(metadata(kind));
            })
            .entry(&[("__name__", "h_count")], |entry| {
                entry.samples = samples_of(&[(1, 1.0)]);
                entry.metadata = Some(metadata(count_kind));
            })
    };
    let sent = with(MetricType::Gauge, MetricType::Histogram);
    assert_eq!(write(&mut client, &sent).status, 204);
    let gauge = ("up".to_owned(), MetricType::Gauge);
    let of_parts = ("h".to_owned(), MetricType::Histogram);
    assert_eq!(families(&mut server), [gauge, of_parts]);
    assert_eq!(write(&mut client, &sent).status, 204);
    assert_eq!(families(&mut server), []);
    let sent = with(MetricType::Gauge, MetricType::Summary);
    assert_eq!(write(&mut client, &sent).status, 204);
    let other = ("h".to_owned(), MetricType::Summary);
    assert_eq!(families(&mut server), [other]);
}

#[test]
fn metadata_that_was_not_handed_over_is_still_new() {
    let mut server = Server::start(|limits| {
        limits.queue_batches = 1;
        limits.queue_wait = std::time::Duration::from_millis(50);
    });
    let mut client = server.connect();
    let filler = Builder::default().entry(&up(), |entry| {
        entry.metadata = Some(metadata(MetricType::Counter));
    });
    assert_eq!(write(&mut client, &filler).status, 204);
    let sent = Builder::default().entry(&[("__name__", "x")], |entry| {
        entry.metadata = Some(metadata(MetricType::Gauge));
    });
    let response = write(&mut client, &sent);
    assert_eq!((response.status, written(&response)), (503, None));
    assert_eq!(families(&mut server).len(), 1);
    assert_eq!(write(&mut client, &sent).status, 204);
    assert_eq!(families(&mut server), [("x".to_owned(), MetricType::Gauge)]);
}

fn zstd(raw: &[u8]) -> Vec<u8> {
    zstd::bulk::compress(raw, 1).unwrap()
}

/// Conformance 11, 12, 13.
#[test]
fn zstd_is_taken_whatever_the_label_says() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let raw = request(&[(&up(), &[(1, 1.0)])]).encode_to_vec();
    let many = |t: i64| {
        let labels: Vec<_> = (0..20_000).map(|i| format!("{t}-{i}")).collect();
        let labels: Vec<_> = labels
            .iter()
            .map(|i| [("__name__", "m"), ("i", i)])
            .collect();
        let samples = [(t, 1.0)];
        let all: Vec<_> = labels.iter().map(|l| (&l[..], &samples[..])).collect();
        request(&all).encode_to_vec()
    };
    for (headers, body) in [
        (ZSTD_HEADERS, zstd(&raw)),
        (ZSTD_HEADERS, snappy(&raw)),
        (WRITE_HEADERS, zstd(&raw)),
        (
            V2_HEADERS,
            zstd(
                &Builder::default()
                    .samples(&up(), &[(1, 1.0)])
                    .0
                    .encode_to_vec(),
            ),
        ),
    ] {
        assert_eq!(client.post(headers, &body).status, 204);
        assert_eq!(server.received().len(), 1);
    }
    // Small when packed, and more than is decoded where it arrives when not.
    let large = many(2).repeat(6);
    let body = zstd(&large);
    assert!(
        large.len() > 3 << 20 && body.len() < 128 << 10,
        "{}",
        body.len()
    );
    assert_eq!(client.post(ZSTD_HEADERS, &body).status, 204);
    assert_eq!(server.received().len(), 6 * 20_000);

    let asked = server.get("/api/v1/write?get_vm_proto_version=1", "");
    assert_eq!((asked.status, asked.text()), (200, "1"));
    assert_eq!(server.get("/api/v1/write?other=1", "").status, 405);
}

/// Conformance 21.
#[test]
fn a_bomb_stops_at_the_limit() {
    let server = Server::start(|_| {});
    let bomb = zstd(&vec![0; 100 << 20]);
    assert!(bomb.len() < 16 << 10);
    for headers in [ZSTD_HEADERS, WRITE_HEADERS] {
        let response = server.connect().post(headers, &bomb);
        assert_eq!(response.status, 400);
        assert!(
            response.text().contains("limits.body_raw"),
            "{}",
            response.text()
        );
    }
}

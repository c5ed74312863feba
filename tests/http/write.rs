//! `POST /api/v1/write` from outside, as remote write 1.0 has it, and what holds for both versions.

use std::time::Duration;

use prost::Message as _;
use saimon::engine::shard::Message;
use saimon::telemetry::Outcome;
use saimon::wire::proto;

use crate::server::{Entry, NOW_MS, Server, WRITE_HEADERS, request, snappy};

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];
const LOAD: &[(&str, &str)] = &[("__name__", "load"), ("job", "a")];

fn post(content_type: &str, encoding: &str) -> String {
    format!("content-type: {content_type}\r\ncontent-encoding: {encoding}\r\n")
}

#[test]
fn a_good_request_is_handed_over_and_answered_204_without_a_body() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let sent = request(&[(UP, &[(1, 1.0), (2, 0.0)]), (LOAD, &[(0, -2.5)])]);
    let response = client.write(&sent);
    assert_eq!((response.status, response.body.len()), (204, 0));
    let written = |(name, _): &(String, String)| name.ends_with("-written");
    assert!(!response.headers.iter().any(written));
    let rows = server.received();
    let values: Vec<_> = rows.iter().map(|(_, t, v)| (*t, *v)).collect();
    assert_eq!(values, vec![(1, 1.0), (2, 0.0), (0, -2.5)]);
    assert_eq!(server.answered(204), 1);
    for outcome in Outcome::ALL {
        assert_eq!(server.outcome(outcome), 0, "counted by its shard, not here");
    }
}

#[test]
fn headers_are_judged_before_a_corrupt_body_and_the_connection_goes_on() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let x = "application/x-protobuf";
    let v2 = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    let unknown = "application/x-protobuf;proto=a.b";
    let bad = [
        ("application/json", "snappy"),
        ("image/png", "snappy"),
        (unknown, "snappy"),
        (v2, "gzip"),
        (x, "gzip"),
        (x, "deflate"),
        (x, "br"),
        (x, "identity"),
        (x, "what"),
    ];
    for (content_type, encoding) in bad {
        let response = client.post(&post(content_type, encoding), b"\xff\xffcorrupt");
        assert_eq!(response.status, 415, "{content_type} {encoding}");
        assert!(response.text().contains("send "), "{}", response.text());
    }
    let sent = request(&[(UP, &[(1, 1.0)])]);
    assert_eq!(client.write(&sent).status, 204);
    assert_eq!(server.received().len(), 1);
    assert_eq!(server.answered(415), 9);
}

#[test]
fn lenient_and_missing_headers_are_taken() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let body = snappy(&request(&[(UP, &[(1, 1.0)])]).encode_to_vec());
    let message = "Application/X-Protobuf ; charset=utf-8; proto=\"prometheus.WriteRequest\"";
    for headers in [
        "",
        &post(message, "snappy"),
        "x-prometheus-remote-write-version: 99\r\n",
    ] {
        assert_eq!(client.post(headers, &body).status, 204, "{headers}");
    }
    assert_eq!(server.received().len(), 3);
}

#[test]
fn other_methods_get_405_and_other_paths_404() {
    let server = Server::start(|_| {});
    for method in ["GET", "PUT", "DELETE"] {
        let mut client = server.connect();
        let head = format!("{method} /api/v1/write HTTP/1.1\r\nhost: x\r\n\r\n");
        client.send(head.as_bytes());
        let response = client.response();
        assert_eq!(
            (response.status, response.header("allow")),
            (405, Some("POST"))
        );
    }
    assert_eq!(server.get("/api/v1/push", "").status, 404);
    assert_eq!(server.get("/nothing", "").status, 404);
    assert_eq!(server.answered(405), 3);
}

#[test]
fn corrupt_bodies_get_400_and_the_next_good_one_is_whole() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let good = request(&[(UP, &[(1, 1.0), (2, 2.0)])]);
    let whole = snappy(&good.encode_to_vec());
    let mut broken = good.encode_to_vec();
    broken.truncate(broken.len() - 3);
    let bad: [&[u8]; 7] = [
        b"",
        b"\xff\xff\xff\xff\xff\xff\xff",
        b"\xff\x06\x00\x00sNaPpY",
        &whole[..whole.len() - 2],
        &[&whole, b"tail".as_slice()].concat(),
        &snappy(&broken),
        &snappy(b"no protobuf at all"),
    ];
    for body in bad {
        let response = client.post(WRITE_HEADERS, body);
        assert_eq!(response.status, 400, "{body:?}");
        assert!(!response.body.is_empty() && response.body.len() < 1024);
        assert_eq!(client.write(&good).status, 204);
        assert_eq!(server.received().len(), 2, "after {body:?}");
    }
    assert_eq!(server.answered(400), 7);
}

#[test]
fn a_claim_of_4_gib_is_refused_by_its_claim() {
    let server = Server::start(|_| {});
    let response = server
        .connect()
        .post(WRITE_HEADERS, b"\xff\xff\xff\xff\x0f\x00");
    assert_eq!(response.status, 400);
    assert!(response.text().contains("4294967295") && response.text().contains("limits.body_raw"));
}

#[test]
fn a_body_above_the_limit_is_refused_declared_or_not() {
    let server = Server::start(|limits| limits.body = bytesize::ByteSize::kib(1));
    let declared = server.connect().post(WRITE_HEADERS, &[0; 1025]);
    assert_eq!(declared.status, 400);
    assert!(
        declared
            .text()
            .contains("1024 bytes, the limit of limits.body")
    );
    let mut client = server.connect();
    let head =
        "POST /api/v1/write HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n401\r\n";
    client.send(&[head.as_bytes(), &[0; 1025]].concat());
    assert_eq!(client.response().status, 400);
}

#[test]
fn chunked_bodies_and_expect_100_continue_work_on_one_connection() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    let body = snappy(&request(&[(UP, &[(1, 1.0)])]).encode_to_vec());
    let head = format!("POST /api/v1/write HTTP/1.1\r\nhost: x\r\n{WRITE_HEADERS}");
    client.send(format!("{head}transfer-encoding: chunked\r\n\r\n").as_bytes());
    for byte in &body {
        client.send(&[b"1\r\n".as_slice(), &[*byte], b"\r\n"].concat());
    }
    client.send(b"0\r\n\r\n");
    assert_eq!(client.response().status, 204);
    let length = body.len();
    client
        .send(format!("{head}expect: 100-continue\r\ncontent-length: {length}\r\n\r\n").as_bytes());
    client.until(b"HTTP/1.1 100 Continue\r\n\r\n");
    client.send(&body);
    assert_eq!(client.response().status, 204);
    assert_eq!(server.received().len(), 2);
}

#[test]
fn an_empty_request_metadata_and_exemplars_are_fine() {
    let mut server = Server::start(|_| {});
    let mut client = server.connect();
    assert_eq!(client.post(WRITE_HEADERS, b"\0").status, 204);
    let exemplar = proto::TimeSeries {
        labels: request(&[(UP, &[])]).timeseries.remove(0).labels,
        exemplars: vec![proto::Exemplar::default()],
        ..Default::default()
    };
    let sent = proto::WriteRequest {
        timeseries: vec![exemplar],
        metadata: vec![proto::MetricMetadata {
            r#type: 1,
            metric_family_name: "requests".to_owned(),
            ..Default::default()
        }],
    };
    assert_eq!(client.write(&sent).status, 204);
    assert_eq!(server.metrics.exemplars.get(), 1);
    for shard in &mut server.shards {
        let Ok(Message::Families(families)) = shard.try_recv() else {
            panic!("every shard gets the metadata");
        };
        assert_eq!(&*families.all[0].0, "requests");
    }
    assert!(server.received().is_empty(), "no phantom sample");
}

#[test]
fn what_is_refused_is_named_and_counted_and_the_rest_is_kept() {
    let mut server = Server::start(|_| {});
    let limit = NOW_MS + 600_000;
    let sent = request(&[
        (UP, &[(NOW_MS, 1.0), (limit + 1, 2.0), (limit, 3.0)]),
        (
            &[("__name__", "twice"), ("a", "1"), ("a", "2")],
            &[(1, 1.0), (2, 2.0)],
        ),
        (&[("job", "nameless")], &[(1, 1.0)]),
        (&[("__name__", "x_bucket")], &[(1, 1.0), (2, 1.0)]),
        (LOAD, &[(NOW_MS, 4.0)]),
    ]);
    let response = server.connect().write(&sent);
    assert_eq!(response.status, 400);
    let text = response.text();
    assert!(response.body.len() < 1024 && text.ends_with('\n'));
    assert!(
        text.starts_with("refused 4 samples of 3 series, kept 5: "),
        "{text}"
    );
    for part in [
        "duplicate label name",
        "missing metric name",
        "too far in the future",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let values: Vec<_> = server.received().iter().map(|r| r.2).collect();
    assert_eq!(values.len(), 5);
    assert!(values.iter().all(|v| [1.0, 3.0, 4.0].contains(v)));
    assert_eq!(server.outcome(Outcome::Refused), 3);
    assert_eq!(server.outcome(Outcome::Future), 1);
    assert_eq!(server.outcome(Outcome::Skipped), 0);
    assert_eq!(server.outcome(Outcome::Unavailable), 0);
}

#[test]
fn a_full_queue_gets_503_with_retry_after_and_no_shard_gets_any_of_it() {
    let mut server = Server::start(|limits| {
        limits.queue_batches = 1;
        limits.queue_wait = Duration::from_millis(50);
    });
    let series: Vec<_> = (0..64).map(|i| format!("m{i}")).collect();
    let labels: Vec<_> = series
        .iter()
        .map(|name| [("__name__", name.as_str())])
        .collect();
    let at = |t: i64| -> proto::WriteRequest {
        let samples = [(t, 1.0)];
        let all: Vec<Entry<'_>> = labels
            .iter()
            .map(|l| (l.as_slice(), samples.as_slice()))
            .collect();
        request(&all)
    };
    let mut client = server.connect();
    assert_eq!(client.write(&at(1)).status, 204);
    // The queue of the first shard has room again, that of the second has not.
    assert!(server.shards[0].try_recv().is_ok());
    let response = client.write(&at(2));
    assert_eq!(response.status, 503);
    let seconds: u32 = response.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=60).contains(&seconds));
    assert_eq!(server.outcome(Outcome::Unavailable), 64);
    assert_eq!(server.metrics.queue_full.get(), 1);
    assert!(
        server.received().iter().all(|row| row.1 == 1),
        "nothing of the second"
    );
    // With room, the same request is taken.
    assert_eq!(client.write(&at(2)).status, 204);
    assert_eq!(server.received().len(), 64);
    assert_eq!((server.answered(503), server.answered(204)), (1, 2));
}

#[test]
fn a_closed_engine_gets_503() {
    let mut server = Server::start(|_| {});
    server.shards.clear();
    let response = server.connect().write(&request(&[(UP, &[(1, 1.0)])]));
    assert_eq!(response.status, 503);
    assert!(response.header("retry-after").is_some());
    assert_eq!(server.outcome(Outcome::Unavailable), 1);
}

#[test]
fn large_bodies_and_many_senders_lose_nothing() {
    let mut server = Server::start(|limits| limits.writes_at_once = 2);
    let bodies: Vec<_> = (0..6)
        .map(|sender: i64| {
            let name = format!("sender_{sender}");
            let series: Vec<_> = (0..20_000)
                .map(|i| (name.clone(), format!("{:x}", i * 2_654_435_761_u64)))
                .collect();
            let timeseries = series.iter().map(|(name, i)| {
                let labels: &[(&str, &str)] = &[("__name__", name), ("i", i)];
                request(&[(labels, &[(sender, 1.0)])]).timeseries.remove(0)
            });
            let request = proto::WriteRequest {
                timeseries: timeseries.collect(),
                ..Default::default()
            };
            snappy(&request.encode_to_vec())
        })
        .collect();
    assert!(
        bodies[0].len() > 128 * 1024,
        "large enough to leave the async threads"
    );
    let server_ref = &server;
    std::thread::scope(|scope| {
        for body in &bodies {
            scope.spawn(move || {
                assert_eq!(server_ref.connect().post(WRITE_HEADERS, body).status, 204);
            });
        }
    });
    assert_eq!(server.received().len(), 6 * 20_000);
}

//! A. HTTP and negotiation of remote write.

mod bodies;

use std::io::Write as _;

use crate::client::Client;
use crate::serving::Serving;
use crate::support::raw::{self, Raw};
use crate::support::{
    LimitsConfig, NOW_MS, Response, Saimon, WRITE_HEADERS, bits, labels, snappy, v1, v2,
};

const UP: &[(&str, &str)] = &[("__name__", "up"), ("job", "a")];
const LOAD: &[(&str, &str)] = &[("__name__", "load"), ("job", "a")];

const V1: &str = "application/x-protobuf;proto=prometheus.WriteRequest";
const V2: &str = "application/x-protobuf;proto=io.prometheus.write.v2.Request";

fn one(t_ms: i64, value: f64) -> v1::Request {
    v1::Request::new().series(UP, &[(t_ms, value)])
}

fn one_v2(t_ms: i64, value: f64) -> v2::Request {
    v2::Request::new().series(UP, &[(t_ms, value)])
}

fn as_is(content_type: &str, encoding: &str) -> String {
    format!("content-type: {content_type}\r\ncontent-encoding: {encoding}\r\n")
}

/// Everything held of `up{job="a"}`.
fn up(saimon: &Saimon) -> Vec<(i64, u64)> {
    saimon.samples(&labels(UP))
}

/// 400 with a reason, and the connection it came on still works.
#[track_caller]
fn refused(saimon: &Saimon, headers: &str, body: &[u8]) -> Response {
    let mut client = saimon.connect();
    let response = client.post(headers, body);
    assert_eq!(response.status, 400, "{body:?}: {}", response.text());
    assert!(!response.text().trim().is_empty());
    assert_eq!(client.get("/-/healthy", "").status, 200);
    response
}

#[test]
fn item_001_a_valid_1_0_body_gets_204_and_an_empty_answer() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let response = client.post(
        "content-type: application/x-protobuf\r\ncontent-encoding: snappy\r\n",
        &one(NOW_MS, 1.5).body(),
    );
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert_eq!(up(&saimon), bits(&[(NOW_MS, 1.5)]));
}

#[test]
fn item_002_the_1_0_message_may_be_named() {
    let saimon = Saimon::start();
    let response = saimon
        .connect()
        .post(&as_is(V1, "snappy"), &one(NOW_MS, 2.5).body());
    assert_eq!((response.status, response.body.len()), (204, 0));
    assert_eq!(up(&saimon), bits(&[(NOW_MS, 2.5)]));
}

#[test]
fn item_003_the_2_0_message_is_chosen_by_its_name() {
    let saimon = Saimon::start();
    let response = saimon
        .connect()
        .post(&as_is(V2, "snappy"), &one_v2(NOW_MS, 3.5).body());
    assert_eq!(response.status, 204, "{}", response.text());
    assert_eq!(up(&saimon), bits(&[(NOW_MS, 3.5)]));
    // What is no longer a 2.0 message if read as one: labels in place of numbers.
    let swapped = saimon
        .connect()
        .post(&as_is(V2, "snappy"), &one(NOW_MS + 1, 4.5).body());
    assert!(
        swapped.status == 400 || v2::written(&swapped) == Some((0, 0, 0)),
        "a 1.0 body is never read as 1.0 under the name of 2.0"
    );
    assert_eq!(up(&saimon).len(), 1);
}

#[test]
fn item_004_other_media_types_get_415_whatever_the_body() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let good = one(NOW_MS, 1.0).body();
    for media in [
        "application/json",
        "image/png",
        "text/plain",
        "application/x-protobufs",
        "application/octet-stream",
        "application/json;proto=prometheus.WriteRequest",
    ] {
        for body in [&good[..], b"\xff\xff\xffcorrupt", b""] {
            let response = client.post(&as_is(media, "snappy"), body);
            assert_eq!(response.status, 415, "{media} {body:?}");
        }
    }
    assert!(saimon.held().is_empty());
}

#[test]
fn item_005_unknown_messages_get_415_whatever_the_body() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let good = one(NOW_MS, 1.0).body();
    for message in [
        "io.prometheus.write.v3.Request",
        "prometheus.ReadRequest",
        "prometheus.writerequest",
        "x",
    ] {
        for body in [&good[..], b"\xff\xff\xffcorrupt"] {
            let media = format!("application/x-protobuf;proto={message}");
            let response = client.post(&as_is(&media, "snappy"), body);
            assert_eq!(response.status, 415, "{message}");
        }
    }
    assert!(saimon.held().is_empty());
}

#[test]
fn item_006_other_encodings_get_415_whatever_the_body() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let good = one(NOW_MS, 1.0).body();
    for encoding in ["gzip", "deflate", "br", "lz4", "snappy, gzip", "xyz"] {
        for media in ["application/x-protobuf", V1, V2] {
            for body in [&good[..], b"\xff\xff\xffcorrupt"] {
                let response = client.post(&as_is(media, encoding), body);
                assert_eq!(response.status, 415, "{media} {encoding}");
            }
        }
    }
    assert!(saimon.held().is_empty());
}

#[test]
fn item_007_parameters_are_read_as_http_has_them() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let of_v1 = [
        "application/x-protobuf; proto=prometheus.WriteRequest",
        "application/x-protobuf ;\tproto=prometheus.WriteRequest",
        "application/x-protobuf;proto=\"prometheus.WriteRequest\"",
        "application/x-protobuf; charset=utf-8; proto=prometheus.WriteRequest",
        "application/x-protobuf; charset=utf-8",
        "APPLICATION/X-Protobuf; PROTO=prometheus.WriteRequest",
        "application/x-protobuf;",
    ];
    for (i, media) in of_v1.into_iter().enumerate() {
        let t_ms = NOW_MS + i as i64;
        let response = client.post(&as_is(media, "Snappy"), &one(t_ms, 1.0).body());
        assert_eq!(response.status, 204, "{media}");
        assert_eq!(up(&saimon).last(), Some(&(t_ms, 1f64.to_bits())), "{media}");
    }
    let of_v2 = [
        "application/x-protobuf; proto=io.prometheus.write.v2.Request",
        "application/x-protobuf;charset=utf-8;proto=\"io.prometheus.write.v2.Request\"",
        "Application/X-Protobuf ; Proto=io.prometheus.write.v2.Request",
    ];
    for (i, media) in of_v2.into_iter().enumerate() {
        let t_ms = NOW_MS + 100 + i as i64;
        let response = client.post(&as_is(media, "snappy"), &one_v2(t_ms, 2.0).body());
        assert_eq!(response.status, 204, "{media}");
        assert_eq!(up(&saimon).last(), Some(&(t_ms, 2f64.to_bits())), "{media}");
    }
}

#[test]
fn item_008_no_content_type_is_1_0_and_no_encoding_is_snappy() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let headers = [
        "",
        "content-type: application/x-protobuf\r\n",
        "content-encoding: snappy\r\n",
    ];
    for (i, headers) in headers.into_iter().enumerate() {
        let body = one(NOW_MS + i as i64, 1.0).body();
        assert_eq!(client.post(headers, &body).status, 204, "{headers:?}");
    }
    let v2_alone = format!("content-type: {V2}\r\n");
    let body = one_v2(NOW_MS + 9, 1.0).body();
    assert_eq!(client.post(&v2_alone, &body).status, 204);
    assert_eq!(up(&saimon).len(), 4);
}

#[test]
fn item_009_the_version_header_chooses_nothing() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let versions = ["", "0.1.0", "2.0.0", "99.9", "what"];
    for (i, version) in versions.into_iter().enumerate() {
        let header = format!("x-prometheus-remote-write-version: {version}\r\n");
        let t_ms = NOW_MS + 2 * i as i64;
        let response = client.post(&(as_is(V1, "snappy") + &header), &one(t_ms, 1.0).body());
        assert_eq!(response.status, 204, "1.0 with {version:?}");
        let body = one_v2(t_ms + 1, 1.0).body();
        let response = client.post(&(as_is(V2, "snappy") + &header), &body);
        assert_eq!(response.status, 204, "2.0 with {version:?}");
    }
    assert_eq!(up(&saimon).len(), 2 * versions.len());
}

#[test]
fn item_010_other_methods_get_405_with_allow_and_other_paths_404() {
    let saimon = Saimon::start();
    for method in ["GET", "PUT", "DELETE", "PATCH"] {
        let mut client = saimon.connect();
        let head = format!("{method} /api/v1/write HTTP/1.1\r\nhost: x\r\n\r\n");
        client.send(head.as_bytes());
        let response = client.response();
        assert_eq!(response.status, 405, "{method}");
        assert!(response.header("allow").unwrap().contains("POST"));
    }
    for path in ["/api/v1/nothing", "/api/v1/write/x", "/api/v2/write"] {
        let response = saimon
            .connect()
            .post_to(path, WRITE_HEADERS, &one(NOW_MS, 1.0).body());
        assert_eq!(response.status, 404, "{path}");
    }
    assert!(saimon.held().is_empty());
}

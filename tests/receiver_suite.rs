//! The cases of the official receiver suite (prometheus/compliance, `remotewrite/receiver`), made
//! anew: what its 39 functions send, and how they judge.
//!
//! The suite takes 400 for an answer in almost every case. Here whatever may succeed has to: 204, and
//! the written counts equal to what was sent; what must fail gets exactly 400 with the counts of the
//! rest. Labels come in random order, every case that succeeds is sent twice, and all cases go to one
//! saimon, so that series come again and older samples come after newer ones.

#[path = "receiver_suite/case.rs"]
mod case;
#[path = "receiver_suite/cases.rs"]
mod cases;
#[path = "support/client.rs"]
mod client;
#[path = "support/listening.rs"]
mod listening;
#[path = "conformance/support.rs"]
mod support;

use case::*;
use cases::*;
use support::v2::{Request, written};
use support::{NOW_MS, Saimon, WRITE_HEADERS, v1, v2};

#[test]
fn requests_3_functions() {
    let saimon = Saimon::start();
    let mut client = saimon.connect();
    let mut body = Request::new()
        .series(&[("__name__", "up")], &[(NOW_MS, 1.0)])
        .body();
    body[0] = b'0';
    let x = "application/x-protobuf;proto=io.prometheus.write.v2.Request";
    for (content_type, encoding, status) in [
        ("application/json", "snappy", 415),
        ("image/png", "snappy", 415),
        (x, "gzip", 415),
        (x, "deflate", 415),
        (x, "snappy", 400),
    ] {
        let headers = format!(
            "content-type: {content_type}\r\ncontent-encoding: {encoding}\r\nx-prometheus-remote-write-version: 2.0.0\r\n"
        );
        let response = client.post(&headers, &body);
        assert_eq!(response.status, status, "{content_type} {encoding}");
        assert!([None, Some((0, 0, 0))].contains(&written(&response)));
    }
}

#[test]
fn metrics_3_functions() {
    Runner::new(3, false).run_all(&metrics());
}

#[test]
fn histograms_8_functions() {
    Runner::new(8, false).run_all(&histograms());
}

#[test]
fn exemplars_6_functions() {
    Runner::new(6, false).run_all(&exemplars());
}

#[test]
fn metadata_6_functions() {
    Runner::new(66, false).run_all(&metadata());
}

#[test]
fn combined_11_functions() {
    Runner::new(11, false).run_all(&combined());
}

#[test]
fn compatibility_with_1_0_2_functions() {
    let saimon = Saimon::start();
    // No version header, labels in any order.
    let headers = "content-encoding: snappy\r\ncontent-type: application/x-protobuf\r\n";
    let request = v1::Request::new()
        .series(
            &[
                ("instance", "localhost:9090"),
                ("__name__", "up"),
                ("job", "testjob"),
            ],
            &[(NOW_MS, 1.0)],
        )
        .series(&[("__name__", "http_requests_total")], &[(NOW_MS, 100.0)]);
    let mut body = request.body();
    let response = saimon.connect().post(headers, &body);
    assert_eq!(response.status, 204);
    assert_eq!(written(&response), None);
    body[0] = 0xff;
    for headers in [headers, WRITE_HEADERS, v2::HEADERS] {
        assert_eq!(saimon.connect().post(headers, &body).status, 400);
    }
}

#[test]
fn everything_against_one_saimon_in_any_order_with_either_start_timestamp() {
    let all = || [metrics(), histograms(), exemplars(), metadata(), combined()].concat();
    for (seed, created) in [(1, false), (2, true), (3, true)] {
        let mut cases = all();
        let mut runner = Runner::new(seed, created);
        runner.rng.shuffle(&mut cases);
        runner.run_all(&cases);
    }
}

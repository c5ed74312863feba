//! The server over a source that the test plays, in part with what Prometheus 2.42 recorded.

mod played;

use std::sync::atomic::Ordering;

use http::StatusCode;
use prost::Message as _;
use tower::ServiceExt as _;

use self::played::*;
use super::*;
use crate::engine::ask::AskError;
use crate::series::labels;
use crate::window::chunk;
use crate::window::histogram_chunk;
use crate::wire::histogram::NativeHistogram;
use crate::wire::{histogram, proto};

/// Conformance 76 and 77: every recorded answer in chunks comes out byte for byte.
#[tokio::test]
async fn frames_have_the_bytes_that_prometheus_sent() {
    for name in [
        "chunks-up",
        "prefer-chunks",
        "two-queries-chunks",
        "specials-chunks",
        "stale-chunks",
        "long-chunks",
        "native-chunks",
        "native-float-chunks",
        "nothing-chunks",
    ] {
        let server = of(recorded_chunks(&[name]));
        let response = server.post(recorded(&format!("{name}.req"))).await;
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        let headers = response.headers();
        assert_eq!(
            headers[CONTENT_TYPE],
            "application/x-streamed-protobuf; proto=prometheus.ChunkedReadResponse"
        );
        assert!(!headers.contains_key(CONTENT_ENCODING));
        assert_eq!(
            bytes(response).await,
            recorded(&format!("{name}.resp")),
            "{name}"
        );
    }
}

/// Conformance 73 to 75, 79, 81 to 83: every recorded answer in samples, too, but for two.
#[tokio::test]
async fn samples_have_the_bytes_that_prometheus_sent() {
    let server = of(recorded_chunks(&[
        "chunks-up",
        "prefer-chunks",
        "two-queries-chunks",
        "specials-chunks",
        "stale-chunks",
        "long-chunks",
        "native-chunks",
    ]));
    for name in [
        "samples-up",
        "prefer-samples",
        "two-queries-samples",
        "regex-anchored",
        "regex-alt",
        "neg-regex",
        "empty-eq",
        "empty-neq",
        "regex-matches-empty",
        "ext-label",
        "ext-label-wrong",
        "specials-samples",
        "stale-samples",
        "long-samples",
        "nothing",
        "no-matchers",
        "start-after-end",
    ] {
        let response = server.post(recorded(&format!("{name}.req"))).await;
        assert_eq!(response.status(), StatusCode::OK, "{name}");
        assert_eq!(response.headers()[CONTENT_TYPE], "application/x-protobuf");
        assert_eq!(response.headers()[CONTENT_ENCODING], "snappy");
        let mut got = unpacked(&bytes(response).await);
        if name == "specials-samples" {
            // Prometheus leaves the value out of a sample of -0.0, which makes it 0.
            let mut read = proto::ReadResponse::decode(&got[..]).unwrap();
            let samples = read.results[0]
                .timeseries
                .iter_mut()
                .flat_map(|s| &mut s.samples);
            let minus_zeros = samples.filter(|s| s.value.to_bits() == (-0.0f64).to_bits());
            assert_eq!(minus_zeros.map(|s| s.value = 0.0).count(), 20);
            got = read.encode_to_vec();
        }
        assert_eq!(got, unpacked(&recorded(&format!("{name}.resp"))), "{name}");
    }
    for (name, why) in [
        ("unknown-type", "none of the accepted response types [9]"),
        (
            "bad-regex",
            "matcher of label \"job\": bad regular expression: unclosed group",
        ),
    ] {
        let response = server.post(recorded(&format!("{name}.req"))).await;
        assert_eq!(response.status(), StatusCode::BAD_REQUEST, "{name}");
        let text = String::from_utf8_lossy(&bytes(response).await).into_owned();
        assert!(text.starts_with(why), "{text}");
    }
}

/// Prometheus 2.42 answers native histograms in samples with an empty series; here they are in it.
#[tokio::test]
async fn native_histograms_are_in_samples_too() {
    for name in ["native-chunks", "native-float-chunks"] {
        let server = of(recorded_chunks(&[name]));
        let mut request =
            proto::ReadRequest::decode(&unpacked(&recorded(&format!("{name}.req")))[..]).unwrap();
        request.accepted_response_types.clear();
        let body = bytes(server.ask(&request).await).await;
        let read = proto::ReadResponse::decode(&unpacked(&body)[..]).unwrap();
        let series = &read.results[0].timeseries[0];
        let mut wanted = Vec::new();
        for chunk in server.source.stored.values().flatten() {
            wanted.extend(histogram_chunk::decode(&chunk.bytes, chunk.encoding).unwrap());
        }
        assert!(series.samples.is_empty() && wanted.len() > 10);
        let mut got = NativeHistogram::default();
        assert_eq!(series.histograms.len(), wanted.len());
        for (message, wanted) in series.histograms.iter().zip(wanted) {
            histogram::decode_into(&message.encode_to_vec(), &mut got).unwrap();
            assert_eq!(got, wanted);
        }
    }
}

/// Every answer in chunks, decoded and cut, is the one in samples: whatever the batches and frames.
#[tokio::test]
async fn both_forms_have_the_same_samples() {
    let server = server(
        Played {
            stored: many(40, 60),
            ..Played::default()
        },
        |config, _| config.frame = bytesize::ByteSize::kib(4),
    );
    for end_ms in [0, 1_000_500, 7_199_000, i64::MAX] {
        let packed = bytes(server.ask(&all(&[0], end_ms)).await).await;
        let read = proto::ReadResponse::decode(&unpacked(&packed)[..]).unwrap();
        let streamed = frames(&bytes(server.ask(&all(&[1, 0], end_ms)).await).await);
        let mut merged = Vec::<(Vec<proto::Label>, Vec<(i64, u64)>)>::new();
        for series in streamed.into_iter().flat_map(|f| f.chunked_series) {
            if merged
                .last()
                .is_none_or(|(labels, _)| *labels != series.labels)
            {
                merged.push((series.labels, Vec::new()));
            }
            let (_, samples) = merged.last_mut().unwrap();
            for part in &series.chunks {
                let decoded = chunk::Reader::new(&part.data).unwrap().map(Result::unwrap);
                samples.extend(
                    decoded
                        .filter(|s| s.0 <= end_ms)
                        .map(|s| (s.0, s.1.to_bits())),
                );
            }
        }
        assert_eq!(read.results[0].timeseries.len(), 40);
        for (series, (labels, samples)) in read.results[0].timeseries.iter().zip(&merged) {
            assert_eq!(series.labels, *labels);
            let got: Vec<_> = series
                .samples
                .iter()
                .map(|s| (s.timestamp, s.value.to_bits()))
                .collect();
            assert_eq!(got, *samples);
        }
    }
}

/// Conformance 84.
#[tokio::test]
async fn limits_are_named_in_what_they_refuse() {
    let limited = |tune: fn(&mut ReadConfig)| {
        server(
            Played {
                stored: many(10, 60),
                ..Played::default()
            },
            |config, _| tune(config),
        )
    };
    let request = all(&[], i64::MAX);
    for (server, limit) in [
        (limited(|c| c.series = 9), "the limit of read.series"),
        (limited(|c| c.samples = 71_999), "the limit of read.samples"),
        (
            limited(|c| c.answer = bytesize::ByteSize::mib(1)),
            "the limit of read.answer",
        ),
    ] {
        let (code, text) = server.refusal(&request).await;
        assert!(code == 400 && text.contains(limit), "{code} {text}");
    }
    let enough = limited(|c| (c.series, c.samples) = (10, 72_000));
    assert_eq!(enough.ask(&request).await.status(), StatusCode::OK);
    assert_eq!(enough.metrics.read_samples.get(), 72_000);
    let mut two = all(&[1], i64::MAX);
    two.queries.push(two.queries[0].clone());
    assert_eq!(
        enough.refusal(&two).await.0,
        400,
        "all queries share the series"
    );
}

/// Conformance 84.
#[tokio::test]
async fn more_requests_than_at_once_wait_for_a_bounded_time() {
    let server = server(
        Played {
            stored: many(1, 1),
            ..Played::default()
        },
        |config, _| {
            config.at_once = 1;
            config.wait = Duration::from_millis(10);
        },
    );
    let request = all(&[], i64::MAX);
    let held = server.source.gate.lock().await;
    let first = server.ask(&request);
    let second = async {
        let response = server.ask(&request).await;
        drop(held);
        response
    };
    let (first, second) = tokio::join!(first, second);
    assert_eq!(first.status(), StatusCode::OK);
    assert_eq!(second.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert!(second.headers().contains_key(http::header::RETRY_AFTER));
    assert_eq!(
        server.ask(&request).await.status(),
        StatusCode::OK,
        "the turn is given back"
    );
}

#[tokio::test]
async fn a_failure_before_the_first_byte_is_a_status_in_either_form() {
    for (error, code) in [
        (AskError::Busy, 503),
        (AskError::Closed, 503),
        (AskError::Store("gone".into()), 500),
    ] {
        for accepted in [0, 1] {
            let played = Played {
                stored: many(1, 1),
                fails_from: Some((1, error.clone())),
                ..Played::default()
            };
            let server = server(played, |_, _| {});
            let (got, text) = server.refusal(&all(&[accepted], 9)).await;
            assert_eq!(got, code, "{text}");
            assert_eq!(server.metrics.read_cut.get(), 0);
        }
    }
}

/// Conformance 85.
#[tokio::test]
async fn a_failure_half_way_fails_the_body() {
    let played = Played {
        stored: many(200, 20),
        fails_from: Some((4, AskError::Store("gone".into()))),
        ..Played::default()
    };
    let server = server(played, |_, _| {});
    let response = server.ask(&all(&[1], i64::MAX)).await;
    assert_eq!(response.status(), StatusCode::OK);
    assert!(response.into_body().collect().await.is_err());
    let code = server.ask(&all(&[0], i64::MAX)).await.status();
    assert_eq!(code, StatusCode::INTERNAL_SERVER_ERROR);
}

#[tokio::test]
async fn a_reader_that_leaves_or_stalls_ends_the_work_and_frees_its_turn() {
    let server = server(
        Played {
            stored: many(2_000, 20),
            ..Played::default()
        },
        |config, limits| {
            config.at_once = 1;
            limits.request = Duration::from_millis(500);
        },
    );
    let request = all(&[1], i64::MAX);
    drop(server.ask(&request).await);
    let stalled = server.ask(&request).await;
    assert_eq!(stalled.status(), StatusCode::OK);
    let next = server.ask(&request).await;
    assert_eq!(next.status(), StatusCode::OK);
    let read = server.source.calls.load(Ordering::Relaxed);
    assert!(stalled.into_body().collect().await.is_err());
    assert!(next.into_body().collect().await.is_ok());
    let whole = server.source.calls.load(Ordering::Relaxed) - read;
    assert!(
        read < whole,
        "{read} calls for two abandoned answers, {whole} for one"
    );
}

/// Conformance 86.
#[tokio::test]
async fn with_the_hint_series_only_labels_are_read() {
    let server = of(many(30, 2));
    for accepted in [0, 1] {
        let mut request = all(&[accepted], 1_000);
        request.queries[0].hints = Some(proto::ReadHints {
            func: "series".into(),
            ..Default::default()
        });
        let body = bytes(server.ask(&request).await).await;
        let labels: Vec<_> = if accepted == 0 {
            let read = proto::ReadResponse::decode(&unpacked(&body)[..]).unwrap();
            let series = read.results.into_iter().flat_map(|r| r.timeseries);
            series
                .inspect(|s| assert!(s.samples.is_empty()))
                .map(|s| s.labels)
                .collect()
        } else {
            let series = frames(&body).into_iter().flat_map(|f| f.chunked_series);
            series
                .inspect(|s| assert!(s.chunks.is_empty()))
                .map(|s| s.labels)
                .collect()
        };
        assert_eq!(labels.len(), 30);
    }
    assert_eq!(server.source.calls.load(Ordering::Relaxed), 0);
}

/// Conformance 72.
#[tokio::test]
async fn only_a_post_of_a_read_request_is_taken() {
    let server = of(Stored::new());
    let get = Request::get("/api/v1/read").body(Body::empty()).unwrap();
    let refused = server.router.clone().oneshot(get).await.unwrap();
    assert_eq!(refused.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(refused.headers()[http::header::ALLOW], "POST");
    let huge = [b"\x80\x80\x80\x80\x04".as_slice(), &[0; 100]].concat();
    for (body, why) in [
        (Vec::new(), "it is empty"),
        (b"no snappy".to_vec(), "snappy block"),
        (huge, "more than the limit"),
        (vec![0; REQUEST_BYTES_MAX + 1], "larger than"),
        (b"\x01\x00\xff".to_vec(), "prometheus.ReadRequest"),
    ] {
        let response = server.post(body).await;
        let code = response.status();
        let text = String::from_utf8_lossy(&bytes(response).await).into_owned();
        assert!(
            code == StatusCode::BAD_REQUEST && text.contains(why),
            "{code} {text}"
        );
    }
    let counted = server
        .metrics
        .read_requests
        .get(&CodeLabel { code: 400 })
        .map(|c| c.get());
    assert_eq!(counted, Some(5));
}

/// The external labels of the configuration in the order of an answer.
#[tokio::test]
async fn answers_are_sorted_by_the_labels_they_show() {
    let stored = [("b", ""), ("a", "y"), ("c", "x")].map(|(i, zone)| {
        let own = labels::encode([("__name__", "m"), ("i", i), ("zone", zone)]);
        (own, vec![chunk_of(&[(1, 1.0)])])
    });
    let server = server(
        Played {
            stored: stored.into(),
            ..Played::default()
        },
        |config, _| {
            config.external_labels = [
                ("a".to_owned(), "z".to_owned()),
                ("zone".to_owned(), "x".to_owned()),
            ]
            .into();
        },
    );
    let body = bytes(server.ask(&all(&[], 9)).await).await;
    let read = proto::ReadResponse::decode(&unpacked(&body)[..]).unwrap();
    let shown: Vec<String> = read.results[0]
        .timeseries
        .iter()
        .map(|s| {
            s.labels
                .iter()
                .map(|l| format!("{}={} ", l.name, l.value))
                .collect()
        })
        .collect();
    assert_eq!(
        shown,
        [
            "__name__=m a=z i=a zone=y ",
            "__name__=m a=z i=b zone=x ",
            "__name__=m a=z i=c zone=x "
        ]
    );
}

//! Clients that take what they are sent, and one that does not.

use tokio_util::sync::CancellationToken;
use tonic::Code;
use tonic::codegen::tokio_stream::StreamExt as _;

use super::*;
use crate::engine::record::Record;
use crate::expose::ApiParts;
use crate::records::index::tests::{kept, record};

/// An API over records of which so many are under way.
fn watched(folder: &std::path::Path, under_way: i64) -> Arc<Api> {
    let over = record("a", 0, Some(1));
    let all: Vec<Record> = (1..=under_way)
        .map(|t| record("a", t, None))
        .chain([over])
        .collect();
    let records = kept(folder, &all, 7);
    let mut state = crate::expose::secure::tests::state();
    state.api = Arc::new(ApiParts {
        records: Some(Arc::new(records)),
        ..ApiParts::default()
    });
    Api::new(&state)
}

async fn next(told: &mut Told) -> Option<Result<Message, Status>> {
    let wait = Duration::from_secs(60);
    tokio::time::timeout(wait, told.next()).await.unwrap()
}

#[tokio::test]
async fn what_is_under_way_comes_first_then_a_mark_to_go_on_from() {
    let folder = tempfile::tempdir().unwrap();
    let api = watched(folder.path(), 3);
    let watchers = Arc::default();
    let mut told = begin(&api, &watchers, v1::WatchAnomaliesRequest::default()).unwrap();
    for t in 1..=3 {
        let message = next(&mut told).await.unwrap().unwrap();
        let anomaly = message.anomaly.unwrap();
        assert!(anomaly.id.starts_with(&format!("{t}-")), "{}", anomaly.id);
        assert_eq!(
            (message.change.as_str(), message.cursor.as_str()),
            ("changed", "")
        );
    }
    let mark = next(&mut told).await.unwrap().unwrap();
    assert_eq!((mark.change.as_str(), &mark.anomaly), ("mark", &None));
    // Of the same process: goes on, without telling anything again.
    let again = v1::WatchAnomaliesRequest {
        cursor: mark.cursor,
        ..v1::WatchAnomaliesRequest::default()
    };
    let mut told = begin(&api, &watchers, again).unwrap();
    assert_eq!(next(&mut told).await.unwrap().unwrap().change, "mark");
    // Of an earlier process: all that is under way, and what has changed since.
    for (time_ms, wanted) in [(LATE_MAX_MS, 4), (LATE_MAX_MS + 2, 3)] {
        let cursor = Cursor {
            opened_ms: 1,
            number: 0,
            time_ms,
        };
        let again = v1::WatchAnomaliesRequest {
            cursor: cursor.write(),
            ..v1::WatchAnomaliesRequest::default()
        };
        let mut told = begin(&api, &watchers, again).unwrap();
        let mut seen = 0;
        while next(&mut told).await.unwrap().unwrap().change == "changed" {
            seen += 1;
        }
        assert_eq!(seen, wanted, "{time_ms}");
    }
}

#[tokio::test]
async fn a_client_that_takes_nothing_is_dropped_and_told_why() {
    let folder = tempfile::tempdir().unwrap();
    let api = watched(folder.path(), 100);
    let watchers = Arc::new(Watchers {
        slow_max: Duration::from_millis(20),
        queue_max: 2,
        ..Watchers::default()
    });
    let mut told = begin(&api, &watchers, v1::WatchAnomaliesRequest::default()).unwrap();
    // Its place is free again before it has read anything.
    while watchers.room.available_permits() < WATCHERS_MAX {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let mut taken = 0;
    let status = loop {
        match next(&mut told).await.unwrap() {
            Ok(_) => taken += 1,
            Err(status) => break status,
        }
    };
    assert_eq!(taken, 2, "nothing is queued beyond the bound");
    assert_eq!(status.code(), Code::ResourceExhausted, "{status}");
    assert!(next(&mut told).await.is_none());
}

#[tokio::test]
async fn there_are_so_many_watchers_and_no_more() {
    let folder = tempfile::tempdir().unwrap();
    let api = watched(folder.path(), 0);
    let watchers = Arc::<Watchers>::default();
    let watch = || begin(&api, &watchers, v1::WatchAnomaliesRequest::default());
    let held: Vec<_> = (0..WATCHERS_MAX).map(|_| watch().unwrap()).collect();
    assert_eq!(watch().err().unwrap().code(), Code::ResourceExhausted);
    drop(held);
    while watchers.room.available_permits() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    assert!(watch().is_ok());
}

#[tokio::test]
async fn what_is_wrong_with_a_request_names_its_field() {
    let folder = tempfile::tempdir().unwrap();
    let api = watched(folder.path(), 0);
    for (request, field) in [
        (
            v1::WatchAnomaliesRequest {
                cursor: "here".to_owned(),
                ..Default::default()
            },
            "cursor: ",
        ),
        (
            v1::WatchAnomaliesRequest {
                severity: vec!["dire".to_owned()],
                ..Default::default()
            },
            "severity: ",
        ),
        (
            v1::WatchAnomaliesRequest {
                r#match: vec!["{".to_owned()],
                ..Default::default()
            },
            "match: ",
        ),
    ] {
        let status = begin(&api, &Arc::default(), request).err().unwrap();
        assert_eq!(status.code(), Code::InvalidArgument);
        assert!(status.message().starts_with(field), "{status}");
    }
}

/// A stream with nothing to say ends when saimon does, with a status.
#[tokio::test]
async fn a_stream_ends_with_the_process() {
    use crate::expose::grpc::cut::Cut;
    use axum::body::Body;
    use http_body_util::BodyExt as _;

    let shutdown = CancellationToken::new();
    let place = Arc::new(Semaphore::new(1)).acquire_owned().await.unwrap();
    let silent = Body::from_stream(tokio_stream_pending());
    let cut = Cut::new(silent, shutdown.clone(), place);
    shutdown.cancel();
    let trailers = cut.collect().await.unwrap().trailers().cloned().unwrap();
    assert_eq!(
        trailers["grpc-status"],
        (Code::Unavailable as i32).to_string()
    );
}

fn tokio_stream_pending() -> impl Stream<Item = Result<bytes::Bytes, std::io::Error>> {
    tonic::codegen::tokio_stream::pending()
}

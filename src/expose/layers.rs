//! What holds for every route: a panic is an answer, a request ends in time, debug logs show both.
//!
//! Writes keep their deadline themselves (see `ingest`), because what they had received by then must
//! still be counted; the layer's is for all other routes.

use std::any::Any;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use http::header::RETRY_AFTER;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::{CompressionLayer, CompressionLevel};
use tower_http::timeout::TimeoutLayer;
use tower_http::trace::{DefaultOnFailure, TraceLayer};
use tracing::Level;

use crate::config::LimitsConfig;
use crate::engine::router::Router as Shards;

/// The outermost layers, around everything.
pub(super) fn around_all(router: Router) -> Router {
    router
        .layer(CatchPanicLayer::custom(panicked))
        // Only the first lines of a request's life; a 5xx is the sender's to see and ours to count.
        .layer(TraceLayer::new_for_http().on_failure(DefaultOnFailure::new().level(Level::DEBUG)))
}

/// For all routes but the one for writes. Such a request has no body to wait for: if it takes too
/// long, that is our doing, hence 503 and not 408.
pub(super) fn in_time(router: Router, limits: &LimitsConfig) -> Router {
    router.layer(TimeoutLayer::with_status_code(
        StatusCode::SERVICE_UNAVAILABLE,
        limits.request,
    ))
}

/// For what would give only a part of the truth while kept requests are still being read.
pub(super) fn when_recovered(router: Router, shards: &Shards) -> Router {
    router.layer(from_fn_with_state(shards.clone(), recovered))
}

async fn recovered(Extract(shards): Extract<Shards>, request: Request, next: Next) -> Response {
    if !shards.is_recovering() {
        return next.run(request).await;
    }
    let retry = [(RETRY_AFTER, "1")];
    let text = "saimon is reading what it had kept, ask again later\n";
    (StatusCode::SERVICE_UNAVAILABLE, retry, text).into_response()
}

/// gzip if asked, at the lowest level: pages are large, repetitive and read once.
pub(super) fn compressed(router: Router) -> Router {
    router.layer(CompressionLayer::new().quality(CompressionLevel::Fastest))
}

/// What a panic said.
pub(super) fn message(why: Box<dyn Any + Send + 'static>) -> String {
    match why.downcast::<String>() {
        Ok(why) => *why,
        Err(why) => (*why.downcast_ref::<&str>().unwrap_or(&"no message")).to_owned(),
    }
}

fn panicked(why: Box<dyn Any + Send + 'static>) -> Response {
    let why = message(why);
    tracing::error!(panic = why, "BUG: a request panicked, please report this");
    (
        StatusCode::INTERNAL_SERVER_ERROR,
        "saimon failed on this request: see its log\n",
    )
        .into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use axum::routing::get;
    use http::Request;
    use tower::ServiceExt as _;

    use super::*;

    async fn broken() -> &'static str {
        panic!("on purpose")
    }

    async fn endless() {
        std::future::pending::<()>().await;
    }

    async fn status(router: Router) -> StatusCode {
        let request = Request::get("/").body(Body::empty()).unwrap();
        router.oneshot(request).await.unwrap().status()
    }

    #[tokio::test]
    async fn a_panic_is_a_500_and_the_next_request_is_served() {
        let router = around_all(Router::new().route("/", get(broken)));
        for _ in 0..2 {
            assert_eq!(
                status(router.clone()).await,
                StatusCode::INTERNAL_SERVER_ERROR
            );
        }
    }

    #[tokio::test]
    async fn a_request_ends_in_time() {
        let router = Router::new().route("/", get(endless));
        let limits = LimitsConfig {
            request: std::time::Duration::from_millis(1),
            ..LimitsConfig::default()
        };
        let router = in_time(router, &limits);
        assert_eq!(status(router).await, StatusCode::SERVICE_UNAVAILABLE);
    }
}

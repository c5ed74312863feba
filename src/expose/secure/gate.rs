//! What every request passes first.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::credentials::{Credentials, Refusal};
use super::{Entrance, rights};
use crate::config::web::Right;
use crate::telemetry::Metrics;

/// Closes all routes of a router, that for unknown paths included.
pub(crate) fn around(router: Router, entrance: &Arc<Entrance>, metrics: &Arc<Metrics>) -> Router {
    let gate = (Arc::clone(entrance), Arc::clone(metrics));
    router.layer(from_fn_with_state(gate, pass))
}

async fn pass(
    Extract((entrance, metrics)): Extract<(Arc<Entrance>, Arc<Metrics>)>,
    request: Request,
    next: Next,
) -> Response {
    let door = entrance.door();
    let refused = match &door.known {
        Some(known) => {
            let right = rights::needed(request.method(), request.uri().path());
            let header = request.headers().get(AUTHORIZATION).cloned();
            refuse(known, header.as_ref(), right).await
        }
        None => None,
    };
    let mut response = match refused {
        Some(refused) => {
            metrics.config.refused(refused.status().as_u16());
            refused
        }
        None => next.run(request).await,
    };
    if !door.headers.is_empty() {
        response.headers_mut().extend(door.headers.clone());
    }
    response
}

/// The answer to somebody who is not let in.
async fn refuse(
    known: &Credentials,
    header: Option<&HeaderValue>,
    right: Option<Right>,
) -> Option<Response> {
    let caller = match known.caller(header).await {
        Ok(caller) => caller,
        Err(Refusal::Unknown) => {
            let mut response = (StatusCode::UNAUTHORIZED, "Unauthorized\n").into_response();
            for challenge in known.challenges() {
                response.headers_mut().append(WWW_AUTHENTICATE, challenge);
            }
            return Some(response);
        }
        Err(Refusal::Busy) => {
            let text = "too many passwords are being checked, come back in a second\n";
            return Some(
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response(),
            );
        }
    };
    let right = right?;
    if caller.rights.has(right) {
        return None;
    }
    let text = format!("{} has no right to {}\n", caller.name, right.as_str());
    Some((StatusCode::FORBIDDEN, text).into_response())
}

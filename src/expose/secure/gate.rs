//! What every request passes first.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};

use super::credentials::Refusal;
use super::{Door, Entrance, rights};
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
    let right = rights::needed(request.method(), request.uri().path());
    let header = request.headers().get(AUTHORIZATION).cloned();
    let mut response = match let_in(&door, header.as_ref(), right).await {
        Err(refused) => {
            let refused = refused.into_response();
            metrics.config.refused(refused.status().as_u16());
            refused
        }
        Ok(()) => next.run(request).await,
    };
    if !door.headers.is_empty() {
        response.headers_mut().extend(door.headers.clone());
    }
    response
}

/// Why somebody is not let in.
#[derive(Debug)]
pub(crate) enum Refused {
    /// Nobody knows them; how they may say who they are.
    Unknown(Vec<HeaderValue>),
    /// Too many passwords are being checked at once.
    Busy,
    /// They are known, by this name, and lack this right.
    Lacks(String, Right),
}

/// Lets in whoever has the right, and everybody through a door without credentials.
pub(crate) async fn let_in(
    door: &Door,
    header: Option<&HeaderValue>,
    right: Option<Right>,
) -> Result<(), Refused> {
    let Some(known) = &door.known else {
        return Ok(());
    };
    let caller = known
        .caller(header)
        .await
        .map_err(|refusal| match refusal {
            Refusal::Unknown => Refused::Unknown(known.challenges().collect()),
            Refusal::Busy => Refused::Busy,
        })?;
    match right {
        Some(right) if !caller.rights.has(right) => {
            Err(Refused::Lacks(caller.name.to_string(), right))
        }
        _ => Ok(()),
    }
}

impl std::fmt::Display for Refused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(_) => f.write_str("Unauthorized"),
            Self::Busy => {
                f.write_str("too many passwords are being checked, come back in a second")
            }
            Self::Lacks(name, right) => write!(f, "{name} has no right to {}", right.as_str()),
        }
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let text = format!("{self}\n");
        match self {
            Self::Unknown(challenges) => {
                let mut response = (StatusCode::UNAUTHORIZED, text).into_response();
                for challenge in challenges {
                    response.headers_mut().append(WWW_AUTHENTICATE, challenge);
                }
                response
            }
            Self::Busy => {
                (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response()
            }
            Self::Lacks(..) => (StatusCode::FORBIDDEN, text).into_response(),
        }
    }
}

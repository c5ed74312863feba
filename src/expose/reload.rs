//! `POST /-/reload`: the configuration is to be read again.
//!
//! Who reads it, and what it means, only the app knows; this asks and shows the answer.

use axum::extract::State as Extract;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, put};
use http::StatusCode;
use http::header::RETRY_AFTER;
use tokio::sync::{mpsc, oneshot};

/// Requests for a reload that wait for one that is under way.
const WAITING: usize = 4;

/// What came of a reload: what to say, whichever way it went.
pub type Reloaded = Result<String, String>;

/// Where a reload is asked for.
#[derive(Debug, Clone)]
pub struct Reloads(mpsc::Sender<oneshot::Sender<Reloaded>>);

/// Who reloads.
pub type ReloadInbox = mpsc::Receiver<oneshot::Sender<Reloaded>>;

impl Reloads {
    pub fn channel() -> (Self, ReloadInbox) {
        let (sender, inbox) = mpsc::channel(WAITING);
        (Self(sender), inbox)
    }
}

/// The route; without anybody who reloads it says so.
pub(super) fn route(reloads: Option<Reloads>) -> MethodRouter {
    put(reload).post(reload).with_state(reloads)
}

async fn reload(Extract(reloads): Extract<Option<Reloads>>) -> Response {
    let later = || {
        let text = "saimon cannot read its configuration now, ask again later\n";
        (StatusCode::SERVICE_UNAVAILABLE, [(RETRY_AFTER, "1")], text).into_response()
    };
    let Some(Reloads(reloads)) = reloads else {
        return later();
    };
    let (answer, answered) = oneshot::channel();
    if reloads.try_send(answer).is_err() {
        return later();
    }
    match answered.await {
        Ok(Ok(said)) => said.into_response(),
        Ok(Err(wrong)) => (StatusCode::INTERNAL_SERVER_ERROR, wrong).into_response(),
        Err(_) => later(),
    }
}

//! `/api/v1/...`: what is known of anomalies and series, as JSON, for people, scripts and pipelines.
//!
//! Every endpoint is one row of [`endpoints::ALL`]: its path, its parameters, what it answers, and who
//! answers. Requests are checked against that row and described by it (`/openapi.json`), so the two
//! cannot differ. What always holds:
//! - A parameter that is not declared, or not what it should be, is a 400 that names it.
//! - Errors are `application/problem+json`.
//! - An answer has an `ETag`; who sends it as `If-None-Match` gets 304 while nothing has changed.
//! - No more than [`AT_ONCE`] questions are answered at once, each on a thread that may block.

pub(super) mod acts;
pub(super) mod anomalies;
mod docs;
pub(super) mod endpoints;
mod explain;
mod feedback;
mod incidents;
mod maintenance;
mod models;
mod openapi;
pub(super) mod params;
pub(super) mod problem;
mod series;
mod system;
pub(super) mod time;
mod timeline;
mod token;
mod window;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Query, RawPathParams, Request, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get, post};
use http::header::{CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, StatusCode};
use serde::Serialize;
use tokio::sync::Semaphore;

use self::endpoints::{Endpoint, Verb};
use self::params::Params;
use self::problem::Problem;
use super::State;
use crate::config::Config;
use crate::engine::rules::Rules;
use crate::feedback::Feedbacks;
use crate::maintenance::Maintenance;
use crate::records::Records;

/// Questions that are answered at once; more wait.
const AT_ONCE: usize = 4;

/// What the API has besides what the other pages have.
#[derive(Debug, Default)]
pub struct ApiParts {
    /// Records of anomalies, if any are kept.
    pub records: Option<Arc<Records>>,
    /// What people say of them, if that is kept.
    pub feedback: Option<Arc<Feedbacks>>,
    /// Windows of maintenance and changes at targets, if they are kept.
    pub maintenance: Option<Arc<Maintenance>>,
    /// How long a change is held against anomalies, in milliseconds.
    pub change_window_ms: i64,
    /// How series are modelled; by defaults without.
    pub rules: Option<Rules>,
    /// The configuration as it is in force, without secrets.
    pub config: serde_json::Value,
}

impl ApiParts {
    pub fn new(records: Option<Arc<Records>>, config: &Config) -> Self {
        Self {
            records,
            feedback: None,
            maintenance: None,
            change_window_ms: config.maintenance.change_window.as_millis() as i64,
            rules: Rules::try_from(&config.detect).ok(),
            config: serde_json::to_value(config).expect("BUG: a configuration is plain data"),
        }
    }
}

/// What answers, whichever protocol asks.
pub(super) struct Api {
    state: State,
    turns: Arc<Semaphore>,
}

impl Api {
    pub(super) fn new(state: &State) -> Arc<Self> {
        Arc::new(Self {
            state: state.clone(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        })
    }

    /// Answers one endpoint: JSON.
    pub(super) async fn answer(
        self: &Arc<Self>,
        endpoint: &'static Endpoint,
        path: &[(String, String)],
        query: &[(String, String)],
    ) -> Answered {
        let params = Params::check(endpoint.params, path, query)?;
        self.in_turn(move |api| (endpoint.answer)(api, &params))
            .await
    }

    /// Has a question answered on a thread that may block, when there is room for it.
    pub(super) async fn in_turn<T: Send + 'static>(
        self: &Arc<Self>,
        answer: impl FnOnce(&Self) -> T + Send + 'static,
    ) -> T {
        let Ok(turn) = Arc::clone(&self.turns).acquire_owned().await else {
            unreachable!("BUG: the semaphore is never closed");
        };
        let api = Arc::clone(self);
        let answered = tokio::task::spawn_blocking(move || {
            let answered = answer(&api);
            drop(turn);
            answered
        });
        match answered.await {
            Ok(answered) => answered,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    /// How series are modelled.
    pub(super) fn rules(&self) -> Option<&Rules> {
        self.state.api.rules.as_ref()
    }

    /// Waits for what the shards are asked. Only where blocking is fine.
    fn ask<T>(&self, question: impl Future<Output = T>) -> Result<T, Problem> {
        if self.state.router.is_recovering() {
            let what = "saimon is reading what it had kept, ask again later";
            return Err(Problem::unavailable(what));
        }
        Ok(tokio::runtime::Handle::current().block_on(question))
    }
}

/// An answer before it has its headers: JSON.
pub(super) type Answered = Result<Vec<u8>, Problem>;

/// JSON of what is answered.
fn answer(value: &impl Serialize) -> Answered {
    serde_json::to_vec(value).map_err(|e| {
        tracing::error!(error = %e, "BUG: an answer cannot be written as JSON");
        Problem::unavailable("the answer cannot be written: see saimon's log")
    })
}

pub(super) fn routes(state: &State) -> Router {
    let api = Api::new(state);
    let mut router = Router::new();
    for endpoint in endpoints::ALL {
        let handle = move |Extract(api): Extract<Arc<Api>>,
                           path: RawPathParams,
                           headers: HeaderMap,
                           query: Result<Query<Vec<(String, String)>>, _>| {
            handle(endpoint, api, path, headers, query.map(|Query(q)| q))
        };
        router = router.route(
            endpoint.path,
            match endpoint.verb {
                Verb::Get => get(handle),
                Verb::Post => post(handle),
            },
        );
    }
    router
        .merge(acts::routes())
        .route("/api/v1/{*rest}", any(no_such_path))
        .with_state(api)
        .merge(docs::routes())
}

async fn no_such_path(request: Request) -> Problem {
    let path = problem::shortened(request.uri().path());
    Problem::not_found(format!("no such path: {path}"))
}

async fn handle(
    endpoint: &'static Endpoint,
    api: Arc<Api>,
    path: RawPathParams,
    headers: HeaderMap,
    query: Result<Vec<(String, String)>, axum::extract::rejection::QueryRejection>,
) -> Response {
    let Ok(query) = query else {
        return Problem::parameter("query", "it is not written as a form is").into_response();
    };
    let path: Vec<_> = path
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    match api.answer(endpoint, &path, &query).await {
        Ok(body) if endpoint.verb == Verb::Get => tagged(body, &headers),
        Ok(body) => {
            let headers = [
                (CONTENT_TYPE, "application/json"),
                (CACHE_CONTROL, "no-store"),
            ];
            (headers, body).into_response()
        }
        Err(problem) => problem.into_response(),
    }
}

/// The answer with its tag, or 304 if the client has it.
fn tagged(body: Vec<u8>, headers: &HeaderMap) -> Response {
    let tag = format!("\"{:016x}\"", xxhash_rust::xxh3::xxh3_64(&body));
    let has = |value: &http::HeaderValue| {
        let value = value.to_str().unwrap_or_default();
        value
            .split(',')
            .map(|t| t.trim().trim_start_matches("W/"))
            .any(|t| t == tag || t == "*")
    };
    let common = [(ETAG, tag.clone()), (CACHE_CONTROL, "no-cache".to_owned())];
    if headers.get_all(IF_NONE_MATCH).iter().any(has) {
        return (StatusCode::NOT_MODIFIED, common).into_response();
    }
    (common, [(CONTENT_TYPE, "application/json")], body).into_response()
}

//! What changes something: `POST` and `DELETE`, beside the questions of [`super::endpoints`].
//!
//! Every act is one row of [`ALL`], checked and described as an endpoint is; its body is JSON with the
//! fields that it names and no others. What always holds: a body of another type than JSON is refused,
//! so that no page of a stranger's can have a browser act without asking first; an act is answered
//! when what it did is kept.

use std::sync::Arc;

use axum::extract::{RawPathParams, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, post};
use bytes::Bytes;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use serde_json::{Map, Value};

use super::openapi::{self, SchemaOf};
use super::params::{Param, Params};
use super::problem::{Problem, shortened};
use super::{Answered, Api, feedback, maintenance, time};

/// Bytes of a body.
pub(super) const BODY_MAX: usize = 64 << 10;

/// How it is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verb {
    Post,
    Delete,
}

impl Verb {
    /// As OpenAPI writes it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Post => "post",
            Self::Delete => "delete",
        }
    }
}

/// One act, as [`super::endpoints::Endpoint`] is one question.
pub(in crate::expose) struct Act {
    pub(super) verb: Verb,
    /// With parameters in braces.
    pub(super) path: &'static str,
    /// A name that clients may use for it.
    pub(in crate::expose) name: &'static str,
    pub(super) summary: &'static str,
    pub(in crate::expose) params: &'static [Param],
    /// Of the body, if it has one.
    pub(super) body: Option<SchemaOf>,
    pub(super) schema: SchemaOf,
    /// Runs on a thread that may block. The body is empty where there is none.
    pub(in crate::expose) act: fn(&Api, &Params, Fields) -> Answered,
}

/// All of them.
pub(in crate::expose) const ALL: &[Act] = &[
    Act {
        verb: Verb::Post,
        path: "/api/v1/anomalies/{id}/feedback",
        name: "giveFeedback",
        summary: "Confirm an anomaly or reject it. Given again, it replaces what was given before.",
        params: feedback::ONE,
        body: Some(openapi::of::<feedback::FeedbackGiven>),
        schema: openapi::of::<feedback::FeedbackShown>,
        act: feedback::give,
    },
    Act {
        verb: Verb::Delete,
        path: "/api/v1/anomalies/{id}/feedback",
        name: "undoFeedback",
        summary: "Take feedback back, and what it did to the lines of the series.",
        params: feedback::ONE,
        body: None,
        schema: openapi::of::<feedback::FeedbackShown>,
        act: feedback::undo,
    },
    Act {
        verb: Verb::Post,
        path: "/api/v1/maintenance",
        name: "addWindow",
        summary: "Add a window of maintenance.",
        params: &[],
        body: Some(openapi::of::<maintenance::WindowGiven>),
        schema: openapi::of::<maintenance::WindowShown>,
        act: maintenance::add,
    },
    Act {
        verb: Verb::Delete,
        path: "/api/v1/maintenance/{id}",
        name: "endWindow",
        summary: "End a window of maintenance.",
        params: maintenance::ONE,
        body: None,
        schema: openapi::of::<maintenance::WindowShown>,
        act: maintenance::end,
    },
    Act {
        verb: Verb::Post,
        path: "/api/v1/changes",
        name: "sayChange",
        summary: "Say that something changed at a target: anomalies that begin shortly after are marked.",
        params: &[],
        body: Some(openapi::of::<maintenance::ChangeGiven>),
        schema: openapi::of::<maintenance::ChangeShown>,
        act: maintenance::say,
    },
];

/// The routes of all acts.
pub(super) fn routes() -> axum::Router<Arc<Api>> {
    let mut router = axum::Router::new();
    for act in ALL {
        let handle =
            move |Extract(api): Extract<Arc<Api>>,
                  path: RawPathParams,
                  headers: HeaderMap,
                  query: axum::extract::RawQuery,
                  body: Result<Bytes, axum::extract::rejection::BytesRejection>| {
                handle(act, api, path, headers, query, body)
            };
        let route: MethodRouter<Arc<Api>> = match act.verb {
            Verb::Post => post(handle),
            Verb::Delete => delete(handle),
        };
        router = router.route(act.path, route);
    }
    router.layer(axum::extract::DefaultBodyLimit::max(BODY_MAX))
}

async fn handle(
    act: &'static Act,
    api: Arc<Api>,
    path: RawPathParams,
    headers: HeaderMap,
    query: axum::extract::RawQuery,
    body: Result<Bytes, axum::extract::rejection::BytesRejection>,
) -> Response {
    let path: Vec<_> = path
        .iter()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    let query: Vec<_> = query
        .0
        .filter(|q| !q.is_empty())
        .map(|q| (shortened(&q), String::new()))
        .into_iter()
        .collect();
    let read = || {
        let params = Params::check(act.params, &path, &query)?;
        let fields = match act.body {
            Some(_) => Fields::read(&headers, body)?,
            None => Fields::default(),
        };
        Ok((params, fields))
    };
    let (params, fields) = match read() {
        Ok(read) => read,
        Err(problem) => return Problem::into_response(problem),
    };
    let Ok(turn) = Arc::clone(&api.turns).acquire_owned().await else {
        unreachable!("BUG: the semaphore is never closed");
    };
    let answered = tokio::task::spawn_blocking(move || {
        let answered = (act.act)(&api, &params, fields);
        drop(turn);
        answered
    });
    match answered.await {
        Ok(Ok(body)) => {
            let headers = [
                (CONTENT_TYPE, "application/json"),
                (CACHE_CONTROL, "no-store"),
            ];
            (headers, body).into_response()
        }
        Ok(Err(problem)) => problem.into_response(),
        Err(e) => std::panic::resume_unwind(e.into_panic()),
    }
}

/// The fields of a body. Each is taken once; what is left in the end was not asked for.
#[derive(Debug, Default)]
pub(in crate::expose) struct Fields(Map<String, Value>);

impl Fields {
    /// Of a call that is not made over HTTP.
    pub(in crate::expose) fn of(fields: Map<String, Value>) -> Self {
        Self(fields)
    }

    fn read(
        headers: &HeaderMap,
        body: Result<Bytes, axum::extract::rejection::BytesRejection>,
    ) -> Result<Self, Problem> {
        let kind = headers.get(CONTENT_TYPE).and_then(|k| k.to_str().ok());
        let kind = kind.and_then(|k| k.split(';').next()).unwrap_or_default();
        if !kind.trim().eq_ignore_ascii_case("application/json") {
            let what = "its Content-Type must be application/json";
            return Err(Problem::parameter("body", what));
        }
        let what = format!("it cannot be read, or has more than {BODY_MAX} bytes");
        let body = body.map_err(|_| Problem::parameter("body", what))?;
        match serde_json::from_slice(&body) {
            Ok(Value::Object(fields)) => Ok(Self(fields)),
            Ok(_) => Err(Problem::parameter("body", "it is no JSON object")),
            Err(e) => Err(Problem::parameter("body", format!("it is no JSON: {e}"))),
        }
    }

    /// A text, if it is given and not null.
    pub(super) fn text(&mut self, name: &str) -> Result<Option<String>, Problem> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text)),
            Some(_) => Err(Problem::parameter(name, "it is no text")),
        }
    }

    /// True or false, if it is given and not null.
    pub(super) fn yes(&mut self, name: &str) -> Result<Option<bool>, Problem> {
        match self.0.remove(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Bool(yes)) => Ok(Some(yes)),
            Some(_) => Err(Problem::parameter(name, "it is neither true nor false")),
        }
    }

    /// A time in milliseconds, if it is given: a text or seconds since 1970.
    pub(super) fn time(&mut self, name: &str) -> Result<Option<i64>, Problem> {
        let text = match self.0.remove(name) {
            None | Some(Value::Null) => return Ok(None),
            Some(Value::String(text)) => text,
            Some(Value::Number(number)) => number.to_string(),
            Some(_) => return Err(Problem::parameter(name, "it is no time")),
        };
        let ms = time::parse(&text);
        ms.map(Some)
            .ok_or_else(|| Problem::parameter(name, time::not_a_time(&text)))
    }

    /// One of these, which must be given.
    pub(super) fn one_of<T: Copy>(
        &mut self,
        name: &str,
        all: &[T],
        as_str: fn(T) -> &'static str,
    ) -> Result<T, Problem> {
        let names: Vec<_> = all.iter().map(|t| as_str(*t)).collect();
        let names = names.join(", ");
        let missing = || Problem::parameter(name, format!("it is missing: one of {names}"));
        let text = self.text(name)?.ok_or_else(missing)?;
        let one = all.iter().find(|t| as_str(**t) == text).copied();
        one.ok_or_else(|| {
            let text = shortened(&text);
            Problem::parameter(name, format!("{text:?} is not one of {names}"))
        })
    }

    /// Nothing more is asked for.
    pub(super) fn end(self, known: &str) -> Result<(), Problem> {
        match self.0.keys().next() {
            None => Ok(()),
            Some(name) => Err(Problem::parameter(
                name,
                format!("unknown: there are {known}"),
            )),
        }
    }
}

/// What is said of an act whose place is not there.
pub(super) fn nothing_kept() -> Problem {
    Problem::not_found(
        "nothing of the kind is kept: see saimon's log for why the data directory cannot be used",
    )
}

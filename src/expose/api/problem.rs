//! What went wrong with a request, as `application/problem+json` (RFC 9457).

use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use schemars::JsonSchema;
use serde::Serialize;

use crate::engine::ask::AskError;
use crate::engine::router::RouteError;
use crate::records::Unreadable;

pub(super) const PROBLEM_TYPE: &str = "application/problem+json";
/// Characters of what a stranger sent that are said back.
const SAID_BACK_MAX: usize = 120;

/// An error of the API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub(in crate::expose) struct Problem {
    /// Always `about:blank`: the status says which kind it is.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The name of the status.
    title: &'static str,
    /// The status of the answer.
    status: u16,
    /// What went wrong and what to do.
    detail: String,
    /// The parameter that it is about, if it is about one.
    #[serde(skip_serializing_if = "Option::is_none")]
    parameter: Option<String>,
}

impl Problem {
    fn new(status: StatusCode, detail: String) -> Self {
        Self {
            kind: "about:blank",
            title: status.canonical_reason().unwrap_or_default(),
            status: status.as_u16(),
            detail,
            parameter: None,
        }
    }

    /// A parameter that cannot be taken as it is.
    pub(in crate::expose) fn parameter(name: &str, what: impl std::fmt::Display) -> Self {
        let name = shortened(name);
        Self {
            parameter: Some(name.clone()),
            ..Self::new(StatusCode::BAD_REQUEST, format!("{name}: {what}"))
        }
    }

    pub(in crate::expose) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, detail.into())
    }

    /// What is asked for does not go with how things are.
    pub(super) fn conflict(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, detail.into())
    }

    pub(in crate::expose) fn unavailable(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, detail.into())
    }

    pub(in crate::expose) fn status(&self) -> u16 {
        self.status
    }

    pub(in crate::expose) fn detail(&self) -> &str {
        &self.detail
    }

    /// The parameter that it is about, if it is about one.
    pub(in crate::expose) fn about(&self) -> Option<&str> {
        self.parameter.as_deref()
    }
}

impl From<Unreadable> for Problem {
    fn from(error: Unreadable) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl From<AskError> for Problem {
    fn from(error: AskError) -> Self {
        match error {
            AskError::TooMany { .. } => Self::parameter("selector", error),
            AskError::TooMuch { .. } => Self::parameter("start_time", error),
            error => Self::unavailable(error.to_string()),
        }
    }
}

impl From<RouteError> for Problem {
    fn from(error: RouteError) -> Self {
        Self::unavailable(error.to_string())
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.status).unwrap_or(StatusCode::BAD_REQUEST);
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = (status, [(CONTENT_TYPE, PROBLEM_TYPE)], body).into_response();
        if status == StatusCode::SERVICE_UNAVAILABLE {
            let headers = response.headers_mut();
            headers.insert(RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

/// The beginning of what a stranger sent, for messages.
pub(super) fn shortened(text: &str) -> String {
    text.chars().take(SAID_BACK_MAX).collect()
}

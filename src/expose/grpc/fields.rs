//! Fields of messages and parameters of REST.
//!
//! A field has the name of its parameter, but for the brackets of `match[]`. What is not set, empty, or
//! zero is not given, so that what is usual counts.

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use tonic::Status;

use crate::expose::api::acts::{self, Act, Fields};
use crate::expose::api::endpoints::{ALL, Endpoint};
use crate::expose::api::params::Param;

/// Names and values.
pub(super) type Given = Vec<(String, String)>;

/// The endpoint of a name.
pub(super) fn endpoint(name: &str) -> Option<&'static Endpoint> {
    ALL.iter().find(|e| e.name == name)
}

/// The parameter that a field stands for.
pub(super) fn parameter(endpoint: &'static Endpoint, field: &str) -> Option<&'static Param> {
    let plain = |p: &&Param| p.name.trim_end_matches("[]") == field;
    endpoint.params.iter().find(plain)
}

/// What a request gives, for the path and for the query.
pub(super) fn given(
    endpoint: &'static Endpoint,
    request: &impl Serialize,
) -> Result<(Given, Given), Status> {
    let (mut path, mut query) = (Vec::new(), Vec::new());
    let Ok(Value::Object(fields)) = serde_json::to_value(request) else {
        return Err(Status::internal("BUG: a request is not an object"));
    };
    for (field, value) in fields {
        let values = texts(value);
        let Some(param) = parameter(endpoint, &field) else {
            let bug = format!("BUG: {} has no parameter {field}", endpoint.path);
            return Err(Status::internal(bug));
        };
        let into = if param.in_path { &mut path } else { &mut query };
        into.extend(values.into_iter().map(|v| (param.name.to_owned(), v)));
    }
    for param in endpoint.params.iter().filter(|p| p.in_path) {
        if !path.iter().any(|(name, _)| name == param.name) {
            path.push((param.name.to_owned(), String::new()));
        }
    }
    Ok((path, query))
}

/// The act of a name.
pub(super) fn act(name: &str) -> Option<&'static Act> {
    acts::ALL.iter().find(|a| a.name == name)
}

/// What a request gives, for the path and for the body.
pub(super) fn body(act: &'static Act, request: &impl Serialize) -> Result<(Given, Fields), Status> {
    let Ok(Value::Object(mut fields)) = serde_json::to_value(request) else {
        return Err(Status::internal("BUG: a request is not an object"));
    };
    let mut path = Vec::new();
    for param in act.params {
        let value = fields.remove(param.name).map(texts).unwrap_or_default();
        path.push((param.name.to_owned(), value.concat()));
    }
    fields.retain(|_, value| !value.is_null() && value.as_str() != Some(""));
    Ok((path, Fields::of(fields)))
}

fn texts(value: Value) -> Vec<String> {
    match value {
        Value::String(text) if !text.is_empty() => vec![text],
        Value::Bool(yes) => vec![yes.to_string()],
        Value::Number(number) if number.as_u64() != Some(0) => vec![number.to_string()],
        Value::Array(values) => values.into_iter().flat_map(texts).collect(),
        Value::Null | Value::String(_) | Value::Number(_) | Value::Object(_) => Vec::new(),
    }
}

/// The message of an answer.
pub(super) fn message<T: DeserializeOwned>(json: &[u8]) -> Result<T, Status> {
    serde_json::from_slice(json).map_err(|error| {
        tracing::error!(%error, "BUG: an answer of REST does not fit its message");
        Status::internal("the answer cannot be written: see saimon's log")
    })
}

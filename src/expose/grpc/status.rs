//! What went wrong, as gRPC says it.

use prost::Message as _;
use tonic::{Code, Status};

use crate::expose::api::problem::Problem;

/// `google.rpc.Status`, which travels in `grpc-status-details-bin`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct RpcStatus {
    #[prost(int32, tag = "1")]
    pub(super) code: i32,
    #[prost(string, tag = "2")]
    pub(super) message: String,
    #[prost(message, repeated, tag = "3")]
    pub(super) details: Vec<prost_types::Any>,
}

/// `google.rpc.BadRequest`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct BadRequest {
    #[prost(message, repeated, tag = "1")]
    pub(super) field_violations: Vec<FieldViolation>,
}

/// `google.rpc.BadRequest.FieldViolation`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct FieldViolation {
    #[prost(string, tag = "1")]
    pub(super) field: String,
    #[prost(string, tag = "2")]
    pub(super) description: String,
}

const BAD_REQUEST: &str = "type.googleapis.com/google.rpc.BadRequest";

/// The code that goes with a status of HTTP.
fn code(status: u16) -> Code {
    match status {
        400 | 413 | 415 | 422 => Code::InvalidArgument,
        401 => Code::Unauthenticated,
        403 => Code::PermissionDenied,
        404 => Code::NotFound,
        409 | 412 => Code::FailedPrecondition,
        429 => Code::ResourceExhausted,
        503 => Code::Unavailable,
        _ => Code::Internal,
    }
}

impl From<Problem> for Status {
    fn from(problem: Problem) -> Self {
        let code = code(problem.status());
        // The field, which has no brackets.
        let message = problem.detail().replacen("match[]", "match", 1);
        let Some(parameter) = problem.about() else {
            return Self::new(code, message);
        };
        let field = parameter.trim_end_matches("[]").to_owned();
        let prefix = format!("{field}: ");
        let bad = BadRequest {
            field_violations: vec![FieldViolation {
                description: message.strip_prefix(&prefix).unwrap_or(&message).to_owned(),
                field,
            }],
        };
        let details = RpcStatus {
            code: code as i32,
            message: message.clone(),
            details: vec![prost_types::Any {
                type_url: BAD_REQUEST.to_owned(),
                value: bad.encode_to_vec(),
            }],
        };
        Self::with_details(code, message, details.encode_to_vec().into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_names_the_field_in_the_message_and_in_the_details() {
        let status = Status::from(Problem::parameter("match[]", "selector {: no end"));
        assert_eq!(status.code(), Code::InvalidArgument);
        assert_eq!(status.message(), "match: selector {: no end");
        let details = RpcStatus::decode(status.details()).unwrap();
        assert_eq!(details.details[0].type_url, BAD_REQUEST);
        let bad = BadRequest::decode(&*details.details[0].value).unwrap();
        assert_eq!(bad.field_violations[0].field, "match");
        assert_eq!(bad.field_violations[0].description, "selector {: no end");
        let missing = Status::from(Problem::not_found("no such thing"));
        assert_eq!(missing.code(), Code::NotFound);
        assert!(missing.details().is_empty());
    }
}

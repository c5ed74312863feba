//! Every method behind a door, and messages that have what REST has.

use std::collections::BTreeSet;

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Request, Version};
use prost::Message as _;
use prost_types::{DescriptorProto, FileDescriptorSet};
use tower::ServiceExt as _;

use super::*;
use crate::config::client::Secret;
use crate::config::web::{Right, UserRightsConfig, WebFile};
use crate::expose::api::acts;
use crate::expose::api::endpoints::{ALL, Endpoint, Verb};
use crate::expose::secure::{Door, rights};

fn descriptors() -> FileDescriptorSet {
    FileDescriptorSet::decode(v1::DESCRIPTORS).unwrap()
}

/// Path and name of the request of every method that is served.
fn methods() -> Vec<(String, String)> {
    let health = FileDescriptorSet::decode(tonic_health::pb::FILE_DESCRIPTOR_SET).unwrap();
    let reflection = [
        tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
        tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
    ]
    .map(|bytes| FileDescriptorSet::decode(bytes).unwrap());
    let files = [descriptors(), health].into_iter().chain(reflection);
    let mut all = Vec::new();
    for file in files.flat_map(|set| set.file) {
        for service in &file.service {
            for method in &service.method {
                let path = format!("/{}.{}/{}", file.package(), service.name(), method.name());
                all.push((path, method.input_type().to_owned()));
            }
        }
    }
    all
}

/// A message of `saimon.v1`.
fn described(name: &str) -> DescriptorProto {
    let files = descriptors().file;
    let messages = files.into_iter().flat_map(|f| f.message_type);
    let name = name.rsplit('.').next().unwrap();
    let mut found = messages.filter(|m| m.name() == name);
    found.next().unwrap_or_else(|| panic!("no message {name}"))
}

fn fields_of(message: &DescriptorProto) -> BTreeSet<String> {
    message.field.iter().map(|f| f.name().to_owned()).collect()
}

/// Alice may do everything, bob only scrape.
fn guarded() -> axum::Router {
    let hash = |password| Secret::new(bcrypt::hash(password, 4).unwrap());
    let file = WebFile {
        basic_auth_users: [("alice", "wonder:land"), ("bob", "builder")]
            .map(|(name, password)| (name.to_owned(), hash(password)))
            .into(),
        user_rights: vec![UserRightsConfig {
            user: "bob".to_owned(),
            rights: vec![Right::Scrape],
        }],
        ..WebFile::default()
    };
    let entrance = Arc::new(Entrance::new(Door::new(&file).unwrap()));
    let state = crate::expose::secure::tests::state();
    Grpc::new(&CancellationToken::new()).routes(&state, &entrance)
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

/// The code of a call with an empty message.
async fn call(routes: &axum::Router, path: &str, who: &str) -> tonic::Code {
    let mut request = Request::post(path)
        .version(Version::HTTP_2)
        .header(CONTENT_TYPE, "application/grpc")
        .body(Body::from(vec![0; 5]))
        .unwrap();
    if let Ok(who) = HeaderValue::from_str(who)
        && !who.is_empty()
    {
        request.headers_mut().insert(AUTHORIZATION, who);
    }
    let answer = routes.clone().oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 200, "{path}");
    match answer.headers().get("grpc-status") {
        Some(code) => tonic::Code::from_bytes(code.as_bytes()),
        None => tonic::Code::Ok,
    }
}

#[tokio::test]
async fn no_method_answers_without_credentials() {
    let routes = guarded();
    let mut paths: Vec<String> = methods().into_iter().map(|(path, _)| path).collect();
    assert!(paths.len() >= 16, "{paths:?}");
    paths.extend(["/", "/saimon.v1.Saimon/Nothing", "/nowhere"].map(str::to_owned));
    for path in &paths {
        for who in ["", "Basic", "Bearer x", &basic("alice", "builder")] {
            let code = call(&routes, path, who).await;
            assert_eq!(code, tonic::Code::Unauthenticated, "{path} {who}");
        }
        let code = call(&routes, path, &basic("alice", "wonder:land")).await;
        assert_ne!(code, tonic::Code::Unauthenticated, "{path}");
        assert_ne!(code, tonic::Code::PermissionDenied, "{path}");
        let code = call(&routes, path, &basic("bob", "builder")).await;
        let for_all = matches!(rights::listed_method(path), Some(rights::Need::Known));
        assert_eq!(code == tonic::Code::PermissionDenied, !for_all, "{path}");
    }
}

/// A method that is not in the table of rights would be for administrators alone.
#[test]
fn every_method_says_which_right_it_needs() {
    for (path, _) in methods() {
        let listed = rights::listed_method(&path).is_some();
        assert!(listed, "{path} has no entry in expose::secure::rights");
    }
}

/// The endpoint that a method asks.
fn asked(path: &str) -> Option<&'static Endpoint> {
    let name = path.strip_prefix("/saimon.v1.Saimon/")?;
    let name = name[..1].to_lowercase() + &name[1..];
    ALL.iter().find(|e| e.name == name)
}

#[test]
fn every_field_of_a_request_is_a_parameter_of_its_endpoint() {
    let mut seen = 0;
    for (path, request) in methods() {
        let Some(endpoint) = asked(&path) else {
            continue;
        };
        seen += 1;
        for field in fields_of(&described(&request)) {
            let known = fields::parameter(endpoint, &field).is_some();
            assert!(known, "{} has no parameter {field}", endpoint.path);
        }
    }
    assert!(seen >= 11, "{seen}");
}

/// The same under another name, and what only HTTP needs.
const NOT_HERE: [&str; 2] = ["summarizeAnomalies", "getDescription"];

#[test]
fn every_endpoint_and_every_act_has_its_method() {
    let names: BTreeSet<String> = methods()
        .into_iter()
        .filter_map(|(path, _)| path.strip_prefix("/saimon.v1.Saimon/").map(str::to_owned))
        .collect();
    let acts = acts::ALL.iter().map(|a| a.name);
    let all = ALL.iter().map(|e| e.name).chain(acts);
    for name in all.filter(|name| !NOT_HERE.contains(name)) {
        let method = name[..1].to_uppercase() + &name[1..];
        let known = names.contains(&method);
        assert!(
            known,
            "{name} has no method in proto/saimon/v1/service.proto"
        );
    }
}

/// Who may only read changes nothing.
#[test]
fn what_changes_something_is_for_administrators() {
    let posts = ALL.iter().filter(|e| e.verb == Verb::Post).map(|e| e.name);
    for name in acts::ALL.iter().map(|a| a.name).chain(posts) {
        let method = name[..1].to_uppercase() + &name[1..];
        let need = rights::needed_by(&format!("/saimon.v1.Saimon/{method}"));
        assert_eq!(need, Some(Right::Admin), "{name}");
    }
}

#[tokio::test]
async fn calls_are_not_answered_over_http_1_and_the_answer_says_why() {
    let routes = guarded();
    let request = Request::post("/saimon.v1.Saimon/GetStatus")
        .body(Body::empty())
        .unwrap();
    let answer = routes.oneshot(request).await.unwrap();
    assert_eq!(answer.status(), 505);
}

#[tokio::test]
async fn calls_beyond_the_room_are_refused() {
    let state = crate::expose::secure::tests::state();
    let grpc = Grpc::new(&CancellationToken::new());
    let routes = grpc.routes(&state, &Arc::default());
    let path = "/saimon.v1.Saimon/GetStatus";
    let held = grpc.gate.hold_all();
    assert_eq!(
        call(&routes, path, "").await,
        tonic::Code::ResourceExhausted
    );
    drop(held);
    assert_eq!(call(&routes, path, "").await, tonic::Code::Ok);
}

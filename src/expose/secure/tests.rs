//! Every route behind a door.

use axum::body::Body;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Method, Request, StatusCode};
use tokio::sync::mpsc;
use tower::ServiceExt as _;

use super::*;
use crate::clock::ManualClock;
use crate::config::LimitsConfig;
use crate::config::client::Secret;
use crate::config::web::{Right, TokenConfig, UserRightsConfig};
use crate::engine::ask::Reader;
use crate::engine::router::Router as Shards;
use crate::expose::{Health, State};
use crate::score::board::Board;
use crate::telemetry::Metrics;

const TOKEN: &str = "a-token-of-some-length";

pub(in crate::expose) fn state() -> State {
    let (sender, _) = mpsc::channel(1);
    State {
        reader: Reader::new(vec![sender.clone()], None),
        read: Arc::default(),
        groups: Arc::default(),
        router: Shards::new(vec![sender]),
        board: Board::new(1).0,
        metrics: Arc::new(Metrics::new()),
        limits: Arc::new(LimitsConfig::default()),
        clock: Arc::new(ManualClock::at(0)),
        health: Arc::new(Health::default()),
        api: Arc::default(),
    }
}

fn hash(password: &str) -> Secret {
    Secret::new(bcrypt::hash(password, 4).unwrap())
}

/// Alice may do everything, bob only scrape, and the token only write.
fn file() -> WebFile {
    WebFile {
        basic_auth_users: [("alice", "wonder:land"), ("bob", "builder")]
            .map(|(name, password)| (name.to_owned(), hash(password)))
            .into(),
        bearer_tokens: vec![TokenConfig {
            name: "sender".to_owned(),
            token: Some(Secret::new(TOKEN)),
            token_file: None,
            rights: vec![Right::Write],
        }],
        user_rights: vec![UserRightsConfig {
            user: "bob".to_owned(),
            rights: vec![Right::Scrape],
        }],
        ..WebFile::default()
    }
}

fn router(file: &WebFile) -> axum::Router {
    let entrance = Arc::new(Entrance::new(Door::new(file).unwrap()));
    crate::expose::routes(&state(), &entrance, None)
}

/// The paths of a router, from itself.
fn paths(router: &axum::Router) -> Vec<String> {
    let shown = format!("{router:?}");
    let mut found: Vec<String> = shown
        .split("RouteId(")
        .filter_map(|part| part.split_once("): \"")?.1.split_once('"'))
        .map(|(path, _)| path.to_owned())
        // What answers for all others; asked as /nowhere.
        .filter(|path| !path.contains("__private__"))
        .collect();
    found.sort();
    found.dedup();
    found
}

fn basic(name: &str, password: &str) -> String {
    format!("Basic {}", STANDARD.encode(format!("{name}:{password}")))
}

async fn ask(router: &axum::Router, method: Method, path: &str, who: &str) -> http::Response<Body> {
    let mut request = Request::builder().method(method).uri(path);
    if !who.is_empty() {
        request = request.header(AUTHORIZATION, who);
    }
    let request = request.body(Body::empty()).unwrap();
    router.clone().oneshot(request).await.unwrap()
}

#[tokio::test]
async fn no_route_answers_without_credentials() {
    let router = router(&file());
    let mut paths = paths(&router);
    assert!(paths.len() >= 8, "{paths:?}");
    for path in ["/api/v1/write", "/-/healthy", "/metrics/scores"] {
        assert!(paths.iter().any(|p| p == path), "{path}: {paths:?}");
    }
    paths.extend(["/nowhere", "/api/v1/nothing", "//metrics", "/metrics/"].map(str::to_owned));
    for path in &paths {
        let path = path.replace(['{', '}', '*'], "");
        for (method, whole) in [
            ("GET", true),
            ("POST", false),
            ("HEAD", false),
            ("PUT", false),
            ("DELETE", false),
            ("OPTIONS", false),
            ("PATCH", false),
            ("TRACE", false),
        ] {
            let cheap = [
                "",
                "Basic",
                "Bearer",
                "Bearer ",
                "Bearer a-token-of-some-lengtH",
                "Basic !!!!",
                "Digest username=alice",
            ];
            // Each of these takes a check by bcrypt.
            let dear = [
                basic("alice", "wonder"),
                basic("alice", ""),
                basic("bob", "wonder:land"),
                basic("mallory", "wonder:land"),
            ];
            let dear = dear.iter().map(String::as_str).filter(|_| whole);
            let method = Method::from_bytes(method.as_bytes()).unwrap();
            for who in cheap.into_iter().chain(dear) {
                let answer = ask(&router, method.clone(), &path, who).await;
                let status = answer.status();
                assert_eq!(status, StatusCode::UNAUTHORIZED, "{method} {path} {who:?}");
                assert_eq!(answer.headers()[WWW_AUTHENTICATE], "Basic");
            }
        }
    }
}

/// A route that is not in the table of rights would be for administrators alone.
#[test]
fn every_route_says_which_right_it_needs() {
    for path in paths(&router(&WebFile::default())) {
        assert!(
            rights::listed(&path).is_some(),
            "{path} has no entry in expose::secure::rights"
        );
    }
}

#[tokio::test]
async fn everybody_gets_what_their_rights_are_for() {
    let router = router(&file());
    let token = format!("bearer {TOKEN}");
    let (alice, bob) = (basic("alice", "wonder:land"), basic("bob", "builder"));
    for (method, path, everything, scrapes, writes) in [
        (Method::GET, "/", 200, 200, 200),
        (Method::GET, "/-/healthy", 200, 200, 200),
        (Method::GET, "/metrics", 200, 200, 403),
        (Method::GET, "/metrics/scores", 200, 200, 403),
        (Method::POST, "/api/v1/write", 400, 403, 400),
        (Method::POST, "/api/v1/nothing", 404, 403, 403),
        (Method::GET, "/api/v1/nothing", 404, 403, 403),
        (Method::GET, "/nowhere", 404, 403, 403),
    ] {
        for (who, status) in [(&alice, everything), (&bob, scrapes), (&token, writes)] {
            // Twice: the second time the password is remembered.
            for _ in 0..2 {
                let answer = ask(&router, method.clone(), path, who).await;
                assert_eq!(answer.status(), status, "{method} {path} {who}");
            }
        }
    }
}

#[tokio::test]
async fn without_users_and_tokens_nobody_is_asked() {
    let router = router(&WebFile::default());
    let answer = ask(&router, Method::GET, "/metrics", "").await;
    assert_eq!(answer.status(), StatusCode::OK);
}

#[tokio::test]
async fn headers_are_those_of_every_answer() {
    let mut file = file();
    let headers = &mut file.http_server_config.headers;
    headers.insert("x-frame-options".to_owned(), Secret::new("deny"));
    let router = router(&file);
    for who in [String::new(), basic("bob", "builder")] {
        let answer = ask(&router, Method::GET, "/metrics", &who).await;
        assert_eq!(answer.headers()["X-Frame-Options"], "deny");
    }
}

#[tokio::test]
async fn a_door_is_changed_under_those_who_use_it_and_never_for_a_weaker_one() {
    let entrance = Arc::new(Entrance::new(Door::new(&file()).unwrap()));
    let router = crate::expose::routes(&state(), &entrance, None);
    let bob = basic("bob", "builder");
    let status = async || ask(&router, Method::GET, "/metrics", &bob).await.status();
    assert_eq!(status().await, StatusCode::OK);
    assert_eq!(entrance.put(Door::new(&file()).unwrap()), Ok(true));
    let mut other = file();
    other.basic_auth_users.insert("bob".to_owned(), hash("new"));
    assert_eq!(entrance.put(Door::new(&other).unwrap()), Ok(true));
    assert_eq!(entrance.put(Door::new(&other).unwrap()), Ok(false));
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
    let open = Door::new(&WebFile::default()).unwrap();
    assert_eq!(entrance.put(open), Err(Weaker::Credentials));
    assert_eq!(status().await, StatusCode::UNAUTHORIZED);
}

/// Strangers who try passwords do not keep out those who are remembered, and do not pile up.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flood_of_passwords_has_a_bound() {
    let mut file = file();
    let slow = bcrypt::hash("slow", 7).unwrap();
    file.basic_auth_users
        .insert("carol".to_owned(), Secret::new(slow));
    let router = router(&file);
    let bob = basic("bob", "builder");
    let scrape = async |who: String| ask(&router, Method::GET, "/metrics", &who).await.status();
    assert_eq!(scrape(bob.clone()).await, StatusCode::OK);
    let flood: Vec<_> = (0..200)
        .map(|i| {
            let router = router.clone();
            let who = basic("carol", &format!("guess {i}"));
            tokio::spawn(async move { ask(&router, Method::GET, "/metrics", &who).await.status() })
        })
        .collect();
    tokio::task::yield_now().await;
    assert_eq!(scrape(bob).await, StatusCode::OK);
    let mut busy = 0;
    for one in flood {
        match one.await.unwrap() {
            StatusCode::UNAUTHORIZED => {}
            StatusCode::SERVICE_UNAVAILABLE => busy += 1,
            other => panic!("{other}"),
        }
    }
    assert!(busy > 0, "200 were checked at once");
}

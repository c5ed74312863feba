//! The API, over the program itself: records of anomalies exactly once, found by every filter, and
//! errors that name what is wrong.

#[path = "support/client.rs"]
mod client;
#[path = "api/exemplars.rs"]
mod exemplars;
#[path = "api/explain.rs"]
mod explain;
#[path = "api/feedback.rs"]
mod feedback;
#[path = "api/grpc.rs"]
mod grpc;
#[path = "api/history.rs"]
mod history;
#[path = "api/maintenance.rs"]
mod maintenance;
#[path = "api/models.rs"]
mod models;
#[path = "api/once.rs"]
mod once;
#[path = "api/series.rs"]
mod series;
#[path = "support/serving.rs"]
mod serving;
#[path = "api/silences.rs"]
mod silences;

use serde_json::Value;
use serving::Serving;

/// The JSON of a GET that must succeed.
fn get(saimon: &Serving, path: &str) -> Value {
    let answer = saimon.connect().get(path, "");
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    serde_json::from_slice(&answer.body).unwrap()
}

/// The problem of a GET that must fail: status and body.
fn problem(saimon: &Serving, path: &str) -> (u16, Value) {
    let answer = saimon.connect().get(path, "");
    let kind = answer.header("content-type").map(str::to_owned);
    assert_eq!(kind.as_deref(), Some("application/problem+json"), "{path}");
    let body: Value = serde_json::from_slice(&answer.body).unwrap();
    assert_eq!(body["status"], answer.status, "{path}");
    (answer.status, body)
}

/// All anomalies that a path lists, page by page.
fn all(saimon: &Serving, path: &str, limit: usize) -> Vec<Value> {
    let mut found = Vec::new();
    let mut token = None::<String>;
    loop {
        let sign = if path.contains('?') { '&' } else { '?' };
        let at = token.map_or(String::new(), |t| format!("&page_token={t}"));
        let page = get(saimon, &format!("{path}{sign}limit={limit}{at}"));
        let some = page["anomalies"].as_array().unwrap();
        assert!(some.len() <= limit);
        found.extend(some.iter().cloned());
        match page["next_page_token"].as_str() {
            Some(next) => token = Some(next.to_owned()),
            None => return found,
        }
        assert_eq!(some.len(), limit, "a page that is not the last is full");
    }
}

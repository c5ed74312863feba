//! Serves a world to Prometheus, and takes orders for faults.
//!
//! `/metrics` has all nodes on one page, told apart by the label `node`; `/metrics?node=n2` has one.
//! A page whose series have all vanished answers 503, as a target that is down does. The world is
//! stepped by scrapes, so that two scrapes at one moment see the same values.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::service::TowerToHyperService;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use super::catalogue::FAMILIES;
use super::fault::{FaultError, FaultSpec};
use super::page::{Format, render};
use super::world::{Truth, World};
use crate::clock::Clock;

/// Connections at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 256;
/// Bytes of a request's body: a fault is a few hundred.
const BODY_BYTES_MAX: usize = 64 * 1024;
/// A connection that has not sent its headers by then is closed.
const HEADER_WAIT: Duration = Duration::from_secs(10);
/// How long open requests may take after the order to stop.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// A world with the clock that drives it.
#[derive(Clone)]
pub struct Exporter {
    // A plain mutex: it is held for one step or one page and never across an await.
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
}

impl std::fmt::Debug for Exporter {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Exporter").finish_non_exhaustive()
    }
}

impl Exporter {
    pub fn new(world: World, clock: Arc<dyn Clock>) -> Self {
        Self {
            world: Arc::new(Mutex::new(world)),
            clock,
        }
    }

    /// Serves until `stop` resolves; requests that are being answered get a moment to end.
    pub async fn serve(self, listener: TcpListener, stop: impl Future<Output = ()>) {
        let router = self.router();
        let slots = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let mut builder = auto::Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_WAIT);
        let graceful = hyper_util::server::graceful::GracefulShutdown::new();
        tokio::pin!(stop);
        loop {
            let accepted = async {
                let slot = Arc::clone(&slots).acquire_owned().await.ok();
                (listener.accept().await, slot)
            };
            let (stream, slot) = tokio::select! {
                () = &mut stop => break,
                (accepted, slot) = accepted => match accepted {
                    Ok((stream, _)) => (stream, slot),
                    Err(err) => {
                        tracing::warn!(%err, "could not accept a connection");
                        // Out of file descriptors, most likely: do not spin.
                        tokio::time::sleep(Duration::from_millis(100)).await;
                        continue;
                    }
                },
            };
            let service = TowerToHyperService::new(router.clone());
            let connection = builder.serve_connection(TokioIo::<TcpStream>::new(stream), service);
            let connection = graceful.watch(connection.into_owned());
            tokio::spawn(async move {
                if let Err(err) = connection.await {
                    tracing::debug!(err, "connection ended early");
                }
                drop(slot);
            });
        }
        let _ = tokio::time::timeout(STOP_WAIT, graceful.shutdown()).await;
    }

    fn router(&self) -> Router {
        Router::new()
            .route("/", get(index))
            .route("/metrics", get(metrics))
            .route("/faults", get(list_faults).post(post_fault))
            .route("/faults/{id}", delete(end_fault))
            .layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
            .with_state(self.clone())
    }

    fn world(&self) -> MutexGuard<'_, World> {
        // A panic inside a step leaves numbers, not broken structure.
        self.world.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[derive(Debug, Deserialize)]
struct Page {
    node: Option<String>,
}

async fn metrics(
    State(exporter): State<Exporter>,
    Query(wanted): Query<Page>,
    headers: HeaderMap,
) -> Response {
    let node = match wanted
        .node
        .as_deref()
        .map(|n| n.strip_prefix('n').unwrap_or(n).parse())
    {
        None => None,
        Some(Ok(node)) if exporter.world().has_node(node) => Some(node),
        Some(_) => {
            return (StatusCode::NOT_FOUND, "node: there is none of this name\n").into_response();
        }
    };
    let accept: Vec<&str> = headers
        .get_all(header::ACCEPT)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .collect();
    let format = Format::accepted(&accept.join(","));
    let page = {
        let mut world = exporter.world();
        world.advance(exporter.clock.now_ms());
        render(&world, node, format)
    };
    match page {
        Some(page) => ([(header::CONTENT_TYPE, format.content_type())], page).into_response(),
        None => (
            StatusCode::SERVICE_UNAVAILABLE,
            "all series have vanished\n",
        )
            .into_response(),
    }
}

async fn list_faults(State(exporter): State<Exporter>) -> Json<Value> {
    let now_ms = exporter.clock.now_ms();
    let faults: Vec<Truth> = exporter.world().truth(None, now_ms);
    Json(json!({ "now_ms": now_ms, "faults": faults }))
}

async fn post_fault(State(exporter): State<Exporter>, body: Bytes) -> Response {
    let now_ms = exporter.clock.now_ms();
    let planned = serde_json::from_slice::<Value>(&body)
        .map_err(|err| super::fault::field("body", format!("is not JSON: {err}")))
        .and_then(|value| FaultSpec::from_json(&value))
        .and_then(|spec| {
            let mut world = exporter.world();
            let id = world.plan(&spec, now_ms)?;
            Ok(world.truth(Some(id), now_ms).pop())
        });
    match planned {
        Ok(truth) => (StatusCode::CREATED, Json(truth)).into_response(),
        Err(err) => refusal(&err),
    }
}

async fn end_fault(State(exporter): State<Exporter>, Path(id): Path<String>) -> Response {
    let Ok(id) = id.parse() else {
        return refusal(&super::fault::field("id", format!("{id} is not a number")));
    };
    let now_ms = exporter.clock.now_ms();
    if exporter.world().end_fault(id, now_ms) {
        StatusCode::NO_CONTENT.into_response()
    } else {
        let answer = json!({ "error": format!("id: there is no fault {id}"), "field": "id" });
        (StatusCode::NOT_FOUND, Json(answer)).into_response()
    }
}

fn refusal(err: &FaultError) -> Response {
    let status = match err {
        FaultError::Field { .. } => StatusCode::BAD_REQUEST,
        FaultError::TooMany => StatusCode::TOO_MANY_REQUESTS,
    };
    let answer = json!({ "error": err.to_string(), "field": err.field() });
    (status, Json(answer)).into_response()
}

async fn index() -> Html<String> {
    let families: String = FAMILIES
        .iter()
        .map(|f| {
            format!(
                "<li><code>{}</code> ({}): {}</li>",
                f.name,
                f.kind.name(),
                f.help
            )
        })
        .collect();
    Html(format!(
        "<!doctype html><meta charset=\"utf-8\"><title>saimon generate</title>\
         <h1>saimon generate</h1>\
         <p><a href=\"/metrics\">/metrics</a>: all nodes; <a href=\"/metrics?node=n1\">/metrics?node=n1</a>: one.</p>\
         <p><a href=\"/faults\">/faults</a>: what is wrong, was wrong and will be. Another fault:</p>\
         <pre>curl -d '{{\"kind\": \"spike\", \"series\": \"demo_load1{{node=\\\"n1\\\"}}\", \"for\": \"30s\"}}' \
         http://.../faults</pre><ul>{families}</ul>"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;
    use crate::generate::world::Shape;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    use tokio::sync::oneshot;

    const T0: i64 = 1_800_000_000_000;

    struct Running {
        addr: std::net::SocketAddr,
        clock: Arc<ManualClock>,
        stop: oneshot::Sender<()>,
        task: tokio::task::JoinHandle<()>,
    }

    impl Running {
        async fn start() -> Self {
            let clock = Arc::new(ManualClock::at(T0));
            let shape = Shape {
                instances: 2,
                ..Shape::default()
            };
            let exporter = Exporter::new(World::new(3, &shape), clock.clone());
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let addr = listener.local_addr().unwrap();
            let (stop, stopped) = oneshot::channel::<()>();
            let task = tokio::spawn(exporter.serve(listener, async {
                let _ = stopped.await;
            }));
            Self {
                addr,
                clock,
                stop,
                task,
            }
        }

        /// Status, head and body of one request on a connection of its own.
        async fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String, String) {
            self.ask_with(method, path, "", body).await
        }

        async fn ask_with(
            &self,
            method: &str,
            path: &str,
            headers: &str,
            body: &str,
        ) -> (u16, String, String) {
            let mut stream = TcpStream::connect(self.addr).await.unwrap();
            let request = format!(
                "{method} {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n{headers}content-length: {}\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(request.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            let (head, body) = answer.split_once("\r\n\r\n").unwrap();
            let status = head.split(' ').nth(1).unwrap().parse().unwrap();
            (status, head.to_ascii_lowercase(), body.to_owned())
        }

        async fn value(&self, series: &str) -> Option<f64> {
            let (_, _, page) = self.ask("GET", "/metrics", "").await;
            let line = page.lines().find(|line| line.starts_with(series))?;
            line.rsplit(' ').next()?.parse().ok()
        }
    }

    #[tokio::test]
    async fn scrapes_step_by_the_clock_and_repeat_at_one_moment() {
        let server = Running::start().await;
        let (status, head, first) = server.ask("GET", "/metrics", "").await;
        assert_eq!(status, 200);
        assert!(head.contains("content-type: text/plain; version=0.0.4; charset=utf-8"));
        assert_eq!(server.ask("GET", "/metrics", "").await.2, first);
        server.clock.set(T0 + 1000);
        assert_ne!(server.ask("GET", "/metrics", "").await.2, first);
        let accept = "accept: application/openmetrics-text;version=1.0.0\r\n";
        let (_, head, page) = server.ask_with("GET", "/metrics", accept, "").await;
        assert!(head.contains("content-type: application/openmetrics-text; version=1.0.0"));
        assert!(page.ends_with("# EOF\n"));
        let (status, _, page) = server.ask("GET", "/metrics?node=n2", "").await;
        assert!(status == 200 && page.contains("node=\"n2\"") && !page.contains("node=\"n1\""));
        assert_eq!(server.ask("GET", "/metrics?node=n9", "").await.0, 404);
        assert!(server.ask("GET", "/", "").await.2.contains("demo_load1"));
        server.stop.send(()).unwrap();
        server.task.await.unwrap();
    }

    #[tokio::test]
    async fn a_posted_fault_shows_in_the_values_and_in_the_truth() {
        let server = Running::start().await;
        let load = "demo_load1{node=\"n1\"}";
        let calm = server.value(load).await.unwrap();
        let order = json!({"kind": "spike", "series": load, "size": 40, "at": 5, "for": "30s"});
        let (status, _, body) = server.ask("POST", "/faults", &order.to_string()).await;
        assert_eq!(status, 201, "{body}");
        let planned: Value = serde_json::from_str(&body).unwrap();
        assert_eq!(planned["state"], "planned");
        assert_eq!(planned["start_ms"], T0 + 5_000);
        server.clock.set(T0 + 6_000);
        let wild = server.value(load).await.unwrap();
        assert!(wild > calm + 6.0, "{calm} to {wild}");
        let (_, _, body) = server.ask("GET", "/faults", "").await;
        let truth: Value = serde_json::from_str(&body).unwrap();
        let fault = &truth["faults"][0];
        assert_eq!(fault["state"], "active");
        assert_eq!(fault["end"], "2027-01-15T08:00:35Z");
        let series = json!([{"__name__": "demo_load1", "node": "n1"}]);
        assert_eq!(fault["series"], series);
        let path = format!("/faults/{}", fault["id"]);
        assert_eq!(server.ask("DELETE", &path, "").await.0, 204);
        server.clock.set(T0 + 8_000);
        assert!(server.value(load).await.unwrap() < calm + 2.0);
        assert_eq!(server.ask("DELETE", "/faults/77", "").await.0, 404);
        assert_eq!(server.ask("DELETE", "/faults/x", "").await.0, 400);
    }

    #[tokio::test]
    async fn a_node_that_vanished_answers_503_on_its_page() {
        let server = Running::start().await;
        let order = json!({"kind": "vanish", "series": "{node=\"n2\"}"}).to_string();
        assert_eq!(server.ask("POST", "/faults", &order).await.0, 201);
        let (status, _, page) = server.ask("GET", "/metrics", "").await;
        assert!(status == 200 && !page.contains("node=\"n2\""));
        assert_eq!(server.ask("GET", "/metrics?node=n2", "").await.0, 503);
    }

    #[tokio::test]
    async fn bad_orders_get_400_that_names_the_field() {
        let server = Running::start().await;
        for (order, field) in [
            ("{", "body"),
            ("{\"kind\": \"spike\"}", "series"),
            ("{\"kind\": \"bang\", \"series\": \"demo_load1\"}", "kind"),
            ("{\"kind\": \"spike\", \"series\": \"nothing\"}", "series"),
            (
                "{\"kind\": \"spike\", \"series\": \"demo_load1\", \"for\": \"x\"}",
                "for",
            ),
        ] {
            let (status, _, body) = server.ask("POST", "/faults", order).await;
            let answer: Value = serde_json::from_str(&body).unwrap();
            assert_eq!(
                (status, answer["field"].as_str()),
                (400, Some(field)),
                "{order}"
            );
        }
        let long = format!("{{\"kind\": \"{}\"}}", "x".repeat(BODY_BYTES_MAX));
        assert_eq!(server.ask("POST", "/faults", &long).await.0, 413);
        let (_, _, body) = server.ask("GET", "/faults", "").await;
        assert!(body.contains("\"faults\":[]"), "{body}");
    }
}

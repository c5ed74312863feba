//! gRPC of the program itself, by the generated client: the same as REST, scores on demand, a stream of
//! changes, health and reflection.

use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};
use saimon::expose::grpc::v1;
use saimon::expose::grpc::v1::saimon_client::SaimonClient;
use saimon::store::records::RecordFiles;
use saimon::wire::proto;
use serde::Serialize;
use serde_json::Value;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_health::ServingStatus;
use tonic_health::pb::HealthCheckRequest;
use tonic_health::pb::health_client::HealthClient;
use tonic_reflection::pb::v1::ServerReflectionRequest;
use tonic_reflection::pb::v1::server_reflection_client::ServerReflectionClient;
use tonic_reflection::pb::v1::server_reflection_request::MessageRequest;
use tonic_reflection::pb::v1::server_reflection_response::MessageResponse;

use crate::get;
use crate::history::record;
use crate::series::{SAMPLES, STEP_MS, label, request};
use crate::serving::Serving;

/// A guard against tests that hang.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where a saimon serves gRPC: it says so when it is ready.
fn address(saimon: &Serving) -> String {
    let ready = saimon.seen.iter().rev();
    let at = ready.filter_map(|l| l.split("grpc=").nth(1)).next();
    let at = at.and_then(|rest| rest.split_whitespace().next()).unwrap();
    format!("http://{}", at.trim_matches('"'))
}

async fn channel(saimon: &Serving) -> Channel {
    let endpoint = Endpoint::from_shared(address(saimon)).unwrap();
    endpoint.timeout(PATIENCE).connect().await.unwrap()
}

/// Says where a message has something else than an answer of REST, or less.
fn differences(message: &Value, rest: &Value, at: &str, found: &mut Vec<String>) {
    match (message, rest) {
        (Value::Object(message), Value::Object(rest)) => {
            for (key, value) in rest {
                let own = message.get(key).unwrap_or(&Value::Null);
                differences(own, value, &format!("{at}.{key}"), found);
            }
        }
        (Value::Array(message), Value::Array(rest)) if message.len() == rest.len() => {
            for (i, (own, value)) in message.iter().zip(rest).enumerate() {
                differences(own, value, &format!("{at}[{i}]"), found);
            }
        }
        (Value::Number(a), Value::Number(b)) if a.as_f64() == b.as_f64() => {}
        (a, b) if a == b => {}
        // What is not set is empty where it cannot be null.
        (Value::Null, Value::Array(all)) if all.is_empty() => {}
        (a, b) => found.push(format!("{at}: {a} instead of {b}")),
    }
}

#[track_caller]
fn same(message: &impl Serialize, rest: &Value) {
    let mut found = Vec::new();
    differences(
        &serde_json::to_value(message).unwrap(),
        rest,
        "",
        &mut found,
    );
    assert!(found.is_empty(), "{found:#?}");
}

/// A series without siblings, steady and then not.
fn solo(end_ms: i64) -> proto::TimeSeries {
    let mut random = fastrand::Rng::with_seed(8);
    let samples = (0..SAMPLES).map(|i| proto::Sample {
        value: if i == SAMPLES - 1 {
            90.0
        } else {
            10.0 + random.f64()
        },
        timestamp: end_ms - (SAMPLES - 1 - i) * STEP_MS,
    });
    proto::TimeSeries {
        samples: samples.collect(),
        labels: vec![label("__name__", "solo"), label("job", "alone")],
        ..Default::default()
    }
}

fn moment(t_ms: i64) -> prost_types::Timestamp {
    prost_types::Timestamp {
        seconds: t_ms.div_euclid(1000),
        nanos: (t_ms.rem_euclid(1000) * 1_000_000) as i32,
    }
}

#[test]
fn grpc_answers_what_rest_answers() {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = SystemClock.now_ms() / 1000 * 1000;
    let mut random = fastrand::Rng::with_seed(4);
    let records: Vec<_> = (0..200).map(|n| record(&mut random, n, now_ms)).collect();
    let files = RecordFiles::open(&folder.path().join("records"), now_ms).unwrap();
    files
        .write(records.iter().map(|r| (r.id, Some(r))), now_ms)
        .unwrap();
    drop(files);
    let saimon = Serving::start(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let mut client = SaimonClient::new(runtime.block_on(channel(&saimon)));

    // A watcher from the beginning, for the anomaly that the last sample of a series begins.
    let watch = v1::WatchAnomaliesRequest {
        metric_name: vec!["solo".to_owned()],
        ..Default::default()
    };
    let mut changes = runtime
        .block_on(client.watch_anomalies(watch))
        .unwrap()
        .into_inner();
    let mut next = || {
        // A timeout is made where there is a clock for it.
        let next = async { tokio::time::timeout(PATIENCE, changes.message()).await };
        runtime.block_on(next).unwrap()
    };
    assert_eq!(next().unwrap().unwrap().change, "mark");

    let mut sent = request(now_ms);
    sent.timeseries.push(solo(now_ms));
    assert_eq!(saimon.connect().write(&sent).status, 204);
    saimon.settled(10 * SAMPLES as u64);

    let change = next().unwrap().unwrap();
    assert_eq!(change.change, "changed");
    let told = change.anomaly.unwrap();
    let rest = get(&saimon, &format!("/api/v1/anomalies/{}", told.id));
    assert_eq!(rest["series"], "solo{job=\"alone\"}");
    same(&told, &rest);

    runtime.block_on(async {
        compare_anomalies(&saimon, &mut client).await;
        compare_incidents(&saimon, &mut client).await;
        marks(&saimon, &mut client, &told).await;
        let solo = compare_series(&saimon, &mut client).await;
        scores(&mut client, now_ms, &solo).await;
        errors(&mut client).await;
    });
    // Nothing of what was scored on demand is kept.
    let all = get(&saimon, "/api/v1/series?limit=1000");
    assert_eq!(all["series"].as_array().unwrap().len(), 10);
}

async fn compare_anomalies(saimon: &Serving, client: &mut SaimonClient<Channel>) {
    let path = "/api/v1/anomalies?severity=high,critical&match[]=%7Bjob%3D%22shop%22%7D&limit=7";
    let mut asked = v1::ListAnomaliesRequest {
        severity: vec!["high".to_owned(), "critical".to_owned()],
        r#match: vec!["{job=\"shop\"}".to_owned()],
        limit: 7,
        ..Default::default()
    };
    let mut pages = 0;
    let mut rest_token = String::new();
    loop {
        let page = client
            .list_anomalies(asked.clone())
            .await
            .unwrap()
            .into_inner();
        let mut rest = get(saimon, &format!("{path}{rest_token}"));
        same(&page, &rest);
        pages += 1;
        match page.next_page_token {
            Some(token) => {
                rest_token = format!("&page_token={token}");
                asked.page_token = token;
            }
            None => break,
        }
        rest.take();
    }
    assert!(pages > 2, "{pages}");
    let one = client
        .list_anomalies(v1::ListAnomaliesRequest::default())
        .await
        .unwrap();
    let id = one.into_inner().anomalies[3].id.clone();
    let rest = get(saimon, &format!("/api/v1/anomalies/{id}"));
    let one = client
        .get_anomaly(v1::GetAnomalyRequest { id })
        .await
        .unwrap();
    same(&one.into_inner(), &rest);
    let stats = v1::CountAnomaliesRequest {
        state: vec!["resolved".to_owned()],
        ..Default::default()
    };
    let stats = client.count_anomalies(stats).await.unwrap().into_inner();
    same(
        &stats,
        &get(saimon, "/api/v1/anomalies/stats?state=resolved"),
    );
    assert!(stats.total > 100);
    let asked = v1::TimelineOfAnomaliesRequest {
        start_time: Some(moment(1_700_000_000_000)),
        end_time: Some(moment(SystemClock.now_ms() / 1000 * 1000)),
        parts: 7,
        ..Default::default()
    };
    let end = asked.end_time.unwrap().seconds;
    let timeline = client
        .timeline_of_anomalies(asked)
        .await
        .unwrap()
        .into_inner();
    let path = format!("/api/v1/anomalies/timeline?start_time=1700000000&end_time={end}&parts=7");
    same(&timeline, &get(saimon, &path));
}

async fn compare_incidents(saimon: &Serving, client: &mut SaimonClient<Channel>) {
    // They are made of the records a second after the start.
    let some = async |client: &mut SaimonClient<Channel>| loop {
        let asked = v1::ListIncidentsRequest::default();
        let all = client.list_incidents(asked).await.unwrap().into_inner();
        if !all.incidents.is_empty() {
            break all;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    };
    let all = tokio::time::timeout(PATIENCE, some(client)).await;
    let all = all.expect("no incident is ever made");
    same(&all, &get(saimon, "/api/v1/incidents"));
    for incident in all.incidents.iter().take(3) {
        let asked = v1::GetIncidentRequest {
            id: incident.id.clone(),
        };
        let one = client.get_incident(asked).await.unwrap().into_inner();
        same(&one, &get(saimon, &incident.link));
    }
    let asked = v1::GetIncidentRequest {
        id: "nothing".to_owned(),
    };
    let status = client.get_incident(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
}

/// What people say of an anomaly and what changed at its target is told wherever the anomaly is: by
/// itself, in a list, in its incident, and to who watches.
async fn marks(saimon: &Serving, client: &mut SaimonClient<Channel>, solo: &v1::Anomaly) {
    let asked = v1::ListIncidentsRequest::default();
    let all = client.list_incidents(asked).await.unwrap().into_inner();
    let incident = &all.incidents[0];
    let origin = incident.origin.as_ref().unwrap();
    let mut given = Vec::new();
    for (id, job, start) in [
        (&origin.anomaly, &origin.labels["job"], origin.start_time),
        (&solo.id, &solo.labels["job"], solo.start_time),
    ] {
        let asked = v1::GiveFeedbackRequest {
            id: id.clone(),
            verdict: "confirmed".to_owned(),
            ..Default::default()
        };
        client.give_feedback(asked).await.unwrap();
        let asked = v1::SayChangeRequest {
            job: job.clone(),
            time: start,
            duration: "1m".to_owned(),
            ..Default::default()
        };
        let said = client.say_change(asked).await.unwrap().into_inner();
        given.push((id.clone(), said));
    }
    let marked = |one: &v1::Anomaly, (id, change): &(String, v1::TargetChange)| {
        assert_eq!(&one.id, id);
        assert_eq!(one.feedback.as_deref(), Some("confirmed"));
        assert_eq!(one.change.as_ref(), Some(change));
    };
    for given in &given {
        let asked = v1::GetAnomalyRequest {
            id: given.0.clone(),
        };
        marked(
            &client.get_anomaly(asked).await.unwrap().into_inner(),
            given,
        );
    }
    let asked = v1::GetIncidentRequest {
        id: incident.id.clone(),
    };
    let detail = client.get_incident(asked).await.unwrap().into_inner();
    same(&detail, &get(saimon, &incident.link));
    let member = detail.anomalies.iter().find(|a| a.id == given[0].0);
    marked(member.unwrap(), &given[0]);
    let asked = v1::ListAnomaliesRequest {
        metric_name: vec!["solo".to_owned()],
        ..Default::default()
    };
    let list = client.list_anomalies(asked).await.unwrap().into_inner();
    marked(&list.anomalies[0], &given[1]);
    let asked = v1::WatchAnomaliesRequest {
        metric_name: vec!["solo".to_owned()],
        ..Default::default()
    };
    let mut watched = client.watch_anomalies(asked).await.unwrap().into_inner();
    let first = watched.message().await.unwrap().unwrap();
    marked(&first.anomaly.unwrap(), &given[1]);
}

/// Gives the series that has no siblings.
async fn compare_series(saimon: &Serving, client: &mut SaimonClient<Channel>) -> v1::Series {
    let asked = v1::ListSeriesRequest {
        missing: Some(false),
        ..Default::default()
    };
    let all = client.list_series(asked).await.unwrap().into_inner();
    same(&all, &get(saimon, "/api/v1/series?missing=false"));
    assert_eq!(all.series.len(), 10);
    let models = client
        .list_models(v1::ListModelsRequest::default())
        .await
        .unwrap();
    same(&models.into_inner(), &get(saimon, "/api/v1/models"));
    let solo = all.series.iter().find(|s| s.metric_name == "solo").unwrap();
    let id = solo.id.clone();
    let asked = v1::GetSeriesRequest { id: id.clone() };
    let one = client.get_series(asked).await.unwrap().into_inner();
    same(&one, &get(saimon, &format!("/api/v1/series/{id}")));
    assert_eq!(one.anomalies.len(), 1);
    let asked = v1::GetWindowRequest {
        id: id.clone(),
        start_time: solo.last_time.map(|t| moment(t.seconds * 1000 - 600_000)),
        end_time: None,
        limit: 5,
        scores: false,
    };
    let scores = v1::GetWindowRequest {
        scores: true,
        ..asked.clone()
    };
    let scored = client.get_window(scores).await.unwrap().into_inner();
    let from = asked.start_time.unwrap().seconds;
    let path = format!("/api/v1/series/{id}/window?limit=5&start_time={from}&scores=true");
    same(&scored, &get(saimon, &path));
    let last = scored.samples.last().unwrap().scored.as_ref().unwrap();
    assert_eq!(Some(last.score), solo.score);
    let window = client.get_window(asked.clone()).await.unwrap().into_inner();
    assert_eq!(window.samples.len(), 5);
    let path = format!("/api/v1/series/{id}/window?limit=5&start_time={from}");
    same(&window, &get(saimon, &path));
    let asked = v1::ExplainSampleRequest {
        id: id.clone(),
        time: None,
    };
    let told = client.explain_sample(asked).await.unwrap().into_inner();
    same(&told, &get(saimon, &format!("/api/v1/series/{id}/explain")));
    assert_eq!(told.sentences.len(), 2);
    let groups = client
        .list_groups(v1::ListGroupsRequest::default())
        .await
        .unwrap();
    same(&groups.into_inner(), &get(saimon, "/api/v1/groups"));
    let status = client
        .get_status(v1::GetStatusRequest {})
        .await
        .unwrap()
        .into_inner();
    assert_eq!(status.version, env!("CARGO_PKG_VERSION"));
    assert_eq!(status.stage, "ready");
    assert!(status.records >= Some(201), "{status:?}");
    let config = client
        .get_config(v1::GetConfigRequest {})
        .await
        .unwrap()
        .into_inner();
    let config: Value = serde_json::from_str(&config.json).unwrap();
    assert_eq!(config, get(saimon, "/api/v1/config"));
    one
}

/// Samples that are sent along are scored as they were when they were received.
async fn scores(client: &mut SaimonClient<Channel>, now_ms: i64, received: &v1::Series) {
    let sample = |s: &proto::Sample| v1::Sample {
        time: Some(moment(s.timestamp)),
        value: Some(s.value),
        scored: None,
    };
    let all: Vec<_> = solo(now_ms).samples.iter().map(sample).collect();
    let asked = v1::ScoreSeriesRequest {
        labels: received.labels.clone(),
        samples: all,
        start_time: Some(moment(now_ms - 10 * STEP_MS)),
        forest: true,
        bands: true,
    };
    let scored = client
        .score_series(asked.clone())
        .await
        .unwrap()
        .into_inner();
    assert_eq!(
        (scored.judged, scored.kind.as_str()),
        (SAMPLES as u64, "gauge")
    );
    assert_eq!(scored.samples.len(), 11);
    let last = scored.samples.last().unwrap();
    assert_eq!(last.score, received.score, "the same code, the same score");
    let alarm = received.anomaly.as_ref().unwrap();
    assert_eq!(last.anomaly.as_ref(), Some(alarm));
    assert!(last.upper_bound.unwrap() < 90.0 && last.lower_bound.unwrap() < last.expected.unwrap());
    let usual = &scored.samples[0];
    assert!(usual.score.unwrap() < 0.7 && usual.anomaly.is_none());

    let refused = async |client: &mut SaimonClient<Channel>, asked, said: &str| {
        let status = client.score_series(asked).await.unwrap_err();
        assert_eq!(status.code(), Code::InvalidArgument, "{status}");
        assert!(status.message().starts_with(said), "{status}");
    };
    let mut wrong = asked.clone();
    wrong.samples[3].time = wrong.samples[2].time;
    refused(client, wrong, "samples[3].time: not later").await;
    let mut wrong = asked.clone();
    wrong.samples[4].value = None;
    refused(client, wrong, "samples[4].value: not set").await;
    let mut wrong = asked.clone();
    wrong.samples.clear();
    refused(client, wrong, "samples: none").await;
    let mut wrong = asked;
    wrong
        .labels
        .insert("__name__".to_owned(), "x_info".to_owned());
    refused(client, wrong, "labels: ").await;
}

async fn errors(client: &mut SaimonClient<Channel>) {
    let asked = v1::ListAnomaliesRequest {
        r#match: vec!["{".to_owned()],
        ..Default::default()
    };
    let status = client.list_anomalies(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(
        status.message().starts_with("match: selector {"),
        "{status}"
    );
    assert!(!status.details().is_empty());
    let asked = v1::GetSeriesRequest {
        id: "0000000000000000".to_owned(),
    };
    let status = client.get_series(asked).await.unwrap_err();
    assert_eq!(status.code(), Code::NotFound);
    let status = client.get_anomaly(v1::GetAnomalyRequest::default()).await;
    let status = status.unwrap_err();
    assert_eq!(status.code(), Code::InvalidArgument);
    assert!(status.message().starts_with("id: "), "{status}");
}

#[test]
fn health_and_reflection_and_an_end_without_a_wait() {
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(folder.path());
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let channel = runtime.block_on(channel(&saimon));
    let mut health = HealthClient::new(channel.clone());
    let asked = |service: &str| HealthCheckRequest {
        service: service.to_owned(),
    };
    // Within a tenth of a second of being ready.
    let serving = async |health: &mut HealthClient<Channel>| loop {
        let answer = health.check(asked("saimon.v1.Saimon")).await;
        match answer.map(|a| a.into_inner().status) {
            Ok(status) if status == ServingStatus::Serving as i32 => break,
            _ => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    runtime.block_on(async {
        let waited = tokio::time::timeout(PATIENCE, serving(&mut health)).await;
        waited.expect("saimon is ready and its health does not say so");
        let unknown = health.check(asked("nothing")).await.unwrap_err();
        assert_eq!(unknown.code(), Code::NotFound);
    });

    let services = runtime.block_on(async {
        let request = ServerReflectionRequest {
            host: String::new(),
            message_request: Some(MessageRequest::ListServices(String::new())),
        };
        let requests = tonic::codegen::tokio_stream::iter([request]);
        let mut client = ServerReflectionClient::new(channel.clone());
        let answers = client.server_reflection_info(Request::new(requests)).await;
        let answer = answers
            .unwrap()
            .into_inner()
            .message()
            .await
            .unwrap()
            .unwrap();
        match answer.message_response {
            Some(MessageResponse::ListServicesResponse(list)) => list.service,
            other => panic!("{other:?}"),
        }
    });
    let names: Vec<_> = services.iter().map(|s| s.name.as_str()).collect();
    for name in ["saimon.v1.Saimon", "grpc.health.v1.Health"] {
        assert!(names.contains(&name), "{names:?}");
    }

    // Streams do not hold up the end: each is told.
    let mut client = SaimonClient::new(channel);
    let mut streams = runtime.block_on(async {
        let watched = client
            .watch_anomalies(v1::WatchAnomaliesRequest::default())
            .await;
        let mut watched = watched.unwrap().into_inner();
        assert_eq!(watched.message().await.unwrap().unwrap().change, "mark");
        let mut health = health.watch(asked("")).await.unwrap().into_inner();
        health.message().await.unwrap().unwrap();
        (watched, health)
    });
    let begun = std::time::Instant::now();
    let (code, _) = saimon.terminate();
    assert_eq!(code, 0);
    let long = begun.elapsed() >= saimon::expose::listener::DRAIN_MAX;
    assert!(!long, "the streams were waited for");
    runtime.block_on(async {
        let status = streams.0.message().await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status}");
        while let Ok(Some(_)) = streams.1.message().await {}
    });
}

#[test]
fn grpc_can_be_switched_off() {
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start_with(folder.path(), "127.0.0.1:0", &["--grpc-listen=off"]);
    assert!(
        saimon
            .seen
            .iter()
            .any(|l| l.contains("grpc=\"off\"") || l.contains("grpc=off"))
    );
}

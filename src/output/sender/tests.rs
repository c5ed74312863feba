//! Against a receiver that answers by a script; pauses are written down and not waited for.

use std::collections::VecDeque;
use std::sync::Mutex;

use bytes::Bytes;
use http::StatusCode;
use prost::Message as _;

use super::super::series::{Family, Labels, Row};
use super::super::transport::Answer;
use super::*;
use crate::clock::ManualClock;
use crate::wire::proto;
use crate::wire::write::MetricType;

/// What the receiver does with a request.
#[derive(Clone, Copy)]
enum Does {
    Answers(u16),
    With(u16, &'static str, &'static str),
    Closes,
    Hangs,
}

#[derive(Default)]
struct Script {
    next: Mutex<VecDeque<Does>>,
    pauses: Mutex<Vec<u64>>,
    posts: Mutex<Vec<(HeaderMap, Bytes)>>,
}

impl Transport for Arc<Script> {
    async fn post(&self, headers: HeaderMap, body: Bytes) -> Result<Answer, String> {
        self.posts.lock().unwrap().push((headers, body));
        let does = self.next.lock().unwrap().pop_front().unwrap();
        let mut headers = HeaderMap::new();
        let status = match does {
            Does::Answers(status) => status,
            Does::With(status, name, value) => {
                headers.insert(name, HeaderValue::from_static(value));
                status
            }
            Does::Closes => return Err("connection closed".to_owned()),
            Does::Hangs => std::future::pending().await,
        };
        Ok(Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers,
            text: "said".to_owned(),
        })
    }

    async fn pause(&self, wait: Duration) {
        self.pauses.lock().unwrap().push(wait.as_millis() as u64);
    }
}

#[derive(Default)]
struct Seen(Mutex<(Vec<Attempt>, Vec<String>, Vec<Sent>)>);

impl Watch for Seen {
    fn attempted(&self, attempt: &Attempt) {
        self.0.lock().unwrap().0.push(*attempt);
    }
    fn failed(&self, what: &str) {
        self.0.lock().unwrap().1.push(what.to_owned());
    }
    fn ended(&self, _: &Request, sent: &Sent) {
        self.0.lock().unwrap().2.push(*sent);
    }
}

struct Bench {
    script: Arc<Script>,
    seen: Arc<Seen>,
    spoken: Arc<Spoken>,
    stop: CancellationToken,
    sender: Sender<Arc<Script>>,
}

fn bench(rules: Rules, script: &[Does]) -> Bench {
    let transport = Arc::new(Script::default());
    transport.next.lock().unwrap().extend(script);
    let (seen, spoken) = (Arc::new(Seen::default()), Arc::new(Spoken::default()));
    let stop = CancellationToken::new();
    let sender = Sender::new(
        Arc::clone(&transport),
        rules,
        Arc::clone(&seen) as Arc<dyn Watch>,
        Arc::new(ManualClock::at(1_000)),
        stop.clone(),
        Arc::clone(&spoken),
    );
    Bench {
        script: transport,
        seen,
        spoken,
        stop,
        sender,
    }
}

/// Ten samples of ten series.
fn request(protocol: Protocol) -> Request {
    let labels: Vec<_> = (0..10)
        .map(|i| Labels::new([("__name__", "m"), ("i", &*i.to_string())]).unwrap())
        .collect();
    let family = Family {
        kind: MetricType::Gauge,
        help: "h".into(),
        unit: "".into(),
    };
    let rows = labels.iter().map(|labels| Row {
        labels,
        family: &family,
        timestamp_ms: 5,
        value: 1.0,
    });
    Encoder::new().rows(protocol, rows).unwrap()
}

impl Bench {
    async fn send(&mut self, protocol: Protocol) -> Sent {
        self.sender.send(&request(protocol)).await
    }

    fn pauses(&self) -> Vec<u64> {
        self.script.pauses.lock().unwrap().clone()
    }

    fn posts(&self) -> Vec<(HeaderMap, Bytes)> {
        self.script.posts.lock().unwrap().clone()
    }

    fn said(&self) -> Vec<String> {
        self.seen.0.lock().unwrap().1.clone()
    }
}

fn sent(end: End, written: usize) -> Sent {
    Sent {
        end,
        written,
        lost: 10 - written,
    }
}

#[tokio::test]
async fn failures_are_repeated_with_doubling_pauses_and_the_same_bytes() {
    let mut script = vec![Does::Closes, Does::Hangs];
    script.extend([Does::Answers(500); 8]);
    script.push(Does::Answers(204));
    let rules = Rules {
        answer_wait: Duration::from_millis(2),
        ..Rules::default()
    };
    let mut bench = bench(rules, &script);
    assert_eq!(bench.send(Protocol::V1).await, sent(End::Written, 10));
    assert_eq!(
        bench.pauses(),
        [30, 60, 120, 240, 480, 960, 1920, 3840, 5000, 5000]
    );
    let posts = bench.posts();
    assert!(posts.iter().all(|(_, body)| *body == posts[0].1));
    let attempts: Vec<_> = posts.iter().map(|(h, _)| h.get("retry-attempt")).collect();
    assert_eq!(attempts[0], None);
    assert_eq!(attempts[10].unwrap(), "10");
    assert_eq!(
        bench.said()[..2],
        ["connection closed", "no answer within 2ms"]
    );
    assert_eq!(bench.said()[2], "500: said");
    let seen = bench.seen.0.lock().unwrap();
    assert_eq!(
        (seen.0.len(), seen.0[0].status, seen.0[0].again),
        (11, None, false)
    );
    assert_eq!((seen.0[10].status, seen.0[10].again), (Some(204), true));
    assert_eq!(seen.2, [sent(End::Written, 10)]);
}

#[tokio::test]
async fn retry_after_replaces_the_pause() {
    let script = [
        Does::With(503, "retry-after", "7"),
        Does::With(503, "retry-after", "Thu, 01 Jan 1970 00:00:04 GMT"),
        Does::With(503, "retry-after", "soon"),
        Does::Answers(200),
    ];
    let mut bench = bench(Rules::default(), &script);
    assert_eq!(bench.send(Protocol::V1).await.end, End::Written);
    assert_eq!(bench.pauses(), [7000, 3000, 120]);
}

#[tokio::test]
async fn too_many_requests_is_final_unless_told_otherwise() {
    let script = [Does::With(429, "retry-after", "1"), Does::Answers(204)];
    let mut drops = bench(Rules::default(), &script);
    assert_eq!(drops.send(Protocol::V1).await, sent(End::Refused(429), 0));
    assert!(drops.pauses().is_empty());
    let rules = Rules {
        retry_on_429: true,
        ..Rules::default()
    };
    let mut repeats = bench(rules, &script);
    assert_eq!(repeats.send(Protocol::V1).await.end, End::Written);
    assert_eq!(repeats.pauses(), [1000]);
}

#[tokio::test]
async fn what_is_refused_is_dropped_and_the_next_one_goes_on() {
    for status in [400, 401, 404, 413, 415, 422] {
        let mut bench = bench(
            Rules::default(),
            &[Does::Answers(status), Does::Answers(204)],
        );
        assert_eq!(
            bench.send(Protocol::V1).await,
            sent(End::Refused(status), 0)
        );
        assert_eq!(bench.send(Protocol::V1).await.end, End::Written);
        assert_eq!(bench.posts().len(), 2);
        assert_eq!(bench.said(), [format!("{status}: said")]);
    }
}

#[tokio::test]
async fn headers_are_those_of_the_protocol_whatever_the_user_adds() {
    let rules = Rules {
        headers: Headers::parse(["X-Scope-OrgID: a", "Authorization: Bearer b"]).unwrap(),
        fall_back: true,
        ..Rules::default()
    };
    let mut bench = bench(rules, &[Does::Answers(415), Does::Answers(204)]);
    assert_eq!(bench.send(Protocol::V2).await.end, End::Written);
    let agent = concat!("saimon/", env!("CARGO_PKG_VERSION"));
    for ((headers, _), (content_type, version)) in bench
        .posts()
        .iter()
        .zip([Protocol::V2.headers(), Protocol::V1.headers()])
    {
        for (name, value) in [
            ("content-type", content_type),
            ("content-encoding", "snappy"),
            ("x-prometheus-remote-write-version", version),
            ("user-agent", agent),
            ("x-scope-orgid", "a"),
            ("authorization", "Bearer b"),
        ] {
            assert_eq!(headers[name], value, "{name}");
            assert_eq!(headers.get_all(name).iter().count(), 1);
        }
        assert!(headers.get("retry-attempt").is_none(), "other bytes");
    }
}

#[tokio::test]
async fn what_2_0_did_not_write_is_lost_and_said() {
    let written = "x-prometheus-remote-write-samples-written";
    let script = [
        Does::With(204, written, "10"),
        Does::With(204, written, "7"),
        Does::Answers(204),
        Does::With(400, written, "9"),
    ];
    let mut bench = bench(Rules::default(), &script);
    assert_eq!(bench.send(Protocol::V2).await, sent(End::Written, 10));
    assert_eq!(bench.send(Protocol::V2).await, sent(End::Short, 7));
    assert_eq!(bench.send(Protocol::V2).await, sent(End::Short, 0));
    assert_eq!(bench.send(Protocol::V2).await, sent(End::Refused(400), 9));
    let said = bench.said();
    assert!(said[0].contains("wrote 7 of 10"), "{said:?}");
    assert!(said[1].contains("without x-prometheus"), "{said:?}");
    assert_eq!(bench.posts().len(), 4, "nothing was sent again");
}

#[tokio::test]
async fn a_receiver_without_2_0_gets_1_0_from_then_on_or_a_clear_refusal() {
    let mut strict = bench(Rules::default(), &[Does::Answers(415)]);
    assert_eq!(strict.send(Protocol::V2).await, sent(End::NotSpoken, 0));
    assert!(strict.said()[0].contains("send 1.0"), "{:?}", strict.said());
    let rules = Rules {
        fall_back: true,
        ..Rules::default()
    };
    let mut bench = bench(
        rules,
        &[
            Does::Answers(415),
            Does::Answers(503),
            Does::Answers(204),
            Does::Answers(204),
        ],
    );
    assert_eq!(bench.spoken.instead_of(Protocol::V2), Protocol::V2);
    assert_eq!(bench.send(Protocol::V2).await, sent(End::Written, 10));
    assert_eq!(bench.spoken.instead_of(Protocol::V2), Protocol::V1);
    // Made before it was known.
    assert_eq!(bench.send(Protocol::V2).await, sent(End::Written, 10));
    let posts = bench.posts();
    assert_eq!(posts.len(), 4);
    for (headers, body) in &posts[1..] {
        assert_eq!(headers["content-type"], "application/x-protobuf");
        let mut raw = vec![0; snap::raw::decompress_len(body).unwrap()];
        snap::raw::Decoder::new()
            .decompress(body, &mut raw)
            .unwrap();
        let read = proto::WriteRequest::decode(raw.as_slice()).unwrap();
        assert_eq!(read.timeseries.len(), 10);
    }
}

#[tokio::test]
async fn a_request_is_given_up_in_time_and_tried_once_after_the_stop() {
    let rules = Rules {
        retry_for: Some(Duration::from_millis(500)),
        ..Rules::default()
    };
    let mut limited = bench(rules, &[Does::Answers(500); 9]);
    assert_eq!(limited.send(Protocol::V1).await, sent(End::GivenUp, 0));
    assert_eq!(limited.pauses(), [30, 60, 120, 240]);
    let mut stopped = bench(Rules::default(), &[Does::Answers(500), Does::Answers(204)]);
    stopped.stop.cancel();
    assert_eq!(stopped.send(Protocol::V1).await, sent(End::GivenUp, 0));
    assert_eq!(stopped.send(Protocol::V1).await, sent(End::Written, 10));
}

#[test]
fn the_log_is_not_flooded() {
    let start = Instant::now();
    let mut said = Said::default();
    assert_eq!(said.due(start), Some(0));
    assert_eq!(said.due(start + SAY_EVERY / 2), None);
    assert_eq!(said.due(start + SAY_EVERY / 2), None);
    assert_eq!(said.due(start + SAY_EVERY), Some(2));
    assert_eq!(said.due(start + SAY_EVERY * 2), Some(0));
}

#[tokio::test]
async fn a_receiver_that_reads_2_0_as_1_0_is_sent_the_same_again_as_1_0() {
    let rules = Rules {
        fall_back: true,
        ..Rules::default()
    };
    let mut bench = bench(rules, &[Does::Answers(204), Does::Answers(204)]);
    let sent = bench.send(Protocol::V2).await;
    assert_eq!((sent.end, sent.written), (End::Written, 10));
    let versions: Vec<_> = bench
        .posts()
        .iter()
        .map(|(headers, _)| headers["x-prometheus-remote-write-version"].clone())
        .collect();
    assert_eq!(versions, ["2.0.0", "0.1.0"]);
    assert_eq!(bench.spoken.instead_of(Protocol::V2), Protocol::V1);
    // One that says that it wrote nothing has read it.
    let zero = Does::With(204, SAMPLES_WRITTEN, "0");
    let rules = Rules {
        fall_back: true,
        ..Rules::default()
    };
    let mut bench = self::bench(rules, &[zero]);
    assert_eq!(bench.send(Protocol::V2).await.end, End::Short);
}

#[tokio::test]
async fn pauses_are_as_configured_and_what_is_kept_elsewhere_is_not_lost() {
    let rules = Rules {
        back_off: (Duration::from_millis(100), Duration::from_millis(300)),
        kept: true,
        ..Rules::default()
    };
    let script = [500, 500, 500, 500].map(Does::Answers);
    let mut bench = bench(
        rules.clone(),
        &[&script[..], &[Does::Answers(204)]].concat(),
    );
    assert_eq!(bench.send(Protocol::V1).await.end, End::Written);
    assert_eq!(bench.pauses(), [100, 200, 300, 300]);
    let mut bench = self::bench(rules, &script);
    bench.stop.cancel();
    assert_eq!(bench.send(Protocol::V1).await.end, End::GivenUp);
    assert_eq!(bench.posts().len(), 1);
    assert!(
        bench.said().iter().all(|s| !s.contains("given up")),
        "{:?}",
        bench.said()
    );
}

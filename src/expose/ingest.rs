//! `POST /api/v1/write`: one remote-write request, 1.0 or 2.0, from its headers to one batch for each
//! shard.
//!
//! What always holds:
//! - Headers are judged before the body is touched.
//! - A request is handed over as a whole or not at all; with 2xx or 400, what was not refused is in the
//!   write-ahead log (if there is one) and with its shards; with 503, nothing need be, and the sender
//!   still has it.
//! - Every sample that was decoded is counted under its protocol with exactly one outcome: those that end here are
//!   counted here, the others by their shards, also if the sender goes away meanwhile.
//! - What a request may use (bytes, samples, time, its turn) has a named limit.

mod answer;
mod arena;
mod body;
mod decode;
mod families;
mod negotiate;
pub(super) mod replay;
mod unpack;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::Bytes;
use http::{Method, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use self::answer::{Answer, QuietLog, Unavailable, Written};
use self::arena::PooledArena;
use self::body::{BodyError, Collector};
use self::decode::{Decoder, Plain, Undecodable};
use self::families::{Known, News};
use self::negotiate::Form;
use self::unpack::NotUnpacked;
use super::State;
use super::listener::Peer;
use crate::clock::Clock;
use crate::config::LimitsConfig;
use crate::engine::journal::{Fate, Record};
use crate::engine::router::{Origin, RouteError, Router as Shards};
use crate::telemetry::{CodeLabel, IngestCounters, Metrics, Outcome};
use crate::wire::snappy::PooledBody;
use crate::wire::write::{Lost, Protocol, WriteArena};

/// Bodies of up to this size compressed, and the next decompressed, are decoded where they arrive:
/// a few milliseconds. Larger ones go to a thread that may block. A snappy block of the first size
/// never has more than the second; a zstd frame may, and is begun again then.
const INLINE_MAX: usize = 128 * 1024;
const INLINE_RAW_MAX: usize = 3 * 1024 * 1024;

pub(super) fn routes(state: &State) -> Router {
    Router::new()
        .route("/api/v1/write", any(write))
        .with_state(Arc::new(Ingest::new(state)))
}

async fn write(Extract(ingest): Extract<Arc<Ingest>>, request: Request) -> Response {
    let now_ms = ingest.clock.now_ms();
    let peer = request.extensions().get::<Peer>().map(|p| p.0);
    let answer = Arc::clone(&ingest).take(request, now_ms).await;
    let code = answer.code();
    if let Some(text) = answer.text() {
        let log = match answer {
            Answer::Unavailable(_) => &ingest.unavailable_log,
            _ => &ingest.refused_log,
        };
        log.warn(now_ms, peer, code, &text);
    }
    let label = CodeLabel {
        code: u32::from(code.as_u16()),
    };
    ingest.metrics.requests.get_or_create(&label).inc();
    answer.into_response()
}

#[derive(Debug)]
struct Limits {
    body_raw: usize,
    queue_wait: Duration,
    request: Duration,
}

impl From<&LimitsConfig> for Limits {
    fn from(limits: &LimitsConfig) -> Self {
        Self {
            body_raw: bytes(limits.body_raw),
            queue_wait: limits.queue_wait,
            request: limits.request,
        }
    }
}

fn bytes(size: bytesize::ByteSize) -> usize {
    usize::try_from(size.as_u64()).unwrap_or(usize::MAX)
}

struct Ingest {
    shards: Shards,
    metrics: Arc<Metrics>,
    clock: Arc<dyn Clock>,
    limits: Limits,
    collector: Collector,
    /// A turn is held from decoding to handing over: both hold a decompressed body.
    turns: Arc<Semaphore>,
    decoder: Decoder,
    families: Known,
    refused_log: QuietLog,
    unavailable_log: QuietLog,
}

/// A request, decompressed and decoded.
struct Decoded {
    body: PooledBody,
    arena: PooledArena,
    /// What was taken out because it is too far ahead; part of `arena.refused`.
    future: Lost,
    news: News,
    waiting: Waiting,
}

/// Counters of samples, and of native histograms, of one protocol.
#[derive(Debug, Clone, Copy)]
struct Counters<'a> {
    samples: &'a IngestCounters,
    histograms: &'a IngestCounters,
}

impl<'a> Counters<'a> {
    fn of(metrics: &'a Metrics, protocol: Protocol) -> Self {
        match protocol {
            Protocol::V1 => Self {
                samples: &metrics.ingest_v1,
                histograms: &metrics.histograms_v1,
            },
            Protocol::V2 => Self {
                samples: &metrics.ingest_v2,
                histograms: &metrics.histograms_v2,
            },
        }
    }

    fn add(self, outcome: Outcome, samples: u64, histograms: u64) {
        self.samples.add(outcome, samples);
        self.histograms.add(outcome, histograms);
    }
}

impl Ingest {
    fn new(state: &State) -> Self {
        let limits = &state.limits;
        let at_once = limits.writes_at_once.max(1) as usize;
        Self {
            shards: state.router.clone(),
            metrics: Arc::clone(&state.metrics),
            clock: Arc::clone(&state.clock),
            limits: Limits::from(&**limits),
            collector: Collector::new(bytes(limits.body)),
            turns: Arc::new(Semaphore::new(at_once)),
            decoder: Decoder::new(limits, at_once),
            families: Known::new(),
            refused_log: QuietLog::new(),
            unavailable_log: QuietLog::new(),
        }
    }

    async fn take(self: Arc<Self>, request: Request, now_ms: i64) -> Answer {
        let until = Instant::now() + self.limits.request;
        let (head, body) = request.into_parts();
        let judged = if head.method == Method::POST {
            negotiate::judge(&head.headers).map_err(Answer::Unsupported)
        } else if head.method == Method::GET && asks_for_zstd(&head.uri) {
            Err(Answer::ZstdVersion)
        } else {
            Err(Answer::Method)
        };
        let judged = judged.and_then(|form| match self.shards.is_recovering() {
            true => Err(Answer::Unavailable(Unavailable::Recovering)),
            false => Ok(form),
        });
        let form = match judged {
            Ok(form) => form,
            Err(answer) => {
                body::discard(&head.headers, body).await;
                return answer;
            }
        };
        let collected = match timeout_at(until, self.collector.collect(body)).await {
            Ok(Ok(collected)) => collected,
            Ok(Err(BodyError::NoRoom)) => return Answer::Unavailable(Unavailable::Busy),
            Ok(Err(e)) => return Answer::Refused(e.to_string(), None),
            // Not 408: to Prometheus any 4xx is final, and the data would be lost.
            Err(_) => return Answer::Unavailable(Unavailable::Slow),
        };
        let until = until.min(Instant::now() + self.limits.queue_wait);
        let turn = timeout_at(until, Arc::clone(&self.turns).acquire_owned()).await;
        let Ok(Ok(turn)) = turn else {
            return Answer::Unavailable(Unavailable::Busy);
        };
        let (decoded, turn) = Arc::clone(&self)
            .decode_somewhere(collected.bytes.clone(), form, now_ms, turn)
            .await;
        let answer = match decoded {
            Ok(decoded) => {
                let head = decode::head(form, now_ms);
                let origin = Origin {
                    received_ms: now_ms,
                    record: Some(Record {
                        head: &head,
                        body: &collected.bytes,
                    }),
                };
                self.hand_over(decoded, origin, until).await
            }
            Err(e) => Answer::Refused(e.to_string(), None),
        };
        drop(collected);
        drop(turn);
        answer
    }

    /// Here if the body is small, on a thread that may block if it is not. The turn goes along, so
    /// that a decode whose sender left still counts.
    async fn decode_somewhere(
        self: Arc<Self>,
        body: Bytes,
        form: Form,
        now_ms: i64,
        turn: OwnedSemaphorePermit,
    ) -> (Result<Decoded, Undecodable>, OwnedSemaphorePermit) {
        let raw_max = self.limits.body_raw;
        if body.len() <= INLINE_MAX {
            let decoded = self.decode(&body, form, raw_max.min(INLINE_RAW_MAX), now_ms);
            let too_large = matches!(
                decoded,
                Err(Undecodable::Compression(NotUnpacked::TooLarge(_)))
            );
            if !too_large || raw_max <= INLINE_RAW_MAX {
                return (decoded, turn);
            }
        }
        let work = move || (self.decode(&body, form, raw_max, now_ms), turn);
        match tokio::task::spawn_blocking(work).await {
            Ok(decoded) => decoded,
            Err(e) => std::panic::resume_unwind(e.into_panic()),
        }
    }

    fn decode(
        &self,
        compressed: &[u8],
        form: Form,
        raw_max: usize,
        now_ms: i64,
    ) -> Result<Decoded, Undecodable> {
        let Plain {
            body,
            mut arena,
            future,
        } = self.decoder.decode(compressed, form, raw_max, now_ms)?;
        let news = self.families.keep_new(&mut arena, &body);
        let waiting = Waiting::new(Arc::clone(&self.metrics), &arena);
        Ok(Decoded {
            body,
            arena,
            future,
            news,
            waiting,
        })
    }

    async fn hand_over(&self, decoded: Decoded, origin: Origin<'_>, until: Instant) -> Answer {
        let Decoded {
            body,
            arena,
            future,
            news,
            waiting,
        } = decoded;
        let wait = until.saturating_duration_since(Instant::now());
        let routed = match self.shards.route(body, &arena, origin, wait).await {
            Ok(routed) => routed,
            Err(e) => return self.not_taken(e),
        };
        waiting.handed_over();
        if routed.fate == Fate::Shed {
            self.metrics.wal.shed.inc();
        }
        self.families.remember(&news);
        let written = Written::of(&arena);
        let refused = &arena.refused;
        let counters = Counters::of(&self.metrics, arena.protocol);
        counters.add(Outcome::Skipped, routed.skipped, routed.skipped_histograms);
        counters.add(
            Outcome::Future,
            u64::from(future.samples),
            u64::from(future.histograms),
        );
        counters.add(
            Outcome::Refused,
            u64::from(refused.samples - future.samples),
            u64::from(refused.histograms - future.histograms),
        );
        self.metrics.exemplars.inc_by(written.exemplars);
        // It is with its shards, and the sender will send it again: each sample of it is known then.
        if let Err(e) = self.shards.acknowledge(&routed).await {
            return self.not_taken(e);
        }
        let told = (arena.protocol == Protocol::V2).then_some(written);
        if refused.is_empty() {
            Answer::Taken(told)
        } else {
            Answer::Refused(answer::refusal(refused, written), told)
        }
    }

    fn not_taken(&self, why: RouteError) -> Answer {
        Answer::Unavailable(match why {
            RouteError::Full(shard) => {
                self.metrics.queue_full.inc();
                Unavailable::QueueFull(shard)
            }
            RouteError::NotKept(why) => Unavailable::NotKept(why.to_string()),
            RouteError::Recovering => Unavailable::Recovering,
            RouteError::Closed => Unavailable::Closed,
        })
    }
}

/// True for the question of vmagent before 1.116 whether zstd is understood.
fn asks_for_zstd(uri: &Uri) -> bool {
    let mut pairs = uri.query().unwrap_or_default().split('&');
    pairs.any(|pair| {
        pair.strip_prefix("get_vm_proto_version=")
            .is_some_and(|version| !version.is_empty())
    })
}

/// Samples and histograms that are with nobody yet. If they never get anywhere (no room, a sender
/// that left), they are counted as unavailable: the sender has them and will send them again.
struct Waiting {
    metrics: Arc<Metrics>,
    protocol: Protocol,
    samples: u64,
    histograms: u64,
}

impl Waiting {
    /// All of a request, refused ones included.
    fn new(metrics: Arc<Metrics>, arena: &WriteArena) -> Self {
        let Written {
            samples,
            histograms,
            ..
        } = Written::of(arena);
        Self {
            metrics,
            protocol: arena.protocol,
            samples: samples + u64::from(arena.refused.samples),
            histograms: histograms + u64::from(arena.refused.histograms),
        }
    }

    fn handed_over(mut self) {
        (self.samples, self.histograms) = (0, 0);
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let counters = Counters::of(&self.metrics, self.protocol);
        counters.add(Outcome::Unavailable, self.samples, self.histograms);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use axum::body::Body;
    use prost::Message as _;
    use tokio::sync::mpsc;

    use super::*;
    use crate::clock::ManualClock;
    use crate::engine::ask::Reader;
    use crate::expose::Health;
    use crate::score::board::Board;
    use crate::wire::proto;

    fn request() -> Request {
        request_of(3)
    }

    fn request_of(samples: usize) -> Request {
        let label = |name: &str, value: &str| proto::Label {
            name: name.to_owned(),
            value: value.to_owned(),
        };
        let sample = proto::Sample {
            value: 1.0,
            ..Default::default()
        };
        let sent = proto::WriteRequest {
            timeseries: vec![proto::TimeSeries {
                labels: vec![label("__name__", "up")],
                samples: vec![sample; samples],
                ..Default::default()
            }],
            ..Default::default()
        };
        let body = snap::raw::Encoder::new().compress_vec(&sent.encode_to_vec());
        Request::post("/").body(Body::from(body.unwrap())).unwrap()
    }

    #[tokio::test]
    async fn samples_of_a_sender_that_left_are_counted_once() {
        let (sender, mut shard) = mpsc::channel(1);
        let state = State {
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
        };
        let unavailable = || state.metrics.ingest_v1.get(Outcome::Unavailable);
        let ingest = Arc::new(Ingest::new(&state));
        let first = Arc::clone(&ingest).take(request(), 0).await;
        assert_eq!((first, unavailable()), (Answer::Taken(None), 0));
        // The queue is full now: the second waits, and is dropped while it does.
        let second = Arc::clone(&ingest).take(request(), 0);
        let waited = tokio::time::timeout(Duration::ZERO, second).await;
        assert!(waited.is_err());
        assert_eq!(unavailable(), 3);
        assert_eq!(
            ingest.turns.available_permits(),
            16,
            "its turn is free again"
        );
        assert!(shard.try_recv().is_ok() && shard.try_recv().is_err());
    }

    #[tokio::test]
    async fn samples_of_a_sender_that_left_while_they_were_decoded_are_counted() {
        let (sender, _shard) = mpsc::channel(1);
        let state = State {
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
        };
        let ingest = Arc::new(Ingest::new(&state));
        // More than is decoded where it arrives, though snappy packs it well.
        let request = request_of(400_000);
        let sent = Arc::clone(&ingest).take(request, 0);
        let waited = tokio::time::timeout(Duration::ZERO, sent).await;
        assert!(waited.is_err(), "it is being decoded on another thread");
        // The decode has ended when its turn is free again.
        drop(ingest.turns.acquire_many(16).await.unwrap());
        let counted = state.metrics.ingest_v1.get(Outcome::Unavailable);
        assert_eq!(counted, 400_000);
    }
}

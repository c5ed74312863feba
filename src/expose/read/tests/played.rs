//! A source that the test plays, a server over it, and recorded answers taken apart.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use prost::Message as _;
use tower::ServiceExt as _;

use super::super::*;
use crate::engine::ask::{AskError, WindowChunk};
use crate::series::labels;
use crate::series::matcher::Selector;
use crate::window::chunk::ChunkAppender;
use crate::window::encoding::Encoding;
use crate::wire::{field, proto};

/// Windows by their labels.
pub(super) type Stored = BTreeMap<Vec<u8>, Vec<WindowChunk>>;

/// Series in memory, and what goes wrong with them.
#[derive(Default)]
pub(super) struct Played {
    pub(super) stored: Stored,
    /// Calls of `windows` so far, and the one from which on they fail.
    pub(super) calls: AtomicUsize,
    pub(super) fails_from: Option<(usize, AskError)>,
    /// Held while `select` should not get on.
    pub(super) gate: tokio::sync::Mutex<()>,
}

impl Source for Arc<Played> {
    type Series = Vec<u8>;

    fn labels(series: &Vec<u8>) -> &[u8] {
        series
    }

    async fn select(
        &self,
        selector: Arc<Selector>,
        _: i64,
        _: i64,
        limit: usize,
    ) -> Result<Vec<Vec<u8>>, AskError> {
        drop(self.gate.lock().await);
        let found: Vec<_> = self
            .stored
            .keys()
            .filter(|l| selector.matches_labels(l))
            .cloned()
            .collect();
        if found.len() > limit {
            return Err(AskError::TooMany { limit });
        }
        Ok(found)
    }

    async fn windows(
        &self,
        of: &[Vec<u8>],
        _: i64,
        _: i64,
    ) -> Result<Vec<Vec<WindowChunk>>, AskError> {
        let call = self.calls.fetch_add(1, Ordering::Relaxed) + 1;
        if let Some((from, error)) = &self.fails_from
            && call >= *from
        {
            return Err(error.clone());
        }
        Ok(of
            .iter()
            .map(|labels| self.stored[labels].clone())
            .collect())
    }
}

pub(super) fn chunk_of(samples: &[(i64, f64)]) -> WindowChunk {
    let mut chunk = ChunkAppender::new();
    for (t_ms, value) in samples {
        assert!(chunk.append(*t_ms, *value));
    }
    WindowChunk {
        first_ms: samples[0].0,
        last_ms: samples[samples.len() - 1].0,
        samples: samples.len() as u16,
        encoding: Encoding::Xor,
        bytes: chunk.finish().into(),
    }
}

/// So many series `m{i="..."}` with so many chunks of 120 samples, one a second.
pub(super) fn many(series: usize, chunks: usize) -> Stored {
    let windows: Vec<_> = (0..chunks)
        .map(|c| {
            let samples = (0..120).map(|s| ((c * 120 + s) as i64 * 1000, (c * s) as f64 * 0.37));
            chunk_of(&samples.collect::<Vec<_>>())
        })
        .collect();
    let name = |i: usize| labels::encode([("__name__", "m"), ("i", &*format!("{i:05}"))]);
    (0..series).map(|i| (name(i), windows.clone())).collect()
}

pub(super) struct Server {
    pub(super) source: Arc<Played>,
    pub(super) router: Router,
    pub(super) metrics: Arc<Metrics>,
}

pub(super) fn server(
    played: Played,
    tune: impl FnOnce(&mut ReadConfig, &mut LimitsConfig),
) -> Server {
    let (mut config, mut limits) = (ReadConfig::default(), LimitsConfig::default());
    tune(&mut config, &mut limits);
    let source = Arc::new(played);
    let metrics = Arc::new(Metrics::new());
    let reading = Reading::new(Arc::clone(&source), &config, &limits, &metrics);
    Server {
        source,
        router: serve(reading),
        metrics,
    }
}

pub(super) fn of(stored: Stored) -> Server {
    server(
        Played {
            stored,
            ..Played::default()
        },
        |_, _| {},
    )
}

impl Server {
    pub(super) async fn post(&self, body: Vec<u8>) -> Response {
        let request = Request::post("/api/v1/read")
            .body(Body::from(body))
            .unwrap();
        self.router.clone().oneshot(request).await.unwrap()
    }

    pub(super) async fn ask(&self, request: &proto::ReadRequest) -> Response {
        self.post(
            snap::raw::Encoder::new()
                .compress_vec(&request.encode_to_vec())
                .unwrap(),
        )
        .await
    }

    /// Status and text of a refusal.
    pub(super) async fn refusal(&self, request: &proto::ReadRequest) -> (u16, String) {
        let response = self.ask(request).await;
        let code = response.status().as_u16();
        (
            code,
            String::from_utf8_lossy(&bytes(response).await).into_owned(),
        )
    }
}

pub(super) async fn bytes(response: Response) -> Vec<u8> {
    response
        .into_body()
        .collect()
        .await
        .unwrap()
        .to_bytes()
        .into()
}

pub(super) fn unpacked(body: &[u8]) -> Vec<u8> {
    BodyPool::new(0).decompress(body, 1 << 30).unwrap().to_vec()
}

/// All series `m`, for all time up to `end_ms`.
pub(super) fn all(accepted: &[i32], end_ms: i64) -> proto::ReadRequest {
    proto::ReadRequest {
        queries: vec![proto::Query {
            end_timestamp_ms: end_ms,
            matchers: vec![proto::LabelMatcher {
                name: "__name__".into(),
                value: "m".into(),
                ..Default::default()
            }],
            ..Default::default()
        }],
        accepted_response_types: accepted.to_vec(),
    }
}

/// The frames of an answer in chunks.
pub(super) fn frames(body: &[u8]) -> Vec<proto::ChunkedReadResponse> {
    let mut at = 0;
    let mut found = Vec::new();
    while at < body.len() {
        let len = field::varint(body, &mut at).unwrap() as usize;
        let crc = u32::from_be_bytes(body[at..at + 4].try_into().unwrap());
        let message = &body[at + 4..at + 4 + len];
        assert_eq!(crc, crc32c::crc32c(message));
        found.push(proto::ChunkedReadResponse::decode(message).unwrap());
        at += 4 + len;
    }
    found
}

pub(super) fn recorded(name: &str) -> Vec<u8> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/data/read-server");
    fs::read(folder.join(name)).unwrap()
}

/// What Prometheus had, as far as it was recorded in chunks, with the chunks as they were cut.
pub(super) fn recorded_chunks(names: &[&str]) -> Stored {
    let mut stored = Stored::new();
    for name in names {
        for frame in frames(&recorded(&format!("{name}.resp"))) {
            for series in frame.chunked_series {
                let own = series.labels.iter().map(|l| (&*l.name, &*l.value));
                let windows = series.chunks.iter().map(|c| WindowChunk {
                    first_ms: c.min_time_ms,
                    last_ms: c.max_time_ms,
                    samples: u16::from_be_bytes([c.data[0], c.data[1]]),
                    encoding: match c.r#type {
                        1 => Encoding::Xor,
                        2 => Encoding::Histogram,
                        _ => Encoding::FloatHistogram,
                    },
                    bytes: c.data.clone().into(),
                });
                stored.insert(labels::encode(own), windows.collect());
            }
        }
    }
    stored
}

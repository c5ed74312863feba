//! A server on a free port whose shards are the receiving ends of channels, and a client that says
//! exactly the bytes it is told to.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use prost::Message as _;
use saimon::clock::ManualClock;
use saimon::config::LimitsConfig;
use saimon::engine::router::Router;
use saimon::engine::shard::Message;
use saimon::expose::{self, Health, State};
use saimon::score::board::{Board, BoardWriter};
use saimon::telemetry::{CodeLabel, Metrics, Outcome};
use saimon::wire::proto;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

/// What the server's clock says.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

/// A guard against tests that hang; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shards: Vec<mpsc::Receiver<Message>>,
    pub(crate) board: BoardWriter,
    /// What scrapes read.
    pub(crate) shared: Arc<Board>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) health: Arc<Health>,
    pub(crate) shutdown: CancellationToken,
    pub(crate) served: tokio::task::JoinHandle<()>,
    pub(crate) runtime: tokio::runtime::Runtime,
}

impl Server {
    /// Two shards with queues of `limits.queue_batches`.
    pub(crate) fn start(tune: impl FnOnce(&mut LimitsConfig)) -> Self {
        let mut limits = LimitsConfig::default();
        tune(&mut limits);
        let (senders, shards) = (0..2)
            .map(|_| mpsc::channel(limits.queue_batches as usize))
            .unzip();
        let (board, mut writers) = Board::new(1);
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health::default());
        let state = State {
            router: Router::new(senders),
            board: Arc::clone(&board),
            metrics: Arc::clone(&metrics),
            limits: Arc::new(limits),
            clock: Arc::new(ManualClock::at(NOW_MS)),
            health: Arc::clone(&health),
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .unwrap();
        let free = SocketAddr::from(([127, 0, 0, 1], 0));
        let listener = runtime.block_on(expose::listener::bind(free)).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = CancellationToken::new();
        let served = runtime.spawn(expose::serve(listener, state, shutdown.clone()));
        Self {
            address,
            shards,
            board: writers.remove(0),
            shared: board,
            metrics,
            health,
            shutdown,
            served,
            runtime,
        }
    }

    pub(crate) fn connect(&self) -> Client {
        let stream = TcpStream::connect(self.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Client {
            stream,
            read: Vec::new(),
        }
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, path: &str, headers: &str) -> Response {
        let mut client = self.connect();
        client.send(format!("GET {path} HTTP/1.1\r\nhost: x\r\n{headers}\r\n").as_bytes());
        client.response()
    }

    /// Samples by outcome, as counted so far.
    pub(crate) fn outcome(&self, outcome: Outcome) -> u64 {
        self.metrics.ingest_v1.get(outcome)
    }

    /// Write requests answered with this status so far.
    pub(crate) fn answered(&self, code: u32) -> u64 {
        let answered = self.metrics.requests.get(&CodeLabel { code });
        answered.map_or(0, |counter| counter.get())
    }

    /// Everything the shards were sent, as (labels, timestamp, value) of each row.
    pub(crate) fn received(&mut self) -> Vec<(Vec<u8>, i64, f64)> {
        let mut rows = Vec::new();
        for shard in &mut self.shards {
            while let Ok(message) = shard.try_recv() {
                if let Message::Batch(batch) = message {
                    rows.extend(batch.rows.iter().map(|row| {
                        let labels = row.labels.of(&batch.body).to_vec();
                        (labels, row.timestamp_ms, row.value)
                    }));
                }
            }
        }
        rows.sort_by(|a, b| (&a.0, a.1).cmp(&(&b.0, b.1)));
        rows
    }
}

pub(crate) struct Client {
    pub(crate) stream: TcpStream,
    read: Vec<u8>,
}

#[derive(Debug)]
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Response {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut found = self.headers.iter().filter(|(n, _)| n == name);
        found.next().map(|(_, value)| value.as_str())
    }

    pub(crate) fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }
}

impl Client {
    pub(crate) fn send(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// POSTs a body with these header lines (each ended by CRLF).
    pub(crate) fn post(&mut self, headers: &str, body: &[u8]) -> Response {
        let length = body.len();
        let head = format!(
            "POST /api/v1/write HTTP/1.1\r\nhost: x\r\n{headers}content-length: {length}\r\n\r\n"
        );
        self.send(&[head.as_bytes(), body].concat());
        self.response()
    }

    /// POSTs a write request as Prometheus does.
    pub(crate) fn write(&mut self, request: &proto::WriteRequest) -> Response {
        self.post(WRITE_HEADERS, &snappy(&request.encode_to_vec()))
    }

    /// True if the server closes the connection without another byte.
    pub(crate) fn is_closed(&mut self) -> bool {
        let mut byte = [0];
        match self.stream.read(&mut byte) {
            Ok(n) => n == 0,
            Err(e) => e.kind() == std::io::ErrorKind::ConnectionReset,
        }
    }

    fn more(&mut self) {
        let mut some = [0; 64 * 1024];
        let n = self.stream.read(&mut some).unwrap();
        assert!(
            n > 0,
            "closed in the middle: {:?}",
            String::from_utf8_lossy(&self.read)
        );
        self.read.extend_from_slice(&some[..n]);
    }

    pub(crate) fn until(&mut self, mark: &[u8]) -> Vec<u8> {
        loop {
            if let Some(at) = self.read.windows(mark.len()).position(|w| w == mark) {
                let rest = self.read.split_off(at + mark.len());
                return std::mem::replace(&mut self.read, rest);
            }
            self.more();
        }
    }

    fn take(&mut self, n: usize) -> Vec<u8> {
        while self.read.len() < n {
            self.more();
        }
        let rest = self.read.split_off(n);
        std::mem::replace(&mut self.read, rest)
    }

    pub(crate) fn response(&mut self) -> Response {
        let head = String::from_utf8(self.until(b"\r\n\r\n")).unwrap();
        let mut lines = head.trim_end().lines();
        let status = lines.next().unwrap()[9..12].parse().unwrap();
        let headers: Vec<_> = lines
            .filter_map(|l| l.split_once(": "))
            .map(|(n, v)| (n.to_ascii_lowercase(), v.to_owned()))
            .collect();
        let mut response = Response {
            status,
            headers,
            body: Vec::new(),
        };
        if let Some(n) = response.header("content-length") {
            let n = n.parse().unwrap();
            response.body = self.take(n);
        } else if response.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = String::from_utf8(self.until(b"\r\n")).unwrap();
                let size = usize::from_str_radix(size.trim(), 16).unwrap();
                let mut chunk = self.take(size + 2);
                chunk.truncate(size);
                response.body.extend(chunk);
                if size == 0 {
                    break;
                }
            }
        }
        response
    }
}

/// What Prometheus sends with a write request.
pub(crate) const WRITE_HEADERS: &str = "content-type: application/x-protobuf\r\ncontent-encoding: snappy\r\nx-prometheus-remote-write-version: 0.1.0\r\nuser-agent: test\r\n";

pub(crate) fn snappy(raw: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(raw).unwrap()
}

/// One entry of a request: labels in wire order, then samples (timestamp, value).
pub(crate) type Entry<'a> = (&'a [(&'a str, &'a str)], &'a [(i64, f64)]);

/// A request of these entries.
pub(crate) fn request(series: &[Entry<'_>]) -> proto::WriteRequest {
    let timeseries = series.iter().map(|(labels, samples)| proto::TimeSeries {
        labels: labels
            .iter()
            .map(|(name, value)| proto::Label {
                name: (*name).to_owned(),
                value: (*value).to_owned(),
            })
            .collect(),
        samples: samples
            .iter()
            .map(|(timestamp, value)| proto::Sample {
                value: *value,
                timestamp: *timestamp,
            })
            .collect(),
        ..Default::default()
    });
    proto::WriteRequest {
        timeseries: timeseries.collect(),
        ..Default::default()
    }
}

//! A server on a free port whose shards are the receiving ends of channels.

use std::net::SocketAddr;
use std::sync::Arc;

use saimon::clock::ManualClock;
use saimon::config::LimitsConfig;
use saimon::engine::ask::Reader;
use saimon::engine::router::Router;
use saimon::engine::shard::Message;
use saimon::expose::{Health, State};
use saimon::score::board::{Board, BoardWriter};
use saimon::telemetry::{CodeLabel, Metrics, Outcome};
use saimon::wire::proto;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::listening::{Listening, listen};

pub(crate) use crate::client::{Client, Response, WRITE_HEADERS, snappy};

/// What the server's clock says.
pub(crate) const NOW_MS: i64 = 1_700_000_000_000;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    pub(crate) shards: Vec<mpsc::Receiver<Message>>,
    /// Native histograms that [`Server::received`] has found.
    pub(crate) histograms: usize,
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
            .unzip::<_, _, Vec<_>, Vec<_>>();
        let (board, mut writers) = Board::new(1);
        let metrics = Arc::new(Metrics::new());
        let health = Arc::new(Health::default());
        let state = State {
            reader: Reader::new(senders.clone(), None),
            read: Arc::default(),
            groups: Arc::default(),
            router: Router::new(senders),
            board: Arc::clone(&board),
            metrics: Arc::clone(&metrics),
            limits: Arc::new(limits),
            clock: Arc::new(ManualClock::at(NOW_MS)),
            health: Arc::clone(&health),
            api: Arc::default(),
        };
        let Listening {
            address,
            shutdown,
            served,
            runtime,
        } = listen(state);
        Self {
            address,
            shards,
            histograms: 0,
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
        Client::connect(self.address)
    }

    /// One GET on a connection of its own.
    pub(crate) fn get(&self, path: &str, headers: &str) -> Response {
        self.connect().get(path, headers)
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

    /// Every float that the shards were sent, as (labels, timestamp, value) of each row; native
    /// histograms are counted in [`Server::histograms`].
    pub(crate) fn received(&mut self) -> Vec<(Vec<u8>, i64, f64)> {
        let mut rows = Vec::new();
        for shard in &mut self.shards {
            while let Ok(message) = shard.try_recv() {
                if let Message::Batch(batch) = message {
                    self.histograms += batch.histograms.len();
                    rows.extend(batch.rows.iter().chain(&batch.plain).map(|row| {
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

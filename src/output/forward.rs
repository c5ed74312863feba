//! One receiver's task: reads the queue, makes requests, sends them, and remembers how far it got.
//!
//! It goes in rounds. A round is a stretch of the queue, its samples spread over lanes by their
//! series, each lane one request after the other, all lanes at once; the next round begins when all of
//! this one is settled, so a series' samples arrive in order. What a round is about to send is written
//! down before, and that it has been after. So a killed process sends at most the round that was under
//! way once more: the same samples in the same requests.

mod round;
mod watch;

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::Protocol;
use super::headers::Headers;
use super::queue::Reader;
use super::request::{Encoder, Request};
use super::scores::Shape;
use super::sender::{End, Rules, Sender, Spoken};
use super::transport::{Configured, Transport};
use crate::client::ClientError;
use crate::clock::Clock;
use crate::config::RemoteWriteConfig;
use crate::config::outputs::MessageConfig;
use crate::series::relabel::{Relabel, RelabelError};
use crate::telemetry::output::OutputMetrics;
use round::{Maker, Round};
use watch::ReceiverWatch;

/// How long a queue that cannot be read is left alone.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Why a receiver cannot be sent anything.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    #[error("write_relabel_configs: {0}")]
    Relabel(#[from] RelabelError),
    #[error(transparent)]
    Client(#[from] ClientError),
}

/// The task of one receiver.
pub struct Forward<T = Configured> {
    name: String,
    config: RemoteWriteConfig,
    maker: Option<Maker>,
    lanes: Vec<Sender<T>>,
    watch: Arc<ReceiverWatch>,
    wanted: Protocol,
    spoken: Arc<Spoken>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
    /// When 1.0 announces the metrics next.
    announce: Option<Instant>,
}

impl Forward {
    /// After `stop` what is in the queue is sent as long as that goes well.
    ///
    /// # Errors
    /// If the configuration cannot be used.
    pub fn new(
        config: &RemoteWriteConfig,
        reader: Reader,
        metrics: &OutputMetrics,
        clock: &Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Result<Self, ForwardError> {
        let transport = Configured::new(&config.url, &config.client)?;
        Self::over(&transport, config, reader, metrics, clock, stop)
    }
}

impl<T: Transport + Clone> Forward<T> {
    fn over(
        transport: &T,
        config: &RemoteWriteConfig,
        reader: Reader,
        metrics: &OutputMetrics,
        clock: &Arc<dyn Clock>,
        stop: &CancellationToken,
    ) -> Result<Self, ForwardError> {
        let name = config.shown_name();
        let queue = &config.queue_config;
        let watch = Arc::new(ReceiverWatch::new(metrics.receiver(&name)));
        let rules = Rules {
            retry_for: None,
            back_off: (queue.min_backoff, queue.max_backoff),
            kept: true,
            retry_on_429: queue.retry_on_http_429,
            fall_back: config.fall_back,
            answer_wait: config.client.remote_timeout,
            // The client adds those of the user, and lets ours win.
            headers: Headers::default(),
            user_agent: HeaderValue::from_static(concat!("saimon/", env!("CARGO_PKG_VERSION"))),
        };
        let spoken = Arc::new(Spoken::default());
        let lanes = (0..queue.max_shards.max(1)).map(|_| {
            Sender::new(
                transport.clone(),
                rules.clone(),
                Arc::clone(&watch) as _,
                Arc::clone(clock),
                stop.clone(),
                Arc::clone(&spoken),
            )
        });
        let relabel = Relabel::new(&config.write_relabel_configs)?;
        Ok(Self {
            maker: Some(Maker {
                reader,
                shape: Shape::new(&config.series, relabel, config.min_score),
                encoder: Encoder::new(),
                request_max: queue.max_samples_per_send as usize,
                age_max_ms: i64::try_from(queue.sample_age_limit.as_millis()).unwrap_or(i64::MAX),
            }),
            lanes: lanes.collect(),
            watch,
            wanted: match config.protobuf_message {
                MessageConfig::V1 => Protocol::V1,
                MessageConfig::V2 => Protocol::V2,
            },
            spoken,
            clock: Arc::clone(clock),
            stop: stop.clone(),
            announce: config.metadata_config.send.then(Instant::now),
            config: config.clone(),
            name,
        })
    }

    /// Runs until it is told to stop and the queue is empty, or nobody takes what is left in it.
    pub async fn run(mut self) {
        let span = tracing::info_span!("output", receiver = %self.name);
        async { while self.step().await.is_some() {} }
            .instrument(span)
            .await;
    }

    /// One round; `None` if it was the last.
    async fn step(&mut self) -> Option<()> {
        let intent = self.maker.as_mut()?.reader.intent();
        if intent.is_none() {
            self.wait().await?;
        }
        self.announce().await?;
        let protocol = self.spoken.instead_of(self.wanted);
        let now_ms = self.clock.now_ms();
        let lanes = intent.map_or(self.lanes.len(), |i| i.lanes as usize);
        let mut maker = self.maker.take()?;
        // Reading, relabelling and compressing is work for a thread that may block.
        let made = tokio::task::spawn_blocking(move || {
            let round = maker.round(protocol, lanes, intent.map(|i| i.until_row), now_ms);
            (maker, round)
        });
        let (maker, round) = made.await.ok()?;
        let maker = self.maker.insert(maker);
        let round = match round {
            Ok(round) => round,
            Err(error) => {
                maker.reader.rewind();
                self.watch.cannot_read(&error);
                return self.pause(READ_AGAIN).await;
            }
        };
        self.watch.left_out(&round);
        self.watch.resends(intent.is_some());
        self.send(round).await?;
        let maker = self.maker.as_mut()?;
        if let Err(error) = maker.reader.commit() {
            self.watch.cannot_read(&error);
        }
        self.watch.pending(maker.reader.pending());
        Some(())
    }

    /// Sends the requests of all lanes; `None` if some are left because it is to stop.
    async fn send(&mut self, mut round: Round) -> Option<()> {
        let lanes = std::mem::take(&mut round.lanes);
        // An earlier process may have had more lanes: one that we lack goes with another, whole.
        let mut queues: Vec<Vec<Request>> = vec![Vec::new(); self.lanes.len()];
        for (i, lane) in lanes.into_iter().enumerate() {
            queues[i % self.lanes.len()].extend(lane);
        }
        let sending = self
            .lanes
            .iter_mut()
            .zip(queues)
            .map(|(lane, queue)| async {
                let mut all = true;
                for request in queue {
                    all &= lane.send(&request).await.end != End::GivenUp;
                    if !all {
                        break;
                    }
                }
                all
            });
        let ended = round::together(sending).await;
        ended.into_iter().all(|all| all).then(|| {
            self.watch.newest(round.newest_ms);
        })
    }

    /// Waits for enough to send, or for as long as what there is may wait.
    async fn wait(&mut self) -> Option<()> {
        let maker = self.maker.as_ref()?;
        let row = maker.reader.row();
        let mut end = maker.reader.watch();
        let enough = u64::from(self.config.queue_config.max_samples_per_send);
        let mut until: Option<Instant> = None;
        loop {
            let waiting = end.borrow_and_update().saturating_sub(row);
            self.watch.pending(waiting);
            let stopping = self.stop.is_cancelled();
            match waiting {
                0 if stopping => return None,
                n if n >= enough || (n > 0 && stopping) => return Some(()),
                0 => {}
                _ => {
                    let deadline = self.config.queue_config.batch_send_deadline;
                    until.get_or_insert_with(|| Instant::now() + deadline);
                }
            }
            let due = async {
                match until {
                    Some(until) => tokio::time::sleep_until(until).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                changed = end.changed() => changed.ok()?,
                () = due => return Some(()),
                () = self.stop.cancelled(), if !stopping => {}
            }
        }
    }

    /// Has 1.0 say what the metrics are, if it is time.
    async fn announce(&mut self) -> Option<()> {
        if self.spoken.instead_of(self.wanted) == Protocol::V2
            || self.announce.is_none_or(|due| Instant::now() < due)
        {
            return Some(());
        }
        self.announce = Some(Instant::now() + self.config.metadata_config.send_interval);
        let maker = self.maker.as_mut()?;
        let Ok(request) = maker.encoder.metadata(maker.shape.families()) else {
            return Some(());
        };
        let lane = self.lanes.first_mut()?;
        (lane.send(&request).await.end != End::GivenUp).then_some(())
    }

    async fn pause(&self, wait: Duration) -> Option<()> {
        tokio::select! {
            () = tokio::time::sleep(wait) => Some(()),
            () = self.stop.cancelled() => None,
        }
    }
}

#[cfg(test)]
mod tests;

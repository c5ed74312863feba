//! A load generator for remote write that behaves as Prometheus does.
//!
//! Each connection owns its series (by their labels, as Prometheus assigns shards) and waits for an
//! answer before it sends on, so the order within a series holds whatever fails. One task per
//! connection prepares the next request while the other waits for the answer to the last. Timestamps
//! never run ahead of the clock: a fast run begins in the past, and one that has caught up goes on in
//! real time. At its end a run ends its series with stale markers, unless told to leave them open.

mod load;
mod replay;
mod tally;

use std::io::IsTerminal as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderValue, Uri};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::clock::Clock;
use crate::output::headers::{HeaderError, Headers};
use crate::output::request::{Request, RequestError};
use crate::output::sender::{End, Rules, Sender, Spoken};
use crate::output::transport::Http;
use crate::output::{Protocol, lane_of};
use load::Batch;
pub use replay::{Contents, ReplayError};
use tally::Tally;
pub use tally::{Quantiles, Totals};

/// Series at most: each takes about 300 bytes here.
pub const SERIES_MAX: u64 = 5_000_000;
/// Connections at most: Prometheus' greatest default number of shards.
pub const CONNECTIONS_MAX: u32 = 200;
/// Series per request at most.
pub const BATCH_MAX: u32 = 100_000;
/// Where a fast run of unknown length begins: long enough ago for minutes of full speed, recent
/// enough for any receiver's retention.
const START_AGO: Duration = Duration::from_secs(7 * 24 * 3600);
/// Prometheus announces its metadata this often.
const METADATA_EVERY: Duration = Duration::from_secs(60);
/// A clock that must be waited for is looked at this often at least.
const CLOCK_WAIT_MAX: Duration = Duration::from_millis(200);
const USER_AGENT: &str = concat!("saimon-generate/", env!("CARGO_PKG_VERSION"));
const BAR_EVERY: Duration = Duration::from_millis(250);
const LINE_EVERY: Duration = Duration::from_secs(5);

/// Why a run could not begin or go on.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    #[error("cannot push to {url}: {what}")]
    Url { url: String, what: &'static str },
    #[error("--{flag} {value} is not in 1..={max}")]
    Range {
        flag: &'static str,
        value: u64,
        max: u64,
    },
    #[error(transparent)]
    Replay(#[from] ReplayError),
    #[error(transparent)]
    Request(#[from] RequestError),
    #[error(transparent)]
    Header(#[from] HeaderError),
    #[error("{url} does not take remote write 2.0: use --protocol 1.0 or --fall-back")]
    NotSpoken { url: String },
}

/// How fast rounds follow each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Speed {
    /// As fast as the receiver takes them, with timestamps from the past.
    Max,
    /// One round each interval.
    Real,
}

/// What to push.
#[derive(Debug, Clone)]
pub struct Plan {
    pub url: String,
    /// 1 to [`SERIES_MAX`].
    pub series: u64,
    /// Between two samples of a series.
    pub interval: Duration,
    pub speed: Speed,
    /// Ends the run after this time.
    pub duration: Option<Duration>,
    /// Ends the run after so many samples, rounded up to whole rounds.
    pub samples: Option<u64>,
    /// How long before now the first timestamp lies; `None`: as long as the samples need, or a week.
    pub start_ago: Option<Duration>,
    /// 1 to [`CONNECTIONS_MAX`].
    pub connections: u32,
    /// Series per request, 1 to [`BATCH_MAX`].
    pub batch: u32,
    /// How long one request is repeated before it is given up.
    pub retry_for: Duration,
    /// Another seed makes other series.
    pub seed: u64,
    pub protocol: Protocol,
    /// A receiver that does not take 2.0 is sent 1.0.
    pub fall_back: bool,
    /// What is answered with 429 is sent again, and not dropped as Prometheus does by default.
    pub retry_on_429: bool,
    /// Headers beside our own, as `Name: value`.
    pub headers: Vec<String>,
    /// The series are not ended, because another run goes on with them.
    pub leave_open: bool,
}

/// What came of a run.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    pub url: String,
    pub seconds: f64,
    pub samples_per_second: f64,
    #[serde(flatten)]
    pub totals: Totals,
    /// Of a replay: what the bodies hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// Everything that was sent was acknowledged.
    pub complete: bool,
}

impl Plan {
    fn check(&self) -> Result<Uri, PushError> {
        for (flag, value, max) in [
            ("series", self.series, SERIES_MAX),
            (
                "connections",
                self.connections.into(),
                CONNECTIONS_MAX.into(),
            ),
            ("batch", self.batch.into(), BATCH_MAX.into()),
            ("interval", millis(self.interval) as u64, u64::MAX),
        ] {
            if value == 0 || value > max {
                return Err(PushError::Range { flag, value, max });
            }
        }
        check_url(&self.url)
    }

    fn rounds(&self) -> Option<u64> {
        self.samples
            .map(|samples| samples.div_ceil(self.series).max(1))
    }

    fn first_ms(&self, now_ms: i64) -> i64 {
        let ago = match (self.speed, self.rounds()) {
            (Speed::Real, _) => Duration::ZERO,
            (Speed::Max, Some(rounds)) => self.interval.saturating_mul(saturate(rounds)),
            (Speed::Max, None) => START_AGO,
        };
        now_ms.saturating_sub(millis(self.start_ago.unwrap_or(ago)))
    }

    /// The series of each connection, in requests.
    fn batches(&self) -> Vec<Vec<Batch>> {
        let mut lanes = vec![Vec::new(); self.connections as usize];
        for i in 0..self.series as usize {
            let lane = lane_of(&load::labels(i, self.seed), lanes.len());
            lanes[lane].push(i);
        }
        let requests = |own: &Vec<usize>| {
            own.chunks(self.batch as usize)
                .map(|chunk| Batch::new(chunk.iter().copied(), self.seed))
                .collect()
        };
        lanes.iter().map(requests).collect()
    }

    fn rules(&self) -> Result<Rules, PushError> {
        Ok(Rules {
            fall_back: self.fall_back,
            retry_on_429: self.retry_on_429,
            headers: Headers::parse(&self.headers)?,
            ..rules(self.retry_for)
        })
    }
}

fn rules(retry_for: Duration) -> Rules {
    Rules {
        retry_for: Some(retry_for),
        retry_on_429: true,
        user_agent: HeaderValue::from_static(USER_AGENT),
        ..Rules::default()
    }
}

/// Pushes until the plan is done or `stop` is cancelled.
pub async fn push(
    plan: &Plan,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<Report, PushError> {
    let url = plan.check()?;
    let rules = plan.rules()?;
    let tally = Arc::new(Tally::new());
    let spoken = Arc::new(Spoken::default());
    let loads = plan.batches();
    let rounds = plan.rounds();
    let first_ms = plan.first_ms(clock.now_ms());
    let since = Instant::now();
    let deadline = plan.duration.map(|duration| since + duration);
    let progress = Progress::start(
        Arc::clone(&tally),
        rounds.map(|rounds| rounds * plan.series),
    );
    let mut tasks: JoinSet<Result<(), PushError>> = JoinSet::new();
    for (connection, batches) in loads.into_iter().enumerate() {
        let maker = Maker {
            batches,
            announces: connection == 0,
            ends: !plan.leave_open,
            protocol: plan.protocol,
            spoken: Arc::clone(&spoken),
            rounds,
            first_ms,
            interval_ms: millis(plan.interval),
            deadline,
            clock: Arc::clone(&clock),
            stop: stop.clone(),
        };
        let sender = Sender::new(
            Http::new(url.clone()),
            rules.clone(),
            tally.clone(),
            Arc::clone(&clock),
            stop.clone(),
            Arc::clone(&spoken),
        );
        // One request is in flight, one waits: making and sending overlap and no more is held.
        let (requests, ready) = mpsc::channel(1);
        tasks.spawn(maker.run(requests));
        tasks.spawn(send_all(sender, ready, plan.url.clone(), stop.clone()));
    }
    let mut failed = None;
    while let Some(done) = tasks.join_next().await {
        let done = done.expect("BUG: a pushing task panicked or was aborted");
        if let Err(err) = done {
            stop.cancel();
            failed.get_or_insert(err);
        }
    }
    progress.finish();
    match failed {
        Some(err) => Err(err),
        None => Ok(Report::new(&plan.url, since.elapsed(), &tally, None)),
    }
}

/// Sends what is made, in order. After `stop` only as long as the receiver takes it.
async fn send_all(
    mut sender: Sender<Http>,
    mut ready: mpsc::Receiver<Request>,
    url: String,
    stop: CancellationToken,
) -> Result<(), PushError> {
    while let Some(request) = ready.recv().await {
        let sent = sender.send(&request).await;
        if sent.end == End::NotSpoken {
            return Err(PushError::NotSpoken { url });
        }
        if stop.is_cancelled() && sent.end != End::Written {
            break;
        }
    }
    Ok(())
}

/// Posts the recorded bodies of a folder, one after the other.
pub async fn replay(
    url: &str,
    folder: &Path,
    retry_for: Duration,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
) -> Result<Report, PushError> {
    let uri = check_url(url)?;
    let (files, skipped) = replay::list(folder)?;
    let tally = Arc::new(Tally::new());
    let mut sender = Sender::new(
        Http::new(uri),
        rules(retry_for),
        tally.clone(),
        clock,
        stop.clone(),
        Arc::default(),
    );
    let mut contents = Contents {
        skipped,
        ..Contents::default()
    };
    let since = Instant::now();
    let mut all = true;
    for file in files {
        let body = replay::load(&file, &mut contents)?;
        all &= sender.send(&body).await.end == End::Written;
        if stop.is_cancelled() {
            break;
        }
    }
    let mut report = Report::new(url, since.elapsed(), &tally, Some(contents));
    // A body without samples (metadata, exemplars) counts too.
    report.complete &= all;
    Ok(report)
}

/// Makes the requests of one connection, in order and in time.
struct Maker {
    batches: Vec<Batch>,
    announces: bool,
    ends: bool,
    protocol: Protocol,
    spoken: Arc<Spoken>,
    rounds: Option<u64>,
    first_ms: i64,
    interval_ms: i64,
    deadline: Option<Instant>,
    clock: Arc<dyn Clock>,
    stop: CancellationToken,
}

impl Maker {
    async fn run(mut self, requests: mpsc::Sender<Request>) -> Result<(), PushError> {
        self.rounds(&requests).await?;
        let (interval_ms, now_ms) = (self.interval_ms, self.clock.now_ms());
        for batch in self.batches.iter_mut().filter(|_| self.ends) {
            let protocol = self.spoken.instead_of(self.protocol);
            let end = batch.end(interval_ms, now_ms, protocol)?;
            if let Some(request) = end
                && requests.send(request).await.is_err()
            {
                break;
            }
        }
        Ok(())
    }

    /// All rounds, or as many as there is time for. A closed channel means that nobody sends any more.
    async fn rounds(&mut self, requests: &mpsc::Sender<Request>) -> Result<(), PushError> {
        let mut announced: Option<Instant> = None;
        let mut timestamp_ms = self.first_ms;
        for round in 0.. {
            if self.rounds.is_some_and(|rounds| round >= rounds) {
                break;
            }
            if !self.wait_for(timestamp_ms).await {
                break;
            }
            // 2.0 says with each series what 1.0 says now and then.
            let announces = self.announces && self.spoken.instead_of(self.protocol) == Protocol::V1;
            if announces && announced.is_none_or(|at| at.elapsed() >= METADATA_EVERY) {
                announced = Some(Instant::now());
                if requests.send(load::metadata()?).await.is_err() {
                    break;
                }
            }
            for batch in &mut self.batches {
                // A round over a million series takes long: it may be cut short.
                let cut = self
                    .deadline
                    .is_some_and(|deadline| Instant::now() >= deadline);
                if cut || self.stop.is_cancelled() {
                    return Ok(());
                }
                let protocol = self.spoken.instead_of(self.protocol);
                let request = batch.round(timestamp_ms, protocol)?;
                if requests.send(request).await.is_err() {
                    return Ok(());
                }
            }
            timestamp_ms = timestamp_ms.saturating_add(self.interval_ms);
        }
        Ok(())
    }

    /// Waits until the clock has reached `timestamp_ms`. False if the run is over before that.
    async fn wait_for(&self, timestamp_ms: i64) -> bool {
        loop {
            let over = self
                .deadline
                .is_some_and(|deadline| Instant::now() >= deadline);
            if over || self.stop.is_cancelled() {
                return false;
            }
            let ahead_ms = timestamp_ms.saturating_sub(self.clock.now_ms());
            let Ok(ahead_ms @ 1..) = u64::try_from(ahead_ms) else {
                return true;
            };
            tokio::time::sleep(Duration::from_millis(ahead_ms).min(CLOCK_WAIT_MAX)).await;
        }
    }
}

impl Report {
    fn new(url: &str, took: Duration, tally: &Tally, contents: Option<Contents>) -> Self {
        let totals = tally.totals();
        let seconds = took.as_secs_f64();
        Self {
            url: url.to_owned(),
            seconds,
            samples_per_second: totals.samples_acknowledged as f64 / seconds.max(1e-9),
            complete: totals.samples_acknowledged == totals.samples_sent
                && totals.stale_markers_dropped == 0,
            totals,
            contents,
        }
    }
}

/// For people; scripts use the JSON.
impl std::fmt::Display for Report {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let t = &self.totals;
        let q = t.latency_seconds;
        writeln!(
            f,
            "samples   {} sent, {} acknowledged, {} dropped",
            t.samples_sent, t.samples_acknowledged, t.samples_dropped
        )?;
        if t.stale_markers + t.stale_markers_dropped > 0 {
            writeln!(
                f,
                "ended     {} series with stale markers, {} dropped",
                t.stale_markers, t.stale_markers_dropped
            )?;
        }
        if let Some(c) = &self.contents {
            writeln!(
                f,
                "contents  {} bodies ({} left out): {} series, {} samples, {} histograms, {} exemplars, {} metadata",
                c.bodies, c.skipped, c.series, c.samples, c.histograms, c.exemplars, c.metadata
            )?;
        }
        let (rate, seconds) = (self.samples_per_second, self.seconds);
        writeln!(f, "rate      {rate:.0} samples/s over {seconds:.2} s")?;
        writeln!(f, "requests  {} ({} retries)", t.requests, t.retries)?;
        writeln!(f, "statuses  {}", t.statuses_line())?;
        writeln!(
            f,
            "latency   p50 {:.2} ms, p90 {:.2} ms, p99 {:.2} ms, max {:.2} ms",
            q.p50 * 1e3,
            q.p90 * 1e3,
            q.p99 * 1e3,
            q.max * 1e3
        )?;
        write!(
            f,
            "bytes     {} sent, {} before compression",
            t.bytes_sent, t.bytes_raw
        )?;
        if let Some(error) = &t.last_error {
            write!(f, "\nerror     {error}")?;
        }
        Ok(())
    }
}

/// A bar on a terminal, lines elsewhere; both on standard error.
struct Progress {
    task: tokio::task::JoinHandle<()>,
    bar: ProgressBar,
}

impl Progress {
    fn start(tally: Arc<Tally>, total: Option<u64>) -> Self {
        let terminal = std::io::stderr().is_terminal();
        let bar = match (terminal, total) {
            (false, _) => ProgressBar::hidden(),
            (true, None) => ProgressBar::no_length(),
            (true, Some(total)) => ProgressBar::new(total),
        };
        let style = match total {
            Some(_) => "{elapsed_precise} {bar:30} {percent}% {msg}",
            None => "{elapsed_precise} {spinner} {msg}",
        };
        bar.set_style(ProgressStyle::with_template(style).expect("BUG: a constant template"));
        let shown = bar.clone();
        let task = tokio::spawn(async move {
            let every = if terminal { BAR_EVERY } else { LINE_EVERY };
            let (mut before, mut then) = (0, Instant::now());
            loop {
                tokio::time::sleep(every).await;
                let (now, at) = (tally.acknowledged(), Instant::now());
                let rate = (now - before) as f64 / (at - then).as_secs_f64();
                let totals = tally.totals();
                let line = format!(
                    "{now} samples acknowledged, {rate:.0}/s, {}, p99 {:.1} ms",
                    totals.statuses_line(),
                    totals.latency_seconds.p99 * 1e3
                );
                if terminal {
                    shown.set_position(now);
                    shown.set_message(line);
                } else {
                    eprintln!("{line}");
                }
                (before, then) = (now, at);
            }
        });
        Self { task, bar }
    }

    fn finish(self) {
        self.task.abort();
        self.bar.finish_and_clear();
    }
}

fn check_url(url: &str) -> Result<Uri, PushError> {
    let bad = |what| PushError::Url {
        url: url.to_owned(),
        what,
    };
    let uri: Uri = url.parse().map_err(|_| bad("it is not a URL"))?;
    match uri.scheme_str() {
        Some("http") if uri.host().is_some() => Ok(uri),
        Some("https") => Err(bad("TLS is not supported here, use http://")),
        _ => Err(bad("it must look like http://host:port/api/v1/write")),
    }
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

fn saturate(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;

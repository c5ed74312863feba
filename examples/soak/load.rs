//! What is sent: the same values for the same series and round, whoever asks, so that what is read
//! back can be checked without being remembered.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use prost::Message as _;
use saimon::wire::proto::{Label, Sample, TimeSeries, WriteRequest};

use crate::http;

/// Series in one request, as Prometheus sends them by default.
pub(crate) const BATCH: usize = 2_000;
/// A request is sent again after this, as Retry-After asks at the least.
const AGAIN: Duration = Duration::from_millis(200);

/// The whole load.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) series: usize,
    pub(crate) interval: Duration,
    /// Time of round 0, in milliseconds.
    pub(crate) base_ms: i64,
    pub(crate) senders: usize,
    pub(crate) address: SocketAddr,
}

/// What became of the requests of one sender. They are numbered: round by round, batch by batch.
#[derive(Debug, Default)]
pub(crate) struct Account {
    /// The requests before this one were acknowledged, each of them.
    pub(crate) acknowledged: AtomicU64,
    /// Answers that were none, and refusals.
    pub(crate) broken: AtomicU64,
    pub(crate) refused: AtomicU64,
    /// The longest that a request took that was acknowledged.
    pub(crate) longest: Mutex<Duration>,
    /// An answer that must not be.
    pub(crate) odd: Mutex<Option<u16>>,
}

impl Load {
    /// The batches of a sender in each round.
    pub(crate) fn batches(&self, sender: usize) -> usize {
        self.share(sender).len().div_ceil(BATCH)
    }

    fn share(&self, sender: usize) -> std::ops::Range<usize> {
        let at = |n: usize| self.series * n / self.senders;
        at(sender)..at(sender + 1)
    }

    /// The series of a batch.
    pub(crate) fn of(&self, sender: usize, batch: usize) -> std::ops::Range<usize> {
        let share = self.share(sender);
        let from = share.start + batch * BATCH;
        from..share.end.min(from + BATCH)
    }

    pub(crate) fn time_ms(&self, round: u64) -> i64 {
        self.base_ms + round as i64 * self.interval.as_millis() as i64
    }

    /// The label that tells the series of a batch.
    pub(crate) fn part(sender: usize, batch: usize) -> String {
        format!("{sender}-{batch}")
    }

    fn body(&self, sender: usize, batch: usize, round: u64) -> Vec<u8> {
        let part = Self::part(sender, batch);
        let t_ms = self.time_ms(round);
        let series = self.of(sender, batch).map(|s| TimeSeries {
            labels: labels(s, &part),
            samples: vec![Sample {
                value: value(s, round),
                timestamp: t_ms,
            }],
            ..Default::default()
        });
        let request = WriteRequest {
            timeseries: series.collect(),
            ..Default::default()
        };
        let raw = request.encode_to_vec();
        snap::raw::Encoder::new()
            .compress_vec(&raw)
            .unwrap_or_default()
    }

    /// Sends at the speed of the clock until told to stop; each request until it is acknowledged.
    pub(crate) fn run(&self, sender: usize, account: &Account, stop: &AtomicBool) {
        let began = Instant::now();
        let batches = self.batches(sender) as u64;
        for request in 0.. {
            let (round, batch) = (request / batches, request % batches);
            let due = self
                .interval
                .mul_f64(round as f64 + batch as f64 / batches as f64);
            while began.elapsed() < due {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let left = due.saturating_sub(began.elapsed());
                std::thread::sleep(left.min(Duration::from_millis(50)));
            }
            let body = self.body(sender, batch as usize, round);
            loop {
                if stop.load(Ordering::Relaxed) {
                    return;
                }
                let sent = Instant::now();
                let version = "x-prometheus-remote-write-version: 0.1.0";
                match http::post(self.address, "/api/v1/write", version, &body) {
                    Ok((200..=204, _)) => {
                        account.acknowledged.store(request + 1, Ordering::Relaxed);
                        if let Ok(mut longest) = account.longest.lock() {
                            *longest = longest.max(sent.elapsed());
                        }
                        break;
                    }
                    Ok((503, _)) => {
                        account.refused.fetch_add(1, Ordering::Relaxed);
                    }
                    Ok((status, _)) => {
                        if let Ok(mut odd) = account.odd.lock() {
                            *odd = Some(status);
                        }
                    }
                    Err(_) => {
                        account.broken.fetch_add(1, Ordering::Relaxed);
                    }
                }
                std::thread::sleep(AGAIN);
            }
        }
    }
}

/// Senders at work.
#[derive(Debug)]
pub(crate) struct Senders {
    pub(crate) load: Arc<Load>,
    pub(crate) accounts: Vec<Arc<Account>>,
    stop: Arc<AtomicBool>,
    threads: Vec<std::thread::JoinHandle<()>>,
}

impl Senders {
    pub(crate) fn start(load: Load) -> std::io::Result<Self> {
        let load = Arc::new(load);
        let stop = Arc::new(AtomicBool::new(false));
        let mut accounts = Vec::new();
        let mut threads = Vec::new();
        for sender in 0..load.senders {
            let account = Arc::new(Account::default());
            accounts.push(Arc::clone(&account));
            let (load, stop) = (Arc::clone(&load), Arc::clone(&stop));
            let thread = std::thread::Builder::new().name(format!("sender-{sender}"));
            threads.push(thread.spawn(move || load.run(sender, &account, &stop))?);
        }
        Ok(Self {
            load,
            accounts,
            stop,
            threads,
        })
    }

    /// Ends them; a request under way may have been taken without being acknowledged.
    pub(crate) fn stop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for thread in self.threads.drain(..) {
            // One that panicked has acknowledged nothing that it did not count.
            let _ = thread.join();
        }
    }

    /// Samples in all requests that were acknowledged.
    pub(crate) fn acknowledged(&self) -> u64 {
        let of = |(sender, account): (usize, &Arc<Account>)| {
            let batches = self.load.batches(sender) as u64;
            let requests = account.acknowledged.load(Ordering::Relaxed);
            let whole: usize = (0..batches as usize)
                .map(|b| self.load.of(sender, b).len())
                .sum();
            let begun = 0..(requests % batches) as usize;
            let begun: usize = begun.map(|b| self.load.of(sender, b).len()).sum();
            requests / batches * whole as u64 + begun as u64
        };
        self.accounts.iter().enumerate().map(of).sum()
    }
}

/// Nine labels beside the part.
fn labels(series: usize, part: &str) -> Vec<Label> {
    let label = |name: &str, value: String| Label {
        name: name.to_owned(),
        value,
    };
    let host = series / 50;
    let name = match series % 3 {
        0 => format!("soak_requests_{}_total", series % 50),
        _ => format!("soak_gauge_{}", series % 50),
    };
    vec![
        label("__name__", name),
        label("cluster", "soak".to_owned()),
        label("container", "server".to_owned()),
        label(
            "instance",
            format!("10.0.{}.{}:9100", host / 250, host % 250),
        ),
        label("job", "soak".to_owned()),
        label("namespace", format!("team-{}", host % 7)),
        label("part", part.to_owned()),
        label("pod", format!("server-{host}")),
        label("series", series.to_string()),
        label("zone", format!("zone-{}", host % 3)),
    ]
}

/// A counter, a gauge of a few decimals, or a gauge of all the bits that there are.
pub(crate) fn value(series: usize, round: u64) -> f64 {
    let noise = mix((series as u64) << 32 ^ round);
    match series % 3 {
        0 => (round * 100 + noise % 64) as f64,
        1 => (1_000 + noise % 500) as f64 / 10.0,
        _ => (noise >> 11) as f64 / (1u64 << 53) as f64,
    }
}

/// SplitMix64's finalizer (Steele, Lea, Flood, 2014).
fn mix(mut x: u64) -> u64 {
    x = x.wrapping_add(0x9e37_79b9_7f4a_7c15);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

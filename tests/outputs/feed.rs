//! What saimon is sent: gauges with a score from their twenty-first sample on.

use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};

use prost::Message as _;
use saimon::wire::proto;
use saimon::wire::write::STALE_NAN_BITS;

use crate::client::{Client, WRITE_HEADERS, snappy};

pub(crate) const STEP_MS: i64 = 15_000;
/// Samples before the first score.
pub(crate) const WARMUP: i64 = 20;
/// A guard, not a measurement.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

pub(crate) struct Feed {
    pub(crate) series: usize,
    pub(crate) base_ms: i64,
}

impl Feed {
    /// One round: a sample of every series, or the end of those below `ending`.
    fn body(&self, round: i64, ending: Option<usize>) -> Vec<u8> {
        let label = |name: &str, value: String| proto::Label {
            name: name.to_owned(),
            value,
        };
        let one = |n: usize| proto::TimeSeries {
            labels: vec![
                label("__name__", "fed".to_owned()),
                label("n", format!("{n:04}")),
            ],
            samples: vec![proto::Sample {
                value: match ending {
                    Some(ending) if n < ending => f64::from_bits(STALE_NAN_BITS),
                    _ => value(n, round),
                },
                timestamp: self.time(round),
            }],
            ..Default::default()
        };
        let sent = proto::WriteRequest {
            timeseries: (0..self.series).map(one).collect(),
            ..Default::default()
        };
        snappy(&sent.encode_to_vec())
    }

    pub(crate) fn time(&self, round: i64) -> i64 {
        self.base_ms + round * STEP_MS
    }

    /// Times of all scores of one series after so many rounds.
    pub(crate) fn times(&self, rounds: i64) -> Vec<i64> {
        (WARMUP..rounds).map(|round| self.time(round)).collect()
    }

    /// Sends a round until it is acknowledged. False if nobody answers.
    pub(crate) fn send(&self, address: SocketAddr, round: i64, ending: Option<usize>) -> bool {
        let body = self.body(round, ending);
        let since = Instant::now();
        loop {
            if TcpStream::connect(address).is_err() {
                return false;
            }
            let answer = Client::connect(address).post(WRITE_HEADERS, &body);
            match answer.status {
                204 => return true,
                503 => std::thread::sleep(Duration::from_millis(5)),
                other => panic!("status {other}: {}", answer.text()),
            }
            assert!(since.elapsed() < PATIENCE);
        }
    }
}

/// Restless, with a spike now and then, and falling as often as it rises.
fn value(n: usize, round: i64) -> f64 {
    let noise = (round * 7919 + n as i64 * 104_729) % 1009;
    let spike = if (round + n as i64) % 47 == 0 {
        5_000
    } else {
        0
    };
    (noise + spike) as f64 / 7.0
}

/// A configuration file with these receivers.
pub(crate) fn config(folder: &Path, outputs: &str) -> String {
    let text = format!(
        "detect: {{warmup: {WARMUP}}}\nstore: {{checkpoint: 1s}}\noutputs:\n  remote_write:\n{outputs}"
    );
    let path = folder.join("saimon.yaml");
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Waits until `ready` gives something.
pub(crate) fn eventually<T>(what: &str, mut ready: impl FnMut() -> Result<T, String>) -> T {
    let since = Instant::now();
    loop {
        match ready() {
            Ok(found) => return found,
            Err(instead) => assert!(since.elapsed() < PATIENCE, "not {what}: {instead}"),
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

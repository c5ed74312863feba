//! The program itself, killed again and again while it is written to: every sample that it
//! acknowledged is read back.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message as _;
use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;

use crate::client::{WRITE_HEADERS, snappy};
use crate::reading::{SAMPLES, ask, query, request, samples};
use crate::serving::{SAIMON, Serving};

const KILLS: usize = 50;
/// Senders at once, and series of each.
const SENDERS: usize = 3;
const SERIES: usize = 20;
const STEP_MS: i64 = 1000;

pub(crate) fn config(folder: &Path, store: &str) -> String {
    let path = folder.join("saimon.yaml");
    std::fs::write(&path, format!("store:\n{store}")).unwrap();
    path.to_str().unwrap().to_owned()
}

/// What one sender sends as its `i`th request.
fn body(sender: usize, i: i64, base_ms: i64) -> Vec<u8> {
    let label = |name: &str, value: String| proto::Label {
        name: name.to_owned(),
        value,
    };
    let series = (0..SERIES).map(|s| proto::TimeSeries {
        labels: vec![
            label("__name__", format!("kept_{sender}")),
            label("n", format!("{s:02}")),
        ],
        samples: vec![proto::Sample {
            value: value(s, i),
            timestamp: base_ms + i * STEP_MS,
        }],
        ..Default::default()
    });
    let sent = proto::WriteRequest {
        timeseries: series.collect(),
        ..Default::default()
    };
    snappy(&sent.encode_to_vec())
}

fn value(series: usize, i: i64) -> f64 {
    (i * 31 + series as i64) as f64 / 7.0
}

/// Posts on a connection that may break at any moment; the status, if one came.
pub(crate) fn post(stream: &mut TcpStream, body: &[u8]) -> Option<u16> {
    post_with(stream, WRITE_HEADERS, body)
}

/// The same with headers of its own.
pub(crate) fn post_with(stream: &mut TcpStream, headers: &str, body: &[u8]) -> Option<u16> {
    let head = format!(
        "POST /api/v1/write HTTP/1.1\r\nhost: x\r\n{headers}content-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(&[head.as_bytes(), body].concat()).ok()?;
    let mut answer = Vec::new();
    let mut some = [0; 4096];
    while !answer.windows(4).any(|w| w == b"\r\n\r\n") {
        match stream.read(&mut some) {
            Ok(n) if n > 0 => answer.extend_from_slice(&some[..n]),
            _ => return None,
        }
    }
    std::str::from_utf8(&answer).ok()?.get(9..12)?.parse().ok()
}

/// Sends until the connection breaks; the next request to send, and those that were acknowledged, go
/// on from one process to the next.
fn send(
    sender: usize,
    address: SocketAddr,
    base_ms: i64,
    at: &Mutex<(i64, Vec<i64>)>,
    stop: &AtomicBool,
) {
    let Ok(mut stream) = TcpStream::connect(address) else {
        return;
    };
    stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    while !stop.load(Ordering::Relaxed) {
        let i = at.lock().unwrap().0;
        match post(&mut stream, &body(sender, i, base_ms)) {
            Some(204) => {
                let mut at = at.lock().unwrap();
                at.1.push(i);
                at.0 += 1;
            }
            Some(503) => std::thread::sleep(Duration::from_millis(2)),
            Some(other) => panic!("status {other}"),
            None => return,
        }
    }
}

#[test]
fn fifty_kills_lose_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = config(folder.path(), "  checkpoint: 1s\n");
    let base_ms = SystemClock.now_ms() - 6 * 3_600_000;
    let mut rng = fastrand::Rng::with_seed(50);
    let senders: Vec<_> = (0..SENDERS)
        .map(|_| Arc::new(Mutex::new((0, Vec::new()))))
        .collect();
    for kill in 0..KILLS {
        if kill % 5 == 4 {
            // While it reads what it had kept, or before.
            let mut child = Command::new(SAIMON)
                .args([
                    "serve",
                    "--http-listen",
                    "127.0.0.1:0",
                    "--config",
                    &config,
                    "--data-dir",
                ])
                .arg(&data)
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            std::thread::sleep(Duration::from_millis(rng.u64(0..150)));
            child.kill().unwrap();
            child.wait().unwrap();
            continue;
        }
        let shards = format!("{}", 1 + kill % 3);
        let saimon = Serving::start_with(
            &data,
            "127.0.0.1:0",
            &["--config", &config, "--shards", &shards],
        );
        let stop = Arc::new(AtomicBool::new(false));
        let threads: Vec<_> = senders
            .iter()
            .enumerate()
            .map(|(n, at)| {
                let (at, stop, address) = (Arc::clone(at), Arc::clone(&stop), saimon.address);
                std::thread::spawn(move || send(n, address, base_ms, &at, &stop))
            })
            .collect();
        std::thread::sleep(Duration::from_millis(rng.u64(5..400)));
        drop(saimon);
        stop.store(true, Ordering::Relaxed);
        for thread in threads {
            thread.join().unwrap();
        }
    }

    let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &config]);
    let mut acknowledged = 0;
    for (n, at) in senders.iter().enumerate() {
        let (next, acked) = at.lock().unwrap().clone();
        let name = format!("kept_{n}");
        let of = query(&[("__name__", "=", &name)], 0, i64::MAX);
        let found = samples(&ask(&mut saimon.connect(), &request(&[SAMPLES], vec![of])));
        assert_eq!(found[0].len(), SERIES);
        for (s, (series, samples)) in found[0].iter().enumerate() {
            let mut samples = samples.iter().peekable();
            let mut last = i64::MIN;
            for i in &acked {
                let t_ms = base_ms + i * STEP_MS;
                let sample = samples.find(|(t, _)| *t >= t_ms);
                let want = (t_ms, value(s, *i).to_bits());
                assert_eq!(
                    sample,
                    Some(&want),
                    "request {i} of {series} was acknowledged"
                );
                assert!(t_ms > last, "once");
                last = t_ms;
            }
            // At most the one that was under way.
            assert!(samples.count() <= 1);
        }
        assert!(
            next - acked.len() as i64 == 0,
            "each was sent until it was taken"
        );
        acknowledged += acked.len();
    }
    assert!(acknowledged > 200, "{acknowledged} requests");
    eprintln!("{acknowledged} requests acknowledged over {KILLS} kills, none lost");
}

//! A start that takes its time: what is said meanwhile, and to whom.

use std::net::SocketAddr;
use std::time::Duration;

use prost::Message as _;
use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;

use crate::client::{Client, WRITE_HEADERS, snappy};
use crate::killed::config;
use crate::serving::{Serving, Spawned};

/// A request of many samples of the same series.
fn body(series: usize, samples: i64, t_ms: i64) -> Vec<u8> {
    let label = |name: &str, value: String| proto::Label {
        name: name.to_owned(),
        value,
    };
    let series = (0..series).map(|s| proto::TimeSeries {
        labels: vec![
            label("__name__", "ready_probe".to_owned()),
            label("n", format!("{s:05}")),
        ],
        samples: (0..samples)
            .map(|i| proto::Sample {
                value: ((i * 7919 + s as i64) % 1000) as f64,
                timestamp: t_ms + i * 10,
            })
            .collect(),
        ..Default::default()
    });
    let sent = proto::WriteRequest {
        timeseries: series.collect(),
        ..Default::default()
    };
    snappy(&sent.encode_to_vec())
}

fn listening(line: &str) -> Option<SocketAddr> {
    let rest = line.split("listen=").nth(1)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[test]
fn until_it_has_caught_up_it_says_how_far_it_is_and_that_it_is_not_ready() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = config(folder.path(), "  checkpoint: 1h\n");
    let args = ["--config", &*config];
    let base_ms = SystemClock.now_ms() - 3_600_000;
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &args);
    let mut client = saimon.connect();
    for i in 0..60 {
        let sent = body(200, 50, base_ms + i * 500);
        assert_eq!(client.post(WRITE_HEADERS, &sent).status, 204);
    }
    saimon.settled(60 * 200 * 50);
    drop(saimon);

    let mut starting = Spawned::start(&data, "127.0.0.1:0", &args);
    let address = loop {
        let line = starting.line(Duration::from_secs(60));
        assert!(
            !line.contains("saimon is ready"),
            "not before it said how far it is"
        );
        if let Some(address) = listening(&line) {
            assert!(
                line.contains("done_bytes=") && line.contains("all_bytes="),
                "{line}"
            );
            break address;
        }
    };
    let mut client = Client::connect(address);
    let mut refused = 0;
    loop {
        let ready = client.get("/-/ready", "").status;
        if ready == 200 {
            break;
        }
        assert_eq!(ready, 503);
        assert_eq!(client.get("/-/healthy", "").status, 200);
        let early = client.post(WRITE_HEADERS, &body(1, 1, base_ms + 1_000_000));
        // It may have become ready since.
        if early.status == 503 {
            assert!(early.header("retry-after").is_some());
            refused += 1;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    assert!(refused > 0, "a log of this size takes a while");
    // Ready means: all of it is there.
    let saimon = starting.serving(address);
    let again = saimon.sum("saimon_recovery_samples_total ");
    assert!((1..=60 * 200 * 50).contains(&again), "{again}");
    let of = [("__name__", "=", "ready_probe"), ("n", "=", "00007")];
    let asked = crate::reading::request(
        &[crate::reading::SAMPLES],
        vec![crate::reading::query(&of, 0, i64::MAX)],
    );
    let found = crate::reading::samples(&crate::reading::ask(&mut saimon.connect(), &asked));
    assert_eq!(found[0][0].1.len(), 60 * 50);
    let (code, seen) = saimon.terminate();
    assert_eq!(code, 0);
    assert!(
        seen.iter().any(|l| l.contains("taken once more")),
        "{seen:?}"
    );
}

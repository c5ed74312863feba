//! Two saimons get the same stream; one is killed at random moments, in the middle of requests and of
//! checkpoints. What they score and what they store is the same, byte for byte.

use std::collections::{BTreeMap, BTreeSet};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};
use saimon::config::StoreConfig;
use saimon::engine::keep::GroupId;
use saimon::store::Store;
use saimon::telemetry::Metrics;

use crate::killed::post_with;
use crate::serving::Serving;
use crate::stream::{STEP_MS, Sent, Stream};

const STEPS: i64 = 130;

fn config(folder: &Path) -> String {
    let path = folder.join("saimon.yaml");
    let text = "store:\n  checkpoint: 1s\ndetect:\n  warmup: 20\n  young: 60\n";
    std::fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Sends until it is acknowledged; false if the process has gone.
fn send(saimon: &Serving, sent: &Sent) -> bool {
    let Ok(mut stream) = TcpStream::connect(saimon.address) else {
        return false;
    };
    match post_with(&mut stream, sent.headers, &sent.body) {
        Some(204) => true,
        None => false,
        Some(other) => panic!("status {other}"),
    }
}

/// The lines of all scores.
fn scores(saimon: &Serving) -> BTreeSet<String> {
    let page = saimon.connect().get("/metrics/scores", "");
    assert_eq!(page.status, 200);
    let of_series = |l: &&str| l.contains("instance=");
    page.text()
        .lines()
        .filter(of_series)
        .map(str::to_owned)
        .collect()
}

/// Every state in a store.
fn states(data: &Path) -> BTreeMap<GroupId, (Vec<u8>, i64)> {
    let metrics = Arc::new(Metrics::new());
    let (config, now_ms) = (StoreConfig::default(), SystemClock.now_ms());
    let store = Store::open(&data.join("store"), &config, &metrics, now_ms).unwrap();
    let mut found = BTreeMap::new();
    let loaded = store.store.groups(|id, state, newest_ms| {
        found.insert(id, (state.to_vec(), newest_ms));
    });
    assert_eq!((loaded.skipped, loaded.stopped), (0, None));
    found
}

#[test]
fn a_process_killed_at_random_moments_scores_and_stores_as_one_that_never_was() {
    for seed in [41, 42] {
        let mut rng = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let (a, b) = (folder.path().join("a"), folder.path().join("b"));
        let config = config(folder.path());
        let start = |data: &Path, shards: usize| {
            let shards = shards.to_string();
            Serving::start_with(
                data,
                "127.0.0.1:0",
                &["--config", &config, "--shards", &shards],
            )
        };
        let whole = start(&a, 1);
        let mut broken = start(&b, 2);
        let start_ms = SystemClock.now_ms() - (STEPS + 20) * STEP_MS;
        let mut stream = Stream::from(seed, STEPS, start_ms);
        let (mut kills, mut cut_off) = (0, 0);
        for step in 0..STEPS {
            // A process dies some time after this, whatever it does then.
            let dies = (rng.u8(0..12) == 0 && step + 5 < STEPS).then(|| {
                let (pid, wait) = (broken.pid(), Duration::from_micros(rng.u64(0..30_000)));
                std::thread::spawn(move || {
                    std::thread::sleep(wait);
                    let pid = pid.to_string();
                    let killed = Command::new("kill").args(["-9", &pid]).status();
                    assert!(killed.unwrap().success());
                })
            });
            let round: Vec<Sent> = stream.round().into_iter().filter(|s| !s.early).collect();
            for sent in &round {
                assert!(send(&whole, sent));
                if !send(&broken, sent) {
                    cut_off += 1;
                    broken = start(&b, 1 + kills % 3);
                    kills += 1;
                    assert!(
                        send(&broken, sent),
                        "what was not acknowledged is sent again"
                    );
                }
            }
            if let Some(dies) = dies {
                dies.join().unwrap();
                if TcpStream::connect(broken.address).is_err() {
                    broken = start(&b, 1 + kills % 3);
                    kills += 1;
                }
            }
        }
        assert!(kills >= 5, "{kills} kills, {cut_off} in a request");
        let settled = |saimon: &Serving| {
            // The shards have what was answered when they have answered a question.
            let all = crate::reading::query(&[("__name__", "=~", ".+")], 0, 1);
            let asked = crate::reading::request(&[crate::reading::SAMPLES], vec![all]);
            crate::reading::ask(&mut saimon.connect(), &asked);
            scores(saimon)
        };
        let (of_whole, of_broken) = (settled(&whole), settled(&broken));
        let odd: Vec<_> = of_broken.difference(&of_whole).collect();
        assert!(odd.is_empty(), "seed {seed}: {odd:?}");
        assert!(of_broken.len() > 30, "{}", of_broken.len());
        assert_eq!((whole.terminate().0, broken.terminate().0), (0, 0));
        let (whole, broken) = (states(&a), states(&b));
        assert!(whole.len() > 10 && whole == broken, "seed {seed}");
    }
}

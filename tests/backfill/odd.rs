//! What is not as it should be: a server that finds too much or is gone; and what has parts.

use super::*;

#[test]
fn what_a_server_finds_too_much_is_asked_in_smaller_parts() {
    let store = stores::prometheus(false);
    store.feed(&past(now_ms()));
    // No request for several series of a metric.
    let peer = proxy(&store, |asked| {
        let raw = BodyPool::new(1).decompress(&asked.body, 1 << 20).ok()?;
        let asked = proto::ReadRequest::decode(&raw[..]).ok()?;
        let mut matchers = asked.queries.iter().flat_map(|q| &q.matchers);
        let several = matchers.any(|m| m.value.contains('|'));
        several.then(|| Reply::new(400, *b"exceeded sample limit (5)"))
    });
    let folder = tempfile::tempdir().unwrap();
    let data_dir = folder.path().join("data").display().to_string();
    let done = backfill(&["--url", &peer.url, "--data-dir", &data_dir, "--range", "3h"]);
    let said = String::from_utf8_lossy(&done.stdout);
    assert_eq!(done.status.code(), Some(0), "{said}");
    assert!(said.contains("3 warmed"), "{said}");
    assert!(said.contains("(1 failed)"), "{said}");
}

#[test]
fn a_histogram_is_read_with_all_of_its_parts() {
    let store = stores::prometheus(false);
    let end_ms = now_ms();
    let parts: Vec<_> = (0..5)
        .map(|part| {
            let labels = histogram(0)[part].0;
            (labels, samples(end_ms, |i| histogram(i)[part].1))
        })
        .collect();
    store.feed(&parts);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--history-url", &store.url]);
    let sent = |t_ms: i64, i: i64| {
        let series = histogram(i).map(|(labels, v)| (with_external(labels), vec![(t_ms, v)]));
        let series: Vec<_> = series.iter().map(|(l, s)| (&l[..], s.clone())).collect();
        send(&saimon, &series);
    };
    sent(end_ms, SAMPLES);
    let warmed = "saimon_history_series_total{outcome=\"warmed\"}";
    until(&saimon, "the histogram is warmed, as one", || {
        value(&saimon, "/metrics", warmed) == Some(1.0)
    });
    sent(end_ms + INTERVAL_MS, SAMPLES + 1);
    until(&saimon, "its four statistics have scores", || {
        let page = saimon.connect().get("/metrics/scores", "");
        let scored = |stat: &str| {
            let stat = format!("stat=\"{stat}\"");
            let mut lines = page.text().lines();
            lines.any(|l| l.starts_with(SCORE) && l.contains(&stat))
        };
        ["rate", "mean", "p50", "p99"].into_iter().all(scored)
    });
}

#[test]
fn a_server_that_is_down_is_in_nobodys_way() {
    let gone = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", gone.local_addr().unwrap());
    drop(gone);
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = folder.path().join("saimon.yaml");
    std::fs::write(&config, "history: {tries: 2}\n").unwrap();
    let config = config.display().to_string();
    let args = ["--config", &config, "--history-url", &url];
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &args);
    // Series warm up by themselves, as if there were no history.
    let now = now_ms();
    let sent: Vec<_> = [LOAD, OTHER, REQUESTS]
        .into_iter()
        .map(|l| l.to_vec())
        .collect();
    for i in 0..120 {
        send_live(&saimon, &sent, now - (120 - i) * INTERVAL_MS, i);
    }
    until(&saimon, "all three have scores", || {
        let page = saimon.connect().get("/metrics/scores", "");
        page.text().lines().filter(|l| l.starts_with(SCORE)).count() == 3
    });
    let failed = "saimon_history_series_total{outcome=\"failed\"}";
    until(&saimon, "history was given up", || {
        value(&saimon, "/metrics", failed) == Some(3.0)
    });
    assert_eq!(
        value(&saimon, "/metrics", "saimon_series{phase=\"history\"}"),
        Some(0.0)
    );
    let (code, log) = saimon.terminate();
    assert_eq!(code, 0, "{log:?}");
    let failed = log
        .iter()
        .filter(|l| l.contains("history: a request failed"));
    assert_eq!(failed.count(), 1, "told once: {log:?}");
    assert!(log.iter().any(|l| l.contains("given up")), "{log:?}");
}

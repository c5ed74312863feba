//! Large pages, pages nobody waits for, and names that not every client can read.

use std::io::Read as _;
use std::sync::Arc;
use std::time::{Duration, Instant};

use saimon::series::labels::encode;

use crate::server::Server;

/// A guard against a test that hangs.
const PATIENCE: Duration = Duration::from_secs(20);
/// What one piece of a page may take; a piece is 64 KiB and its last line.
const PIECE_MAX: usize = 66 * 1024;
const SERIES: usize = 100_000;

fn large() -> Server {
    let mut server = Server::start(|limits| limits.score_lines = SERIES as u32);
    for i in 0..SERIES {
        let instance = format!("host-{i:05}:9100");
        let labels = [
            ("__name__", "node_load1"),
            ("instance", &*instance),
            ("job", "node"),
        ];
        let at = server.board.add_labels(&encode(labels));
        server.board.set(at, 0.25, None);
    }
    server.board.publish_labels();
    server
}

/// Sizes of the chunks of an answer with chunked coding.
fn chunks(answer: &[u8]) -> Vec<usize> {
    let body = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap() + 4;
    let mut rest = &answer[body..];
    let mut sizes = Vec::new();
    loop {
        let end = rest.windows(2).position(|w| w == b"\r\n").unwrap();
        let size = usize::from_str_radix(std::str::from_utf8(&rest[..end]).unwrap(), 16).unwrap();
        if size == 0 {
            return sizes;
        }
        sizes.push(size);
        rest = &rest[end + 2 + size + 2..];
    }
}

#[test]
fn a_hundred_thousand_series_come_in_small_pieces_while_scores_go_on() {
    let server = large();
    let mut client = server.connect();
    client.send(b"GET /metrics/scores HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n");
    let mut answer = vec![0; 1000];
    client.stream.read_exact(&mut answer).unwrap();
    // The page is under way and nobody takes it: a shard does not wait for that.
    for at in 0..SERIES as u32 {
        server.board.set(at, 0.5, None);
    }
    client.stream.read_to_end(&mut answer).unwrap();
    let sizes = chunks(&answer);
    assert!(sizes.iter().all(|size| *size <= PIECE_MAX), "{sizes:?}");
    assert!(sizes.len() > 50);
    let text = String::from_utf8_lossy(&answer);
    assert_eq!(text.matches("saimon_anomaly_score{").count(), SERIES);
    assert!(text.contains("} 0.500\n"), "what is shown is the newest");
}

#[test]
fn a_client_that_goes_away_ends_its_page() {
    let server = large();
    let block = server.board.entry(0) as *const _;
    let shared = Arc::clone(
        server
            .shared
            .blocks()
            .iter()
            .find(|b| std::ptr::eq(&raw const b[0], block))
            .unwrap()
            .entries(),
    );
    let holders = || Arc::strong_count(&shared);
    let wait_for = |wanted: usize| {
        let since = Instant::now();
        while holders() != wanted {
            assert!(since.elapsed() < PATIENCE, "{} holders", holders());
            std::thread::sleep(Duration::from_millis(1));
        }
    };
    let before = holders();
    let mut client = server.connect();
    client.send(b"GET /metrics/scores HTTP/1.1\r\nhost: x\r\n\r\n");
    // The page waits for its reader, with one reference to each block.
    wait_for(before + 1);
    drop(client);
    wait_for(before);
}

#[test]
fn names_as_they_are_for_those_who_can_read_them_and_escaped_for_others() {
    let mut server = Server::start(|_| {});
    for labels in [
        &[("__name__", "http.requests"), ("http.method", "GET")][..],
        &[("__name__", "http.requests"), ("http_method", "GET")],
        &[("__name__", "m"), ("gr\u{f6}\u{df}e \"x\"", "\u{e4}\\\n")],
    ] {
        let at = server.board.add_labels(&encode(labels.iter().copied()));
        server.board.set(at, 0.5, None);
    }
    server.board.publish_labels();
    let lines = |accept: &str, query: &str| -> Vec<String> {
        let page = server.get(&format!("/metrics/scores{query}"), accept);
        assert_eq!(page.status, 200);
        let lines = page.text().lines().filter(|l| !l.starts_with('#'));
        lines
            .map(|l| l.replace("saimon_anomaly_score", ""))
            .collect()
    };
    let utf8 = "accept: application/openmetrics-text;version=1.0.0;escaping=allow-utf-8\r\n";
    let all = [
        r#"{"http.method"="GET",source_metric="http.requests"} 0.500"#,
        r#"{http_method="GET",source_metric="http.requests"} 0.500"#,
        "{\"gr\u{f6}\u{df}e \\\"x\\\"\"=\"\u{e4}\\\\\\n\",source_metric=\"m\"} 0.500",
    ];
    assert_eq!(lines(utf8, ""), all);
    assert_eq!(server.metrics.scores_left_out.get(), 0);
    // Two of them would be one series: the one whose names are its own is shown.
    let escaped = [
        all[1],
        "{gr__e__x_=\"\u{e4}\\\\\\n\",source_metric=\"m\"} 0.500",
    ];
    assert_eq!(lines("", ""), escaped);
    assert_eq!(server.metrics.scores_left_out.get(), 1);
    let values = lines("accept: text/plain;escaping=values\r\n", "");
    assert_eq!(
        values[0],
        r#"{U__http_2e_method="GET",source_metric="http.requests"} 0.500"#
    );
    // A selector may use either name.
    let dotted = "?match[]=%7B%22http.method%22=%22GET%22%7D";
    assert_eq!(lines(utf8, dotted), all[..1]);
    assert_eq!(
        lines("", dotted),
        [all[0].replace("\"http.method\"", "http_method")]
    );
    assert_eq!(lines("", "?match[]=%7Bhttp_method=%22GET%22%7D"), all[1..2]);
    let by_name = "?match[]=%7B%22saimon_anomaly_score%22,source_metric=%22m%22%7D";
    assert_eq!(lines(utf8, by_name), all[2..]);
}

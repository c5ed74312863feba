//! Ten thousand anomalies: listed, filtered and paged, with counts equal to a plain recount.

use std::collections::BTreeMap;

use saimon::clock::{Clock as _, SystemClock};
use saimon::config::Severity;
use saimon::engine::record::{EndedBy, Exemplar, Peak, Record, RecordId, RecordState};
use saimon::score::board::{Reason, Side};
use saimon::series::fingerprint::fingerprint;
use saimon::series::labels;
use saimon::store::records::RecordFiles;
use serde_json::Value;

use crate::serving::Serving;
use crate::{all, get, problem};

const RECORDS: usize = 10_000;
const HOUR_MS: i64 = 3_600_000;

/// An anomaly that has something of everything.
pub(crate) fn record(random: &mut fastrand::Rng, n: usize, now_ms: i64) -> Record {
    let name = ["node_load1", "http_requests_total", "up"][random.usize(..3)];
    let instance = format!("host{}:9100", random.usize(..50));
    let job = ["node", "shop"][random.usize(..2)];
    let labels = labels::encode([("__name__", name), ("instance", &instance), ("job", job)]);
    let start_ms = now_ms - 20 * 24 * HOUR_MS + n as i64 * 150_000;
    let state = match random.usize(..50) {
        0 => RecordState::Pending,
        1 => RecordState::Active,
        _ => RecordState::Resolved,
    };
    let over = state == RecordState::Resolved;
    let end_ms = over.then(|| start_ms + random.i64(30_000..4 * HOUR_MS));
    Record {
        id: RecordId {
            start_ms,
            fingerprint: fingerprint(&labels),
        },
        labels: labels.into(),
        partition: random.u8(..),
        state,
        severity: Severity::ALL[random.usize(..4)],
        side: [Side::Up, Side::Down, Side::Both][random.usize(..3)],
        reason: Reason::ALL[random.usize(..11)],
        active_ms: (state != RecordState::Pending).then_some(start_ms + 15_000),
        end_ms,
        ended_by: over.then_some(EndedBy::Samples),
        peak: Peak {
            t_ms: start_ms + 15_000,
            value: random.f64() * 100.0,
            score: 0.7 + random.f32() * 0.29,
            rarity: 3.0,
            deviation: 1.5,
            expected: 10.0,
            band: Some((5.0, f64::INFINITY)),
            parts: vec![("history".to_owned(), 0.75), ("jump".to_owned(), 0.25)],
        },
        as_of_ms: end_ms.unwrap_or(start_ms + 15_000),
        absent: false,
        exemplars: (0..n as i64 % 3)
            .map(|i| Exemplar {
                t_ms: start_ms + i,
                value: if i == 0 { 0.25 } else { f64::NAN },
                labels: labels::encode([("trace_id", "4bf92f"), ("span_id", "00f0")]).into(),
            })
            .collect(),
    }
}

fn ids(found: &[Value]) -> Vec<String> {
    let id = |r: &Value| r["id"].as_str().unwrap().to_owned();
    found.iter().map(id).collect()
}

type Wanted<'a> = Box<dyn Fn(&Record) -> bool + 'a>;

#[test]
fn ten_thousand_are_found_by_every_filter_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = SystemClock.now_ms() / 1000 * 1000;
    let mut random = fastrand::Rng::with_seed(11);
    let records: Vec<_> = (0..RECORDS)
        .map(|n| record(&mut random, n, now_ms))
        .collect();
    let files = RecordFiles::open(&folder.path().join("records"), now_ms).unwrap();
    let changes = records.iter().map(|r| (r.id, Some(r)));
    files.write(changes, now_ms).unwrap();
    drop(files);
    let saimon = Serving::start(folder.path());
    assert_eq!(saimon.sum("saimon_records "), RECORDS as u64);

    let label = |r: &Record, name: &str| labels::get(&r.labels, name).unwrap().to_owned();
    let (from_ms, to_ms) = (now_ms - 15 * 24 * HOUR_MS, now_ms - 12 * 24 * HOUR_MS);
    let time = |ms: i64| jiff::Timestamp::from_millisecond(ms).unwrap().to_string();
    let mut filters: Vec<(String, Wanted)> = vec![
        (String::new(), Box::new(|_| true)),
        (
            "metric_name=node_load1".to_owned(),
            Box::new(|r| label(r, "__name__") == "node_load1"),
        ),
        (
            "metric_name=node_load1&metric_name=up".to_owned(),
            Box::new(|r| label(r, "__name__") != "http_requests_total"),
        ),
        (
            "match[]=%7Bjob%3D%22shop%22,instance%3D~%22host1[0-9]:.*%22%7D".to_owned(),
            Box::new(|r| {
                label(r, "job") == "shop"
                    && label(r, "instance").len() == 11
                    && label(r, "instance").starts_with("host1")
            }),
        ),
        (
            "match[]=up%7Bjob!%3D%22node%22%7D&severity=critical,high".to_owned(),
            Box::new(|r| {
                label(r, "__name__") == "up"
                    && label(r, "job") == "shop"
                    && r.severity >= Severity::High
            }),
        ),
        (
            format!("start_time={}&end_time={}", time(from_ms), to_ms / 1000),
            Box::new(move |r| r.id.start_ms <= to_ms && r.end_ms.is_none_or(|end| end >= from_ms)),
        ),
        (
            format!("start_date={}", time(from_ms)),
            Box::new(move |r| r.end_ms.is_none_or(|end| end >= from_ms)),
        ),
        (
            "state=pending,active".to_owned(),
            Box::new(|r| r.state != RecordState::Resolved),
        ),
        (
            "state=resolved&reason=trend&severity=low".to_owned(),
            Box::new(|r| {
                r.state == RecordState::Resolved
                    && r.reason == Reason::Trend
                    && r.severity == Severity::Low
            }),
        ),
        (
            "metric_name=nothing_has_this_name".to_owned(),
            Box::new(|_| false),
        ),
    ];
    for severity in Severity::ALL {
        let filter = format!("severity={}", severity.as_str());
        filters.push((filter, Box::new(move |r| r.severity == severity)));
    }
    for reason in Reason::ALL {
        let filter = format!("reason={}", reason.as_str());
        filters.push((filter, Box::new(move |r| r.reason == reason)));
    }
    for (filter, wants) in &filters {
        let mut wanted: Vec<_> = records.iter().filter(|r| wants(r)).collect();
        wanted.sort_by_key(|r| std::cmp::Reverse(r.id));
        let wanted_ids: Vec<_> = wanted.iter().map(|r| r.id.to_string()).collect();
        let limit = if filter.is_empty() { 1000 } else { 733 };
        let found = all(&saimon, &format!("/api/v1/anomalies?{filter}"), limit);
        assert_eq!(found.len(), wanted_ids.len(), "{filter}");
        assert!(
            ids(&found) == wanted_ids,
            "{filter}: others, or in another order"
        );
        for path in ["stats", "stats/summary"] {
            let stats = get(&saimon, &format!("/api/v1/anomalies/{path}?{filter}"));
            assert_eq!(stats["total"], wanted.len(), "{filter}");
            let mut count = BTreeMap::new();
            for r in &wanted {
                *count
                    .entry(("by_severity", r.severity.as_str()))
                    .or_insert(0) += 1;
                *count.entry(("by_state", r.state.as_str())).or_insert(0) += 1;
                *count.entry(("by_reason", r.reason.as_str())).or_insert(0) += 1;
                *count.entry(("by_direction", r.side.as_str())).or_insert(0) += 1;
            }
            for ((by, name), n) in count {
                assert_eq!(stats[by][name], n, "{filter} {by} {name}");
            }
        }
    }
    skipping(&saimon, &records);
    wrong(&saimon);
    tags(&saimon);
}

fn skipping(saimon: &Serving, records: &[Record]) {
    let page = get(saimon, "/api/v1/anomalies?skip=9990&limit=20");
    let found = ids(page["anomalies"].as_array().unwrap());
    let wanted: Vec<_> = records[..10]
        .iter()
        .rev()
        .map(|r| r.id.to_string())
        .collect();
    assert_eq!(found, wanted);
    let usual = get(saimon, "/api/v1/anomalies");
    assert_eq!(usual["anomalies"].as_array().unwrap().len(), 100);
    // A side of the band that is open has no bound.
    let peak = &usual["anomalies"][0]["peak"];
    assert_eq!(peak["lower_bound"], 5.0);
    assert!(peak["upper_bound"].is_null());
}

/// What is wrong is named.
fn wrong(saimon: &Serving) {
    let list = "/api/v1/anomalies";
    for (query, parameter) in [
        ("metric=up", "metric"),
        ("severity=severe", "severity"),
        ("state=open", "state"),
        ("reason=bad", "reason"),
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=ten", "limit"),
        ("skip=-1", "skip"),
        ("start_time=yesterday", "start_time"),
        ("start_time=1&start_date=1", "start_date"),
        ("match[]=%7B", "match[]"),
        ("page_token=abc", "page_token"),
        ("limit=1&limit=2", "limit"),
    ] {
        let (status, body) = problem(saimon, &format!("{list}?{query}"));
        assert_eq!(
            (status, &body["parameter"]),
            (400, &parameter.into()),
            "{query}: {body}"
        );
    }
    let page = get(saimon, &format!("{list}?limit=5&severity=low"));
    let token = page["next_page_token"].as_str().unwrap();
    for query in [
        format!("severity=high&page_token={token}"),
        format!("severity=low&skip=1&page_token={token}"),
    ] {
        assert_eq!(problem(saimon, &format!("{list}?{query}")).0, 400);
    }
    for (path, status) in [
        ("/api/v1/anomalies/1700000000000-0000000000000001", 404),
        ("/api/v1/anomalies/nonsense", 400),
        ("/api/v1/nothing", 404),
        ("/api/v1/anomalies/stats?limit=5", 400),
    ] {
        assert_eq!(problem(saimon, path).0, status, "{path}");
    }
}

fn tags(saimon: &Serving) {
    let path = "/api/v1/anomalies?limit=3";
    let mut client = saimon.connect();
    let first = client.get(path, "");
    let tag = first.header("etag").unwrap().to_owned();
    let again = client.get(path, &format!("if-none-match: \"x\", {tag}\r\n"));
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(again.header("etag"), Some(&*tag));
    let other = client.get(
        "/api/v1/anomalies?limit=4",
        &format!("if-none-match: {tag}\r\n"),
    );
    assert_eq!(other.status, 200);
}

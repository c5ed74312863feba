//! What somebody on call does: open, filter, drill down, say what it was, and watch the next one arrive.

use std::path::Path;

use saimon::clock::{Clock as _, SystemClock};
use saimon::config::Severity;
use saimon::engine::record::{EndedBy, Peak, Record, RecordId, RecordState};
use saimon::score::board::{Reason, Side};
use saimon::series::fingerprint::fingerprint;
use saimon::series::labels;
use saimon::store::records::RecordFiles;
use saimon::wire::proto;
use serde_json::{Value, json};

use crate::browser::Browser;
use crate::serving::Serving;

const STEP_MS: i64 = 15_000;
/// Enough for an anomaly to be more than low.
const SAMPLES: i64 = 2200;
/// Anomalies of the last hours.
const RECORDS: usize = 40;
/// A label that would do something if it were markup.
const MARKUP: &str = "<img src=x onerror=alert(1)>";

/// An anomaly that is over, `n` of [`RECORDS`].
fn record(n: usize, now_ms: i64) -> Record {
    let name = ["node_load1", "http_requests_total"][n % 2];
    let host = format!("host{}:9100", n % 5);
    let path = if n == 0 { MARKUP } else { "/" };
    let all = [
        ("__name__", name),
        ("instance", host.as_str()),
        ("job", "node"),
        ("path", path),
    ];
    let labels = labels::encode(all);
    let start_ms = now_ms - (n as i64 + 1) * 20 * 60_000;
    Record {
        id: RecordId {
            start_ms,
            fingerprint: fingerprint(&labels),
        },
        labels: labels.into(),
        partition: 0,
        state: RecordState::Resolved,
        severity: Severity::ALL[n % 4],
        side: Side::Up,
        reason: [Reason::Spike, Reason::LevelShift, Reason::Variance][n % 3],
        active_ms: Some(start_ms + STEP_MS),
        end_ms: Some(start_ms + 300_000),
        ended_by: Some(EndedBy::Samples),
        peak: Peak {
            t_ms: start_ms + STEP_MS,
            value: 12.5,
            score: 0.9,
            rarity: 3.5,
            deviation: 1.4,
            expected: 3.0,
            band: Some((1.0, f64::INFINITY)),
            parts: vec![("level".to_owned(), 0.75), ("burst".to_owned(), 0.25)],
        },
        as_of_ms: start_ms + 300_000,
        absent: false,
        exemplars: Vec::new(),
    }
}

pub(crate) fn with_records(folder: &Path, now_ms: i64) {
    let records: Vec<_> = (0..RECORDS).map(|n| record(n, now_ms)).collect();
    let files = RecordFiles::open(&folder.join("records"), now_ms).unwrap();
    let changes = records.iter().map(|r| (r.id, Some(r)));
    files.write(changes, now_ms).unwrap();
}

/// Samples of one series: `count` of them, the last at `end_ms`.
fn samples(end_ms: i64, count: i64, of: impl Fn(i64) -> f64) -> proto::WriteRequest {
    let label = |name: &str, value: &str| proto::Label {
        name: name.to_owned(),
        value: value.to_owned(),
    };
    let sample = |i| proto::Sample {
        value: of(i),
        timestamp: end_ms - (count - 1 - i) * STEP_MS,
    };
    let series = proto::TimeSeries {
        labels: vec![
            label("__name__", "queue_length"),
            label("instance", "shop1:80"),
            label("job", "shop"),
        ],
        samples: (0..count).map(sample).collect(),
        // Of the first sample.
        exemplars: vec![proto::Exemplar {
            labels: vec![label("trace_id", MARKUP)],
            value: 0.25,
            timestamp: sample(0).timestamp,
        }],
        ..Default::default()
    };
    proto::WriteRequest {
        timeseries: vec![series],
        ..Default::default()
    }
}

fn asked(saimon: &Serving, path: &str) -> Value {
    let answer = saimon.connect().get(path, "");
    serde_json::from_slice(&answer.body).unwrap_or_else(|e| panic!("{path}: {e}"))
}

/// Rows of the list of anomalies.
const ROWS: &str = "document.querySelectorAll('.anomalies tbody tr').length";

#[test]
fn somebody_on_call_opens_filters_drills_down_answers_and_sees_the_next_one_arrive() {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = SystemClock.now_ms() / 1000 * 1000;
    with_records(folder.path(), now_ms);
    let saimon = Serving::start(folder.path());
    let before_ms = now_ms - 8 * STEP_MS;
    let noise = |i: i64| 50.0 + f64::from(fastrand::Rng::with_seed(i as u64).i32(-100..100)) / 50.0;
    let usual = samples(before_ms, SAMPLES, noise);
    assert_eq!(saimon.connect().write(&usual).status, 204);
    saimon.settled(SAMPLES as u64);

    let base = format!("http://{}/", saimon.address);
    let mut browser = Browser::start();
    browser.device(1280, 900, 1.0, false);
    opens(&mut browser, &base);
    filters(&mut browser, &saimon);
    browser.open(&format!("{base}#/"));
    browser.until(&format!("{ROWS} === {RECORDS}"));

    // Nothing but what the page itself asks for from now on shows it.
    let odd = samples(before_ms + 7 * STEP_MS, 7, |i| 400.0 + i as f64);
    assert_eq!(saimon.connect().write(&odd).status, 204);
    arrives(&mut browser);
    from_an_alert(&mut browser, &base);
    drills_down(&mut browser);
    let has = &asked(&saimon, "/openapi.json")["paths"]["/api/v1/anomalies/{id}/feedback"];
    if !has.is_null() {
        answers(&mut browser, &saimon);
    }
    reads_on_a_phone(&mut browser, &base);

    assert_eq!(browser.complaints, [""; 0]);
    let elsewhere: Vec<_> = browser
        .asked
        .iter()
        .filter(|url| !url.starts_with(&base))
        .collect();
    let elsewhere: Vec<_> = elsewhere
        .iter()
        .filter(|url| !url.starts_with("about:"))
        .collect();
    assert!(elsewhere.is_empty(), "{elsewhere:?}");
}

fn opens(browser: &mut Browser, base: &str) {
    browser.open(base);
    browser.until(&format!("{ROWS} === {RECORDS}"));
    assert_eq!(browser.text(".lead strong"), "Nothing active now");
    assert_eq!(browser.value("document.title"), "saimon");
    browser.until("document.querySelectorAll('.timeline rect.fill-critical').length > 0");
    // What came from outside is text.
    assert_eq!(
        browser.value("document.querySelectorAll('main img').length"),
        0
    );
    assert!(browser.text(".anomalies tbody").contains(MARKUP));
    // By keyboard: first what leads to the content, then the sections.
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.className"), "skip");
    browser.press("Tab");
    assert_eq!(browser.value("document.activeElement.className"), "brand");
    browser.press("Tab");
    assert_eq!(
        browser.value("document.activeElement.dataset.section"),
        "anomalies"
    );
    // Everything that can be changed says what it is.
    let nameless = "[...document.querySelectorAll('main input, main select, main textarea')].filter((e) => !e.labels.length && !e.ariaLabel).length";
    assert_eq!(browser.value(nameless), 0);
}

fn filters(browser: &mut Browser, saimon: &Serving) {
    let count =
        |query: &str| asked(saimon, &format!("/api/v1/anomalies/stats?{query}"))["total"].clone();
    browser.click(".chip.is-critical");
    let critical = count("severity=critical");
    browser.until(&format!("{ROWS} === {critical}"));
    let all = "[...document.querySelectorAll('.anomalies tbody .c-severity')].every((e) => e.innerText.trim() === 'critical')";
    assert_eq!(browser.value(all), true);
    assert_eq!(browser.value("location.hash"), "#/?severity=critical");
    // By keyboard, from the boxes to the list of reasons.
    browser.value("document.querySelector('[name=reason]').focus()");
    browser.value("(() => { const e = document.activeElement; e.value = 'spike'; e.dispatchEvent(new Event('change', {bubbles: true})); })()");
    let both = count("severity=critical&reason=spike");
    browser.until(&format!("{ROWS} === {both}"));
    // An address says what is filtered by, so that it can be sent to somebody.
    browser.open("about:blank");
    browser.open(&format!("http://{}/#/?q=load&range=7d", saimon.address));
    let load = count("metric_name=node_load1");
    browser.until(&format!("{ROWS} === {load}"));
    browser.value("document.querySelector('[name=q]').select()");
    browser.type_text("{instance=~\"host[12].*\"}");
    browser.press("Enter");
    let hosts = count("match[]=%7Binstance%3D~%22host%5B12%5D.*%22%7D");
    browser.until(&format!("{ROWS} === {hosts}"));
    browser.value("document.querySelector('[name=q]').select()");
    browser.type_text("{instance=}");
    browser.press("Enter");
    browser.until("!document.getElementById('bad-selector').hidden");
    assert_eq!(
        browser.value("document.querySelector('[name=q]').ariaInvalid"),
        "true"
    );
}

fn arrives(browser: &mut Browser) {
    browser
        .until("document.querySelector('.anomalies tbody tr').innerText.includes('queue_length')");
    browser
        .until("document.getElementById('news').innerText.includes('of queue_length on shop1:80')");
    browser.until("document.title === '(1) saimon'");
    assert_eq!(browser.text(".lead strong"), "1 anomaly active now");
    let polite = "document.getElementById('news').ariaLive";
    assert_eq!(browser.value(polite), "polite");
}

/// The links of alerts, as `saimon rules` writes them, open what the alerts are about.
fn from_an_alert(browser: &mut Browser, base: &str) {
    let selector =
        "%7B__name__%3D%22queue_length%22%2Cinstance%3D%22shop1%3A80%22%2Cjob%3D%22shop%22%2C%7D";
    browser.open(&format!("{base}#/series?match={selector}"));
    browser.until("location.hash.startsWith('#/series/')");
    browser.until("document.querySelector('h1')?.innerText === 'queue_length'");
    browser.open(&format!("{base}#/?q=instance%3D%22shop1%3A80%22"));
    browser.until(&format!("{ROWS} === 1"));
    browser.open(&format!("{base}#/"));
    browser.until(&format!("{ROWS} === {RECORDS} + 1"));
}

fn drills_down(browser: &mut Browser) {
    browser.click(".anomalies tbody tr:first-child a");
    browser.until("location.hash.startsWith('#/anomalies/')");
    browser.until("document.querySelector('.plot .band') && document.querySelectorAll('.plot .over').length >= 5");
    browser.until("document.querySelectorAll('.explain p').length >= 2 && document.querySelector('.explain .shares')");
    assert!(browser.text(".explain").contains("was expected"));
    let readout = browser.text(".readout");
    assert!(
        readout.contains("expected") && readout.contains("score"),
        "{readout}"
    );
    assert_eq!(browser.text("#traces + dl dd"), MARKUP);
    // Through the samples by keyboard.
    browser.value("document.querySelector('.scrub').focus()");
    browser.press("ArrowLeft");
    browser.until(&format!(
        "document.querySelector('.readout').innerText !== {}",
        json!(readout)
    ));
    let said = "document.querySelector('.scrub').getAttribute('aria-valuetext').includes('value')";
    assert_eq!(browser.value(said), true);
    // And on to its series.
    browser.click("h1 a");
    browser.until("location.hash.startsWith('#/series/') && document.querySelector('.plot .band')");
    browser.until("document.querySelector('h1')?.innerText === 'queue_length'");
    browser.until(&format!("{ROWS} === 1"));
    browser.click(".anomalies tbody a");
    browser
        .until("location.hash.startsWith('#/anomalies/') && document.querySelector('.plot .band')");
}

fn answers(browser: &mut Browser, saimon: &Serving) {
    let path = "location.hash.replace('#', '/api/v1')";
    let path = browser.value(path).as_str().unwrap().to_owned() + "/feedback";
    browser.until("document.querySelector('[data-verdict=rejected]')?.offsetParent");
    browser.value("document.querySelector('[name=author]').select()");
    browser.type_text("ada");
    browser.click("[name=comment]");
    browser.type_text("a load test");
    browser.click("[data-verdict=rejected]");
    browser.until("document.querySelector('[data-verdict=rejected]').ariaPressed === 'true'");
    let given = asked(saimon, &path);
    let wanted = json!(["rejected", "ada", "a load test"]);
    assert_eq!(
        json!([given["verdict"], given["author"], given["comment"]]),
        wanted
    );
    browser.until("document.body.innerText.includes('Rejected by ada')");
    browser.click("[data-verdict=undo]");
    browser.until("document.body.innerText.includes('Nobody has said yet')");
    assert_eq!(saimon.connect().get(&path, "").status, 404);
}

fn reads_on_a_phone(browser: &mut Browser, base: &str) {
    browser.device(360, 740, 1.0, true);
    for (route, ready) in [
        ("#/", ".anomalies tbody tr"),
        ("#/series", ".list tbody tr"),
        ("#/status", ".tile"),
    ] {
        browser.open("about:blank");
        browser.open(&format!("{base}{route}"));
        browser.until(&format!("document.querySelector('{ready}')"));
        let wide = "document.documentElement.scrollWidth <= innerWidth";
        assert_eq!(browser.value(wide), true, "{route} is wider than a phone");
    }
    let dark = "getComputedStyle(document.body).backgroundColor";
    assert_eq!(browser.value(dark), "rgb(14, 17, 22)");
}

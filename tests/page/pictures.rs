//! Pictures of the page for the documents, of what it shows after a day and a half of the generator's
//! world. Written where `SAIMON_PICTURES` says.

use std::path::PathBuf;
use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};

use crate::browser::Browser;
use crate::serving::Serving;
use crate::town::{Town, trouble};

const HOUR_MS: i64 = 3_600_000;

#[test]
#[ignore = "writes the pictures in docs/images: SAIMON_PICTURES=docs/images cargo test --test page -- --ignored pictures"]
fn pictures() {
    let Some(to) = std::env::var_os("SAIMON_PICTURES").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&to).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(folder.path());
    let now_ms = SystemClock.now_ms() / 30_000 * 30_000;
    let mut town = Town::new(2, now_ms - 36 * HOUR_MS, 30_000);
    trouble(&mut town, now_ms);
    town.tell(&saimon, now_ms + 1);
    saimon.settled(town.sent);
    println!("http://{}/ has {} samples", saimon.address, town.sent);
    if let Some(seconds) = std::env::var("SAIMON_STAYS")
        .ok()
        .and_then(|s| s.parse().ok())
    {
        std::thread::sleep(Duration::from_secs(seconds));
    }
    let mut browser = Browser::start();
    let first = "document.querySelector('.anomalies tbody a').href.replace(/.*#/, '#')";
    for (name, width, height, dark) in [
        ("", 1280, 860, false),
        ("-dark", 1280, 860, true),
        ("-phone", 360, 780, false),
        ("-phone-dark", 360, 780, true),
    ] {
        browser.device(width, height, if width < 600 { 2.0 } else { 1.0 }, dark);
        let mut of = |view: &str, route: &str, ready: &str| {
            browser.open("about:blank");
            browser.open(&format!("http://{}/{route}", saimon.address));
            browser.until(ready);
            browser.idle(Duration::from_millis(1500));
            let wide = "document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(browser.value(wide), true, "{view}{name} is too wide");
            browser.picture(
                &to.join(format!("page-{view}{name}.png")),
                name.contains("phone"),
            );
        };
        let listed =
            "document.querySelector('.anomalies tbody tr') && document.querySelector('.timeline')";
        of("anomalies", "#/", listed);
        of("status", "#/status", "document.querySelector('.tile')");
        of(
            "series-list",
            "#/series?q=load",
            "document.querySelector('.list tbody tr')",
        );
        of("incidents", "#/incidents", "document.querySelector('h1')");
        of(
            "maintenance",
            "#/maintenance",
            "document.querySelector('h1')",
        );
        browser.open("about:blank");
        browser.open(&format!("http://{}/", saimon.address));
        browser.until(listed);
        let one = browser.value(first).as_str().unwrap().to_owned();
        let mut of = |view: &str, route: &str, ready: &str| {
            browser.open("about:blank");
            browser.open(&format!("http://{}/{route}", saimon.address));
            browser.until(ready);
            browser.idle(Duration::from_millis(1500));
            browser.picture(
                &to.join(format!("page-{view}{name}.png")),
                name.contains("phone"),
            );
        };
        let drawn =
            "document.querySelector('.plot .value') && document.querySelector('.explain p')";
        of("anomaly", &one, drawn);
        let series = browser.value("document.querySelector('h1 a').href.replace(/.*#/, '#')");
        let series = series.as_str().unwrap().to_owned();
        browser.open("about:blank");
        browser.open(&format!("http://{}/{series}", saimon.address));
        browser.until(drawn);
        browser.idle(Duration::from_millis(1500));
        browser.picture(
            &to.join(format!("page-series{name}.png")),
            name.contains("phone"),
        );
    }
    assert_eq!(browser.complaints, [""; 0]);
}

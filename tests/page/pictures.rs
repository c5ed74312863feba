//! Pictures of the page for the documents, of what it shows after a day and a half of the generator's
//! world. Written where `SAIMON_PICTURES` says; all there are with `SAIMON_PICTURES_ALL`.

use std::path::PathBuf;
use std::time::Duration;

use saimon::clock::{Clock as _, SystemClock};

use crate::browser::Browser;
use crate::serving::Serving;
use crate::town::{Town, trouble};

const HOUR_MS: i64 = 3_600_000;
/// Those that documents show.
const SHOWN: [&str; 4] = [
    "anomalies",
    "anomaly",
    "series-dark",
    "anomalies-phone-dark",
];
/// What is there when a view has what it shows.
const LISTED: &str = ".anomalies tbody tr";

#[test]
#[ignore = "writes pictures for the documents: make pictures"]
fn pictures() {
    let Some(to) = std::env::var_os("SAIMON_PICTURES").map(PathBuf::from) else {
        return;
    };
    let all = std::env::var_os("SAIMON_PICTURES_ALL").is_some();
    std::fs::create_dir_all(&to).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let saimon = Serving::start(folder.path());
    let now_ms = SystemClock.now_ms() / 30_000 * 30_000;
    let mut town = Town::new(2, now_ms - 36 * HOUR_MS, 30_000);
    trouble(&mut town, now_ms);
    town.tell(&saimon, now_ms + 1);
    saimon.settled(town.sent);
    let mut browser = Browser::start();
    let open = |browser: &mut Browser, route: &str, ready: &str| {
        browser.open("about:blank");
        browser.open(&format!("http://{}/{route}", saimon.address));
        browser.until(&format!("document.querySelector('{ready}')"));
        browser.idle(Duration::from_secs(2));
    };
    open(&mut browser, "#/", LISTED);
    let mut of = |script: &str| browser.value(script).as_str().unwrap().to_owned();
    let anomaly = of("document.querySelector('.anomalies tbody a').hash");
    let id = anomaly.rsplit('-').next().unwrap();
    let series = format!("#/series/{id}?hours=12");
    let views = [
        ("anomalies", "#/", LISTED),
        ("anomaly", anomaly.as_str(), ".plot .band"),
        ("series", series.as_str(), ".plot .band"),
        ("series-list", "#/series?q=load", ".list tbody tr"),
        ("incidents", "#/incidents", "h1"),
        ("maintenance", "#/maintenance", "h1"),
        ("status", "#/status", ".tile"),
    ];
    for (device, width, height, dark) in [
        ("", 1280, 860, false),
        ("-dark", 1280, 860, true),
        ("-phone", 360, 780, false),
        ("-phone-dark", 360, 780, true),
    ] {
        let scale = if width < 600 { 2.0 } else { 1.0 };
        browser.device(width, height, scale, dark);
        for (view, route, ready) in views {
            let name = format!("{view}{device}");
            if !all && !SHOWN.contains(&&*name) {
                continue;
            }
            open(&mut browser, route, ready);
            let wide = "document.documentElement.scrollWidth <= innerWidth";
            assert_eq!(browser.value(wide), true, "{name} is too wide");
            browser.picture(&to.join(format!("page-{name}.png")));
        }
    }
    assert_eq!(browser.complaints, [""; 0]);
}

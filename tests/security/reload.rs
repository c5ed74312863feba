//! The configuration of a running saimon.

use std::path::Path;
use std::process::Command;

use saimon::wire::proto;

use crate::identities::until;
use crate::serving::Serving;

fn start(folder: &Path, config: &str) -> Serving {
    let file = folder.join("saimon.yaml");
    std::fs::write(&file, config).unwrap();
    let arguments = ["--config", file.to_str().unwrap()];
    Serving::start_with(&folder.join("data"), "127.0.0.1:0", &arguments)
}

fn reload(saimon: &Serving) -> (u16, String) {
    let mut client = saimon.connect();
    client.send(b"POST /-/reload HTTP/1.1\r\nhost: x\r\ncontent-length: 0\r\n\r\n");
    let answer = client.response();
    (answer.status, answer.text().to_owned())
}

fn number(saimon: &Serving, name: &str) -> f64 {
    let page = saimon.metrics();
    let line = page.lines().find_map(|l| l.strip_prefix(name)).unwrap();
    line.trim().parse().unwrap()
}

#[test]
fn a_reload_takes_all_or_nothing_and_names_what_waits() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    let write = |text: &str| std::fs::write(folder.join("saimon.yaml"), text).unwrap();
    let saimon = start(folder, "limits: {score_lines: 100}\n");
    let successful = "saimon_config_last_reload_successful ";
    let when = "saimon_config_last_reload_success_timestamp_seconds ";
    let waiting = "saimon_config_restart_needed ";
    assert_eq!(number(&saimon, successful), 1.0);
    let began = number(&saimon, when);

    let (status, said) = reload(&saimon);
    assert_eq!(status, 200);
    assert!(said.contains("nothing has changed"), "{said}");

    write(
        "limits: {score_lines: 50}\nstore:\n  window: 2h\ndetect:\n  warmup: 50\n  day: 1h\n\
         groups:\n  by: [job, zone]\n  joint_max: 3\n",
    );
    let (status, said) = reload(&saimon);
    assert_eq!(
        (status, said.as_str()),
        (
            200,
            "the configuration was read again, in use now: detect.warmup, groups.by, limits.score_lines\n\
             these need a restart: detect.day, groups.joint_max, store.window\n"
        )
    );
    assert_eq!(number(&saimon, waiting), 3.0);
    assert!(number(&saimon, when) > began);

    let before = number(&saimon, when);
    write("limits: {score_lines: 20}\nstore:\n  window: 2x\nlimitz: {}\n");
    let (status, said) = reload(&saimon);
    assert_eq!(status, 500);
    assert!(said.contains("saimon.yaml:3:11: store.window: "), "{said}");
    assert!(said.contains("saimon.yaml:4:1: limitz: "), "{said}");
    assert!(said.ends_with("nothing was changed\n"), "{said}");
    assert_eq!(number(&saimon, successful), 0.0);
    assert_eq!(number(&saimon, when), before);

    // Rules and limits are those of the file.
    let push = |labels: usize| {
        let name = |i: usize| proto::Label {
            name: format!("l{i:02}"),
            value: "x".to_owned(),
        };
        let mut all: Vec<_> = (0..labels).map(name).collect();
        all.insert(
            0,
            proto::Label {
                name: "__name__".to_owned(),
                value: "m".to_owned(),
            },
        );
        let sample = proto::Sample {
            value: 1.0,
            timestamp: 1_000,
        };
        let sent = proto::WriteRequest {
            timeseries: vec![proto::TimeSeries {
                labels: all,
                samples: vec![sample],
                ..Default::default()
            }],
            ..Default::default()
        };
        saimon.connect().write(&sent).status
    };
    let counted = |outcome: &str| {
        saimon.sum(&format!(
            "saimon_ingest_samples_total{{protocol=\"1.0\",outcome=\"{outcome}\"}}"
        ))
    };
    write("limits: {series: 1}\ndetect: {rules: [{selector: '{l01=\"x\"}', model: false}]}\n");
    assert_eq!(reload(&saimon).0, 200);
    assert_eq!(number(&saimon, "saimon_series_limit "), 1.0);
    assert_eq!(push(3), 204);
    saimon.settled(1);
    assert_eq!(counted("skipped"), 1);
    assert_eq!(push(1), 204);
    saimon.settled(2);
    assert_eq!(counted("limit"), 1);
    write("limits: {series: 5, labels_per_series: 8}\n");
    assert_eq!(reload(&saimon).0, 200);
    assert_eq!(push(3), 204);
    saimon.settled(3);
    assert_eq!(counted("accepted"), 1);
    assert_eq!(push(9), 400);

    // As at the start: nothing waits any more.
    write("limits: {score_lines: 100}\n");
    let pid = saimon.pid().to_string();
    let hangup = Command::new("kill").args(["-HUP", &pid]).status();
    assert!(hangup.unwrap().success());
    until("the signal is heard", || {
        (number(&saimon, successful) == 1.0).then_some(())
    });
    assert_eq!(number(&saimon, waiting), 0.0);
    let get = saimon.connect().get("/-/reload", "");
    assert_eq!(get.status, 405);
    let (code, _) = saimon.terminate();
    assert_eq!(code, 0);
}

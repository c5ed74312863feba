//! The program itself, over a real socket: what is pushed is all accounted for, an orderly stop
//! forgets nothing, and a data directory has one owner.

#[path = "support/client.rs"]
mod client;
#[path = "support/serving.rs"]
mod serving;

use std::path::{Path, PathBuf};
use std::process::Command;

use serving::{SAIMON, Serving};

fn generate(args: &[&str]) -> serde_json::Value {
    let out = Command::new(SAIMON)
        .arg("generate")
        .args(args)
        .arg("--json")
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{args:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
    serde_json::from_slice(&out.stdout).unwrap()
}

fn recorded() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/write-1.0")
}

#[test]
fn everything_pushed_is_accounted_for_and_survives_an_orderly_stop() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let saimon = Serving::start(&data);
    let url = format!("http://{}/api/v1/write", saimon.address);

    let pushed = generate(&[
        "--push",
        &url,
        "--series",
        "3000",
        "--interval",
        "15s",
        "--speed",
        "max",
        "--samples",
        "360000",
        "--connections",
        "2",
        "--batch",
        "500",
        "--leave-open",
    ]);
    let sent = pushed["samples_sent"].as_u64().unwrap();
    assert!(sent >= 360_000, "{pushed}");
    assert_eq!(pushed["samples_acknowledged"], pushed["samples_sent"]);
    saimon.settled(sent);
    assert_eq!(saimon.sum("saimon_ingest_samples_total"), sent);
    assert_eq!(
        saimon.sum("saimon_ingest_samples_total{protocol=\"1.0\",outcome=\"accepted\"}"),
        sent
    );
    assert_eq!(saimon.sum("saimon_active_models "), 3000);

    // Recorded bodies of two senders.
    let replayed = generate(&["--push", &url, "--replay", recorded().to_str().unwrap()]);
    let more = replayed["samples_acknowledged"].as_u64().unwrap();
    assert!(more > 1000, "{replayed}");
    saimon.settled(sent + more);
    assert_eq!(saimon.sum("saimon_ingest_samples_total"), sent + more);

    // A second process on the same directory refuses and leaves it alone.
    let second = Command::new(SAIMON)
        .args(["serve", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(&data)
        .output()
        .unwrap();
    assert_eq!(second.status.code(), Some(1));
    let said = String::from_utf8_lossy(&second.stderr);
    assert!(said.contains("in use by another process"), "{said}");

    let series = saimon.sum("saimon_series{");
    let (code, log) = saimon.terminate();
    assert_eq!(code, 0, "{log:?}");
    assert!(
        log.iter()
            .any(|l| l.contains("models and windows are written")),
        "{log:?}"
    );

    let again = Serving::start(&data);
    assert_eq!(again.sum("saimon_series{"), series, "{:?}", again.seen);
    assert!(
        again.seen.iter().any(|l| l.contains("models restored")),
        "{:?}",
        again.seen
    );
}

#[test]
fn wrong_use_is_told_with_exit_code_two_and_what_fails_with_one() {
    let folder = tempfile::tempdir().unwrap();
    let wrong = folder.path().join("wrong.yaml");
    std::fs::write(&wrong, "detect:\n  warmpu: 5\n").unwrap();
    let run = |args: &[&str]| Command::new(SAIMON).args(args).output().unwrap();
    let bad = run(&["serve", "--nonsense"]);
    assert_eq!(bad.status.code(), Some(2));
    let bad = run(&["serve", "--config", wrong.to_str().unwrap()]);
    assert_eq!(bad.status.code(), Some(1));
    let said = String::from_utf8_lossy(&bad.stderr);
    assert!(
        said.contains("wrong.yaml:2:3") && said.contains("warmup"),
        "{said}"
    );
    let check = run(&["check", wrong.to_str().unwrap()]);
    assert_eq!(check.status.code(), Some(1));
    let bad = run(&[
        "serve",
        "--data-dir",
        "/dev/null/x",
        "--http-listen",
        "256.0.0.1:1",
    ]);
    assert_eq!(bad.status.code(), Some(2));
}

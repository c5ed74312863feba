//! Whether the API answers as it describes itself, asked by a program that knows the description alone.

use std::process::Command;

use saimon::clock::{Clock as _, SystemClock};

use crate::serving::Serving;
use crate::story::with_records;
use crate::town::Town;

/// How long it is asked.
const SECONDS: &str = "25";

#[test]
#[ignore = "needs schemathesis, which is fetched from PyPI once: make check-api"]
fn the_api_answers_as_it_describes_itself() {
    let folder = tempfile::tempdir().unwrap();
    let now_ms = SystemClock.now_ms() / 1000 * 1000;
    with_records(folder.path(), now_ms);
    let saimon = Serving::start(folder.path());
    let mut town = Town::new(1, now_ms - 200 * 30_000, 30_000);
    town.tell(&saimon, now_ms);
    saimon.settled(town.sent);
    let status = Command::new("scripts/check-api.sh")
        .args([&format!("http://{}", saimon.address), SECONDS])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .status()
        .unwrap();
    assert!(status.success(), "the findings are above");
    // And it is still there.
    assert_eq!(saimon.connect().get("/-/ready", "").status, 200);
}

//! Processes that are killed while they write, and processes that may not write.

use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use super::*;

/// Tells this very test program which store to use when it runs as a child.
const DIR: &str = "SAIMON_TEST_STORE_DIR";

/// This test program again, running one test on `dir`.
pub(super) fn child(test: &str, dir: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture", "--test-threads=1"]);
    command.env(DIR, dir);
    command
}

pub(super) fn child_dir() -> Option<PathBuf> {
    std::env::var_os(DIR).map(PathBuf::from)
}

const GROUPS: u32 = 8;

/// The state of a group after `n` checkpoints: it says how many chunks it has handed over, and cannot
/// be packed.
fn state(n: u64) -> Vec<u8> {
    let mut rng = fastrand::Rng::with_seed(n);
    let mut state: Vec<u8> = (0..60_000).map(|_| rng.u8(..)).collect();
    state[..8].copy_from_slice(&n.to_le_bytes());
    state
}

/// Writes for ever: at every checkpoint each group gets one chunk.
#[test]
fn child_writes() {
    let Some(dir) = child_dir() else {
        return;
    };
    let metrics = Arc::new(Metrics::new());
    let store = open(&dir, &metrics).unwrap().store;
    let mut n = 0;
    store.groups(|_, state, _| n = n.max(count(state)));
    let rig = Rig::start(store, config(), &metrics);
    loop {
        n += 1;
        let newest_ms = NOW + n as i64 * 1000;
        let ok = rig.write(
            (0..GROUPS).map(|g| group(id(0, g), &state(n), newest_ms, vec![chunk(0, newest_ms)])),
        );
        println!("{} {n}", if ok { "written" } else { "failed" });
    }
}

fn count(state: &[u8]) -> u64 {
    u64::from_le_bytes(state[..8].try_into().unwrap())
}

/// Every group is as one checkpoint left it: its chunks are those its state has handed over.
fn check(dir: &Path, at_least: u64) -> u64 {
    let store = reopened(dir);
    let (groups, loaded) = all(&store);
    assert_eq!((loaded.skipped, loaded.stopped), (0, None));
    let mut newest = 0;
    for (id, bytes, newest_ms) in groups {
        let n = count(&bytes);
        assert_eq!(bytes, state(n));
        assert_eq!(newest_ms, NOW + n as i64 * 1000);
        assert!(n >= at_least, "{n} of {at_least}");
        let chunks = store.chunks(id, &[0], 0, i64::MAX).unwrap();
        let expected: Vec<_> = (1..=n).map(|n| chunk(0, NOW + n as i64 * 1000)).collect();
        assert_eq!(chunks, expected);
        newest = newest.max(n);
    }
    newest
}

/// The next line of the child that says `word` with a number.
fn line(lines: &mut impl Iterator<Item = String>, word: &str) -> u64 {
    lines
        .find_map(|l| {
            // The test harness prints without a line break before the first.
            let (_, rest) = l.split_once(&format!("{word} "))?;
            rest.parse().ok()
        })
        .expect("the child goes on")
}

fn lines(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    BufReader::new(child.stdout.take().unwrap())
        .lines()
        .map(Result::unwrap)
}

#[test]
fn a_killed_process_leaves_no_torn_group() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let mut last = 0;
    for round in 0..6 {
        let mut child = child("store::tests::killed::child_writes", &dir)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = lines(&mut child);
        let mut written = line(&mut lines, "written");
        for _ in 0..round {
            written = line(&mut lines, "written");
        }
        // In the middle of the next checkpoint, somewhere.
        std::thread::sleep(Duration::from_millis(round * 3));
        child.kill().unwrap();
        child.wait().unwrap();
        let newest = check(&dir, written);
        assert!(newest > last);
        last = newest;
    }
}

/// How large a file of a process may become.
fn limit_files(child: &Child, limit: &str) {
    let set = Command::new("prlimit")
        .args([
            &format!("--fsize={limit}"),
            "--pid",
            &child.id().to_string(),
        ])
        .status()
        .unwrap();
    assert!(set.success());
}

/// A file size limit stands in for a full disk: writes fail in the middle of a file of states (sled's
/// own is longer already), and succeed again once there is room.
#[test]
fn a_full_disk_is_survived_and_written_later() {
    let temp = tempfile::tempdir().unwrap();
    let dir = temp.path().join("store");
    let inner = child("store::tests::killed::child_writes", &dir);
    let mut child = Command::new("sh")
        .args(["-c", "trap '' XFSZ; exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args())
        .env(DIR, &dir)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = lines(&mut child);
    assert!(line(&mut lines, "written") < line(&mut lines, "written"));
    limit_files(&child, "200000:unlimited");
    let failed = line(&mut lines, "failed");
    assert!(line(&mut lines, "failed") > failed);
    limit_files(&child, "unlimited:unlimited");
    let written = line(&mut lines, "written");
    assert!(written > failed);
    child.kill().unwrap();
    child.wait().unwrap();
    // Nothing was moved aside, and no chunk of the time in between is missing.
    check(&dir, written);
}

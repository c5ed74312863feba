//! Disks and directories that are not what they should be, with the program itself.

use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use prost::Message as _;
use saimon::clock::{Clock as _, SystemClock};
use saimon::wire::proto;

use crate::client::snappy;
use crate::killed::{config, post};
use crate::reading::{SAMPLES, ask, query, request, samples};
use crate::serving::{SAIMON, Serving, Spawned};

/// A request with one sample of each of so many series.
fn body(series: usize, t_ms: i64, value: f64) -> Vec<u8> {
    let label = |name: &str, value: String| proto::Label {
        name: name.to_owned(),
        value,
    };
    let series = (0..series).map(|s| proto::TimeSeries {
        labels: vec![
            label("__name__", "fault_probe".to_owned()),
            label("n", format!("{s:05}")),
        ],
        samples: vec![proto::Sample {
            value,
            timestamp: t_ms,
        }],
        ..Default::default()
    });
    let sent = proto::WriteRequest {
        timeseries: series.collect(),
        ..Default::default()
    };
    snappy(&sent.encode_to_vec())
}

fn write(saimon: &Serving, body: &[u8]) -> u16 {
    let mut stream = TcpStream::connect(saimon.address).unwrap();
    post(&mut stream, body).expect("an answer")
}

/// Times of all samples of the first series.
fn times(saimon: &Serving) -> Vec<i64> {
    let of = query(
        &[("__name__", "=", "fault_probe"), ("n", "=", "00000")],
        0,
        i64::MAX,
    );
    let found = samples(&ask(&mut saimon.connect(), &request(&[SAMPLES], vec![of])));
    let series = found[0].first();
    series.map_or_else(Vec::new, |(_, s)| s.iter().map(|(t, _)| *t).collect())
}

/// A file system of its own; `None` where that is not allowed.
struct Small(PathBuf);

impl Small {
    fn mount(at: &Path, options: &str) -> Option<Self> {
        std::fs::create_dir_all(at).unwrap();
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(at)
            .output()
            .ok()?;
        mounted.status.success().then(|| Self(at.to_owned()))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_refuses_writes_shows_scores_and_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Small::mount(&folder.path().join("disk"), "size=24m") else {
        eprintln!("not allowed to mount: the full disk of `log_full` has to do");
        return;
    };
    let data = disk.0.join("data");
    let config = config(folder.path(), "  checkpoint: 1s\n");
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &config]);
    let base_ms = SystemClock.now_ms() - 3_600_000;
    let mut taken = Vec::new();
    let mut step = 0;
    let mut send = |saimon: &Serving, taken: &mut Vec<i64>| {
        let t_ms = base_ms + step * 1000;
        step += 1;
        let status = write(saimon, &body(300, t_ms, step as f64));
        if status == 204 {
            taken.push(t_ms);
        }
        status
    };
    for _ in 0..100 {
        assert_eq!(send(&saimon, &mut taken), 204);
    }
    let filler = disk.0.join("filler");
    fill(&filler);
    // What is open may have some room left.
    let mut refused = 0;
    for _ in 0..2000 {
        if send(&saimon, &mut taken) == 503 {
            refused += 1;
            if refused == 50 {
                break;
            }
        } else {
            fill(&filler);
        }
    }
    assert_eq!(refused, 50, "a full disk takes nothing");
    assert!(saimon.sum("saimon_wal_failing ") == 1);
    assert_eq!(saimon.connect().get("/metrics/scores", "").status, 200);
    assert_eq!(saimon.connect().get("/-/healthy", "").status, 200);
    std::fs::remove_file(&filler).unwrap();
    let again = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(50));
        send(&saimon, &mut taken) == 204
    });
    assert!(again, "it recovers by itself");
    assert_eq!(saimon.sum("saimon_wal_failing "), 0);
    assert!(takes_checkpoints(&saimon), "the store takes writes again");
    drop(saimon);
    let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &config]);
    assert_eq!(times(&saimon), taken);
}

/// Waits for a checkpoint that comes to an end: states in their files, sled, all of it.
fn takes_checkpoints(saimon: &Serving) -> bool {
    (0..100).any(|_| {
        std::thread::sleep(Duration::from_millis(100));
        saimon.sum("saimon_store_ok ") == 1
    })
}

/// A start that went on would acknowledge what it cannot keep.
#[test]
fn a_start_on_a_full_disk_waits_for_room_and_has_everything() {
    let folder = tempfile::tempdir().unwrap();
    let Some(disk) = Small::mount(&folder.path().join("disk"), "size=24m") else {
        eprintln!("not allowed to mount: left out");
        return;
    };
    let data = disk.0.join("data");
    let saimon = Serving::start(&data);
    let base_ms = SystemClock.now_ms() - 3_600_000;
    let taken: Vec<i64> = (0..50).map(|step| base_ms + step * 1000).collect();
    for t_ms in &taken {
        assert_eq!(write(&saimon, &body(300, *t_ms, 1.0)), 204);
    }
    let address = saimon.address;
    drop(saimon);
    let filler = disk.0.join("filler");
    fill(&filler);
    let mut starting = Spawned::start(&data, &address.to_string(), &[]);
    let line = starting.line(Duration::from_secs(60));
    assert!(line.contains("no space left"), "{line}");
    assert!(TcpStream::connect(address).is_err(), "nothing is taken");
    std::fs::remove_file(&filler).unwrap();
    while !starting
        .line(Duration::from_secs(60))
        .contains("saimon is ready")
    {}
    let saimon = starting.serving(address);
    assert_eq!(times(&saimon), taken);
    assert_eq!(write(&saimon, &body(300, base_ms + 60_000, 1.0)), 204);
}

/// Sets how large a file of the process may become.
fn limit_files(saimon: &Serving, limit: &str) {
    let pid = saimon.pid().to_string();
    let set = Command::new("prlimit")
        .args(["--pid", &pid, &format!("--fsize={limit}:unlimited")])
        .status();
    assert!(set.unwrap().success());
}

/// Needs no file system of its own. The signal that comes with it would end a process that does not
/// expect it.
#[test]
fn a_limit_of_file_sizes_is_a_full_disk() {
    for log_full in ["refuse", "shed"] {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("data");
        let store = format!("  checkpoint: 1s\n  log_full: {log_full}\n");
        let config = config(folder.path(), &store);
        let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &config]);
        let base_ms = SystemClock.now_ms() - 3_600_000;
        let sent = |step: i64| write(&saimon, &body(300, base_ms + step * 1000, step as f64));
        for step in 0..40 {
            assert_eq!(sent(step), 204);
        }
        limit_files(&saimon, "0");
        let status = if log_full == "shed" { 204 } else { 503 };
        for step in 40..90 {
            assert_eq!(sent(step), status);
        }
        assert_eq!(saimon.sum("saimon_wal_failing "), 1);
        let shed = saimon.sum("saimon_wal_shed_total ");
        assert_eq!(shed, if log_full == "shed" { 50 } else { 0 });
        assert_eq!(saimon.connect().get("/metrics/scores", "").status, 200);
        // Checkpoints fail meanwhile, and that passes too.
        std::thread::sleep(Duration::from_millis(1500));
        limit_files(&saimon, "unlimited");
        for step in 90..100 {
            assert_eq!(sent(step), 204);
        }
        assert_eq!(saimon.sum("saimon_wal_failing "), 0);
        assert_eq!(saimon.sum("saimon_wal_shed_total "), shed);
        assert!(takes_checkpoints(&saimon), "the store takes writes again");
        drop(saimon);
        let saimon = Serving::start_with(&data, "127.0.0.1:0", &["--config", &config]);
        let found = times(&saimon);
        let kept = |step: &i64| status == 204 || !(40..90).contains(step);
        let want: Vec<i64> = (0..100)
            .filter(kept)
            .map(|step| base_ms + step * 1000)
            .collect();
        if status == 204 {
            // What was shed is there if a checkpoint came after it.
            assert!(found.iter().all(|t| want.contains(t)) && found.len() >= 50);
        } else {
            assert_eq!(found, want);
        }
    }
}

/// Takes all the room that there is.
fn fill(path: &Path) {
    use std::io::Write as _;
    let mut file = std::fs::File::options()
        .create(true)
        .append(true)
        .open(path)
        .unwrap();
    for size in [1 << 16, 1 << 12] {
        while file.write_all(&vec![1; size]).is_ok() {}
    }
}

#[test]
fn a_directory_that_cannot_be_written_costs_what_is_kept_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    // A file where the directory should be: no permission helps, not even root's.
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let read_only = Small::mount(&folder.path().join("ro"), "ro,size=1m");
    let dirs = [
        Some(file.join("data")),
        read_only.as_ref().map(|m| m.0.join("data")),
    ];
    for data in dirs.into_iter().flatten() {
        let saimon = Serving::start(&data);
        let now = SystemClock.now_ms();
        assert_eq!(write(&saimon, &body(3, now, 1.0)), 204);
        assert_eq!(saimon.sum("saimon_store_ok "), 0);
        let health = saimon.connect().get("/health", "");
        assert!(health.text().contains("\"degraded\""), "{}", health.text());
        assert_eq!(saimon.terminate().0, 0);
    }
}

#[test]
fn what_a_newer_saimon_wrote_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    drop(Serving::start(&data));
    let segment = data
        .join("wal")
        .join(format!("{:016x}.log", u64::from(u32::MAX)));
    // The beginning of a segment, of version 9.
    let mut newer = vec![0; 128];
    for at in [0, 64] {
        newer[at..at + 8].copy_from_slice(b"\x89smnlog\n");
        newer[at + 8] = 9;
        let sum = crc32c::crc32c(&[&newer[at..at + 8], &[1, 0], &newer[at + 10..at + 36]].concat());
        newer[at + 36..at + 40].copy_from_slice(&(!sum).to_le_bytes());
    }
    std::fs::write(&segment, &newer).unwrap();
    let out = serve_and_fail(&data);
    assert!(
        out.contains("has version 9") && out.contains("use a newer saimon"),
        "{out}"
    );
    assert_eq!(std::fs::read(&segment).unwrap(), newer);
}

/// What it says on stderr when it does not start.
pub(crate) fn serve_and_fail(data: &Path) -> String {
    let out = Command::new(SAIMON)
        .args(["serve", "--http-listen", "127.0.0.1:0", "--data-dir"])
        .arg(data)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&out.stderr).into_owned();
    assert_eq!(out.status.code(), Some(1), "{said}");
    said
}

#[test]
fn flipped_bits_cost_what_they_hit_and_never_the_start() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let config = config(folder.path(), "  checkpoint: 1h\n");
    let start = || Serving::start_with(&data, "127.0.0.1:0", &["--config", &config]);
    let base_ms = SystemClock.now_ms() - 3_600_000;
    let saimon = start();
    for step in 0..200 {
        let sent = body(50, base_ms + step * 1000, step as f64);
        assert_eq!(write(&saimon, &sent), 204);
    }
    // Half of it is in a checkpoint, half in the log.
    assert_eq!(saimon.terminate().0, 0);
    let saimon = start();
    for step in 200..400 {
        let sent = body(50, base_ms + step * 1000, step as f64);
        assert_eq!(write(&saimon, &sent), 204);
    }
    drop(saimon);

    let mut rng = fastrand::Rng::with_seed(3);
    let kept: Vec<i64> = (0..400).map(|step| base_ms + step * 1000).collect();
    for round in 0..12 {
        let whole = folder.path().join("whole");
        copy(&data, &whole);
        // Files in which a bit is flipped: of the log, or of the store.
        let of = if round % 2 == 0 { "wal" } else { "store" };
        let mut files = files(&data.join(of));
        files.retain(|f| std::fs::metadata(f).unwrap().len() > 0);
        let file = &files[rng.usize(0..files.len())];
        let mut bytes = std::fs::read(file).unwrap();
        let at = rng.usize(0..bytes.len());
        bytes[at] ^= 1 << rng.u8(0..8);
        std::fs::write(file, &bytes).unwrap();
        let saimon = start();
        assert_eq!(write(&saimon, &body(50, base_ms + 500_000, 1.0)), 204);
        let found = times(&saimon);
        let known = |t: &&i64| kept.contains(t) || **t == base_ms + 500_000;
        assert!(found.iter().all(|t| known(&t)), "nothing is made up");
        if of == "wal" {
            // One record at most, and all of the checkpoint is there.
            assert!(
                found.len() >= 400,
                "{} of {}: {file:?}",
                found.len(),
                kept.len()
            );
        }
        drop(saimon);
        std::fs::remove_dir_all(&data).unwrap();
        copy(&whole, &data);
        std::fs::remove_dir_all(&whole).unwrap();
        for entry in std::fs::read_dir(folder.path()).unwrap() {
            assert!(!entry.unwrap().file_name().is_empty());
        }
    }
    assert_eq!(times(&start()), kept);
}

pub(crate) fn files(dir: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

pub(crate) fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, &to).unwrap();
        }
    }
}

#[test]
fn a_second_process_is_refused_while_the_first_one_lives_and_after_it_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let data = folder.path().join("data");
    let first = Serving::start(&data);
    let said = serve_and_fail(&data);
    assert!(said.contains("in use by another process"), "{said}");
    drop(first);
    drop(Serving::start(&data));
}

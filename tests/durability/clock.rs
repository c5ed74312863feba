//! Clocks that jump, and processes that are killed while they do: what a request was taken for stays
//! what it was, and no series is forgotten.

use crate::process::{Disk, Process};
use crate::stream::Stream;

const DAY_MS: i64 = 86_400_000;

/// A month ahead, a day back (senders are in the future then), and times of their own in between.
fn jump(step: i64) -> i64 {
    match step {
        30..40 => 30 * DAY_MS,
        60..70 => -DAY_MS,
        90 => -20 * 365 * DAY_MS,
        100..110 => 400 * DAY_MS,
        _ => 0,
    }
}

#[test]
fn a_clock_that_jumps_changes_nothing_that_a_crash_could_show() {
    for seed in 1..3 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("wal");
        let mut disk = Disk::default();
        let mut whole = Process::start(1, &Disk::default(), None);
        let mut broken = Process::start(2, &disk, Some(&log));
        let mut stream = Stream::new(seed, 130);
        let (mut refused, mut kills) = (0, 0);
        for step in 0..130 {
            for sent in stream.round() {
                let now_ms = sent.now_ms + jump(step);
                let status = whole.post(sent.headers, &sent.body, now_ms);
                assert_eq!(broken.post(sent.headers, &sent.body, now_ms), status);
                refused += i32::from(status == 400);
                assert!(status == 204 || status == 400, "{status}");
            }
            if rng.u8(0..8) == 0 {
                broken.checkpoint(&mut disk, &mut rng, 0.5);
            }
            if rng.u8(0..8) == 0 {
                broken.kill();
                broken = Process::start(1 + kills % 4, &disk, Some(&log));
                kills += 1;
            }
        }
        assert!(refused > 10 && kills > 5, "{refused} {kills}");
        assert!(
            whole.held(&Disk::default()) == broken.held(&disk),
            "seed {seed}"
        );
        whole.kill();
        broken.kill();
    }
}

/// The clock is wrong at a start, and right again later: a battery that is empty, a network that comes
/// up after saimon.
#[test]
fn a_start_with_a_wrong_clock_forgets_nothing_within_the_hour() {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("wal");
    let mut disk = Disk::default();
    let mut rng = fastrand::Rng::with_seed(1);
    let mut stream = Stream::new(3, 40);
    let mut process = Process::start(2, &disk, Some(&log));
    let mut now_ms = 0;
    for step in 0..40 {
        for sent in stream.round() {
            now_ms = sent.now_ms;
            process.post(sent.headers, &sent.body, now_ms);
        }
        if step == 20 {
            process.checkpoint(&mut disk, &mut rng, 1.0);
        }
    }
    let series = process.series();
    assert!(series > 100, "{series}");
    process.tick(now_ms);
    process.kill();
    // In 1970 first, then a year ahead, then right.
    let mut process = Process::start(2, &disk, Some(&log));
    assert_eq!(process.series(), series);
    process.tick(5000);
    process.tick(now_ms + 365 * DAY_MS);
    assert_eq!(process.series(), series);
    process.tick(now_ms + 15_000);
    for sent in stream.round() {
        process.post(sent.headers, &sent.body, sent.now_ms);
    }
    process.tick(now_ms + 60_000);
    assert!(
        process.series() >= series,
        "{} of {series}",
        process.series()
    );
    process.kill();
}

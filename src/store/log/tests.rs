//! The log as a whole: on a simulated disk, on a real one, and by chance.

mod disk;
mod fault;
mod random;
mod real;

use std::sync::Arc;

use super::files::Files;
use super::options::{Options, SyncMode};
use super::{Log, LogError, Opened, Replayed};
use disk::Disk;

/// No thread: tests sync by hand.
fn options() -> Options {
    Options {
        sync: SyncMode::Never,
        segment: 4096,
        limit: 1 << 20,
        salt: 42,
        ..Options::default()
    }
}

fn open(disk: &Disk) -> (Log, Opened) {
    open_with(disk, options())
}

fn open_with(disk: &Disk, options: Options) -> (Log, Opened) {
    Log::open(Box::new(disk.clone()), options, Arc::default()).unwrap()
}

type Records = Vec<(u64, u8, Vec<u8>)>;

fn replayed(log: &Log, from: u64) -> (Records, Replayed) {
    let mut records = Vec::new();
    let (mut done, mut all) = (0, 0);
    let replayed = log
        .replay(
            from,
            |seq, kind, payload| records.push((seq, kind, payload.to_vec())),
            |d, a| (done, all) = (d, a),
        )
        .unwrap();
    assert_eq!(done, all, "progress ends at the end");
    (records, replayed)
}

fn seqs(log: &Log) -> Vec<u64> {
    replayed(log, 0).0.into_iter().map(|r| r.0).collect()
}

/// What the n-th record of these tests holds: about 600 bytes, so that six fill a segment.
fn payload(n: u64) -> Vec<u8> {
    (0..600 + n % 7).map(|i| (i * 7 + n) as u8).collect()
}

fn fill(log: &Log, n: u64) {
    for _ in 0..n {
        let next = log.last_seq() + 1;
        assert_eq!(log.append(1, &[&payload(next)]), Ok(next));
    }
}

#[test]
fn what_was_appended_in_parts_is_replayed_whole_over_segments_and_restarts() {
    let disk = Disk::default();
    let (log, opened) = open(&disk);
    assert_eq!(opened, Opened::default());
    assert_eq!(log.append(3, &[]), Ok(1));
    assert_eq!(log.append(4, &[b"a", b"", b"bc"]), Ok(2));
    fill(&log, 20);
    drop(log);
    let (log, opened) = open(&disk);
    assert_eq!((opened.last_seq, opened.cut_bytes), (22, 0));
    assert!(opened.segments > 3 && opened.missing == 0);
    let (records, counts) = replayed(&log, 0);
    assert_eq!(records[0], (1, 3, vec![]));
    assert_eq!(records[1], (2, 4, b"abc".to_vec()));
    for (i, (seq, kind, bytes)) in records.iter().enumerate().skip(2) {
        assert_eq!((*seq, *kind), (i as u64 + 1, 1));
        assert_eq!(*bytes, payload(*seq));
    }
    assert_eq!(
        counts,
        Replayed {
            records: 22,
            bytes: records.iter().map(|r| r.2.len() as u64).sum(),
            ..Replayed::default()
        }
    );
    assert_eq!(log.append(1, &[b"next"]), Ok(23));
    assert_eq!(replayed(&log, 0).0.len(), 22, "as of the start");
    assert_eq!(replayed(&log, 15).0.first().unwrap().0, 15);
}

#[test]
fn one_append_is_one_write() {
    let disk = Disk::default();
    let (log, _) = open(&disk);
    fill(&log, 1);
    let before = disk.operations();
    log.append(1, &[b"a", b"b", b"c"]).unwrap();
    assert_eq!(disk.operations(), before + 1);
}

#[test]
fn segments_are_dropped_when_covered_and_numbers_go_on() {
    let disk = Disk::default();
    let (log, _) = open(&disk);
    fill(&log, 20);
    let segments = |log: &Log| log.inner.metrics.segments.get();
    assert_eq!(segments(&log), 4);
    assert_eq!(log.drop_through(5), Ok(0));
    assert!(log.drop_through(6).unwrap() > 0);
    assert_eq!(segments(&log), 3);
    assert_eq!(
        seqs(&open_with(&disk, options()).0),
        (7..=20).collect::<Vec<_>>()
    );
    log.drop_through(u64::MAX).unwrap();
    assert_eq!(segments(&log), 1, "the newest carries the numbers");
    drop(log);
    let (log, opened) = open(&disk);
    assert_eq!(opened.last_seq, 20);
    fill(&log, 1);
    log.drop_through(u64::MAX).unwrap();
    drop(log);
    assert_eq!(seqs(&open(&disk).0), [21]);
}

/// A log that lost its newest records must not give their numbers to new ones, which a checkpoint
/// that covers the numbers would hide.
#[test]
fn numbers_that_a_checkpoint_covers_are_not_used_again() {
    let disk = Disk::default();
    let (log, _) = open(&disk);
    fill(&log, 3);
    drop(log);
    let covering = Options {
        covered: 10,
        ..options()
    };
    let (log, _) = open_with(&disk, covering);
    assert_eq!(log.append(1, &[b"x"]), Ok(11));
    drop(log);
    let (log, opened) = open(&disk);
    assert_eq!(opened.last_seq, 11);
    let (records, counts) = replayed(&log, 11);
    assert_eq!(records, [(11, 1, b"x".to_vec())]);
    assert_eq!((counts.gaps, counts.missing), (0, 0));
    assert_eq!(
        (replayed(&log, 0).1.gaps, replayed(&log, 0).1.missing),
        (1, 7)
    );
}

#[test]
fn a_log_at_its_limit_refuses_until_segments_are_dropped() {
    let disk = Disk::default();
    let small = Options {
        limit: 8192,
        ..options()
    };
    let (log, _) = open_with(&disk, small);
    let error = loop {
        if let Err(e) = log.append(1, &[&payload(0)]) {
            break e;
        }
    };
    assert!(
        matches!(error, LogError::Full { bytes, segments: 2 } if bytes <= 8192),
        "{error}"
    );
    let last = log.last_seq();
    assert!(disk.bytes() <= 8192 && last >= 12);
    log.drop_through(last).unwrap();
    fill(&log, 3);
    drop(log);
    let (log, _) = open(&disk);
    assert_eq!(*seqs(&log).last().unwrap(), last + 3);
}

#[test]
fn a_torn_tail_is_cut_and_later_records_are_readable() {
    for cut in 1..400 {
        let disk = Disk::default();
        let (log, _) = open(&disk);
        fill(&log, 3);
        drop(log);
        let len = disk.newest().1;
        disk.shorten(cut);
        let (log, opened) = open(&disk);
        assert_eq!(opened.last_seq, 2);
        assert_eq!(opened.cut_bytes, len - cut - 128 - 2 * 28 - 601 - 602);
        assert_eq!(replayed(&log, 0).1.cut_bytes, opened.cut_bytes);
        fill(&log, 1);
        drop(log);
        let (log, opened) = open(&disk);
        assert_eq!(opened.cut_bytes, 0);
        assert_eq!(seqs(&log), [1, 2, 3]);
    }
}

#[test]
fn a_broken_record_is_skipped_and_counted() {
    let disk = Disk::default();
    let (log, _) = open(&disk);
    fill(&log, 14);
    drop(log);
    let first = disk.names()[0].clone();
    for at in [128, 140, 156, 300] {
        disk.flip(&first, at * 8);
        let (log, opened) = open(&disk);
        assert_eq!(opened.last_seq, 14);
        let (records, counts) = replayed(&log, 1);
        assert_eq!(records.first().unwrap().0, 2);
        assert_eq!(
            counts,
            Replayed {
                records: 13,
                bytes: records.iter().map(|r| r.2.len() as u64).sum(),
                broken: 1,
                skipped_bytes: 28 + 601,
                gaps: 1,
                missing: 1,
                ..Replayed::default()
            }
        );
        disk.flip(&first, at * 8);
    }
}

#[test]
fn missing_copied_renamed_and_headless_segments_are_reported_and_the_rest_is_read() {
    let disk = Disk::default();
    let (log, _) = open(&disk);
    fill(&log, 30);
    drop(log);
    let names = disk.names();
    let middle = names[2].clone();

    disk.copy(&middle, &super::segment::name(0));
    let (log, opened) = open(&disk);
    assert_eq!((opened.misnamed, opened.last_seq), (1, 30));
    let (records, counts) = replayed(&log, 0);
    assert_eq!((records.len(), counts.duplicates, counts.gaps), (30, 6, 0));
    disk.remove(&super::segment::name(0)).unwrap();

    for bit in 0..128 * 8 {
        disk.flip(&middle, bit);
    }
    let (log, opened) = open(&disk);
    assert_eq!((opened.headless, opened.last_seq), (1, 30));
    assert_eq!(
        replayed(&log, 0).0.len(),
        30,
        "its neighbours know the salt"
    );

    disk.remove(&middle).unwrap();
    let (log, opened) = open(&disk);
    assert_eq!((opened.missing, opened.last_seq), (1, 30));
    let (records, counts) = replayed(&log, 0);
    assert_eq!((records.len(), counts.gaps, counts.missing), (24, 1, 6));
}

#[test]
fn a_log_of_a_newer_saimon_is_refused_and_left_alone() {
    let disk = Disk::default();
    let (log, _) = open(&disk);
    fill(&log, 8);
    drop(log);
    disk.shorten(1);
    let (newest, len) = disk.newest();
    for copy in [0, 64] {
        // Its version, and its checksum as of that version.
        disk.flip(&newest, (copy + 8) * 8 + 7);
        disk.flip(&newest, (copy + 36) * 8);
    }
    let refused = Log::open(Box::new(disk.clone()), options(), Arc::default());
    let error = refused.unwrap_err();
    assert!(
        matches!(
            error,
            LogError::Version {
                found: 129,
                known: 1,
                ..
            }
        ),
        "{error}"
    );
    assert_eq!(disk.newest(), (newest, len));
}

#[test]
fn foreign_files_and_empty_segments_are_no_records() {
    let disk = Disk::default();
    disk.write("notes.txt", b"hello");
    disk.write(&super::segment::name(9), b"");
    disk.write(&super::segment::name(10), &[0xf5; 5000]);
    let (log, opened) = open(&disk);
    assert_eq!(
        (opened.segments, opened.headless, opened.last_seq),
        (2, 2, 0)
    );
    fill(&log, 2);
    drop(log);
    assert_eq!(seqs(&open(&disk).0), [1, 2]);
    assert!(disk.names().contains(&"notes.txt".to_owned()));
}

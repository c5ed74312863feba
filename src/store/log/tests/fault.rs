//! Disks that are full, fail at any one operation, or fail to sync.

use std::io::ErrorKind;

use super::*;

#[test]
fn a_full_disk_refuses_and_goes_on_by_itself_when_there_is_room() {
    for room in 0..3000 {
        let disk = Disk::default();
        let (log, _) = open(&disk);
        disk.limit(Some(room));
        let mut refused = 0;
        for _ in 0..6 {
            let next = log.last_seq() + 1;
            match log.append(1, &[&payload(next)]) {
                Ok(seq) => assert_eq!(seq, next),
                Err(LogError::NoSpace { .. }) => refused += 1,
                Err(e) => panic!("{e}"),
            }
        }
        assert!(refused > 0);
        disk.heal();
        fill(&log, 3);
        let last = log.last_seq();
        drop(log);
        let (log, _) = open(&disk);
        let (records, counts) = replayed(&log, 1);
        assert_eq!(records.len() as u64, last, "room {room}");
        assert_eq!(
            (counts.broken, counts.gaps),
            (0, 0),
            "nothing half written is left"
        );
    }
}

#[test]
fn short_writes_are_gone_on_with() {
    let disk = Disk::default();
    let (log, _) = open(&disk);
    disk.short_writes(Some(13));
    fill(&log, 8);
    drop(log);
    assert_eq!(seqs(&open(&disk).0), (1..=8).collect::<Vec<_>>());
}

#[test]
fn any_failing_operation_costs_at_most_the_append_that_met_it() {
    for n in 0..40 {
        for truncate_fails in [false, true] {
            let disk = Disk::default();
            let (log, _) = open(&disk);
            disk.short_writes(Some(400));
            disk.fail_truncate(truncate_fails);
            disk.fail_in(n, ErrorKind::PermissionDenied);
            let mut kept = Vec::new();
            for _ in 0..16 {
                let next = log.last_seq() + 1;
                match log.append(1, &[&payload(next)]) {
                    Ok(seq) => kept.push(seq),
                    Err(LogError::Io { .. }) => {}
                    Err(e) => panic!("{e}"),
                }
            }
            assert!(kept.len() >= 15, "operation {n}");
            drop(log);
            assert_eq!(seqs(&open(&disk).0), kept, "operation {n}");
        }
    }
}

#[tokio::test]
async fn a_failed_sync_is_never_made_good_by_a_second_one_on_the_same_file() {
    let disk = Disk::default();
    let asked = Options {
        sync: SyncMode::Interval,
        interval: std::time::Duration::from_secs(3600),
        ..options()
    };
    let (log, _) = open_with(&disk, asked);
    fill(&log, 2);
    log.sync().unwrap();
    fill(&log, 2);
    disk.fail_syncs(1);
    assert!(matches!(log.sync(), Err(LogError::Sync { .. })));
    assert!(log.sync_error().is_some());
    fill(&log, 2);
    log.sync().unwrap();
    assert_eq!(log.sync_error(), None);
    for seq in 1..=6 {
        let lost = (3..=4).contains(&seq);
        assert_eq!(log.synced(seq).await.is_err(), lost, "record {seq}");
    }
    assert_eq!(log.synced_through(), 6);
    assert_eq!(log.inner.metrics.unsynced.get(), 2);
    assert_eq!(disk.names().len(), 2, "a new segment");

    disk.power_cut(&mut fastrand::Rng::with_seed(1));
    let (log, _) = open(&disk);
    let (records, counts) = replayed(&log, 1);
    assert_eq!(
        records.iter().map(|r| r.0).collect::<Vec<_>>(),
        [1, 2, 5, 6]
    );
    assert_eq!((counts.gaps, counts.missing), (1, 2));
}

#[tokio::test]
async fn a_folder_that_cannot_be_synced_makes_new_segments_unsafe() {
    let disk = Disk::default();
    let asked = Options {
        sync: SyncMode::Interval,
        interval: std::time::Duration::from_secs(3600),
        ..options()
    };
    let (log, _) = open_with(&disk, asked);
    fill(&log, 1);
    disk.fail_sync_names(true);
    log.sync().unwrap_err();
    disk.heal();
    fill(&log, 1);
    log.sync().unwrap();
    assert!(log.synced(1).await.is_err());
    log.synced(2).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_wait_for_one_sync() {
    let disk = Disk::default();
    let always = Options {
        sync: SyncMode::Always,
        ..options()
    };
    let log = Arc::new(open_with(&disk, always).0);
    let held = log.inner.rounds.lock().unwrap();
    let waiting: Vec<_> = (0..50)
        .map(|_| {
            let seq = log.append(1, &[b"x"]).unwrap();
            let log = Arc::clone(&log);
            tokio::spawn(async move { log.synced(seq).await })
        })
        .collect();
    drop(held);
    for task in waiting {
        task.await.unwrap().unwrap();
    }
    assert_eq!(log.synced_through(), 50);
    assert!(disk.syncs() <= 2, "{}", disk.syncs());
}

#[test]
fn a_closed_log_is_synced() {
    let disk = Disk::default();
    let asked = Options {
        sync: SyncMode::Interval,
        interval: std::time::Duration::from_secs(3600),
        ..options()
    };
    let (log, _) = open_with(&disk, asked);
    fill(&log, 9);
    drop(log);
    disk.power_cut(&mut fastrand::Rng::with_seed(2));
    assert_eq!(seqs(&open(&disk).0).len(), 9);
}

//! On a real disk.

use std::time::Duration;

use super::super::files::Dir;
use super::*;

#[tokio::test]
async fn a_real_folder_keeps_what_a_killed_process_appended() {
    let temp = tempfile::tempdir().unwrap();
    let path = temp.path().join("log");
    let always = Options {
        sync: SyncMode::Always,
        ..options()
    };
    let open = || {
        let dir = Dir::open(&path).unwrap();
        Log::open(Box::new(dir), always.clone(), Arc::default()).unwrap()
    };
    let (log, _) = open();
    fill(&log, 20);
    log.synced(20).await.unwrap();
    assert!(log.drop_through(6).unwrap() > 0);
    assert_eq!(
        Dir::open(&path).unwrap_err(),
        LogError::Locked { dir: path.clone() }
    );
    drop(log);
    // Half a record, as a process killed in a write leaves it.
    let newest = std::fs::read_dir(&path)
        .unwrap()
        .map(|e| e.unwrap().path())
        .max()
        .unwrap();
    let mut bytes = std::fs::read(&newest).unwrap();
    bytes.extend_from_within(128..400);
    std::fs::write(&newest, &bytes).unwrap();
    let (log, opened) = open();
    assert_eq!((opened.last_seq, opened.cut_bytes), (20, 272));
    let (records, counts) = replayed(&log, 7);
    assert_eq!((records.len(), counts.gaps), (14, 0));
    assert!(
        records
            .iter()
            .all(|(seq, _, bytes)| *bytes == payload(*seq))
    );
    fill(&log, 1);
}

#[tokio::test]
async fn the_interval_syncs_without_being_asked() {
    let disk = Disk::default();
    let often = Options {
        sync: SyncMode::Interval,
        interval: Duration::from_millis(1),
        ..options()
    };
    let (log, _) = open_with(&disk, often);
    fill(&log, 3);
    log.synced(3).await.unwrap();
    assert!(disk.syncs() > 0);
}

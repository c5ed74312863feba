use super::*;

const DAY_MS: i64 = 86_400_000;

fn once(selector: &str, start_ms: i64, end_ms: i64) -> Wanted {
    Wanted {
        selector: selector.to_owned(),
        start_ms: Some(start_ms),
        end_ms: Some(end_ms),
        ..Wanted::default()
    }
}

#[test]
fn windows_are_kept_end_and_are_forgotten_long_after() {
    let folder = tempfile::tempdir().unwrap();
    let all = Maintenance::open(folder.path(), 0).unwrap();
    let first = all.add(once("{job=\"a\"}", 0, DAY_MS), 1000).unwrap();
    assert_eq!((first.number, first.counts_ms), (1, 1000 + SETTLES_MS));
    let labels = |job: &str| labels::encode([("job", job)]);
    // What came before it was known is not of it.
    assert!(all.holding(&labels("a"), 2999).is_empty());
    assert_eq!(all.holding(&labels("a"), 3000), [first]);
    assert!(all.holding(&labels("b"), 3000).is_empty());
    let recurs = Wanted {
        selector: "up".to_owned(),
        schedule: Some("0 2 * * *".to_owned()),
        duration_ms: Some(3_600_000),
        ..Wanted::default()
    };
    all.configure(std::slice::from_ref(&recurs), 2000).unwrap();
    all.configure(std::slice::from_ref(&recurs), 3000).unwrap();
    assert_eq!(all.list(5000).len(), 2);
    assert!(matches!(
        all.end(2, 3000),
        Err(MaintenanceError::Configured)
    ));
    let ended = all.end(1, 10_000).unwrap().unwrap();
    assert_eq!(ended.ended_ms, Some(12_000));
    assert!(all.end(7, 10_000).unwrap().is_none());
    let kept = Maintenance::open(folder.path(), 11_000).unwrap();
    let stages = |all: &Maintenance, now_ms| -> Vec<_> {
        all.list(now_ms)
            .iter()
            .map(|(w, s)| (w.number, *s))
            .collect()
    };
    let wanted = [(2, Stage::Pending), (1, Stage::Active)];
    assert_eq!(stages(&kept, 11_000), wanted);
    assert_eq!(stages(&kept, 12_000)[1], (1, Stage::Expired));
    assert_eq!(stages(&kept, 2 * 3_600_000)[0], (2, Stage::Active));
    // What recurs goes on beyond what was known at first.
    let later = 20 * DAY_MS + 2 * 3_600_000;
    assert_eq!(kept.tick(later), 1);
    assert_eq!(stages(&kept, later)[0], (2, Stage::Active));
    kept.configure(&[], later).unwrap();
    assert_eq!(stages(&kept, later + SETTLES_MS)[0], (2, Stage::Expired));
    kept.add(once("up", 0, 100 * DAY_MS), 70 * DAY_MS).unwrap();
    assert_eq!(stages(&kept, 70 * DAY_MS), [(3, Stage::Pending)]);
}

#[test]
fn there_are_never_more_than_the_limit() {
    let folder = tempfile::tempdir().unwrap();
    let all = Maintenance::open(folder.path(), 0).unwrap();
    let many = vec![once("up", 10, DAY_MS); WINDOWS_MAX];
    all.configure(&many, 0).unwrap();
    let more = all.add(once("up", 10, DAY_MS), 0);
    assert!(matches!(more, Err(MaintenanceError::Full)));
    // Those that are over make room.
    all.add(once("up", 10, 3 * DAY_MS), 2 * DAY_MS).unwrap();
    assert_eq!(all.list(2 * DAY_MS).len(), 1);
}

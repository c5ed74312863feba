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

#[test]
fn silences_are_windows_until_their_end_and_follow_it() {
    let folder = tempfile::tempdir().unwrap();
    let all = Maintenance::open(folder.path(), 0).unwrap();
    let silence = |id: &str, selector: &str, end_ms| (id.to_owned(), once(selector, 0, end_ms));
    let (a, b) = ("{job=\"a\"}", "{job=\"b\"}");
    let both = vec![silence("x", a, DAY_MS), silence("y", b, 60_000)];
    assert_eq!(all.silence(both.clone(), 1000).unwrap(), (2, 0));
    assert_eq!(all.silence(both, 2000).unwrap(), (2, 0));
    let shown = |all: &Maintenance, now_ms| -> Vec<_> {
        let list = all.list(now_ms);
        list.iter()
            .map(|(w, stage)| (w.number, w.wanted.end_ms, w.ended_ms, *stage))
            .collect()
    };
    let x = (1, Some(DAY_MS), None, Stage::Active);
    assert_eq!(
        shown(&all, 4000),
        [(2, Some(60_000), None, Stage::Active), x]
    );
    assert!(matches!(all.end(1, 4000), Err(MaintenanceError::Silenced)));
    // One is extended in time, as a tool does that keeps silences alive, and stays what it is.
    let longer = vec![silence("x", a, DAY_MS), silence("y", b, 120_000)];
    all.silence(longer, 50_000).unwrap();
    assert_eq!(
        shown(&all, 100_000)[0],
        (2, Some(120_000), None, Stage::Active)
    );
    assert_eq!(shown(&all, 120_000)[0].3, Stage::Expired);
    // After its end it is another; what lies between was learned from.
    let again = vec![silence("x", a, DAY_MS), silence("y", b, 300_000)];
    all.silence(again.clone(), 150_000).unwrap();
    assert_eq!(
        shown(&all, 160_000)[0],
        (3, Some(300_000), None, Stage::Active)
    );
    assert!(
        all.holding(&labels::encode([("job", "b")]), 151_999)
            .is_empty()
    );
    // Kept, and ended when it is no longer said; one of the API stays.
    all.add(once("up", 0, DAY_MS), 160_000).unwrap();
    let kept = Maintenance::open(folder.path(), 170_000).unwrap();
    assert_eq!(kept.list(170_000), all.list(170_000));
    kept.silence(again[..1].to_vec(), 200_000).unwrap();
    let ended = (3, Some(300_000), Some(202_000), Stage::Expired);
    assert_eq!(shown(&kept, 202_000)[1], ended);
    assert_eq!(shown(&kept, 202_000)[3], x);
    // With no room for them, those that there are stay.
    let many = (0..WINDOWS_MAX).map(|i| silence(&i.to_string(), a, DAY_MS));
    let many: Vec<_> = std::iter::once(again[0].clone()).chain(many).collect();
    assert_eq!(kept.silence(many, 210_000).unwrap(), (WINDOWS_MAX - 1, 2));
}

#[test]
fn what_an_earlier_version_wrote_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let window = serde_json::json!({
        "number": 7, "source": "api", "created_ms": 5, "counts_ms": 2005, "ended_ms": null,
        "wanted": {
            "selector": "up", "start_ms": 0, "end_ms": DAY_MS, "schedule": null,
            "duration_ms": null, "time_zone": null, "alert": false, "learn": false,
            "author": "ada", "comment": null,
        },
    });
    let all = serde_json::json!({"last_number": 9, "windows": [window]});
    let notes = Notes::new(&folder.path().join(FILE), FILE, 1);
    notes.write(&all).unwrap();
    let read = Maintenance::open(folder.path(), 3000).unwrap();
    assert_eq!(read.list(3000)[0].0.silence, None);
    assert_eq!(read.add(once("up", 0, DAY_MS), 3000).unwrap().number, 10);
}

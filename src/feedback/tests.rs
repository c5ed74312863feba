use super::*;
use crate::config::Severity;
use crate::engine::record::{Peak, RecordState};

fn record(start_ms: i64, reason: Reason) -> Record {
    Record {
        id: RecordId {
            start_ms,
            fingerprint: fingerprint(b"some labels"),
        },
        labels: b"some labels".as_slice().into(),
        partition: 0,
        state: RecordState::Active,
        severity: Severity::Low,
        side: Side::Up,
        reason,
        active_ms: None,
        end_ms: None,
        ended_by: None,
        peak: Peak {
            t_ms: start_ms,
            value: 1.0,
            score: 0.8,
            rarity: 3.0,
            deviation: 1.2,
            expected: 0.0,
            band: None,
            parts: Vec::new(),
        },
        as_of_ms: start_ms,
        absent: false,
        exemplars: Vec::new(),
    }
}

fn said(verdict: Verdict) -> Said {
    Said {
        verdict,
        author: Some("ada".to_owned()),
        comment: None,
    }
}

fn factor(of: &Feedbacks, reason: Reason) -> f64 {
    let moved = of.moved(fingerprint(b"some labels"));
    moved
        .iter()
        .find(|(r, _)| *r == reason)
        .map_or(1.0, |m| m.1)
}

#[test]
fn rejections_raise_confirmations_in_a_row_lower_and_undoing_undoes() {
    let folder = tempfile::tempdir().unwrap();
    let all = Feedbacks::open(folder.path(), 0).unwrap();
    for i in 0..2 {
        let given = all
            .give(
                &record(i, Reason::LevelShift),
                said(Verdict::Rejected),
                1000 * i,
            )
            .unwrap();
        assert_eq!(given.counts_ms, 1000 * i + SETTLES_MS);
    }
    let raised = STEP.powi(2);
    assert!((factor(&all, Reason::LevelShift) - raised).abs() < 1e-6);
    assert!((factor(&all, Reason::Spike) - raised).abs() < 1e-6);
    assert_eq!(factor(&all, Reason::Drop), 1.0);
    // Said again of the same anomaly, it is another word and no second one.
    all.give(
        &record(1, Reason::LevelShift),
        said(Verdict::Confirmed),
        5000,
    )
    .unwrap();
    assert!((factor(&all, Reason::Spike) - STEP).abs() < 1e-6);
    for i in 2..4 {
        all.give(&record(i, Reason::Spike), said(Verdict::Confirmed), 6000)
            .unwrap();
    }
    assert_eq!(factor(&all, Reason::Spike), 1.0);
    for i in 4..30 {
        all.give(&record(i, Reason::Spike), said(Verdict::Confirmed), 7000)
            .unwrap();
    }
    assert!((factor(&all, Reason::Spike) - STEP.powi(LEVEL_MIN)).abs() < 1e-6);
    for i in 30..90 {
        all.give(&record(i, Reason::Drop), said(Verdict::Rejected), 8000)
            .unwrap();
    }
    assert!((factor(&all, Reason::Drop) / STEP.powi(LEVEL_MAX) - 1.0).abs() < 1e-6);
    // Kept, with where the lines have been.
    let kept = Feedbacks::open(folder.path(), 0).unwrap();
    assert_eq!(kept.list(), all.list());
    assert_eq!(kept.lines(), all.lines());
    let moved = kept.lines().into_values().next().unwrap();
    assert!(
        moved.is_sorted_by(|a, b| a.0 < b.0) && moved.len() > 4,
        "{moved:?}"
    );
    for feedback in kept.list() {
        let gone = kept.undo(feedback.anomaly, 9000).unwrap();
        assert_eq!(gone.as_ref(), Some(&feedback));
        assert_eq!(kept.undo(feedback.anomaly, 9000).unwrap(), None);
    }
    assert!(kept.moved(fingerprint(b"some labels")).is_empty());
    assert!(kept.lines().into_values().all(|m| m.len() <= MOVES_MAX));
}

#[test]
fn what_is_too_long_or_too_much_or_cannot_be_kept_is_not_taken() {
    let folder = tempfile::tempdir().unwrap();
    let all = Feedbacks::open(folder.path(), 0).unwrap();
    let long = Said {
        comment: Some("x".repeat(COMMENT_MAX + 1)),
        ..said(Verdict::Rejected)
    };
    let refused = all.give(&record(1, Reason::Spike), long, 0);
    assert!(matches!(refused, Err(FeedbackError::TooLong { .. })));
    // A folder where the file is to be.
    std::fs::create_dir_all(folder.path().join("feedback.new")).unwrap();
    let refused = all.give(&record(1, Reason::Spike), said(Verdict::Rejected), 0);
    assert!(matches!(refused, Err(FeedbackError::Unkept(_))));
    assert!(all.list().is_empty() && all.lines().is_empty());
}

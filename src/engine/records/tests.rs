use super::*;
use crate::config::Severity;
use crate::model::forest::tier::News;
use crate::model::onset::OnsetOutput;
use crate::score::board::{Reason, Side};
use crate::score::judge::Evidence;
use crate::series::labels;

const WAIT: Duration = Duration::ZERO;

fn series(name: &str) -> Vec<u8> {
    labels::encode([("__name__", name)])
}

fn alarm(state: AlarmState) -> Alarm {
    Alarm {
        state,
        severity: Severity::Low,
        side: Side::Up,
        reason: Reason::Spike,
    }
}

/// A sample so far over the line, of an anomaly in this state.
fn judged(deviation: f64, state: Option<AlarmState>, change: Option<Change>) -> Judgement {
    Judgement {
        score: Some(0.8),
        alarm: state.map(alarm),
        alerts: true,
        change,
        evidence: Some(Evidence {
            size: deviation as f32,
            deviation,
            own: deviation,
            expected: 1.0,
            side: Side::Up,
            shares: [0.5, 0.0, 0.25, 0.125, 0.125],
            rule: None,
        }),
        rarity: 4.0,
        severity: (deviation >= 1.0).then_some(Severity::Low),
        onset: OnsetOutput {
            event: 0.0,
            evidence: 0.0,
            return_period: 1.0,
            family: None,
        },
        forest: News::default(),
        z: 3.0,
    }
}

fn one(known: Known) -> (RecordTap, RecordOutlet) {
    let (mut taps, outlet) = record_taps(1, known);
    (taps.remove(0), outlet)
}

struct Feed<'a>(&'a mut RecordTap, &'a [u8]);

impl Feed<'_> {
    fn sample(&mut self, t_ms: i64, deviation: f64, state: Option<AlarmState>) {
        self.change(t_ms, deviation, state, None);
    }

    fn change(
        &mut self,
        t_ms: i64,
        deviation: f64,
        state: Option<AlarmState>,
        change: Option<Change>,
    ) {
        let x = Point {
            t_ms,
            value: t_ms as f64,
        };
        let judged = judged(deviation, state, change);
        self.0.judged(7, self.1, self.1, x, &judged, None);
    }
}

/// All that was handed over.
fn got(tap: &mut RecordTap, outlet: &RecordOutlet) -> Vec<Update> {
    tap.flush();
    let mut all = Vec::new();
    while let Ok(Some(updates)) = outlet.next(WAIT) {
        all.extend(updates.all.iter().cloned());
        outlet.done(&updates);
    }
    all
}

fn records(all: &[Update]) -> Vec<&Record> {
    let of = all.iter().filter_map(|update| match update {
        Update::Put(record) => Some(&**record),
        Update::Forget(_) => None,
    });
    of.collect()
}

use AlarmState::{Active, Pending};

#[test]
fn one_anomaly_is_one_record_with_its_peak() {
    let (mut tap, outlet) = one(Known::default());
    let labels = series("m");
    let mut feed = Feed(&mut tap, &labels);
    feed.sample(10, 1.1, Some(Pending));
    feed.sample(20, 3.0, Some(Active));
    feed.sample(30, 2.0, Some(Active));
    feed.sample(40, 0.2, Some(Active));
    feed.change(50, 0.1, None, Some(Change::Ended));
    let all = got(&mut tap, &outlet);
    let all = records(&all);
    assert_eq!(all.len(), 1);
    let r = all[0];
    assert_eq!(
        (r.id.start_ms, r.active_ms, r.end_ms),
        (10, Some(20), Some(50))
    );
    assert_eq!(
        (r.state, r.ended_by),
        (RecordState::Resolved, Some(EndedBy::Samples))
    );
    assert_eq!(
        (r.peak.t_ms, r.peak.deviation, r.peak.value),
        (20, 3.0, 20.0)
    );
    let shares: Vec<f32> = r.peak.parts.iter().map(|p| p.1).collect();
    assert_eq!(shares, [0.5, 0.25, 0.125]);
    assert_eq!(r.partition, 7);
    assert!(tap.open.is_empty() && tap.is_settled(tap.mark()));
}

#[test]
fn what_was_never_confirmed_is_forgotten() {
    let (mut tap, outlet) = one(Known::default());
    let labels = series("m");
    Feed(&mut tap, &labels).sample(10, 1.1, Some(Pending));
    let first = got(&mut tap, &outlet);
    assert_eq!(records(&first)[0].state, RecordState::Pending);
    Feed(&mut tap, &labels).sample(20, 0.1, None);
    let then = got(&mut tap, &outlet);
    assert_eq!(then, [Update::Forget(records(&first)[0].id)]);
}

#[test]
fn a_sample_that_changes_nothing_is_not_handed_over() {
    let (mut tap, outlet) = one(Known::default());
    let labels = series("m");
    Feed(&mut tap, &labels).sample(10, 2.0, Some(Active));
    assert_eq!(got(&mut tap, &outlet).len(), 1);
    Feed(&mut tap, &labels).sample(20, 1.5, Some(Active));
    assert!(got(&mut tap, &outlet).is_empty());
    Feed(&mut tap, &labels).sample(30, 2.5, Some(Active));
    assert_eq!(got(&mut tap, &outlet).len(), 1);
}

#[test]
fn a_full_channel_delays_records_and_loses_none() {
    let (mut tap, outlet) = one(Known::default());
    for i in 0..3_000 {
        let labels = series(&format!("m{i}"));
        Feed(&mut tap, &labels).sample(10, 1.5, Some(Active));
        tap.flush();
    }
    let labels = series("m2999");
    Feed(&mut tap, &labels).sample(20, 0.0, None);
    let mark = tap.mark();
    assert!(!tap.is_settled(mark));
    let mut last = HashMap::new();
    while !tap.is_settled(mark) {
        for update in got(&mut tap, &outlet) {
            if let Update::Put(record) = update {
                last.insert(record.id, record);
            }
        }
    }
    assert_eq!(last.len(), 3_000);
    let ended = last.values().filter(|r| r.end_ms == Some(20)).count();
    assert_eq!((ended, tap.dropped), (1, 0));
}

#[test]
fn a_replay_passes_over_what_records_have_and_goes_on_after_it() {
    let (mut tap, outlet) = one(Known::default());
    let labels = series("m");
    let mut feed = Feed(&mut tap, &labels);
    feed.sample(10, 1.1, Some(Pending));
    feed.sample(20, 3.0, Some(Active));
    let before = got(&mut tap, &outlet);
    let mut known = Known::default();
    known.add(records(&before)[0].clone());

    let (mut tap, outlet) = one(known);
    tap.begin(true);
    assert!(tap.wants_all());
    let mut feed = Feed(&mut tap, &labels);
    // A cut in the middle: the first sample is not seen again.
    feed.sample(20, 3.0, Some(Active));
    feed.sample(30, 4.0, Some(Active));
    tap.begin(false);
    Feed(&mut tap, &labels).change(40, 0.0, None, Some(Change::Ended));
    let after = got(&mut tap, &outlet);
    let after = records(&after);
    assert_eq!(after.len(), 1);
    let r = after[0];
    assert_eq!(
        (r.id.start_ms, r.active_ms, r.end_ms),
        (10, Some(20), Some(40))
    );
    assert_eq!(r.peak.t_ms, 30);
    assert!(!tap.wants_all());

    // One that was over is not begun again by its last samples.
    let mut known = Known::default();
    known.add(r.clone());
    let (mut tap, outlet) = one(known);
    tap.begin(true);
    Feed(&mut tap, &labels).sample(30, 4.0, Some(Active));
    Feed(&mut tap, &labels).change(40, 0.0, None, Some(Change::Ended));
    assert!(got(&mut tap, &outlet).is_empty());
}

#[test]
fn silence_ends_an_anomaly_until_it_goes_on() {
    let (mut tap, outlet) = one(Known::default());
    let labels = series("m");
    Feed(&mut tap, &labels).sample(10, 2.0, Some(Active));
    tap.silent(&labels, Some(15));
    tap.silent(&labels, Some(15));
    let silent = got(&mut tap, &outlet);
    let r = records(&silent)[0].clone();
    assert_eq!((r.end_ms, r.ended_by), (Some(15), Some(EndedBy::Silence)));

    let mut known = Known::default();
    known.add(r);
    let (mut tap, outlet) = one(known);
    Feed(&mut tap, &labels).sample(500, 1.0, Some(Active));
    let again = got(&mut tap, &outlet);
    let r = records(&again)[0];
    assert_eq!(
        (r.id.start_ms, r.state, r.end_ms),
        (10, RecordState::Active, None)
    );
}

#[test]
fn a_short_silence_leaves_no_trace_and_a_long_one_was_the_end() {
    for (t_ms, end_ms) in [(900, 900), (4_000_000, 15)] {
        let (mut tap, outlet) = one(Known::default());
        let labels = series("m");
        Feed(&mut tap, &labels).sample(10, 2.0, Some(Active));
        tap.silent(&labels, Some(15));
        Feed(&mut tap, &labels).change(t_ms, 0.0, None, Some(Change::Ended));
        let all = got(&mut tap, &outlet);
        let r = records(&all)[0];
        assert_eq!(
            (r.end_ms, r.ended_by),
            (Some(end_ms), Some(EndedBy::Samples))
        );
    }
}

#[test]
fn an_absence_is_a_record_of_its_own_that_the_next_sample_ends() {
    let (mut tap, outlet) = one(Known::default());
    let labels = series("m");
    let absent = Alarm {
        reason: Reason::Absent,
        ..alarm(Active)
    };
    tap.absent(7, &labels, 100, 0.8, absent);
    tap.absent(7, &labels, 100, 0.8, absent);
    let first = got(&mut tap, &outlet);
    let r = records(&first)[0].clone();
    assert_eq!(
        (r.id.start_ms, r.reason, r.absent),
        (101, Reason::Absent, true)
    );

    // Also after a restart, with a sample that has no anomaly.
    let mut known = Known::default();
    known.add(r);
    let (mut tap, outlet) = one(known);
    assert!(tap.wants_all());
    Feed(&mut tap, &labels).sample(900, 0.0, None);
    let then = got(&mut tap, &outlet);
    let r = records(&then)[0];
    assert_eq!((r.id.start_ms, r.end_ms), (101, Some(900)));
}

#[test]
fn who_is_not_heard_after_a_start_fell_silent() {
    let (mut tap, outlet) = one(Known::default());
    let labels = series("m");
    Feed(&mut tap, &labels).sample(10, 2.0, Some(Active));
    let mut known = Known::default();
    known.add(records(&got(&mut tap, &outlet))[0].clone());
    let (mut tap, outlet) = one(known);
    tap.tick(1000);
    tap.tick(1000 + SEED_MS);
    assert!(got(&mut tap, &outlet).is_empty());
    tap.tick(1001 + SEED_MS);
    let then = got(&mut tap, &outlet);
    assert_eq!(records(&then)[0].ended_by, Some(EndedBy::Silence));
    assert!(!tap.wants_all());
}

#[test]
fn there_are_never_more_than_there_is_room_for() {
    let (mut tap, outlet) = one(Known::default());
    for i in 0..OPEN_MAX + 10 {
        let labels = series(&format!("m{i}"));
        let began = Change::Began(alarm(Active));
        Feed(&mut tap, &labels).change(10, 1.5, Some(Active), Some(began));
    }
    assert_eq!(tap.open.len(), OPEN_MAX);
    let mut dropped = tap.flush();
    for _ in 0..OPEN_MAX {
        if got(&mut tap, &outlet).is_empty() {
            break;
        }
        dropped += tap.flush();
    }
    assert_eq!(dropped, 10);
    // One that goes on gets its record when there is room again.
    let first = series("m0");
    Feed(&mut tap, &first).change(20, 0.0, None, Some(Change::Ended));
    got(&mut tap, &outlet);
    let late = series(&format!("m{}", OPEN_MAX + 5));
    Feed(&mut tap, &late).sample(30, 1.5, Some(Active));
    let all = got(&mut tap, &outlet);
    assert_eq!(records(&all)[0].id.start_ms, 30);
}

#[test]
fn an_anomaly_has_the_exemplars_near_its_beginning_once() {
    use crate::engine::record::Exemplar;
    let exemplar = |t_ms| Exemplar {
        t_ms,
        value: 0.5,
        labels: labels::encode([("trace_id", "a")]).into(),
    };
    let (mut tap, outlet) = one(Known::default());
    // Of a statistic: those of its histogram, which has another name in the records.
    let labels = series("latency");
    let home = family::home(&series("latency_bucket"));
    tap.exemplars.put(home, exemplar(999_000));
    let times = |all: &[Update]| {
        let last = records(all).last().map(|r| &r.exemplars).cloned();
        last.map(|all| all.iter().map(|e| e.t_ms).collect::<Vec<_>>())
    };
    Feed(&mut tap, &labels).sample(1_000_000, 2.0, Some(Pending));
    assert_eq!(times(&got(&mut tap, &outlet)), Some(vec![999_000]));
    tap.exemplars.put(home, exemplar(1_010_000));
    tap.exemplars.put(home, exemplar(1_060_001));
    // No other peak, nothing graver.
    Feed(&mut tap, &labels).sample(1_015_000, 1.5, Some(Pending));
    let before = got(&mut tap, &outlet);
    assert_eq!(times(&before), Some(vec![999_000, 1_010_000]));
    Feed(&mut tap, &labels).sample(1_030_000, 1.5, Some(Pending));
    assert_eq!(got(&mut tap, &outlet), []);
    // Started again, and all of it once more.
    let mut known = Known::default();
    let record = records(&before).last().map(|r| (*r).clone());
    known.add(record.unwrap());
    let (mut tap, outlet) = one(known);
    tap.begin(true);
    tap.exemplars.put(home, exemplar(1_010_000));
    Feed(&mut tap, &labels).sample(1_000_000, 2.0, Some(Pending));
    Feed(&mut tap, &labels).sample(1_015_000, 1.5, Some(Pending));
    assert_eq!(got(&mut tap, &outlet), []);
    Feed(&mut tap, &labels).sample(1_045_000, 1.5, Some(Active));
    let after = got(&mut tap, &outlet);
    assert_eq!(times(&after), Some(vec![999_000, 1_010_000]));
    // Far from the beginning, nobody looks any more.
    tap.exemplars.put(home, exemplar(1_000_500));
    Feed(&mut tap, &labels).sample(1_000_001 + LOOKS_MS, 1.5, Some(Active));
    assert_eq!(got(&mut tap, &outlet), []);
}

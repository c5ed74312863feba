use std::collections::BTreeSet;
use std::time::Duration;

use super::gather::{Gatherer, Keys, News};
use super::view::IncidentView;
use super::*;
use crate::config::IncidentsConfig;
use crate::engine::incident::spec::IncidentSpec;
use crate::engine::record::{Peak, Record};
use crate::score::board::{Reason, Side};
use crate::series::fingerprint::fingerprint;

const S: i64 = 1000;

fn record(name: &str, instance: &str, start_s: i64, active_s: i64) -> Record {
    let labels = labels::encode([("__name__", name), ("instance", instance), ("job", "node")]);
    Record {
        id: RecordId {
            start_ms: start_s * S,
            fingerprint: fingerprint(&labels),
        },
        labels: labels.into(),
        partition: 0,
        state: RecordState::Active,
        severity: Severity::Low,
        side: Side::Up,
        reason: Reason::Spike,
        active_ms: Some(active_s * S),
        end_ms: None,
        ended_by: None,
        peak: Peak {
            t_ms: start_s * S,
            value: 1.0,
            score: 0.8,
            rarity: 3.0,
            deviation: 1.2,
            expected: 0.0,
            band: None,
            parts: Vec::new(),
        },
        as_of_ms: active_s * S,
        absent: false,
        exemplars: Vec::new(),
    }
}

/// Records, and what the keeper does with them.
struct House {
    gatherer: Gatherer,
    spec: IncidentSpec,
    index: Index,
    incidents: Incidents,
    opened: u64,
    merged: u64,
}

impl House {
    fn new() -> Self {
        let spec = IncidentSpec::try_from(&IncidentsConfig {
            by: vec!["instance".to_owned(), "job,__name__".to_owned()],
            within: Duration::from_secs(60),
            spread: Duration::from_secs(180),
            ..IncidentsConfig::default()
        });
        let spec = spec.unwrap();
        Self {
            gatherer: Gatherer::new(spec.clone()),
            spec,
            index: Index::default(),
            incidents: Incidents::default(),
            opened: 0,
            merged: 0,
        }
    }

    fn put(&mut self, record: &Record) {
        self.put_learned(record, &[]);
    }

    fn put_learned(&mut self, record: &Record, learned: &[u64]) {
        self.index.put(record);
        let keys = Keys {
            labels: &self.spec.keys(&record.labels),
            learned,
        };
        self.gatherer
            .take(record.id, record.active_ms.unwrap(), keys);
    }

    /// One that was on record before a restart, and its incident.
    fn know(&mut self, record: &Record, learned: &[u64]) {
        self.index.put(record);
        let id = self.incidents.of(record.id).unwrap();
        let known = (id, self.incidents.get(id).unwrap().learned);
        let keys = Keys {
            labels: &self.spec.keys(&record.labels),
            learned,
        };
        self.gatherer
            .known(record.id, record.active_ms.unwrap(), keys, known);
    }

    fn follow(&mut self, news: News, touched: &[RecordId]) {
        let touched: BTreeSet<_> = touched
            .iter()
            .filter_map(|id| self.incidents.of(*id))
            .collect();
        let (changed, opened, merged) = self.incidents.changes(&self.index, news, &touched);
        self.opened += opened;
        self.merged += merged;
        for incident in changed.into_values() {
            self.incidents.put(incident);
        }
    }

    /// All of these, then what they make.
    fn take(&mut self, records: &[Record]) {
        for record in records {
            self.put(record);
        }
        self.gatherer.settle();
        let news = self.gatherer.news();
        self.follow(news, &[]);
    }

    fn members(&self) -> Vec<(IncidentState, usize)> {
        let all = self.incidents.all.values();
        all.map(|i| (i.state, i.members.len())).collect()
    }
}

#[test]
fn anomalies_that_begin_together_on_one_instance_are_one_incident() {
    let mut house = House::new();
    let all: Vec<_> = ["a", "b", "c"]
        .iter()
        .map(|name| record(name, "x", 100, 110))
        .collect();
    house.take(&all);
    // Another one that shares nothing, one that began too late, one of the same series.
    house.take(&[
        record("d", "y", 100, 110),
        record("e", "x", 161, 170),
        record("a", "x", 150, 155),
    ]);
    assert_eq!(house.members(), [(IncidentState::Open, 5)]);
    let incident = house.incidents.open().next().unwrap();
    assert_eq!((incident.start_ms, incident.opened_ms), (100 * S, 110 * S));
    let first = all.iter().map(|r| r.id).min().unwrap();
    assert_eq!(incident.id, IncidentId(first));
    assert_eq!(house.incidents.of(all[2].id), Some(incident.id));
}

#[test]
fn one_series_alone_or_too_far_apart_is_none() {
    let mut house = House::new();
    house.take(&[record("a", "x", 100, 110), record("a", "x", 130, 140)]);
    house.take(&[record("b", "x", 191, 200)]);
    assert_eq!(house.members(), []);
    // Within reach of both.
    house.take(&[record("c", "x", 160, 170)]);
    assert_eq!(house.members(), [(IncidentState::Open, 4)]);
    // Each is near the one before, and the last too far from the first.
    house.take(&[record("d", "x", 250, 260), record("e", "x", 281, 290)]);
    assert_eq!(house.members(), [(IncidentState::Open, 5)]);
}

#[test]
fn the_order_in_which_they_come_does_not_matter() {
    let all: Vec<_> = (0..8)
        .map(|n| {
            let instance = ["x", "y", "z"][n % 3];
            record(
                ["a", "b", "c", "d"][n % 4],
                instance,
                100 + n as i64 * 7,
                130,
            )
        })
        .collect();
    let mut forward = House::new();
    forward.take(&all);
    let mut random = fastrand::Rng::with_seed(5);
    for _ in 0..20 {
        let mut shuffled = all.clone();
        random.shuffle(&mut shuffled);
        let mut other = House::new();
        other.take(&shuffled);
        assert_eq!(other.incidents.all, forward.incidents.all);
    }
    assert_eq!(forward.members(), [(IncidentState::Open, 8)]);
}

#[test]
fn an_anomaly_that_belongs_to_two_makes_one_of_them() {
    let mut house = House::new();
    house.take(&[record("a", "x", 100, 110), record("b", "x", 100, 111)]);
    house.take(&[record("c", "y", 120, 125), record("d", "y", 120, 126)]);
    assert_eq!((house.members().len(), house.opened), (2, 2));
    let ids: Vec<_> = house.incidents.all.keys().copied().collect();
    // As `a` of the first, on the instance of the second.
    let between = record("a", "y", 130, 140);
    house.take(std::slice::from_ref(&between));
    assert_eq!(
        house.members(),
        [(IncidentState::Open, 5), (IncidentState::Merged, 2)]
    );
    assert_eq!(house.merged, 1);
    let gone = house.incidents.get(ids[1]).unwrap();
    assert_eq!(gone.merged_into, Some(ids[0]));
    assert!(gone.end_ms.is_some());
    assert_eq!(house.incidents.get(ids[0]).unwrap().merged, [ids[1]]);
    for member in &gone.members {
        assert_eq!(house.incidents.of(member.id), Some(ids[0]));
    }
}

#[test]
fn it_closes_with_its_last_anomaly_and_opens_again() {
    let mut house = House::new();
    let (mut a, mut b) = (record("a", "x", 100, 110), record("b", "x", 105, 112));
    b.severity = Severity::High;
    b.peak.score = 0.97;
    house.take(&[a.clone(), b.clone()]);
    let end = |house: &mut House, r: &mut Record, end_s: Option<i64>| {
        r.end_ms = end_s.map(|s| s * S);
        r.state = match end_s {
            Some(_) => RecordState::Resolved,
            None => RecordState::Active,
        };
        house.index.put(r);
        house.follow(News::default(), &[r.id]);
    };
    end(&mut house, &mut b, Some(200));
    let open = house.incidents.open().next().unwrap();
    assert_eq!((open.end_ms, open.severity), (None, Severity::High));
    end(&mut house, &mut a, Some(180));
    let id = IncidentId(a.id);
    let closed = house.incidents.get(id).unwrap();
    assert_eq!(
        (closed.state, closed.end_ms),
        (IncidentState::Closed, Some(200 * S))
    );
    assert_eq!(house.incidents.open().count(), 0);
    end(&mut house, &mut a, None);
    assert_eq!(house.incidents.open().count(), 1);
    end(&mut house, &mut a, Some(300));
    // What has no record any more has no say, and changes nothing.
    house.index.remove(a.id);
    house.index.remove(b.id);
    house.follow(News::default(), &[a.id]);
    let closed = house.incidents.get(id).unwrap();
    assert_eq!(
        (closed.state, closed.end_ms),
        (IncidentState::Closed, Some(300 * S))
    );
    assert_eq!(closed.severity, Severity::High);
    assert_eq!(house.incidents.oldest(301 * S), [id]);
    house.incidents.remove(id);
    assert_eq!((house.incidents.len(), house.incidents.of(a.id)), (0, None));
}

#[test]
fn what_is_known_after_a_restart_goes_on_as_it_was() {
    let all: Vec<_> = ["a", "b", "c", "d"]
        .iter()
        .zip(100..)
        .map(|(name, t)| record(name, "x", t, t + 10))
        .collect();
    let mut whole = House::new();
    whole.take(&all);
    let mut before = House::new();
    before.take(&all[..2]);
    let mut after = House::new();
    for incident in before.incidents.all.values() {
        after.incidents.put(incident.clone());
    }
    for r in &all[..2] {
        after.know(r, &[]);
    }
    after.take(&all[2..]);
    assert_eq!(after.incidents.all, whole.incidents.all);
    assert_eq!(after.opened, 0);
}

#[test]
fn series_that_were_learned_to_move_together_need_share_no_label() {
    let of = |name: &str, instance: &str, t: i64| {
        let mut record = record(name, instance, t, t + 10);
        record.labels = labels::encode([("__name__", name), ("instance", instance)]).into();
        record.id.fingerprint = fingerprint(&record.labels);
        record
    };
    let (a, b, c) = (of("a", "x", 100), of("b", "y", 103), of("c", "z", 104));
    let mut house = House::new();
    house.put_learned(&a, &[71, 72]);
    house.put_learned(&b, &[71, 73]);
    // Moves with others than these.
    house.put_learned(&c, &[99]);
    house.take(&[]);
    assert_eq!(house.members(), [(IncidentState::Open, 2)]);
    let view = IncidentView::of(&house.incidents, &house.index, IncidentId(a.id)).unwrap();
    assert!(view.incident.learned && view.shared.is_empty());
    let said = "2 series are not as expected, some of them here because they were learned to move \
                together; it likely began with a";
    assert!(view.summary().starts_with(said), "{}", view.summary());
    // What shares labels is no news; after a restart another one that moves with the second.
    let mut after = House::new();
    after
        .incidents
        .put(house.incidents.get(view.incident.id).unwrap().clone());
    after.know(&a, &[71, 72]);
    after.know(&b, &[71, 73]);
    let d = of("d", "w", 120);
    after.put_learned(&d, &[73]);
    after.take(&[of("e", "x", 125)]);
    let again = after.incidents.get(view.incident.id).unwrap();
    assert_eq!((again.members.len(), again.learned), (4, true));
    // Too late, as with labels.
    let mut late = House::new();
    late.put_learned(&a, &[71]);
    late.put_learned(&of("b", "y", 161), &[71]);
    late.take(&[]);
    assert!(late.members().is_empty());
    // Those that share a label, too, are not there for this.
    let mut both = House::new();
    both.put_learned(&a, &[71]);
    both.put_learned(&of("b", "x", 103), &[71]);
    both.take(&[]);
    assert!(!both.incidents.open().next().unwrap().learned);
}

#[test]
fn members_and_clusters_are_bounded() {
    let mut house = House::new();
    let many: Vec<_> = (0..gather::MEMBERS_MAX + 7)
        .map(|n| record(&format!("m{n}"), "x", 100, 110))
        .collect();
    house.take(&many);
    let incident = house.incidents.open().next().unwrap();
    assert_eq!(
        (incident.members.len(), incident.left_out),
        (gather::MEMBERS_MAX, 7)
    );
    // As many more that share nothing: the oldest may not grow any more.
    let alone: Vec<_> = (0..5000)
        .map(|n| record(&format!("n{n}"), &format!("i{n}"), 100, 110))
        .collect();
    house.take(&alone);
    let late = [
        record("late", "x", 101, 111),
        record("late too", "i4999", 101, 111),
    ];
    house.take(&late);
    assert_eq!(house.incidents.of(late[0].id), None);
    assert!(house.incidents.of(late[1].id).is_some());
}

#[test]
fn a_view_says_what_is_shared_and_where_it_began() {
    let mut house = House::new();
    let mut strong = record("a", "x", 100, 110);
    strong.peak.score = 0.995;
    let other = record("b", "x", 104, 114);
    house.take(&[strong.clone(), other.clone()]);
    let view = IncidentView::of(&house.incidents, &house.index, IncidentId(strong.id)).unwrap();
    let shared: Vec<_> = view
        .shared
        .iter()
        .map(|(n, v)| (n.as_str(), v.as_str()))
        .collect();
    assert_eq!(shared, [("instance", "x"), ("job", "node")]);
    assert_eq!((view.active, view.series), (2, 2));
    assert_eq!(view.members(&house.index), [strong.id, other.id]);
    assert_eq!(view.origin.as_ref().unwrap().origin.id, strong.id);
    assert_eq!(
        view.summary(),
        "2 series of instance x, job node are not as expected; it likely began with \
         a{instance=\"x\", job=\"node\"}: it began first, 4 s before the next one, and is 4 times its line"
    );
}

#[test]
fn filters_ask_series_and_times() {
    let mut house = House::new();
    house.take(&[record("a", "x", 100, 110), record("b", "x", 105, 112)]);
    house.take(&[record("c", "y", 1000, 1010), record("d", "y", 1001, 1012)]);
    let count = |change: &dyn Fn(&mut IncidentFilter)| {
        let mut filter = IncidentFilter::default();
        change(&mut filter);
        let (ids, more) = house.incidents.page(&house.index, &filter, None, 0, 10);
        assert!(!more);
        ids.len()
    };
    assert_eq!(count(&|_| {}), 2);
    assert_eq!(count(&|f| f.metrics = vec!["b".to_owned()]), 1);
    let selector = Selector::parse("{instance=\"y\"}").unwrap();
    assert_eq!(count(&|f| f.selectors = vec![selector.clone()]), 1);
    assert_eq!(count(&|f| f.to_ms = Some(999 * S)), 1);
    assert_eq!(count(&|f| f.from_ms = Some(5000 * S)), 2);
    assert_eq!(count(&|f| f.states = vec![IncidentState::Closed]), 0);
    assert_eq!(count(&|f| f.severities = vec![Severity::Low]), 2);
    let all = IncidentFilter::default();
    let (first, more) = house.incidents.page(&house.index, &all, None, 0, 1);
    assert!(more);
    let (next, more) = house
        .incidents
        .page(&house.index, &all, first.first().copied(), 0, 1);
    assert!(!more && next[0] < first[0]);
}

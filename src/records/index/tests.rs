use super::*;
use crate::engine::record::Peak;
use crate::records::Records;
use crate::series::fingerprint::fingerprint;

pub(crate) fn record(instance: &str, start_ms: i64, end_ms: Option<i64>) -> Record {
    let labels = labels::encode([("__name__", "m"), ("instance", instance)]);
    Record {
        id: RecordId {
            start_ms,
            fingerprint: fingerprint(&labels),
        },
        labels: labels.into(),
        partition: 0,
        state: match end_ms {
            Some(_) => RecordState::Resolved,
            None => RecordState::Active,
        },
        severity: Severity::Low,
        side: Side::Up,
        reason: Reason::Spike,
        active_ms: None,
        end_ms,
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
        as_of_ms: end_ms.unwrap_or(start_ms),
        absent: false,
        exemplars: Vec::new(),
    }
}

/// These records as a process finds them that opens them at a time.
pub(crate) fn kept(folder: &std::path::Path, all: &[Record], now_ms: i64) -> Records {
    let files = crate::store::records::RecordFiles::open(folder, 0).unwrap();
    files.write(all.iter().map(|r| (r.id, Some(r))), 0).unwrap();
    drop(files);
    Records::open(folder, now_ms).unwrap().0
}

fn starts(page: &Page) -> Vec<i64> {
    page.ids.iter().map(|id| id.start_ms).collect()
}

#[test]
fn a_page_goes_on_where_it_ended_whatever_came_and_went() {
    let mut index = Index::default();
    for t in 0..10 {
        index.put(&record("a", t, Some(t + 1)));
    }
    let all = Filter::default();
    let first = index.page(&all, None, 0, 3);
    assert_eq!((starts(&first), first.more), (vec![9, 8, 7], true));
    index.put(&record("a", 20, None));
    index.remove(first.ids[2]);
    index.remove(index.page(&all, None, 5, 1).ids[0]);
    let next = index.page(&all, first.ids.last().copied(), 0, 10);
    assert_eq!((starts(&next), next.more), (vec![6, 5, 3, 2, 1, 0], false));
    assert_eq!(index.count(&all).total, 9);
}

#[test]
fn labels_go_with_the_last_record_of_a_series_and_their_place_is_used_again() {
    let mut index = Index::default();
    let (a, b) = (record("a", 1, None), record("b", 2, Some(3)));
    index.put(&a);
    index.put(&a);
    index.remove(a.id);
    index.remove(a.id);
    index.put(&b);
    assert_eq!((index.series.len(), index.len()), (1, 1));
    let filter = Filter {
        selectors: vec![Selector::parse("{instance=\"b\"}").unwrap()],
        ..Filter::default()
    };
    assert_eq!(index.count(&filter).total, 1);
    assert_eq!(index.of_series(a.id.fingerprint, 10), []);
    assert_eq!(index.of_series(b.id.fingerprint, 10), [b.id]);
}

#[test]
fn what_goes_is_what_ended_long_ago_and_what_is_too_much() {
    let mut index = Index::default();
    index.put(&record("a", 1, Some(50)));
    index.put(&record("a", 2, None));
    index.put(&record("a", 3, Some(5)));
    index.put(&record("a", 60, Some(61)));
    let starts = |ids: Vec<RecordId>| ids.iter().map(|id| id.start_ms).collect::<Vec<_>>();
    assert_eq!(starts(index.oldest(10, 0, 100)), [3]);
    assert_eq!(starts(index.oldest(51, 0, 100)), [1, 3]);
    assert_eq!(starts(index.oldest(51, 1, 100)), [1, 3]);
    assert_eq!(starts(index.oldest(0, 3, 100)), [1, 2, 3]);
    assert_eq!(starts(index.oldest(100, 3, 2)), [1, 2]);
}

#[test]
fn a_timeline_has_what_was_under_way_in_each_part() {
    let mut index = Index::default();
    index.put(&record("a", 5, Some(20)));
    index.put(&record("b", 10, Some(11)));
    index.put(&record("c", 25, None));
    index.put(&record("d", 40, Some(50)));
    let line = |from, to, parts| -> Vec<(u64, u64)> {
        let line = index.timeline(&Filter::default(), from, to, parts);
        line.iter().map(|b| (b.under_way[0], b.began)).collect()
    };
    let whole = [(1, 1), (2, 1), (1, 1), (1, 0)];
    assert_eq!(line(0, 40, 4), whole);
    assert_eq!(line(10, 20, 1), [(2, 1)]);
    assert_eq!(line(i64::MIN, i64::MAX, 1), [(4, 4)]);
    let low = Filter {
        severities: vec![Severity::High],
        ..Filter::default()
    };
    assert_eq!(index.timeline(&low, 0, 40, 1), [Bucket::default()]);
}

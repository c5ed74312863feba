use super::*;
use crate::config::{GroupsConfig, Severity};
use crate::score::board::{Alarm, BoardWriter, Reason, Side};

const NOW_MS: i64 = 1_700_000_000_000;

const ALARM: Alarm = Alarm {
    state: AlarmState::Active,
    severity: Severity::High,
    side: Side::Up,
    reason: Reason::Spike,
};

fn groups(by: &[&str], max: u32) -> Groups {
    let config = GroupsConfig {
        by: by.iter().map(|b| (*b).to_owned()).collect(),
        max,
        ..GroupsConfig::default()
    };
    Groups::new(GroupSpec::try_from(&config).unwrap())
}

fn add(writer: &mut BoardWriter, labels: &[(&str, &str)], evidence: f32, alarm: bool) -> u32 {
    let at = writer.add_labels(&labels::encode(labels.iter().copied()));
    writer.set(at, 0.5, alarm.then_some(ALARM));
    writer.weigh(at, evidence, counts_until(NOW_MS, 15_000.0));
    writer.publish_labels();
    at
}

/// (values, members, anomalous) of all groups.
fn all(groups: &Groups, board: &Board, now_ms: i64) -> Vec<(String, u32, u32)> {
    let one = |s: &Standing| (s.group.values.join(","), s.members, s.anomalous);
    groups.now(board, now_ms).groups.iter().map(one).collect()
}

#[test]
fn series_are_in_the_groups_of_their_labels_and_count_while_they_are_of_now() {
    let (board, mut writers) = Board::new(1);
    let writer = &mut writers[0];
    for (name, instance, alarm) in [("a", "1", true), ("b", "1", false), ("a", "2", false)] {
        let labels = [("__name__", name), ("job", "node"), ("instance", instance)];
        add(writer, &labels, if alarm { 8.0 } else { 0.4 }, alarm);
    }
    add(writer, &[("__name__", "lonely")], 9.0, true);
    let groups = groups(&["job", "instance", "job,instance"], 100);
    let node = ("node".to_owned(), 3, 1);
    let one = ("1".to_owned(), 2, 1);
    let both = ("node,1".to_owned(), 2, 1);
    assert_eq!(all(&groups, &board, NOW_MS), [node, one, both]);
    let now = groups.now(&board, NOW_MS);
    assert_eq!(now.left_out, 0);
    assert_eq!(now.groups[2].group.by(), "job,instance");
    assert!(now.groups.iter().all(|s| s.score() >= 0.7));
    assert_eq!(now.groups[1].ratio(), 0.5);
    // A minute and more later nobody has said anything new.
    let later = groups.now(&board, NOW_MS + 71_000);
    assert!(
        later
            .groups
            .iter()
            .all(|s| s.deviation == 0.0 && s.members > 1)
    );
}

#[test]
fn other_labels_group_from_the_next_page_on() {
    let (board, mut writers) = Board::new(1);
    let writer = &mut writers[0];
    for instance in ["1", "2", "2"] {
        let labels = [("__name__", "a"), ("job", "node"), ("instance", instance)];
        add(writer, &labels, 0.4, false);
    }
    let groups = groups(&["job"], 100);
    let node = ("node".to_owned(), 3, 0);
    assert_eq!(all(&groups, &board, NOW_MS), std::slice::from_ref(&node));
    let by = |by: &[&str], max| {
        let config = GroupsConfig {
            by: by.iter().map(|b| (*b).to_owned()).collect(),
            max,
            ..GroupsConfig::default()
        };
        GroupSpec::try_from(&config).unwrap()
    };
    groups.renew(by(&["instance", "job"], 100));
    let two = ("2".to_owned(), 2, 0);
    assert_eq!(all(&groups, &board, NOW_MS), [two, node]);
    groups.renew(by(&["instance", "job"], 1));
    assert!(groups.now(&board, NOW_MS).left_out > 0);
    groups.renew(by(&[], 1));
    assert_eq!(all(&groups, &board, NOW_MS), []);
}

#[test]
fn an_entry_that_another_series_has_now_is_in_the_groups_of_that_one() {
    let (board, mut writers) = Board::new(1);
    let writer = &mut writers[0];
    let groups = groups(&["job"], 100);
    let old = add(writer, &[("__name__", "x"), ("job", "a")], 0.1, false);
    add(writer, &[("__name__", "y"), ("job", "a")], 0.1, false);
    add(writer, &[("__name__", "z"), ("job", "b")], 0.1, false);
    assert_eq!(all(&groups, &board, NOW_MS), [("a".to_owned(), 2, 0)]);
    writer.remove(old);
    assert_eq!(
        add(writer, &[("__name__", "x"), ("job", "b")], 0.1, false),
        old
    );
    assert_eq!(all(&groups, &board, NOW_MS), [("b".to_owned(), 2, 0)]);
}

#[test]
fn there_are_no_more_groups_than_allowed_and_empty_ones_make_room() {
    let (board, mut writers) = Board::new(1);
    let writer = &mut writers[0];
    let groups = groups(&["job"], 2);
    let mut entries = Vec::new();
    for job in ["a", "b", "c", "d"] {
        for name in ["x", "y"] {
            entries.push(add(writer, &[("__name__", name), ("job", job)], 0.1, false));
        }
    }
    let now = groups.now(&board, NOW_MS);
    assert_eq!((now.groups.len(), now.left_out), (2, 4));
    for at in &entries[..2] {
        writer.remove(*at);
    }
    // The room is free once the group is seen to be empty.
    groups.now(&board, NOW_MS);
    let now = groups.now(&board, NOW_MS);
    assert_eq!((now.groups.len(), now.left_out), (2, 2));
    assert_eq!(all(&groups, &board, NOW_MS)[1].0, "c");
}

#[test]
fn without_labels_to_group_by_there_are_no_groups() {
    let (board, mut writers) = Board::new(1);
    for name in ["x", "y"] {
        add(
            &mut writers[0],
            &[("__name__", name), ("job", "a")],
            5.0,
            true,
        );
    }
    assert!(groups(&[], 10).now(&board, NOW_MS).groups.is_empty());
}

//! The figures against those of independent scorers, for the same small inputs (`tests/data/eval`).

use std::collections::BTreeMap;

use serde_json::Value;

use super::numenta::FileRows;
use super::{Figures, Layout, Part, Scored, alarms, causes, of};

const ROWS: &str = include_str!("../../../tests/data/eval/rows.csv");
const WINDOWS: &str = include_str!("../../../tests/data/eval/windows.csv");
const EXPECTED: &str = include_str!("../../../tests/data/eval/expected.json");

fn expected() -> Value {
    serde_json::from_str(EXPECTED).unwrap()
}

/// Equal in all digits that either prints.
fn same(what: &str, ours: f64, theirs: &Value) {
    let theirs = theirs.as_f64().unwrap();
    assert!((ours - theirs).abs() < 1e-9, "{what}: {ours}, not {theirs}");
}

fn scored() -> Vec<Scored> {
    let mut all: BTreeMap<&str, Scored> = BTreeMap::new();
    for line in ROWS.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let series = all.entry(fields[0]).or_insert_with(|| Scored {
            name: fields[0].to_owned(),
            scores: Vec::new(),
            labels: Vec::new(),
            days: 2.0,
            causes: Vec::new(),
        });
        series.scores.push(fields[1].parse().unwrap());
        series.labels.push(fields[2] == "1");
    }
    all.into_values().collect()
}

#[test]
fn rows_as_an_independent_scorer_has_them() {
    let Figures::Rows(r) = of(
        Layout::Series,
        scored().into_iter().map(Part::Scored).collect(),
    ) else {
        panic!("rows are labelled");
    };
    let expected = &expected()["rows"];
    let (mean, pooled) = (&expected["mean"], &expected["pooled"]);
    same("auc_pr", r.mean.auc_pr, &mean["auc_pr"]);
    same("best_f1", r.mean.best_f1, &mean["best_f1"]);
    same("comp_f1", r.mean.comp_f1, &mean["comp_f1"]);
    same("event_f1", r.mean.event_f1, &mean["event_f1"]);
    same("vus_pr", r.mean.vus_pr, &mean["vus_pr"]);
    same("pooled auc_pr", r.pooled.auc_pr, &pooled["auc_pr"]);
    same("pooled best_f1", r.pooled.best_f1, &pooled["best_f1"]);
    let best = &r.pooled.best;
    same("pooled comp_f1", best.comp_f1, &pooled["comp_f1"]);
    same("pooled event_f1", best.event_f1, &pooled["event_f1"]);
    same(
        "precision",
        best.event_precision,
        &pooled["event_precision"],
    );
    same("recall", best.event_recall, &pooled["event_recall"]);
    assert!((best.event_cut - pooled["event_cut"].as_f64().unwrap()).abs() < 1e-6);
    same("share", r.anomalous_share, &expected["anomalous_share"]);
    assert_eq!(r.per_series.len(), 3, "a series without events has no mean");
}

#[test]
fn alarms_at_one_cut() {
    let all = scored();
    let pairs: Vec<(&[f32], &[bool])> = all.iter().map(|s| (&*s.scores, &*s.labels)).collect();
    for at in expected()["at"].as_array().unwrap() {
        let got = alarms::at(&pairs, at["cut"].as_f64().unwrap() as f32, 8.0);
        same("precision", got.precision, &at["precision"]);
        same("recall", got.recall, &at["recall"]);
        same("alarms", got.alarms_a_day * 8.0, &at["alarms"]);
        let false_share = got.false_alarms_a_day / got.alarms_a_day;
        assert!((false_share - (1.0 - got.precision)).abs() < 1e-9);
    }
}

#[test]
fn windows_as_an_independent_scorer_has_them() {
    let expected = &expected()["windows"];
    let mut files: BTreeMap<&str, (Vec<i64>, Vec<f32>)> = BTreeMap::new();
    for line in WINDOWS.lines().skip(1) {
        let fields: Vec<&str> = line.split(',').collect();
        let (times, scores) = files.entry(fields[0]).or_default();
        times.push(fields[1].parse().unwrap());
        scores.push(fields[2].parse().unwrap());
    }
    let parts = files.iter().map(|(name, (times, scores))| {
        let windows: Vec<(i64, i64)> =
            serde_json::from_value(expected["files"][name].clone()).unwrap();
        Part::Numenta(FileRows::new(times, scores, &windows).unwrap())
    });
    let Figures::Numenta(got) = of(Layout::Nab, parts.collect()) else {
        panic!("there are windows");
    };
    for (name, got) in [
        ("standard", got.standard),
        ("reward_low_FP_rate", got.reward_low_fp_rate),
        ("reward_low_FN_rate", got.reward_low_fn_rate),
    ] {
        let expected = &expected["profiles"][name];
        same(name, got.score, &expected["score"]);
        assert!((got.threshold - expected["threshold"].as_f64().unwrap()).abs() < 1e-6);
        assert_eq!(got.windows_hit, expected["windows_hit"]);
        assert_eq!(got.windows, expected["windows"]);
        assert_eq!(got.false_rows, expected["fp_rows"]);
    }
}

#[test]
fn a_window_edge_must_be_a_row() {
    assert!(FileRows::new(&[0, 300], &[0.0, 0.0], &[(0, 301)]).is_err());
}

#[test]
fn silence_scores_nothing_and_a_perfect_detector_a_hundred() {
    let times: Vec<i64> = (0..1000).map(|i| i * 300).collect();
    let window = (400 * 300, 450 * 300);
    let score = |scores: &[f32]| {
        let rows = FileRows::new(&times, scores, &[window]).unwrap();
        match of(Layout::Nab, vec![Part::Numenta(rows)]) {
            Figures::Numenta(p) => p.standard.score,
            _ => panic!("there is a window"),
        }
    };
    let mut first_row = vec![0.0; 1000];
    first_row[400] = 1.0;
    assert!((score(&first_row) - 100.0).abs() < 1e-9);
    assert!(score(&vec![0.0; 1000]).abs() < 1e-9);
}

#[test]
fn causes_in_the_order_of_their_peaks() {
    let order = causes::order(&[1.0, 5.0, 5.0, 0.0]);
    assert_eq!(order, [1, 2, 0, 3]);
    let labelled = |m: usize| m == 1 || m == 0;
    let one = causes::one(&order, labelled).unwrap();
    assert_eq!(one.hit_100, 0.5);
    assert!((one.map - (1.0 + 2.0 / 3.0) / 2.0).abs() < 1e-12);
    assert_eq!(causes::one(&order, |_| false), None);
}

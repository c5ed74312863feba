//! Scrapes in and out of order, whole and with parts missing, born, removed and spoilt.

use super::*;

const INF: f64 = f64::INFINITY;

/// The parts of a scrape with 0.1, 0.5, 1 and +Inf.
fn parts(counts: [f64; 4], sum: f64) -> Vec<(Part, f64)> {
    let bounds = [0.1, 0.5, 1.0, INF].map(Part::Bucket);
    let mut parts: Vec<_> = bounds.into_iter().zip(counts).collect();
    parts.push((Part::Sum, sum));
    parts.push((Part::Count, counts[3]));
    parts
}

fn offer(a: &mut Assembly, seconds: i64, parts: &[(Part, f64)]) -> Vec<(i64, Stats)> {
    let judged = parts
        .iter()
        .filter_map(|(p, v)| a.offer(*p, seconds * 1000, *v));
    judged.collect()
}

fn begun() -> Assembly {
    let mut a = Assembly::new();
    assert_eq!(offer(&mut a, 0, &parts([2.0, 4.0, 6.0, 8.0], 5.0)), []);
    a
}

/// Ten observations, of which the fifth ends at 0.5 and nine lie below 1.
fn then() -> Vec<(Part, f64)> {
    parts([3.0, 9.0, 15.0, 18.0], 7.5)
}

const JUDGED: Stats = Stats {
    rate: Some(1.0),
    mean: Some(0.25),
    p50: Some(0.5),
    p99: Some(1.0),
};

#[test]
fn bounds_are_read_as_prometheus_reads_them() {
    for (text, bound_of) in [
        ("+Inf", INF),
        ("Inf", INF),
        ("0.5", 0.5),
        ("1e-3", 0.001),
        ("1.0", 1.0),
        ("-2", -2.0),
    ] {
        assert_eq!(bound(text.as_bytes()), Some(bound_of), "{text}");
    }
    for text in ["", "x", "NaN", "1e999", "0,5", " 1"] {
        assert_eq!(bound(text.as_bytes()), None, "{text}");
    }
    assert_eq!(bound(b"\xff"), None);
}

#[test]
fn a_scrape_is_judged_when_its_last_part_comes_in_whatever_order() {
    let mut all = then();
    for turn in 0..all.len() {
        all.rotate_left(1);
        let mut a = begun();
        let (last, before) = all.split_last().unwrap();
        assert_eq!(offer(&mut a, 10, before), [], "{turn}");
        assert_eq!(offer(&mut a, 10, &[*last]), [(10_000, JUDGED)]);
        // Again, and late: nothing.
        assert_eq!(offer(&mut a, 10, &all), []);
        assert_eq!(offer(&mut a, 5, &all), []);
    }
}

#[test]
fn parts_of_two_scrapes_may_come_mixed() {
    let mut a = begun();
    let later = parts([3.0, 9.0, 15.0, 18.0], 7.5);
    let mut judged = Vec::new();
    for (first, second) in then().iter().zip(&later) {
        judged.extend(a.offer(first.0, 10_000, first.1));
        judged.extend(a.offer(second.0, 20_000, second.1));
    }
    let times: Vec<_> = judged.iter().map(|(t, s)| (*t, s.rate)).collect();
    assert_eq!(times, [(10_000, Some(1.0)), (20_000, Some(0.0))]);
    let quiet = judged[1].1;
    assert_eq!((quiet.mean, quiet.p50, quiet.p99), (None, None, None));
}

#[test]
fn a_fall_anywhere_masks_the_interval_and_a_falling_sum_does_not() {
    for fallen in 0..4 {
        let mut now = [3.0, 9.0, 15.0, 18.0];
        now[fallen] = 1.0;
        let mut a = begun();
        assert_eq!(offer(&mut a, 10, &parts(now, 7.5)), [(10_000, Stats::NONE)]);
        let next = now.map(|n| n + 10.0);
        assert_eq!(offer(&mut a, 20, &parts(next, 7.5))[0].1.rate, Some(1.0));
    }
    let mut a = begun();
    let judged = offer(&mut a, 10, &parts([3.0, 9.0, 15.0, 18.0], -5.0));
    assert_eq!(judged[0].1.mean, Some(-1.0));
}

#[test]
fn a_lost_part_costs_its_scrape_and_no_other() {
    let mut a = begun();
    assert_eq!(
        offer(&mut a, 10, &parts([2.5, 6.0, 9.0, 11.0], 6.0)[1..]),
        []
    );
    let judged = offer(&mut a, 20, &parts([3.0, 9.0, 15.0, 18.0], 7.5));
    assert_eq!(
        judged,
        [(
            20_000,
            Stats {
                rate: Some(0.5),
                ..JUDGED
            }
        )]
    );
}

#[test]
fn what_is_missing_is_not_said_when_a_scrape_is_forced_out() {
    let mut a = begun();
    offer(&mut a, 10, &then()[1..]);
    offer(&mut a, 20, &then()[1..]);
    let forced = offer(&mut a, 30, &then()[1..2]);
    let expected = Stats {
        p50: None,
        p99: None,
        ..JUDGED
    };
    assert_eq!(forced, [(10_000, expected)]);
    // Without the count the bucket of all is as good.
    let mut a = begun();
    let without_count = &then()[..5];
    offer(&mut a, 10, without_count);
    offer(&mut a, 20, without_count);
    assert_eq!(offer(&mut a, 30, &then()[..1]), [(10_000, JUDGED)]);
    // With neither, nothing.
    let mut a = begun();
    offer(&mut a, 10, &then()[..3]);
    offer(&mut a, 20, &then()[..3]);
    assert_eq!(offer(&mut a, 30, &then()[..1]), [(10_000, Stats::NONE)]);
}

#[test]
fn a_part_that_never_comes_again_is_given_up() {
    let mut a = begun();
    let mut judged = Vec::new();
    for i in 1..12 {
        let n = f64::from(i) * 10.0;
        let now = parts([3.0 + n, 9.0 + n, 15.0 + n, 18.0 + n], 7.5 + n);
        judged.extend(offer(&mut a, i64::from(i) * 10, &now[1..]));
    }
    assert_eq!(a.buckets(), 3);
    let (t, stats) = *judged.last().unwrap();
    assert_eq!((t, stats.rate), (110_000, Some(1.0)));
    assert!(stats.p50.is_some());
}

#[test]
fn a_removed_part_is_not_waited_for_and_a_new_one_is() {
    let mut a = begun();
    a.remove(Part::Bucket(0.1));
    let judged = offer(&mut a, 10, &then()[1..]);
    assert_eq!(
        judged,
        [(
            10_000,
            Stats {
                p50: Some(0.5 * 5.0 / 5.0),
                ..JUDGED
            }
        )]
    );
    // A new bucket: what a scrape has that brings it is judged with the next one, or without it
    // if it comes last.
    let new = |n: f64| {
        let mut now = parts([3.0, 9.0 + n, 15.0 + n, 18.0 + n], 7.5)[1..].to_vec();
        now.insert(0, (Part::Bucket(0.7), 12.0 + n));
        now
    };
    let mut last = a.clone();
    assert_eq!(offer(&mut a, 20, &new(0.0)), []);
    let judged = offer(&mut a, 30, &new(10.0));
    assert_eq!(judged[0].0, 30_000);
    assert_eq!((judged[0].1.rate, judged[0].1.p50), (Some(1.0), Some(0.25)));
    let mut rates = Vec::new();
    for (t, n) in [(20, 0.0), (30, 10.0), (40, 20.0)] {
        let mut now = new(n);
        now.rotate_left(1);
        let judged = offer(&mut last, t, &now);
        rates.push((judged[0].1.rate, judged[0].1.p50));
    }
    let one = Some(1.0);
    assert_eq!(rates, [(Some(0.0), None), (one, None), (one, Some(0.25))]);
    for part in [
        Part::Sum,
        Part::Count,
        Part::Bucket(0.5),
        Part::Bucket(0.7),
        Part::Bucket(1.0),
    ] {
        a.remove(part);
    }
    assert!(!a.is_empty());
    a.remove(Part::Bucket(INF));
    assert!(a.is_empty());
}

#[test]
fn what_is_no_number_spoils_one_scrape() {
    for wrong in [f64::NAN, INF, -1.0] {
        let mut a = begun();
        let mut now = then();
        now[2].1 = wrong;
        assert_eq!(offer(&mut a, 10, &now), [(10_000, Stats::NONE)]);
        assert_eq!(offer(&mut a, 10, &now), []);
        let judged = offer(&mut a, 20, &then());
        assert_eq!(
            judged,
            [(
                20_000,
                Stats {
                    rate: Some(0.5),
                    ..JUDGED
                }
            )]
        );
    }
}

#[test]
fn a_long_silence_gives_nothing() {
    let mut a = begun();
    assert_eq!(offer(&mut a, 3601, &then()), [(3_601_000, Stats::NONE)]);
}

#[test]
fn buckets_without_end_are_left_out() {
    let mut a = Assembly::new();
    let many = |n: f64| -> Vec<_> {
        let mut all = parts([n; 4], n);
        all.extend((0..2 * BUCKETS_MAX).map(|i| (Part::Bucket(2.0 + i as f64), n)));
        all
    };
    offer(&mut a, 0, &many(1.0));
    let judged = offer(&mut a, 10, &many(11.0));
    assert_eq!(a.buckets(), BUCKETS_MAX);
    let expected = Stats {
        rate: Some(1.0),
        mean: Some(1.0),
        p50: None,
        p99: None,
    };
    assert_eq!(judged, [(10_000, expected)]);
}

#[test]
fn a_stopped_assembly_goes_on_and_takes_little_memory() {
    let mut a = begun();
    offer(&mut a, 10, &then());
    offer(&mut a, 20, &then()[..3]);
    let stored = postcard::to_stdvec(&a).unwrap();
    let mut b: Assembly = postcard::from_bytes(&stored).unwrap();
    let judged = offer(&mut a, 20, &then()[3..]);
    assert_eq!(judged.len(), 1);
    assert_eq!(offer(&mut b, 20, &then()[3..]), judged);
    assert!(stored.len() < 200 && size_of::<Assembly>() + a.heap_bytes() < 500);
}

#[test]
fn a_usual_histogram_takes_about_half_a_kilobyte_and_no_more_with_time() {
    let mut a = Assembly::new();
    let mut bytes = Vec::new();
    for i in 0..10 {
        for le in 0..14 {
            a.offer(Part::Bucket(f64::from(le)), i * 1000, i as f64);
        }
        a.offer(Part::Sum, i * 1000, i as f64);
        a.offer(Part::Count, i * 1000, i as f64);
        bytes.push(size_of::<Assembly>() + a.heap_bytes());
    }
    assert!(
        bytes[2..].windows(2).all(|w| w[0] == w[1]) && bytes[9] < 600,
        "{bytes:?}"
    );
}

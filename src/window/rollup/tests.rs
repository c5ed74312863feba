use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

/// All rows of a series, the open one included.
fn rows(samples: &[(i64, f64)]) -> Vec<Row> {
    let mut builder = Builder::new();
    let mut rows: Vec<Row> = samples
        .iter()
        .filter_map(|(t, v)| builder.take(*t, *v))
        .collect();
    rows.extend(builder.finish());
    assert_eq!(builder.open(), None);
    rows
}

/// Length as a block, which must give the rows back.
#[track_caller]
fn back(rows: &[Row]) -> usize {
    let bytes = encode(rows);
    assert_eq!(decode(&bytes).unwrap(), rows);
    let span = rows.first().zip(rows.last());
    let starts = span.map(|(a, b)| (a.start_ms(), b.start_ms()));
    assert_eq!(super::span(&bytes).unwrap(), starts);
    bytes.len()
}

#[test]
fn rows_begin_at_multiples_of_five_minutes_and_are_given_out_once() {
    let mut builder = Builder::new();
    assert_eq!(builder.take(299_999, 5.0), None);
    let first = builder.take(300_000, 1.0).unwrap();
    assert_eq!((first.start_ms(), first.count(), first.last()), (0, 1, 5.0));
    assert_eq!(builder.take(310_000, 4.0), None);
    assert_eq!(builder.take(200_000, 100.0), None, "late");
    assert_eq!(builder.take(599_999, 2.0), None);
    let open = builder.open().unwrap();
    // A sample that is no number ends the row and is in none.
    let second = builder.take(3_000_000, f64::NAN).unwrap();
    assert_eq!(open, second);
    assert_eq!(
        (
            second.start_ms(),
            second.count(),
            second.min(),
            second.max(),
            second.last()
        ),
        (300_000, 3, 1.0, 4.0, 2.0)
    );
    assert!((second.mean() - 7.0 / 3.0).abs() <= 3.0 / 8190.0);
    assert_eq!(builder.take(3_000_001, f64::INFINITY), None);
    assert_eq!(builder.finish(), None);
    assert_eq!(builder.take(-1, -0.0), None);
    let old = builder.finish().unwrap();
    assert_eq!((old.start_ms(), old.min().to_bits()), (-300_000, 0));
}

#[test]
fn a_mean_is_never_outside_and_exact_where_all_are_equal() {
    for values in [
        vec![0.1; 7],
        vec![f64::MAX, f64::MIN, f64::MAX],
        vec![5e-324, 1e-323, 5e-324],
        vec![1.0, 1.0 + f64::EPSILON],
        vec![-5e-324, 5e-324],
    ] {
        let samples: Vec<_> = values
            .iter()
            .enumerate()
            .map(|(i, v)| (i as i64, *v))
            .collect();
        let row = rows(&samples)[0];
        assert!((row.min()..=row.max()).contains(&row.mean()), "{row:?}");
        back(&[row]);
    }
    assert_eq!(rows(&[(0, 0.1), (1, 0.1), (2, 0.1)])[0].mean(), 0.1);
}

#[test]
fn blocks_of_usual_series_are_small() {
    let mut rng = fastrand::Rng::with_seed(1);
    let series = |value: &mut dyn FnMut(i64) -> f64| -> Vec<Row> {
        let samples: Vec<_> = (0..288 * 20).map(|i| (i * 15_000, value(i))).collect();
        rows(&samples)
    };
    let size = |rows: &[Row]| back(rows) as f64 / rows.len() as f64;
    assert!(size(&series(&mut |_| 1.0)) < 0.1);
    let mut bytes = 4e9;
    let counter = series(&mut |_| {
        bytes += rng.u32(50_000..150_000) as f64;
        bytes
    });
    assert!(size(&counter) < 8.0, "{}", size(&counter));
    let gauge = series(&mut |_| (rng.u32(4_000..6_000) as f64) / 100.0);
    assert!(size(&gauge) < 6.5, "{}", size(&gauge));
    let odd = series(&mut |_| rng.f64());
    assert!(size(&odd) < 24.0, "{}", size(&odd));
}

#[test]
fn damage_is_an_error_or_other_rows_never_a_panic() {
    let samples: Vec<_> = (0..400)
        .map(|i| (i * 15_000, (i * i % 31) as f64 / 4.0))
        .collect();
    let good = encode(&rows(&samples));
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        for row in decode(&bad).unwrap_or_default() {
            assert!((row.min()..=row.max()).contains(&row.mean()));
        }
    }
    for len in 0..good.len() {
        assert_eq!(decode(&good[..len]), Err(RollupError::Malformed));
    }
    assert_eq!(decode(&[0x20; 9]), Err(RollupError::Version { found: 2 }));
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let value = prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1000..1000i32).prop_map(|m| f64::from(m) / 100.0),
        (0..1000i32).prop_map(|m| f64::from(m) * 4096.0),
    ];
    let gap = prop_oneof![20 => 1..60_000i64, 1 => 1..10_000_000i64, 1 => 1..i64::MAX / 4];
    (any::<i64>(), prop::collection::vec((gap, value), 0..300)).prop_map(|(begin, rows)| {
        let mut t = begin / 2;
        rows.into_iter()
            .map(|(gap, v)| {
                t = t.saturating_add(gap);
                (t, v)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn rows_are_what_a_plain_map_says(
        samples in samples(), stop in any::<prop::sample::Index>(),
        range in any::<[prop::sample::Index; 2]>(),
    ) {
        let mut plain: BTreeMap<i64, Vec<f64>> = BTreeMap::new();
        for (t, v) in samples.iter().filter(|(_, v)| v.is_finite()) {
            plain.entry(t.div_euclid(STEP_MS)).or_default().push(*v);
        }
        let rows = rows(&samples);
        prop_assert_eq!(rows.len(), plain.len());
        for (row, (slot, values)) in rows.iter().zip(&plain) {
            prop_assert_eq!(row.slot, *slot);
            prop_assert_eq!(row.count as usize, values.len());
            prop_assert_eq!(row.last, *values.last().unwrap());
            let min = values.iter().copied().fold(f64::INFINITY, f64::min);
            let max = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            prop_assert_eq!((row.min, row.max), (min, max));
            let n = values.len() as f64;
            let mean: f64 = values.iter().map(|v| v / n).sum();
            let error = (max / 8190.0 - min / 8190.0) * 1.01 + min.abs().max(max.abs()) * 1e-13;
            prop_assert!((row.mean() - mean).abs() <= error + f64::MIN_POSITIVE);
        }
        back(&rows);

        // Stopped anywhere, it goes on.
        let mut builder = Builder::new();
        let mut resumed = Vec::new();
        let stop = stop.index(samples.len() + 1);
        for (i, (t, v)) in samples.iter().enumerate() {
            if i == stop {
                let stored = postcard::to_stdvec(&builder).unwrap();
                builder = postcard::from_bytes(&stored).unwrap();
            }
            resumed.extend(builder.take(*t, *v));
        }
        resumed.extend(builder.finish());
        prop_assert_eq!(&resumed, &rows);

        if !samples.is_empty() {
            let [from, to] = range.map(|i| samples[i.index(samples.len())].0);
            let overlaps = |row: &&Row| {
                let start = i128::from(row.slot) * i128::from(STEP_MS);
                from <= to && start <= to.into() && start + i128::from(STEP_MS) > from.into()
            };
            let wanted: Vec<Row> = rows.iter().filter(overlaps).copied().collect();
            prop_assert_eq!(between(&encode(&rows), from, to).unwrap(), wanted);
        }
    }

    #[test]
    fn anything_at_all_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = decode(&bytes);
        let versioned: Vec<u8> = [&[0x10], &bytes[..]].concat();
        let _ = decode(&versioned);
        let _ = span(&versioned);
    }
}

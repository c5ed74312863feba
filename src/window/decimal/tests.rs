use proptest::prelude::*;

use super::*;
use crate::wire::write::STALE_NAN_BITS;

fn xor(samples: &[(i64, f64)]) -> Vec<u8> {
    let mut chunk = ChunkAppender::new();
    for (t, v) in samples {
        assert!(chunk.append(*t, *v));
    }
    chunk.finish()
}

fn bits(samples: &[(i64, f64)]) -> Vec<(i64, u64)> {
    samples.iter().map(|(t, v)| (*t, v.to_bits())).collect()
}

/// Length in decimal form, which must give back what went in; `None` if there is none.
#[track_caller]
fn back(samples: &[(i64, f64)]) -> Option<usize> {
    let xor = xor(samples);
    let bytes = encode(&xor).unwrap()?;
    assert!(bytes.len() < xor.len());
    assert_eq!(bits(&decode(&bytes).unwrap()), bits(samples));
    assert_eq!(to_xor(&bytes).unwrap(), xor);
    Some(bytes.len())
}

fn series(value: impl Fn(i64) -> f64) -> Vec<(i64, f64)> {
    (0..120)
        .map(|i| (1_700_000_000_000 + i * 15_000, value(i)))
        .collect()
}

#[test]
fn decimals_of_every_kind_are_small() {
    let noise = |i: i64| i * i * 7919 % 1000;
    assert!(back(&series(|_| 1.0)).unwrap() <= 16);
    assert!(back(&series(|i| i as f64 * 100.0)).unwrap() <= 18);
    assert!(back(&series(|i| (2000 + noise(i)) as f64 / 100.0)).unwrap() <= 25 + 120 * 11 / 8);
    assert!(
        back(&series(|i| (9_000_000 + noise(i)) as f64 * 4096.0)).unwrap() <= 25 + 120 * 11 / 8
    );
    assert!(back(&series(|i| 1e-9 * 3.0 + i as f64 / 1e9)).is_some());
    assert!(back(&series(|_| f64::NAN)).unwrap() < 50);
}

#[test]
fn odd_values_among_decimals_are_kept_beside() {
    let odd = [
        f64::from_bits(STALE_NAN_BITS),
        -0.0,
        f64::INFINITY,
        f64::from_bits(0xfff0_dead_0000_0001),
        5e-324,
        f64::MAX,
        1.0 / 3.0,
    ];
    let samples = series(|i| match i % 17 {
        3 => odd[(i / 17) as usize % odd.len()],
        _ => (i * i % 13) as f64 / 10.0,
    });
    assert!(back(&samples).is_some());
}

#[test]
fn what_is_no_decimal_stays_xor() {
    assert_eq!(back(&series(|i| (i as f64).sin())), None);
    assert_eq!(back(&[]), None);
    assert_eq!(
        encode(&[1]),
        Err(ChunkError::Truncated {
            sample: 0,
            samples: 0
        })
    );
}

#[test]
fn one_value_with_many_digits_does_not_make_all_long() {
    let plain = back(&series(|i| (i * i % 97) as f64)).unwrap();
    let one = back(&series(|i| match i {
        50 => 0.123_456_789_012,
        i => (i * i % 97) as f64,
    }));
    assert!(one.unwrap() < plain + 12);
}

#[test]
fn damage_is_an_error_or_other_samples_never_a_panic() {
    let samples = series(|i| {
        if i == 9 {
            f64::NAN
        } else {
            (i * i % 31) as f64 / 4.0
        }
    });
    let good = encode(&xor(&samples)).unwrap().unwrap();
    for bit in 0..good.len() * 8 {
        let mut bad = good.clone();
        bad[bit / 8] ^= 1 << (bit % 8);
        let _ = decode(&bad);
    }
    for len in 0..good.len() {
        assert_eq!(decode(&good[..len]), Err(DecimalError::Malformed));
    }
    assert!(decode(&[&good[..], b"\0"].concat()).is_err());
    assert_eq!(decode(&[0x30; 9]), Err(DecimalError::Version { found: 3 }));
}

fn value() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<u64>().prop_map(f64::from_bits),
        (-1_000_000..1_000_000i64, 0..8i32).prop_map(|(m, e)| m as f64 / 10f64.powi(e)),
        any::<i64>().prop_map(|m| m as f64),
        (any::<i64>(), 0..23usize).prop_map(|(m, e)| m as f64 / POWERS[e]),
        Just(f64::from_bits(STALE_NAN_BITS)),
        Just(-0.0),
    ]
}

fn samples() -> impl Strategy<Value = Vec<(i64, f64)>> {
    let time = prop_oneof![
        any::<i64>(),
        Just(15_000i64),
        14_990..15_010i64,
        Just(60_000i64)
    ];
    let mixed = prop::collection::vec((time.clone(), value()), 0..60);
    let calm = prop::collection::vec((time, -50..50i64, 0..30u32), 0..150).prop_map(|rows| {
        let odd = |(gap, m, odd): (i64, i64, u32)| match odd {
            0 => (gap, f64::NAN),
            1 => (gap, m as f64 / 3.0),
            _ => (gap, m as f64 / 100.0),
        };
        rows.into_iter().map(odd).collect()
    });
    prop_oneof![mixed, calm].prop_map(|gaps: Vec<(i64, f64)>| {
        let mut t = 1_700_000_000_000i64;
        gaps.into_iter()
            .map(|(gap, v)| {
                t = t.wrapping_add(gap);
                (t, v)
            })
            .collect()
    })
}

proptest! {
    #[test]
    fn whatever_has_a_decimal_form_comes_back_bit_for_bit(samples in samples()) {
        back(&samples);
    }

    /// Also where XOR would have been chosen for its size.
    #[test]
    fn the_form_is_exact_whether_it_is_small_or_not(samples in samples()) {
        let mut encoder = Encoder::new();
        for (t, v) in &samples {
            encoder.times.push(*t);
            encoder.values.push(*v);
        }
        if let Some(bytes) = encoder.smallest() {
            prop_assert_eq!(bits(&decode(&bytes).unwrap()), bits(&samples));
        }
    }

    #[test]
    fn anything_at_all_is_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = decode(&bytes);
        let versioned: Vec<u8> = [&[0x10], &bytes[..]].concat();
        let _ = decode(&versioned);
    }
}

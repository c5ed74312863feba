//! What the onset detector promises, on made-up series.

use super::*;
use proptest::prelude::*;

fn at(value: f64) -> OnsetInput {
    OnsetInput {
        value,
        season_residual: None,
        gap: Gap::None,
    }
}

fn noise(rng: &mut fastrand::Rng) -> f64 {
    (0..12).map(|_| rng.f64()).sum::<f64>() - 6.0
}

fn settled(seed: u64, n: usize) -> (Onset, fastrand::Rng) {
    let mut rng = fastrand::Rng::with_seed(seed);
    let mut onset = Onset::new();
    for _ in 0..n {
        onset.take(&at(100.0 + noise(&mut rng)));
    }
    (onset, rng)
}

#[test]
fn state_is_small() {
    assert!(size_of::<Onset>() <= 204, "{}", size_of::<Onset>());
}

#[test]
fn a_spike_and_a_dip_are_onsets_at_once() {
    for (value, seed) in [(112.0, 1), (88.0, 2)] {
        let (mut onset, _) = settled(seed, 6000);
        let out = onset.take(&at(value));
        assert!(out.counts() && out.return_period < 1e-4, "{out:?}");
        assert!(matches!(out.family, Some(Family::Level | Family::Change)));
    }
}

#[test]
fn a_new_level_is_an_onset_once() {
    let (mut onset, mut rng) = settled(3, 6000);
    let events: Vec<usize> = (0..500)
        .filter(|_| onset.take(&at(104.0 + noise(&mut rng))).counts())
        .collect();
    assert!(!events.is_empty() && events[0] <= 5, "{events:?}");
    assert!(events.len() <= 3, "{events:?}");
}

#[test]
fn a_variance_that_rises_is_seen_as_one() {
    let (mut onset, mut rng) = settled(4, 6000);
    let mut families = Vec::new();
    for _ in 0..200 {
        let out = onset.take(&at(100.0 + 4.0 * noise(&mut rng)));
        families.extend(out.family);
    }
    assert!(families.contains(&Family::Variance), "{families:?}");
}

#[test]
fn out_of_season_is_seen_as_such() {
    let (mut onset, mut rng) = settled(5, 3000);
    for _ in 0..3000 {
        let value = 100.0 + noise(&mut rng);
        onset.take(&OnsetInput {
            season_residual: Some(rng.f32() * 2.0),
            ..at(value)
        });
    }
    let out = onset.take(&OnsetInput {
        season_residual: Some(12.0),
        ..at(100.0)
    });
    assert!(out.counts(), "{out:?}");
    assert_eq!(out.family, Some(Family::Season));
}

#[test]
fn a_constant_series_is_silent_and_its_first_step_is_not() {
    let mut onset = Onset::new();
    for _ in 0..3000 {
        assert_eq!(onset.take(&at(5.0)).event, 0.0);
    }
    assert!(onset.take(&at(6.0)).counts());
}

#[test]
fn a_return_after_a_long_gap_at_another_usual_level_is_quiet() {
    let mut onset = Onset::new();
    let mut rng = fastrand::Rng::with_seed(6);
    let wave = |i: usize| 100.0 + 10.0 * (i as f64 / 500.0).sin();
    for i in 0..20_000 {
        onset.take(&at(wave(i) + 0.3 * noise(&mut rng)));
    }
    let mut before = onset.clone();
    // Half a wave later: nothing new, but a jump if nobody knew of the gap.
    let later = 20_000 + 1570;
    let at_once = onset.take(&at(wave(later)));
    assert!(at_once.counts(), "{at_once:?}");
    let out = before.take(&OnsetInput {
        gap: Gap::Long,
        ..at(wave(later))
    });
    assert!(!out.counts(), "{out:?}");
    for i in 1..100 {
        let out = before.take(&at(wave(later + i) + 0.3 * noise(&mut rng)));
        assert!(!out.counts(), "{i} {out:?}");
    }
}

/// Onsets that count on clean Gaussian noise: at most about ten in ten thousand samples, a tenth of
/// them rare enough for more than the lowest severity.
#[test]
fn clean_noise_has_few_onsets() {
    let (mut low, mut medium) = (0, 0);
    for seed in 0..20 {
        let (mut onset, mut rng) = settled(100 + seed, 2000);
        for _ in 0..10_000 {
            let out = onset.take(&at(100.0 + noise(&mut rng)));
            low += u32::from(out.counts());
            medium += u32::from(out.event >= EVENT_MIN && out.return_period <= 1e-4);
        }
    }
    assert!((20..=300).contains(&low), "{low}");
    assert!(medium <= 40, "{medium}");
}

proptest! {
    #[test]
    fn finite_for_any_input_and_the_same_bits_again(
        values in proptest::collection::vec(any::<f64>(), 1..200),
        residuals in proptest::collection::vec(proptest::option::of(any::<f32>()), 200),
        gaps in proptest::collection::vec(0..3u8, 200),
    ) {
        let mut onset = Onset::new();
        let mut again = Onset::new();
        for ((value, residual), gap) in values.iter().zip(&residuals).zip(&gaps) {
            let x = OnsetInput {
                value: *value,
                season_residual: *residual,
                gap: [Gap::None, Gap::Short, Gap::Long][usize::from(*gap)],
            };
            let out = onset.take(&x);
            prop_assert!(out.event.is_finite() && (0.0..=1.5).contains(&out.event));
            prop_assert!(out.evidence.is_finite() && out.evidence >= 0.0);
            prop_assert!((0.0..=1.0).contains(&out.return_period));
            prop_assert_eq!(out, again.take(&x));
            let stored: Onset = stored_and_back(&again);
            again = stored;
        }
        prop_assert_eq!(onset, again);
    }
}

/// Through the form that a restart brings back.
fn stored_and_back(onset: &Onset) -> Onset {
    postcard::from_bytes(&postcard::to_stdvec(onset).unwrap()).unwrap()
}

#[test]
fn a_logarithm_that_is_spared_lies_inside_of_its_records() {
    let mut random = fastrand::Rng::with_seed(11);
    let mut spared = 0;
    for _ in 0..200_000 {
        let mut onset = Onset::new();
        for i in LOGARITHMS {
            onset.records.begin(i, 3.0 * random.f32() - 1.5);
        }
        onset
            .records
            .take(&std::array::from_fn(|_| 3.0 * random.f32() - 1.5));
        let z = 4.0 * random.f32() - 2.0;
        let (one, two) = (0.2 + 2.0 * random.f32(), 0.2 + 2.0 * random.f32());
        if onset.logarithms(z, one, two) != [0.0; 3] {
            continue;
        }
        spared += 1;
        let exact = [asinh(z), ln(f64::from(one)), ln(f64::from(two))];
        for (i, x) in LOGARITHMS.into_iter().zip(exact) {
            let (low, high) = onset.records.inside(i);
            assert!(low < x && x < high && low < 0.0 && 0.0 < high, "{x}");
        }
    }
    assert!(spared > 100, "{spared}");
}

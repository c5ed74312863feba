use proptest::prelude::*;

use super::random::Random;
use super::tier::{DELAY, Moment, News};
use super::*;

/// Rows of a series that wanders around 100 with a little noise in all features.
fn rows(n: usize, seed: u64) -> Vec<[f32; FEATURES]> {
    let mut random = Random::new(seed);
    let mut noise = move || (0..6).map(|_| random.unit()).sum::<f32>() - 3.0;
    (0..n)
        .map(|_| std::array::from_fn(|f| noise() + if f == 0 { 100.0 } else { 0.0 }))
        .collect()
}

fn usual() -> [f32; FEATURES] {
    let mut x = [0.0; FEATURES];
    x[0] = 100.0;
    x
}

#[test]
fn what_lies_apart_scores_high_and_the_usual_low() {
    let forest = Forest::fit(&rows(1000, 1), &ForestSpec::default(), 1);
    let low = forest.score(&usual());
    let one = forest.score(&std::array::from_fn(|f| {
        usual()[f] + f32::from(u8::from(f == 3)) * 9.0
    }));
    let all = forest.score(&usual().map(|v| v + 9.0));
    assert!((0.3..0.45).contains(&low), "{low}");
    assert!(one > low + 0.03, "{one} {low}");
    assert!(all > 0.7, "{all}");
}

/// The paper's score for a forest of one tree, cut by hand: rows 0 and 1 of one feature.
#[test]
fn the_score_is_two_to_the_minus_length_over_usual_length() {
    let spec = ForestSpec {
        trees: 1,
        samples: 2,
        features: 1,
        ..ForestSpec::default()
    };
    let mut two = [[0.0; FEATURES]; 2];
    two[1][0] = 1.0;
    // Either both drawn rows are the same, and nothing is cut (length c(2) = 1), or they are cut once.
    for seed in 0..20 {
        let forest = Forest::fit(&two, &spec, seed);
        assert_eq!(forest.score(&two[0]), 0.5);
    }
}

#[test]
fn the_same_seed_gives_the_same_forest_and_another_another() {
    let rows = rows(300, 2);
    let spec = ForestSpec::default();
    let a = Forest::fit(&rows, &spec, 7);
    assert_eq!(a, Forest::fit(&rows, &spec, 7));
    assert_ne!(a, Forest::fit(&rows, &spec, 8));
    assert_eq!(a.trees(), 25);
}

#[test]
fn constant_rows_make_leaves_and_no_cut() {
    let forest = Forest::fit(&[[1.0; FEATURES]; 50], &ForestSpec::default(), 7);
    assert_eq!(
        forest.score(&[1.0; FEATURES]),
        forest.score(&[9.0; FEATURES])
    );
    let empty = Forest::fit(&[], &ForestSpec::default(), 7);
    assert!((0.0..=1.0).contains(&empty.score(&[1.0; FEATURES])));
}

#[test]
fn only_chosen_features_are_cut() {
    let spec = ForestSpec {
        features: 1 << 3,
        ..ForestSpec::default()
    };
    let forest = Forest::fit(&rows(500, 3), &spec, 7);
    let mut x = usual();
    x[0] = 1e9;
    assert_eq!(forest.score(&x), forest.score(&usual()));
    x[3] = 50.0;
    assert!(forest.score(&x) > forest.score(&usual()));
}

#[test]
fn a_forest_of_the_default_size_is_small() {
    let forest = Forest::fit(&rows(1024, 4), &ForestSpec::default(), 7);
    assert!(forest.bytes() < 32 * 1024, "{}", forest.bytes());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// In 0..=1 for any number there is, and the same whatever was scored before.
    #[test]
    fn scores_are_bounded_and_independent_of_their_batch(
        bits in prop::collection::vec(prop::array::uniform10(any::<u32>()), 1..40),
        trees in 1_u16..12,
        samples in 2_u16..300,
        seed in any::<u64>(),
    ) {
        let all: Vec<[f32; FEATURES]> = bits.iter().map(|r| r.map(f32::from_bits)).collect();
        let spec = ForestSpec { trees, samples, ..ForestSpec::default() };
        let forest = Forest::fit(&all, &spec, seed);
        let forwards: Vec<f32> = all.iter().map(|x| forest.score(x)).collect();
        let mut backwards: Vec<f32> = all.iter().rev().map(|x| forest.score(x)).collect();
        backwards.reverse();
        prop_assert_eq!(&forwards, &backwards);
        for score in forwards {
            prop_assert!((0.0..=1.0).contains(&score));
        }
    }
}

/// Drives a tier over made-up samples, and collects what it says.
struct Driver {
    tier: Tier,
    spec: ForestSpec,
    random: Random,
    n: i64,
    interval_ms: i64,
    said: Vec<Option<u32>>,
    news: Vec<(i64, News)>,
}

impl Driver {
    fn new(spec: ForestSpec, interval_ms: i64) -> Self {
        Self {
            tier: Tier::new(&spec, 42),
            spec,
            random: Random::new(11),
            n: 0,
            interval_ms,
            said: Vec::new(),
            news: Vec::new(),
        }
    }

    fn run(&mut self, samples: i64) {
        for _ in 0..samples {
            let x = std::array::from_fn(|_| self.random.unit());
            self.n += 1;
            // Asked now and then.
            let said = self.ask(&x).filter(|_| self.n % 3 > 0);
            self.said.push(said.map(f32::to_bits));
            let at = Moment {
                t_ms: self.n * self.interval_ms,
                interval_ms: self.interval_ms as f64,
                day_ms: 86_400_000,
            };
            let news = self.tier.absorb(&self.spec, at, &x);
            if news != News::default() {
                self.news.push((self.n, news));
            }
        }
    }

    fn ask(&mut self, x: &[f32; FEATURES]) -> Option<f32> {
        self.tier.score(&self.spec, 9.0, self.interval_ms as f64, x)
    }

    /// Writes and reads the tier, with the rows apart as the store has them.
    fn restart(&mut self, disk: &mut Option<Vec<u8>>) {
        if let Some(whole) = self.tier.whole(false) {
            *disk = Some(whole);
        }
        let bytes = postcard::to_allocvec(&self.tier).unwrap();
        self.tier = postcard::from_bytes(&bytes).unwrap();
        assert!(self.tier.restore(&self.spec, disk.as_deref()));
    }

    fn ordered(&self) -> Vec<i64> {
        let ordered = self.news.iter().filter(|(_, news)| news.ordered);
        ordered.map(|(n, _)| *n).collect()
    }
}

#[test]
fn fits_come_early_then_at_twice_the_samples_then_daily() {
    // 1,440 samples a day.
    let mut driver = Driver::new(ForestSpec::default(), 60_000);
    driver.run(6_000);
    let ordered = driver.ordered();
    assert_eq!(ordered[..3], [200, 400, 800]);
    assert!((720..=2_160).contains(&(ordered[3] - 800)), "{ordered:?}");
    assert!(
        ordered[3..].windows(2).all(|w| w[1] - w[0] == 1_440),
        "{ordered:?}"
    );
    // Of 217 samples, numbered from 0; no forest is asked about every third.
    let first = driver.said.iter().position(Option::is_some);
    assert_eq!(first, Some(200 + DELAY as usize));
}

#[test]
fn a_fit_comes_at_once_when_it_is_asked_for() {
    let mut driver = Driver::new(ForestSpec::default(), 15_000);
    driver.run(50);
    driver.tier.request();
    driver.run(1);
    assert_eq!(driver.ordered(), [51]);
    driver.run(DELAY as i64);
    assert_eq!(driver.tier.version(), None);
    driver.run(1);
    assert_eq!(driver.tier.version(), Some(1));
}

#[test]
fn the_gate_opens_for_evidence_and_stays_open_for_a_while() {
    let spec = ForestSpec {
        min_points: 30,
        hold: 3,
        ..ForestSpec::default()
    };
    let mut driver = Driver::new(spec.clone(), 15_000);
    driver.run(100);
    let x = [0.5; FEATURES];
    // Whatever was held is over.
    for _ in 0..3 {
        driver.tier.score(&spec, 0.0, 15_000.0, &x);
    }
    let mut asked = |a: f32, spec: &ForestSpec| {
        let peeked = driver.tier.peek(spec, a, 15_000.0, &x);
        assert_eq!(driver.tier.score(spec, a, 15_000.0, &x), peeked);
        peeked != Some(NOT_ASKED)
    };
    assert!(!asked(3.4, &spec));
    assert!(asked(3.5, &spec));
    assert_eq!([0; 4].map(|_| asked(0.0, &spec)), [true, true, true, false]);
    let always = ForestSpec {
        always_from_ms: 15_000.0,
        ..spec
    };
    assert!(asked(0.0, &always));
}

/// Wherever it is written and read, in the delay of an order too: bit for bit the same scores.
#[test]
fn a_restart_at_any_sample_changes_no_score() {
    let spec = ForestSpec {
        min_points: 40,
        rows: 100,
        ..ForestSpec::default()
    };
    let mut straight = Driver::new(spec.clone(), 600_000);
    straight.run(1_500);
    for cuts in [
        vec![41, 45, 56, 57, 58, 90],
        (1..1_400).step_by(37).collect(),
    ] {
        let mut broken = Driver::new(spec.clone(), 600_000);
        let mut disk = None;
        for cut in cuts {
            broken.run(cut - broken.n);
            broken.restart(&mut disk);
        }
        broken.run(1_500 - broken.n);
        assert_eq!(broken.said, straight.said);
        assert_eq!(broken.news, straight.news);
    }
    assert!(straight.said.iter().flatten().count() > 900);
}

/// Done elsewhere before it is needed, or by the owner when it is: the same.
#[test]
fn it_does_not_matter_who_grows_the_forest() {
    let spec = ForestSpec {
        min_points: 40,
        ..ForestSpec::default()
    };
    let mut alone = Driver::new(spec.clone(), 60_000);
    alone.run(400);
    let mut helped = Driver::new(spec.clone(), 60_000);
    let mut fits = 0;
    for _ in 0..400 {
        helped.run(1);
        assert_eq!(
            helped.tier.has_work(),
            helped.tier.clone().work(&spec).is_some()
        );
        if let Some(work) = helped.tier.work(&spec) {
            // As a trainer would, before the sample from which on it counts.
            assert!(work.forest().is_some());
            fits += 1;
        }
    }
    assert!(fits >= 4, "{fits}");
    assert_eq!(alone.said, helped.said);
}

#[test]
fn earlier_versions_can_be_gone_back_to() {
    let spec = ForestSpec {
        min_points: 40,
        ..ForestSpec::default()
    };
    let mut driver = Driver::new(spec.clone(), 600_000);
    driver.run(60);
    let x = [0.9; FEATURES];
    let first = driver.ask(&x);
    driver.run(200);
    assert_ne!(driver.ask(&x), first);
    driver.tier.go_back(&spec, 1).unwrap();
    assert_eq!(driver.ask(&x), first);
    assert_eq!(
        driver.tier.go_back(&spec, 77),
        Err(super::tier::NoVersion(77))
    );
    // It stays, over a restart too, until a fit is asked for.
    let before = driver.ordered().len();
    driver.run(2_000);
    driver.restart(&mut None);
    assert_eq!(driver.ask(&x), first);
    assert_eq!(driver.ordered().len(), before);
    driver.tier.request();
    driver.run(30);
    assert_ne!(driver.tier.version(), Some(1));
}

#[test]
fn lost_rows_start_a_forest_afresh() {
    let spec = ForestSpec {
        min_points: 40,
        ..ForestSpec::default()
    };
    let mut driver = Driver::new(spec.clone(), 60_000);
    driver.run(300);
    drop(driver.tier.whole(true));
    let bytes = postcard::to_allocvec(&driver.tier).unwrap();
    assert!(bytes.len() < 100, "{}", bytes.len());
    driver.tier = postcard::from_bytes(&bytes).unwrap();
    assert!(!driver.tier.restore(&spec, None));
    assert_eq!(driver.tier.version(), None);
    driver.run(100);
    assert!(driver.tier.version().is_some());
}

//! Each fault seen in the values, and in no others.

use super::*;

const DAY_MS: i64 = 24 * 3600 * 1000;
/// A midnight.
const T0: i64 = 20_000 * DAY_MS;
const STEP: i64 = 15_000;

fn hour(h: f64) -> i64 {
    T0 + (h * 3600e3) as i64
}

fn world() -> World {
    let shape = Shape {
        instances: 2,
        ..Shape::default()
    };
    World::new(7, &shape)
}

/// Values of all series at each step; `None` where a series is not there.
fn run(world: &mut World, from: i64, to: i64) -> Vec<Vec<Option<f64>>> {
    let steps = (to - from) / STEP;
    (0..steps)
        .map(|i| {
            let mut row = vec![None; world.len()];
            world.at(from + i * STEP, |s| row[s.id] = Some(s.value));
            row
        })
        .collect()
}

fn bits(rows: &[Vec<Option<f64>>]) -> Vec<Vec<Option<u64>>> {
    let row = |row: &Vec<Option<f64>>| row.iter().map(|v| v.map(f64::to_bits)).collect();
    rows.iter().map(row).collect()
}

fn id(world: &World, text: &str) -> usize {
    let found = world.series.iter().position(|s| s.text == text);
    found.unwrap_or_else(|| panic!("no series {text}"))
}

/// A healthy and a faulty world over the same steps, with the series that the truth names.
struct Pair {
    healthy: Vec<Vec<Option<f64>>>,
    faulty: Vec<Vec<Option<f64>>>,
    chosen: Vec<usize>,
    /// Rows in which the fault holds.
    during: std::ops::Range<usize>,
}

impl Pair {
    fn new(spec: &str, from: i64, to: i64) -> Self {
        let (mut a, mut b) = (world(), world());
        let spec: FaultSpec = spec.parse().unwrap();
        let fault = b.plan(&spec, from).unwrap();
        let healthy = run(&mut a, from, to);
        let faulty = run(&mut b, from, to);
        let truth = b.truth(Some(fault), to).remove(0);
        let row = |ms: i64| ((ms - from).max(0) as usize).div_ceil(STEP as usize);
        let chosen = b.faults()[0].targets.iter().flat_map(|&i| {
            let instrument = &b.instruments[i];
            instrument.first..instrument.last
        });
        let chosen: Vec<usize> = chosen.collect();
        assert_eq!(truth.series.len(), chosen.len());
        Self {
            during: row(truth.start_ms)..row(truth.end_ms),
            healthy,
            faulty,
            chosen,
        }
    }

    /// Nothing differs but the chosen series, and they not before the fault.
    fn only_chosen(&self) -> &Self {
        for (i, (a, b)) in self.healthy.iter().zip(&self.faulty).enumerate() {
            for id in 0..a.len() {
                if !self.chosen.contains(&id) || i < self.during.start {
                    let (a, b) = (a[id].map(f64::to_bits), b[id].map(f64::to_bits));
                    assert_eq!(a, b, "series {id} in row {i}");
                }
            }
        }
        self
    }

    /// Healthy and faulty values of the first chosen series while the fault holds.
    fn both(&self) -> impl Iterator<Item = (f64, f64)> {
        let id = self.chosen[0];
        let rows = self.during.clone();
        rows.map(move |i| (self.healthy[i][id].unwrap(), self.faulty[i][id].unwrap()))
    }

    /// Increase of a series over the rows of the fault, healthy and faulty.
    fn increase(&self, id: usize) -> (f64, f64) {
        let (from, to) = (self.during.start - 1, self.during.end - 1);
        let over = |rows: &[Vec<Option<f64>>]| rows[to][id].unwrap() - rows[from][id].unwrap();
        (over(&self.healthy), over(&self.faulty))
    }
}

fn spread(xs: impl Iterator<Item = f64>) -> f64 {
    let xs: Vec<f64> = xs.collect();
    let mean = xs.iter().sum::<f64>() / xs.len() as f64;
    (xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / xs.len() as f64).sqrt()
}

#[test]
fn the_same_seed_and_steps_give_the_same_values() {
    let rows = run(&mut world(), T0, hour(1.0));
    assert_eq!(bits(&rows), bits(&run(&mut world(), T0, hour(1.0))));
    let mut other = World::new(
        8,
        &Shape {
            instances: 2,
            ..Shape::default()
        },
    );
    assert_ne!(bits(&rows), bits(&run(&mut other, T0, hour(1.0))));
}

#[test]
fn a_second_look_at_one_moment_sees_the_same() {
    let mut world = world();
    let _ = run(&mut world, T0, hour(0.1));
    let mut look = || {
        let mut seen = Vec::new();
        world.at(hour(0.2), |s| seen.push((s.id, s.value.to_bits())));
        seen
    };
    assert_eq!(look(), look());
    let mut earlier = Vec::new();
    world.at(T0, |s| earlier.push((s.id, s.value.to_bits())));
    assert_eq!(earlier.len(), world.len(), "the past is not stepped to");
}

#[test]
fn counters_rise_for_a_day_and_every_series_has_a_finite_value() {
    let mut world = world();
    let mut last = vec![f64::NEG_INFINITY; world.len()];
    let mut first = vec![0.0; world.len()];
    for i in 0..5760 {
        world.at(T0 + i * STEP, |s| {
            assert!(s.value.is_finite(), "{}", s.text);
            if s.kind != Kind::Gauge {
                assert!(s.value >= last[s.id], "{} fell", s.text);
            }
            if i == 0 {
                first[s.id] = s.value;
            }
            last[s.id] = s.value;
        });
    }
    for text in [
        "demo_http_requests_total{code=\"200\",node=\"n1\",path=\"/\"}",
        "demo_errors_total{node=\"n2\",reason=\"refused\"}",
        "demo_http_request_duration_seconds_sum{node=\"n1\",path=\"/login\"}",
    ] {
        let id = id(&world, text);
        assert!(last[id] > first[id], "{text} never rose");
    }
    assert_eq!(world.len(), 2 * SERIES_PER_NODE);
}

#[test]
fn lunch_is_busier_than_the_hour_before_on_every_day() {
    let mut world = world();
    let id = id(
        &world,
        "demo_http_requests_total{code=\"200\",node=\"n1\",path=\"/\"}",
    );
    let rows = run(&mut world, T0, hour(48.0));
    let per_hour = |h: f64| {
        let row = |h: f64| ((hour(h) - T0) / STEP) as usize;
        rows[row(h + 1.0)][id].unwrap() - rows[row(h)][id].unwrap()
    };
    for day in [0.0, 24.0] {
        assert!(per_hour(day + 12.2) > 1.5 * per_hour(day + 10.8));
        assert!(per_hour(day + 10.8) > 2.0 * per_hour(day + 3.0));
    }
}

#[test]
fn rhythms_scale_with_the_day() {
    let day = Duration::from_secs(60);
    let mut world = World::new(7, &Shape { instances: 1, day });
    let id = id(&world, "demo_sessions{node=\"n1\"}");
    let mut at = |ms: i64| {
        let mut value = 0.0;
        world.at(T0 + ms, |s| {
            if s.id == id {
                value = s.value;
            }
        });
        value
    };
    let (night, evening, next_night) = (at(20_000), at(50_000), at(80_000));
    assert!(evening > 3.0 * night && evening > 3.0 * next_night);
}

#[test]
fn spike_drop_and_shift_move_a_gauge_by_its_own_noise() {
    let load = "demo_load1{node=\"n1\"}";
    for (kind, sign) in [("spike", 1.0), ("drop", -1.0), ("level_shift", 1.0)] {
        let spec = format!("{kind}:{load}:at=10m:for=5m:size=5");
        let pair = Pair::new(&spec, hour(12.0), hour(12.5));
        assert_eq!(pair.only_chosen().chosen.len(), 1);
        assert_eq!(pair.during.len(), 20);
        for (a, b) in pair.both() {
            let moved = (b - a) / 0.201 * sign;
            assert!((4.9..5.1).contains(&moved), "{kind} by {moved}");
        }
    }
}

#[test]
fn a_negative_shift_goes_down() {
    let spec = "level_shift:demo_temperature_celsius{node=\"n1\",sensor=\"board\"}:at=1m:size=-9";
    let pair = Pair::new(spec, hour(9.0), hour(11.0));
    assert!(pair.only_chosen().both().all(|(a, b)| b < a - 2.0));
}

#[test]
fn a_spike_on_a_counter_is_a_burst_of_events() {
    let spec = "spike:demo_http_requests_total{node=\"n2\",code=\"500\"}:at=5m:for=10m:size=8";
    let pair = Pair::new(spec, hour(9.0), hour(9.5));
    assert_eq!(pair.only_chosen().chosen.len(), 3);
    for &id in &pair.chosen {
        let (healthy, faulty) = pair.increase(id);
        assert!(faulty > 1.5 * healthy + 20.0, "{healthy} to {faulty}");
    }
}

#[test]
fn a_leak_grows_slowly_to_its_size() {
    let spec = "leak:demo_memory_used_bytes{node=\"n1\"}:at=10m:for=1h:size=20";
    let pair = Pair::new(spec, hour(1.0), hour(3.0));
    let moved: Vec<f64> = pair.only_chosen().both().map(|(a, b)| b - a).collect();
    assert!(
        moved.windows(2).all(|w| w[1] >= w[0] - 8192.0),
        "falls back"
    );
    let sigma = 2e7f64.hypot(6e6);
    assert!(moved[0] < sigma && moved[moved.len() - 1] > 18.0 * sigma);
}

#[test]
fn a_variance_burst_widens_the_noise() {
    for series in [
        "demo_load1{node=\"n1\"}",
        "demo_cpu_usage_ratio{node=\"n1\",cpu=\"0\"}",
    ] {
        let spec = format!("variance:{series}:at=10m:for=4h:size=4");
        let pair = Pair::new(&spec, hour(4.0), hour(9.0));
        let pair = pair.only_chosen();
        let healthy = spread(pair.both().map(|(a, _)| a));
        let faulty = spread(pair.both().map(|(_, b)| b));
        assert!(faulty > 1.8 * healthy, "{series}: {healthy} to {faulty}");
    }
}

#[test]
fn a_missing_peak_waits_for_lunch_and_leaves_it_out() {
    let spec = "missing_peak:demo_http_requests_total{node=\"n1\",code=\"200\"}";
    let pair = Pair::new(spec, hour(9.0), hour(14.0));
    assert_eq!(pair.during, 720..1080, "12:00 to 13:30");
    for &id in &pair.only_chosen().chosen {
        let (healthy, faulty) = pair.increase(id);
        assert!(faulty < 0.65 * healthy, "{healthy} to {faulty}");
    }
}

#[test]
fn a_flatline_stands_still_and_lets_go() {
    for series in [
        "demo_load1{node=\"n1\"}",
        "demo_http_requests_total{node=\"n1\"}",
    ] {
        let spec = format!("flatline:{series}:at=10m:for=10m");
        let pair = Pair::new(&spec, hour(9.0), hour(10.0));
        for &id in &pair.only_chosen().chosen {
            let rows = pair.during.start - 1..pair.during.end;
            let still = rows.clone().map(|i| pair.faulty[i][id]);
            assert!(still.clone().all(|v| v == pair.faulty[rows.start][id]));
            assert_ne!(pair.faulty[rows.end + 60][id], pair.faulty[rows.start][id]);
        }
    }
}

#[test]
fn a_reset_counter_starts_from_zero_once() {
    let spec = "counter_reset:{node=\"n1\"}:at=601s";
    let pair = Pair::new(spec, hour(9.0), hour(10.0));
    assert_eq!(
        pair.only_chosen().during,
        41..42,
        "carried to the step after"
    );
    assert_eq!(
        pair.chosen.len(),
        9 + 26 + 2,
        "counters and histograms of the node"
    );
    for &id in &pair.chosen {
        assert_eq!(pair.faulty[41][id], Some(0.0));
        assert!(pair.faulty[40][id] > Some(0.0) || pair.healthy[40][id] == Some(0.0));
        let rises = pair.faulty[41..].windows(2).all(|w| w[1][id] >= w[0][id]);
        assert!(rises, "{id} falls a second time");
    }
}

#[test]
fn vanished_series_are_not_there_and_come_back() {
    let pair = Pair::new("vanish:{node=\"n2\"}:at=10m:for=10m", hour(9.0), hour(10.0));
    assert_eq!(pair.chosen.len(), SERIES_PER_NODE);
    for i in 0..pair.faulty.len() {
        for &id in &pair.chosen {
            assert_eq!(pair.faulty[i][id].is_none(), pair.during.contains(&i));
        }
    }
    let last = pair.faulty.len() - 1;
    assert_eq!(
        pair.faulty[last], pair.healthy[last],
        "the node itself was well"
    );
}

#[test]
fn histograms_stay_whole_and_get_slower_by_a_spike() {
    let spec = "spike:demo_http_request_duration_seconds_count{node=\"n1\"}:at=10m:for=10m:size=10";
    let pair = Pair::new(spec, hour(12.0), hour(13.0));
    let pair = pair.only_chosen();
    assert_eq!(pair.chosen.len(), 26, "all series of both histograms");
    let (sum, count) = (pair.chosen[11], pair.chosen[12]);
    for row in &pair.faulty {
        let buckets: Vec<f64> = (0..11).map(|b| row[pair.chosen[b]].unwrap()).collect();
        assert!(buckets.windows(2).all(|w| w[0] <= w[1]), "not cumulative");
        assert_eq!(row[count], Some(buckets[10]), "+Inf is the count");
    }
    let mean = |(a, b): (f64, f64), (n, m): (f64, f64)| (a / n, b / m);
    let (healthy, faulty) = mean(pair.increase(sum), pair.increase(count));
    assert!(faulty > 1.8 * healthy, "{healthy} to {faulty}");
}

#[test]
fn faults_that_cannot_be_are_refused() {
    let mut world = world();
    let mut refuse = |spec: &str| {
        let err = world.plan(&spec.parse().unwrap(), T0).unwrap_err();
        assert_eq!(err.field(), Some("series"), "{spec}");
    };
    refuse("spike:demo_nothing");
    refuse("counter_reset:demo_load1");
    refuse("missing_peak:demo_queue_length");
    refuse("spike:demo_build_info");
    let spec: FaultSpec = "spike:demo_load1:at=1h".parse().unwrap();
    for _ in 0..FAULTS_MAX {
        world.plan(&spec, T0).unwrap();
    }
    assert_eq!(world.plan(&spec, T0), Err(FaultError::TooMany));
}

#[test]
fn faults_are_planned_active_over_and_can_be_ended() {
    let mut world = world();
    world.advance(T0);
    let spec: FaultSpec = "spike:demo_load1:at=1m:for=1h".parse().unwrap();
    let fault = world.plan(&spec, T0).unwrap();
    let state = |world: &World, t: i64| world.truth(Some(fault), t)[0].state;
    assert_eq!(state(&world, T0), FaultState::Planned);
    world.advance(T0 + 60_000);
    assert_eq!(state(&world, T0 + 60_000), FaultState::Active);
    assert!(world.end_fault(fault, T0 + 90_000));
    assert_eq!(state(&world, T0 + 90_000), FaultState::Over);
    assert_eq!(world.truth(None, T0)[0].end_ms, T0 + 90_000);
    let planned = world.plan(&spec, T0).unwrap();
    assert!(world.end_fault(planned, T0));
    assert!(!world.end_fault(planned, T0), "a planned one is forgotten");
    assert_eq!(world.faults().len(), 1);
}

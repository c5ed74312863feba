//! The fault of the demo and of the end-to-end test pages whenever it comes: those two wait for a
//! real alert and can try one moment of the generator's day only; here all of them are tried.

#[path = "../../examples/demo/stack/pace.rs"]
mod pace;

use saimon::config::Severity;
use saimon::generate::fault::FaultSpec;
use saimon::generate::world::{Shape, World};
use saimon::model::SeriesSpec;

use saimon::score::board::AlarmState;
use saimon::score::track::{Taken, Track};
use saimon::series::kind::{Kind, Source};
use serde_json::json;

/// Between two scrapes of the generator in deploy/demo/prometheus.yml.
const STEP_MS: i64 = 500;

/// The demo orders its fault a few samples after the series may alert.
const QUIET: i64 = 10;

/// Samples of the fault that are looked at: half of the 20 seconds it lasts.
const FAULT: i64 = 20;

#[test]
fn its_fault_is_medium_at_least_at_any_time_of_the_day() {
    // the demo's seed and that of the end-to-end test
    for seed in [1, 7] {
        for second in 0..i64::try_from(pace::DAY.as_secs()).expect("a short day") {
            // scrapes do not fall onto whole seconds
            for jitter in [0, 170, 370, 730] {
                let worst = gravest(seed, second * 1_000 + jitter);
                assert!(
                    worst >= Some(Severity::Medium),
                    "seed {seed}, {second} s and {jitter} ms: {worst:?}"
                );
            }
        }
    }
}

/// How grave the fault is called while it lasts, when the first sample is `offset_ms` into a day.
fn gravest(seed: u64, offset_ms: i64) -> Option<Severity> {
    let day_ms = i64::try_from(pace::DAY.as_millis()).expect("a short day");
    let mut world = World::new(
        seed,
        &Shape {
            day: pace::DAY,
            ..Shape::default()
        },
    );
    let spec = SeriesSpec {
        day_ms,
        warmup: pace::WARMUP,
        young: pace::YOUNG,
        ..SeriesSpec::default()
    };
    let mut track = Track::new(&spec, Some((Kind::Gauge, Source::Rule)));
    track.judge_mut().give_forest(&spec, seed);
    let begin = day_ms * 88_378_560 + offset_ms;
    let ordered = i64::from(pace::YOUNG) + QUIET;
    let mut gravest = None;
    for i in 0..ordered + FAULT {
        let t = begin + i * STEP_MS;
        if i == ordered {
            let order = json!({"kind": "level_shift", "series": "demo_load1{node=\"n1\"}",
                "size": pace::SHIFT, "for": "20s"});
            let fault = FaultSpec::from_json(&order).expect("a fault");
            world.plan(&fault, t).expect("a plan");
        }
        let mut value = None;
        world.at(t, |s| {
            if s.text.starts_with("demo_load1{") && s.text.contains("node=\"n1\"") {
                value = Some(s.value);
            }
        });
        let taken = track.take(&spec, t, value.expect("the series"));
        if let Taken::Kept {
            judgement: Some(j), ..
        } = taken
            && let Some(alarm) = j.alarm
            && alarm.state == AlarmState::Active
            && i >= ordered
        {
            gravest = gravest.max(Some(alarm.severity));
        }
    }
    gravest
}

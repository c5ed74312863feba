//! A saimon that has seen the generator's world for some hours, with things gone wrong in it.

use std::collections::BTreeMap;
use std::time::Duration;

use saimon::generate::fault::FaultSpec;
use saimon::generate::world::{Shape, World};
use saimon::wire::proto;
use serde_json::{Value, json};

use crate::serving::Serving;

/// Steps that go in one request.
const BATCH: i64 = 120;

/// The world, and how far it has been told.
pub(crate) struct Town {
    world: World,
    step_ms: i64,
    now_ms: i64,
    pub(crate) sent: u64,
}

impl Town {
    /// It begins at a time and is told in steps.
    pub(crate) fn new(instances: u32, start_ms: i64, step_ms: i64) -> Self {
        let day = Duration::from_secs(24 * 3600);
        Self {
            world: World::new(7, &Shape { instances, day }),
            step_ms,
            now_ms: start_ms,
            sent: 0,
        }
    }

    /// Something that goes wrong at a time.
    pub(crate) fn fault(&mut self, at_ms: i64, spec: &Value) {
        let spec = FaultSpec::from_json(spec).unwrap();
        self.world.plan(&spec, at_ms).unwrap();
    }

    /// Tells what was up to a time.
    pub(crate) fn tell(&mut self, saimon: &Serving, until_ms: i64) {
        let mut client = saimon.connect();
        while self.now_ms < until_ms {
            let mut all: BTreeMap<usize, proto::TimeSeries> = BTreeMap::new();
            for _ in 0..BATCH {
                if self.now_ms >= until_ms {
                    break;
                }
                let timestamp = self.now_ms;
                self.world.at(timestamp, |series| {
                    let of = all.entry(series.id).or_insert_with(|| proto::TimeSeries {
                        labels: labels(series.labels),
                        ..Default::default()
                    });
                    of.samples.push(proto::Sample {
                        value: series.value,
                        timestamp,
                    });
                });
                self.now_ms += self.step_ms;
            }
            let timeseries: Vec<_> = all.into_values().collect();
            self.sent += timeseries
                .iter()
                .map(|s| s.samples.len() as u64)
                .sum::<u64>();
            let request = proto::WriteRequest {
                timeseries,
                ..Default::default()
            };
            loop {
                let answer = client.write(&request);
                if answer.status == 204 {
                    break;
                }
                assert_eq!(answer.status, 503, "{}", answer.text());
                std::thread::sleep(Duration::from_millis(100));
            }
        }
    }
}

/// As a scrape of the generator would have them.
fn labels(own: &[(String, String)]) -> Vec<proto::Label> {
    let node = own.iter().find(|(name, _)| name == "node");
    let instance = node.map_or_else(String::new, |(_, node)| format!("{node}:9100"));
    let added = [
        ("instance".to_owned(), instance),
        ("job".to_owned(), "demo".to_owned()),
    ];
    let all: BTreeMap<_, _> = own.iter().cloned().chain(added).collect();
    let label = |(name, value)| proto::Label { name, value };
    all.into_iter().map(label).collect()
}

/// A day and a half that somebody on call would rather not have had; ends at `now_ms`.
pub(crate) fn trouble(town: &mut Town, now_ms: i64) {
    let before = |hours: f64| now_ms - (hours * 3_600_000.0) as i64;
    for (hours, kind, series, size, length) in [
        (
            15.2,
            "level_shift",
            "demo_load1{node=\"n1\"}",
            json!(25),
            "50m",
        ),
        (
            11.0,
            "spike",
            "demo_queue_length{node=\"n2\"}",
            json!(30),
            "4m",
        ),
        (
            8.4,
            "flatline",
            "demo_temperature_celsius{node=\"n1\"}",
            json!(null),
            "70m",
        ),
        (
            6.1,
            "drop",
            "demo_memory_used_bytes{node=\"n2\"}",
            json!(60),
            "12m",
        ),
        (
            3.3,
            "variance",
            "demo_temperature_celsius{node=\"n2\", sensor=\"board\"}",
            json!(9),
            "40m",
        ),
        (
            1.4,
            "level_shift",
            "demo_cpu_usage_ratio{node=\"n2\"}",
            json!(14),
            "25m",
        ),
        (0.5, "spike", "demo_load1{node=\"n2\"}", json!(60), "5m"),
        (
            0.07,
            "level_shift",
            "demo_memory_used_bytes{node=\"n2\"}",
            json!(90),
            "2h",
        ),
        (
            0.05,
            "level_shift",
            "demo_load1{node=\"n1\"}",
            json!(70),
            "2h",
        ),
    ] {
        let mut spec = json!({"kind": kind, "series": series, "for": length, "at": "0s"});
        if !size.is_null() {
            spec["size"] = size;
        }
        town.fault(before(hours), &spec);
    }
}

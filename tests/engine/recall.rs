//! What is said again of samples is what was said of them when they came.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use saimon::config::{DetectConfig, Direction, RuleConfig};
use saimon::engine::ask::AskError;
use saimon::engine::batch::Families;
use saimon::engine::keep::{GroupSnapshot, PARTITIONS};
use saimon::engine::models::Wish;
use saimon::engine::pool::{Engine, Pool};
use saimon::engine::recall::Effort;
use saimon::engine::rules::Rules;
use saimon::engine::shard::{Message, Renewal};
use saimon::engine::tap::{Outlet, TapSpec, Wants, rows};
use saimon::score::track::again::{Numbers, Said};
use saimon::series::labels;
use saimon::series::matcher::Selector;
use saimon::wire::write::{MetricType, STALE_NAN_BITS};

use crate::driver::batches;
use crate::histograms::detect;
use crate::running::Running;
use crate::windows::Given;

const STEP_MS: i64 = 15_000;

/// Bits of the numbers of a sample; none where the series ended.
pub(crate) type Bits = Option<[u64; 6]>;
/// By labels: what was said, in order of time.
pub(crate) type Spoken = BTreeMap<String, Vec<(i64, Bits)>>;

fn bits(what: Option<Numbers>) -> Bits {
    what.map(|n| {
        let (lower, upper) = n.band.unwrap_or_default();
        let all = [
            f64::from(n.score),
            n.expected,
            lower,
            upper,
            n.deviation,
            n.rarity,
        ];
        all.map(f64::to_bits)
    })
}

/// A process with a store, and what it says as it says it.
pub(crate) struct Live {
    pub(crate) running: Running,
    outlet: Outlet,
    past: Arc<Given>,
    pub(crate) spoken: Spoken,
    band: bool,
}

impl Live {
    pub(crate) fn start(
        detect: &DetectConfig,
        past: &Arc<Given>,
        groups: &[GroupSnapshot],
    ) -> Self {
        Self::with_bands(detect, past, groups, false)
    }

    /// Bands are searched for, which takes its time.
    pub(crate) fn with_bands(
        detect: &DetectConfig,
        past: &Arc<Given>,
        groups: &[GroupSnapshot],
        band: bool,
    ) -> Self {
        Self::told(detect, past, groups, band, |_| {})
    }

    pub(crate) fn told(
        detect: &DetectConfig,
        past: &Arc<Given>,
        groups: &[GroupSnapshot],
        band: bool,
        tell: impl FnOnce(&mut Pool),
    ) -> Self {
        let wants = Wants { extra: true, band };
        let have = Box::new([0; PARTITIONS]);
        let mut outlet = None;
        let running = Running::made(2, detect, 1000, Some(past.clone()), groups, |pool| {
            outlet = Some(pool.tap(&TapSpec { wants, have }));
            tell(pool);
        });
        Self {
            running,
            outlet: outlet.unwrap(),
            past: Arc::clone(past),
            spoken: Spoken::new(),
            band,
        }
    }

    pub(crate) fn send(
        &mut self,
        samples: &[(&[u8], i64, f64)],
        starts: &[(usize, i64)],
        now_ms: i64,
    ) {
        self.running.clock.set(now_ms);
        let senders = &self.running.engine().senders;
        for (sender, batch) in
            senders
                .iter()
                .zip(batches(senders.len(), samples, starts, &[], now_ms))
        {
            sender.blocking_send(Message::Batch(batch)).unwrap();
        }
    }

    /// What came is judged and what was said of it heard.
    pub(crate) fn settle(&mut self, now_ms: i64) {
        // What had no room on its way goes with the next batch.
        for _ in 0..3 {
            self.running.select("{}");
            self.listen();
            self.send(&[], &[], now_ms);
        }
    }

    fn announce(&self, family: &str, kind: MetricType) {
        for sender in &self.running.engine().senders {
            let all = [(Box::from(family), kind)].into();
            let families = Families { all, seq: 0 };
            sender.blocking_send(Message::Families(families)).unwrap();
        }
    }

    /// Hands what there is to the store; the states that a start after this begins with.
    pub(crate) fn checkpoint(&mut self) -> Vec<GroupSnapshot> {
        let groups = self.running.checkpoint();
        self.past.take(&groups);
        self.listen();
        groups
    }

    pub(crate) fn listen(&mut self) {
        while let Some(some) = self.outlet.next(Duration::ZERO).unwrap() {
            for row in rows(&some.bytes).map(Result::unwrap) {
                let what = row.score.map(|score| Numbers {
                    // not among what rows have
                    value: f64::NAN,
                    score,
                    expected: row.extra.unwrap().expected,
                    deviation: row.extra.unwrap().deviation,
                    rarity: row.extra.unwrap().rarity,
                    band: row.bounds,
                });
                let of = self.spoken.entry(labels::display(row.labels)).or_default();
                of.push((row.t_ms, bits(what)));
            }
            self.outlet.done(some);
        }
    }

    pub(crate) fn recall(&self, selector: &str, range: (i64, i64)) -> Result<Spoken, AskError> {
        let reader = self.running.reader();
        let wanted = Arc::new(Selector::parse(selector).unwrap());
        let found = reader.select_scored(wanted, i64::MIN, i64::MAX, usize::MAX);
        let mut found = self.running.runtime.block_on(found)?;
        found.sort_by_key(|f| labels::display(&f.labels));
        let effort = Effort::new(100_000_000);
        let said = reader.recall(&found, range, self.band, &effort);
        let said = self.running.runtime.block_on(said)?;
        let one = |said: &Said| (said.t_ms, bits(said.what));
        let said = said.iter().map(|s| s.iter().map(one).collect());
        let text = found.iter().map(|f| labels::display(&f.labels));
        Ok(text.zip(said).collect())
    }

    /// What was said and what is said again, of all series in the range.
    #[track_caller]
    pub(crate) fn same(&self, range: (i64, i64)) {
        let mut again = self.recall("{}", range).unwrap();
        // Those of which there is never anything to be said.
        again.retain(|labels, said| !said.is_empty() || self.spoken.contains_key(labels));
        let mut wanted = self.spoken.clone();
        for said in wanted.values_mut() {
            said.retain(|(t_ms, _)| (range.0..=range.1).contains(t_ms));
        }
        let names = |s: &Spoken| s.keys().cloned().collect::<Vec<_>>();
        assert_eq!(names(&again), names(&wanted));
        for (labels, wanted) in &wanted {
            let again = &again[labels];
            let first = again.iter().zip(wanted).position(|(a, b)| a != b);
            assert_eq!(again.len(), wanted.len(), "{labels}");
            assert_eq!(first, None, "{labels}");
        }
    }
}

fn named(name: &str) -> Vec<u8> {
    labels::encode([("__name__", name), ("job", "node")])
}

/// A gauge with a rhythm, which ends for a while; counters by name, by metadata and by what they do;
/// one with start times; one that begins late and takes after the first.
fn play(live: &mut Live, steps: std::ops::Range<i64>) {
    let all: Vec<_> = ["load", "hits_total", "jobs", "calls_total"]
        .into_iter()
        .map(named)
        .collect();
    let younger = labels::encode([("__name__", "load"), ("instance", "b"), ("job", "node")]);
    let steps_end = steps.end;
    for i in steps {
        let mut rng = fastrand::Rng::with_seed(i as u64);
        let noise = rng.f64() + rng.f64() + rng.f64();
        let gauge =
            50.0 + 20.0 * (i as f64 / 96.0).sin() + noise + f64::from(i % 311 == 310) * 90.0;
        let gauge = if i % 700 == 699 {
            f64::from_bits(STALE_NAN_BITS)
        } else {
            gauge
        };
        let t_ms = i * STEP_MS;
        let mut now: Vec<(&[u8], i64, f64)> = vec![
            (&all[0], t_ms, gauge),
            (&all[1], t_ms, (i % 1000) as f64 * 7.0 + noise),
            (&all[2], t_ms, (i * 3) as f64 + noise),
            (&all[3], t_ms, (i % 400) as f64 * 2.0 + noise),
        ];
        if i > 300 {
            now.push((&younger, t_ms, gauge + 3.0));
        }
        let start_ms = t_ms - (i % 400) * STEP_MS - 1000;
        live.send(&now, &[(3, start_ms)], t_ms);
        if i == 200 {
            live.announce("jobs", MetricType::Counter);
        }
        if i % 10 == 9 {
            live.listen();
        }
    }
    live.settle(steps_end * STEP_MS);
}

#[test]
fn what_is_said_again_is_what_was_said_over_checkpoints_fits_and_restarts() {
    let past = Arc::new(Given::default());
    let detect = DetectConfig {
        young: 60,
        ..detect()
    };
    let mut live = Live::start(&detect, &past, &[]);
    play(&mut live, 0..150);
    live.same((i64::MIN, i64::MAX));
    play(&mut live, 150..650);
    let _ = live.running.order(&named("load"), Wish::Train);
    let groups = live.checkpoint();
    live.same((0, 650 * STEP_MS));
    // What comes after the checkpoint is lost, and taken again.
    let spoken = live.spoken.clone();
    play(&mut live, 650..750);
    drop(live);
    let mut live = Live::start(&detect, &past, &groups);
    live.announce("jobs", MetricType::Counter);
    live.spoken = spoken;
    play(&mut live, 650..1150);
    live.same((0, 1150 * STEP_MS));
    live.checkpoint();
    live.same((600 * STEP_MS, 700 * STEP_MS));
    live.same((1140 * STEP_MS, i64::MAX));
    let load = &live.spoken["load{job=\"node\"}"];
    assert!(load.iter().any(|(_, b)| b.is_none()), "it ended once");
    assert_eq!(
        live.recall("load", (0, 10)).unwrap()["load{job=\"node\"}"],
        []
    );
}

#[test]
fn what_unknown_rules_said_is_left_out_and_what_is_too_much_is_refused() {
    let past = Arc::new(Given::default());
    let mut live = Live::start(&detect(), &past, &[]);
    play(&mut live, 0..300);
    let groups = live.checkpoint();
    drop(live);
    let other = DetectConfig {
        rules: vec![RuleConfig {
            selector: "load".to_owned(),
            min_deviation: Some(1.0),
            ..RuleConfig::default()
        }],
        ..detect()
    };
    let mut live = Live::told(&other, &past, &groups, false, |pool| {
        pool.rules_were(Some(Rules::try_from(&detect()).unwrap()));
    });
    play(&mut live, 300..800);
    let spoken = live.recall("{}", (0, i64::MAX)).unwrap();
    let (load, hits) = (
        &spoken["load{job=\"node\"}"],
        &spoken["hits_total{job=\"node\"}"],
    );
    assert!(hits.len() > 750, "its rules are the same: {}", hits.len());
    // From the first sample under them, and nothing of before.
    let first = load.first().unwrap().0 / STEP_MS;
    assert_eq!(first, 300);
    let wanted = &live.spoken["load{job=\"node\"}"];
    let from = wanted
        .iter()
        .position(|(t, _)| t / STEP_MS == first)
        .unwrap();
    assert_eq!(load[..], wanted[from..]);
    let found = live.running.select("{}");
    let reader = live.running.reader();
    let effort = Effort::new(1000);
    let said = reader.recall(&found, (0, i64::MAX), false, &effort);
    let error = live.running.runtime.block_on(said).unwrap_err();
    assert_eq!(error, AskError::TooMuch { limit: 1000 });
}

/// Others in every way that scores depend on, and in one that only some series hear of.
pub(crate) fn changed() -> Vec<DetectConfig> {
    let with = |change: &dyn Fn(&mut DetectConfig)| {
        let mut detect = detect();
        change(&mut detect);
        detect
    };
    let rule = |change: &dyn Fn(&mut RuleConfig)| {
        let mut rule = RuleConfig {
            selector: "load".to_owned(),
            ..RuleConfig::default()
        };
        change(&mut rule);
        rule
    };
    vec![
        with(&|d| d.line *= 2.0),
        with(&|d| d.rules = vec![rule(&|r| r.min_deviation = Some(1.0))]),
        with(&|d| d.rules = vec![rule(&|r| r.direction = Some(Direction::Down))]),
    ]
}

#[test]
fn what_other_rules_said_is_said_again_under_them_after_reloads() {
    let past = Arc::new(Given::default());
    let mut live = Live::start(&detect(), &past, &[]);
    play(&mut live, 0..230);
    for (i, other) in (1..).zip(changed()) {
        let renewal = Renewal {
            rules: Arc::new(Rules::try_from(&other).unwrap()),
            series_max: 1000,
            memory_max: None,
            wants_history: true,
        };
        let senders = &live.running.engine().senders;
        live.running
            .runtime
            .block_on(Engine::renew(senders, &renewal));
        play(&mut live, i * 230..(i + 1) * 230);
    }
    live.same((i64::MIN, i64::MAX));
    live.checkpoint();
    live.same((100 * STEP_MS, 800 * STEP_MS));
}

#[test]
fn what_other_rules_said_is_said_again_under_them_after_restarts() {
    let past = Arc::new(Given::default());
    let mut live = Live::start(&detect(), &past, &[]);
    play(&mut live, 0..230);
    let mut before = vec![detect()];
    for (i, other) in (1..).zip(changed()) {
        let groups = live.checkpoint();
        let spoken = live.spoken.clone();
        drop(live);
        live = Live::told(&other, &past, &groups, false, |pool| {
            let rules = |d: &DetectConfig| Rules::try_from(d).unwrap();
            pool.rules_before(before.iter().map(rules).collect());
            pool.rules_were(Some(rules(&before[0])));
        });
        live.announce("jobs", MetricType::Counter);
        live.spoken = spoken;
        before.insert(0, other);
        play(&mut live, i * 230..(i + 1) * 230);
        live.same((i64::MIN, i64::MAX));
    }
}

#[test]
fn a_band_is_the_one_that_was_there() {
    let past = Arc::new(Given::default());
    let mut live = Live::with_bands(&detect(), &past, &[], true);
    play(&mut live, 0..90);
    live.same((40 * STEP_MS, i64::MAX));
    let load = &live.spoken["load{job=\"node\"}"];
    let bounded = |(_, b): &(i64, Bits)| b.is_some_and(|b| b[2] != b[3]);
    assert!(load.iter().filter(|one| bounded(one)).count() > 50);
}

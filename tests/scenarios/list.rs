//! The scenarios: what happens, and what is expected.

use saimon::config::Severity;
use saimon::generate::clean::Kind;
use saimon::score::board::{Reason, Side};

use super::play::{Expected, Moment, Scenario, Turn};

const USUAL: Scenario = Scenario::USUAL;
/// Samples of a day at 5 minutes.
const DAY: i64 = 288;

const fn found(
    within: i64,
    severity: Severity,
    reasons: &'static [Reason],
    side: Side,
) -> Expected {
    Expected::Found {
        within,
        severity,
        reasons,
        side: Some(side),
        ends: false,
    }
}

fn since(m: &Moment) -> bool {
    m.since >= 0
}

/// A day from 20 % at 3:00 to 80 % at 15:00.
fn cpu(m: &mut Moment) {
    let turn = (m.hour - 15.0) / 24.0 * std::f64::consts::TAU;
    m.draw.level = 50.0 + 30.0 * turn.cos();
    m.draw.noise *= 0.3;
}

/// Flat, with a peak of an hour or two around 20:00.
fn evening(m: &mut Moment, peak: bool) {
    let from_top = (m.hour - 20.0) / 1.2;
    let height = if peak {
        50.0 * (-0.5 * from_top * from_top).exp()
    } else {
        0.0
    };
    m.draw.level = 50.0 + height;
    m.draw.noise *= 0.4;
}

/// A wave of so many samples.
fn wave(m: &mut Moment, length: f64) {
    m.draw.level = 100.0 + 30.0 * (std::f64::consts::TAU * m.since as f64 / length).sin();
    m.draw.noise *= 0.1;
}

pub(crate) const SPIKE: Scenario = Scenario {
    name: "spike of 10 sigma, one sample",
    happens: |m| {
        if m.since == 0 {
            m.draw.level += 10.0 * m.sd;
        }
    },
    expected: found(1, Severity::Low, &[Reason::Spike], Side::Up),
    ..USUAL
};

pub(crate) const DIP: Scenario = Scenario {
    name: "dip of 8 sigma, three samples",
    happens: |m| {
        if (0..3).contains(&m.since) {
            m.draw.level -= 8.0 * m.sd;
        }
    },
    expected: found(2, Severity::Medium, &[Reason::Drop], Side::Down),
    ..USUAL
};

pub(crate) const LEVEL_2: Scenario = Scenario {
    name: "level +2 sigma",
    after: 100,
    happens: |m| {
        if since(m) {
            m.draw.level += 2.0 * m.sd;
        }
    },
    expected: found(40, Severity::Low, &[Reason::LevelShift], Side::Up),
    ..USUAL
};

pub(crate) const LEVEL_4: Scenario = Scenario {
    name: "level +4 sigma",
    after: 60,
    happens: |m| {
        if since(m) {
            m.draw.level += 4.0 * m.sd;
        }
    },
    expected: found(4, Severity::Low, &[Reason::LevelShift], Side::Up),
    ..USUAL
};

pub(crate) const LEVEL_4_FAST: Scenario = Scenario {
    name: "level +4 sigma at 15 s",
    interval_s: 15,
    ..LEVEL_4
};

pub(crate) const LEAK_1: Scenario = Scenario {
    name: "leak of 1 sigma a day",
    after: 7 * DAY,
    happens: |m| m.draw.level += m.sd * m.since.max(0) as f64 / DAY as f64,
    expected: found(5 * DAY, Severity::Low, &[Reason::Trend], Side::Up),
    ..USUAL
};

pub(crate) const LEAK_3: Scenario = Scenario {
    name: "leak of 3 sigma a day",
    after: 3 * DAY,
    happens: |m| m.draw.level += 3.0 * m.sd * m.since.max(0) as f64 / DAY as f64,
    expected: found(2 * DAY, Severity::Low, &[Reason::Trend], Side::Up),
    ..USUAL
};

pub(crate) const MEMORY_LEAK: Scenario = Scenario {
    name: "memory from 60 % to 75 % in a week, noise of 0.3",
    kind: Kind::Ar90,
    after: 4 * DAY,
    happens: |m| {
        m.draw.level = 60.0 + 15.0 * m.since.max(0) as f64 / (7 * DAY) as f64;
        m.draw.noise *= 0.03;
    },
    expected: found(2 * DAY, Severity::Low, &[Reason::Trend], Side::Up),
    ..USUAL
};

pub(crate) const MEMORY_LEAK_NOISY: Scenario = Scenario {
    name: "memory from 60 % to 75 % in a week, noise of 1",
    happens: |m| {
        m.draw.level = 60.0 + 15.0 * m.since.max(0) as f64 / (7 * DAY) as f64;
        m.draw.noise *= 0.1;
    },
    // The last quarter of a day that ends within two is hardly above the noise of a day's mean.
    expected: found(5 * DAY / 2, Severity::Low, &[Reason::Trend], Side::Up),
    ..MEMORY_LEAK
};

pub(crate) const VARIANCE_3: Scenario = Scenario {
    name: "variance: noise three times as wide",
    after: 60,
    happens: |m| {
        if since(m) {
            m.draw.noise *= 3.0;
        }
    },
    expected: Expected::Found {
        within: 30,
        severity: Severity::Low,
        reasons: &[Reason::Variance],
        side: None,
        ends: false,
    },
    ..USUAL
};

pub(crate) const MISSING_PEAK: Scenario = Scenario {
    name: "missing peak of the evening",
    hour: 17.0,
    after: 72,
    happens: |m| evening(m, m.since < 0),
    expected: found(
        60,
        Severity::Low,
        &[Reason::Pattern, Reason::Season],
        Side::Down,
    ),
    ..USUAL
};

pub(crate) const THREE_AM: Scenario = Scenario {
    name: "60 % at 3 AM, half an hour",
    hour: 3.0,
    after: 30,
    happens: |m| {
        cpu(m);
        if (0..6).contains(&m.since) {
            m.draw.level = 60.0;
        }
    },
    expected: found(2, Severity::Medium, &[Reason::Season], Side::Up),
    ..USUAL
};

pub(crate) const LUNCH: Scenario = Scenario {
    name: "lunch-hour rush, a week of them",
    kind: Kind::Office,
    after: 7 * DAY,
    expected: Expected::Quiet {
        below: Severity::Medium,
    },
    ..USUAL
};

pub(crate) const FLATLINE: Scenario = Scenario {
    name: "flatline at a normal value",
    after: 200,
    happens: |m| {
        if m.since > 0 {
            m.turn = Turn::Stuck;
        }
    },
    expected: Expected::Found {
        within: 60,
        severity: Severity::Low,
        reasons: &[Reason::Flatline],
        side: None,
        ends: false,
    },
    ..USUAL
};

pub(crate) const FREQUENCY: Scenario = Scenario {
    name: "wave of 48 samples becomes one of 8",
    after: 200,
    happens: |m| wave(m, if m.since < 0 { 48.0 } else { 8.0 }),
    expected: Expected::Found {
        within: 120,
        severity: Severity::Low,
        reasons: &[Reason::Pattern, Reason::Variance],
        side: None,
        ends: false,
    },
    ..USUAL
};

pub(crate) const FREQUENCY_NOISY: Scenario = Scenario {
    name: "wave of 40 samples becomes one of 10, noise of a fifth of it",
    happens: |m| {
        let noise = m.draw.noise;
        wave(m, if m.since < 0 { 40.0 } else { 10.0 });
        m.draw.noise = 0.6 * noise;
    },
    ..FREQUENCY
};

pub(crate) const COUNTER_RESET: Scenario = Scenario {
    name: "counter reset",
    kind: Kind::Counter,
    interval_s: 15,
    after: 100,
    happens: |m| {
        if m.since == 0 {
            m.turn = Turn::Restarted;
        }
    },
    expected: Expected::Quiet {
        below: Severity::Low,
    },
    ..USUAL
};

pub(crate) const TARGET_RESTART: Scenario = Scenario {
    name: "restart of the target: two samples lost, counters from 0",
    kind: Kind::Counter,
    interval_s: 15,
    after: 100,
    happens: |m| match m.since {
        0 | 1 => m.turn = Turn::Lost,
        2 => m.turn = Turn::Restarted,
        _ => {}
    },
    expected: Expected::Quiet {
        below: Severity::Low,
    },
    ..USUAL
};

pub(crate) const GAP: Scenario = Scenario {
    name: "gap of six hours and return",
    kind: Kind::Ar99,
    after: 72 + DAY,
    happens: |m| {
        if (0..72).contains(&m.since) {
            m.turn = Turn::Lost;
        }
    },
    expected: Expected::Quiet {
        below: Severity::Medium,
    },
    ..USUAL
};

pub(crate) const GAP_DAILY: Scenario = Scenario {
    name: "gap from 6:00 to 12:00 and return, with a day",
    kind: Kind::Daily,
    hour: 6.0,
    ..GAP
};

pub(crate) const FIRST_STEP: Scenario = Scenario {
    name: "constant series, first step",
    kind: Kind::Constant,
    after: 100,
    happens: |m| {
        if since(m) {
            m.draw.level = 50.0;
        }
    },
    expected: Expected::Found {
        within: 3,
        severity: Severity::Low,
        reasons: &[Reason::LevelShift, Reason::Spike],
        side: Some(Side::Up),
        ends: true,
    },
    ..USUAL
};

pub(crate) const SPARSE: Scenario = Scenario {
    name: "sparse counter: one event in ten samples",
    kind: Kind::PoissonTenth,
    counted: true,
    interval_s: 15,
    after: 3000,
    ..USUAL
};

pub(crate) const HEAVY_TAIL: Scenario = Scenario {
    name: "heavy tail: Student's t, three degrees",
    kind: Kind::HeavyT3,
    interval_s: 15,
    after: 3000,
    // At the promised 1.5e-4 of samples, three runs of ten would have a medium one.
    ..USUAL
};

pub(crate) const PERCENT: Scenario = Scenario {
    name: "whole percent",
    kind: Kind::Percent,
    interval_s: 15,
    after: 3000,
    ..USUAL
};

pub(crate) const DEPLOY: Scenario = Scenario {
    name: "deploy doubles memory, and it stays",
    kind: Kind::Ar90,
    after: 2 * DAY,
    happens: |m| {
        if since(m) {
            m.draw.level *= 2.0;
        }
    },
    expected: Expected::Found {
        within: 3,
        severity: Severity::Medium,
        reasons: &[Reason::LevelShift],
        side: Some(Side::Up),
        ends: true,
    },
    ..USUAL
};

pub(crate) const ALL: [&Scenario; 25] = [
    &SPIKE,
    &DIP,
    &LEVEL_2,
    &LEVEL_4,
    &LEVEL_4_FAST,
    &LEAK_1,
    &LEAK_3,
    &MEMORY_LEAK,
    &MEMORY_LEAK_NOISY,
    &VARIANCE_3,
    &MISSING_PEAK,
    &THREE_AM,
    &LUNCH,
    &FLATLINE,
    &FREQUENCY,
    &FREQUENCY_NOISY,
    &COUNTER_RESET,
    &TARGET_RESTART,
    &GAP,
    &GAP_DAILY,
    &FIRST_STEP,
    &SPARSE,
    &HEAVY_TAIL,
    &PERCENT,
    &DEPLOY,
];

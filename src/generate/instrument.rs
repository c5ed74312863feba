//! One measured thing: its process, and what a fault does to it.
//!
//! An instrument writes one series, or several where they belong together (a histogram). It is
//! stepped in time order; what it draws depends on its own generator, the steps and its own faults.

use super::fault::FaultKind;
use super::noise::{Ar, Noise};
use super::rhythm::Rhythm;

/// Upper bounds of the histogram's buckets in seconds, without `+Inf`. None is a whole number, so
/// that both text formats write `le` alike.
pub(super) const BUCKETS: [f64; 10] = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 0.75, 1.5, 2.5];
/// Series of a histogram: the buckets, `+Inf`, the sum and the count.
pub(super) const HISTOGRAM_SERIES: usize = BUCKETS.len() + 3;
/// Latencies drawn per step at most; each then stands for several requests.
const LATENCY_DRAWS_MAX: f64 = 64.0;
/// A change of configuration comes never in the first hour and then once in so many seconds.
const VERSION_QUIET_S: f64 = 3600.0;
const VERSION_MEAN_S: f64 = 12.0 * 3600.0;

/// A step in time.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    /// Seconds since the world's first step.
    pub(super) since_start_s: f64,
    /// Seconds since the last step; 0 at the first.
    pub(super) dt_s: f64,
    /// Part of the day, 0 to 1.
    pub(super) phase: f64,
    /// Unix seconds of the world's first step.
    pub(super) start_s: f64,
}

/// What all active faults together do to one instrument.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Effect {
    /// Added, in standard deviations of the instrument's own noise.
    pub(super) offset: f64,
    /// Noise is this many times as wide.
    pub(super) spread: f64,
    pub(super) no_peak: bool,
    pub(super) frozen: bool,
    pub(super) reset: bool,
    pub(super) gone: bool,
}

impl Effect {
    pub(super) const NONE: Self = Self {
        offset: 0.0,
        spread: 1.0,
        no_peak: false,
        frozen: false,
        reset: false,
        gone: false,
    };
}

/// How an instrument's values come about.
#[derive(Debug, Clone)]
pub(super) enum Process {
    Gauge(Gauge),
    Counter(Counter),
    Histogram(Box<Histogram>),
    Version(Version),
    /// Always 1 unless a fault drops it.
    Flag,
    /// Never changes.
    Fixed(f64),
    /// Unix time at which the process began, this many seconds before the world did.
    StartTime {
        uptime_s: f64,
    },
}

impl Process {
    /// Whether a fault of this kind can be seen in such a series.
    pub(super) fn can_have(&self, kind: FaultKind) -> bool {
        use FaultKind as F;
        match (kind, self) {
            (F::Vanish, _) => true,
            (_, Self::Fixed(_) | Self::StartTime { .. }) => false,
            (F::Drop, Self::Flag) => true,
            (_, Self::Flag) => false,
            (F::Spike | F::Drop | F::LevelShift, Self::Version(_)) => true,
            (_, Self::Version(_)) => false,
            (F::CounterReset, _) => matches!(self, Self::Counter(_) | Self::Histogram(_)),
            (F::MissingPeak, _) => self.rhythm().peak().is_some(),
            _ => true,
        }
    }

    pub(super) fn rhythm(&self) -> Rhythm {
        match self {
            Self::Gauge(g) => g.rhythm,
            Self::Counter(c) => c.traffic.rhythm,
            Self::Histogram(h) => h.traffic.rhythm,
            _ => Rhythm::None,
        }
    }

    /// Takes one step and writes the new values. `out` holds the values of the step before.
    pub(super) fn step(
        &mut self,
        now: Moment,
        effect: &Effect,
        noise: &mut Noise,
        out: &mut [f64],
    ) {
        match self {
            Self::Gauge(gauge) => {
                let value = gauge.step(now, effect, noise);
                if !effect.frozen {
                    out[0] = value;
                }
            }
            Self::Counter(counter) => out[0] = counter.step(now, effect, noise),
            Self::Histogram(histogram) => histogram.step(now, effect, noise, out),
            Self::Version(version) => out[0] = version.step(now, effect, noise),
            Self::Flag => out[0] = if effect.offset < 0.0 { 0.0 } else { 1.0 },
            Self::Fixed(value) => out[0] = *value,
            Self::StartTime { uptime_s } => out[0] = (now.start_s - *uptime_s).round(),
        }
    }
}

/// A value that goes up and down.
#[derive(Debug, Clone)]
pub(super) struct Gauge {
    pub(super) base: f64,
    /// Height of the daily rhythm.
    pub(super) swing: f64,
    pub(super) rhythm: Rhythm,
    /// Noise that remembers.
    pub(super) ar: Ar,
    /// Standard deviation of noise that does not.
    pub(super) white_sd: f64,
    pub(super) tail: Tail,
    /// Values are multiples of `1 / steps_per_unit`.
    pub(super) steps_per_unit: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// The distribution of a gauge's deviations.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Tail {
    Normal,
    /// A count of independent things: deviates by the root of its mean besides.
    Count,
    /// `ar` and `white_sd` are those of the logarithm, `base` is the median.
    Lognormal,
}

impl Gauge {
    fn step(&mut self, now: Moment, effect: &Effect, noise: &mut Noise) -> f64 {
        let mean = self.base + self.swing * self.rhythm.at(now.phase, effect.no_peak);
        let drift = self.ar.step(now.dt_s, noise) + self.white_sd * noise.gauss();
        let sd = self.ar.sd().hypot(self.white_sd);
        let (deviation, sd) = match self.tail {
            Tail::Normal => (drift, sd),
            Tail::Count => (drift + mean.sqrt() * noise.gauss(), sd.hypot(mean.sqrt())),
            Tail::Lognormal => (mean * (drift.exp() - 1.0), mean * sd),
        };
        let sigma = sd.max(1.0 / self.steps_per_unit);
        let value = mean + deviation * effect.spread + effect.offset * sigma;
        let value = value.clamp(self.low, self.high);
        (value * self.steps_per_unit).round() / self.steps_per_unit
    }
}

/// How many requests come.
#[derive(Debug, Clone)]
pub(super) struct Traffic {
    /// Events per second at level 1.
    pub(super) per_s: f64,
    pub(super) rhythm: Rhythm,
    /// Relative noise of the rate, beside that of counting.
    pub(super) ar: Ar,
}

impl Traffic {
    /// Undisturbed events per second.
    fn rate(&self, phase: f64, no_peak: bool) -> f64 {
        match self.rhythm {
            Rhythm::None => self.per_s,
            rhythm => self.per_s * rhythm.at(phase, no_peak),
        }
    }

    /// Events in a step. `offset` and `spread` as in [`Effect`]; the unit is the standard deviation
    /// of the rate that a scraper sees between two steps of this length.
    fn events(&mut self, now: Moment, effect: &Effect, noise: &mut Noise) -> f64 {
        let rate = self.rate(now.phase, effect.no_peak);
        let drift = self.ar.step(now.dt_s, noise);
        if now.dt_s <= 0.0 {
            return 0.0;
        }
        let sd = (rate / now.dt_s).sqrt().hypot(self.ar.sd() * rate);
        let mut disturbed = rate * (1.0 + drift) + effect.offset * sd;
        if effect.spread > 1.0 {
            disturbed += (effect.spread - 1.0) * sd * noise.gauss();
        }
        noise.poisson(disturbed * now.dt_s)
    }
}

/// Events counted since the process began.
#[derive(Debug, Clone)]
pub(super) struct Counter {
    pub(super) traffic: Traffic,
    pub(super) value: f64,
}

impl Counter {
    fn step(&mut self, now: Moment, effect: &Effect, noise: &mut Noise) -> f64 {
        let events = self.traffic.events(now, effect, noise);
        if effect.reset {
            self.value = 0.0;
        } else if !effect.frozen {
            self.value += events;
        }
        self.value
    }
}

/// Durations of requests in classic buckets. An offset and a spread change how long requests take;
/// a missing peak, a flatline and a reset concern their number.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    pub(super) traffic: Traffic,
    /// Mean and standard deviation of the logarithm of a duration in seconds.
    pub(super) log_mean: f64,
    pub(super) log_sd: f64,
    /// Common drift of all durations, in the logarithm.
    pub(super) ar: Ar,
    /// Not cumulative; the last is beyond all bounds.
    pub(super) counts: [f64; BUCKETS.len() + 1],
    pub(super) sum: f64,
}

impl Histogram {
    fn step(&mut self, now: Moment, effect: &Effect, noise: &mut Noise, out: &mut [f64]) {
        let of_traffic = Effect {
            offset: 0.0,
            spread: 1.0,
            ..*effect
        };
        let events = self.traffic.events(now, &of_traffic, noise);
        let unit = self.ar.sd().hypot(self.log_sd / LATENCY_DRAWS_MAX.sqrt());
        let mut log_mean = self.log_mean + self.ar.step(now.dt_s, noise) + effect.offset * unit;
        if effect.spread > 1.0 {
            log_mean += (effect.spread - 1.0) * unit * noise.gauss();
        }
        if effect.reset {
            self.counts = [0.0; BUCKETS.len() + 1];
            self.sum = 0.0;
        } else if !effect.frozen {
            self.observe(events, log_mean, noise);
        }
        let mut total = 0.0;
        for (slot, count) in out.iter_mut().zip(self.counts) {
            total += count;
            *slot = total;
        }
        out[BUCKETS.len() + 1] = self.sum;
        out[BUCKETS.len() + 2] = total;
    }

    fn observe(&mut self, events: f64, log_mean: f64, noise: &mut Noise) {
        let mut left = events;
        let mut draws = events.min(LATENCY_DRAWS_MAX);
        while left >= 1.0 {
            let weight = (left / draws).round().clamp(1.0, left);
            let seconds = (log_mean + self.log_sd * noise.gauss()).exp();
            let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
            self.counts[bucket] += weight;
            self.sum += weight * seconds;
            left -= weight;
            draws = (draws - 1.0).max(1.0);
        }
        // Microseconds, as a program that adds up a clock's readings has them.
        self.sum = (self.sum * 1e6).round() / 1e6;
    }

    /// Starts as if it had run for `seconds` already.
    pub(super) fn run_for(&mut self, seconds: f64, noise: &mut Noise) {
        let events = (self.traffic.per_s * seconds).round();
        self.observe(events, self.log_mean, noise);
    }
}

/// A number that stays for hours and then goes up by one.
#[derive(Debug, Clone)]
pub(super) struct Version {
    pub(super) value: f64,
    /// Seconds since the start at which the next change comes.
    pub(super) next_s: Option<f64>,
}

impl Version {
    fn step(&mut self, now: Moment, effect: &Effect, noise: &mut Noise) -> f64 {
        let mut next = self
            .next_s
            .unwrap_or_else(|| VERSION_QUIET_S + noise.exponential(VERSION_MEAN_S));
        while now.since_start_s >= next {
            self.value += 1.0;
            next += VERSION_QUIET_S + noise.exponential(VERSION_MEAN_S);
        }
        self.next_s = Some(next);
        self.value + effect.offset.round()
    }
}

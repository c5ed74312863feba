//! Clean series: the kinds of behaviour in which nothing is wrong, however odd they look.
//!
//! Calibration counts how often such series are called anomalous, and scenarios break them in one
//! stated way. A stream is a level that belongs to the time and a noise around it, so that a caller
//! can move the one and widen the other before [`Stream::value`] makes a sample of both. The same
//! seed and number give the same stream; it knows neither its interval nor what is made of it.

use super::noise::Noise;
use super::rhythm::Rhythm;

const DAY_MS: i64 = 86_400_000;
/// 1970-01-01 was a Thursday; weeks begin on Monday.
const WEEKDAY_AT_EPOCH: i64 = 3;
/// Samples between two steps of [`Kind::RareSteps`] on average.
const STEP_MEAN: f64 = 1000.0;
/// Samples between two restarts of a counter's process on average.
const RESET_MEAN: f64 = 20_000.0;

/// What a clean series is like.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Kind {
    /// Independent normal noise around a level.
    Gaussian,
    /// Student's t with three degrees of freedom: a variance, and hardly that.
    HeavyT3,
    /// The exponential of normal noise.
    Lognormal,
    /// Counts of five on average.
    Poisson5,
    /// Counts that are nearly always zero.
    PoissonTenth,
    /// First-order autoregressive, coefficient 0.9 from sample to sample.
    Ar90,
    /// The same with 0.99.
    Ar99,
    /// A smooth day and normal noise.
    Daily,
    /// Counts whose mean follows the day.
    DailyPoisson,
    /// Constant for a thousand samples or so, then constant elsewhere.
    RareSteps,
    /// Never changes.
    Constant,
    /// A percentage in whole numbers.
    Percent,
    /// A counter of about a hundred events a sample, restarted now and then.
    Counter,
    /// A smooth day, and less of it on two days of seven.
    Weekly,
    /// A smooth day whose noise is as large as its level is.
    Heteroscedastic,
    /// A smooth day with a sharp rush at lunch.
    Office,
}

impl Kind {
    pub const ALL: [Self; 16] = [
        Self::Gaussian,
        Self::HeavyT3,
        Self::Lognormal,
        Self::Poisson5,
        Self::PoissonTenth,
        Self::Ar90,
        Self::Ar99,
        Self::Daily,
        Self::DailyPoisson,
        Self::RareSteps,
        Self::Constant,
        Self::Percent,
        Self::Counter,
        Self::Weekly,
        Self::Heteroscedastic,
        Self::Office,
    ];

    /// The name in tables and on the command line.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Gaussian => "gaussian",
            Self::HeavyT3 => "heavy_t3",
            Self::Lognormal => "lognormal",
            Self::Poisson5 => "poisson_5",
            Self::PoissonTenth => "poisson_0.1",
            Self::Ar90 => "ar_0.9",
            Self::Ar99 => "ar_0.99",
            Self::Daily => "daily",
            Self::DailyPoisson => "daily_poisson",
            Self::RareSteps => "rare_steps",
            Self::Constant => "constant",
            Self::Percent => "percent",
            Self::Counter => "counter",
            Self::Weekly => "weekly",
            Self::Heteroscedastic => "heteroscedastic",
            Self::Office => "office",
        }
    }

    /// True if its samples count up.
    pub fn is_counter(self) -> bool {
        self == Self::Counter
    }

    /// Standard deviation of the noise at the usual level; for a caller that wants to move the
    /// level by so many of them.
    pub fn sd(self) -> f64 {
        match self {
            Self::Gaussian | Self::Ar90 | Self::Ar99 | Self::Daily | Self::Counter => 10.0,
            // sd of t3 is sqrt(3)
            Self::HeavyT3 => 5.0 * 3f64.sqrt(),
            // 10 exp(z): mean 10 e^(1/2), variance 100 e (e - 1)
            Self::Lognormal => 21.6,
            Self::Poisson5 => 5f64.sqrt(),
            Self::PoissonTenth => 0.1f64.sqrt(),
            Self::DailyPoisson => 40f64.sqrt(),
            Self::RareSteps | Self::Constant => 1.0,
            Self::Percent => 2.0,
            Self::Weekly | Self::Heteroscedastic => 8.0,
            Self::Office => 5.0,
        }
    }
}

/// One sample before it is put together.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Draw {
    /// What is usual at this time.
    pub level: f64,
    /// What chance adds to it; 0 for counts, which are drawn from their level.
    pub noise: f64,
}

/// A clean series.
#[derive(Debug, Clone)]
pub struct Stream {
    kind: Kind,
    noise: Noise,
    /// Of the autoregressive kinds: the last noise; of steps: the level.
    state: f64,
    /// Samples to the next step or restart.
    left: f64,
    total: f64,
}

impl Stream {
    /// Number `number` of the series of this kind in the run of `seed`.
    pub fn new(kind: Kind, seed: u64, number: u64) -> Self {
        let mut noise = Noise::new(seed, &format!("{} {number}", kind.as_str()));
        let state = match kind {
            Kind::Ar90 | Kind::Ar99 => noise.gauss(),
            Kind::RareSteps => 50.0,
            _ => 0.0,
        };
        let left = match kind {
            Kind::RareSteps => noise.exponential(STEP_MEAN),
            Kind::Counter => noise.exponential(RESET_MEAN),
            _ => f64::INFINITY,
        };
        Self {
            kind,
            noise,
            state,
            left,
            total: 0.0,
        }
    }

    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The next sample in parts. Times must rise by a constant interval: chance goes by samples,
    /// the day by the clock.
    pub fn draw(&mut self, t_ms: i64) -> Draw {
        let phase = t_ms.rem_euclid(DAY_MS) as f64 / DAY_MS as f64;
        let day = Rhythm::AFTERNOON.at(phase, false);
        let (level, noise) = match self.kind {
            Kind::Gaussian => (100.0, 10.0 * self.noise.gauss()),
            Kind::HeavyT3 => (100.0, 5.0 * self.t3()),
            Kind::Lognormal => {
                let x = 10.0 * self.noise.gauss().exp();
                (10.0, x - 10.0)
            }
            Kind::Poisson5 => (5.0, 0.0),
            Kind::PoissonTenth => (0.1, 0.0),
            Kind::Ar90 => (100.0, 10.0 * self.ar(0.9)),
            Kind::Ar99 => (100.0, 10.0 * self.ar(0.99)),
            Kind::Daily => (100.0 + 60.0 * day, 10.0 * self.noise.gauss()),
            Kind::DailyPoisson => (10.0 + 60.0 * day, 0.0),
            Kind::RareSteps => {
                if self.due(STEP_MEAN) {
                    self.state = 50.0 + 10.0 * self.noise.gauss();
                }
                (self.state, 0.0)
            }
            Kind::Constant => (42.0, 0.0),
            Kind::Percent => (30.0, 2.0 * self.noise.gauss()),
            Kind::Counter => (100.0, 10.0 * self.noise.gauss()),
            Kind::Weekly => {
                let week = (t_ms.div_euclid(DAY_MS) + WEEKDAY_AT_EPOCH).rem_euclid(7);
                let busy = if week < 5 { 1.0 } else { 0.3 };
                (60.0 + 100.0 * day * busy, 8.0 * self.noise.gauss())
            }
            Kind::Heteroscedastic => {
                let level = 20.0 + 120.0 * day;
                (level, 0.1 * level * self.noise.gauss())
            }
            Kind::Office => {
                let level = 20.0 + 100.0 * Rhythm::Office.at(phase, false);
                (level, 5.0 * self.noise.gauss())
            }
        };
        Draw { level, noise }
    }

    /// The sample that a draw makes, changed or not: whole numbers where the kind has them, the
    /// running total of a counter.
    pub fn value(&mut self, draw: Draw) -> f64 {
        let sum = draw.level + draw.noise;
        match self.kind {
            Kind::Poisson5 | Kind::PoissonTenth | Kind::DailyPoisson => {
                self.noise.poisson(draw.level) + draw.noise.round()
            }
            Kind::Percent => sum.round().clamp(0.0, 100.0),
            Kind::Lognormal => sum.max(0.0),
            Kind::Counter => {
                if self.due(RESET_MEAN) {
                    self.total = 0.0;
                }
                self.total += sum.max(0.0).round();
                self.total
            }
            _ => sum,
        }
    }

    /// The next sample as it is.
    pub fn next(&mut self, t_ms: i64) -> f64 {
        let draw = self.draw(t_ms);
        self.value(draw)
    }

    /// Starts a counter's process anew: it counts from 0.
    pub fn restart(&mut self) {
        self.total = 0.0;
    }

    fn t3(&mut self) -> f64 {
        let z = self.noise.gauss();
        let chi: f64 = (0..3).map(|_| self.noise.gauss().powi(2)).sum();
        z / (chi / 3.0).sqrt()
    }

    fn ar(&mut self, kept: f64) -> f64 {
        self.state = kept * self.state + (1.0 - kept * kept).sqrt() * self.noise.gauss();
        self.state
    }

    fn due(&mut self, mean: f64) -> bool {
        self.left -= 1.0;
        let due = self.left <= 0.0;
        if due {
            self.left = self.noise.exponential(mean);
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-05, a Monday.
    const MONDAY_MS: i64 = 1_767_571_200_000;

    fn values(kind: Kind, number: u64, n: i64) -> Vec<f64> {
        let mut stream = Stream::new(kind, 1, number);
        (0..n)
            .map(|i| stream.next(MONDAY_MS + i * 300_000))
            .collect()
    }

    #[test]
    fn every_kind_is_finite_repeats_and_differs_by_number() {
        for kind in Kind::ALL {
            let a = values(kind, 0, 2000);
            assert!(a.iter().all(|v| v.is_finite()), "{}", kind.as_str());
            assert_eq!(a, values(kind, 0, 2000), "{}", kind.as_str());
            if kind != Kind::Constant {
                assert_ne!(values(kind, 0, 5000), values(kind, 1, 5000));
            }
        }
    }

    #[test]
    fn the_stated_deviation_is_the_one_drawn() {
        for kind in [
            Kind::Gaussian,
            Kind::Poisson5,
            Kind::PoissonTenth,
            Kind::Ar90,
            Kind::Percent,
        ] {
            let xs = values(kind, 3, 40_000);
            let mean = xs.iter().sum::<f64>() / xs.len() as f64;
            let sd = (xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / xs.len() as f64).sqrt();
            assert!((sd / kind.sd() - 1.0).abs() < 0.1, "{} {sd}", kind.as_str());
        }
    }

    #[test]
    fn saturday_is_quieter_than_monday() {
        let noon = |day: i64| {
            let mut stream = Stream::new(Kind::Weekly, 1, 0);
            stream.draw(MONDAY_MS + day * DAY_MS + 15 * 3_600_000).level
        };
        assert!(noon(0) > 1.5 * noon(5));
        assert_eq!(noon(0), noon(7));
        assert_eq!(noon(5), noon(6));
    }

    #[test]
    fn a_counter_counts_up_and_starts_anew_when_told() {
        let mut stream = Stream::new(Kind::Counter, 1, 0);
        let first = stream.next(0);
        let second = stream.next(15_000);
        assert!(second > first);
        stream.restart();
        assert!(stream.next(30_000) < second);
    }

    #[test]
    fn steps_are_rare_and_lie_apart() {
        let xs = values(Kind::RareSteps, 0, 50_000);
        let steps = xs.windows(2).filter(|w| w[0] != w[1]).count();
        assert!((25..100).contains(&steps), "{steps}");
    }
}

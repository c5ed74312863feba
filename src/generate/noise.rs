//! The kinds of noise that real series carry: Gaussian, autoregressive, Poisson, heavy-tailed.
//!
//! Each instrument has a generator of its own, seeded by its name, so that a fault which makes one
//! series draw differently leaves every other series as it was, bit for bit.

use std::f64::consts::TAU;

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Mean above which a Poisson count is drawn from the normal distribution; there the two differ by
/// less than a count in a standard deviation.
const POISSON_NORMAL_FROM: f64 = 50.0;

/// A seeded source of random numbers.
#[derive(Debug, Clone)]
pub(super) struct Noise {
    rng: fastrand::Rng,
    spare: Option<f64>,
}

impl Noise {
    /// The stream of numbers that belongs to `name` in the world of `seed`.
    pub(super) fn new(seed: u64, name: &str) -> Self {
        Self {
            rng: fastrand::Rng::with_seed(xxh3_64_with_seed(name.as_bytes(), seed)),
            spare: None,
        }
    }

    /// Uniform in `[low, high)`.
    pub(super) fn uniform(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.rng.f64()
    }

    /// Standard normal, by the method of Box and Muller (1958).
    pub(super) fn gauss(&mut self) -> f64 {
        if let Some(spare) = self.spare.take() {
            return spare;
        }
        let radius = (-2.0 * (1.0 - self.rng.f64()).ln()).sqrt();
        let (sin, cos) = (TAU * self.rng.f64()).sin_cos();
        self.spare = Some(radius * sin);
        radius * cos
    }

    /// A whole number of events, `mean` of them on average. 0 for a mean that is not positive.
    pub(super) fn poisson(&mut self, mean: f64) -> f64 {
        if mean <= 0.0 || mean.is_nan() {
            return 0.0;
        }
        if mean >= POISSON_NORMAL_FROM {
            return (mean + mean.sqrt() * self.gauss()).round().max(0.0);
        }
        let stop = (-mean).exp();
        let (mut count, mut product) = (0.0, self.rng.f64());
        while product > stop {
            count += 1.0;
            product *= self.rng.f64();
        }
        count
    }

    /// Exponentially distributed with this mean: the time to the next rare event.
    pub(super) fn exponential(&mut self, mean: f64) -> f64 {
        -mean * (1.0 - self.rng.f64()).ln()
    }
}

/// Noise that remembers: a first-order autoregressive process, exact for steps of any length
/// (the Ornstein-Uhlenbeck process, sampled).
#[derive(Debug, Clone)]
pub(super) struct Ar {
    sd: f64,
    tau_s: f64,
    z: Option<f64>,
}

impl Ar {
    /// `sd` is the stationary standard deviation, `tau_s` the seconds after which a deviation has
    /// decayed to 1/e.
    pub(super) fn new(sd: f64, tau_s: f64) -> Self {
        Self { sd, tau_s, z: None }
    }

    pub(super) fn sd(&self) -> f64 {
        self.sd
    }

    pub(super) fn step(&mut self, dt_s: f64, noise: &mut Noise) -> f64 {
        let fresh = noise.gauss();
        let z = self.z.map_or(fresh, |z| {
            let kept = (-dt_s / self.tau_s).exp();
            kept * z + (1.0 - kept * kept).sqrt() * fresh
        });
        self.z = Some(z);
        self.sd * z
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moments(mut draw: impl FnMut() -> f64) -> (f64, f64) {
        let n = 20_000;
        let xs: Vec<f64> = (0..n).map(|_| draw()).collect();
        let mean = xs.iter().sum::<f64>() / f64::from(n);
        let var = xs.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(n);
        (mean, var)
    }

    #[test]
    fn gauss_has_the_moments_of_a_standard_normal() {
        let mut noise = Noise::new(1, "g");
        let (mean, var) = moments(|| noise.gauss());
        assert!(mean.abs() < 0.03, "mean {mean}");
        assert!((var - 1.0).abs() < 0.04, "variance {var}");
    }

    #[test]
    fn poisson_has_equal_mean_and_variance_on_both_sides_of_the_switch() {
        for lambda in [0.05, 3.0, 49.0, 51.0, 4000.0] {
            let mut noise = Noise::new(2, "p");
            let (mean, var) = moments(|| noise.poisson(lambda));
            assert!(
                (mean / lambda - 1.0).abs() < 0.08,
                "mean {mean} of {lambda}"
            );
            assert!(
                (var / lambda - 1.0).abs() < 0.08,
                "variance {var} of {lambda}"
            );
        }
        assert_eq!(Noise::new(2, "p").poisson(-1.0), 0.0);
    }

    #[test]
    fn ar_remembers_for_tau_and_keeps_its_spread_at_any_step() {
        for dt in [1.0, 10.0, 1000.0] {
            let mut noise = Noise::new(3, "ar");
            let mut ar = Ar::new(2.0, 10.0);
            let xs: Vec<f64> = (0..40_000).map(|_| ar.step(dt, &mut noise)).collect();
            let var = xs.iter().map(|x| x * x).sum::<f64>() / 40_000.0;
            let lag = xs.windows(2).map(|w| w[0] * w[1]).sum::<f64>() / 40_000.0 / var;
            assert!((var - 4.0).abs() < 0.6, "variance {var} at {dt}");
            assert!(
                (lag - (-dt / 10.0f64).exp()).abs() < 0.03,
                "lag {lag} at {dt}"
            );
        }
    }

    #[test]
    fn streams_differ_by_name_and_by_seed() {
        let first = |seed, name| Noise::new(seed, name).gauss().to_bits();
        assert_eq!(first(1, "a"), first(1, "a"));
        assert_ne!(first(1, "a"), first(1, "b"));
        assert_ne!(first(1, "a"), first(2, "a"));
    }
}

//! The models that judge a sample of one series, each in a file of its own.
//!
//! A model says how far a value lies from what it expected, in its own units of spread; what that
//! is worth is decided in `score`. What always holds: a model scores from state that does not
//! contain the sample, gives finite numbers for any finite input, allocates nothing per sample and
//! depends on nothing but the samples before. Adding a model is one file and one line in
//! `models!` below.

pub mod forest;
pub mod norm;
pub mod pace;
pub mod profile;
pub mod robust_z;
pub mod season;
pub mod spec;

use serde::{Deserialize, Serialize};

pub use norm::Norm;
pub use pace::Pace;
pub use profile::{Look, Profile, Usual};
pub use robust_z::RobustZ;
pub use season::Season;
pub use spec::SeriesSpec;

/// One scored value: a gauge's value, a counter's rate per second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Point {
    /// Milliseconds since the Unix epoch.
    pub t_ms: i64,
    pub value: f64,
}

/// What every model may know of the samples before this one.
#[derive(Debug, Clone, Copy)]
pub struct Past<'a> {
    /// Where the series' values lie, and how widely.
    pub norm: &'a Norm,
    /// What is usual at the time of the sample.
    pub usual: Usual,
    pub pace: &'a Pace,
    pub spec: &'a SeriesSpec,
}

/// What one model says of one value.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Opinion {
    /// What the value should have been, in its own unit.
    pub expected: f64,
    /// From here ...
    pub low: f64,
    /// ... to here any value would have been as good; `expected` lies between.
    pub high: f64,
    /// Usual distance between value and expectation, in the same unit; positive.
    pub scale: f64,
}

impl Opinion {
    /// Distance of a value from what would have been as good as expected, in units of the scale;
    /// finite and not negative.
    pub fn distance(&self, value: f64) -> f64 {
        (self.beyond(value).abs() / self.scale).min(f64::MAX)
    }

    /// How far the value lies above (positive) or below (negative) what was expected, in its unit.
    pub fn beyond(&self, value: f64) -> f64 {
        value - value.clamp(self.low, self.high)
    }
}

/// Scores one series. Owned by one shard, never shared, never blocks.
pub trait Detector: Serialize + for<'de> Deserialize<'de> {
    /// Stable name, as in docs/models.md and in contributions.
    const NAME: &'static str;

    fn new() -> Self;

    /// What this model expects at the time of `x`, from state that does not contain `x`; `None`
    /// until it knows enough.
    fn score(&self, past: &Past<'_>, x: Point) -> Option<Opinion>;

    /// Takes `x` into the state. Called once for each accepted value, after `score` and before the
    /// norm takes it. `weight` in 0..=1 limits what an anomaly teaches.
    fn absorb(&mut self, past: &Past<'_>, x: Point, weight: f64);
}

macro_rules! models {
    ($($(#[$doc:meta])* $field:ident : $model:ident),* $(,)?) => {
        /// The models of one series, values inline.
        #[derive(Debug, Clone, Serialize, Deserialize)]
        pub struct Models {
            /// Shared by all: location, scale and stillness of the series.
            pub norm: Norm,
            /// Shared by all: what is usual at each time of the day.
            pub profile: Profile,
            $($(#[$doc])* pub $field: $model,)*
        }

        /// How many models there are.
        pub const COUNT: usize = [$($model::NAME),*].len();

        /// Their names, in the order of their opinions.
        pub const NAMES: [&str; COUNT] = [$($model::NAME),*];

        impl Models {
            pub fn new() -> Self {
                Self { norm: Norm::new(), profile: Profile::new(), $($field: $model::new(),)* }
            }

            /// What is usual at a time; to be handed to [`Models::score`] and [`Models::absorb`].
            pub fn look(&self, spec: &SeriesSpec, t_ms: i64) -> Look {
                self.profile.look(&self.norm, t_ms, spec.day_ms)
            }

            /// Every model's opinion, in the order of [`NAMES`].
            pub fn score(&self, pace: &Pace, spec: &SeriesSpec, look: &Look, x: Point) -> [Option<Opinion>; COUNT] {
                let past = Past { norm: &self.norm, usual: look.usual, pace, spec };
                [$(self.$field.score(&past, x)),*]
            }

            /// Lets every model, then profile and norm, take the value.
            pub fn absorb(&mut self, pace: &Pace, spec: &SeriesSpec, look: &Look, x: Point, weight: f64) {
                let past = Past { norm: &self.norm, usual: look.usual, pace, spec };
                $(self.$field.absorb(&past, x, weight);)*
                self.profile.absorb(&self.norm, pace, spec.day_ms, look, x, weight);
                self.norm.absorb(x.value, pace.norm, weight);
            }
        }
    };
}

models! {
    /// Distance from what is usual, in units of what is usual over all times.
    robust_z: RobustZ,
    /// The same in units of what is usual at this time of the day.
    season: Season,
}

impl Default for Models {
    fn default() -> Self {
        Self::new()
    }
}

/// Values beyond this are judged as if they lay at it, so that squares and sums stay finite.
pub const VALUE_MAX: f64 = 1e150;

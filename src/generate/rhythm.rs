//! How a series moves over the day.
//!
//! A day is a fraction from 0 (midnight UTC) to 1, so that a day of 60 seconds has the same shape as
//! one of 24 hours.

use std::f64::consts::TAU;
use std::ops::Range;

const HOUR: f64 = 1.0 / 24.0;
const NOON: f64 = 12.0 * HOUR;
/// The rush: from 12:00 to 13:30, there within ten minutes and gone within ten.
const RUSH: Range<f64> = NOON..13.5 * HOUR;
const RUSH_RAMP: f64 = HOUR / 6.0;
const RUSH_HEIGHT: f64 = 0.9;
/// Hours on each side of a smooth peak that count as the peak.
const PEAK_HALF: f64 = 4.0 * HOUR;

/// The shape of a day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Rhythm {
    /// The same all day.
    None,
    /// Traffic: quiet at 3:00, busy at 15:00, and a sharp rush at lunch.
    Office,
    /// One smooth hill with its top at this time of day; `sharp` narrows it (1 is a cosine).
    Hill { top: f64, sharp: i32 },
    /// A slow rise and a quick fall, this many times a day.
    Saw { cycles: f64 },
}

impl Rhythm {
    pub(super) const EVENING: Self = Self::Hill {
        top: 20.0 * HOUR,
        sharp: 2,
    };
    pub(super) const AFTERNOON: Self = Self::Hill {
        top: 15.0 * HOUR,
        sharp: 1,
    };

    /// The level at `phase` of the day, from 0; 1 is the top without the rush.
    /// With `no_peak` the day's peak does not come.
    pub(super) fn at(self, phase: f64, no_peak: bool) -> f64 {
        match self {
            Self::None => 0.0,
            Self::Office => {
                let calm = 0.15 + 0.85 * hill(phase, 15.0 * HOUR);
                if no_peak {
                    calm
                } else {
                    calm * (1.0 + RUSH_HEIGHT * rush(phase))
                }
            }
            Self::Hill { top, sharp } => {
                let level = hill(phase, top);
                let shoulder = hill(top - PEAK_HALF, top);
                let level = if no_peak { level.min(shoulder) } else { level };
                level.powi(sharp)
            }
            Self::Saw { cycles } => {
                let within = (phase * cycles).fract();
                if within < 0.95 {
                    within / 0.95
                } else {
                    (1.0 - within) / 0.05
                }
            }
        }
    }

    /// When the peak of the day comes and goes; `None` if there is none to miss.
    pub(super) fn peak(self) -> Option<Range<f64>> {
        match self {
            Self::None | Self::Saw { .. } => None,
            Self::Office => Some(RUSH),
            Self::Hill { top, .. } => Some(top - PEAK_HALF..top + PEAK_HALF),
        }
    }
}

/// A raised cosine, 1 at `top` and 0 half a day away.
fn hill(phase: f64, top: f64) -> f64 {
    (1.0 + (TAU * (phase - top)).cos()) / 2.0
}

fn rush(phase: f64) -> f64 {
    let inside = (phase - RUSH.start).min(RUSH.end - phase);
    (inside / RUSH_RAMP).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lunch_is_a_sharp_rush_that_can_stay_away() {
        let before = Rhythm::Office.at(11.9 * HOUR, false);
        let during = Rhythm::Office.at(12.5 * HOUR, false);
        assert!(during > 1.7 * before, "{before} to {during}");
        let missing = Rhythm::Office.at(12.5 * HOUR, true);
        assert!(missing < 1.1 * before, "{before} to {missing}");
        assert_eq!(
            Rhythm::Office.at(0.1, false),
            Rhythm::Office.at(0.1, true),
            "only the peak is missing"
        );
    }

    #[test]
    fn a_hill_without_its_peak_is_flat_where_the_peak_was() {
        let r = Rhythm::EVENING;
        let peak = r.peak().unwrap();
        assert_eq!(r.at(20.0 * HOUR, false), 1.0);
        assert_eq!(r.at(20.0 * HOUR, true), r.at(peak.start, false));
    }

    #[test]
    fn a_saw_rises_slowly_and_falls_quickly() {
        let r = Rhythm::Saw { cycles: 4.0 };
        assert!(r.at(0.2, false) > 0.8);
        assert!(r.at(0.2499, false) < 0.05);
        assert_eq!(r.peak(), None);
    }
}

//! Limits that a rule gives a series: what lies beyond is out of range, whatever the series is used
//! to.
//!
//! Stateless. How far beyond counts in scales of the series, so that a value just over a limit is low
//! and one far beyond it is grave. It has no false alarms but those the limits ask for.

use super::SeriesSpec;

/// How far a value lies beyond the limits of its series in units of the line, and on which side (true:
/// above). `None` within them, and for a series without limits. `scale` is the scale of the series,
/// positive.
pub fn beyond(spec: &SeriesSpec, value: f64, scale: f64) -> Option<(f32, bool)> {
    let above = spec.max.map_or(0.0, |max| value - max);
    let below = spec.min.map_or(0.0, |min| min - value);
    let far = above.max(below);
    (far > 0.0).then(|| (1.0 + (far / scale).min(1e30) as f32, above >= below))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beyond_a_limit_on_either_side() {
        let spec = SeriesSpec {
            min: Some(0.0),
            max: Some(10.0),
            ..SeriesSpec::default()
        };
        assert_eq!(beyond(&spec, 10.0, 1.0), None);
        assert_eq!(beyond(&spec, 0.0, 1.0), None);
        let (near, up) = beyond(&spec, 10.1, 1.0).unwrap();
        let (far, _) = beyond(&spec, 20.0, 1.0).unwrap();
        assert!(up && near > 1.0 && far > near);
        assert!(!beyond(&spec, -3.0, 1.0).unwrap().1);
        assert_eq!(beyond(&SeriesSpec::default(), 1e30, 1.0), None);
        assert!(beyond(&spec, 1e30, 1e-9).unwrap().0.is_finite());
    }
}

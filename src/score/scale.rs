//! The score's scale: from evidence in units of the line to 0..1.
//!
//! One unit of deviation is the line, evidence of one sample in a thousand by default. A third of a
//! line is then a factor of ten: the thresholds of the severities lie at one in ten thousand, in a
//! hundred thousand and in a million. Between these knots the score is linear, beyond them it
//! approaches 1 and never reaches it.

/// The line: at or above it a value is outside its band.
pub const LINE: f64 = 0.7;

/// (deviation, score).
const KNOTS: [(f64, f64); 5] = [
    (0.0, 0.0),
    (1.0, LINE),
    (4.0 / 3.0, 0.85),
    (5.0 / 3.0, 0.95),
    (2.0, 0.99),
];

/// Slope of the score between two knots.
const SLOPES: [f64; KNOTS.len() - 1] = {
    let mut slopes = [0.0; KNOTS.len() - 1];
    let mut i = 0;
    while i < slopes.len() {
        slopes[i] = (KNOTS[i + 1].1 - KNOTS[i].1) / (KNOTS[i + 1].0 - KNOTS[i].0);
        i += 1;
    }
    slopes
};

/// Deviations count at most this much, so that scores stay below 1 as f32.
const DEVIATION_MAX: f64 = 1000.0;

/// The score of a deviation (evidence in units of the line, not negative): strictly rising up to
/// the largest deviation that counts, 0.7 exactly at 1, always below 1.
pub fn score(deviation: f64) -> f64 {
    let d = deviation.clamp(0.0, DEVIATION_MAX);
    for i in 1..KNOTS.len() {
        if d <= KNOTS[i].0 {
            return KNOTS[i - 1].1 + SLOPES[i - 1] * (d - KNOTS[i - 1].0);
        }
    }
    1.0 - 0.02 / d
}

/// The deviation that has this score, as [`score`] gives it.
pub fn deviation(score: f64) -> f64 {
    for i in 1..KNOTS.len() {
        if score <= KNOTS[i].1 {
            return (KNOTS[i - 1].0 + (score - KNOTS[i - 1].1) / SLOPES[i - 1]).max(0.0);
        }
    }
    (0.02 / (1.0 - score)).clamp(KNOTS[KNOTS.len() - 1].0, DEVIATION_MAX)
}

/// The score as the board shows it: never on the other side of the line than the exact one.
pub fn shown(deviation: f64) -> f32 {
    let exact = score(deviation);
    let line = LINE as f32;
    let near = exact as f32;
    if deviation >= 1.0 {
        near.max(line)
    } else if near >= line {
        line.next_down()
    } else {
        near
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_score_tells_its_deviation() {
        for d in [0.0, 0.5, 1.0, 1.2, 1.5, 1.9, 2.0, 3.0, 50.0, 1000.0] {
            let back = deviation(score(d));
            assert!((back - d).abs() <= 1e-6 * d.max(1.0), "{d} {back}");
        }
        assert_eq!(deviation(1.0), DEVIATION_MAX);
        assert_eq!(deviation(-1.0), 0.0);
    }
    use proptest::prelude::*;

    #[test]
    fn knots() {
        assert_eq!(score(0.0), 0.0);
        assert_eq!(score(1.0), LINE);
        assert!((score(4.0 / 3.0) - 0.85).abs() < 1e-12);
        assert!((score(2.0) - 0.99).abs() < 1e-12);
        assert!(shown(f64::MAX) < 1.0);
        assert!(shown(1.0f64.next_down()) < 0.7);
        assert!(shown(1.0) >= 0.7);
    }

    proptest! {
        #[test]
        fn strictly_rising_and_below_one(a in 0.0..999.0f64, by in 1e-6..1.0f64) {
            prop_assert!(score(a) < score(a + by));
            prop_assert!(score(a + by) < 1.0);
            prop_assert_eq!(score(a) >= LINE, a >= 1.0);
            prop_assert_eq!(shown(a) >= 0.7, a >= 1.0);
        }
    }
}

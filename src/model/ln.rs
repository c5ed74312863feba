//! The natural logarithm of a positive number, as exact as an f32 is.
//!
//! Seven of them a sample are a tenth of what a sample costs with the system's library, which is exact to
//! the last bit of an f64 and a call away; and which library that is must not decide about a score's last
//! bit. From x = 2^k m with m around 1 and s = (m - 1)/(m + 1): ln x = k ln 2 + 2 artanh s, whose series
//! (Abramowitz and Stegun 4.1.27) is at an f32's end after five terms.
//!
//! What always holds: for every x >= 1, infinity included, the result is finite, not negative, and no
//! smaller than for any smaller x by more than its last bits; ln 1 is 0.

/// Where m begins: sqrt(1/2), so that it is as far from 1 on either side.
const FROM: u64 = std::f64::consts::FRAC_1_SQRT_2.to_bits();
/// Bits of an f64's fraction.
const FRACTION: u32 = 52;

/// The logarithm of `x`, which is positive and not subnormal; of anything else some finite number.
#[inline]
pub(super) fn ln(x: f64) -> f32 {
    let above = x.to_bits().wrapping_sub(FROM);
    // Arithmetic, so that below 1 it is negative.
    let k = (above.cast_signed() >> FRACTION) as i32;
    let m = f64::from_bits((above & ((1 << FRACTION) - 1)).wrapping_add(FROM));
    let s = ((m - 1.0) / (m + 1.0)) as f32;
    let z = s * s;
    // In pairs (Estrin 1960): half as long a wait as one after the other.
    let series = z * ((1.0 / 3.0 + z * (1.0 / 5.0)) + z * z * (1.0 / 7.0 + z * (1.0 / 9.0)));
    let s = 2.0 * s;
    k as f32 * std::f32::consts::LN_2 + (s + s * series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_as_exact_as_an_f32() {
        let mut random = fastrand::Rng::with_seed(1);
        for _ in 0..200_000 {
            let x = 10f64.powf(600.0 * random.f64() - 300.0);
            let (exact, got) = (x.ln(), f64::from(ln(x)));
            assert!(
                (got - exact).abs() <= 3e-7 * exact.abs().max(1.0),
                "{x:e}: {got} {exact}"
            );
            // Next to 1, where most of them are, in proportion.
            let x = 1.0 + 10f64.powf(-12.0 * random.f64());
            let (exact, got) = (x.ln(), f64::from(ln(x)));
            assert!((got - exact).abs() <= 3e-7 * exact, "{x}: {got} {exact}");
        }
    }

    #[test]
    fn rises_from_zero_and_is_always_finite() {
        assert_eq!(ln(1.0), 0.0);
        let mut last = 0.0;
        for i in 0..3_000_000u32 {
            let now = ln(1.0 + f64::from(i) * 1e-5);
            assert!(now >= last - 4e-7 * last, "{i}");
            last = now;
        }
        for x in [
            f64::INFINITY,
            f64::MAX,
            0.0,
            f64::MIN_POSITIVE,
            -1.0,
            f64::NAN,
        ] {
            assert!(ln(x).is_finite(), "{x}");
        }
        assert!(ln(f64::INFINITY) >= ln(f64::MAX));
    }
}

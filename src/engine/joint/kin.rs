//! Which series were learned to move together, and from when on: for whoever asks whether two
//! anomalies are one thing.
//!
//! What always holds: of a group the newest [`FITS_MAX`] fits are known, each from the row on at which
//! it was made, so that what is said of a time stays the same when a group is fitted anew; two series
//! that move together have a number in common that no others have.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{PoisonError, RwLock};

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::Xxh3;

/// Fits of one group, the older ones for anomalies that began before the newest: one a day, 1 KiB each
/// of a group of 64.
pub const FITS_MAX: usize = 4;

/// What one fit says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fit {
    /// Time of the row at which it was made.
    pub from_ms: i64,
    /// Fingerprints of the series that move together with any.
    pub series: Vec<u64>,
    /// With which of them each moves: a bit for each place in `series`.
    pub with: Vec<u64>,
}

impl Fit {
    /// The series that one moves together with.
    fn of(&self, series: u64) -> impl Iterator<Item = u64> {
        let at = self.series.iter().position(|s| *s == series);
        let mask = at.and_then(|at| self.with.get(at)).copied().unwrap_or(0);
        let all = self.series.iter().enumerate();
        all.filter(move |(i, s)| mask >> i & 1 == 1 && **s != series)
            .map(|(_, s)| *s)
    }
}

/// Adds a fit to those that are known; one that says the same is none.
pub fn add(fits: &mut Vec<Fit>, fit: Fit) {
    let last = fits.last();
    let same = last.is_some_and(|l| (&l.series, &l.with) == (&fit.series, &fit.with));
    if same || (last.is_none() && fit.series.is_empty()) {
        return;
    }
    fits.push(fit);
    let over = fits.len().saturating_sub(FITS_MAX);
    fits.drain(..over);
}

/// All groups.
#[derive(Debug, Default)]
pub struct Kin {
    fits: RwLock<BTreeMap<u32, Vec<Fit>>>,
    ready: AtomicBool,
}

impl Kin {
    /// What a group has learned.
    pub fn tell(&self, group: u32, fits: &[Fit]) {
        let mut all = self.fits.write().unwrap_or_else(PoisonError::into_inner);
        if fits.is_empty() {
            all.remove(&group);
        } else {
            all.insert(group, fits.to_vec());
        }
    }

    /// What was kept has been read, or nothing was.
    pub fn begin(&self) {
        self.ready.store(true, Ordering::Release);
    }

    /// False as long as what was kept may be missing.
    pub fn is_ready(&self) -> bool {
        self.ready.load(Ordering::Acquire)
    }

    /// What an anomaly of a series that began then has in common with those of the series that it was
    /// learned to move together with by then: a number for each of these.
    pub fn keys(&self, series: u64, start_ms: i64) -> Vec<u64> {
        let all = self.fits.read().unwrap_or_else(PoisonError::into_inner);
        let at = |fits: &'_ Vec<Fit>| fits.iter().rposition(|f| f.from_ms <= start_ms);
        let then = all.values().filter_map(|fits| Some(&fits[at(fits)?]));
        then.flat_map(|fit| fit.of(series))
            .map(|other| key(series, other))
            .collect()
    }
}

/// Of two series, in whichever order.
fn key(a: u64, b: u64) -> u64 {
    let mut hash = Xxh3::new();
    // Apart from what labels give.
    hash.update(b"learned");
    hash.update(&a.min(b).to_le_bytes());
    hash.update(&a.max(b).to_le_bytes());
    hash.digest()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(from_ms: i64, series: &[u64], with: &[u64]) -> Fit {
        Fit {
            from_ms,
            series: series.to_vec(),
            with: with.to_vec(),
        }
    }

    #[test]
    fn series_share_what_was_learned_by_then() {
        let kin = Kin::default();
        assert!(!kin.is_ready());
        kin.begin();
        assert!(kin.is_ready());
        // 7 with 8, 9 with nobody; later 7 with 9.
        let first = fit(100, &[7, 8, 9], &[0b011, 0b011, 0b100]);
        let later = fit(200, &[7, 9], &[0b11, 0b11]);
        kin.tell(3, &[first, later]);
        assert!(kin.keys(7, 99).is_empty());
        assert_eq!(kin.keys(7, 100), kin.keys(8, 199));
        assert_eq!(kin.keys(7, 100).len(), 1);
        assert!(kin.keys(9, 100).is_empty());
        assert_eq!(kin.keys(7, 200), kin.keys(9, 900));
        assert_ne!(kin.keys(7, 200), kin.keys(7, 100));
        assert!(kin.keys(8, 200).is_empty());
        kin.tell(3, &[]);
        assert!(kin.keys(7, 200).is_empty());
    }

    #[test]
    fn a_fit_that_says_the_same_is_none_and_only_the_newest_stay() {
        let mut fits = Vec::new();
        add(&mut fits, fit(1, &[], &[]));
        assert!(fits.is_empty());
        add(&mut fits, fit(2, &[1, 2], &[3, 3]));
        add(&mut fits, fit(3, &[1, 2], &[3, 3]));
        assert_eq!(fits, [fit(2, &[1, 2], &[3, 3])]);
        for n in 0..5 {
            add(&mut fits, fit(4 + n, &[n as u64, 9], &[3, 3]));
        }
        let from: Vec<_> = fits.iter().map(|f| f.from_ms).collect();
        assert_eq!(from, [5, 6, 7, 8]);
        add(&mut fits, fit(20, &[], &[]));
        assert_eq!(fits.last(), Some(&fit(20, &[], &[])));
    }
}

//! How fast the demo's world turns, and how hard its fault hits. The demo and the end-to-end test
//! share these; `tests/scenarios/demo.rs` holds that they suffice, whatever time of the generator's
//! day a run begins at. The generator is scraped twice a second (`deploy/demo/prometheus.yml`).

use std::time::Duration;

/// The length of a day of the generator, and of the rhythm that saimon learns: 20 samples.
pub(crate) const DAY: Duration = Duration::from_secs(10);

/// Samples before the first score of a series: two days. Evidence grows to its full size after it.
pub(crate) const WARMUP: u32 = 40;

/// Samples before a series may alert. What a series of two hundred samples has not seen yet is so
/// much that half of the faults are called low, and low does not page.
pub(crate) const YOUNG: u32 = 280;

/// How far the broken series' level shifts, in standard deviations of its own noise.
pub(crate) const SHIFT: f64 = 60.0;

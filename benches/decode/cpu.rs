//! Time on a processor instead of time on the clock, so that what else runs on the machine counts
//! for less.

use std::time::{Duration, Instant};

use criterion::measurement::{Measurement, ValueFormatter, WallTime};

/// CPU time of this thread as Linux counts it; elsewhere that of the clock.
pub(crate) struct CpuTime;

#[derive(Clone, Copy)]
pub(crate) enum Read {
    OnCpu(Duration),
    Clock(Instant),
}

impl Measurement for CpuTime {
    type Intermediate = Read;
    type Value = Duration;

    fn start(&self) -> Read {
        on_cpu().map_or_else(|| Read::Clock(Instant::now()), Read::OnCpu)
    }

    fn end(&self, start: Read) -> Duration {
        match start {
            Read::OnCpu(start) => on_cpu().unwrap_or(start).saturating_sub(start),
            Read::Clock(start) => start.elapsed(),
        }
    }

    fn add(&self, a: &Duration, b: &Duration) -> Duration {
        *a + *b
    }

    fn zero(&self) -> Duration {
        Duration::ZERO
    }

    fn to_f64(&self, value: &Duration) -> f64 {
        // What measures nothing breaks the statistics.
        (value.as_nanos() as f64).max(1.0)
    }

    fn formatter(&self) -> &dyn ValueFormatter {
        Measurement::formatter(&WallTime)
    }
}

fn on_cpu() -> Option<Duration> {
    #[cfg(target_os = "linux")]
    {
        // The time slice that is under way counts too, which `schedstat` knows only by the tick.
        let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::try_from(time).ok()
    }
    #[cfg(not(target_os = "linux"))]
    None
}

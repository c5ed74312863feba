//! What came of it.

use std::fmt;
use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::check::Found;
use crate::load::Senders;
use crate::saimon::Seen;

/// Everything that is said in the end.
#[derive(Debug, Default)]
pub(crate) struct Report {
    pub(crate) series: usize,
    pub(crate) kills: u32,
    pub(crate) stops: u32,
    pub(crate) full: u32,
    pub(crate) own_disk: bool,
    pub(crate) found: Found,
    pub(crate) ready: Vec<Duration>,
    pub(crate) read_back: Duration,
    pub(crate) most_disk: u64,
    pub(crate) disk: u64,
    /// Stretches of damage in the log at the last start.
    pub(crate) broken: u64,
    pub(crate) refused: u64,
    pub(crate) cut_off: u64,
    pub(crate) longest: Duration,
    pub(crate) odd: Option<u16>,
    pub(crate) seen: Seen,
}

impl Report {
    pub(crate) fn take(&mut self, seen: Seen) {
        self.seen = self.seen.and(seen);
    }

    pub(crate) fn senders(&mut self, senders: &Senders) {
        for account in &senders.accounts {
            self.refused += account.refused.load(Ordering::Relaxed);
            self.cut_off += account.broken.load(Ordering::Relaxed);
            let longest = account.longest.lock().map_or(Duration::ZERO, |l| *l);
            self.longest = self.longest.max(longest);
            self.odd = self.odd.or(account.odd.lock().ok().and_then(|o| *o));
        }
    }

    /// Nothing is lost, wrong or made up, and every answer was one of those that there may be.
    pub(crate) fn is_good(&self) -> bool {
        let Found { wrong, made_up, .. } = self.found;
        self.found.acknowledged > 0
            && self.found.lost() == 0
            && wrong + made_up == 0
            && self.odd.is_none()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let samples = self.found.acknowledged.max(1) as f64;
        let mib = |bytes: u64| format!("{:.0} MiB", bytes as f64 / f64::from(1 << 20));
        let a_sample = |bytes: u64| format!("{:.1} B", bytes as f64 / samples);
        let mut ready = self.ready.clone();
        ready.sort_unstable();
        let at = |share: usize| ready.get((ready.len() - 1) * share / 100).copied();
        let seconds = |d: Option<Duration>| format!("{:.2} s", d.unwrap_or_default().as_secs_f64());
        let disk = if self.own_disk {
            ""
        } else {
            " (files limited)"
        };
        let mut row = |name: &str, value: String| writeln!(f, "| {name} | {value} |");
        row("what", "figure".to_owned())?;
        row("---", "---:".to_owned())?;
        row("series", self.series.to_string())?;
        row(
            "kills, of these while starting",
            format!(
                "{}, {}",
                self.kills,
                (self.kills as usize + self.stops as usize + 1).saturating_sub(self.ready.len())
            ),
        )?;
        row("restarts by SIGTERM", self.stops.to_string())?;
        row(&format!("times a full disk{disk}"), self.full.to_string())?;
        row("samples acknowledged", self.found.acknowledged.to_string())?;
        row("found", self.found.found.to_string())?;
        row("lost", self.found.lost().to_string())?;
        row("wrong", self.found.wrong.to_string())?;
        row("made up", self.found.made_up.to_string())?;
        row("requests refused (503)", self.refused.to_string())?;
        row("requests cut off", self.cut_off.to_string())?;
        if let Some(odd) = self.odd {
            row("an answer that must not be", odd.to_string())?;
        }
        row(
            "longest stop of a shard",
            format!("{:.2} ms", self.seen.stop_s * 1e3),
        )?;
        row("longest wait for an answer", seconds(Some(self.longest)))?;
        row(
            "ready after a start: half, most, longest",
            format!(
                "{}, {}, {}",
                seconds(at(50)),
                seconds(at(90)),
                seconds(at(100))
            ),
        )?;
        row("all read back in", seconds(Some(self.read_back)))?;
        row("damage in the log", self.broken.to_string())?;
        row("memory, most", mib(self.seen.memory))?;
        row(
            "memory a series",
            format!(
                "{:.0} B",
                self.seen.memory as f64 / self.series.max(1) as f64
            ),
        )?;
        row("disk, most", mib(self.most_disk))?;
        row("disk in the end", mib(self.disk))?;
        row("checkpoints", self.seen.checkpoints.to_string())?;
        row(
            "appended to the log, a sample",
            a_sample(self.seen.log_written),
        )?;
        row(
            "handed to the store, a sample",
            a_sample(self.seen.store_written),
        )?;
        row("written in all, a sample", a_sample(self.seen.written))
    }
}

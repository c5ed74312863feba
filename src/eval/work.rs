//! Files side by side, with a bar.

use std::io::IsTerminal as _;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::corpus::{Item, Set};

/// How fast it went.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rate {
    pub(super) samples: u64,
    pub(super) took: Duration,
}

impl Rate {
    pub(super) fn per_second(self) -> f64 {
        self.samples as f64 / self.took.as_secs_f64().max(1e-9)
    }
}

/// What became of the file of a number.
type Numbered<T> = (usize, anyhow::Result<(u64, T)>);

/// Does `each` for every file of `set`, the largest first, on several threads; `each` gives the
/// number of samples it took and what came of them, which is given in the order of the files.
///
/// # Errors
/// The first error of `each`, in the order of the files.
pub(super) fn through<T: Send>(
    set: &Set,
    threads: Option<usize>,
    each: impl Fn(&Item) -> anyhow::Result<(u64, T)> + Sync,
) -> anyhow::Result<(Rate, Vec<T>)> {
    let started = Instant::now();
    let sizes = |i: &usize| std::fs::metadata(&set.items[*i].path).map_or(0, |m| m.len());
    let mut order: Vec<usize> = (0..set.items.len()).collect();
    order.sort_by_key(|i| std::cmp::Reverse(sizes(i)));
    let bar = bar(&set.name, set.items.len() as u64);
    let next = AtomicUsize::new(0);
    let done: Mutex<Vec<Numbered<T>>> = Mutex::default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    thread::scope(|scope| {
        for _ in 0..threads.unwrap_or(cores).clamp(1, set.items.len().max(1)) {
            scope.spawn(|| {
                while let Some(i) = order.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let result = each(&set.items[*i]);
                    let failed = result.is_err();
                    done.lock()
                        .unwrap_or_else(std::sync::PoisonError::into_inner)
                        .push((*i, result));
                    bar.inc(1);
                    if failed {
                        next.store(order.len(), Ordering::Relaxed);
                    }
                }
            });
        }
    });
    bar.finish_and_clear();
    let mut done = done
        .into_inner()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    done.sort_by_key(|(i, _)| *i);
    let mut samples = 0;
    let mut all = Vec::with_capacity(done.len());
    for (_, result) in done {
        let (taken, one) = result?;
        samples += taken;
        all.push(one);
    }
    let took = started.elapsed();
    Ok((Rate { samples, took }, all))
}

fn bar(name: &str, files: u64) -> ProgressBar {
    let target = if std::io::stderr().is_terminal() {
        ProgressDrawTarget::stderr()
    } else {
        ProgressDrawTarget::hidden()
    };
    let bar = ProgressBar::with_draw_target(Some(files), target);
    if let Ok(style) = ProgressStyle::with_template("{msg} {bar:30} {pos}/{len} files, {eta} left")
    {
        bar.set_style(style);
    }
    bar.set_message(name.to_owned());
    bar
}

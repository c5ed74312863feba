//! Where the past comes from, as one stream of samples.

mod csv;
mod kept;
mod openmetrics;
mod server;

use std::fs::File;
use std::io::{BufReader, IsTerminal as _, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context as _;
use flate2::read::MultiGzDecoder;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::config::Config;
use crate::config::client::Address;
use crate::series::kind::{Kind, Source};
use crate::series::matcher::Selector;

/// What a source says.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event<'a> {
    Sample {
        /// Canonical labels.
        series: &'a [u8],
        /// What the source says of its kind.
        declared: Option<(Kind, Source)>,
        t_ms: i64,
        value: f64,
    },
    /// There is no more of this series.
    End { series: &'a [u8] },
}

/// Who takes it.
type Sink<'a> = dyn FnMut(Event<'_>) + 'a;

/// Where to read.
#[derive(Debug)]
pub(super) enum From {
    Files(Vec<PathBuf>),
    Server {
        url: Address,
        start_ms: i64,
        end_ms: i64,
    },
    DataDir(PathBuf),
}

/// Where to read, and what of it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) from: From,
    pub(super) selectors: Vec<Selector>,
    pub(super) start_ms: i64,
    pub(super) end_ms: i64,
}

impl Place {
    fn wants(&self, series: &[u8]) -> bool {
        self.selectors.is_empty() || self.selectors.iter().any(|s| s.matches_labels(series))
    }
}

/// What was left out on the way.
#[derive(Debug, Default)]
pub(super) struct LeftOut {
    /// Native histograms.
    pub(super) histograms: u64,
    /// Lines of OpenMetrics without a time.
    pub(super) timeless: u64,
}

/// Hands every sample of `place` to `sink`: of each series in the order in which they lie there.
pub(super) fn play(place: &Place, config: &Config, sink: &mut Sink<'_>) -> anyhow::Result<LeftOut> {
    let mut left_out = LeftOut::default();
    let mut bounded = |event: Event<'_>| match event {
        Event::Sample { t_ms, .. } if t_ms < place.start_ms || t_ms > place.end_ms => {}
        event => sink(event),
    };
    match &place.from {
        From::Files(files) => {
            let bytes = |p: &PathBuf| std::fs::metadata(p).map_or(0, |m| m.len());
            let bar = bar(files.iter().map(bytes).sum(), "{bytes}/{total_bytes}");
            for path in files {
                file(path, place, &bar, &mut left_out, &mut bounded)
                    .with_context(|| path.display().to_string())?;
            }
            bar.finish_and_clear();
        }
        From::Server {
            url,
            start_ms,
            end_ms,
        } => server::play(
            url,
            (*start_ms, *end_ms),
            place,
            config,
            &mut left_out,
            &mut bounded,
        )?,
        From::DataDir(dir) => kept::play(dir, place, &mut left_out, &mut bounded)?,
    }
    Ok(left_out)
}

fn file(
    path: &Path,
    place: &Place,
    bar: &ProgressBar,
    left_out: &mut LeftOut,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    let file = bar.wrap_read(File::open(path)?);
    let packed = path.extension().is_some_and(|e| e == "gz");
    let source: Box<dyn Read> = match packed {
        true => Box::new(MultiGzDecoder::new(BufReader::new(file))),
        false => Box::new(file),
    };
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    let name = name.trim_end_matches(".gz");
    match name.strip_suffix(".csv") {
        Some(stem) => csv::play(source, stem, place, sink),
        None => openmetrics::play(source, place, left_out, sink),
    }
}

/// A bar on a terminal, nothing elsewhere: what is printed in the end says all.
fn bar(len: u64, counts: &str) -> ProgressBar {
    let target = match std::io::stderr().is_terminal() {
        true => ProgressDrawTarget::stderr(),
        false => ProgressDrawTarget::hidden(),
    };
    let bar = ProgressBar::with_draw_target(Some(len), target);
    let template = format!("{{elapsed_precise}} {{bar:30}} {counts}, {{eta}} left");
    if let Ok(style) = ProgressStyle::with_template(&template) {
        bar.set_style(style);
    }
    bar.enable_steady_tick(Duration::from_millis(250));
    bar
}

//! The past of a server, read as `saimon backfill` reads it: some series at a time.

use anyhow::Context as _;

use super::{Event, LeftOut, Place, Sink, bar};
use crate::backfill::fetch::{FetchError, Fetcher};
use crate::backfill::plan::Members;
use crate::backfill::span::Span;
use crate::config::Config;
use crate::config::client::Address;
use crate::series::labels;
use crate::telemetry::Metrics;

pub(super) fn play(
    url: &Address,
    (start_ms, end_ms): (i64, i64),
    place: &Place,
    config: &Config,
    left_out: &mut LeftOut,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    let metrics = Metrics::new();
    let random = fastrand::Rng::new();
    let fetcher = Fetcher::new(url, &config.history, &metrics.history, random).context("--url")?;
    let span = Span { start_ms, end_ms };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("the runtime could not be started")?;
    runtime.block_on(async {
        let selectors: Vec<String> = match &place.selectors[..] {
            [] => vec!["{__name__!=\"\"}".to_owned()],
            some => some.iter().map(ToString::to_string).collect(),
        };
        let mut series = fetcher.source().series(&selectors, span).await?;
        series.retain(|s| place.wants(s));
        let own = |s: &[u8]| {
            let name = labels::get(s, labels::METRIC_NAME).unwrap_or_default();
            crate::series::kind::is_own(name.as_bytes())
        };
        series.retain(|s| !own(s));
        let bar = bar(series.len() as u64, "{pos}/{len} series");
        let together = (config.history.request_series as usize).max(1);
        let mut left: Vec<&[Box<[u8]>]> = series.chunks(together).rev().collect();
        while let Some(some) = left.pop() {
            let units: Vec<&Members> = some.iter().map(std::slice::from_ref).collect();
            let histories = match fetcher.read(&units, span).await {
                Ok(histories) => histories,
                Err(FetchError::TooMuch(_)) if some.len() > 1 => {
                    let (a, b) = some.split_at(some.len() / 2);
                    left.extend([b, a]);
                    continue;
                }
                Err(error) => return Err(error.into()),
            };
            for history in histories {
                left_out.histograms += history.histograms.len() as u64;
                for (t_ms, value) in history.floats {
                    sink(Event::Sample {
                        series: &history.labels,
                        declared: None,
                        t_ms,
                        value,
                    });
                }
                sink(Event::End {
                    series: &history.labels,
                });
            }
            bar.inc(some.len() as u64);
        }
        bar.finish_and_clear();
        Ok(())
    })
}

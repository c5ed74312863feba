//! What a data directory keeps: the windows of the last checkpoint.

use std::path::Path;

use super::{Event, LeftOut, Place, Sink, bar};
use crate::config::DetectConfig;
use crate::engine::rules::Rules;
use crate::inspect::export::{self, Sample};
use crate::inspect::{STORE, series};
use crate::series::kind::{Kind, Source};
use crate::store::view::View;

pub(super) fn play(
    dir: &Path,
    place: &Place,
    left_out: &mut LeftOut,
    sink: &mut Sink<'_>,
) -> anyhow::Result<()> {
    let view = View::open(&dir.join(STORE), &std::env::temp_dir())?;
    let mut all = series::all(&view, &Rules::try_from(&DetectConfig::default())?, None)?;
    all.retain(|_, s| place.wants(&s.labels));
    let bar = bar(all.len() as u64, "{pos}/{len} series");
    for (at, series) in all {
        let span = (place.start_ms, place.end_ms);
        export::samples(&view, at, &series, span, &mut |sample| {
            match sample {
                Sample::Float(t_ms, value) => sink(Event::Sample {
                    series: &series.labels,
                    declared: declared(series.kind),
                    t_ms,
                    value,
                }),
                Sample::Histogram(_) => left_out.histograms += 1,
            }
            Ok(())
        })?;
        sink(Event::End {
            series: &series.labels,
        });
        bar.inc(1);
    }
    bar.finish_and_clear();
    Ok(())
}

/// What `serve` took the series for in the end.
fn declared(kind: &str) -> Option<(Kind, Source)> {
    match kind {
        "counter" => Some((Kind::Counter, Source::Metadata)),
        "gauge" => Some((Kind::Gauge, Source::Metadata)),
        _ => None,
    }
}

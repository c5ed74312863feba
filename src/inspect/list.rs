//! The list of series, and what they take in all.

use std::collections::HashMap;
use std::io::Write;

use serde::Serialize;

use super::series::{self, Place, Series};
use super::{List, Sort, rules, size, time};
use crate::engine::keep::GroupId;
use crate::series::labels;

/// Bytes that a series takes on disk beside the bytes of its chunks: the fields of each.
const CHUNK_FIELDS: u64 = 10;

/// The finished chunks of one series on disk.
#[derive(Debug, Default, Clone, Copy)]
struct Finished {
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    chunks: u64,
    samples: u64,
    bytes: u64,
}

/// One line.
#[derive(Debug, Serialize)]
struct Line {
    series: String,
    kind: &'static str,
    phase: &'static str,
    model: &'static str,
    judged: u32,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    samples: u64,
    chunks: u64,
    state_bytes: u64,
    disk_bytes: u64,
}

/// Of all series that match.
#[derive(Debug, Default, Serialize)]
struct Totals {
    series: u64,
    with_model: u64,
    histograms: u64,
    windows_only: u64,
    samples: u64,
    chunks: u64,
    /// Samples in finished chunks, which alone have bytes on disk.
    samples_on_disk: u64,
    state_bytes: u64,
    disk_bytes: u64,
    first_ms: Option<i64>,
    last_ms: Option<i64>,
    /// Of the whole store.
    rollup_blocks: u64,
    file_bytes: u64,
}

pub(super) fn run(args: &List, out: &mut dyn Write) -> anyhow::Result<()> {
    let rules = rules(args.config.as_ref())?;
    let view = args.place.open()?;
    let all = series::all(&view, &rules, args.selector.as_ref())?;
    let mut finished: HashMap<Place, Finished> = HashMap::new();
    view.infos(|chunk| {
        let place: (GroupId, u16) = (chunk.id, chunk.position);
        if all.contains_key(&place) {
            let of = finished.entry(place).or_default();
            of.first_ms = least(of.first_ms, Some(chunk.first_ms));
            of.last_ms = of.last_ms.max(Some(chunk.last_ms));
            of.chunks += 1;
            of.samples += u64::from(chunk.samples);
            of.bytes += chunk.bytes as u64 + CHUNK_FIELDS;
        }
    })?;
    let mut totals = Totals {
        rollup_blocks: view.rollup_blocks() as u64,
        file_bytes: view.file_bytes(),
        ..Totals::default()
    };
    let mut lines: Vec<Line> = all
        .iter()
        .map(|(place, series)| {
            let finished = finished.get(place).copied().unwrap_or_default();
            let line = line(series, finished);
            totals.add(&line, finished.samples);
            line
        })
        .collect();
    lines.sort_by(|a, b| match args.sort {
        Sort::Name => a.series.cmp(&b.series),
        Sort::Size => (b.state_bytes + b.disk_bytes).cmp(&(a.state_bytes + a.disk_bytes)),
        Sort::Samples => b.samples.cmp(&a.samples),
        Sort::Newest => a.last_ms.cmp(&b.last_ms),
    });
    let left_out = lines.len().saturating_sub(args.limit);
    lines.truncate(args.limit);
    if args.json {
        let all = serde_json::json!({"series": lines, "left_out": left_out, "totals": totals});
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
        return Ok(());
    }
    table(&lines, out)?;
    if left_out > 0 {
        writeln!(
            out,
            "... and {left_out} more: raise --limit, or give a selector"
        )?;
    }
    totals.write(out)
}

fn line(series: &Series, finished: Finished) -> Line {
    let open = &series.open;
    let first_ms = least(finished.first_ms, open.iter().map(|o| o.first_ms).min());
    Line {
        series: labels::display(&series.labels),
        kind: series.kind,
        phase: series.phase,
        model: series.model,
        judged: series.judged,
        first_ms,
        last_ms: series.last_ms.max(finished.last_ms),
        samples: finished.samples + open.iter().map(|o| o.samples).sum::<u64>(),
        chunks: finished.chunks + open.len() as u64,
        state_bytes: series.state_bytes as u64,
        disk_bytes: finished.bytes,
    }
}

/// 100 columns wide, but for the labels, which have lines of their own.
fn table(lines: &[Line], out: &mut dyn Write) -> anyhow::Result<()> {
    if lines.is_empty() {
        return Ok(());
    }
    writeln!(
        out,
        "  {:<9} {:<7} {:<5}  {:<16}  {:<16} {:>9} {:>7} {:>8} {:>8}",
        "kind", "phase", "model", "first (UTC)", "last (UTC)", "samples", "chunks", "state", "disk"
    )?;
    let at = |t_ms: Option<i64>| t_ms.map_or_else(|| "-".to_owned(), |t| time(t, false));
    for line in lines {
        writeln!(out, "{}", line.series)?;
        writeln!(
            out,
            "  {:<9} {:<7} {:<5}  {:<16}  {:<16} {:>9} {:>7} {:>8} {:>8}",
            line.kind,
            line.phase,
            line.model,
            at(line.first_ms),
            at(line.last_ms),
            line.samples,
            line.chunks,
            size(line.state_bytes),
            size(line.disk_bytes),
        )?;
    }
    writeln!(out)?;
    Ok(())
}

impl Totals {
    fn add(&mut self, line: &Line, on_disk: u64) {
        self.series += 1;
        match line.kind {
            "window" => self.windows_only += 1,
            "histogram" | "native" => self.histograms += 1,
            _ => self.with_model += 1,
        }
        self.samples += line.samples;
        self.samples_on_disk += on_disk;
        self.chunks += line.chunks;
        self.state_bytes += line.state_bytes;
        self.disk_bytes += line.disk_bytes;
        self.first_ms = least(self.first_ms, line.first_ms);
        self.last_ms = self.last_ms.max(line.last_ms);
    }

    fn write(&self, out: &mut dyn Write) -> anyhow::Result<()> {
        writeln!(
            out,
            "series   {}: {} with a model, {} histograms, {} kept as windows only",
            self.series, self.with_model, self.histograms, self.windows_only
        )?;
        writeln!(
            out,
            "samples  {} in {} chunks{}",
            self.samples,
            self.chunks,
            match (self.first_ms, self.last_ms) {
                (Some(first), Some(last)) =>
                    format!(", {} to {} UTC", time(first, true), time(last, true)),
                _ => String::new(),
            }
        )?;
        let each = match self.samples_on_disk {
            0 => String::new(),
            n => format!(" ({:.2} B a sample)", self.disk_bytes as f64 / n as f64),
        };
        writeln!(
            out,
            "size     {} of models and open chunks, {} of finished chunks{each}",
            size(self.state_bytes),
            size(self.disk_bytes)
        )?;
        writeln!(
            out,
            "store    {} in files, {} blocks of rollups",
            size(self.file_bytes),
            self.rollup_blocks
        )?;
        Ok(())
    }
}

fn least(a: Option<i64>, b: Option<i64>) -> Option<i64> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (a, b) => a.or(b),
    }
}

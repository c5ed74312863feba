//! Whether everything on disk can be read.

use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use serde::Serialize;

use super::{Check, LOG, size};
use crate::engine::state;
use crate::store::log::files::Dir;
use crate::store::log::options::{Options, SyncMode};
use crate::store::log::{Log, LogError};
use crate::store::view::{Checked, Complaint, Copy};
use crate::telemetry::Metrics;

/// Complaints that are shown one by one.
const SHOWN_MAX: usize = 100;

/// What was read of the write-ahead log.
#[derive(Debug, Default, Serialize)]
struct LogChecked {
    segments: u64,
    bytes: u64,
    records: u64,
    /// Of a record that was being written: no harm.
    cut_bytes: u64,
}

pub(super) fn run(args: &Check, out: &mut dyn Write) -> anyhow::Result<u8> {
    let view = args.place.open()?;
    let mut complaints: Vec<(String, String)> = Vec::new();
    let mut more = 0usize;
    let mut note = |c: Complaint| match complaints.len() < SHOWN_MAX {
        true => complaints.push((c.place, c.what)),
        false => more += 1,
    };
    let mut series = 0u64;
    let checked = view.check(
        |bytes| match state::decode(bytes) {
            Ok(members) => {
                series += members.iter().flatten().count() as u64;
                Ok(())
            }
            Err(error) => Err(error.to_string()),
        },
        |bytes| match state::decode_sleeper(bytes) {
            Ok(_) => Ok(()),
            Err(error) => Err(error.to_string()),
        },
        &mut note,
    );
    let folder = args.place.data_dir.join(LOG);
    let log = match folder.is_dir() {
        true => Some(log(&folder, &args.place.temp(), &mut note)?),
        false => None,
    };
    let wrong = complaints.len() + more;
    if args.json {
        let complaints: Vec<_> = complaints
            .iter()
            .map(|(place, what)| serde_json::json!({"place": place, "what": what}))
            .collect();
        let all = serde_json::json!({
            "ok": wrong == 0,
            "wrong": wrong,
            "complaints": complaints,
            "series": series,
            "store": checked,
            "log": log,
        });
        serde_json::to_writer_pretty(&mut *out, &all)?;
        writeln!(out)?;
    } else {
        write(out, series, &checked, log.as_ref())?;
        for (place, what) in &complaints {
            writeln!(out, "wrong    {place}: {what}")?;
        }
        match (wrong, more) {
            (0, _) => writeln!(out, "everything can be read")?,
            (_, 0) => writeln!(out, "{wrong} things are wrong")?,
            _ => writeln!(out, "{wrong} things are wrong, {more} of them not shown")?,
        }
    }
    Ok(u8::from(wrong > 0))
}

fn write(
    out: &mut dyn Write,
    series: u64,
    checked: &Checked,
    log: Option<&LogChecked>,
) -> anyhow::Result<()> {
    writeln!(
        out,
        "groups   {} with {series} series, {}",
        checked.groups,
        size(checked.state_bytes)
    )?;
    writeln!(
        out,
        "blocks   {} with {} chunks of {} samples, {}",
        checked.blocks,
        checked.chunks,
        checked.samples,
        size(checked.block_bytes)
    )?;
    if checked.sleepers > 0 {
        writeln!(out, "asleep   {} series", checked.sleepers)?;
    }
    writeln!(
        out,
        "rollups  {} blocks with {} rows, {}",
        checked.rollup_blocks,
        checked.rows,
        size(checked.rollup_bytes)
    )?;
    match log {
        None => writeln!(out, "log      none")?,
        Some(log) => writeln!(
            out,
            "log      {} records in {} segments, {}{}",
            log.records,
            log.segments,
            size(log.bytes),
            match log.cut_bytes {
                0 => String::new(),
                n => format!("; {n} bytes of an unfinished record at its end, which is no harm"),
            }
        )?,
    }
    Ok(())
}

/// Reads a copy of the log, because opening a log cuts off what was being written.
fn log(folder: &Path, temp: &Path, note: &mut dyn FnMut(Complaint)) -> anyhow::Result<LogChecked> {
    let copy = Copy::of_growing(folder, temp)?;
    let mut say = |what: String| {
        note(Complaint {
            place: "the write-ahead log".to_owned(),
            what,
        });
    };
    let options = Options {
        sync: SyncMode::Never,
        ..Options::default()
    };
    let metrics = Arc::clone(&Metrics::new().wal);
    let files = Dir::open(copy.path()).context("the copy of the write-ahead log")?;
    let (log, opened) = match Log::open(Box::new(files), options, metrics) {
        Ok(opened) => opened,
        Err(error @ LogError::Version { .. }) => {
            say(error.to_string());
            return Ok(LogChecked::default());
        }
        Err(error) => return Err(error.into()),
    };
    let replayed = log.replay(0, |_, _, _| {}, |_, _| {})?;
    for (n, what) in [
        (opened.missing, "segments are missing"),
        (opened.misnamed, "segments have the name of another one"),
        (opened.headless, "segments have a damaged header"),
        (replayed.broken, "stretches are damaged"),
        (replayed.missing, "records are missing"),
        (replayed.duplicates, "records are there twice"),
        (replayed.unreadable, "segments cannot be read"),
    ] {
        if n > 0 {
            say(format!("{n} {what}"));
        }
    }
    Ok(LogChecked {
        segments: opened.segments,
        bytes: opened.bytes,
        records: replayed.records,
        cut_bytes: replayed.cut_bytes,
    })
}

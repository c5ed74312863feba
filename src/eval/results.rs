//! What was said of every row, as files.

use std::fs::{self, File};
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use anyhow::Context as _;

use super::corpus::{Item, Layout, Set};
use super::drive::Runs;
use super::table::Table;

/// Writes the results of one file below `out`.
pub(super) fn write(
    out: &Path,
    set: &Set,
    item: &Item,
    table: &Table,
    runs: &Runs,
    details: bool,
) -> anyhow::Result<()> {
    let name = match set.layout {
        Layout::Nab => item.name.clone(),
        _ => format!("{}.csv", item.name),
    };
    let path = out.join(name);
    rows(&path, set, table, runs, details).with_context(|| path.display().to_string())
}

fn rows(path: &Path, set: &Set, table: &Table, runs: &Runs, details: bool) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut out = BufWriter::with_capacity(1 << 18, File::create(path)?);
    let machine = set.layout == Layout::Machines;
    out.write_all(match machine {
        true => b"row,anomaly_score",
        false => b"timestamp,value,anomaly_score",
    })?;
    match (details, machine) {
        (true, true) => {
            for name in &table.names {
                write!(out, ",{name}")?;
            }
        }
        (true, false) => out.write_all(b",deviation,own,rarity,onset")?,
        (false, _) => {}
    }
    out.write_all(b"\n")?;
    for (row, key) in table.keys.iter().enumerate() {
        write!(out, "{key}")?;
        if !machine {
            match table.columns[0][row] {
                value if value.is_nan() => out.write_all(b",")?,
                value => write!(out, ",{value}")?,
            }
        }
        write!(out, ",{}", runs.judged[row])?;
        match (details, machine) {
            (true, true) => {
                for each in &runs.each {
                    write!(out, ",{}", each[row].own)?;
                }
            }
            (true, false) => {
                let o = &runs.each[0][row];
                write!(out, ",{},{},{},{}", o.deviation, o.own, o.rarity, o.onset)?;
            }
            (false, _) => {}
        }
        out.write_all(b"\n")?;
    }
    out.flush()
}

/// Writes which metrics stand out in each labelled event of each machine: `causes.csv`.
pub(super) fn causes(out: &Path, set: &Set, all: &[super::Ranking]) -> anyhow::Result<()> {
    let path = out.join("causes.csv");
    let write = || -> io::Result<()> {
        let mut file = BufWriter::new(File::create(&path)?);
        writeln!(file, "machine,first_row,last_row,rank,metric,peak")?;
        for (item, ranking) in set.items.iter().zip(all) {
            for (event, metrics) in item.events.iter().zip(ranking) {
                let (first, last) = (event.first_row, event.last_row);
                for (i, (metric, peak)) in metrics.iter().enumerate() {
                    let rank = i + 1;
                    writeln!(file, "{},{first},{last},{rank},{metric},{peak}", item.name)?;
                }
            }
        }
        file.flush()
    };
    write().with_context(|| path.display().to_string())
}

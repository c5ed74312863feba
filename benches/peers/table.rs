//! The result as a Markdown table, and its place in docs/benchmarks.md.

use std::fmt::Write;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};

use crate::servers::Kind;

const BEGIN: &str = "<!-- peers:begin -->";
const END: &str = "<!-- peers:end -->";

/// One server with one number of series.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) server: Kind,
    pub(crate) series: u64,
    pub(crate) rounds: u64,
    /// CPU time per sample, in microseconds, of the round in which every series is new. The same
    /// number is CPU-seconds per million samples.
    pub(crate) first_us: f64,
    /// Of the rounds after it.
    pub(crate) steady_us: f64,
    pub(crate) bytes_per_series: f64,
}

impl Row {
    /// For whoever waits.
    pub(crate) fn line(&self) -> String {
        format!(
            "{:>7} series  {:<16} first {:6.2}  steady {:6.2} CPU-s per million samples  {:6.0} B a series",
            self.series,
            self.server.name(),
            self.first_us,
            self.steady_us,
            self.bytes_per_series
        )
    }
}

pub(crate) fn markdown(rows: &[Row]) -> String {
    let mut out = String::from(
        "| series | server | what it does with a sample | first contact | steady | memory per series |\n\
         | ---: | --- | --- | ---: | ---: | ---: |\n",
    );
    for row in rows {
        let _ = writeln!(
            out,
            "| {} | {} | {} | {:.2} | {:.2} | {:.0} B |",
            row.series,
            row.server.name(),
            row.server.work(),
            row.first_us,
            row.steady_us,
            row.bytes_per_series
        );
    }
    out.push_str("\nCPU-seconds of the server's process per million samples.\n");
    out.push_str(
        "\n| series | saimon's share of | first contact | steady | memory |\n\
         | ---: | --- | ---: | ---: | ---: |\n",
    );
    for saimon in rows.iter().filter(|r| r.server == Kind::Saimon) {
        let peers = rows
            .iter()
            .filter(|r| r.series == saimon.series && r.server != Kind::Saimon);
        for peer in peers {
            let _ = writeln!(
                out,
                "| {} | {} | {:.2} | {:.2} | {:.2} |",
                saimon.series,
                peer.server.name(),
                saimon.first_us / peer.first_us,
                saimon.steady_us / peer.steady_us,
                saimon.bytes_per_series / peer.bytes_per_series,
            );
        }
    }
    let rounds: Vec<String> = rows
        .iter()
        .filter(|r| r.server == rows[0].server)
        .map(|r| format!("{} at {} series", r.rounds, r.series))
        .collect();
    let _ = writeln!(out, "\nSteady rounds: {}.", rounds.join(", "));
    out
}

/// Puts `table` between the markers of `file`.
pub(crate) fn write(file: &Path, table: &str) -> Result<()> {
    let text = fs::read_to_string(file).with_context(|| format!("{}", file.display()))?;
    let missing = || format!("{} has no {BEGIN} ... {END}", file.display());
    let (before, rest) = text.split_once(BEGIN).with_context(missing)?;
    let (_, after) = rest.split_once(END).with_context(missing)?;
    fs::write(file, format!("{before}{BEGIN}\n{table}{END}{after}"))?;
    Ok(())
}
